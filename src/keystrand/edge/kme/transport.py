"""TLS under an asyncio protocol: pyOpenSSL over memory buffers, since asyncio's own TLS is the standard library's.

The application above sees an ordinary `asyncio.Transport` once the handshake is done, with `get_extra_info("peer")`.
`TlsProtocol` is what both ends share; the server's end is here, the client's in `connect`. Everything runs in the
loop's thread, be the loop asyncio's own or uvloop's. Limits: time for the handshake, time to take the last bytes at the
end, numbers of handshakes under way, of connections, and of those of one identity; flow control in both directions. A
handshake that a server refused leaves a line in the log, as far as their rate allows.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, cast

from msgspec import Struct
from OpenSSL import SSL

from keystrand.edge.pki import Identity
from keystrand.edge.tls import RECORD_BYTES, Peer, established, refusal_of
from keystrand.model.errors import PolicyDenied

_log = logging.getLogger(__name__)

_REFUSAL_LINES = 20
_REFUSAL_LINES_S = 60.0
"""At most so many log lines about refused handshakes in so long: strangers do not fill the disk."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much of the server one client can hold.

    `handshakes` are connections that have not said who they are: beyond that number the oldest is cut. `age_s` is how
    long a connection is served before it must prove its certificate anew.
    """

    connections: int = 2048
    of_one_identity: int = 256
    handshakes: int = 128
    age_s: float = 3600.0
    handshake_s: float = 5.0
    goodbye_s: float = 2.0
    idle_s: float = 30.0
    request_s: float = 10.0


class Deadline:
    """A time limit that is moved often and reached seldom: one timer that looks again, not one for each move.

    `then` is called once the time set last has come.
    """

    def __init__(self, then: Callable[[], None]) -> None:
        self._then, self._loop = then, asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at_s, self._looks_at_s = inf, inf

    def set(self, seconds: float) -> None:
        """Set the limit to `seconds` from now, whatever it was."""
        self._at_s = self._loop.time() + seconds
        if self._at_s < self._looks_at_s:
            self._look_later()

    def clear(self) -> None:
        """Set no limit for now."""
        self._at_s = inf

    def cancel(self) -> None:
        """Set no limit, and let go of the timer."""
        self._at_s = self._looks_at_s = inf
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._looks_at_s = self._at_s
        self._timer = self._loop.call_at(self._at_s, self._look)

    def _look(self) -> None:
        self._timer, self._looks_at_s = None, inf
        if self._loop.time() >= self._at_s:
            self._at_s = inf
            self._then()
        elif self._at_s < inf:
            self._look_later()


class TlsTransport(asyncio.Transport):
    """What the application writes to. `below` is the TCP connection's protocol."""

    def __init__(self, below: "TlsProtocol", peer: Peer) -> None:
        super().__init__({"peer": peer})
        self._below = below

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection: `peer`, and what TCP knows."""
        found = super().get_extra_info(name)
        return self._below.tcp.get_extra_info(name, default) if found is None else found

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send `data` encrypted."""
        self._below.send(data)

    def pause_reading(self) -> None:
        """Stop decrypting and reading; what the other end sends waits in its own memory."""
        self._below.read_on(wanted=False)

    def resume_reading(self) -> None:
        """Go on reading."""
        self._below.read_on(wanted=True)

    def is_closing(self) -> bool:
        """Return whether the end has begun."""
        return self._below.closing

    def close(self) -> None:
        """Say goodbye after what was written."""
        self._below.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._below.abort()


