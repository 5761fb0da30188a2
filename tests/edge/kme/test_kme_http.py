"""The HTTP front: however bytes arrive, answers come whole, in order, or not at all."""

import asyncio
import http.client
import itertools
import time
from collections.abc import Callable
from math import inf
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.edge.kme.plain import serve_plain
from keystrand.edge.kme.server import HttpProtocol, Request, Response, Result
from keystrand.edge.kme.transport import Limits
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.tls import Peer
from keystrand.model.errors import InvalidInput, StoreFailure

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


def at_once(answer: Callable[[Request], Response], request: Request) -> Result:
    """Answer without waiting."""
    return answer(request)


def by_future(answer: Callable[[Request], Response], request: Request) -> Result:
    """Answer in the next round of the loop."""
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    future.get_loop().call_soon(lambda: future.set_result(answer(request)))
    return future


async def by_coroutine(answer: Callable[[Request], Response], request: Request) -> Response:
    """Answer after a while."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return answer(request)


WAYS = (at_once, by_future, by_coroutine)


def fed(
    pieces: list[bytes],
    answer: Callable[[Request], Response],
    *,
    peer: Peer = PEER,
    limits: Limits | None = None,
    way: Callable[[Callable[[Request], Response], Request], Result] = by_coroutine,
    denied: Callable[[Peer], str] | None = None,
) -> tuple[Wire, list[Request]]:
    """Feed a protocol and return its wire after everything it began is done, and what it passed on."""
    seen: list[Request] = []

    def pass_on(_: Peer, request: Request) -> Result:
        seen.append(request)
        return way(answer, request)

    async def run() -> Wire:
        wire, running = Wire(peer), set[asyncio.Future[Response]]()
        protocol = HttpProtocol(pass_on, limits or Limits(), running, denied)
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
    st.sampled_from(WAYS),
)
def test_answers_come_in_order_however_the_bytes_are_cut(
    exchanges: list[tuple[str, bytes]], at: list[int], way: Callable[..., Result]
) -> None:
    """Any sequence of requests, in any pieces, is answered whole and in order, at once or later."""
    wanted = [(m, f"/r{n}", body if m == "POST" else b"") for n, (m, body) in enumerate(exchanges)]
    wire, seen = fed(cut(b"".join(request_bytes(*one) for one in wanted), at), echo, way=way)
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


@pytest.mark.parametrize("way", WAYS[::2])
def test_a_fault_of_ours_is_503_without_its_reason(
    caplog: pytest.LogCaptureFixture, way: Callable[..., Result]
) -> None:
    """An exception while answering tells the client nothing and the log where it was."""

    def fail(_: Request) -> Response:
        raise RuntimeError("inner matter")

    wire, _ = fed([request_bytes("GET", "/r", b"")], fail, way=way)
    assert Answers(wire.written).statuses == [503]
    assert "RuntimeError" in caplog.text
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


# What HTTP leaves open


@pytest.mark.parametrize(
    "head",
    [
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nTransfer-Encoding:\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 2, 2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: +2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: -2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 0x2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 1 1\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 1_0\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: \r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length: 18446744073709551618\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\nContent-Length : 2\r\n\r\n",
        "POST /r HTTP/1.1\r\nHost: k\r\n Content-Length: 2\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nX: a\r\n b\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nX: a\r\n\tb\r\n\r\n",
        "GET /r HTTP/1.1\nHost: k\n\n",
        "GET /r HTTP/1.1\r\nHost: k\nX: a\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\rX: a\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nX: \x00\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\n: a\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nX y: a\r\n\r\n",
        "GET /r HTTP/1.1\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nHost: k\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nhost: other\r\n\r\n",
        "GET http://k/r HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET https://k:1/r HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET r HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /r#f HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /r\tx HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /r\x7f HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /\xe9 HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: k\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: k\r\n\r\n",
        "CONNECT k:1 HTTP/1.1\r\nHost: k\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "get /r HTTP/1.1\r\nHost: k\r\n\r\n",
        "GET /r HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_what_is_ambiguous_is_refused_and_ends_the_connection(head: str, step: int) -> None:
    """Two readers could differ about it: 400, the end, and nothing of it or after it is passed on."""
    whole = head.encode("latin-1") + b"{}" + request_bytes("GET", "/smuggled", b"")
    wire, seen = fed([whole[at : at + step] for at in range(0, len(whole), step)], echo, way=at_once)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [400])


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_verbs_reach_no_method(method: str) -> None:
    """405 with the verbs there are; HEAD gets the head of that answer only, and the next request its own answer."""
    wire, seen = fed([request_bytes(method, "/r", b""), request_bytes("GET", "/next", b"")], echo)
    head, _, rest = bytes(wire.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"Allow: GET, POST" in head
    assert rest.startswith(b"HTTP/1.1 200" if method == "HEAD" else b'{"message":')
    assert [request.target for request in seen] == [b"/next"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ("text/plain", 415),
        ("application/json5", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_a_body_must_be_json_by_its_own_word(kind: str, status: int) -> None:
    """Another content type, or none, is refused; the connection goes on."""
    field = f"Content-Type: {kind}\r\n" if kind else ""
    whole = f"POST /r HTTP/1.1\r\nHost: k\r\n{field}Content-Length: 2\r\n\r\n{{}}".encode()
    wire, _ = fed([whole + request_bytes("GET", "/next", b"")], echo)
    assert Answers(wire.written).statuses == [status, 200]


def test_a_body_of_ten_megabytes_is_refused_by_its_head() -> None:
    """413 before the body comes; what comes of it all the same is dropped."""
    head = b"POST /r HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n"
    wire, seen = fed([head, *([b"x" * 65536] * 160), request_bytes("GET", "/smuggled", b"")], echo)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [413])


def test_bytes_after_a_body_are_the_next_request_or_none() -> None:
    """A body is as long as it said: the first request is answered, what follows is judged alone."""
    wire, seen = fed([request_bytes("POST", "/r", b"{}") + b"{}"], echo)
    assert ([r.body for r in seen], wire.ended, Answers(wire.written).statuses) == ([b"{}"], True, [200, 400])
    wire, seen = fed([request_bytes("POST", "/r", b"{}") + b"\r\n" + request_bytes("GET", "/next", b"")], echo)
    assert [request.target for request in seen] == [b"/r", b"/next"]


def test_a_get_with_a_body_is_refused() -> None:
    """Its meaning is undefined (RFC 9110, 9.3.1)."""
    wire, seen = fed([request_bytes("GET", "/r", b"{}")], echo)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [400])


@pytest.mark.parametrize("target", ["/a%2Fb", "/a%2fb%00%0d%0a?x=%26", "/a//b/../c;d", "/?", "/" + "a" * 8000])
def test_a_target_is_passed_on_as_it_came(target: str) -> None:
    """Nothing is decoded or made normal here: escapes are for who knows what they escape."""
    wire, seen = fed(cut(request_bytes("GET", target, b""), [3, 9, 11]), echo)
    assert [request.target for request in seen] == [target.encode()]
    assert not wire.ended


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("X: a\r\n" * 62, 200),
        ("X: a\r\n" * 63, 431),
        ("X:\r\n" * 5000, 431),
        ("X: " + "a" * 15_000 + "\r\n", 200),
        ("X: " + "a" * 17_000 + "\r\n", 431),
        ("a" * 17_000 + ": x\r\n", 431),
    ],
)
@pytest.mark.parametrize("step", [97, 100_000])
def test_the_head_has_limits(fields: str, status: int, step: int) -> None:
    """64 headers, and 16 KiB of all together."""
    whole = f"GET /r HTTP/1.1\r\nHost: k\r\n{fields}X: a\r\n\r\n".encode()
    wire, seen = fed([whole[at : at + step] for at in range(0, len(whole), step)], echo)
    assert Answers(wire.written).statuses == [status]
    assert (len(seen), wire.ended) == ((1, False) if status == 200 else (0, True))


@pytest.mark.parametrize("junk", [b"\r\n", b"GET /", b"GET /r HTTP/1.1\r\nHost: k\r\nX: "])
def test_a_head_without_end_is_refused(junk: bytes) -> None:
    """Line ends before a request, a target or a value that never ends: bounded memory, then 431."""
    filler = junk if junk == b"\r\n" else b"a"
    wire, seen = fed([junk, *([filler * 1000] * 40)], echo)
    assert (seen, wire.ended, Answers(wire.written).statuses) == ([], True, [431])


# The life of a connection


def test_a_denied_peer_gets_one_refusal_and_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is passed on once there is a reason against the peer: 401 with it, and the connection ends."""
    reasons = iter(["", "the certificate of this connection was revoked"])
    requests = b"".join(request_bytes("GET", f"/{n}", b"") for n in range(4))
    wire, seen = fed([requests], echo, denied=lambda _: next(reasons))
    answers = Answers(wire.written)
    assert ([r.target for r in seen], wire.ended, answers.statuses) == ([b"/0"], True, [200, 401])
    assert b"revoked" in answers.bodies[1]
    assert "urn:keystrand:sae:sae-a" in caplog.text


