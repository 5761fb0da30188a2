"""Search for the cheapest topology: greedy, cheap moves, a large neighbourhood at a time, the whole with its bound.

Large-neighbourhood search: P. Shaw, CP 1998. A neighbourhood is a dozen needs laid anew together, the others kept.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from keystrand.formats.estate_checks import great_circle_km
from keystrand.model.stages.designed import Ended
from keystrand.plan.topology_greedy import Layout, greedy
from keystrand.plan.topology_improve import improved
from keystrand.plan.topology_links import Problem
from keystrand.plan.topology_model import Fixed, layout_of, programme_of, values_of
from keystrand.plan.topology_solver import Solved, relaxed_bound, solve

T = TypeVar("T")

AT_ONCE = 12
"""Needs laid anew together: 6 find far less, 14 take far longer."""
WHOLE_MOST = 20
"""Up to so many needs the whole is solved, not only bounded."""
_SHARE_OF_TIME = {True: 0.2, False: 0.75}
"""Of the time for neighbourhoods: where the whole is solved after them, and where it is only bounded."""
_TREE_NODES, _ROUND_S, _ROUND_GAP = 300, 12.0, 1e-3
_DETOUR = 3.0
"""A neighbourhood looks at relays on the way or not much off it; paths that are there stay possible."""
_NOTHING_FOUND = 2.5
"""Stop the neighbourhoods after so many rounds a need without a better one."""


class Wait(Protocol):
    """Runs a job and returns what it returns."""

    def __call__(self, job: Callable[[], T]) -> T:
        """Return what `job` returns."""


def at_once(job: Callable[[], T]) -> T:
    """Return what `job` returns: the plainest way to wait."""
    return job()


class Limits(NamedTuple):
    """What a search may take. `left_s`: seconds left; `told`: hears (words, cost, bound) as they change.

    `wait`: runs a solver and returns what it says, so that ^C can end the wait.
    """

    left_s: Callable[[], float]
    rounds: int
    seed: int
    told: Callable[[str, float, float], None]
    wait: Wait = at_once


class Found(NamedTuple):
    """The best layout, its cost, the proven bound of any, what greedy found, and why the search ended."""

    layout: Layout
    cost: float
    bound: float
    first: Layout
    ended: Ended


def search(problem: Problem, limits: Limits) -> Found:
    """Return the best layout found for needs that can each be served alone. ^C ends the search, not the result."""
    first = greedy(problem)
    state = _Search(problem, first, limits)
    try:
        ended = state.run()
    except KeyboardInterrupt:
        ended = Ended.STOPPED
    return Found(state.best, state.best.cost(problem), state.bound, first, ended)


class _Search:
    """The best layout so far, and the bound."""

    def __init__(self, problem: Problem, first: Layout, limits: Limits) -> None:
        self.problem, self.best, self.limits = problem, first, limits
        self._worth = 0.0
        self._total_s, self._by_time = limits.left_s(), False
        self._draws = np.random.default_rng(limits.seed)
        most = sum(problem.node_cost.values()) + sum(
            v.once + problem.most_systems * v.each for k in problem.links for v in k.variants
        )
        self._penalty = min(most, 10 * first.cost(problem) + 1e4)

    @property
    def _all(self) -> range:
        return range(len(self.problem.needs))

    @property
    def bound(self) -> float:
        """Return what no layout that serves the same needs as the best costs less than.

        Bounds are of the cost with penalties, and each such layout has the penalties of the best.
        """
        return max(0.0, self._worth - self._penalty * len(self._skippable()))

    def value(self, layout: Layout) -> float:
        """Return the cost with the penalty of every need that is not served."""
        return layout.cost(self.problem) + self._penalty * (len(self.problem.needs) - len(layout.routes))

    def run(self) -> Ended:
        """Search until the optimum is proven, or time or rounds are over."""
        number = len(self.problem.needs)
        self.limits.told("greedy", self.best.cost(self.problem), self.bound)
        whole = number <= WHOLE_MOST
        enough = self._total_s * (1 - _SHARE_OF_TIME[whole] / 2)
        self._relax(self._total_s - enough)
        improved(
            self.problem, self.best, self._draws, lambda: self._more(enough), lambda layout: self._take(layout, "moves")
        )
        if number > AT_ONCE:
            self._neighbourhoods(self._total_s * (1 - _SHARE_OF_TIME[whole]))
        solved = self._whole(None if whole else 1)
        if solved.proven:
            return Ended.PROVEN
        return Ended.TIME if self._by_time else Ended.ROUNDS

    def _relax(self, seconds: float) -> None:
        """Bound the cost by the relaxation, so that there is a bound whenever the search ends."""
        made, _ = programme_of(self.problem, self._all, Fixed({}, ()), penalty=self._skippable())
        bound = self.limits.wait(lambda: relaxed_bound(made, seconds))
        self._worth = max(self._worth, bound)
        self.limits.told("bound", self.best.cost(self.problem), self.bound)

    def _skippable(self) -> dict[int, float]:
        return {n: self._penalty for n in self._all if n not in self.best.routes}

    def _more(self, keep_s: float) -> bool:
        """Return whether more than `keep_s` is left, and remember where it is not."""
        self._by_time |= self.limits.left_s() <= keep_s
        return self.limits.left_s() > keep_s

    def _whole(self, nodes: int | None) -> Solved:
        """Solve for all needs at once: bound the cost, and take the layout where it is better."""
        penalty = self._skippable()
        made, columns = programme_of(self.problem, self._all, Fixed({}, ()), penalty=penalty)
        hint = values_of(columns, self.best, self._all)
        left = self.limits.left_s()
        solved = self.limits.wait(lambda: solve(made, seconds=left, nodes=nodes, hint=hint))
        self._by_time |= solved.by_time
        self._worth = max(self._worth, solved.bound)
        if solved.values is not None:
            self._take(layout_of(self.problem, columns, solved.values, self._all), "whole")
        return solved

    def _take(self, layout: Layout, words: str) -> bool:
        if self.value(layout) >= self.value(self.best) - 1e-6:
            return False
        self.best = layout
        self.limits.told(words, layout.cost(self.problem), self.bound)
        return True

    def _neighbourhoods(self, keep_s: float) -> None:
        quiet = 0
        for _ in range(self.limits.rounds):
            if not self._more(keep_s + 1.0) or quiet > _NOTHING_FOUND * len(self.problem.needs):
                return
            seconds = min(self.limits.left_s() - keep_s, _ROUND_S)
            quiet = 0 if self._round(self._chosen(), seconds) else quiet + 1

    def _round(self, needs: Sequence[int], seconds: float) -> bool:
        others = Layout({n: paths for n, paths in self.best.routes.items() if n not in needs})
        fixed = Fixed(others.loads(self.problem), others.relays(self.problem))
        penalty = {n: self._penalty for n in needs if n not in self.best.routes}
        near = {n: self._near(n) for n in needs}
        made, columns = programme_of(self.problem, needs, fixed, penalty=penalty, near=near)
        hint = values_of(columns, self.best, needs)
        solved = self.limits.wait(lambda: solve(made, seconds=seconds, nodes=_TREE_NODES, gap=_ROUND_GAP, hint=hint))
        self._by_time |= solved.by_time
        if solved.values is None:
            return False
        laid = layout_of(self.problem, columns, solved.values, needs).routes
        return self._take(Layout(dict(sorted({**others.routes, **laid}.items()))), "neighbourhood")

    def _near(self, number: int) -> set[str]:
        """Return the places not far off the way of a need, and those that it passes now."""
        need, nodes = self.problem.needs[number], self.problem.nodes
        a, b = nodes[need.a], nodes[need.b]
        most = _DETOUR * great_circle_km(a, b) + 100.0
        made = {n for n, v in nodes.items() if great_circle_km(a, v) + great_circle_km(v, b) <= most}
        return made | {
            end for path in self.best.routes.get(number, ()) for _, start, end in path for end in (start, end)
        }

    def _chosen(self) -> list[int]:
        """Return the needs of the next neighbourhood: one, and those that share the most places with it, or any."""
        missing = [n for n in self._all if n not in self.best.routes]
        centre = (
            int(self._draws.choice(missing))
            if missing and self._draws.random() < 0.5
            else int(self._draws.integers(len(self.problem.needs)))
        )
        touched = {n: self._touched(n) for n in self._all}
        shared = np.array([len(touched[centre] & touched[n]) for n in self._all], dtype=float)
        related = shared if self._draws.random() < 0.6 else np.zeros(len(shared))
        order = np.argsort(-(related + 4 * self._draws.random(len(shared))), kind="stable")
        picked = [centre, *(int(n) for n in order if n != centre)][:AT_ONCE]
        return sorted(picked)

    def _touched(self, number: int) -> set[str]:
        need = self.problem.needs[number]
        return {need.a, need.b} | {end for path in self.best.routes.get(number, ()) for _, _, end in path}
