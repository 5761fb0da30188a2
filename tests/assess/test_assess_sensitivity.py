"""Which input changes the order: checked against recomputing everything with that one input moved."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.assess.sensitivity import Swing, sensitivity
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Verdict
from keystrand.model.horizon import avoidable, horizons
from keystrand.model.stages import Exposure
from keystrand.model.units import Interval

CURVES = {c.id: c for c in curves()}
CURVE = CURVES["gri-2025"]
DAY = date(2026, 11, 24)
Drawn = tuple[tuple[float, float], tuple[float, float], bool]


def _exposure(n: int, drawn: Drawn) -> Exposure:
    shelf, migration, known = (sorted(drawn[0]), sorted(drawn[1]), drawn[2])
    some = Interval(low=0.0, high=1.0)
    return Exposure(
        system=f"s{n}", data_class=f"d{n}", shelf_life_years=shelf[0],
        shelf_life_range_years=Interval(low=shelf[0], high=shelf[1]),
        migration_years=Interval(low=migration[0], high=migration[1]), shelf_life_exceeds_horizon=some,
        avoidable_data_years=some, sunk_data_years=some, delay_cost_data_years_per_year=some,
        verdict=Verdict.QUANTUM_VULNERABLE if known else Verdict.UNKNOWN,
    )  # fmt: skip


def _find(found: tuple[Swing, ...], name: str) -> Swing:
    return next(s for s in found if s.input == name)


years = st.tuples(st.floats(0.5, 40), st.floats(0.5, 40))
estates = st.lists(st.tuples(years, st.tuples(st.floats(0.5, 9), st.floats(0.5, 9)), st.booleans()), min_size=2,
                   max_size=8)  # fmt: skip


def _order(exposures: list[Exposure], moved: int, *, x: float | None = None, m: float | None = None) -> list[int]:
    """Return the rank of each with one of them at `x` or `m`, the rest in the middle of their ranges: by definition."""
    horizon = horizons(CURVE, DAY)[1]
    amounts = []
    for n, e in enumerate(exposures):
        shelf = (e.shelf_life.low + e.shelf_life.high) / 2
        time = (e.migration_years.low + e.migration_years.high) / 2
        at_x, at_m = (x if n == moved and x is not None else shelf), (m if n == moved and m is not None else time)
        amounts.append(float(avoidable(horizon, at_m, at_x)))
    return [1 + sum(other > own for other in amounts) for own in amounts]


@settings(max_examples=60, deadline=None)
@given(estates, st.integers(0, 7))
def test_a_swing_is_what_recomputing_everything_gives(drawn: list[Drawn], which: int) -> None:
    """The retention and the time of one system, at both its ends: places before and after, and how many move."""
    exposures = [_exposure(n, one) for n, one in enumerate(drawn)]
    n = which % len(exposures)
    found = sensitivity(exposures, CURVE, (), DAY)
    own = exposures[n]
    if own.migration_years.low < own.migration_years.high:
        swing = _find(found, f"time to migrate s{n}")
        before, after = (_order(exposures, n, m=end) for end in (own.migration_years.low, own.migration_years.high))
        assert (swing.rank_from, swing.rank_to) == (before[n], after[n])
        assert swing.moved == sum(a != b for a, b in zip(before, after, strict=True))
    if own.shelf_life.low < own.shelf_life.high:
        swing = _find(found, f"retention of d{n}")
        before, after = (_order(exposures, n, x=end) for end in (own.shelf_life.low, own.shelf_life.high))
        assert swing.most == max(abs(a - b) for a, b in zip(before, after, strict=True))
        assert swing.moved == sum(a != b for a, b in zip(before, after, strict=True))


def test_an_input_without_a_range_is_not_listed() -> None:
    """Equal ends cannot change anything; what is known needs no scan."""
    found = sensitivity([_exposure(n, ((5, 5), (2, 2), True)) for n in range(3)], CURVE, (), DAY)
    assert {s.input for s in found} == {"threat curve", "what comes after the survey"}
    assert all(not s.moved for s in found)


def test_a_verdict_not_known_swings_from_last_to_its_place() -> None:
    """A scan that shows it to be safe sends it to the end."""
    exposures = [_exposure(0, ((30, 30), (4, 4), False)), *(_exposure(n, ((n, n), (2, 2), True)) for n in (1, 2, 3))]
    swing = _find(sensitivity(exposures, CURVE, (), DAY), "verdict of s0")
    assert (swing.rank_from, swing.rank_to, swing.moved) == (4, 1, 4)
    assert swing.words.startswith("verdict of s0, from quantum-safe to quantum-vulnerable: ")
    assert swing.words.endswith("4 systems change their places, s0 the most, from 4 to 1")


def test_the_farthest_comes_first_and_other_surveys_are_compared() -> None:
    """The largest move leads; a survey that has run out by that day is left out, not read as no threat."""
    exposures = [_exposure(n, ((n + 1, n + 9), (1, 6), True)) for n in range(6)]
    found = sensitivity(exposures, CURVE, tuple(CURVES.values()), DAY)
    assert [s.most for s in found] == sorted((s.most for s in found), reverse=True)
    assert any(s.input == "threat curve" and s.other_end == "gri-2024" for s in found)
    late = sensitivity(exposures, CURVE, tuple(CURVES.values()), date(2035, 1, 1))
    assert not any(s.other_end == "gri-2024" for s in late)


def test_nothing_exposed_has_nothing_to_swing() -> None:
    """An estate without a data class is no error."""
    assert sensitivity((), CURVE, (), DAY) == ()


@pytest.mark.parametrize("moved", [0, 1])
def test_what_changes_nothing_says_so(moved: int) -> None:
    """The words of a swing that leaves the order as it is."""
    given: Any = {"input": "x", "one_end": "1", "other_end": "2", "most": moved, "system": "s", "rank_from": 1,
                  "rank_to": 1 + moved}  # fmt: skip
    words = Swing(moved=moved, **given).words
    assert words.endswith(
        "the order stays as it is" if not moved else "1 system changes its place, s the most, from 1 to 2"
    )