def test_an_answer_that_is_given_up_cuts_the_connection() -> None:
    """Where the making of an answer is cancelled there is none to give."""

    def give_up(_: Callable[[Request], Response], __: Request) -> Result:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        future.cancel()
        return future

    wire, _ = fed([request_bytes("GET", "/r", b"")], echo, way=give_up)
    assert (bytes(wire.written), wire.ended) == (b"", True)


def test_an_answer_is_made_to_its_end_though_its_client_has_gone() -> None:
    """Keys are at stake: what was begun goes on, and nothing is written to who is not there."""

    async def run() -> tuple[Wire, list[str]]:
        made: list[str] = []

        async def slow(_: Peer, __: Request) -> Response:
            await asyncio.sleep(0.01)
            made.append("to its end")
            return Response(status=200, body=b"")

        wire, running = Wire(PEER), set[Any]()
        protocol = HttpProtocol(slow, Limits(), running)
        protocol.connection_made(wire)
        protocol.data_received(request_bytes("GET", "/r", b""))
        (begun,) = running
        protocol.connection_lost(None)
        await begun
        await asyncio.sleep(0)
        assert not running
        return wire, made

    wire, made = asyncio.run(run())
    assert (bytes(wire.written), made) == (b"", ["to its end"])


def test_no_more_is_read_while_there_is_enough_to_do() -> None:
    """What comes while an answer is being made is taken once, and then waits with the client."""

    async def run() -> None:
        go_on = asyncio.Event()

        async def slow(_: Peer, request: Request) -> Response:
            await go_on.wait()
            return echo(request)

        wire, running = Wire(PEER), set[Any]()
        protocol = HttpProtocol(slow, Limits(), running)
        protocol.connection_made(wire)
        protocol.data_received(request_bytes("GET", "/0", b""))
        assert wire.reading
        protocol.data_received(request_bytes("GET", "/1", b""))
        assert not wire.reading
        go_on.set()
        while running:
            await asyncio.wait(set(running))
            await asyncio.sleep(0)
        assert wire.reading
        protocol.pause_writing()
        protocol.data_received(request_bytes("GET", "/2", b""))
        assert not wire.reading
        assert Answers(wire.written).bodies == [b"/0 ", b"/1 "]
        protocol.resume_writing()
        while running:
            await asyncio.wait(set(running))
            await asyncio.sleep(0)
        assert wire.reading
        assert Answers(wire.written).bodies == [b"/0 ", b"/1 ", b"/2 "]
        protocol.connection_lost(None)

    asyncio.run(run())


