"""The server's end of TLS, over real sockets: what a client can hold of it, and what it cannot."""

import asyncio
import contextlib
import gc
import logging
import math
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httptools
import pytest
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.kme.server import HttpProtocol, Request, Response
from keystrand.edge.kme.transport import Connections, Limits, TlsServerProtocol, TlsTransport
from keystrand.edge.pki import Identity, Kind, Pki, issue_pki
from keystrand.edge.tls import Peer
from keystrand.model.errors import PeerUnavailable, PolicyDenied

CLOSING = b"GET /r HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n"


def echo(request: Request) -> Response:
    """Answer with the target and the body."""
    return Response(status=200, body=request.target + b" " + request.body)


class Bodies:
    """The bodies of answers, read with httptools."""

    def __init__(self, written: bytes) -> None:
        self.found: list[bytes] = []
        self._body: list[bytes] = []
        httptools.HttpResponseParser(self).feed_data(written)

    def on_body(self, body: bytes) -> None:
        """Collect."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Note one answer."""
        self.found.append(b"".join(self._body))
        self._body.clear()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return a PKI."""
    folder: Path = tmp_path_factory.mktemp("pki") / "made"
    return issue_pki(folder, kmes=["kme-a"], saes=["sae-a", "sae-b"], modules=[], days=1, now=datetime.now(UTC))


@asynccontextmanager
async def serving(pki: Pki, limits: Limits, answer: Callable[[Request], Response] = echo) -> AsyncIterator[int]:
    """Serve `answer` over TLS and give the port."""
    context = tls.server_context(pki.of(Kind.KME, "kme-a"))
    open_ones, running = Connections(limits), set[asyncio.Task[None]]()

    async def answered(_: Peer, request: Request) -> Response:
        return answer(request)

    server = await asyncio.get_running_loop().create_server(
        lambda: TlsServerProtocol(context, lambda: HttpProtocol(answered, limits, running), limits, open_ones),
        "127.0.0.1", 0,
    )  # fmt: skip
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in open_ones:
            one.abort()
        # each is told that it is lost in the loop's next round
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def connected(pki: Pki, port: int, sae: str = "sae-a") -> tls.BlockingTls:
    """Return a client's connection."""
    context = tls.client_context(pki.of(Kind.SAE, sae))
    return tls.connect(context, "127.0.0.1", port, timeout_s=10, kme_id="kme-a")[0]


def drained(stream: Any) -> bytes:
    """Return what comes until the end, however it ends; then close."""
    got, buffer = bytearray(), bytearray(65536)
    try:
        while size := stream.recv_into(memoryview(buffer)):
            got += buffer[:size]
    except ConnectionResetError:
        pass
    stream.close()
    return bytes(got)


