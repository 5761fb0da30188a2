"""Whatever a server sends, a conversation ends without an error, and what it does not say is not concluded."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from keystrand.edge.probes.base import Answer, Ending, Job
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tls_plan import MOST_OF
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
from keystrand.formats.tls_server_flight import MAX_WARNINGS
from keystrand.formats.tls_wire import handshake_record, message, number, vector
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome

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
    assert len(TlsProbe().plan(TARGET, answers)) < MOST_OF[ScanMode.STANDARD]
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


@cache
def leaf(names: int = 1) -> bytes:
    """Return the DER of an ECDSA certificate with so many alternative names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    alternatives = x509.SubjectAlternativeName([x509.DNSName(f"n{n}.example") for n in range(names)])
    builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def flight_12(group: int, scheme: int, certificate: bytes) -> bytes:
    """Return what a TLS 1.2 server says in clear: it may write any group and scheme there."""
    exchange = b"\3" + number(group) + vector(1, b"x" * 65) + number(scheme) + vector(2, b"signature")
    messages = (
        (2, b"\3\3" + bytes(32) + b"\0\xc0\x2b\0"), (11, vector(3, vector(3, certificate))), (12, exchange), (14, b"")
    )  # fmt: skip
    return b"".join(handshake_record(message(kind, content)) for kind, content in messages)


def claimed(group: int, scheme: int, certificate: bytes | None = None) -> tuple[set[str], Attempt]:
    """Return the algorithms believed, and the attempt, where a TLS 1.2 server answers a modern client like this."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    talk.receive(flight_12(group, scheme, leaf() if certificate is None else certificate))
    return believed(talk)


def believed(talk: TlsConversation) -> tuple[set[str], Attempt]:
    """Return the algorithms in use that the probe concludes from this one answer, and the attempt."""
    answer = Answer(Job(Question.BROWSER, "server.example", 443, lambda: talk), talk, Ending.DONE)
    *seen, attempt = TlsProbe().judge(TARGET, (answer,))
    assert isinstance(attempt, Attempt)
    facts = [record.fact for record in seen if isinstance(record, Observation)]
    return {fact.algorithm for fact in facts if isinstance(fact, AlgorithmUse)}, attempt


@pytest.mark.parametrize("group", [0x11EC, 0x0201, 0x0100, 0x001F, 0x6399])
def test_a_group_of_tls_13_is_not_believed_in_tls_12(group: int) -> None:
    """What TLS 1.2 does not have, a TLS 1.2 server does not negotiate, though the hello offered it for TLS 1.3."""
    found, attempt = claimed(group, 0x0403)
    assert not found
    assert attempt.outcome is Outcome.UNPARSABLE
    assert "was not offered" in attempt.reason


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        (0x0905, "which TLSv1.2 does not have"),
        (0x081A, "which TLSv1.2 does not have"),
        (0x0202, "which was not offered"),
        (0x0804, "with a key of ECDSA-P-256"),
        (0x0807, "with a key of ECDSA-P-256"),
    ],
)
def test_a_scheme_that_cannot_be_is_a_remark_and_no_fact(scheme: int, why: str) -> None:
    """A scheme must exist in the version, must have been offered, and must match the certificate's key."""
    found, attempt = claimed(0x0017, scheme)
    assert found == {"ECDH-P-256"}
    assert attempt.outcome is Outcome.SEEN
    assert f"not believed, the server names signature scheme 0x{scheme:04x}" in attempt.reason
    assert why in attempt.reason


def test_a_scheme_without_a_certificate_is_not_believed() -> None:
    """With nothing to hold it against, the claim stays a remark."""
    found, attempt = claimed(0x0017, 0x0403, b"no certificate")
    assert found == {"ECDH-P-256"}
    assert "its certificate cannot be read" in attempt.reason


def test_a_scheme_that_fits_is_believed() -> None:
    """The honest answer of the same server is taken as it is."""
    assert claimed(0x0017, 0x0403)[0] == {"ECDH-P-256", "ECDSA-P-256"}