def test_answers_say_what_they_are() -> None:
    """Status, length, type and no storing; headers of the answer's own."""
    made = Response(status=503, body=b"x", headers=(("Retry-After", "1"),), content_type="text/plain")
    wire, _ = fed([request_bytes("GET", "/r", b"")], lambda _: made)
    assert bytes(wire.written) == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
        b"Content-Length: 1\r\nRetry-After: 1\r\n\r\nx"
    )


# Without TLS, on loopback


def asked(port: int, method: str, target: str) -> tuple[int, str, bytes]:
    """Return status, content type and body of an answer, by Python's own client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, target)
    answer = connection.getresponse()
    made = answer.status, answer.headers["Content-Type"], answer.read()
    connection.close()
    return made


def test_health_and_metrics_are_asked_without_tls() -> None:
    """The same front serves a loopback address; other verbs reach nothing there either."""

    async def answer(request: Request) -> Response:
        return Response(status=200, body=request.target, content_type="text/plain; version=0.0.4")

    async def run() -> list[tuple[int, str, bytes]]:
        listener = await serve_plain(answer, Limits())
        try:
            words = (("GET", "/metrics"), ("HEAD", "/metrics"), ("DELETE", "/health"))
            return [await asyncio.to_thread(asked, listener.port, *one) for one in words]
        finally:
            listener.close()
            await asyncio.sleep(0.01)

    got, head, deleted = asyncio.run(run())
    assert got == (200, "text/plain; version=0.0.4", b"/metrics")
    assert (head[0], head[2]) == (405, b"")
    assert deleted[0] == 405


def test_the_listener_without_tls_is_for_this_machine_only() -> None:
    """Another address is refused, a taken port told; beyond its number a connection is cut."""

    async def run() -> None:
        for host in ("0.0.0.0", "192.0.2.1", "localhost", ""):  # noqa: S104  # that is the point
            with pytest.raises(InvalidInput, match="loopback"):
                await serve_plain(echo, Limits(), host=host)
        listener = await serve_plain(echo, Limits(connections=1))
        with pytest.raises(StoreFailure, match="cannot listen"):
            await serve_plain(echo, Limits(), port=listener.port)
        first = await asyncio.open_connection("127.0.0.1", listener.port)
        first[1].write(request_bytes("GET", "/r", b""))
        assert (await first[0].readline()).startswith(b"HTTP/1.1 200")
        second = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await second[0].read() == b""
        listener.close()
        for _, writer in (first, second):
            writer.close()
        await asyncio.sleep(0.01)

    asyncio.run(run())
