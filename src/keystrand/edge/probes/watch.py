"""Tells when sockets are ready: one epoll for all of them, which is itself the only thing that the loop watches.

A reader or writer in the loop for each socket costs asyncio more CPU than a short talk itself, and is set up twice.
"""

import asyncio
import select
from collections.abc import Callable
from types import TracebackType
from typing import Self

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT

Step = Callable[[int], None]
"""What is done about a socket that is ready; it is given the epoll events and must not raise."""


class Watch:
    """Belongs to the running loop until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll, self._steps = select.epoll(), dict[int, Step]()
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

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
