"""The HTTP front under bytes nobody meant: it never raises, never answers out of order, passes on nothing odd."""

import asyncio
import itertools
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keystrand.edge.kme.server import BODY_BYTES, HttpProtocol, Request, Response, Result
from keystrand.edge.kme.transport import Limits
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.tls import Peer

PEER = Peer(identity=Identity(kind=Kind.SAE, id="sae-a"), group="X25519MLKEM768", cipher="x", valid_until_s=inf)
REFUSALS = {400, 405, 413, 415, 431}


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and refuses to be used after its end."""

    def __init__(self) -> None:
        super().__init__({"peer": PEER})
        self.written = bytearray()
        self.cut, self.closed, self.reading = False, False, True
        self.full, self.beyond = False, 0

    def write(self, data: Any) -> None:
        """Keep `data`. One that was being made may still come to a client that takes nothing."""
        assert not self.closed
        self.beyond += self.full
        assert self.beyond <= 1
        self.written += data

    def pause_reading(self) -> None:
        """Note it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        self.reading = True

    def close(self) -> None:
        """Note it."""
        assert not self.closed
        self.closed = True

    def abort(self) -> None:
        """Note it."""
        self.cut = self.closed = True


class Answers:
    """What was written, read by another parser: each answer's status and body."""

    def __init__(self, written: bytes | bytearray) -> None:
        self.found: list[tuple[int, bytes]] = []
        self._parser, self._body = httptools.HttpResponseParser(self), b""
        self._parser.feed_data(written)

    def on_headers_complete(self) -> None:
        """Begin one."""
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """Collect."""
        self._body += body

    def on_message_complete(self) -> None:
        """Note one."""
        self.found.append((self._parser.get_status_code(), self._body))


def answer_of(request: Request, number: int) -> Response:
    """Return an answer that tells which request it is for."""
    return Response(status=200, body=b"%d " % number + request.target)


class Fed:
    """A protocol that was fed `pieces`; by `choices` each answer comes at once or later, and the client is slow."""

    def __init__(self, pieces: list[bytes], choices: bytes) -> None:
        self.wire, self.seen = Wire(), list[Request]()
        self._choices = itertools.cycle(choices or b"\0")
        asyncio.run(self._run(pieces))

    def _answer(self, _: Peer, request: Request) -> Result:
        number = len(self.seen)
        self.seen.append(request)
        if next(self._choices) & 1:
            return answer_of(request, number)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(lambda: future.set_result(answer_of(request, number)))
        return future

    async def _run(self, pieces: list[bytes]) -> None:
        running = set[Any]()
        protocol = HttpProtocol(self._answer, Limits(), running)
        protocol.connection_made(self.wire)
        for piece in pieces:
            choice = next(self._choices)
            if choice & 2:
                self.wire.full = True
                protocol.pause_writing()
            protocol.data_received(piece)
            if choice & 4 or not self.wire.reading:
                await self._settle(running)
            if choice & 2:
                self.wire.full, self.wire.beyond = False, 0
                protocol.resume_writing()
        await self._settle(running)
        protocol.connection_lost(None)
        await asyncio.sleep(0)

    async def _settle(self, running: set[Any]) -> None:
        while running:
            await asyncio.wait(set(running))


def check(pieces: list[bytes], choices: bytes) -> Fed:
    """Feed `pieces` and assert what must hold whatever they are."""
    fed = Fed(pieces, choices)
    for request in fed.seen:
        assert request.method in ("GET", "POST")
        assert request.target.startswith(b"/")
        assert all(0x21 <= byte <= 0x7E and byte != 0x23 for byte in request.target)
        assert len(request.body) <= BODY_BYTES
        assert not (request.method == "GET" and request.body)
    if b"HEAD" in b"".join(pieces):
        return (
            fed  # the length of such an answer is that of a body which does not come: only its own client can read it
        )
    answers = Answers(fed.wire.written).found
    given_on = [body for status, body in answers if status == 200]
    expected = [answer_of(request, number).body for number, request in enumerate(fed.seen)]
    assert given_on == expected[: len(given_on)]
    assert len(given_on) == len(expected) or fed.wire.closed
    assert {status for status, _ in answers} <= {200, *REFUSALS}
    return fed


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    """Return `whole` in pieces."""
    marks = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[i:j] for i, j in itertools.pairwise(marks)]


GET = b"GET /r HTTP/1.1\r\nHost: k\r\n\r\n"
POST = b"POST /r HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
WORDS = (
    GET, POST, GET.replace(b"GET", b"HEAD"), POST.replace(b"POST", b"GET"), GET.replace(b"/r", b"http://k/r"),
    GET.replace(b"/r", b"*"), b"GET /r HTTP/1.1\r\nHost: k\r\n", b"POST /r HTTP/1.1\r\nHost: k\r\n", b"GET ", b"POST ",
    b"HEAD ", b"PUT ", b"/r", b" /a%2Fb?x=1", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"Host: k\r\n",
    b"Content-Length: 2\r\n", b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: application/json\r\n", b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"2\r\n{}\r\n0\r\n\r\n", b"\r\n{}", b"{}", b"\0", b" ", b": ", b"X", b"\xff", b"\r\n", b"\n", b"\r",
)  # fmt: skip
STREAM = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=24).map(b"".join)
PLACES = st.lists(st.integers(0, 1 << 16), max_size=8)
CHOICES = st.binary(min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(STREAM, PLACES, CHOICES)
@example(GET.replace(b"GET", b"HEAD") + GET, [], b"\0")
@example(GET * 40, [3], b"\7\0")
def test_no_bytes_upset_the_front(whole: bytes, at: list[int], choices: bytes) -> None:
    """Whatever comes, in whatever pieces and pace: no error, answers in order, only sound requests passed on."""
    check(cut(whole, at), choices)


REQUEST = st.tuples(
    st.sampled_from(["GET", "POST"]), st.from_regex(r"/[a-z%0-9/?=]{0,20}", fullmatch=True), st.binary(max_size=30)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=8), PLACES, CHOICES)
def test_a_sound_stream_is_answered_the_same_however_it_is_cut(
    requests: list[tuple[str, str, bytes]], at: list[int], choices: bytes
) -> None:
    """Differential: pieces, pace and back-pressure change nothing about the answers."""
    whole = b""
    for method, target, content in requests:
        body = content if method == "POST" else b""
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: k\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        whole += head.encode() + body
    one, other = check([whole], b"\1"), check(cut(whole, at), choices)
    assert one.wire.written == other.wire.written
    assert [(r.method, r.target, r.body) for r in one.seen] == [(r.method, r.target, r.body) for r in other.seen]
    assert len(one.seen) == len(requests)
    assert not one.wire.closed


@pytest.mark.system
def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path) -> None:
    """Atheris drives the same checks through the front's branches for 20,000 inputs."""
    pytest.importorskip("atheris")
    made = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.http_atheris", "-runs=20000", "-seed=1", "-max_len=400",
         f"-artifact_prefix={tmp_path}/"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    assert "Done 20000 runs" in made.stderr
