"""Tells when sockets are ready: one epoll for all of them, which is itself the only thing that the loop watches.

A reader, a writer and a timer in the loop for each socket cost asyncio more CPU than a short talk itself.
"""

import asyncio
import select
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT

Step = Callable[[int], None]
"""What is done about a socket that is ready; it is given the epoll events and must not raise."""


class Limit:
    """A time in the loop's clock, and what is done then unless it is lifted before."""

    __slots__ = ("at_s", "late")  # thousands of those that were lifted wait for their time to come

    def __init__(self, at_s: float, late: Callable[[], None] | None) -> None:
        self.at_s, self.late = at_s, late

    def lift(self) -> None:
        """Let nothing be done, and let go of what would have been."""
        self.late = None


class Watch:
    """Belongs to the running loop until it is closed. Every socket has the same time, `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._limits = deque[Limit]()
        self._timer: asyncio.TimerHandle | None = None
        self._epoll, self._steps = select.epoll(), dict[int, Step]()
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        if self._timer:
            self._timer.cancel()

    def limit(self, late: Callable[[], None]) -> Limit:
        """Call `late` after the time that each socket has."""
        found = Limit(self._loop.time() + self.timeout_s, late)
        self._limits.append(found)
        if self._timer is None:
            self._timer = self._loop.call_at(found.at_s, self._expire)
        return found

    def _expire(self) -> None:
        self._timer, now = None, self._loop.time()
        while self._limits and (self._limits[0].late is None or self._limits[0].at_s <= now):
            if late := self._limits.popleft().late:
                late()
        if self._limits:
            self._timer = self._loop.call_at(self._limits[0].at_s, self._expire)

    def begin(self, number: int, events: int, step: Step) -> None:
        """Watch the socket of file descriptor `number` for `events`; errors of it are always among them."""
        self._epoll.register(number, events)
        self._steps[number] = step

    def change(self, number: int, events: int) -> None:
        """Watch a socket for other events than before."""
        self._epoll.modify(number, events)

    def end(self, number: int) -> None:
        """Watch a socket no longer. To be called before it is closed, where it is watched."""
        if self._steps.pop(number, None) and not self._epoll.closed:
            self._epoll.unregister(number)

    def _ready(self) -> None:
        for number, events in self._epoll.poll(0):
            if step := self._steps.get(number):
                step(events)
