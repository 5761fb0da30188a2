"""The HTTP front and the TLS transport under it: however bytes arrive, answers come whole, in order, or not at all."""

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.edge import tls
from keystrand.edge.kme.server import HttpProtocol, Request, Response
from keystrand.edge.kme.transport import Connections, Limits, TlsServerProtocol
from keystrand.edge.pki import Identity, Kind, Pki, issue_pki
from keystrand.edge.tls import Peer
from keystrand.model.errors import PeerUnavailable

PEER = Peer(identity=Identity(kind=Kind.SAE, id="sae-a"), group="X25519MLKEM768", cipher="x", valid_until_s=inf)


CLOSING = b"GET /r HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written and whether it was ended."""

    def __init__(self, peer: Peer) -> None:
        super().__init__({"peer": peer})
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


def fed(
    pieces: list[bytes], answer: Callable[[Request], Response], *, peer: Peer = PEER, limits: Limits | None = None
) -> tuple[Wire, list[Request]]:
    """Feed a protocol and return its wire after everything it began is done, and what it passed on."""
    seen: list[Request] = []

    async def slow(_: Peer, request: Request) -> Response:
        seen.append(request)
        await asyncio.sleep(0)
        return answer(request)

    async def run() -> Wire:
        wire, running = Wire(peer), set[asyncio.Future[Response]]()
        protocol = HttpProtocol(slow, limits or Limits(), running)
        protocol.connection_made(wire)
        for piece in pieces:
            protocol.data_received(piece)
            while running:
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


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/3.0", "ICE/1.0"])
def test_other_versions_are_refused(version: str) -> None:
    """Only HTTP/1.0 and HTTP/1.1 are spoken: whatever else is claimed reaches no method."""
    wire, seen = fed([f"GET /r {version}\r\nHost: k\r\n\r\n".encode()], echo)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [400])


def test_a_version_that_is_left_out_is_refused() -> None:
    """The first line of HTTP/0.9 has none."""
    wire, seen = fed([b"GET /r\r\n\r\n"], echo)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [400])


@pytest.mark.parametrize(
    ("kind", "target", "status"),
    [
        (Kind.KME, "/keystrand/v1/assign", 200),
        (Kind.SAE, "/keystrand/v1/assign", 413),
        (Kind.MODULE, "/keystrand/v1/blocks", 413),
        (Kind.OPERATOR, "/keystrand/v1/assign", 413),
        (Kind.KME, "/keystrand/v1/blocks", 200),
        (Kind.KME, "/api/v1/keys/sae-b/enc_keys", 413),
        (Kind.KME, "/keystrand%2Fv1/assign", 413),
    ],
)
def test_only_a_kme_may_send_a_long_body_and_only_to_another(kind: Kind, target: str, status: int) -> None:
    """An assignment over many small blocks fits; nobody else, and nothing else, gets so much memory."""
    peer = replace(PEER, identity=Identity(kind=kind, id="x"))
    whole = request_bytes("POST", target, b"x" * (200 << 10))
    pieces = [whole[at : at + (16 << 10)] for at in range(0, len(whole), 16 << 10)]
    wire, _ = fed(pieces, lambda _: Response(status=200, body=b""), peer=peer)
    assert Answers(wire.written).statuses == [status]
    longer = f"POST {target} HTTP/1.1\r\nHost: k\r\nContent-Length: {(1 << 20) + 1}\r\n\r\n".encode()
    assert Answers(fed([longer], echo, peer=peer)[0].written).statuses == [413]


def test_no_connection_outlives_its_certificate_or_its_age() -> None:
    """The answer that finds the certificate expired, or the connection too old, is the last one."""
    for peer, limits, ends in (
        (PEER, Limits(), False),
        (replace(PEER, valid_until_s=time.time() - 1), Limits(), True),
        (PEER, Limits(age_s=0.0), True),
    ):
        wire, seen = fed([request_bytes("GET", "/r", b"") * 2], echo, peer=peer, limits=limits)
        assert (len(seen), wire.ended) == ((1, True) if ends else (2, False))
        assert (b"Connection: close\r\n" in wire.written) is ends


# The transport, over real sockets


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
        async with serving(pki, Limits(connections=1, goodbye_s=0.1)) as port:
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
        async with serving(pki, Limits(handshakes=2, connections=3, handshake_s=60.0, goodbye_s=0.1)) as port:
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

    answers = Answers(asyncio.run(run()))
    assert answers.bodies == [str(n).encode() * size for n in range(count)]


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
