"""Engine: a Ray cluster, the one at an address or one started on this machine for the sweep (extra `ray`)."""

import os
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from keystrand.edge.chunks.task import Function, Outcome, Task, WorkerLost, compute
from keystrand.model.errors import InvalidInput, MissingInput, PeerUnavailable

_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
"""What Ray is told where the user says nothing: a cluster that we start reports to nobody, and the errors of tasks that
nobody waits for any more, those of a sweep that has stopped, are not printed."""
_PRIVATE = 0o077
"""File mode bits taken away while Ray starts. It listens on every address of the machine, and whoever reads the token
that it writes into the home folder may have it run anything."""
_CONNECT_S = 5.0
_QUEUED_PER_CPU = 2
"""A task under way and one that waits beside it, so that no core waits for the network."""


class RayCluster:
    """Engine: Ray. `address` as `ray.init` takes it; "" is a cluster of this machine that ends with the sweep.

    At most `workers` tasks are under way at once; 0 leaves it to the cluster. Ray itself runs a task again, three times
    at most, where it loses a node; its result is the same. A cluster that this process has already joined is used.
    """

    def __init__(self, address: str = "", workers: int = 0) -> None:
        if workers < 0:
            raise InvalidInput(f"a cluster cannot have {workers} workers")
        self.address, self.workers = address, workers

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield what came of the tasks. Raises `WorkerLost`, and `PeerUnavailable` where there is no cluster."""
        with joined(self.address, self.workers) as ray:
            cpus = int(ray.cluster_resources().get("CPU", 1))
            yield from _run(ray, function, iter(tasks), self.workers or max(1, cpus) * _QUEUED_PER_CPU)


def _run(ray: Any, function: Function, waiting: Iterator[Task], at_once: int) -> Generator[list[Outcome], None, None]:
    remote = ray.remote(compute)
    under_way: dict[Any, Task] = {}
    try:
        while True:
            under_way |= {remote.remote(function, task): task for task in islice(waiting, at_once - len(under_way))}
            if not under_way:
                return
            ray.wait([*under_way])
            ended, _ = ray.wait([*under_way], num_returns=len(under_way), timeout=0)
            answers = [_answer(ray, reference, under_way.pop(reference)) for reference in ended]
            yield [answer for answer in answers if isinstance(answer, Outcome)]
            for answer in answers:
                if isinstance(answer, WorkerLost):
                    raise answer
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)


def _answer(ray: Any, reference: Any, task: Task) -> Outcome | WorkerLost:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        *_, last = str(error).strip().splitlines() or [""]
        return WorkerLost(f"Ray could not compute chunk {task.chunk}: {type(error).__name__}: {last}")
    return outcome


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415  # an extra, and slow to load
    except ImportError as error:
        raise MissingInput("the engine Ray is not installed", hint="pip install 'keystrand[ray]'") from error
    return ray


@contextmanager
def joined(address: str = "", workers: int = 0) -> Iterator[Any]:
    """Yield Ray with a cluster to work on, and leave that again: the one at `address`, or one of `workers` cores here.

    Sweeps inside use it. Raises `MissingInput` where Ray is not installed, and `PeerUnavailable`.
    """
    ray = _ray()
    if ray.is_initialized():
        _see_that_same(ray.get_runtime_context().gcs_address, address)
        yield ray
        return
    _see_that_reachable(address)
    own = {} if address else {"num_cpus": workers or len(os.sched_getaffinity(0)), "include_dashboard": False}
    try:
        with _surroundings():
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"no Ray cluster at {address}" if address else "Ray does not start on this machine"
        raise PeerUnavailable(f"{where}: {error}", hint="`ray status --address ADDRESS` tells of a cluster") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _surroundings() -> Iterator[None]:
    """Set what a cluster of this machine starts with; its workers find the modules that this process finds."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    mask, paths = os.umask(_PRIVATE), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    try:
        yield
    finally:
        os.umask(mask)
        if paths is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = paths


def _see_that_same(joined_address: str, address: str) -> None:
    if address not in ("", "auto", joined_address):
        raise InvalidInput(f"this process works on the Ray cluster at {joined_address}, so not at {address}")


def _see_that_reachable(address: str) -> None:
    """Raise `PeerUnavailable` where nobody listens at a HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto", or a form that only Ray can judge
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        hint = "`ray status --address ADDRESS` tells of a cluster"
        raise PeerUnavailable(f"no Ray cluster at {address}: {error}", hint=hint) from error