class TlsProtocol(asyncio.Protocol):
    """One TCP connection with TLS 1.3 on it. `application` makes what speaks over it once the handshake is done."""

    tcp: asyncio.Transport
    """What is below; there once TCP has connected."""
    transport: TlsTransport
    """What is above; there once the handshake is done."""

    def __init__(self, tls: SSL.Connection, application: Callable[[], asyncio.Protocol], limits: Limits) -> None:
        self._tls, self._make, self._limits = tls, application, limits
        self._application: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wanted, self._drained = True, True
        self.closing = False

    # What an end adds

    def _accept(self) -> Peer:
        """Return who the other end is now that the handshake is done. Raises `PolicyDenied` where it is not wanted."""
        raise NotImplementedError

    def _refused(self, why: str) -> None:
        """Learn that there was no handshake, and why."""
        raise NotImplementedError

    # What the TCP transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are no instances of it, though they are all it asks
        self.tcp = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take encrypted bytes."""
        if self.closing:
            return
        self._tls.bio_write(data)
        self._go_on()

    def eof_received(self) -> bool:
        """Let the connection end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application and let go of everything."""
        self.closing = True
        if self._timer:
            self._timer.cancel()
        if self._application:
            self._application.connection_lost(exc)
        self._application = None

    def pause_writing(self) -> None:
        """The other end does not take what it is sent: stop reading what it sends."""
        self._drained = False
        if not self.tcp.is_closing():
            self.tcp.pause_reading()
        if self._application:
            self._application.pause_writing()

    def resume_writing(self) -> None:
        """The other end has caught up."""
        self._drained = True
        if self._application:
            self._application.resume_writing()
        self.read_on(wanted=self._wanted)

    # What the application calls

    def send(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Encrypt and send `data`; after the end has begun it is dropped."""
        if self.closing or not data:
            return
        try:
            self._tls.sendall(data)
        except SSL.Error:
            self.abort()
            return
        self._flush()

    def read_on(self, *, wanted: bool) -> None:
        """Read while the application wants to and the other end takes what it is sent."""
        self._wanted = wanted
        if self.closing or self.tcp.is_closing():
            return
        if wanted and self._drained:
            self.tcp.resume_reading()
            # what is decrypted already comes without new bytes from below
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self.tcp.pause_reading()

    def close(self) -> None:
        """Send what is left and the goodbye, and wait a while for the other end to close too."""
        if self.closing:
            return
        with contextlib.suppress(SSL.Error):
            self._tls.shutdown()
        self._end()

    def abort(self) -> None:
        """Cut the connection."""
        self.closing = True
        self.tcp.abort()

    # Between the two

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _flush(self) -> None:
        # uvloop raises where asyncio drops what comes too late
        if self.tcp.is_closing():
            return
        try:
            while True:
                pending = self._tls.bio_read(RECORD_BYTES)
                self.tcp.write(pending)
                if len(pending) < RECORD_BYTES:
                    return
        except SSL.WantReadError:
            pass

    def _go_on(self) -> None:
        if self.closing:
            return
        try:
            if self._application is None:
                self._tls.do_handshake()
                self._begin()
            while self._application and self._wanted and self._drained and not self.closing:
                self._application.data_received(self._tls.recv(RECORD_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.close()
        except PolicyDenied as error:
            self._refused(error.message)
            self.close()
        except SSL.Error as error:
            if self._application is None:
                self._refused(refusal_of(self._tls, error))
            # the alert that says why is in the buffer
            self._end()
        if not self.closing:
            self._flush()

    def _end(self) -> None:
        """Half-close: what the other end still sends is dropped, or a reset could overtake our last words."""
        self.closing = True
        if self.tcp.is_closing():
            return
        self._flush()
        if self.tcp.is_closing():  # now perhaps: the write found it so
            return
        self.tcp.write_eof()
        self.tcp.resume_reading()
        self._arm(self._limits.goodbye_s, self.abort)

    def _begin(self) -> None:
        peer = self._accept()
        if self._timer:
            self._timer.cancel()
        self._flush()
        self._application = self._make()
        self.transport = TlsTransport(self, peer)
        self._application.connection_made(self.transport)


class Connections:
    """All connections of one server: those still shaking hands, and those whose identity is known."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # in the order they came
        self._unfinished: dict[TlsServerProtocol, None] = {}
        self._finished: dict[TlsServerProtocol, Identity] = {}
        self._of: Counter[Identity] = Counter()
        self._lines, self._left_out, self._since_s = 0, 0, 0.0

    def __iter__(self) -> "Iterator[TlsServerProtocol]":
        return iter((*self._unfinished, *self._finished))

    def __len__(self) -> int:
        return len(self._unfinished) + len(self._finished)

    def begin(self, one: "TlsServerProtocol") -> bool:
        """Count `one` among those that shake hands; return whether there is room for it afterwards."""
        if len(self._finished) >= self._limits.connections:
            one.refuse("too many connections")
            return False
        if len(self._unfinished) >= self._limits.handshakes:
            oldest = next(iter(self._unfinished))
            self.end(oldest)
            oldest.refuse("too many handshakes at once, and this was the oldest")
        self._unfinished[one] = None
        return True

    def finish(self, one: "TlsServerProtocol", identity: Identity) -> None:
        """Count `one` as a connection of `identity`. Raises `PolicyDenied` where that has too many."""
        self._unfinished.pop(one, None)
        if len(self._finished) >= self._limits.connections:
            raise PolicyDenied("too many connections")
        if self._of[identity] >= self._limits.of_one_identity:
            raise PolicyDenied(f"too many connections of {identity.urn}")
        self._finished[one] = identity
        self._of[identity] += 1

    def end(self, one: "TlsServerProtocol") -> None:
        """Count `one` no more."""
        self._unfinished.pop(one, None)
        identity = self._finished.pop(one, None)
        if identity is not None:
            self._of[identity] -= 1
            if not self._of[identity]:
                del self._of[identity]

    def note_refusal(self, caller: str, why: str, now_s: float) -> None:
        """Write a line to the log about a refused handshake, or only count it where there are too many."""
        if now_s - self._since_s >= _REFUSAL_LINES_S:
            if self._left_out:
                _log.warning("%d more handshakes were refused", self._left_out)
            self._lines, self._left_out, self._since_s = 0, 0, now_s
        if self._lines >= _REFUSAL_LINES:
            self._left_out += 1
            return
        self._lines += 1
        _log.warning("a handshake of %s was refused: %s", caller, why)


class TlsServerProtocol(TlsProtocol):
    """The server's end of one connection. `connections` is shared by all of a server."""

    def __init__(
        self,
        context: SSL.Context,
        application: Callable[[], asyncio.Protocol],
        limits: Limits,
        connections: Connections,
    ) -> None:
        tls = SSL.Connection(context, None)
        tls.set_accept_state()
        super().__init__(tls, application, limits)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; beyond the number of connections allowed, end at once."""
        super().connection_made(transport)
        if self._connections.begin(self):
            self._arm(self._limits.handshake_s, lambda: self.refuse("it did not finish in time"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another."""
        self._connections.end(self)
        super().connection_lost(exc)

    def refuse(self, why: str) -> None:
        """Cut a connection whose handshake is not wanted any more."""
        self._refused(why)
        self.abort()

    def _accept(self) -> Peer:
        peer = established(self._tls)
        self._connections.finish(self, peer.identity)
        return peer

    def _refused(self, why: str) -> None:
        address = self.tcp.get_extra_info("peername") or ("somebody",)
        self._connections.note_refusal(str(address[0]), why, asyncio.get_running_loop().time())
