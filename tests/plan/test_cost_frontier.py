"""The frontier: what is dominated is never on it, what is on it is best at some price of effort."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.stages.costed import Standing
from keystrand.plan.cost_frontier import before, incremental, standings, stays
from keystrand.plan.cost_portfolio import Choice, best

whole = st.integers(0, 12).map(float)
ways = st.lists(st.tuples(whole, whole), min_size=1, max_size=7)
ON = (Standing.BASE, Standing.EFFICIENT)


def _best_somewhere(found: list[tuple[float, float]]) -> set[tuple[float, float]]:
    """Return the ways that are strictly best at some price of effort: every price between two slopes is tried."""
    slopes = sorted({0.0, *((s - t) / (e - f) for e, s in found for f, t in found if e > f and s > t)})
    prices = [*((a + b) / 2 for a, b in pairwise(slopes)), slopes[-1] + 1, 1e-9]
    return {max(found, key=lambda way, p=price: (way[1] - p * way[0], -way[0])) for price in prices}  # type: ignore[misc]  # mypy knows no type for a default of a lambda


@given(ways)
def test_the_efficient_ways_are_those_that_are_best_at_some_price(found: list[tuple[float, float]]) -> None:
    """Against trying every price of effort; the base is there besides."""
    stand = standings([e for e, _ in found], [s for _, s in found])
    on = {way for way, s in zip(found, stand, strict=True) if s is Standing.EFFICIENT}
    base = next(way for way, s in zip(found, stand, strict=True) if s is Standing.BASE)
    assert on | {base} == _best_somewhere(found) | {base}


@given(ways, st.integers(0, 6), whole, whole)
def test_a_dominated_way_changes_nothing(found: list[tuple[float, float]], at: int, more: float, less: float) -> None:
    """Adding one that saves no more for more effort leaves the standing of every other."""
    effort, saved = [e for e, _ in found], [s for _, s in found]
    worse = (found[at % len(found)][0] + more + 1, found[at % len(found)][1] - less)
    stand = standings([*effort, worse[0]], [*saved, worse[1]])
    assert stand[:-1] == standings(effort, saved)
    assert stand[-1] is Standing.DOMINATED


@given(ways)
def test_incremental_ratios_fall_along_the_frontier(found: list[tuple[float, float]]) -> None:
    """Each further step brings less for an hour than the one before."""
    effort, saved = [e for e, _ in found], [s for _, s in found]
    steps = [(saved[n] - saved[m]) / (effort[n] - effort[m]) for n, m in before(effort, saved).items()]
    assert all(one > other > 0 for one, other in pairwise(steps))
    assert all(step > 0 for step in steps)


@given(st.lists(ways.filter(lambda w: len(w) == 4), min_size=1, max_size=20))
def test_the_share_is_counted_scenario_by_scenario(cases: list[list[tuple[float, float]]]) -> None:
    """Against the standing in each scenario by itself."""
    effort = np.array([[way[0] for way in case] for case in cases]).T
    saved = np.array([[way[1] for way in case] for case in cases]).T
    stand = [standings(list(effort[:, n]), list(saved[:, n])) for n in range(len(cases))]
    wanted = [np.mean([case[way] in ON for case in stand]) for way in range(4)]
    np.testing.assert_allclose(stays(effort, saved), wanted)


def test_no_effort_has_no_ratio() -> None:
    """Never a division by zero, never an infinite benefit."""
    assert list(incremental(np.array([0.0, 2.0]), np.array([3.0, 3.0]))) == [0.0, 1.5]


choice = st.tuples(st.integers(0, 4), whole, whole, whole, st.lists(st.integers(0, 4), max_size=2))


@given(st.lists(choice, max_size=7), st.none() | whole, st.none() | whole)
def test_the_best_set_is_the_one_of_trying_them_all(
    raw: list[tuple[int, float, float, float, list[int]]], budget: float | None, effort: float | None
) -> None:
    """Exactly as much saved as the best of all subsets that fit; and what is chosen fits."""
    choices = [Choice(str(g), s, c, e, tuple(map(str, n))) for g, s, c, e, n in raw]

    def fits(taken: tuple[bool, ...]) -> bool:
        of = [c for c, t in zip(choices, taken, strict=True) if t]
        groups = [c.group for c in of]
        return (
            len(set(groups)) == len(groups)
            and all(need in groups for c in of for need in c.needs)
            and (budget is None or sum(c.cost for c in of) <= budget)
            and (effort is None or sum(c.effort for c in of) <= effort)
        )

    everything = [t for t in product((False, True), repeat=len(choices)) if fits(t)]
    most = max(sum(c.saved for c, t in zip(choices, taken, strict=True) if t) for taken in everything)
    found = best(choices, budget=budget, effort=effort)
    assert found.saved == pytest.approx(most)
    assert found.gap == 0.0
    assert fits(tuple(n in found.chosen for n in range(len(choices))))


def test_the_shadow_price_is_what_one_more_hour_brings() -> None:
    """Where the limit cuts through a choice, its own ratio; where nothing is short, no price."""
    choices = [Choice("a", 10, 1, 2), Choice("b", 6, 1, 3), Choice("c", 1, 1, 5)]
    assert best(choices, budget=None, effort=4).per_effort == pytest.approx(2.0)
    assert best(choices, budget=100, effort=100) == ((0, 1, 2), 17.0, 0.0, None, None)
    assert best([], budget=1, effort=1).chosen == ()
