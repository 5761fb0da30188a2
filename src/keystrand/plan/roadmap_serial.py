"""Schedules without a solver: jobs one after the other, the most pressing first, each as early as it fits.

Serial schedule generation (Kolisch, European Journal of Operational Research 90, 1996) under several orders: exposure
saved for each engineer-step (Smith's ratio), which a job inherits from those that wait for it; deadlines; as listed.
"""

from heapq import heapify, heappop, heappush

import numpy as np

from keystrand.plan.roadmap_problem import (
    Problem,
    Reals,
    Whole,
    after_freeze,
    cost,
    exposure_at,
    followers_of,
    in_order,
    spans_of,
)

_INHERITED = 0.98
"""Share of its urgency that a job hands on to what it waits for; below 1, so that of two the nearer one goes first."""

_HURRIES, _HURRIED_JOBS = 60, 60_000
"""Orders tried before a schedule that misses deadlines is left as it is: most need fewer than 20. Of large problems
fewer are tried, so that no more jobs than this are placed."""


class _Hands:
    """How many hands of one team are busy at each step."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.full_until = capacity, 0
        self.busy: Whole = np.zeros(1024, dtype=np.int64)

    def fit(self, start: int, length: int, engineers: int) -> int:
        """Return the first start from `start` on at which the job fits."""
        start, most = max(start, self.full_until), self.capacity - engineers
        while True:
            self._reach(start + length)
            over = np.flatnonzero(self.busy[start : start + length] > most)
            if not len(over):
                return start
            start += int(over[-1]) + 1

    def take(self, start: int, length: int, engineers: int) -> None:
        """Make the job's engineers busy."""
        self._reach(start + length)
        self.busy[start : start + length] += engineers
        while self.full_until < len(self.busy) and self.busy[self.full_until] >= self.capacity:
            self.full_until += 1

    def _reach(self, end: int) -> None:
        if end > len(self.busy):
            grown = np.zeros(max(end, 2 * len(self.busy)), dtype=np.int64)
            grown[: len(self.busy)] = self.busy
            self.busy = grown


def serial(problem: Problem, urgency: Reals) -> Whole:
    """Return the starts when jobs are placed by falling `urgency`, none before what it waits for."""
    hands = [_Hands(int(capacity)) for capacity in problem.capacity]
    waiting = [len(before) for before in problem.before]
    followers = followers_of(problem)
    ready = [(-float(urgency[n]), n) for n, count in enumerate(waiting) if not count]
    heapify(ready)
    starts = np.zeros(problem.size, dtype=np.int64)
    while ready:
        n = heappop(ready)[1]
        starts[n] = _place(problem, n, starts, hands[int(problem.team[n])])
        for after in followers[n]:
            waiting[after] -= 1
            if not waiting[after]:
                heappush(ready, (-float(urgency[after]), after))
    return starts


def _place(problem: Problem, n: int, starts: Whole, hands: _Hands) -> int:
    length, engineers, frozen = int(problem.length[n]), int(problem.engineers[n]), spans_of(problem, n)
    start = max([int(problem.release[n]), *(int(starts[b] + problem.length[b]) for b in problem.before[n])])
    while True:
        start = hands.fit(start, length, engineers)
        thawed = after_freeze(frozen, start + length) - length
        if thawed == start:
            break
        start = thawed
    hands.take(start, length, engineers)
    return start


def by_exposure(problem: Problem) -> Reals:
    """Return exposure for each step of delay over engineer-steps, and no less than what those who wait for it have."""
    years = max((problem.exposure.shape[1] - 1) * problem.pitch, 1)
    slope = (problem.exposure[:, -1] - problem.exposure[:, 0]) / years
    urgency: Reals = slope / (problem.length * problem.engineers)
    for n in reversed(in_order(problem)):
        for first in problem.before[n]:
            urgency[first] = max(urgency[first], urgency[n] * _INHERITED)
    return urgency


def by_deadline(problem: Problem) -> Reals:
    """Return an urgency by which the first deadline goes first; equal ones as they are listed."""
    order = np.lexsort((np.arange(problem.size), problem.deadline))
    urgency = np.empty(problem.size)
    urgency[order] = -np.arange(problem.size, dtype=float)
    return urgency


def as_listed(problem: Problem) -> Reals:
    """Return an urgency by which the jobs go as they are listed."""
    return -np.arange(problem.size, dtype=float)


