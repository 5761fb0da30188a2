"""Run a solver so that ^C ends the wait, not only the solver, and nothing it prints reaches stdout."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
_LOOK_S = 0.1


def in_thread(job: Callable[[], T]) -> T:
    """Return what `job` returns, run in a thread of its own: a solver written in C does not see ^C, this wait does.

    After ^C the thread is left alone; it ends with its own limit of time, or with the program.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(job())
        except BaseException as error:  # raised again where it was waited for
            failed.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
    if failed:
        raise failed[0]
    return done[0]


@contextmanager
def without_stdout() -> Iterator[None]:
    """Keep stdout clean: HiGHS prints to it from within, even when it is told not to."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
