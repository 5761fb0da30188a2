"""The best roadmap that the effort allows, and how far from the best possible it may be.

Small problems go to constraint programming whole. Larger ones start from the best serial schedule, and constraint
programming improves one neighbourhood after the other (large-neighbourhood search; Shaw, CP 1998): jobs of two teams
about one time, the costliest with some others, or jobs that wait for each other.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keystrand.plan.roadmap_bound import Bound, bounded, never
from keystrand.plan.roadmap_exact import Spare, has_solver, improved, in_time
from keystrand.plan.roadmap_problem import Problem, Reals, Whole, cost, exposure_at, followers_of, off_window
from keystrand.plan.roadmap_serial import as_announced, best_serial, hurried, into_windows, tightened

EFFORT = 1.0
"""Deterministic time of CP-SAT for a plan; a unit is 2 to 4 seconds on a core of 2024."""
_HALF_MOST = 200
"""Jobs up to which half of it is usual: measured on the example bank, the other half takes a second and finds less than
half a percent."""
WHOLE_MOST = 60
"""Jobs up to which the whole problem is tried at once: measured, beyond it a worker alone seldom finds better."""
_PART, _PART_LEAST, _PART_MOST = 40, 12, 120
"""Jobs in the first neighbourhood, and in the smallest and largest: solved well within its limit it grows, else not."""
_PART_LIMIT = 0.12
_GROWTH = 1.1
_OVERHEAD = 0.02
"""Effort counted for a neighbourhood beside the solver's, so that every search ends."""
_WHOLE_SHARE, _WHOLE_LIMIT = 0.6, 3.0
"""Share of the effort that the whole problem gets; what is left then goes to neighbourhoods."""
_SHARES = (0.5, 1.0)
"""Of what the known cost is above the bound: a proof among few ends is short, and where the best that it finds costs
more than it looked at, the second one starts from there."""
_IN_TIME_LIMIT = 0.5
"""Effort for a schedule that holds every deadline: it is found at once or seldom."""
_SEED = 20261126

Progress = Callable[[float, float, float], None]
"""Told the effort spent, the effort allowed, and the cost so far."""


class Found(NamedTuple):
    """A roadmap: its starts, a bound that no roadmap is below, whether it is the best, and how it came about."""

    starts: Whole
    bound: float
    proven: bool
    method: str


def usual_effort(size: int) -> float:
    """Return the effort for a plan of `size` measures: whole where all may be proven or there is much to find."""
    return EFFORT / 2 if WHOLE_MOST < size <= _HALF_MOST else EFFORT


def search(
    problem: Problem,
    *,
    effort: float = EFFORT,
    stop: Callable[[], bool] = never,
    progress: Progress | None = None,
    start: Whole | None = None,
) -> Found:
    """Return the best roadmap found when the effort is spent or `stop` says so. Equal inputs give equal roadmaps.

    `start`: a known schedule to begin from. Without OR-Tools the best serial schedule is the answer.
    """
    known = [best_serial(problem), *([start] if start is not None else [])]
    known += [as_announced(problem)] if problem.move_cost else []
    bound = bounded(problem, min(known, key=lambda made: cost(problem, made).total), stop)
    problem, starts = _held(problem, [bound.starts, *known], stop)
    if not problem.size or not has_solver() or effort <= 0:
        return Found(starts, bound.value, not problem.size, "serial")
    hunt = _Hunt(problem, bound._replace(starts=starts), effort, stop, progress)
    if problem.size <= WHOLE_MOST and not stop():
        hunt.whole()
    if not hunt.proven:
        hunt.parts()
    starts = tightened(problem, hunt.starts)
    return Found(starts, min(hunt.bound, cost(problem, starts).total), hunt.proven, "constraint programming")


def _held(problem: Problem, known: Sequence[Whole], stop: Callable[[], bool]) -> tuple[Problem, Whole]:
    """Return `problem` and the best of its `known` starts, the cheapest first.

    Where all deadlines can be held, the starts hold them, and a step late costs more than they do.
    """
    kept = [made for made in (*known, hurried(problem, known[0])) if not cost(problem, made).late]
    if not kept and has_solver() and not stop():
        made = in_time(problem, limit=_IN_TIME_LIMIT)
        kept = [] if made is None else [made]
    if not kept:
        return problem, known[0]
    starts = min((into_windows(problem, tightened(problem, m)) for m in kept), key=lambda m: cost(problem, m).total)
    return problem._replace(late_cost=max(problem.late_cost, 1.0 + cost(problem, starts).total)), starts


