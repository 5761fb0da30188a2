"""Carries bytes both ways between a TLS connection and a plain one, until both directions have ended.

One thread, two buffers of bounded size: an end that does not take what it is sent is not read from at the other
(back-pressure). Each direction ends for itself: the end of the plain one's is said in TLS (close_notify; RFC 8446, 6.1)
and the other way round. An end that is not said is no end: it comes out as an error, and the other side is cut off
too, so that nobody takes half of a message for the whole.
"""

import select
import socket
import time
from contextlib import suppress

from msgspec import Struct
from OpenSSL import SSL

_CHUNK = 1 << 16
"""How much is moved at once: a few TLS records of at most 2**14 octets."""
KEY_OCTETS_MOST = 1 << 38
"""What a connection may carry one way: below 2**24.5 full records of AES-GCM (RFC 8446, 5.5), for no key is updated."""
_FULL = 1 << 18
"""A buffer with so much in it is not filled further."""


class Times(Struct, frozen=True, kw_only=True):
    """How long a connection may last, in seconds: without a byte in either direction, and in all."""

    idle_s: float
    most_s: float


def pump(tls: SSL.Connection, outside: socket.socket, inside: socket.socket, times: Times) -> None:
    """Carry between `inside` (plain) and `tls`, whose handshake is over and whose octets go over `outside`.

    Raises `SSL.Error` and `OSError`: `TimeoutError` past `times`, `ConnectionResetError` where an end was not said,
    `ConnectionAbortedError` past `KEY_OCTETS_MOST`.
    The sockets are left non-blocking; closing them is the caller's.
    """
    for line in (outside, inside):
        line.settimeout(0)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pumped = _Pump(tls, outside, inside)
    ends_s = time.monotonic() + times.most_s
    pumped.opened_up()
    while not pumped.over:
        wait_s = min(times.idle_s, ends_s - time.monotonic())
        if not pumped.turn(max(0.0, wait_s)):
            raise TimeoutError("idle for too long" if wait_s >= times.idle_s else "open for as long as a key may serve")
        if time.monotonic() >= ends_s:
            raise TimeoutError("open for as long as a key may serve")


class _Pump:
    """`sealed` waits for the TLS peer, `opened` for the plain one."""

    def __init__(self, tls: SSL.Connection, outside: socket.socket, inside: socket.socket) -> None:
        self._tls, self._outside, self._inside = tls, outside, inside
        self._sealed, self._opened = bytearray(), bytearray()
        self._inside_ended = self._outside_ended = self._told_inside = False
        self._carried = [0, 0]
        self._poll = select.poll()

    @property
    def over(self) -> bool:
        """Return whether both directions have ended and everything was delivered."""
        return self._inside_ended and not self._sealed and self._told_inside

    def turn(self, wait_s: float) -> bool:
        """Wait until something can be moved, and move it. Returns False where nothing could within `wait_s`."""
        self._watch(self._outside, reads=not self._outside_ended and len(self._opened) < _FULL, writes=self._sealed)
        self._watch(self._inside, reads=not self._inside_ended and len(self._sealed) < _FULL, writes=self._opened)
        ready = dict(self._poll.poll(1000 * wait_s))
        if ready.get(self._inside.fileno(), 0) & ~select.POLLOUT and not self._inside_ended:
            self._read_inside()
        if ready.get(self._outside.fileno(), 0) & ~select.POLLOUT and not self._outside_ended:
            self._read_outside()
        _write(self._outside, self._sealed)
        _write(self._inside, self._opened)
        if self._outside_ended and not self._opened and not self._told_inside:
            self._inside.shutdown(socket.SHUT_WR)
            self._told_inside = True
        return bool(ready)

    def _watch(self, line: socket.socket, *, reads: bool, writes: bytearray) -> None:
        wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
        # a line of which nothing is wanted would report its end over and over
        if wanted:
            self._poll.register(line, wanted)
        else:
            with suppress(KeyError):
                self._poll.unregister(line)

    def _read_inside(self) -> None:
        content = _read(self._inside)
        if content is None:
            return
        if content:
            self._count(0, content)
            self._tls.sendall(content)
        else:
            self._inside_ended = True
            self._tls.shutdown()
        self._collect()

    def _read_outside(self) -> None:
        content = _read(self._outside)
        if content is None:
            return
        if not content:
            raise ConnectionResetError("the peer ended without saying so in TLS")
        self._tls.bio_write(content)
        self.opened_up()

    def opened_up(self) -> None:
        """Decrypt everything that has arrived."""
        try:
            while True:
                content = self._tls.recv(_CHUNK)
                self._count(1, content)
                self._opened += content
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._outside_ended = True
        self._collect()

    def _count(self, way: int, content: bytes) -> None:
        self._carried[way] += len(content)
        if self._carried[way] > KEY_OCTETS_MOST:
            raise ConnectionAbortedError("as much was carried as one key may protect")

    def _collect(self) -> None:
        try:
            while True:
                self._sealed += self._tls.bio_read(_CHUNK)
        except SSL.WantReadError:
            return


def _read(line: socket.socket) -> bytes | None:
    """Return what has come, nothing at the end, None where there is neither."""
    try:
        return line.recv(_CHUNK)
    except BlockingIOError:
        return None


def _write(line: socket.socket, waiting: bytearray) -> None:
    if not waiting:
        return
    try:
        del waiting[: line.send(waiting)]
    except BlockingIOError:
        return