def test_silence_is_not_waited_for_without_end(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """A client that shakes no hands, sends nothing, or half a request is let go; the first leaves a line."""

    async def run() -> list[bytes]:
        async with serving(pki, Limits(handshake_s=0.1, idle_s=0.1, request_s=0.1, goodbye_s=0.1)) as port:
            mute = socket.create_connection(("127.0.0.1", port), timeout=10)
            idle = await asyncio.to_thread(connected, pki, port)
            got = [await asyncio.to_thread(drained, mute), await asyncio.to_thread(drained, idle)]
            half = await asyncio.to_thread(connected, pki, port)
            half.sendall(b"GET /r HT")
            return [*got, await asyncio.to_thread(drained, half)]

    assert asyncio.run(run()) == [b"", b"", b""]
    assert caplog.messages == ["a handshake of 127.0.0.1 was refused: it did not finish in time"]


def test_connections_are_counted(pki: Pki) -> None:
    """Beyond the cap a connection is cut at once; when one ends there is room again."""

    async def run() -> tuple[bytes, bytes]:
        async with serving(pki, Limits(connections=1, kept=0, goodbye_s=0.1)) as port:
            first = await asyncio.to_thread(connected, pki, port)
            second = socket.create_connection(("127.0.0.1", port), timeout=10)
            over = await asyncio.to_thread(drained, second)
            first.sendall(CLOSING)
            answered = await asyncio.to_thread(drained, first)
            for _ in range(500):
                try:
                    again = await asyncio.to_thread(connected, pki, port)
                except PeerUnavailable:
                    await asyncio.sleep(0.01)
                    continue
                again.close()
                return over, answered
            raise AssertionError("no room again")

    over, answered = asyncio.run(run())
    assert over == b""
    assert answered.startswith(b"HTTP/1.1 200")


def test_unfinished_handshakes_lock_nobody_out(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Any number of bare connections: the oldest of them is cut, who shakes hands is served, and the log says so."""

    async def run() -> tuple[bytes, bytes]:
        async with serving(pki, Limits(handshakes=2, connections=3, kept=0, handshake_s=60.0, goodbye_s=0.1)) as port:
            bare = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(10)]
            first = await asyncio.to_thread(drained, bare[0])
            client = await asyncio.to_thread(connected, pki, port)
            client.sendall(CLOSING)
            answered = await asyncio.to_thread(drained, client)
            for one in bare[1:]:
                one.close()
            return first, answered

    caplog.set_level(logging.WARNING)
    first, answered = asyncio.run(run())
    assert first == b""
    assert answered.startswith(b"HTTP/1.1 200")
    assert "a handshake of 127.0.0.1 was refused: too many handshakes at once" in caplog.text


def test_one_identity_does_not_take_every_place(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its share an identity is not served on a further connection; another one is."""

    async def run() -> list[bytes]:
        async with serving(pki, Limits(of_one_identity=1, goodbye_s=0.1)) as port:
            clients = [await asyncio.to_thread(connected, pki, port, sae) for sae in ("sae-a", "sae-a", "sae-b")]
            got = [await asyncio.to_thread(drained, clients[1])]
            for client in (clients[0], clients[2]):
                client.sendall(CLOSING)
                got.append(await asyncio.to_thread(drained, client))
            return got

    over, *served = asyncio.run(run())
    assert over == b""
    assert [answer[:12] for answer in served] == [b"HTTP/1.1 200"] * 2
    assert "too many connections of urn:keystrand:sae:sae-a" in caplog.text


def test_refused_handshakes_are_logged_at_a_bounded_rate(caplog: pytest.LogCaptureFixture) -> None:
    """A line each with who and why, up to a number; what was left out is counted in the next line."""
    connections = Connections(Limits())
    for _ in range(100):
        connections.note_refusal("192.0.2.7", "certificate expired", 5.0)
    assert caplog.messages == ["a handshake of 192.0.2.7 was refused: certificate expired"] * 20
    connections.note_refusal("192.0.2.8", "x", 70.0)
    assert caplog.messages[20:] == ["80 more handshakes were refused", "a handshake of 192.0.2.8 was refused: x"]


def test_a_large_answer_passes_whole_to_a_slow_reader(pki: Pki) -> None:
    """Flow control: megabytes of answers to a client that reads late arrive complete and in order."""
    size, count = 1 << 20, 6

    def large(request: Request) -> Response:
        return Response(status=200, body=request.target[-1:] * size)

    async def run() -> bytes:
        async with serving(pki, Limits(), large) as port:
            stream = await asyncio.to_thread(connected, pki, port)
            heads = "".join(f"GET /{n} HTTP/1.1\r\nHost: k\r\n\r\n" for n in range(count - 1))
            stream.sendall(f"{heads}GET /{count - 1} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n".encode())
            await asyncio.sleep(0.2)
            return await asyncio.to_thread(drained, stream)

    assert Bodies(asyncio.run(run())).found == [str(n).encode() * size for n in range(count)]


def test_broken_tls_ends_only_its_own_connection(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no TLS end in an alert and a line in the log; the next client is served."""

    async def run() -> bytes:
        async with serving(pki, Limits(goodbye_s=0.1)) as port:
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            await asyncio.to_thread(drained, raw)
            stream = await asyncio.to_thread(connected, pki, port)
            stream.sendall(CLOSING)
            return await asyncio.to_thread(drained, stream)

    assert asyncio.run(run()).endswith(b"/r ")
    (line,) = caplog.messages
    assert line.startswith("a handshake of 127.0.0.1 was refused: ")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /r HTTP/1.1\r\nHost: k\r\nX: ",
        b"POST /r HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n",
        b"\r\n",
    ],
)
def test_a_request_that_drips_is_cut_however_it_goes_on(pki: Pki, start: bytes) -> None:
    """A head, a body, or empty lines, a byte at a time without end: the time of the whole request counts."""

    def drip(stream: Any) -> bytes:
        stream.sendall(start)
        filler = b"\r\n" if start == b"\r\n" else b"x"
        try:
            # an hour of it, if nobody cut it
            for _ in range(360_000):
                stream.sendall(filler)
                time.sleep(0.01)
        except (OSError, SSL.Error):
            return drained(stream)
        raise AssertionError("nobody cut it")

    async def run() -> bytes:
        async with serving(pki, Limits(idle_s=0.2, request_s=0.2, goodbye_s=0.1)) as port:
            stream = await asyncio.to_thread(connected, pki, port)
            return await asyncio.to_thread(drip, stream)

    assert asyncio.run(run()) == b""


def test_a_handshake_that_drips_is_cut(pki: Pki) -> None:
    """A hello of which a byte comes now and then does not hold its place."""

    def drip(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(b"\x16\x03\x01\x10\x00\x01")
            try:
                for _ in range(360_000):
                    raw.sendall(b"\x00")
                    time.sleep(0.01)
            except OSError:
                return b""
        raise AssertionError("nobody cut it")

    async def run() -> bytes:
        async with serving(pki, Limits(handshake_s=0.2)) as port:
            return await asyncio.to_thread(drip, port)

    assert asyncio.run(run()) == b""


def test_a_thousand_connections_leave_room_for_one_that_speaks(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Strangers beyond the number of handshakes cut each other; the log stays short, and a client is served."""
    caplog.set_level(logging.WARNING)
    limits = Limits(handshake_s=60.0, goodbye_s=0.1)

    async def run() -> bytes:
        async with serving(pki, limits) as port:
            one = partial(socket.create_connection, ("127.0.0.1", port), 10)
            bare = [await asyncio.to_thread(one) for _ in range(1000)]
            try:
                client = await asyncio.to_thread(connected, pki, port)
                client.sendall(CLOSING)
                return await asyncio.to_thread(drained, client)
            finally:
                for stranger in bare:
                    stranger.close()

    assert asyncio.run(run()).endswith(b"/r ")
    assert len(caplog.messages) <= 21


def test_one_identity_with_many_connections_gets_its_share(pki: Pki) -> None:
    """One SAE that opens connection after connection holds its share of them; another one is still served."""

    def hold(port: int) -> list[tls.BlockingTls]:
        context = tls.client_context(pki.of(Kind.SAE, "sae-a"))
        return [tls.connect(context, "127.0.0.1", port, timeout_s=10)[0] for _ in range(200)]

    def count(kept: list[tls.BlockingTls]) -> int:
        for one in kept:
            with contextlib.suppress(OSError, SSL.Error):
                one.sendall(CLOSING)
        return sum(drained(one).endswith(b"/r ") for one in kept)

    async def run() -> tuple[int, bytes]:
        async with serving(pki, Limits(of_one_identity=64, goodbye_s=0.1)) as port:
            kept = await asyncio.to_thread(hold, port)
            client = await asyncio.to_thread(connected, pki, port, "sae-b")
            client.sendall(CLOSING)
            answered = await asyncio.to_thread(drained, client)
            return await asyncio.to_thread(count, kept), answered

    alive, answered = asyncio.run(run())
    assert alive == 64
    assert answered.endswith(b"/r ")


def test_nothing_of_a_connection_stays_behind(pki: Pki) -> None:
    """Once it has ended, a connection is freed at once, not when the collector comes by: its buffers are large."""
    made: list[weakref.ref[Any]] = []

    class Noted(HttpProtocol):
        """A front that is noted."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Note it, and what is below."""
            assert isinstance(transport, TlsTransport)
            made.extend(weakref.ref(one) for one in (self, transport, transport._below))
            super().connection_made(transport)

    async def run() -> list[Any]:
        limits = Limits(goodbye_s=0.1)
        context, open_ones = tls.server_context(pki.of(Kind.KME, "kme-a")), Connections(limits)
        server = await asyncio.get_running_loop().create_server(
            lambda: TlsServerProtocol(
                context, lambda: Noted(lambda _, request: echo(request), limits, set()), limits, open_ones
            ),
            "127.0.0.1", 0,
        )  # fmt: skip
        for words in (CLOSING, b"nonsense\r\n\r\n", b""):
            stream = await asyncio.to_thread(connected, pki, server.sockets[0].getsockname()[1])
            stream.sendall(words)
            if words:
                await asyncio.to_thread(drained, stream)
            else:
                await asyncio.to_thread(stream.close)
        server.close()
        for _ in range(100):
            if not len(open_ones):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        return [ref() for ref in made]

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run()) == [None] * 9
    finally:
        gc.enable()


def test_places_are_kept_for_peers_and_operators(pki: Pki) -> None:
    """SAEs and modules fill all but the places that are kept: a KME still gets in, and one SAE more does not."""
    limits = Limits(connections=2, kept=1)
    connections = Connections(limits)

    async def run() -> None:
        ones = [
            TlsServerProtocol(tls.server_context(pki.of(Kind.KME, "kme-a")), asyncio.Protocol, limits, connections)
            for _ in range(3)
        ]
        connections.finish(ones[0], caller(Kind.SAE, "a"))
        with pytest.raises(PolicyDenied, match="too many"):
            connections.finish(ones[1], caller(Kind.SAE, "b"))
        connections.finish(ones[2], caller(Kind.KME, "kme-b"))

    def caller(kind: Kind, name: str) -> Peer:
        return Peer(identity=Identity(kind=kind, id=name), group="", cipher="", valid_until_s=math.inf)

    asyncio.run(run())