class _Hunt:
    """The state of a search."""

    def __init__(
        self, problem: Problem, bound: Bound, effort: float, stop: Callable[[], bool], progress: Progress | None
    ) -> None:
        self.problem, self.starts, self.effort, self.stop, self.progress = problem, bound.starts, effort, stop, progress
        self.cost, self.bound, self.proven, self.spent = cost(problem, bound.starts).total, bound.value, False, 0.0
        self.excess = bound.excess
        self.random = np.random.default_rng(_SEED)
        self.followers = followers_of(problem)
        self.part = float(_PART)

    def whole(self) -> None:
        """Try the whole problem, first among the ends that a schedule well below the known one would have."""
        floor, left = self.bound, min(self.effort * _WHOLE_SHARE, _WHOLE_LIMIT)
        for share in _SHARES if self.excess is not None else (1.0,):
            most = share * (self.cost - floor)
            spare = None if self.excess is None else Spare(self.excess, most)
            answer = improved(self.problem, self.starts, range(self.problem.size), limit=left, spare=spare)
            self._take(answer.starts, answer.effort)
            left -= answer.effort
            self.proven = answer.proven and (spare is None or self.cost <= floor + most + 1e-6)
            self.bound = max(self.bound, min(answer.bound, np.inf if spare is None else floor + most))
            if self.proven or left <= 0 or self.stop():
                break

    def parts(self) -> None:
        """Improve neighbourhoods until the effort is spent."""
        while self.spent < self.effort and not self.stop():
            free = self._neighbourhood()
            answer = improved(self.problem, self.starts, free, limit=_PART_LIMIT)
            self._take(answer.starts, answer.effort)
            size = self.part * (_GROWTH if answer.proven else 1 / _GROWTH)
            self.part = min(max(size, _PART_LEAST), _PART_MOST)

    def _take(self, starts: Whole, effort: float) -> None:
        self.spent += effort + _OVERHEAD
        found = cost(self.problem, starts).total
        if found < self.cost - 1e-9:
            self.starts, self.cost = starts, found
        if self.progress:
            self.progress(min(self.spent, self.effort), self.effort, self.cost)

    def _neighbourhood(self) -> Sequence[int]:
        if self.problem.size <= self.part:
            return range(self.problem.size)
        draw = self.random.random()
        return self._about_a_time() if draw < 0.5 else self._costly() if draw < 0.8 else self._connected()

    def _about_a_time(self) -> list[int]:
        teams = self.random.permutation(len(self.problem.capacity))[:2]
        members = np.flatnonzero(np.isin(self.problem.team, teams))
        ends = self.starts + self.problem.length
        middle = self.random.uniform(0, float(ends.max()))
        return sorted(
            members[np.argsort(np.abs(self.starts[members] - middle), kind="stable")][: int(self.part)].tolist()
        )

    def _costly(self) -> list[int]:
        weights = _each(self.problem, self.starts) * self.random.random(self.problem.size)
        chosen = np.argsort(-weights, kind="stable")[: int(self.part) // 2]
        others = self.random.permutation(self.problem.size)[: int(self.part) // 2]
        return sorted({*chosen.tolist(), *others.tolist()})

    def _connected(self) -> list[int]:
        found: dict[int, None] = {}
        ahead: list[int] = []
        while len(found) < self.part:
            if not ahead:
                ahead.append(int(self.random.integers(self.problem.size)))
            n = ahead.pop(0)
            if n not in found:
                found[n] = None
                ahead += [*self.problem.before[n], *self.followers[n]]
        return sorted(found)


def _each(problem: Problem, starts: Whole) -> Reals:
    """Return what each job costs as it stands."""
    ends = starts + problem.length
    late = np.maximum(ends - problem.deadline, 0) * problem.late_cost
    weights: Reals = exposure_at(problem, ends) + late + off_window(problem, ends)
    return weights
