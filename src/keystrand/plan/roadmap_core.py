"""The smallest set of conditions that no roadmap can keep together, where every deadline must hold.

Deletion filter (Chinneck, Feasibility and Infeasibility in Optimization, 2008): conditions are taken away, many at once
and then one by one, as long as what is left stays impossible. What is left in the end is impossible, and possible
without any one of it, as far as the solver could tell within its limit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keystrand.plan.roadmap_exact import feasible, has_solver
from keystrand.plan.roadmap_problem import NEVER, Problem, heads

_LIMIT = 0.5
"""Deterministic time of CP-SAT for one question."""
_QUESTIONS = 400
"""Questions put to the solver at most; after them the set may be larger than need be."""


class Condition(NamedTuple):
    """A condition: deadline or supplier of a job, that `job` waits for `other`, hands of a team, a row of freezes."""

    kind: str
    job: int
    other: int = -1


def conditions(problem: Problem) -> list[Condition]:
    """Return every condition of `problem`, those first that are taken away first."""
    jobs = range(problem.size)
    return [
        *(Condition("deadline", n) for n in jobs if problem.deadline[n] < NEVER),
        *(Condition("freeze", row) for row, spans in enumerate(problem.frozen) if spans),
        *(Condition("supplier", n) for n in jobs if problem.release[n] > 0),
        *(Condition("dependency", n, first) for n in jobs for first in problem.before[n]),
        *(Condition("hands", team) for team in range(len(problem.capacity))),
    ]


def smallest_conflict(problem: Problem) -> tuple[Condition, ...]:
    """Return a smallest set of conditions of `problem` that cannot all hold; empty where none was proven."""
    everything = conditions(problem)
    asked = _Questions(problem)
    if not asked.impossible(everything):
        return ()
    kept, size = everything, max(len(everything) // 2, 1)
    while True:
        kept = _without_chunks(kept, size, asked)
        if size == 1:
            return tuple(kept)
        size //= 2


def _without_chunks(kept: Sequence[Condition], size: int, asked: "_Questions") -> list[Condition]:
    left, at = list(kept), 0
    while at < len(left):
        fewer = left[:at] + left[at + size :]
        if fewer and asked.impossible(fewer):
            left = fewer
        else:
            at += size
    return left


class _Questions:
    """Whether sets of conditions are impossible, with the number of questions limited."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self._left = problem, _QUESTIONS

    def impossible(self, kept: Sequence[Condition]) -> bool:
        """Return whether it is proven that `kept` cannot all hold."""
        asked = relaxed(self._problem, kept)
        if (heads(asked) > asked.deadline).any():
            return True
        if not any(one.kind == "hands" for one in kept) or not has_solver() or not self._left:
            return False
        self._left -= 1
        return feasible(asked, limit=_LIMIT) is False


def relaxed(problem: Problem, kept: Sequence[Condition]) -> Problem:
    """Return `problem` with no condition but `kept`."""
    found = set(kept)
    jobs = range(problem.size)
    rows = {one.job for one in kept if one.kind == "freeze"}
    teams = {one.job for one in kept if one.kind == "hands"}
    endless = int(problem.engineers.sum()) + 1
    return problem._replace(
        deadline=np.array([d if Condition("deadline", n) in found else NEVER for n, d in enumerate(problem.deadline)]),
        release=np.array([r if Condition("supplier", n) in found else 0 for n, r in enumerate(problem.release)]),
        before=tuple(tuple(b for b in problem.before[n] if Condition("dependency", n, b) in found) for n in jobs),
        capacity=np.array([c if team in teams else endless for team, c in enumerate(problem.capacity)]),
        frozen=tuple(spans if row in rows else () for row, spans in enumerate(problem.frozen)),
    )
