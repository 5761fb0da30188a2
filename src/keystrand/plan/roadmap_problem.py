"""What a roadmap is a solution of: jobs in whole steps of time, teams with few hands, and what each end costs.

Time counts in steps (a day, or a week in benchmarks) from the first moment at which work can begin. A job runs from
`start` to `end = start + length`, the end not included; whoever waits for it begins at its end or later.

The cost of an end is the sum of four parts, all in data-years: exposure, a convex function that is linear between knots
every `pitch` steps and goes on with its last slope beyond them; lateness; a surcharge outside the windows in which the
change is cheap; and a price for moving a date that was announced before.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]

NEVER = 1 << 40
"""The deadline of a job without one, in steps."""

Span = tuple[int, int]
"""From a step to another, the second one not included."""


class Problem(NamedTuple):
    """N jobs of T teams. Arrays are of length N unless they say otherwise.

    `release`: first step at which it may start. `capacity` (T): hands of a team. `calendar` (N) names a row of
    `frozen`, or -1: spans, in order and apart, that no end may lie in. `before` lists the jobs that must have ended.
    `windows`: spans of cheap ends; `surcharge` is due outside all of them. `exposure` (N x K): at the ends 0, `pitch`,
    2 `pitch` ...; convex and rising. `late_cost`, `move_cost`: for each step. `announced`: an end, or -1.
    """

    ids: tuple[str, ...]
    team: Whole
    length: Whole
    engineers: Whole
    release: Whole
    deadline: Whole
    before: tuple[tuple[int, ...], ...]
    capacity: Whole
    calendar: Whole
    frozen: tuple[tuple[Span, ...], ...]
    windows: tuple[tuple[Span, ...], ...]
    surcharge: Reals
    pitch: int
    exposure: Reals
    late_cost: float
    announced: Whole
    move_cost: float = 0.0

    @property
    def size(self) -> int:
        """Return N."""
        return len(self.ids)


class Cost(NamedTuple):
    """What a schedule costs in data-years, and how many jobs end after their deadline."""

    exposure: float
    lateness: float
    surcharge: float
    moves: float
    late: int

    @property
    def total(self) -> float:
        """Return what is minimised."""
        return self.exposure + self.lateness + self.surcharge + self.moves


def exposure_at(problem: Problem, ends: Whole, rows: slice | Whole = slice(None)) -> Reals:
    """Return the exposure of the jobs `rows` at `ends` (same length, or rows x ends with a trailing axis)."""
    table = problem.exposure[rows]
    knot = np.clip(ends // problem.pitch, 0, table.shape[1] - 2)
    at = np.arange(len(table)) if ends.ndim == 1 else np.arange(len(table))[:, None]
    low, high = table[at, knot], table[at, knot + 1]
    beyond: Reals = low + (ends - knot * problem.pitch) * (high - low) / problem.pitch
    return beyond


def off_window(problem: Problem, ends: Whole) -> Reals:
    """Return the surcharge of every job at `ends`."""
    due = problem.surcharge.copy()
    for n in np.flatnonzero(due):
        if any(low <= ends[n] < high for low, high in problem.windows[n]):
            due[n] = 0.0
    return due


def cost(problem: Problem, starts: Whole) -> Cost:
    """Return what the schedule `starts` costs."""
    ends = starts + problem.length
    late = np.maximum(ends - problem.deadline, 0)
    moved = np.where(problem.announced >= 0, np.abs(ends - problem.announced), 0)
    return Cost(
        float(exposure_at(problem, ends).sum()),
        float(late.sum()) * problem.late_cost,
        float(off_window(problem, ends).sum()),
        float(moved.sum()) * problem.move_cost,
        int((late > 0).sum()),
    )


def after_freeze(spans: tuple[Span, ...], end: int) -> int:
    """Return the first end from `end` on that no span holds."""
    n = bisect_right(spans, (end, NEVER)) - 1
    return spans[n][1] if n >= 0 and end < spans[n][1] else end


def spans_of(problem: Problem, job: int) -> tuple[Span, ...]:
    """Return the spans in which the job may not end."""
    row = int(problem.calendar[job])
    return problem.frozen[row] if row >= 0 else ()


def in_order(problem: Problem) -> list[int]:
    """Return the jobs so that each stands after those it waits for; there must be no circle."""
    waiting = [len(before) for before in problem.before]
    followers = followers_of(problem)
    order = [n for n, count in enumerate(waiting) if not count]
    for n in order:
        for after in followers[n]:
            waiting[after] -= 1
            if not waiting[after]:
                order.append(after)
    return order


def followers_of(problem: Problem) -> list[list[int]]:
    """Return, for each job, those that wait for it."""
    found: list[list[int]] = [[] for _ in problem.ids]
    for n, before in enumerate(problem.before):
        for first in before:
            found[first].append(n)
    return found


def heads(problem: Problem) -> Whole:
    """Return the earliest end of every job if all teams had endless hands."""
    ends = np.zeros(problem.size, dtype=np.int64)
    for n in in_order(problem):
        start = max([int(problem.release[n]), *(int(ends[b]) for b in problem.before[n])])
        ends[n] = after_freeze(spans_of(problem, n), start + int(problem.length[n]))
    return ends


def holding(problem: Problem) -> Iterator[int]:
    """Yield the jobs that a deadline hangs on: those that have one, and what they wait for."""
    ahead, seen = [n for n in range(problem.size) if problem.deadline[n] < NEVER], set[int]()
    while ahead:
        n = ahead.pop()
        if n not in seen:
            seen.add(n)
            yield n
            ahead += problem.before[n]
