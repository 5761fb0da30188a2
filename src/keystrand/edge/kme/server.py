"""As much of HTTP/1.1 as key delivery needs, and no more: GET and POST, Content-Length, answers in order.

Refused outright: other verbs (405), bodies over 64 KiB (413; another KME's may have 1 MiB), POST bodies that are not
JSON (415), long heads (431), chunked bodies, upgrades, other versions, targets that are no path, a second Host or
Content-Length, and whatever does not parse (400). HEAD is one of the other verbs: it never reaches a method that hands
out keys. A client has a limited time for each request and between two, and no connection outlives its certificate, the
revocation of that, or `Limits.age_s`.
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from math import inf
from typing import Any, cast

import httptools
from msgspec import Struct

from keystrand.edge.kme.transport import Deadline, Limits
from keystrand.edge.pki import Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Error

_log = logging.getLogger(__name__)

BODY_BYTES = 64 << 10
ASSIGN_BYTES = 1 << 20
"""What one KME tells another may be long: an assignment names every slice of its keys."""
_BETWEEN_KMES = b"/keystrand/v1/"
_HEAD_BYTES = 16 << 10
_HEADERS = 64
_WAITING_REQUESTS = 16
"""How many requests may wait behind one that is being answered before the connection is cut."""
_CLOSING = (400, 413, 431)
"""After these the position in the stream of requests is not known: the connection ends."""
_PATH = re.compile(rb"/[!\"$-~]*")
"""The origin-form of a target (RFC 9112, 3.2.1): visible ASCII without a fragment."""
_ONLY_ONCE = frozenset((b"content-length", b"content-type", b"host", b"transfer-encoding"))


class Request(Struct, frozen=True, kw_only=True):
    """A request that HTTP itself has no objection to. `method` is GET or POST, `target` a path with its query."""

    method: str
    target: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"<{self.method} {self.target!r}, {len(self.body)} bytes>"


class Response(Struct, frozen=True, kw_only=True):
    """An answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    def __repr__(self) -> str:
        return f"<{self.status}, {len(self.body)} bytes>"


Result = Response | Awaitable[Response]
"""A response, or what becomes one: a future costs less than a coroutine, which needs a task."""
Answer = Callable[[Peer, Request], Result]


