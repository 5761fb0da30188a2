"""The HTTP front and the TLS transport under it: however bytes arrive, answers come whole, in order, or not at all."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge import tls
from keystrand.edge.kme.server import HttpProtocol, Request, Response
from keystrand.edge.kme.transport import Limits, TlsServerProtocol
from keystrand.edge.pki import Identity, Kind, Pki, issue_pki
from keystrand.edge.tls import Peer
from keystrand.model.errors import PeerUnavailable

PEER = Peer(identity=Identity(kind=Kind.SAE, id="sae-a"), group="X25519MLKEM768", cipher="x")


class Wire(asyncio.Transport):
    """A transport that keeps what is written and whether it was ended."""

    def __init__(self) -> None:
        super().__init__({"peer": PEER})
        self.written = bytearray()
        self.ended = False
        self.reading = True

    def write(self, data: Any) -> None:
        """Keep `data`."""
        self.written += data

    def pause_reading(self) -> None:
        """Note it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        self.reading = True

    def close(self) -> None:
        """Note it."""
        self.ended = True

    def abort(self) -> None:
        """Note it."""
        self.ended = True


class Answers:
    """Parses answers with httptools, an independent reader of what we write."""

    def __init__(self, written: bytes | bytearray) -> None:
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._parser.feed_data(written)

    def on_body(self, body: bytes) -> None:
        """Collect."""
        self._body += body

    def on_message_complete(self) -> None:
        """Note one answer."""
        self.statuses.append(self._parser.get_status_code())
        self.bodies.append(self._body)
        self._body = b""


def fed(pieces: list[bytes], answer: Callable[[Request], Response]) -> tuple[Wire, list[Request]]:
    """Feed a protocol and return its wire after everything it began is done, and what it passed on."""
    seen: list[Request] = []

    async def slow(_: Peer, request: Request) -> Response:
        seen.append(request)
        await asyncio.sleep(0)
        return answer(request)

    async def run() -> Wire:
        wire, running = Wire(), set[asyncio.Task[None]]()
        protocol = HttpProtocol(slow, Limits(), running)
        protocol.connection_made(wire)
        for piece in pieces:
            protocol.data_received(piece)
            if running:
                await asyncio.wait(set(running))
        protocol.connection_lost(None)
        return wire

    return asyncio.run(run()), seen


def echo(request: Request) -> Response:
    """Answer with the target and the body."""
    return Response(status=200, body=request.target + b" " + request.body)


def request_bytes(method: str, target: str, body: bytes) -> bytes:
    """Return a request as a client would write it."""
    kind = "Content-Type: application/json\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: k\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    """Return `whole` in pieces."""
    marks = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[i:j] for i, j in itertools.pairwise(marks)]


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "POST"]), st.binary(max_size=20)), min_size=1, max_size=6),
    st.lists(st.integers(0, 2000), max_size=12),
)
def test_answers_come_in_order_however_the_bytes_are_cut(exchanges: list[tuple[str, bytes]], at: list[int]) -> None:
    """Any sequence of requests, in any pieces, is answered whole and in order."""
    wanted = [(m, f"/r{n}", body if m == "POST" else b"") for n, (m, body) in enumerate(exchanges)]
    wire, seen = fed(cut(b"".join(request_bytes(*one) for one in wanted), at), echo)
    assert [(r.method, r.target.decode(), r.body) for r in seen] == wanted
    assert Answers(wire.written).bodies == [f"{target} ".encode() + body for _, target, body in wanted]
    assert not wire.ended


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_garbage_is_refused_or_waited_for(pieces: list[bytes], after_a_start: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
    """No bytes make the server raise; whatever it answers is a refusal and the end."""
    if after_a_start:
        pieces = [b"GET /r HTTP/1.1\r\n", *pieces]
    wire, seen = fed(pieces, echo)
    if not seen:
        assert set(Answers(wire.written).statuses) <= {400, 405, 431}


def test_a_fault_of_ours_is_503_without_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """An exception while answering tells the client nothing and the log where it was."""

    def fail(_: Request) -> Response:
        raise RuntimeError("inner matter")

    wire, _ = fed([request_bytes("GET", "/r", b"")], fail)
    assert Answers(wire.written).statuses == [503]
    assert b"inner matter" not in wire.written
    assert "urn:keystrand:sae:sae-a" in caplog.text


def test_requests_and_answers_print_without_their_bodies() -> None:
    """What may hold keys has no text form that shows it."""
    request = Request(method="POST", target=b"/r", body=b"secret")
    assert "secret" not in repr((request, Response(status=200, body=b"secret")))


def test_too_many_requests_in_one_breath_cut_the_connection() -> None:
    """A client cannot queue up work without end."""
    wire, seen = fed([request_bytes("GET", "/r", b"") * 100], echo)
    assert wire.ended
    assert len(seen) <= 1


def test_http_1_0_and_close_end_the_connection() -> None:
    """Where the client does not keep the connection, neither do we."""
    for head in ("GET /r HTTP/1.0\r\n\r\n", "GET /r HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n"):
        wire, seen = fed([head.encode()], echo)
        assert (len(seen), wire.ended) == (1, True)
        assert b"Connection: close\r\n" in wire.written


# The transport, over real sockets


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return a PKI."""
    folder: Path = tmp_path_factory.mktemp("pki") / "made"
    return issue_pki(folder, kmes=["kme-a"], saes=["sae-a"], modules=[], days=1, now=datetime.now(UTC))


