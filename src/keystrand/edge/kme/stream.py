"""TLS under an asyncio protocol: pyOpenSSL over memory buffers, since asyncio's own TLS is the standard library's.

The application above sees an ordinary `asyncio.Transport` once the handshake is done, with `get_extra_info("peer")`.
`TlsProtocol` is what both ends share; the server's end is in `transport`, the client's in `connect`. Everything runs in
the loop's thread, be the loop asyncio's own or uvloop's. Flow control works in both directions.
"""

import asyncio
import contextlib
from collections.abc import Callable
from math import inf
from typing import Any, cast

from msgspec import Struct
from OpenSSL import SSL

from keystrand.edge.tls import RECORD_BYTES, Peer, refusal_of
from keystrand.model.errors import PolicyDenied


class Limits(Struct, frozen=True, kw_only=True):
    """How much of the server one client can hold.

    `handshakes` are connections that have not said who they are: beyond that number the oldest is cut. `age_s` is how
    long a connection is served before it must prove its certificate anew. `kept` of the connections are for KMEs and
    operators alone.
    """

    connections: int = 2048
    kept: int = 64
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

    patient = False
    """Whether what the handshake leaves to be said may wait for the first answer."""

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
            # in a circle they would stay, with OpenSSL's buffers, until the collector comes by
            del self.transport
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
        shaking_hands = self._application is None
        try:
            if shaking_hands:
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
        # later, reading alone makes nothing that could not wait for the next thing we say
        if shaking_hands and not self.closing and not (self.patient and self._application):
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
        if not self.patient:
            self._flush()
        self._application = self._make()
        self.transport = TlsTransport(self, peer)
        self._application.connection_made(self.transport)
