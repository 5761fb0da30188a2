"""Whatever a server sends, a conversation ends without an error, and what it does not say is not concluded."""

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from keystrand.edge.probes.base import Answer, Ending, Job
from keystrand.edge.probes.tls import MAX_CONNECTIONS, TlsProbe
from keystrand.edge.probes.tls_questions import INQUIRIES, Inquiry, Question, TlsConversation, server_name
from keystrand.formats.tls_codepoints import (
    SECP256R1,
    SECP256R1_MLKEM768,
    SECP384R1,
    SECP521R1,
    SUITES_13,
    TLS13,
    X448,
    X25519,
    X25519_MLKEM768,
)
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Attempt, Outcome

TARGET = Target(id="target", probe=ProbeKind.TLS, system="system", host="server.example", port=443)
QUESTIONS = st.sampled_from(list(Question))


@cache
def context() -> SSL.Context:
    """Return a server of TLS 1.2 and 1.3 with an ECDSA certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.use_certificate(builder.sign(key, hashes.SHA256()))
    made.use_privatekey(key)
    return made


def flight_for(talk: TlsConversation) -> bytes:
    """Return what a real server answers to the conversation's hello."""
    server = SSL.Connection(context(), None)
    server.set_accept_state()
    server.bio_write(talk.begin())
    with pytest.raises(SSL.Error):  # it wants more, or it has refused
        server.do_handshake()
    return server.bio_read(1 << 17)


def judged(talk: TlsConversation, question: str, ending: Ending) -> Attempt:
    """Return the attempt for this one answer; the plan that follows from it must be sound too."""
    answers = (Answer(Job(question, "server.example", 443, lambda: talk), talk, ending),)
    assert len(TlsProbe().plan(TARGET, answers)) < MAX_CONNECTIONS
    attempt = TlsProbe().judge(TARGET, answers)[-1]
    assert isinstance(attempt, Attempt)
    return attempt


@given(question=QUESTIONS, pieces=st.lists(st.binary(max_size=200), max_size=5))
def test_noise(question: Question, pieces: list[bytes]) -> None:
    """Random octets are never taken for a server's answer."""
    talk = TlsConversation(INQUIRIES[question], "server.example")
    for piece in pieces:
        talk.receive(piece)
    assert judged(talk, question, Ending.CLOSED).outcome is not Outcome.SEEN


@given(question=QUESTIONS, body=st.binary(max_size=300), version=st.binary(min_size=1, max_size=1))
def test_server_hello_with_noise(question: Question, body: bytes, version: bytes) -> None:
    """A ServerHello with random content never raises."""
    talk = TlsConversation(INQUIRIES[question], "server.example")
    message = b"\2" + len(body).to_bytes(3, "big") + body
    talk.receive(b"\x16\3" + version + len(message).to_bytes(2, "big") + message)
    judged(talk, question, Ending.CLOSED)


@settings(max_examples=150, deadline=None)
@given(
    question=QUESTIONS,
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0, 1),
    step=st.integers(1, 2000),
    ending=st.sampled_from(list(Ending)),
)
def test_mutated_flights(
    question: Question, changes: list[tuple[float, int]], kept: float, step: int, ending: Ending
) -> None:
    """A real flight with octets changed, cut short and cut into pieces never raises. Places are parts of its length."""
    talk = TlsConversation(INQUIRIES[question], "server.example")
    flight = bytearray(flight_for(talk))
    for place, octet in changes:
        flight[int(place * len(flight))] = octet
    del flight[int(kept * len(flight)) :]
    for start in range(0, len(flight), step):
        talk.receive(bytes(flight[start : start + step]))
    judged(talk, question, ending)


@settings(max_examples=20, deadline=None)
@given(step=st.integers(1, 3000))
def test_pieces_do_not_matter(step: int) -> None:
    """However the network cuts a flight, the certificate is read."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    flight = flight_for(talk)
    for start in range(0, len(flight), step):
        talk.receive(flight[start : start + step])
    assert talk.done
    assert (talk.fault, len(talk.flight.certificates), talk.flight.scheme) == ("", 1, 0x0403)


@pytest.mark.parametrize("suite", SUITES_13)
@pytest.mark.parametrize("group", [X25519_MLKEM768, SECP256R1_MLKEM768, X25519, X448, SECP256R1, SECP384R1, SECP521R1])
def test_every_share_and_suite(group: int, suite: int) -> None:
    """With each key exchange and cipher suite the server's encrypted certificate is read after its retry request."""
    inquiry = Inquiry(versions=(TLS13,), suites=(suite,), groups=(group,), to_certificate=True)
    talk = TlsConversation(inquiry, "server.example")
    server = SSL.Connection(context(), None)
    server.set_accept_state()
    octets = talk.begin()
    while octets:
        server.bio_write(octets)
        with pytest.raises(SSL.WantReadError):
            server.do_handshake()
        octets = talk.receive(server.bio_read(1 << 17))
    assert (talk.done, talk.fault, talk.flight.group, talk.flight.suite) == (True, "", group, suite)
    assert talk.flight.scheme == 0x0403
    assert len(talk.flight.certificates) == 1


