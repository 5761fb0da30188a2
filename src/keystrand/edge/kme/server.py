"""As much of HTTP/1.1 as key delivery needs, and no more: GET and POST, Content-Length, answers in order.

Refused outright: other verbs (405), bodies over 64 KiB (413; a KME's assignment may be longer), POST bodies that are
not JSON (415), long heads (431), chunked bodies, upgrades, other versions and whatever does not parse (400). HEAD is
one of the other verbs: it never reaches a method that hands out keys. A client has a limited time for each request and
between two, and no connection outlives its certificate or `Limits.age_s`.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import httptools
from msgspec import Struct

from keystrand.edge.kme.messages import ASSIGN_URL
from keystrand.edge.kme.transport import Limits
from keystrand.edge.pki import Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Error

_log = logging.getLogger(__name__)

BODY_BYTES = 64 << 10
ASSIGN_BYTES = 1 << 20
"""An assignment names every slice of its keys: more than the longest of `messages.SLICES` slices and 1024 key IDs."""
_HEAD_BYTES = 16 << 10
_WAITING_REQUESTS = 16
"""How many requests may wait behind one that is being answered before the connection is cut."""
_CLOSING = (400, 413, 431)
"""After these the position in the stream of requests is not known: the connection ends."""


class Request(Struct, frozen=True, kw_only=True):
    """A request that HTTP itself has no objection to. `method` is GET or POST."""

    method: str
    target: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"<{self.method} {self.target!r}, {len(self.body)} bytes>"


class Response(Struct, frozen=True, kw_only=True):
    """An answer: JSON always."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<{self.status}, {len(self.body)} bytes>"


Answer = Callable[[Peer, Request], Awaitable[Response]]


def refuse(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an answer that carries a 014 Error."""
    return Response(status=status, body=etsi014.encode(Error(message=message)), headers=headers)


class _Refusal(Exception):
    """HTTP ends here: the answer to give."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Waiting(Struct, frozen=True, kw_only=True):
    """A request, or what HTTP says instead of passing it on."""

    work: Request | Response
    keep_alive: bool
    head_only: bool = False


class HttpProtocol(asyncio.Protocol):
    """One connection's requests, answered one after the other by `answer`. `running` holds the answers being made."""

    def __init__(self, answer: Answer, limits: Limits, running: set[asyncio.Task[None]]) -> None:
        self._answer, self._limits, self._running = answer, limits, running
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Waiting] = deque()
        self._busy, self._ended, self._fed = False, False, 0
        self._timer: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._head = 0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # TlsTransport is one
        self._transport = transport
        self._peer: Peer = transport.get_extra_info("peer")
        self._until_s = asyncio.get_running_loop().time() + self._limits.age_s
        self._arm(self._limits.idle_s)

    def data_received(self, data: bytes) -> None:
        """Parse; a parser that has failed is fed no more."""
        if self._ended:
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            inner = error.__context__
            self._end(inner.response if isinstance(inner, _Refusal) else refuse(400, "not a request of HTTP/1.1"))
        if self._fed > _HEAD_BYTES + self._body_limit() and not self._ended:
            self._end(refuse(431, "the head of the request is too long"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        """Forget what waits; an answer that is being made goes on to its end, since keys are at stake."""
        self._ended = True
        self._waiting.clear()
        self._drained.set()
        self._disarm()

    def pause_writing(self) -> None:
        """Hold back further answers."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """Go on answering."""
        self._drained.set()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Give the request its time."""
        self._reset()
        if not self._busy:
            self._arm(self._limits.request_s)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of those that matter only one may come."""
        name = name.lower()
        if name in self._headers and name in (b"content-length", b"content-type", b"transfer-encoding"):
            raise _Refusal(refuse(400, "a header appears twice"))
        self._headers[name] = value
        self._bound(len(name) + len(value))

    def _bound(self, octets: int) -> None:
        self._head += octets
        if self._head > _HEAD_BYTES:
            raise _Refusal(refuse(431, "the head of the request is too long"))

    def on_headers_complete(self) -> None:
        """Refuse before the body comes what need not be read."""
        if self._parser.should_upgrade():
            raise _Refusal(refuse(400, "there is nothing to upgrade to"))
        if b"transfer-encoding" in self._headers:
            raise _Refusal(refuse(400, "send the body with Content-Length"))
        if self._parser.get_http_version() not in ("1.0", "1.1"):
            raise _Refusal(refuse(400, "not a request of HTTP/1.1"))
        limit = self._body_limit()
        if int(self._headers.get(b"content-length", b"0")) > limit:
            raise _Refusal(refuse(413, f"the body is longer than {limit} bytes"))

    def _body_limit(self) -> int:
        of_kme = self._peer.identity.kind is Kind.KME and self._target == ASSIGN_URL.encode()
        return ASSIGN_BYTES if of_kme else BODY_BYTES

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; its length was bounded by the head."""
        self._body += body

    def on_message_complete(self) -> None:
        """Queue the request behind those before it."""
        if self._ended:
            return
        self._fed = 0
        self._disarm()
        method = self._parser.get_method().decode()
        work = self._refused(method) or Request(method=method, target=self._target, body=bytes(self._body))
        keep = self._parser.should_keep_alive() and not (isinstance(work, Response) and work.status in _CLOSING)
        self._waiting.append(_Waiting(work=work, keep_alive=keep, head_only=method == "HEAD"))
        self._reset()
        if len(self._waiting) > _WAITING_REQUESTS:
            self._ended = True
            self._waiting.clear()
            self._transport.abort()
            return
        self._start()

    def _refused(self, method: str) -> Response | None:
        if method not in ("GET", "POST"):
            return refuse(405, "GET and POST only", (("Allow", "GET, POST"),))
        kind = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if method == "POST" and self._body and kind != b"application/json":
            return refuse(415, "the body must be application/json")
        if method == "GET" and self._body:
            return refuse(400, "GET takes no body")
        return None

    # Answers, in order

    def _start(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        self._transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._serve())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self) -> None:
        while self._waiting:
            self._disarm()
            next_one = self._waiting.popleft()
            response = await self._made(next_one.work)
            keep_alive = next_one.keep_alive and not self._outlived()
            self._write(response, keep_alive=keep_alive, head_only=next_one.head_only)
            if not keep_alive:
                self._ended = True
                self._transport.close()
                return
            self._arm(self._limits.idle_s)
            await self._drained.wait()
        self._busy = False
        if not self._ended:
            self._transport.resume_reading()

    def _outlived(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until_s or time.time() >= self._peer.valid_until_s

    async def _made(self, work: Request | Response) -> Response:
        if isinstance(work, Response):
            return work
        try:
            return await self._answer(self._peer, work)
        except Exception:
            _log.exception("a request of %s failed", self._peer.identity.urn)
            return refuse(503, "error on server side")

    def _end(self, response: Response) -> None:
        """Answer with `response` after all that waits, and end the connection."""
        self._ended = True
        self._disarm()
        self._waiting.append(_Waiting(work=response, keep_alive=False))
        self._start()

    def _write(self, response: Response, *, keep_alive: bool, head_only: bool) -> None:
        fields = (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
            *response.headers,
            *(() if keep_alive else (("Connection", "close"),)),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"HTTP/1.1 {response.status} {_phrase(response.status)}\r\n{lines}\r\n"
        self._transport.write(head.encode() + (b"" if head_only else response.body))

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
