"""A whole scan against servers that mean harm or are broken: each ends with its own outcome and reason, and alone."""

import asyncio
import socket
import struct
import tracemalloc
from itertools import count, cycle

import pytest
from tests.edge.probes.bed.loopback import Result, Served, scanned

from keystrand.edge.probes.base import MAX_RECEIVED
from keystrand.formats.tls_wire import message, number, vector
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Outcome

RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
CHAIN_OCTETS = 16 * 1024 * 1024 - 1
"""The largest handshake message that TLS can announce."""

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def record(kind: int, content: bytes, version: int = 0x0303) -> bytes:
    """Return one record."""
    return number(kind, 1) + number(version) + vector(2, content)


def hello_12(version: int = 0x0303, suite: int = 0xC02F) -> bytes:
    """Return a ServerHello without extensions."""
    return message(2, number(version) + bytes(32) + b"\0" + number(suite) + b"\0")


def hello_13(group: int, share: bytes = b"", random: bytes = bytes(32)) -> bytes:
    """Return a ServerHello of TLS 1.3, or with `RETRY` as its random a HelloRetryRequest for `group`."""
    chosen = number(group) + (vector(2, share) if share else b"")
    extensions = number(43) + vector(2, number(0x0304)) + number(51) + vector(2, chosen)
    return message(2, number(0x0303) + random + b"\0" + number(0x1301) + b"\0" + vector(2, extensions))


async def hello_of(reader: Reader) -> bytes:
    """Take one record and return its content."""
    head = await reader.readexactly(5)
    return await reader.readexactly(int.from_bytes(head[3:], "big"))


