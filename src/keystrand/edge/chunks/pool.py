"""Engine: processes of this machine.

Not `concurrent.futures`: its workers share pipes, so one that is killed while it answers can leave their reader waiting
for ever, and they outlive a parent that is killed. Here each worker has a pipe of its own, whose end is an end of file.
Workers are spawned, not forked: a fork copies the locks of numba's and BLAS's threads as they happen to stand.
"""

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread
from typing import NamedTuple

from keystrand.edge.chunks.task import Function, Outcome, Task, WorkerLost, compute
from keystrand.model.errors import InvalidInput

_ENDED_S = 5.0
"""How long a worker whose pipe has ended is waited for, to say how it ended."""


class ProcessPool:
    """Engine: `workers` processes, as many as this one may use cores where it is 0."""

    def __init__(self, workers: int = 0) -> None:
        if workers < 0:
            raise InvalidInput(f"a pool cannot have {workers} workers")
        self.workers = workers or len(os.sched_getaffinity(0))

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield what came of the tasks. Raises `WorkerLost` where a worker is killed; closing it ends all workers."""
        waiting = iter(tasks)
        with _crew(function, min(self.workers, len(tasks))) as crew:
            idle = crew
            busy: dict[object, tuple[_Worker, Task]] = {}
            while True:
                for worker, task in zip(idle, waiting, strict=False):
                    worker.give(task)
                    busy[worker.line] = worker, task
                if not busy:
                    return
                ended = [busy.pop(line) for line in wait([worker.line for worker, _ in busy.values()])]
                answers = [(worker, task, worker.answer()) for worker, task in ended]
                idle = [worker for worker, _, answer in answers if answer]
                yield [answer for _, _, answer in answers if answer]
                for worker, task, answer in answers:
                    if not answer:
                        raise WorkerLost(f"the worker of chunk {task.chunk} {worker.end()} before the chunk was done")


class _Worker(NamedTuple):
    line: Connection
    process: SpawnProcess

    def give(self, task: Task) -> None:
        with suppress(OSError):  # it has ended: so does the line, which its reader finds out
            self.line.send(task)

    def answer(self) -> Outcome | None:
        """Return what came of its task, None where the worker has ended."""
        try:
            outcome: Outcome = self.line.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def end(self) -> str:
        self.process.join(_ENDED_S)
        code = self.process.exitcode
        return f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended (exit code {code})"


@contextmanager
def _crew(function: Function, size: int) -> Iterator[list[_Worker]]:
    """Yield started workers, and end them all. An interrupt is for their parent alone."""
    crew: list[_Worker] = []
    try:
        resource_tracker.ensure_running()  # where starting a worker does it, it unblocks interrupts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(size):
                crew.append(_started(function))  # noqa: PERF401  # each is in the list before the next can fail
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield crew
    finally:
        for worker in crew:
            worker.process.kill()
        for worker in crew:
            worker.process.join()
            worker.line.close()


def _started(function: Function) -> _Worker:
    ours, theirs = multiprocessing.Pipe()
    with theirs:
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, function), daemon=True)
        process.start()
    return _Worker(ours, process)


def _work(line: Connection, function: Function) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            line.send(compute(function, line.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