@asynccontextmanager
async def serving(pki: Pki, limits: Limits, answer: Callable[[Request], Response] = echo) -> AsyncIterator[int]:
    """Serve `answer` over TLS and give the port."""
    context = tls.server_context(pki.of(Kind.KME, "kme-a"))
    open_ones, running = set[TlsServerProtocol](), set[asyncio.Task[None]]()

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
        for one in set(open_ones):
            one.abort()
        # each is told that it is lost in the loop's next round
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def connected(pki: Pki, port: int) -> tls.BlockingTls:
    """Return a client's connection."""
    context = tls.client_context(pki.of(Kind.SAE, "sae-a"))
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


def test_silence_is_not_waited_for_without_end(pki: Pki) -> None:
    """A client that shakes no hands, sends nothing, or half a request is let go."""

    async def run() -> list[bytes]:
        async with serving(pki, Limits(handshake_s=0.1, idle_s=0.1, request_s=0.1, goodbye_s=0.1)) as port:
            mute = socket.create_connection(("127.0.0.1", port), timeout=10)
            idle = await asyncio.to_thread(connected, pki, port)
            got = [await asyncio.to_thread(drained, mute), await asyncio.to_thread(drained, idle)]
            half = await asyncio.to_thread(connected, pki, port)
            half.sendall(b"GET /r HT")
            return [*got, await asyncio.to_thread(drained, half)]

    assert asyncio.run(run()) == [b"", b"", b""]


def test_connections_are_counted(pki: Pki) -> None:
    """Beyond the cap a connection is cut at once; when one ends there is room again."""

    async def run() -> tuple[bytes, bytes]:
        async with serving(pki, Limits(connections=1, goodbye_s=0.1)) as port:
            first = await asyncio.to_thread(connected, pki, port)
            second = socket.create_connection(("127.0.0.1", port), timeout=10)
            over = await asyncio.to_thread(drained, second)
            first.sendall(b"GET /r HTTP/1.1\r\nConnection: close\r\n\r\n")
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

    answers = Answers(asyncio.run(run()))
    assert answers.bodies == [str(n).encode() * size for n in range(count)]


def test_broken_tls_ends_only_its_own_connection(pki: Pki) -> None:
    """Bytes that are no TLS end in an alert; the next client is served."""

    async def run() -> bytes:
        async with serving(pki, Limits(goodbye_s=0.1)) as port:
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            await asyncio.to_thread(drained, raw)
            stream = await asyncio.to_thread(connected, pki, port)
            stream.sendall(b"GET /r HTTP/1.1\r\nConnection: close\r\n\r\n")
            return await asyncio.to_thread(drained, stream)

    assert asyncio.run(run()).endswith(b"/r ")