def saying(*pieces: bytes, then: str = "wait", pause_s: float = 0.0) -> Served:
    """Return a server that takes a hello, says `pieces`, and then waits, closes or resets."""

    async def behave(reader: Reader, writer: Writer) -> None:
        await hello_of(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        await _afterwards(then, reader, writer)

    return Served(behave)


async def _afterwards(then: str, reader: Reader, writer: Writer) -> None:
    if then == "wait":
        await reader.read()
    elif then == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _nothing(reader: Reader, _writer: Writer) -> None:
    await reader.read()


async def _drip(_reader: Reader, writer: Writer) -> None:
    """Say one octet of a long handshake message at a time, for ever."""
    for octet in record(22, b"\2\0\x0f\xff" + bytes(4000)):
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def _retries(reader: Reader, writer: Writer) -> None:
    """Ask again and again, for one group after the other."""
    for group in cycle((0x0017, 0x0018, 0x0019)):
        await hello_of(reader)
        writer.write(record(22, hello_13(group, random=RETRY)))


async def _same_retries(reader: Reader, writer: Writer) -> None:
    """Ask again and again for the same group."""
    while True:
        await hello_of(reader)
        writer.write(record(22, hello_13(0x0017, random=RETRY)))


async def _huge_chain(reader: Reader, writer: Writer) -> None:
    """Send a chain of 16 MiB in full records, as long as somebody takes it."""
    await hello_of(reader)
    writer.write(record(22, hello_12()))
    head = b"\x0b" + number(CHAIN_OCTETS, 3) + number(CHAIN_OCTETS - 3, 3) + number(CHAIN_OCTETS - 6, 3)
    writer.write(record(22, head))
    piece = record(22, bytes(1 << 14))
    for _ in range(CHAIN_OCTETS >> 14):
        writer.write(piece)
        await writer.drain()


async def _many_certificates(reader: Reader, writer: Writer) -> None:
    """Send a chain of 60,000 certificates of no octet each, then end the handshake."""
    await hello_of(reader)
    chain = message(11, vector(3, bytes(3 * 60_000)))
    octets = hello_12() + chain + message(14, b"")
    for at in range(0, len(octets), 1 << 14):
        writer.write(record(22, octets[at : at + (1 << 14)]))
    await reader.read()


async def _warnings(_reader: Reader, writer: Writer) -> None:
    """Send warnings for ever."""
    for alert in count():
        writer.write(record(21, bytes((1, 1 + alert % 200))) * 2000)
        await writer.drain()


async def _endless_text(_reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


CLIENT_AUTHENTICATION = record(21, bytes((2, 116)))
SSL_3 = 0x0300

SERVERS = {
    "hangs": (Served(_nothing), Outcome.TIMED_OUT, "no answer within 1 s"),
    "drips": (Served(_drip), Outcome.TIMED_OUT, "no answer within 1 s"),
    "hangs-in-a-record": (saying(record(22, hello_12())[:20]), Outcome.TIMED_OUT, "no answer within 1 s"),
    "garbage": (saying(bytes(range(128, 255)) * 9), Outcome.NONE, "answers, but not with TLS"),
    "http": (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n", then="close"), Outcome.NONE, "answers, but not with TLS"),
    "endless-text": (Served(_endless_text), Outcome.NONE, "answers, but not with TLS"),
    "closes": (saying(then="close"), Outcome.UNREADABLE, "closed the connection"),
    "resets": (saying(then="reset"), Outcome.UNREADABLE, "connection reset"),
    "resets-in-a-record": (
        saying(record(22, hello_12())[:20], then="reset", pause_s=0.05),
        Outcome.UNREADABLE,
        "reset",
    ),
    "too-long-a-record": (saying(b"\x16\3\3\xff\xff" + bytes(100)), Outcome.NONE, "longer than TLS allows"),
    "alert-to-all": (saying(record(21, b"\2\x28")), Outcome.UNREADABLE, "handshake_failure (40)"),
    "wants-a-client-certificate": (saying(CLIENT_AUTHENTICATION), Outcome.UNREADABLE, "certificate_required (116)"),
    "ssl-3-alert": (saying(record(21, b"\2\x28", SSL_3)), Outcome.UNREADABLE, "handshake_failure (40)"),
    "warnings": (Served(_warnings), Outcome.UNREADABLE, f"more than {MAX_RECEIVED} octets came"),
    "not-offered": (saying(record(22, hello_13(0x6A6A, random=RETRY))), Outcome.UNPARSABLE, "was not offered"),
}
"""Servers that show nothing: each with its outcome and words of its reason."""


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Scan them all; a second for each connection is only where nothing is to come."""
    late = {name: server for name, (server, outcome, _) in SERVERS.items() if outcome is Outcome.TIMED_OUT}
    others = {name: server for name, (server, _, _) in SERVERS.items() if name not in late}
    return scanned(late) | scanned(others, timeout_s=20.0)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_shows_nothing_ends_with_its_reason(name: str, results: dict[str, Result]) -> None:
    """Nothing is concluded, the outcome is the one for this fault, and the reason says which it was."""
    _, outcome, words = SERVERS[name]
    assert results[name].seen == ()
    assert results[name].attempt.outcome is outcome
    assert words in results[name].attempt.reason


PARTLY: dict[str, Served] = {
    "ssl-3": saying(record(22, hello_12(SSL_3, 0x000A), SSL_3)),
    "retries": Served(_retries),
    "same-retries": Served(_same_retries),
    "huge-chain": Served(_huge_chain),
    "many-certificates": Served(_many_certificates),
    "hangs-after-hello": saying(record(22, hello_12())),
    "resets-after-hello": saying(record(22, hello_12()), then="reset", pause_s=0.05),
    "wrong-share": saying(record(22, hello_13(0x001D, b"\x09" * 31))),
    "garbled-flight": saying(record(22, hello_13(0x001D, b"\x09" * 32)) + record(23, bytes(200))),
}
"""Servers that say something, and then do not go on as they should."""


@pytest.fixture(scope="module")
def partly() -> dict[str, Result]:
    """Scan them all; a second for each connection is only where nothing is to come."""
    late = {name: PARTLY[name] for name in ("hangs-after-hello", "ssl-3")}
    return scanned(late) | scanned(
        {name: server for name, server in PARTLY.items() if name not in late}, timeout_s=20.0
    )


def test_a_server_of_ssl_3_is_seen_and_named(partly: dict[str, Result]) -> None:
    """Whatever newer version it is asked for, it answers with the only one it has; that is told, not taken as noise."""
    result = partly["ssl-3"]
    assert result.attempt.outcome is Outcome.SEEN
    assert result.facts(Endpoint)[0].versions == ("SSLv3",)
    assert [use.algorithm for use in result.facts(AlgorithmUse)] == ["RSA-KEX"]


def test_endless_retries_end_and_are_told(partly: dict[str, Result]) -> None:
    """A server that asks again for ever is asked twice on a connection; what it named first is seen."""
    for name in ("retries", "same-retries"):
        assert partly[name].attempt.outcome is Outcome.SEEN
        assert "a second HelloRetryRequest" in partly[name].attempt.reason
        assert partly[name].facts(Certificate) == []


def test_a_chain_of_16_mib_is_left_unread(partly: dict[str, Result]) -> None:
    """The version and the exchange are seen, the certificates are not read, and the reason says so."""
    result = partly["huge-chain"]
    assert result.attempt.outcome is Outcome.SEEN
    assert "TLSv1.2" in result.facts(Endpoint)[0].versions
    assert "certificates not read, connection too-much" in result.attempt.reason
    assert result.facts(Certificate) == []


def test_a_chain_of_16_mib_takes_no_memory() -> None:
    """What is held at once is a few times the octets that a connection may bring, not the chain."""
    tracemalloc.start()
    try:
        scanned({"huge-chain": PARTLY["huge-chain"]}, connections_per_host=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < CHAIN_OCTETS / 2


def test_many_empty_certificates_are_no_certificates(partly: dict[str, Result]) -> None:
    """A chain of nothing is told as unread."""
    assert partly["many-certificates"].attempt.outcome is Outcome.SEEN
    assert partly["many-certificates"].facts(Certificate) == []
    assert "certificates not read" in partly["many-certificates"].attempt.reason


@pytest.mark.parametrize(
    ("name", "words"), [("hangs-after-hello", "connection timed-out"), ("resets-after-hello", "connection reset")]
)
def test_what_was_said_before_the_end_counts(name: str, words: str, partly: dict[str, Result]) -> None:
    """A server that says hello and goes silent or away has said its version; the certificates stay unknown."""
    result = partly[name]
    assert result.attempt.outcome is Outcome.SEEN
    assert result.facts(Endpoint)[0].versions == ("TLSv1.2",)
    assert f"certificates not read, {words}" in result.attempt.reason


def test_a_flight_that_cannot_be_opened_proves_nothing_more(partly: dict[str, Result]) -> None:
    """A share or a record that does not fit leaves the certificates unread, with the reason."""
    for name in ("wrong-share", "garbled-flight"):
        result = partly[name]
        assert result.facts(Certificate) == []
        assert not any(use.function == "signature" for use in result.facts(AlgorithmUse))
        assert result.attempt.reason


def test_one_hostile_server_costs_no_other_its_answer() -> None:
    """Beside servers that hang, drip and flood, one that refuses plainly is told as such."""
    names = ("hangs", "drips", "endless-text", "alert-to-all")
    results = scanned({name: SERVERS[name][0] for name in names}, connections_at_once=4, timeout_s=2.0)
    assert results["alert-to-all"].attempt.outcome is Outcome.UNREADABLE
