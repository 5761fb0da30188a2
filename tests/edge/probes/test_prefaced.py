"""TLS behind what comes before it, by whole scans: every protocol, every refusal, and servers that go on in clear."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from tests.edge.probes.bed.certificates import certificates
from tests.edge.probes.bed.loopback import Result, Served, scanned
from tests.formats.test_starttls import TOLD, Told, tds

from keystrand.edge.probes.prefaced import prefaced
from keystrand.edge.probes.tls_questions import INQUIRIES, Question, TlsConversation
from keystrand.formats.starttls_tds import TdsPreface
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Outcome
from keystrand.model.starttls import StartTls

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
MTU = 1400


async def told(script: Told, reader: Reader, writer: Writer) -> None:
    """Play the server's part: wait for each word of the client, octet by octet, and answer."""
    answers = iter(script.server)
    for said in script.client:
        assert await reader.readexactly(len(said)) == said
        # MySQL's client has the last word
        writer.write(next(answers, b""))


async def tls(reader: Reader, writer: Writer, context: SSL.Context, *, packets: bool) -> None:
    """Be a TLS server on the connection; with `packets` inside those of SQL Server."""
    server, wire = SSL.Connection(context, None), TdsPreface()
    server.set_accept_state()
    while octets := await reader.read(MTU):
        if not (inner := wire.unwrap(octets) if packets else octets):
            continue
        server.bio_write(inner)
        with contextlib.suppress(SSL.Error):
            server.do_handshake()
        with contextlib.suppress(SSL.Error):
            said = server.bio_read(1 << 17)
            pieces = [said[at : at + 500] for at in range(0, len(said), 500)]
            writer.write(b"".join(tds(piece, 0x12, 0) for piece in pieces) if packets else said)


def upgrading(name: StartTls, context: SSL.Context) -> Served:
    """Return a server of the protocol that goes on with TLS."""

    async def behave(reader: Reader, writer: Writer) -> None:
        await told(TOLD[name], reader, writer)
        await tls(reader, writer, context, packets=name is StartTls.MSSQL)

    return Served(behave, name)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Scan a server of each protocol, whose TLS is post-quantum throughout."""
    pair = certificates(tmp_path_factory.mktemp("certificates"))["ML-DSA-65"]
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(pair.certificate))
    context.use_privatekey_file(str(pair.key))
    # the host's name goes into XMPP's stream
    script = TOLD[StartTls.XMPP]
    assert b"to='im.example'" in script.client[0]
    servers = {"im" if name is StartTls.XMPP else str(name): upgrading(name, context) for name in StartTls
               if name is not StartTls.XMPP_SERVER}  # fmt: skip
    return scanned(servers, timeout_s=10.0)


@pytest.mark.parametrize("name", [name for name in StartTls if name is not StartTls.XMPP_SERVER])
def test_tls_behind_each_protocol(name: StartTls, upgraded: dict[str, Result]) -> None:
    """The same facts as of a server that begins with TLS: version, exchange, signature and certificate."""
    result = upgraded["im" if name is StartTls.XMPP else name]
    assert (result.attempt.outcome, result.attempt.reason) == (Outcome.SEEN, "")
    assert result.facts(Endpoint)[0].versions == ("TLSv1.3",)
    assert {"X25519MLKEM768", "ML-DSA-65"} <= {use.algorithm for use in result.facts(AlgorithmUse)}
    assert [one.key_algorithm for one in result.facts(Certificate)] == ["ML-DSA-65"]


def saying(name: StartTls, *pieces: bytes) -> Served:
    """Return a server that answers each word of the client with the next piece, and then waits."""

    async def behave(reader: Reader, writer: Writer) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if not await reader.read(4096):
                return
        await reader.read()

    return Served(behave, name)


async def _drip(_reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _flood(_reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"220-welcome\r\n" * 100)
        await writer.drain()


SMTP, IMAP = StartTls.SMTP, StartTls.IMAP
HELLO, GO = b"220 x\r\n", b"220 go\r\n"
OFFER = b"250-mx.example\r\n250 STARTTLS\r\n"
CLEAR = "answers, but not with TLS: goes on in clear where TLS was due"

NONE, LATE = Outcome.NONE, Outcome.TIMED_OUT

SERVERS: dict[str, tuple[Served, Outcome, str]] = {
    "refuses": (saying(SMTP, HELLO, b"250 x\r\n"), NONE, "answers, but not with TLS: 250 without STARTTLS"),
    "full": (saying(SMTP, b"421 x\r\n"), NONE, "greets with 421"),
    "silent": (saying(SMTP), LATE, "no answer within 1 s"),
    "silent-later": (saying(SMTP, HELLO, OFFER), LATE, "no answer within 1 s"),
    "silent-as-tls": (saying(SMTP, HELLO, OFFER, GO), LATE, "no answer within 1 s"),
    "drips": (Served(_drip, SMTP), LATE, "no answer within 1 s"),
    "floods": (Served(_flood, IMAP), NONE, "greets without OK"),
    "floods-smtp": (Served(_flood, SMTP), NONE, "octets before TLS begins"),
    "injects": (saying(SMTP, HELLO, OFFER, GO + b"250 injected\r\n"), NONE, f"{CLEAR}, octets after the go-ahead: 14"),
    "plain": (saying(SMTP, HELLO, OFFER, GO, b"500 what\r\n"), NONE, f"{CLEAR}: no TLS record"),
    "stuffed": (saying(StartTls.POSTGRESQL, b"", b"SE"), NONE, f"{CLEAR}, octets after the go-ahead: 1"),
    "no-tds": (saying(StartTls.MSSQL, b"", *TOLD[StartTls.MSSQL].server, b"\x16\3\3"), NONE, f"{CLEAR}: it does"),
    "another-protocol": (saying(StartTls.LDAP, HELLO), NONE, "does not answer with LDAP"),
}  # fmt: skip
"""Servers that do not get to TLS: each with its outcome and words of its reason."""


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Scan them all; a second for each connection is only where nothing is to come."""
    late = {name: server for name, (server, outcome, _) in SERVERS.items() if outcome is LATE}
    others = {name: server for name, (server, _, _) in SERVERS.items() if name not in late}
    return scanned(late) | scanned(others, timeout_s=20.0)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_does_not_get_to_tls(name: str, results: dict[str, Result]) -> None:
    """Nothing is concluded, and the reason says how far it went."""
    _, outcome, words = SERVERS[name]
    assert results[name].seen == ()
    assert results[name].attempt.outcome is outcome
    assert words in results[name].attempt.reason


