"""The server's end of TLS under asyncio, and how much of the server its clients can hold together.

Limits: time for the handshake, time to take the last bytes at the end, numbers of handshakes under way, of connections,
and of those of one identity. A handshake that was refused leaves a line in the log, as far as their rate allows.
"""

import asyncio
import fcntl
import logging
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum, auto

from OpenSSL import SSL

from keystrand.edge.kme.stream import Deadline, Limits, TlsProtocol, TlsTransport
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.tls import Peer, established
from keystrand.model.errors import PolicyDenied
from keystrand.model.words import shown

__all__ = ["Connections", "Deadline", "Limits", "Sent", "TlsProtocol", "TlsServerProtocol", "TlsTransport"]

_log = logging.getLogger(__name__)

_REFUSAL_LINES = 20
_REFUSAL_LINES_S = 60.0
"""At most so many log lines about refused handshakes in so long: strangers do not fill the disk."""


class Sent(Enum):
    """What became of the bytes that were sent over a connection."""

    ARRIVED = auto()
    """The client's machine has acknowledged them, and the connection is open."""
    WAITING = auto()
    """Some are not acknowledged yet."""
    GONE = auto()
    """The connection has ended."""


class Connections:
    """All connections of one server: those still shaking hands, and those whose identity is known."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # in the order they came
        self._unfinished: dict[TlsServerProtocol, None] = {}
        self._finished: dict[TlsServerProtocol, Identity] = {}
        self._of: Counter[Identity] = Counter()
        self._numbers: dict[int, TlsServerProtocol] = {}
        self.came: Callable[[Peer], None] = lambda _: None
        """Told of every connection whose identity is known."""
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

    def finish(self, one: "TlsServerProtocol", peer: Peer) -> None:
        """Count `one` as a connection of `peer`. Raises `PolicyDenied` where that has too many."""
        identity = peer.identity
        self._unfinished.pop(one, None)
        kept = 0 if identity.kind in (Kind.KME, Kind.OPERATOR) else self._limits.kept
        if len(self._finished) >= self._limits.connections - kept:
            raise PolicyDenied("too many connections")
        if self._of[identity] >= self._limits.of_one_identity:
            raise PolicyDenied(f"too many connections of {identity.urn}")
        self._finished[one] = identity
        self._of[identity] += 1
        self._numbers[peer.connection] = one
        one.number = peer.connection
        self.came(peer)

    def sent_over(self, number: int) -> Sent:
        """Return what became of what was sent over connection `number`."""
        one = self._numbers.get(number)
        if one is None or one.closing:
            return Sent.GONE
        return Sent.WAITING if one.unacknowledged() else Sent.ARRIVED

    def end(self, one: "TlsServerProtocol") -> None:
        """Count `one` no more."""
        self._unfinished.pop(one, None)
        self._numbers.pop(one.number, None)
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
        _log.warning("a handshake of %s was refused: %s", caller, shown(why))


class TlsServerProtocol(TlsProtocol):
    """The server's end of one connection. `connections` is shared by all of a server."""

    patient = True  # what is left are tickets for a resumption that there is not: one write less for each connection

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
        self.number = 0

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
        self._connections.finish(self, peer)
        return peer

    def unacknowledged(self) -> int:
        """Return how many bytes the client's machine has not confirmed to have (tcp(7), SIOCOUTQ)."""
        if waiting := self.tcp.get_write_buffer_size():
            return waiting
        octets = fcntl.ioctl(self.tcp.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(octets, sys.byteorder)

    def _refused(self, why: str) -> None:
        address = self.tcp.get_extra_info("peername") or ("somebody",)
        self._connections.note_refusal(str(address[0]), why, asyncio.get_running_loop().time())