def best_serial(problem: Problem) -> Whole:
    """Return the cheapest of the schedules that the orders give, moved into windows where that costs less."""
    made = [serial(problem, order(problem)) for order in (by_exposure, by_deadline, as_listed)]
    return into_windows(problem, min(made, key=lambda starts: cost(problem, starts).total))


def as_announced(problem: Problem) -> Whole:
    """Return the schedule that keeps every announced end that can still be kept; what is new comes after it."""
    known = problem.announced >= 0
    begins = np.where(known, np.maximum(problem.announced - problem.length, 0), 0)
    last = float(begins.max(initial=0)) + 1.0
    held = problem._replace(release=np.maximum(problem.release, begins))
    return serial(held, np.where(known, -begins.astype(float), -last))


def hurried(problem: Problem, starts: Whole) -> Whole:
    """Return `starts`, or a schedule that misses no deadline: again and again, who is late and what it waits for come
    earlier in the order, by as much as it is late; `starts` where that does not end well."""
    keys, made = starts.astype(float), starts
    for _ in range(min(_HURRIES, _HURRIED_JOBS // max(problem.size, 1) + 1)):
        over = made + problem.length - problem.deadline
        late = np.flatnonzero(over > 0)
        if not len(late):
            return made
        for n in late:
            chain = [int(n)]
            for k in chain:
                chain += [b for b in problem.before[k] if b not in chain]
            keys[chain] -= float(over[n])
        made = serial(problem, -keys)
    return starts


def tightened(problem: Problem, starts: Whole) -> Whole:
    """Return `starts` with every job as early as it fits among the others; windows and announced ends are kept."""
    ends = starts + problem.length
    cheap = np.array([any(low <= ends[n] < high for low, high in s) for n, s in enumerate(problem.windows)], dtype=bool)
    kept = (cheap & (problem.surcharge > 0)) | ((problem.announced == ends) & (problem.move_cost > 0))
    held = problem._replace(release=np.where(kept, starts, problem.release))
    made = serial(held, -starts.astype(float))
    return made if cost(problem, made).total <= cost(problem, starts).total else starts


def into_windows(problem: Problem, starts: Whole) -> Whole:
    """Return `starts` with jobs moved later into a window, where that costs less and moves nothing else."""
    made, followers = starts.copy(), followers_of(problem)
    busy = {t: busy_of(problem, made, t) for t in {int(problem.team[n]) for n in np.flatnonzero(problem.surcharge)}}
    for n in reversed(in_order(problem)):
        if not problem.surcharge[n]:
            continue
        latest = min((int(made[after]) for after in followers[n]), default=int(problem.deadline[n]))
        better = _window_start(problem, n, int(made[n]), min(latest, int(problem.deadline[n])))
        if better is None:
            continue
        length, engineers, hands = int(problem.length[n]), int(problem.engineers[n]), busy[int(problem.team[n])]
        hands[made[n] : made[n] + length] -= engineers
        if not (hands[better : better + length] + engineers > problem.capacity[problem.team[n]]).any():
            made[n] = better
        hands[made[n] : made[n] + length] += engineers
    return made


def _window_start(problem: Problem, n: int, start: int, latest: int) -> int | None:
    """Return the start that ends in the first window ahead by `latest`, if the wait costs less than the surcharge."""
    length, frozen = int(problem.length[n]), spans_of(problem, n)
    if any(low <= start + length < high for low, high in problem.windows[n]):
        return None
    for low, high in sorted(problem.windows[n]):
        end = after_freeze(frozen, low)
        if start + length < end < high and end <= latest:
            row, ends = slice(n, n + 1), np.array([start + length, end])
            now, then = (float(exposure_at(problem, ends[k : k + 1], row)[0]) for k in (0, 1))
            return end - length if then - now < problem.surcharge[n] else None
    return None


def busy_of(problem: Problem, starts: Whole, team: int, leave_out: frozenset[int] = frozenset()) -> Whole:
    """Return how many hands of `team` are busy at each step, up to the last window and end of all."""
    members = [n for n in np.flatnonzero(problem.team == team) if n not in leave_out]
    last = int((starts + problem.length).max(initial=0))
    last = max([last, *(high + 1 for spans in problem.windows for _, high in spans)])
    steps = np.zeros(last + 1, dtype=np.int64)
    np.add.at(steps, starts[members], problem.engineers[members])
    np.subtract.at(steps, starts[members] + problem.length[members], problem.engineers[members])
    return np.cumsum(steps)
