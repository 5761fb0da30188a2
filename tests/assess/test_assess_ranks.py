"""Ranges of ranks: what is certain has one rank, what is not has a range, and equal inputs give equal ranges."""

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from keystrand.assess.ranks import DRAWS_LEAST, DRAWS_MOST, drawn_horizons, draws_for, rank_ranges, ranks_by
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Verdict
from keystrand.model.horizon import Horizon, avoidable
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Exposure
from keystrand.model.units import Interval

CURVE = next(c for c in curves() if c.id == "gri-2025")
DAY = date(2026, 11, 24)


def exposure(system: str, shelf: tuple[float, float], migration: tuple[float, float], **changes: Any) -> Exposure:
    """Return an exposure of a data class of its own; only what ranks are drawn from is meant."""
    some = Interval(low=0.0, high=1.0)
    given: dict[str, Any] = {
        "system": system, "data_class": f"of-{system}", "shelf_life_years": shelf[0],
        "shelf_life_range_years": Interval(low=shelf[0], high=shelf[1]),
        "migration_years": Interval(low=migration[0], high=migration[1]), "shelf_life_exceeds_horizon": some,
        "avoidable_data_years": some, "sunk_data_years": some, "delay_cost_data_years_per_year": some,
        "verdict": Verdict.QUANTUM_VULNERABLE,
    }  # fmt: skip
    return Exposure(**(given | changes))


def test_what_no_draw_can_change_has_one_rank() -> None:
    """Worse in shelf life and in time for every draw: first, second, third, each without a range."""
    found = rank_ranges(
        [exposure("mid", (10, 12), (3, 4)), exposure("low", (1, 2), (1, 2)), exposure("top", (30, 40), (5, 6))],
        CURVE, DAY, draws=50,
    )  # fmt: skip
    assert {r.system: (r.low, r.high) for r in found} == {"mid": (2, 2), "low": (3, 3), "top": (1, 1)}
    assert {r.system: r.first_tenth for r in found} == {"mid": 0, "low": 0, "top": 1}


def test_ranges_that_overlap_give_ranges_of_ranks() -> None:
    """Two systems that may take 1 to 6 years each: either may come first."""
    found = rank_ranges([exposure(n, (10, 10), (1, 6)) for n in ("a", "b")], CURVE, DAY, draws=200)
    assert {(r.low, r.high) for r in found} == {(1, 2)}
    assert all(0.3 < r.first_tenth < 0.7 for r in found)


def test_what_is_finished_shares_the_end() -> None:
    """Systems with nothing to come stand level behind the others: nobody is called last among them."""
    done = {"avoidable_data_years": Interval(low=0.0, high=0.0)}
    found = rank_ranges(
        [exposure("open", (10, 10), (2, 3)), exposure("x", (30, 30), (5, 5), **done),
         exposure("y", (1, 1), (1, 1), **done)],
        CURVE, DAY, draws=50,
    )  # fmt: skip
    assert [(r.low, r.high) for r in found] == [(1, 1), (2, 3), (2, 3)]


def test_equal_inputs_give_equal_ranges_and_another_seed_nearly_the_same() -> None:
    """The seed is fixed; the ranges do not hang on it."""
    rows = [exposure(f"s{n}", (n % 7 + 1, n % 7 + 3), (1, 2 + n % 4)) for n in range(30)]
    first = rank_ranges(rows, CURVE, DAY)
    assert first == rank_ranges(rows, CURVE, DAY)
    other = rank_ranges(rows, CURVE, DAY, seed=1)
    assert max(abs(a.low - b.low) + abs(a.high - b.high) for a, b in zip(first, other, strict=True)) <= 4


def test_nothing_exposed_has_no_ranks() -> None:
    """An estate without a data class is no error."""
    assert rank_ranges([], CURVE, DAY) == ()


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, 7.0]), min_size=1, max_size=12))
def test_best_and_worst_rank_are_those_of_the_definition(amounts: list[float]) -> None:
    """One more than how many are larger, and how many are at least as large."""
    best, worst = ranks_by(np.array(amounts))
    assert best.tolist() == [1 + sum(other > own for other in amounts) for own in amounts]
    assert worst.tolist() == [sum(other >= own for other in amounts) for own in amounts]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 4))
def test_every_drawn_curve_is_a_distribution_within_the_survey(seed: int, elapsed: float) -> None:
    """It never falls, and seen from its own day it lies between both ends at every anchor."""
    (drawn,) = drawn_horizons(CURVE, 0.0, 1, np.random.default_rng(seed))
    for anchor in CURVE.anchors:
        assert anchor.low - 1e-9 <= float(drawn.probability(anchor.years)) <= anchor.high + 1e-9
    (later,) = drawn_horizons(CURVE, elapsed, 1, np.random.default_rng(seed))
    assert (np.diff(later.probability(np.linspace(0, 60, 300))) >= -1e-9).all()


@pytest.mark.parametrize(("pairs", "draws"), [(1, DRAWS_MOST), (5_000, DRAWS_MOST), (100_000, DRAWS_LEAST)])
def test_very_large_estates_get_fewer_draws(pairs: int, draws: int) -> None:
    """Time and memory stay bounded; up to 5,000 pairs nothing is saved."""
    assert draws_for(pairs) == draws


def test_the_order_hardly_depends_on_the_end_of_the_curve() -> None:
    """What the report may say: sizes differ by about two between both ends, the order is nearly the same."""
    rng = np.random.default_rng(5)
    m, x = rng.uniform(1, 9, 300), rng.choice([1.0, 3, 7, 10, 15, 25, 30], 300)
    low, high = (avoidable(h, m, x) for h in _ends(CURVE))
    assert spearmanr(low, high)[0] > 0.99
    assert 1.2 < float(np.median(high / low)) < 2.5


def _ends(curve: ThreatCurve) -> list[Horizon]:
    return [Horizon([(a.years, getattr(a, end)) for a in curve.anchors]) for end in ("low", "high")]
