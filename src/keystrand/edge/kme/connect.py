"""The client's end of TLS under asyncio, and a kept connection that carries one HTTP exchange at a time.

An exchange is never repeated by itself: keys are handed out once, so what is in doubt stays in doubt and says so.
"""

import asyncio
import re
import select
import time
from collections.abc import Callable
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools
from OpenSSL import SSL

from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.transport import Deadline, Limits, TlsProtocol
from keystrand.edge.tls import Peer, check_server, established, is_address
from keystrand.formats.host_names import a_labels
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied
from keystrand.model.words import shown

ANSWER_BYTES = 4 << 20
"""More than the longest answer: 1024 keys of 4096 bits in base64 with their IDs."""
_HEAD_BYTES = 16 << 10
_KEEP_S = 20.0
"""How long an unused connection is trusted to be alive: below the server's idle limit."""
_PATH = re.compile(r"/[!-~]*")


class TlsClientProtocol(TlsProtocol):
    """The client's end of one connection to the KME at `host`. `opened` becomes who it is, or why it is not used."""

    def __init__(
        self,
        context: SSL.Context,
        application: Callable[[], asyncio.Protocol],
        limits: Limits,
        host: str,
        *,
        kme_id: str,
        require_post_quantum: bool,
    ) -> None:
        tls = SSL.Connection(context, None)
        tls.set_connect_state()
        if not is_address(host):
            tls.set_tlsext_host_name(a_labels(host).encode("ascii"))
        super().__init__(tls, application, limits)
        self._host, self._kme_id, self._require = host, kme_id, require_post_quantum
        self.opened: asyncio.Future[tuple[asyncio.Transport, Peer]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        super().connection_made(transport)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for the handshake."""
        self._refused(str(exc or "the peer closed the connection"))
        super().connection_lost(exc)

    def _accept(self) -> Peer:
        peer = established(self._tls)
        check_server(self._tls, peer, host=self._host, kme_id=self._kme_id, require_post_quantum=self._require)
        return peer

    def _begin(self) -> None:
        super()._begin()
        if not self.opened.done():
            self.opened.set_result((self.transport, self.transport.get_extra_info("peer")))

    def _refused(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(PolicyDenied(why))

    def give_up(self) -> None:
        """Cut the connection, whatever became of it."""
        if not self.opened.cancel() and not self.opened.cancelled():
            self.opened.exception()  # it counts as heard of
        if hasattr(self, "tcp"):
            self.abort()


async def open_tls(
    context: SSL.Context,
    host: str,
    port: int,
    application: Callable[[], asyncio.Protocol],
    *,
    kme_id: str = "",
    require_post_quantum: bool = True,
    limits: Limits | None = None,
) -> tuple[asyncio.Transport, Peer]:
    """Connect what `application` makes to the KME at `host` and `port`; return its transport, and who the KME is.

    The server's verified certificate must be a KME's, cover `host`, and name `kme_id` where that is given.
    `Limits.handshake_s` bounds all of it. Raises `PeerUnavailable` where any of it fails, or where the group is not
    post-quantum and `require_post_quantum` is set: then nothing of the application has been sent.
    """
    limits = limits or Limits()
    below = TlsClientProtocol(
        context, application, limits, host, kme_id=kme_id, require_post_quantum=require_post_quantum
    )  # fmt: skip
    return await opened(below, host, port, limits)


async def opened(below: TlsClientProtocol, host: str, port: int, limits: Limits) -> tuple[asyncio.Transport, Peer]:
    """Connect `below` as `open_tls` does. Raises as it does."""
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(limits.handshake_s):
            await asyncio.get_running_loop().create_connection(lambda: below, host, port)
            return await below.opened
    except BaseException as error:
        below.give_up()
        if isinstance(error, PolicyDenied):
            raise PeerUnavailable(f"no trusted connection to {place}: {error.message}") from error
        if isinstance(error, OSError):
            reason = "it took too long" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise PeerUnavailable(f"{place} cannot be reached: {reason}") from error
        raise


class _Unanswered(Exception):
    """There is no answer to wait for any more: why."""


class _Exchanges(asyncio.Protocol):
    """The client's half of HTTP/1.1: one request, one answer whose length is told; anything else ends it."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._deadline = Deadline(lambda: self._fail("it took too long"))
        self._start = bytearray()
        self._body: list[bytes] = []
        self._length, self._got = -1, 0
        self._answer: tuple[int, bytes] | None = None
        self._last = False
        self.over = False
        """Whether this connection carries no further exchange."""

    # What the caller asks

    def ask(self, request: bytes, timeout_s: float) -> "asyncio.Future[tuple[int, bytes]]":
        """Send `request` and return its answer to be: status and body, or `_Unanswered`."""
        if self.over:
            raise _Unanswered("it closed the connection")
        self._start.clear()
        self._body.clear()
        self._length, self._got, self._answer = -1, 0, None
        self._waiter = waiter = self._loop.create_future()
        self._deadline.set(timeout_s)
        self._transport.write(request)
        return waiter

    def idle(self) -> bool:
        """Return whether nothing has arrived: a kept connection on which something has is closed or out of step."""
        return not self.over and not self._transport.is_closing() and not self._arrived.poll(0)

    def cut(self) -> None:
        """End the connection; who waits for an answer is in doubt."""
        self._fail("the connection was closed here")

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for the first request."""
        self._transport, self._loop = cast("asyncio.Transport", transport), asyncio.get_running_loop()
        self._arrived = select.poll()
        self._arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer; what nobody asked for ends the connection."""
        if self._waiter is None:
            self._fail("it said something that nobody asked for")
            return
        self._got += len(data)
        if self._length < 0:
            self._start += data
        why = "the head of its answer is too long"
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._last, why = True, shown(str(error.__context__ or error))
        if self._answer:
            self._finish(self._answer)
        elif self._last or (self._length < 0 and self._got > _HEAD_BYTES):
            self._fail(why)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way."""
        self._fail(str(exc or "it closed the connection"))
        self._deadline.cancel()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Stop at a second answer: it belongs to no question."""
        if self._answer:
            raise _Unanswered("it answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the length."""
        if name.lower() == b"content-length":
            self._length = int(value)

    def on_headers_complete(self) -> None:
        """Refuse an answer whose length is not told, and one that is too long."""
        if not 0 <= self._length <= ANSWER_BYTES or self._parser.get_status_code() < 200:
            raise _Unanswered("its answer has no length, or is too long")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Have the answer; whether another may be asked for over this connection depends on what comes with it."""
        self._answer = self._parser.get_status_code(), b"".join(self._body)
        size = self._start.find(b"\r\n\r\n") + 4 + self._length
        self._last = self._got != size or not self._parser.should_keep_alive()

    # Ends

    def _finish(self, answer: tuple[int, bytes]) -> None:
        waiter, self._waiter = self._waiter, None
        self._deadline.clear()
        if self._last:
            # what came after the answer belongs to no question: the next one must not be given it
            self._end()
        if waiter and not waiter.done():
            waiter.set_result(answer)

    def _fail(self, why: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_exception(_Unanswered(why))
        self._end()

    def _end(self) -> None:
        self.over = True
        self._deadline.clear()
        self._transport.abort()


class PeerConnection:
    """The way to the KME at `url` (https://host:port): one connection, kept; exchanges take turns.

    `context` gives the TLS context of now, as `LiveContext.current` does: where it has changed, a new connection is
    opened before the next exchange. `kme_id`, where given, is the only KME that is spoken to. A new connection first
    asks for `greeting`, which must be harmless: a client of TLS 1.3 may speak before the server has judged its
    certificate, and what it then says is in doubt where the judgement is no.
    """

    def __init__(
        self,
        url: str,
        context: Callable[[], SSL.Context],
        *,
        kme_id: str = "",
        require_post_quantum: bool = True,
        greeting: str = "/keystrand/v1/hello",
        limits: Limits | None = None,
    ) -> None:
        """Prepare; nothing is connected yet. Raises `InvalidInput` for a URL that cannot be used."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise InvalidInput(f"{url!r} is not the URL of a KME", hint="write it as https://host:port")
        self._host, self._port = parts.hostname, parts.port or 443
        self._where = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._context_of_now, self._limits = context, limits or Limits()
        self._kme_id, self._require = kme_id, require_post_quantum
        self._greeting = _request("GET", greeting, self._where, b"")
        self._turn = asyncio.Lock()
        self._open: _Exchanges | None = None
        self._context: SSL.Context | None = None
        self._used_at_s = 0.0
        self.peer: Peer | None = None
        """Who answered the last exchange, and by which group and cipher."""

    async def exchange(
        self, method: str, target: str, body: bytes = b"", *, timeout_s: float = 10.0
    ) -> tuple[int, bytes]:
        """Return status and body of the answer. `timeout_s` bounds it from its turn to its end, connecting included.

        Raises `NotSent` where nothing was asked, `InDoubt` where the request went out and no whole answer came back.
        """
        request = _request(method, target, self._where, body)
        async with self._turn:
            until_s = time.monotonic() + timeout_s
            link = self._kept() or await self._opened(timeout_s)
            try:
                return await _answer_of(link, request, until_s - time.monotonic())
            except _Unanswered as error:
                raise InDoubt(f"no answer from {self._where}: {error}") from error
            finally:
                self._used_at_s = time.monotonic()

    def _kept(self) -> _Exchanges | None:
        """Return the connection that is kept where it can be trusted with another question."""
        fresh = time.monotonic() - self._used_at_s < _KEEP_S and self.peer and time.time() < self.peer.valid_until_s
        if self._open and fresh and self._context is self._context_of_now() and self._open.idle():
            return self._open
        self.close()
        return None

    async def _opened(self, timeout_s: float) -> _Exchanges:
        context, link = self._context_of_now(), _Exchanges()
        try:
            async with asyncio.timeout(timeout_s):
                _, self.peer = await open_tls(
                    context, self._host, self._port, lambda: link, kme_id=self._kme_id,
                    require_post_quantum=self._require, limits=self._limits,
                )  # fmt: skip
                status, _ = await _answer_of(link, self._greeting, timeout_s)
        except PeerUnavailable as error:
            raise NotSent(error.message) from error
        except _Unanswered as error:
            raise NotSent(f"{self._where} does not speak to us: {error}") from error
        except TimeoutError as error:
            raise NotSent(f"{self._where} cannot be reached: it took too long") from error
        if link.over:
            raise NotSent(f"{self._where} does not speak to us: it answered {status} and closed the connection")
        self._open, self._context = link, context
        return link

    def close(self) -> None:
        """Close the connection, without waiting for an exchange under way: that one ends in doubt.

        A later exchange opens a new one.
        """
        if self._open:
            self._open.cut()
        self._open = None


async def _answer_of(link: _Exchanges, request: bytes, timeout_s: float) -> tuple[int, bytes]:
    try:
        return await link.ask(request, timeout_s)
    except asyncio.CancelledError:
        # its answer would be taken for that of the next question
        link.cut()
        raise


def _request(method: str, target: str, where: str, body: bytes) -> bytes:
    return b"%b%d\r\n\r\n%b" % (_start(method, target, where, with_body=bool(body)), len(body), body)


@lru_cache(maxsize=256)
def _start(method: str, target: str, where: str, *, with_body: bool) -> bytes:
    """Return a request up to its length. Raises `InvalidInput` for a target that is no path."""
    if not _PATH.fullmatch(target):
        raise InvalidInput(f"{target!r} is not a path", hint="escape what it is made of")
    kind = "Content-Type: application/json\r\n" if with_body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {where}\r\n{kind}Content-Length: ".encode()
