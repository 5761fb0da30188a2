"""A lower bound on the cost of every schedule there can be, so that a plan can say how far from the best it may be.

Lagrangian relaxation of the teams' capacity (Fisher, Management Science 27, 1981; for schedules Christofides et al.,
European Journal of Operational Research 29, 1987): each engineer-step gets a price, each job picks its cheapest end
alone, and what the teams' hands are worth at those prices comes off. Any prices give a true bound; a subgradient search
finds good ones. Jobs keep the earliest ends that their dependencies allow.
"""

from typing import NamedTuple

import numpy as np

from keystrand.plan.roadmap_problem import (
    NEVER,
    Problem,
    Reals,
    Whole,
    after_freeze,
    cost,
    exposure_at,
    heads,
    spans_of,
)

_ROUNDS = 100
_PATIENCE = 6
"""Rounds without a better bound after which the step is halved."""
_MOST_CELLS = 16_000_000
"""Jobs times steps that the search keeps in memory, eight octets each; beyond, hands count as endless."""


class _Alone(NamedTuple):
    """What each end costs each job by itself (N x W, infinite where not allowed), and a cost no later end is below."""

    costs: Reals
    beyond: Reals


def lower_bound(problem: Problem, starts: Whole) -> float:
    """Return a cost that no schedule of `problem` is below; `starts` is a known one."""
    if not problem.size:
        return 0.0
    first, width = heads(problem), _width(problem, starts)
    if problem.size * width > _MOST_CELLS:
        return _endless(problem, first)
    return max(_searched(problem, _alone(problem, first, width), cost(problem, starts).total)[0], 0.0)


def latest_ends(problem: Problem, starts: Whole) -> Whole:
    """Return the last end of each job in any schedule cheaper than `starts`; `NEVER` beyond the steps looked at.

    An end whose price above the job's cheapest exceeds what is between the bound and the known cost is in no better
    schedule (reduced-cost fixing).
    """
    known, alone = cost(problem, starts).total, _alone(problem, heads(problem), _width(problem, starts))
    bound, prices = _searched(problem, alone, known)
    summed, last = _summed(prices), np.full(problem.size, NEVER)
    ends = np.arange(alone.costs.shape[1])
    for team, length, engineers, rows in _groups(problem):
        priced = alone.costs[rows] + engineers * (summed[team, ends] - summed[team, np.maximum(ends - length, 0)])
        most = np.minimum(priced.min(axis=1), alone.beyond[rows]) + (known - bound) + 1e-6
        inside = priced <= most[:, None]
        found = len(ends) - 1 - inside[:, ::-1].argmax(axis=1)
        last[rows] = np.where(inside.any(axis=1) & (alone.beyond[rows] > most), found, NEVER)
    return last


def _summed(prices: Reals) -> Reals:
    return np.concatenate((np.zeros((len(prices), 1)), np.cumsum(prices, axis=1)), axis=1)


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


def _searched(problem: Problem, alone: _Alone, known: float) -> tuple[float, Reals]:
    """Return the best bound found, and the prices (T x W) that gave it."""
    width = alone.costs.shape[1]
    prices = np.zeros((len(problem.capacity), width))
    groups = _groups(problem)
    best, step, stale, paid = -np.inf, 1.0, 0, prices
    for _ in range(_ROUNDS):
        value, busy = _priced(problem, alone, prices, groups)
        stale = 0 if value > best + 1e-9 * abs(value) else stale + 1
        if value > best:
            best, paid = value, prices
        slack = busy - problem.capacity[:, None]
        slack[(slack < 0) & (prices <= 0)] = 0
        size = float((slack**2).sum())
        if size == 0 or known - value <= 1e-9 * max(known, 1.0):
            break
        if stale >= _PATIENCE:
            step, stale = step / 2, 0
        prices = np.maximum(prices + step * max(known - value, 0.0) / size * slack, 0.0)
    return best, paid


def _groups(problem: Problem) -> list[tuple[int, int, int, Whole]]:
    """Return team, length, engineers and the jobs that share them: they pay alike."""
    keys = np.stack((problem.team, problem.length, problem.engineers), axis=1)
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    which = which.ravel()
    return [(int(k[0]), int(k[1]), int(k[2]), np.flatnonzero(which == n)) for n, k in enumerate(kinds)]


def _priced(
    problem: Problem, alone: _Alone, prices: Reals, groups: list[tuple[int, int, int, Whole]]
) -> tuple[float, Reals]:
    """Return the bound at `prices` (T x W), and how many hands the jobs would then take at each step."""
    teams, width = prices.shape
    summed = _summed(prices)
    change = np.zeros((teams, width + 1))
    value = -float((prices.sum(axis=1) * problem.capacity).sum())
    for team, length, engineers, rows in groups:
        ends = np.arange(width)
        wage = engineers * (summed[team, ends] - summed[team, np.maximum(ends - length, 0)])
        priced = alone.costs[rows] + wage
        pick = priced.argmin(axis=1)
        paid = priced[np.arange(len(rows)), pick]
        later = alone.beyond[rows] < paid
        value += float(np.where(later, alone.beyond[rows], paid).sum())
        pick = pick[~later]
        np.add.at(change[team], np.maximum(pick - length, 0), engineers)
        np.subtract.at(change[team], pick, engineers)
    return value, np.cumsum(change, axis=1)[:, :width]