@pytest.mark.parametrize(("scheme", "why"), [(0x0905, "with a key of ECDSA-P-256"), (0x0203, "TLSv1.3 does not have")])
def test_the_scheme_of_certificate_verify_must_match_too(scheme: int, why: str) -> None:
    """In TLS 1.3 a real flight whose CertificateVerify names another scheme is believed in all but that."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    talk.receive(flight_for(talk))
    assert believed(talk)[0] == {"X25519MLKEM768", "ECDSA-P-256"}
    talk.flight.scheme = scheme
    found, attempt = believed(talk)
    assert found == {"X25519MLKEM768"}
    assert why in attempt.reason


def test_a_flood_of_warnings_keeps_few() -> None:
    """As many warnings as the scheduler lets through leave at most eight, each once."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    for alert in (112, *range(1, 200)):
        talk.receive((b"\x15\3\3\0\2\1" + bytes([alert])) * 100)
    assert len(talk.flight.warnings) == len(set(talk.flight.warnings)) == MAX_WARNINGS
    assert talk.flight.warnings[0] == 112


def everything_accepted(talk: TlsConversation) -> None:
    """Answer like a server that takes the first thing offered in every hello."""
    inquiry, flight = talk.inquiry, talk.flight
    flight.version, flight.suite = inquiry.versions[0], inquiry.suites[0]
    flight.group = next(iter(inquiry.groups), None)


def asked_of(behave: Callable[[TlsConversation], None]) -> tuple[Answer, ...]:
    """Return all answers of a server that behaves like this."""
    answers: tuple[Answer, ...] = ()
    while jobs := TlsProbe().plan(TARGET, answers):
        for job in jobs:
            talk = job.start()
            assert isinstance(talk, TlsConversation)
            behave(talk)
            answers += (Answer(job, talk, Ending.DONE),)
    return answers


def test_no_target_gets_more_connections_than_the_guide_says() -> None:
    """A server that accepts everything is asked up to the bound and not beyond; what was left out is said."""
    answers = asked_of(everything_accepted)
    attempt = TlsProbe().judge(TARGET, answers)[-1]
    assert isinstance(attempt, Attempt)
    assert len(answers) == MOST_OF[ScanMode.STANDARD]
    assert "not every group was asked for" in attempt.reason
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "scan.md").read_text()
    assert f"TLS: at most {MOST_OF[ScanMode.STANDARD]} connections" in guide


def test_without_tls_13_the_curves_of_tls_12_are_asked_one_by_one() -> None:
    """A server of TLS 1.2 that prefers P-256 and also takes P-384 and P-192 shows all three, then refuses."""
    curves = (SECP256R1, SECP384R1, 0x0013)

    def behave(talk: TlsConversation) -> None:
        offered = [curve for curve in curves if curve in talk.inquiry.groups]
        if TLS13 in talk.inquiry.versions or not offered:
            talk.flight.alert = 40
        else:
            talk.flight.version, talk.flight.suite, talk.flight.group = 0x0303, 0xC02F, offered[0]

    answers = asked_of(behave)
    talks = [answer.conversation for answer in answers if answer.job.question.startswith("tls-1.2")]
    assert [talk.flight.group for talk in talks if isinstance(talk, TlsConversation)] == [*curves, None]
    assert len(answers) < MOST_OF[ScanMode.STANDARD]


def test_at_most_two_hellos_go_out_on_one_connection() -> None:
    """One hello, and a second only after a HelloRetryRequest: nothing else is ever sent."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    second = talk.receive(server_hello(0x0017, retry=True))
    assert [talk.begin()[0], talk.begin()[5], second[0], second[5]] == [22, 1, 22, 1]
    assert talk.receive(server_hello(0x0017, retry=True)) == b""
    assert talk.receive(flight_for(TlsConversation(INQUIRIES[Question.BROWSER], "server.example"))) == b""


def test_a_certificate_with_too_many_names_is_remarked() -> None:
    """What was not kept of a certificate is said once, however many answers showed it."""
    _, attempt = claimed(0x0017, 0x0403, leaf(1000))
    assert attempt.reason == "a certificate with names too long or too many to keep"
    assert claimed(0x0017, 0x0403)[1].reason == ""
