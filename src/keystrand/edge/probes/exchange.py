"""One exchange with one address: a TCP connection, or datagrams to and from one UDP port.

The conversation is called as soon as the socket is ready: streams and a task for each connection would cost several
times the CPU of the talk itself.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Literal, NamedTuple

from keystrand.edge.probes.base import MAX_RECEIVED, Answer, Ending, Job
from keystrand.edge.probes.watch import READABLE, WRITABLE, Watch

FIRST_RESEND = 0.2
"""When datagrams are sent again, as a part of the time limit: 1 s of 5 (RFC 9002, 6.2.2; RFC 6347, 4.2.4.1).
Each wait is twice as long as the one before it."""
MAX_BURST = 16
"""Datagrams sent in a row at most; the longest hello takes three."""
LEAST_COUNTED = 64
"""Octets that a datagram counts at least: an empty one costs as much to take."""
_AT_ONCE = {"tcp": 16 * 1024, "udp": 64 * 1024}
"""Octets taken from the socket in one go; the longest datagram must fit."""


class Address(NamedTuple):
    """Where a socket connects to. `where` is in the form of its family."""

    family: Literal[socket.AddressFamily.AF_INET, socket.AddressFamily.AF_INET6]
    where: tuple[str, int] | tuple[str, int, int, int]

    @property
    def ip(self) -> str:
        """Return the IP address, without the zone."""
        return self.where[0]


class Exchange:
    """Has the conversation of one job with one address, within the time of `watch`."""

    def __init__(self, job: Job, address: Address, watch: Watch) -> None:
        self._job, self._address, self._timeout_s, self._watch = job, address, watch.timeout_s, watch
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Answer] = self._loop.create_future()
        self._talk = job.start()
        self._datagrams = job.transport == "udp"
        self._socket: socket.socket
        self._number: int
        self._connected = self._blocked = False
        self._received = 0
        self._unsent = b""
        self._last: tuple[bytes, ...] = ()
        self._resend: asyncio.TimerHandle | None = None

    async def answer(self) -> Answer:
        """Return how it went. Raises whatever the conversation raises."""
        kind = socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM
        try:
            self._socket = socket.socket(self._address.family, kind | socket.SOCK_NONBLOCK)
        except OSError as error:
            return self._failed(error)
        self._number = self._socket.fileno()
        limit = self._watch.limit(self._late)
        try:
            self._guarded(self._open)
            return await self._ended
        finally:
            limit.lift()
            self._close()

    def _close(self) -> None:
        if self._resend:
            self._resend.cancel()
        self._watch.end(self._number)
        self._socket.close()

    def _ready(self, events: int) -> None:
        if not self._connected:
            self._guarded(self._connect)
            return
        if events & ~WRITABLE:
            self._guarded(self._hear)
        if events & WRITABLE:
            self._guarded(self._write)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; an error ends the exchange."""
        if self._ended.done():
            return
        try:
            step()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(self._failed(error))
        except Exception as error:  # it belongs to whoever waits for the answer, not to the loop
            self._ended.set_exception(error)

    def _end(self, answer: Answer) -> None:
        if not self._ended.done():
            self._ended.set_result(answer)

    def _failed(self, error: OSError) -> Answer:
        if isinstance(error, ConnectionRefusedError):
            return Answer(self._job, self._talk, Ending.REFUSED, "connection refused")
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return Answer(self._job, self._talk, Ending.RESET, "connection reset")
        return Answer(self._job, self._talk, Ending.UNREACHABLE, why(error))

    def _late(self) -> None:
        heard = self._received > 0 if self._datagrams else self._connected
        late = Ending.TIMED_OUT if heard else Ending.NO_CONNECTION
        what = "answer" if self._connected else "connection"
        self._end(Answer(self._job, self._talk, late, f"no {what} within {self._timeout_s:g} s"))

    def _open(self) -> None:
        number = self._socket.connect_ex(self._address.where)
        if number == errno.EINPROGRESS:
            self._watch.begin(self._number, WRITABLE, self._ready)
        elif number:
            raise OSError(number, os.strerror(number))
        else:
            self._watch.begin(self._number, READABLE, self._ready)
            self._begin()

    def _connect(self) -> None:
        if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        self._watch.change(self._number, READABLE)
        self._begin()

    def _begin(self) -> None:
        self._connected = True
        self._say(self._talk.begin())

    def _hear(self) -> None:
        octets = self._socket.recv(_AT_ONCE[self._job.transport])
        self._received += max(len(octets), LEAST_COUNTED) if self._datagrams else len(octets)
        if self._received > MAX_RECEIVED:
            self._end(Answer(self._job, self._talk, Ending.TOO_MUCH, f"more than {MAX_RECEIVED} octets came"))
        elif not octets and not self._datagrams:
            self._end(Answer(self._job, self._talk, Ending.CLOSED, "the other side closed the connection"))
        else:
            reply = self._talk.receive(octets)
            try:
                self._say(reply)
            finally:  # the question is answered, whatever becomes of our last word
                if self._talk.done:
                    self._end(Answer(self._job, self._talk, Ending.DONE))

    def _say(self, octets: bytes) -> None:
        if self._datagrams:
            self._say_datagrams(octets)
        elif octets:
            self._unsent += octets
            self._write()

    def _write(self) -> None:
        """Send as much as the socket takes, and the rest when it takes more."""
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if self._blocked != bool(self._unsent):
            self._blocked = not self._blocked
            self._watch.change(self._number, READABLE | WRITABLE if self._blocked else READABLE)

    def _say_datagrams(self, first: bytes) -> None:
        burst = [first] if first else []
        while burst and not self._talk.done and len(burst) < MAX_BURST and (more := self._talk.receive(b"")):
            burst.append(more)
        if burst:
            self._last = tuple(burst)
            self._send(self._timeout_s * FIRST_RESEND)

    def _send(self, wait_s: float) -> None:
        """Send the last datagrams, and again if nothing new is said within `wait_s`."""
        if self._resend:
            self._resend.cancel()
        self._resend = self._loop.call_later(wait_s, self._guarded, lambda: self._send(2 * wait_s))
        for datagram in self._last:
            self._socket.send(datagram)


def why(error: OSError) -> str:
    """Return what an error of the operating system says, in lower case at the beginning."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