def received(name: StartTls, pieces: Sequence[bytes]) -> TlsConversation:
    """Return the conversation after a server said this."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "mx.example")
    whole = prefaced(talk, name, "mx.example")
    whole.begin()
    for piece in pieces:
        whole.receive(piece)
    assert whole.done == talk.done
    return talk


def test_the_first_word_of_tls_follows_the_go_ahead_at_once() -> None:
    """The hello goes out with the answer to the go-ahead, and no octet of TLS before."""
    talk = TlsConversation(INQUIRIES[Question.BROWSER], "mx.example")
    whole = prefaced(talk, SMTP, "mx.example")
    assert [whole.begin(), whole.receive(b"220 x\r\n"), whole.receive(OFFER)] == [
        b"",
        b"EHLO keystrand.invalid\r\n",
        b"STARTTLS\r\n",
    ]
    assert whole.receive(b"220 go\r\n") == talk.begin()
    assert not whole.done


def test_a_tls_alert_after_the_go_ahead_is_read_as_one() -> None:
    """What the server says in TLS reaches the conversation unchanged."""
    talk = received(SMTP, (b"220 x\r\n", OFFER, b"220 go\r\n", b"\x15\3\3\0\2\2\x28"))
    assert (talk.done, talk.fault, talk.flight.alert) == (True, "", 40)


def test_a_refusal_ends_the_conversation_once() -> None:
    """After a refusal nothing more is said, whatever comes."""
    talk = received(SMTP, (b"220 x\r\n", b"250 x\r\n", b"\x15\3\3\0\2\2\x28"))
    assert (talk.foreign, talk.fault, talk.flight.alert) == (True, "250 without STARTTLS", None)


@given(
    name=st.sampled_from(list(StartTls)),
    kept=st.integers(0, 3),
    pieces=st.lists(st.binary(max_size=120) | st.just(b"\x16\3\3\0\2\2\x28"), max_size=6),
)
def test_whatever_comes_before_and_after_the_go_ahead_never_raises(
    name: StartTls, kept: int, pieces: list[bytes]
) -> None:
    """Random octets in the place of any answer, or of TLS, end the conversation or leave it waiting."""
    talk = received(name, (*TOLD[name].server[:kept], *pieces))
    assert talk.done or not talk.fault


def test_every_protocol_of_an_estate_has_its_preface() -> None:
    """No name that an estate may give is unknown here, and none is known that it may not give."""
    assert set(TOLD) == set(StartTls)
    with pytest.raises(KeyError):
        prefaced(TlsConversation(INQUIRIES[Question.BROWSER], ""), "gopher", "")
