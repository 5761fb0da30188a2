"""Work that lasts as long as its process: it never ends unseen, and it outlives faults that pass."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from keystrand.model.errors import KeystrandError, StoreFailure

_log = logging.getLogger(__name__)

Fail = Callable[[StoreFailure], None]
"""Told what must stop the process."""


def lasting(work: Coroutine[Any, Any, None], what: str, fail: Fail) -> "asyncio.Task[None]":
    """Run `work`, called `what`, until it is cancelled. Where it ends in any other way `fail` is told."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda ended: _ended(ended, what, fail))
    return task


def _ended(task: "asyncio.Task[None]", what: str, fail: Fail) -> None:
    if task.cancelled() and task.cancelling():
        return
    error = None if task.cancelled() else task.exception()
    if isinstance(error, StoreFailure):
        fail(error)
        return
    _log.critical("%s ended", what, exc_info=error)
    fail(StoreFailure(f"{what} ended: {error!r}", hint="the log of the key management entity has its cause"))


class Patience:
    """Bears one fault, of `what`, that may pass, for `most_s`. The log says when it begins and when it is over."""

    def __init__(self, what: str, most_s: float) -> None:
        self._what, self._most_s = what, most_s
        self._since: float | None = None

    def bear(self, error: KeystrandError) -> None:
        """Return where another try makes sense. Raises `StoreFailure` where it has lasted too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _log.error("%s: %s; tried again for %.0f s", self._what, error.message, self._most_s)
        elif now - self._since >= self._most_s:
            raise StoreFailure(f"{self._what}: {error.message}", hint=error.hint) from error

    def over(self) -> None:
        """Note that it went well."""
        if self._since is not None:
            self._since = None
            _log.warning("%s: goes on", self._what)
