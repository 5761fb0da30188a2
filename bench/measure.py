"""How a benchmark measures, and the one form of its rows."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

Sample = TypeVar("Sample")


class Missing(Exception):
    """A benchmark cannot be run here: its text says what is missing."""


class Failed(Exception):
    """What was to be measured did not run, or not to the end: its text says why."""


class Row(Struct, frozen=True, kw_only=True):
    """One measured figure: median with 5th and 95th percentile; `ratio` is value over peer's value; `goal` in words."""

    name: str
    value: float
    unit: str
    low: float
    high: float
    peer: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample at `share` (0..1) of the sorted samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def seconds_of(command: Sequence[str]) -> float:
    """Return the wall time of one run of `command`. Raises `CalledProcessError` where it fails."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own commands
    return time.perf_counter() - begin


def peak_mb() -> float:
    """Return the most memory that this program has held since it began, in MB (proc(5), VmHWM).

    Not `getrusage`: its figure is inherited from whoever started the program.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def interleaved(runs: int, *jobs: Callable[[], Sample]) -> tuple[list[Sample], ...]:
    """Return `runs` samples of each job, taken in turn so that a busy moment hits all; a warm-up is dropped."""
    samples: tuple[list[Sample], ...] = tuple([] for _ in jobs)
    for turn in range(runs + 1):
        for job, taken in zip(jobs, samples, strict=True):
            sample = job()
            if turn:
                taken.append(sample)
    return samples


def row(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    peer: str = "",
    peer_samples: Sequence[float] = (),
    goal: float | None = None,
    at_least: float | None = None,
) -> Row:
    """Return the row for `samples`: `goal` is the most that the median may be, `at_least` the least; give one or none.

    A peer whose median is 0 did nothing that a ratio could be taken to.
    """
    value = statistics.median(samples)
    against = statistics.median(peer_samples) if peer_samples else 0.0
    return Row(
        name=name,
        value=round(value, 4),
        unit=unit,
        low=round(percentile(samples, 0.05), 4),
        high=round(percentile(samples, 0.95), 4),
        peer=peer,
        ratio=round(value / against, 2) if against else None,
        goal=f"<= {goal} {unit}" if goal is not None else f">= {at_least} {unit}" if at_least is not None else "",
        met=value <= goal if goal is not None else value >= at_least if at_least is not None else None,
    )
