"""Engine: a Ray cluster, the one at an address or one started on this machine for the sweep (extra `ray`)."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from keystrand.edge.chunks.task import Function, Outcome, Task, WorkerLost, compute
from keystrand.model.errors import InvalidInput, MissingInput, PeerUnavailable

_ASIDE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
"""What a cluster that we start is told where the user says nothing: it reports to nobody, and works for nobody else
(Ray listens on every address of the machine)."""
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
        ray = _ray()
        with _joined(ray, self.address, self.workers):
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
def _joined(ray: Any, address: str, workers: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            for name, value in _ASIDE.items():
                os.environ.setdefault(name, value)
            cpus = workers or len(os.sched_getaffinity(0))
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"no Ray cluster at {address}" if address else "Ray does not start on this machine"
        raise PeerUnavailable(
            f"{where}: {error}", hint="ask `ray status --address ADDRESS` about the cluster"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
