"""A lower bound on the cost of every schedule there can be, and good schedules that its search comes across.

Lagrangian relaxation of the teams' capacity and of the dependencies (Fisher, Management Science 27, 1981; for schedules
Christofides et al., European Journal of Operational Research 29, 1987): each engineer-step gets a price, and so does,
for each step and pair of jobs, that the first has not ended where the second has begun. Each job picks its cheapest end
alone, and what the hands and the order are worth at those prices comes off. Any prices give a true bound; a subgradient
search finds good ones. What the jobs pick is close to a schedule, and is repaired into one now and then (Moehring et
al., Management Science 49, 2003). Jobs keep the earliest ends that their dependencies allow.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.plan.roadmap_problem import (
    Problem,
    Reals,
    Whole,
    after_freeze,
    cost,
    exposure_at,
    heads,
    spans_of,
)
from keystrand.plan.roadmap_serial import into_windows, serial, tightened

_ROUNDS, _LEAST_ROUNDS, _CELLS_IN_ALL = 120, 20, 240_000_000
"""Rounds; of a large problem fewer, so that all of them look at no more cells than this."""
_PATIENCE = 6
"""Rounds without a better bound after which the step is halved."""
_FIRST_REPAIR, _JOBS_A_ROUND = 10, 70
"""The round of the first repair, and how many jobs more make repairs one round rarer: they take longer then."""
_MOST_CELLS = 12_000_000
"""Jobs and dependencies times steps that the search keeps in memory, eight octets each; beyond, hands count as
endless."""


class Bound(NamedTuple):
    """A cost that no schedule is below, the best schedule known, and what ends add (None beyond memory).

    `excess` (N x W + 1): how far a schedule with that end of a job is above the bound at least, and summed over them
    too; the last column stands for every end from W on. An end whose excess is more than what a known schedule is above
    the bound is in no better one (reduced-cost fixing).
    """

    value: float
    starts: Whole
    excess: Reals | None


class _Alone(NamedTuple):
    """What each end costs each job by itself (N x W, infinite where not allowed), and a cost no later end is below."""

    costs: Reals
    beyond: Reals


def never() -> bool:
    """Return that nobody asked to stop."""
    return False


def bounded(problem: Problem, starts: Whole, stop: Callable[[], bool] = never) -> Bound:
    """Return a bound on `problem` and a schedule no dearer than the known one, `starts`."""
    if not problem.size:
        return Bound(0.0, starts, None)
    first, width = heads(problem), _width(problem, starts)
    if (problem.size + sum(map(len, problem.before))) * width > _MOST_CELLS:
        return Bound(_endless(problem, first), starts, None)
    hunt = _Prices(problem, _alone(problem, first, width), starts)
    hunt.run(stop)
    return Bound(hunt.best, hunt.starts, hunt.excess)


def _width(problem: Problem, starts: Whole) -> int:
    """Return W, beyond all windows, the end of the known schedule and the earliest end of every job."""
    ends = [int((starts + problem.length).max()), int(heads(problem).max()), int(problem.announced.max())]
    return max([*ends, *(high for spans in problem.windows for _, high in spans)]) + 2


def _alone(problem: Problem, first: Whole, width: int) -> _Alone:
    ends = np.broadcast_to(np.arange(width), (problem.size, width))
    costs = exposure_at(problem, ends) + np.maximum(ends - problem.deadline[:, None], 0) * problem.late_cost
    known = problem.announced >= 0
    costs[known] += np.abs(ends[known] - problem.announced[known, None]) * problem.move_cost
    beyond = costs[:, -1] + problem.surcharge
    for n in range(problem.size):
        due = np.full(width, problem.surcharge[n])
        for low, high in problem.windows[n]:
            due[max(low, 0) : high] = 0.0
        costs[n] += due
        costs[n, : first[n]] = np.inf
        for low, high in spans_of(problem, int(n)):
            costs[n, low:high] = np.inf
    return _Alone(costs, beyond)


def _endless(problem: Problem, first: Whole) -> float:
    """Return the bound with endless hands: every job ends first of all, or in the window where that is cheaper."""
    early = exposure_at(problem, first) + np.maximum(first - problem.deadline, 0) * problem.late_cost
    best = early + problem.surcharge
    for n in np.flatnonzero(problem.surcharge):
        for low, high in problem.windows[n]:
            end = after_freeze(spans_of(problem, int(n)), max(low, int(first[n])))
            if end < high:
                waits = float(exposure_at(problem, np.array([end]), slice(n, n + 1))[0])
                best[n] = min(best[n], waits + max(end - int(problem.deadline[n]), 0) * problem.late_cost)
    return float(best.sum())


class _Prices:
    """The state of the search for prices: of hands (T x W), and of the order of A pairs of jobs (A x W)."""

    def __init__(self, problem: Problem, alone: _Alone, starts: Whole) -> None:
        self.problem, self.alone, self.starts, self.known = problem, alone, starts, cost(problem, starts).total
        self.steps = np.arange(alone.costs.shape[1])
        self.begins = np.maximum(self.steps - problem.length[:, None], 0)
        pairs = [(a, b) for b, before in enumerate(problem.before) for a in before]
        self.first, self.second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self.hands = np.zeros((len(problem.capacity), len(self.steps)))
        self.order = np.zeros((len(pairs), len(self.steps)))
        self.best, self.excess = -np.inf, np.zeros((problem.size, len(self.steps) + 1))

    def run(self, stop: Callable[[], bool]) -> None:
        """Search until the rounds are over, the bound meets what is known, or `stop` says so."""
        step, stale, usual = 1.0, 0, None
        rare = 3 + self.problem.size // _JOBS_A_ROUND
        cells = self.excess.size + self.order.size
        for number in range(min(_ROUNDS, max(_LEAST_ROUNDS, _CELLS_IN_ALL // cells))):
            before = self.best
            value, ends, later = self._picked()
            stale = 0 if self.best > before + 1e-9 * abs(before) else stale + 1
            usual = ends.astype(float) if usual is None else 0.7 * usual + 0.3 * ends
            if number >= _FIRST_REPAIR and (number - _FIRST_REPAIR) % rare == 0:
                self._repair(ends)
                self._repair(usual.astype(np.int64))
            if stale >= _PATIENCE:
                step, stale = step / 2, 0
            if stop() or not self._moved(step * max(self.known - value, 0.0), ends, later):
                break

    def _picked(self) -> tuple[float, Whole, NDArray[np.bool_]]:
        """Return the bound at the prices, the end that each job picks, and which pick one beyond the steps."""
        problem, width = self.problem, len(self.steps)
        hands, order = _summed(self.hands), _summed(self.order)
        paid = hands[problem.team]
        priced = paid[:, :width] - np.take_along_axis(paid, self.begins, axis=1)
        priced *= problem.engineers[:, None]
        priced += self.alone.costs
        np.add.at(priced, self.first, order[:, :width])
        np.add.at(priced, self.second, order[:, -1:] - np.take_along_axis(order, self.begins[self.second], axis=1))
        ends = priced.argmin(axis=1)
        least = priced[np.arange(problem.size), ends]
        later = self.alone.beyond < least
        least = np.where(later, self.alone.beyond, least)
        value = float(least.sum() - self.hands.sum(axis=1) @ problem.capacity - self.order.sum())
        if value > self.best:
            self.best = value
            np.subtract(priced, least[:, None], out=self.excess[:, :width])
            self.excess[:, width] = self.alone.beyond - least
        return value, ends, later

    def _moved(self, ahead: float, ends: Whole, later: NDArray[np.bool_]) -> bool:
        """Raise the price of what is taken twice and lower it where nothing is; return whether any price moved."""
        problem, starts = self.problem, ends - self.problem.length
        busy = np.zeros((len(problem.capacity), len(self.steps) + 1))
        here = ~later
        np.add.at(busy, (problem.team[here], np.maximum(starts, 0)[here]), problem.engineers[here])
        np.subtract.at(busy, (problem.team[here], ends[here]), problem.engineers[here])
        over = np.cumsum(busy, axis=1)[:, :-1] - problem.capacity[:, None]
        over[(over < 0) & (self.hands <= 0)] = 0
        # the first of a pair takes the order until its end, the second from its begin on: one of them at a time
        last = np.where(later, len(self.steps), ends)[self.first, None]
        begin = np.where(later, len(self.steps), starts)[self.second, None]
        both = (self.steps < last).astype(float) + (self.steps >= begin) - 1.0
        both[(both < 0) & (self.order <= 0)] = 0
        size = float((over**2).sum() + (both**2).sum())
        if size == 0 or ahead <= 1e-9 * max(self.known, 1.0):
            return False
        self.hands = np.maximum(self.hands + ahead / size * over, 0.0)
        self.order = np.maximum(self.order + ahead / size * both, 0.0)
        return True

    def _repair(self, ends: Whole) -> None:
        """Make a schedule of the ends: jobs by their start or by their middle; who picked a window waits for it."""
        problem, starts = self.problem, np.maximum(ends - self.problem.length, 0)
        cheap = np.array([any(low <= e < high for low, high in s) for e, s in zip(ends, problem.windows, strict=True)])
        held = problem._replace(
            release=np.where(cheap & (problem.surcharge > 0), np.maximum(starts, problem.release), problem.release)
        )
        made = [serial(held, -(starts + share * problem.length)) for share in (0.0, 0.5)]
        best = min(made, key=lambda one: cost(problem, one).total)
        best = into_windows(problem, tightened(problem, best))
        if (found := cost(problem, best).total) < self.known - 1e-9:
            self.starts, self.known = best, found


def _summed(prices: Reals) -> Reals:
    return np.concatenate((np.zeros((len(prices), 1)), np.cumsum(prices, axis=1)), axis=1)
