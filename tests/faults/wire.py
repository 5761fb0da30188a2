"""A wire between two ends that speak TLS: a TCP proxy on loopback that loses, delays or cuts what it carries.

Bytes pass unread, so nothing can be forged or sent twice; that is what TLS sees to.
"""

import asyncio
import contextlib
import threading
from enum import StrEnum
from types import TracebackType
from typing import Self


class Fault(StrEnum):
    """What a wire does with bytes of connections that are open, and with new connections.

    A connection between two handshakes has only requests and answers on it, so "the request" is what its caller sends
    next: open it with an exchange before the fault is set.
    """

    NONE = "none"
    SLOW = "slow"
    """Everything arrives `delay_s` later."""
    LOSE_REQUEST = "lose request"
    """What the caller sends next is dropped and the connection cut: the other end never hears of it."""
    LOSE_ANSWER = "lose answer"
    """What the other end answers is dropped, and nobody is told."""
    CUT_ANSWER = "cut answer"
    """The request arrives; the connection is cut when the answer comes."""
    HALF_OPEN = "half open"
    """Nothing passes and nothing is closed: a machine that vanished."""
    DEAD = "dead"
    """Connections are cut, and new ones at once."""


class _End(asyncio.Protocol):
    """One end of a connection: what it says goes to the other. The one without `caller` waits to be called."""

    def __init__(self, wire: "Wire", caller: "_End | None" = None) -> None:
        self._wire, self.caller = wire, caller
        self.other = caller
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.caller is None:
            self._wire.called(self)
            return
        self.caller.other = self
        for data in self.caller._early:
            self.put(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self._wire.carry(self, self.other, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._wire.hang_up(self)
        if self.other and self.other.transport and self._wire.fault is not Fault.HALF_OPEN:
            self.other.transport.close()

    def put(self, data: bytes) -> None:
        """Send to this end."""
        if self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def cut(self) -> None:
        """Reset both ends."""
        for end in (self, self.other):
            if end and end.transport:
                end.transport.abort()


class Wire:
    """The way to the loopback port `to`, at `port`. Runs in a thread of its own while it is open."""

    def __init__(self, to: int, *, delay_s: float = 0.3) -> None:
        self._to, self._delay_s = to, delay_s
        self.fault = Fault.NONE
        self._open: set[_End] = set()
        self._met = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _End(self), "127.0.0.1", 0)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    # For the tests

    @property
    def url(self) -> str:
        """The URL of a KME behind this wire."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def met(self) -> int:
        """How many pieces or connections have met the fault since it was set."""
        return self._met

    def set(self, fault: Fault) -> None:
        """Do this to all that passes from now on. Connections that have lost something are cut."""
        self._call(self._set, fault)

    def _set(self, fault: Fault) -> None:
        if self._met or fault is Fault.DEAD:
            for end in tuple(self._open):
                end.cut()
        self.fault, self._met = fault, 0

    def _call(self, what: object, *values: object) -> None:
        done = threading.Event()

        def run() -> None:
            what(*values)  # type: ignore[operator]
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.set(Fault.DEAD)
        self._call(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # the last words of what was cut
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    # For the ends

    def called(self, caller: _End) -> None:
        """Connect a caller to the other end."""
        self._open.add(caller)
        if self.fault is Fault.DEAD:
            self._met += 1
            caller.cut()
            return
        call = self._loop.create_task(self._connect(caller))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _connect(self, caller: _End) -> None:
        with contextlib.suppress(OSError):
            await self._loop.create_connection(lambda: _End(self, caller), "127.0.0.1", self._to)
            return
        caller.cut()

    def hang_up(self, end: _End) -> None:
        """Forget an end."""
        self._open.discard(end)

    def carry(self, sender: _End, to: _End, data: bytes) -> None:
        """Bring bytes to the other end, or do what the fault says."""
        asked = sender.caller is None
        self._met += self.fault is not Fault.NONE
        match self.fault, asked:
            case (Fault.SLOW, _):
                self._loop.call_later(self._delay_s, to.put, data)
            case (Fault.HALF_OPEN, _) | (Fault.LOSE_ANSWER, False):
                pass
            case (Fault.LOSE_REQUEST, True) | (Fault.CUT_ANSWER, False) | (Fault.DEAD, _):
                sender.cut()
            case _:
                to.put(data)