def refuse(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an answer that carries a 014 Error."""
    return Response(status=status, body=etsi014.encode(Error(message=message)), headers=headers)


class _Refusal(Exception):
    """HTTP ends here: the answer to give."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Waiting(Struct, frozen=True):
    """A request, or what HTTP says instead of passing it on."""

    work: Request | Response
    keep_alive: bool
    head_only: bool = False


class HttpFront(asyncio.Protocol):
    """One connection's requests, answered one after the other. `running` holds the answers that are being made."""

    _who = "somebody"
    _body_of_kme = BODY_BYTES
    _valid_until_s = inf

    def __init__(self, limits: Limits, running: set[Any]) -> None:
        self._limits, self._running = limits, running
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Waiting] = deque()
        self._made: asyncio.Future[Response] | None = None
        self._drained, self._paused = True, False
        # no more is read; no more is written either
        self._deaf, self._over = False, False
        self._fed = 0
        # a request is under way, and its time does not run yet
        self._partial, self._untimed = False, False
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._head, self._fields, self._in_body = 0, 0, False

    # What a connection adds

    def _ask(self, request: Request) -> Result:
        """Return the answer or its future. Whatever it raises becomes a 503."""
        raise NotImplementedError

    def _denial(self) -> str:
        """Return why this connection gets no answer any more; empty where it does."""
        return ""

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._until_s = self._loop.time() + self._limits.age_s
        self._deadline = Deadline(self._transport.abort)
        self._deadline.set(self._limits.idle_s)

    def data_received(self, data: bytes) -> None:
        """Parse; a parser that has failed is fed no more."""
        if self._deaf:
            return
        busy = self._made is not None or not self._drained
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            inner = error.__context__
            self._end(inner.response if isinstance(inner, _Refusal) else refuse(400, "not a request of HTTP/1.1"))
        else:
            self._bound_fed()
        if busy:
            # what comes next waits in the client's memory, not in ours
            self._paused = True
            self._transport.pause_reading()
        else:
            self._serve()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        """Forget what waits; an answer that is being made goes on to its end, since keys are at stake."""
        self._deaf = self._over = True
        self._waiting.clear()
        self._deadline.cancel()
        del self._parser  # it holds what holds it

    def pause_writing(self) -> None:
        """Hold back further answers."""
        self._drained = False

    def resume_writing(self) -> None:
        """Go on answering."""
        self._drained = True
        self._serve()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._partial = self._untimed = True
        self._reset()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of those that matter only one may come."""
        name = name.lower()
        if name in _ONLY_ONCE:
            if name in self._headers:
                raise _Refusal(refuse(400, "a header appears twice"))
            self._headers[name] = value
        self._fields += 1
        if self._fields > _HEADERS:
            raise _Refusal(refuse(431, "the request has too many headers"))
        self._bound(len(name) + len(value))

    def _bound(self, octets: int) -> None:
        self._head += octets
        if self._head > _HEAD_BYTES:
            raise _Refusal(refuse(431, "the head of the request is too long"))

    def _bound_fed(self) -> None:
        """Bound what the parser keeps for itself until it is whole."""
        if self._fed > (_HEAD_BYTES + self._body_limit() if self._in_body else _HEAD_BYTES):
            self._end(refuse(431, "the head of the request is too long"))

    def on_headers_complete(self) -> None:
        """Refuse before the body comes what need not be read."""
        self._in_body = True
        if fault := self._fault():
            raise _Refusal(refuse(400, fault))
        if self._headers.get(b"content-length"):
            limit = self._body_limit()
            if int(self._headers[b"content-length"]) > limit:
                raise _Refusal(refuse(413, f"the body is longer than {limit} bytes"))

    def _fault(self) -> str:
        version = self._parser.get_http_version()
        if self._parser.should_upgrade():
            return "there is nothing to upgrade to"
        if b"transfer-encoding" in self._headers:
            return "send the body with Content-Length"
        if version not in ("1.1", "1.0"):
            return "not a request of HTTP/1.1"
        if version == "1.1" and b"host" not in self._headers:
            return "the Host header is missing"
        if not _PATH.fullmatch(self._target):
            return "the target must be a path"
        return ""

    def _body_limit(self) -> int:
        return self._body_of_kme if self._target.startswith(_BETWEEN_KMES) else BODY_BYTES

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; its length was bounded by the head."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Queue the request behind those before it."""
        if self._deaf:
            return
        self._partial = self._untimed = self._in_body = False
        self._fed = 0
        method = self._parser.get_method()
        body = b"".join(self._body)
        work = self._refused(method, body) or Request(method=method.decode(), target=self._target, body=body)
        keep = self._parser.should_keep_alive() and not (isinstance(work, Response) and work.status in _CLOSING)
        self._waiting.append(_Waiting(work, keep, method == b"HEAD"))
        if len(self._waiting) > _WAITING_REQUESTS:
            self._waiting.clear()
            self._deaf = self._over = True
            self._transport.abort()

    def _refused(self, method: bytes, body: bytes) -> Response | None:
        if method not in (b"GET", b"POST"):
            return refuse(405, "GET and POST only", (("Allow", "GET, POST"),))
        if not body:
            return None
        if method == b"GET":
            return refuse(400, "GET takes no body")
        if self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            return refuse(415, "the body must be application/json")
        return None

    # Answers, in order

    def _serve(self) -> None:
        while self._waiting and self._made is None and self._drained and not self._over:
            one = self._waiting.popleft()
            result = one.work if isinstance(one.work, Response) else self._result(one.work)
            if isinstance(result, Response):
                self._give(one, result)
            else:
                self._deadline.clear()
                self._await(one, result)
        if self._made is not None or self._over:
            return
        if self._untimed:
            # once for each request, however slowly its bytes come
            self._untimed = False
            self._deadline.set(self._limits.request_s)
        if self._paused and self._drained:
            self._paused = False
            self._transport.resume_reading()

    def _result(self, request: Request) -> Result:
        if denial := self._denial():
            self._valid_until_s = 0.0  # this answer is the last
            return refuse(401, denial)
        try:
            return self._ask(request)
        except Exception:
            return self._broken()

    def _await(self, one: _Waiting, result: Awaitable[Response]) -> None:
        self._made = made = asyncio.ensure_future(result)
        self._running.add(made)
        made.add_done_callback(lambda done: self._answered(one, done))

    def _answered(self, one: _Waiting, done: "asyncio.Future[Response]") -> None:
        self._running.discard(done)
        self._made = None
        if done.cancelled():
            self._over = True
            self._transport.abort()
            return
        response = self._broken(done.exception()) if done.exception() else done.result()
        if not self._over:
            self._give(one, response)
            self._serve()

    def _broken(self, error: BaseException | None = None) -> Response:
        _log.error("a request of %s failed", self._who, exc_info=error or True)
        return refuse(503, "error on server side")

    def _give(self, one: _Waiting, response: Response) -> None:
        keep_alive = one.keep_alive and self._loop.time() < self._until_s and time.time() < self._valid_until_s
        self._transport.write(_encoded(response, keep_alive=keep_alive, head_only=one.head_only))
        if keep_alive:
            self._deadline.set(self._limits.idle_s)
            return
        self._deaf = self._over = True
        self._waiting.clear()
        self._deadline.cancel()
        self._transport.close()

    def _end(self, response: Response) -> None:
        """Answer with `response` after all that waits, and end the connection."""
        self._deaf, self._partial, self._untimed = True, False, False
        self._waiting.append(_Waiting(response, keep_alive=False))


class HttpProtocol(HttpFront):
    """The requests of one TLS connection, answered by `answer`, until `denied` gives a reason against its peer."""

    def __init__(
        self, answer: Answer, limits: Limits, running: set[Any], denied: Callable[[Peer], str] | None = None
    ) -> None:
        super().__init__(limits, running)
        self._answer, self._denied = answer, denied

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who it is."""
        self._peer: Peer = transport.get_extra_info("peer")
        self._who, self._valid_until_s = self._peer.identity.urn, self._peer.valid_until_s
        if self._peer.identity.kind is Kind.KME:
            self._body_of_kme = ASSIGN_BYTES
        super().connection_made(transport)

    def _ask(self, request: Request) -> Result:
        return self._answer(self._peer, request)

    def _denial(self) -> str:
        denial = self._denied(self._peer) if self._denied else ""
        if denial:
            _log.warning("the connection of %s ends: %s", self._who, denial)
        return denial


@cache
def _status_lines(status: int, content_type: str) -> bytes:
    """Return what begins every answer of this kind, up to its length."""
    phrase = HTTPStatus(status).phrase
    fields = f"Content-Type: {content_type}\r\nCache-Control: no-store\r\nContent-Length: "
    return f"HTTP/1.1 {status} {phrase}\r\n{fields}".encode()


def _encoded(response: Response, *, keep_alive: bool, head_only: bool) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in response.headers) if response.headers else ""
    if not keep_alive:
        more += "Connection: close\r\n"
    start, body = _status_lines(response.status, response.content_type), response.body
    return b"%b%d\r\n%b\r\n%b" % (start, len(body), more.encode(), b"" if head_only else body)