def server_hello(group: int, *, retry: bool, suite: int = 0x1301) -> bytes:
    """Return the record of a ServerHello or HelloRetryRequest of TLS 1.3 that chooses `group`."""
    random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c") if retry else bytes(32)
    share = group.to_bytes(2, "big") + (b"" if retry else b"\0\x20" + b"\x09" * 32)
    extensions = b"\0\x2b\0\2\3\4" + b"\0\x33" + len(share).to_bytes(2, "big") + share
    body = b"\3\3" + random + b"\0" + suite.to_bytes(2, "big") + b"\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\2" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\3" + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize(
    ("group", "retry", "prefers"),
    [(0x11EC, True, True), (0x001D, False, False), (0x0017, True, False), (0x6399, True, None)],
)
def test_preference(group: int, *, retry: bool, prefers: bool | None) -> None:
    """Asked with a classical share only: asking again for a hybrid one is a preference, going along a downgrade."""
    talk = TlsConversation(INQUIRIES[Question.DOWNGRADE], "server.example")
    talk.receive(server_hello(group, retry=retry))
    answer = Answer(Job(Question.DOWNGRADE, "server.example", 443, lambda: talk), talk, Ending.DONE)
    endpoint = TlsProbe().judge(TARGET, (answer,))[0].fact  # type: ignore[union-attr]  # an observation comes first
    assert endpoint.prefers_post_quantum is prefers  # type: ignore[union-attr]  # and it is the endpoint


def test_choice_of_what_was_not_offered() -> None:
    """A server that chooses a group outside the hello is not believed."""
    talk = TlsConversation(INQUIRIES[Question.CLASSICAL], "server.example")
    talk.receive(server_hello(0x11EC, retry=True))
    assert judged(talk, Question.CLASSICAL, Ending.DONE).outcome is Outcome.UNPARSABLE


def test_group_we_cannot_compute() -> None:
    """Where we have no key share for the group asked for, the group is told and the certificate said to be unread."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    assert talk.receive(server_hello(0x0100, retry=True)) == b""
    attempt = judged(talk, Question.BROWSER, Ending.DONE)
    assert attempt.outcome is Outcome.SEEN
    assert "certificates not read, no key share of ours for FFDH-2048" in attempt.reason


def test_endless_retries_end() -> None:
    """A second HelloRetryRequest ends the conversation."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    assert talk.receive(server_hello(0x0017, retry=True)) != b""
    assert talk.receive(server_hello(0x0018, retry=True)) == b""
    assert talk.done


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.RESET, Ending.TIMED_OUT])
def test_no_answer_is_unknown(ending: Ending) -> None:
    """A question that is not answered beside one that is stays unknown, by name and with how the connection ended."""
    answered = TlsConversation(INQUIRIES[Question.CLASSICAL], "server.example")
    answered.receive(server_hello(0x0017, retry=True))
    silent = TlsConversation(INQUIRIES[Question.SUPPORTS], "server.example")
    attempt = TlsProbe().judge(
        TARGET,
        (
            Answer(Job(Question.SUPPORTS, "server.example", 443, lambda: silent), silent, ending),
            Answer(Job(Question.CLASSICAL, "server.example", 443, lambda: answered), answered, Ending.DONE),
        ),
    )[-1]
    assert isinstance(attempt, Attempt)
    assert attempt.reason == f"post-quantum-groups: unknown, connection {ending.value}"


@pytest.mark.parametrize(
    ("host", "name"),
    [("server.example.", "server.example"), ("192.0.2.1", ""), ("2001:db8::1", ""), ("fe80::1%eth0", ""),
     ("bücher.example", "xn--bcher-kva.example"), ("ü" * 100, "")],
)  # fmt: skip
def test_server_name(host: str, name: str) -> None:
    """Names are sent as DNS writes them; addresses are not sent (RFC 6066, section 3)."""
    assert server_name(host) == name
