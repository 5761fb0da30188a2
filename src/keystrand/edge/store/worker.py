"""One thread that does blocking work for the loop, one piece after the other.

`loop.run_in_executor` makes two futures and a chain of callbacks for each piece; at thousands of commits a second that
is a tenth of the process's time.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Piece = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]


class Worker:
    """A thread called `name`. `close` ends it when the work before is done."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[_Piece | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, function: Callable[..., T], *values: Any) -> "asyncio.Future[T]":
        """Return what `function` will have returned, or raised, in the thread."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put((function, values, future))
        return future

    def _run(self) -> None:
        while piece := self._work.get():
            function, values, future = piece
            try:
                result, error = function(*values), None
            except BaseException as raised:
                result, error = None, raised
            future.get_loop().call_soon_threadsafe(_finish, future, result, error)

    def close(self) -> None:
        """Let the thread end after what it has been given, and wait for it."""
        self._work.put(None)
        self._thread.join()


def _finish(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
