"""Make a layout cheaper by moves that cost little: close a link or a place, or lay some needs anew together.

Closing what is used little and laying its needs elsewhere consolidates, which a greedy planner never does. Laying some
anew is ruin and recreate: Schrimpf et al., J. Comput. Phys. 159, 139 (2000), here without taking what costs more.
"""

from collections.abc import Callable, Iterator

import numpy as np

from keystrand.plan.topology_greedy import Laying, Layout, Touched
from keystrand.plan.topology_links import Problem

_TOGETHER = 6
"""Needs laid anew together by chance: the best of 2 to 10 on the public networks that were tried."""
_QUIET_ROUNDS = 3


def improved(
    problem: Problem,
    first: Layout,
    draws: np.random.Generator,
    goes_on: Callable[[], bool],
    found: Callable[[Layout], object],
) -> None:
    """Tell `found` of ever cheaper layouts, from `first` on, until there is none or `goes_on` says no."""
    laying = Laying(problem)
    for number, paths in first.routes.items():
        laying.put(number, paths)
    quiet = 0
    while quiet < _QUIET_ROUNDS and goes_on():
        better = False
        for numbers, banned in _moves(laying, draws):
            better = laying.lay_again(numbers, banned) or better
            if not goes_on():
                break
        quiet = 0 if better else quiet + 1
        found(laying.layout())


def _moves(laying: Laying, draws: np.random.Generator) -> Iterator[tuple[tuple[int, ...], tuple[Touched, ...]]]:
    """Yield needs to lay anew, and what they must not touch. What a move changed counts for the next."""
    for link in draws.permutation(len(laying.problem.links)):
        if users := _users(laying, lambda step, link=int(link): step[0] == link):  # type: ignore[misc] # a default is bound now
            yield _shuffled(users, draws), (f"#{link}",)
    for place in draws.permutation(sorted(laying.problem.nodes)):
        if users := _users(laying, lambda step, place=str(place): step[2] == place):  # type: ignore[misc] # as above
            passing = [n for n in users if laying.problem.needs[n].b != place]
            if passing:
                yield _shuffled(passing, draws), (f"@{place}",)
    everybody = np.arange(len(laying.problem.needs))
    for _ in everybody:
        yield _shuffled(draws.choice(everybody, min(_TOGETHER, len(everybody)), replace=False).tolist(), draws), ()


def _users(laying: Laying, uses: Callable[[tuple[int, str, str]], bool]) -> list[int]:
    return [n for n, paths in sorted(laying.routes.items()) if any(uses(step) for path in paths for step in path)]


def _shuffled(numbers: list[int], draws: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(n) for n in draws.permutation(numbers))
