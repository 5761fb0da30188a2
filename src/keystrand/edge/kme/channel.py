"""A kept mutual TLS connection to a KME that carries one HTTP exchange at a time, blocking.

An exchange is never repeated by itself: keys are handed out once, so what is in doubt stays in doubt and says so.
"""

import http.client
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.pki import Credentials
from keystrand.model.errors import InvalidInput, PeerUnavailable
from keystrand.model.words import shown

_ANSWER_BYTES = 4 << 20
"""More than the longest answer: 1024 keys of 4096 bits in base64 with their IDs."""
_KEEP_S = 20.0
"""How long an unused connection is trusted to be alive: below the server's idle limit."""


class NotSent(PeerUnavailable):
    """Nothing was asked: the KME was not reached, or not trusted."""

    id = "peer-not-reached"


class InDoubt(PeerUnavailable):
    """The request went out and no whole answer came back: it may or may not have been carried out."""

    id = "peer-in-doubt"


class _Connection(http.client.HTTPConnection):
    """`http.client` over our TLS."""

    auto_open = 0

    def use(self, stream: tls.BlockingTls) -> None:
        """Speak over `stream` from now on: it has what `http.client` calls, sendall, makefile and close."""
        self.sock = stream


class Channel:
    """The way to the KME at `url` (https://host:port); threads take turns.

    `kme_id`, where given, is the only KME that is spoken to. With `foreign` it is a KME of another make
    (`tls.foreign`), known by its host's name. `timeout_s` bounds an exchange from its turn to its end,
    connecting included, however the peer spreads its bytes.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        kme_id: str = "",
        require_post_quantum: bool = True,
        foreign: bool = False,
        timeout_s: float = 10.0,
    ) -> None:
        """Prepare; nothing is connected yet. Raises `InvalidInput` for a URL or files that cannot be used."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise InvalidInput(f"{url!r} is not the URL of a KME", hint="write it as https://host:port")
        self._host, self._port = parts.hostname, parts.port or 443
        self._context: SSL.Context = (
            tls.foreign_context(credentials, self._host) if foreign else tls.client_context(credentials)
        )
        self._kme_id, self._require, self._timeout_s = kme_id, require_post_quantum, timeout_s
        self._turn = threading.Lock()
        self._stream: tls.BlockingTls | None = None
        self._http = _Connection(self._host, self._port)
        self._used_at = 0.0
        self.peer: tls.Peer | None = None
        """Who answered the last exchange, and by which group and cipher."""

    def exchange(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of the answer. Raises `NotSent` or `InDoubt`."""
        with self._turn:
            stream = self._connected(time.monotonic() + self._timeout_s)
            headers = {**(headers or {}), **({"Content-Type": "application/json"} if body else {})}
            try:
                self._http.request(method, target, body=body or None, headers=headers)
                answer = self._http.getresponse()
                content = answer.read(_ANSWER_BYTES + 1)
            except (OSError, SSL.Error, http.client.HTTPException) as error:
                self._drop()
                raise InDoubt(f"no answer from {self._host}:{self._port}: {shown(tls.reason_of(error))}") from error
            # what comes after the answer belongs to no question: the next one must not be given it
            if answer.will_close or len(content) > _ANSWER_BYTES or not stream.idle():
                self._drop()
            self._used_at = time.monotonic()
            return answer.status, content

    def _connected(self, deadline_s: float) -> tls.BlockingTls:
        """Return the connection that is kept, or a new one; its waits end at `deadline_s`."""
        fresh = time.monotonic() - self._used_at < _KEEP_S and self.peer and time.time() < self.peer.valid_until_s
        if not (self._stream and fresh and self._stream.idle()):
            self._drop()
            try:
                self._stream, self.peer = tls.connect(
                    self._context, self._host, self._port, timeout_s=self._timeout_s, kme_id=self._kme_id,
                    require_post_quantum=self._require,
                )  # fmt: skip
            except PeerUnavailable as error:
                raise NotSent(error.message) from error
            self._http.use(self._stream)
        self._stream.expire_in(deadline_s - time.monotonic())
        return self._stream

    def _drop(self) -> None:
        self._http.close()
        if self._stream:
            self._stream.close()
        self._stream = None

    def close(self) -> None:
        """Close the connection, without waiting for an exchange under way: that one ends in doubt.

        A later exchange opens a new one.
        """
        if self._turn.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._turn.release()
        elif stream := self._stream:
            stream.cut()
