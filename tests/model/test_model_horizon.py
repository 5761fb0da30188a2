"""The threat horizon: a distribution whose integrals are exact and which is honest about the time that has passed."""

import itertools
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from keystrand.edge.catalogue import curves
from keystrand.model.errors import InvalidInput
from keystrand.model.horizon import (
    DAYS_PER_YEAR,
    Horizon,
    avoidable,
    avoidable_evenly,
    avoided,
    delay_cost,
    forgeable,
    horizons,
    shelf_life_exceeds_horizon,
    shelf_life_exceeds_horizon_evenly,
    sunk,
    years_between,
)

Points = list[tuple[float, float]]


@st.composite
def anchor_points(draw: st.DrawFn) -> Points:
    """Draw one to five anchors with rising years and rising probabilities below 1."""
    gaps = draw(st.lists(st.floats(0.5, 15), min_size=1, max_size=5))
    steps = draw(st.lists(st.integers(0, 1000), min_size=len(gaps), max_size=len(gaps)))
    years, ratios = np.cumsum(gaps), np.cumsum(steps) / (1000.0 * len(gaps) + 1)
    return [(float(t), float(p)) for t, p in zip(years, ratios, strict=True)]


@given(anchor_points())
def test_the_curve_meets_its_anchors_and_stays_flat_after_the_last(points: Points) -> None:
    """F passes through every anchor, is 0 at the start, and neither rises nor falls after the last anchor."""
    horizon = Horizon(points)
    assert horizon.probability(0.0) == pytest.approx(0)
    for years, ratio in points:
        assert horizon.probability(years) == pytest.approx(ratio, abs=1e-9)
    last, plateau = points[-1]
    assert horizon.probability([last + 1, last + 150]) == pytest.approx([plateau, plateau])


@given(anchor_points(), st.floats(0, 0.9))
def test_the_curve_never_falls_and_never_leaves_0_to_1(points: Points, passed: float) -> None:
    """Whatever part of the curve has passed, what is left is a distribution, possibly defective."""
    horizon = Horizon(points, passed * points[-1][0])
    values = horizon.probability(np.linspace(0, 120, 400))
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert (np.diff(values) >= -1e-9).all()
    assert values[-1] <= 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(anchor_points(), st.floats(-3, 0.9), st.floats(0, 60))
def test_integrals_agree_with_numerical_quadrature(points: Points, passed: float, t: float) -> None:
    """G and H are the first and second integral of F: checked against QUADPACK, which knows only F and G."""
    horizon = Horizon(points, passed * points[-1][0])
    kinks = sorted({min(max(years - passed * points[-1][0], 0), t) for years, _ in points})
    edges = [0.0, *kinks, t]
    first = sum(quad(lambda s: float(horizon.probability(s)), a, b)[0] for a, b in itertools.pairwise(edges))
    second = sum(quad(lambda s: float(horizon.integral(s)), a, b)[0] for a, b in itertools.pairwise(edges))
    assert float(horizon.integral(t)) == pytest.approx(first, abs=1e-6)
    assert float(horizon.double_integral(t)) == pytest.approx(second, abs=1e-6)


def test_time_that_has_passed_without_a_quantum_computer_is_conditioned_on() -> None:
    """Half of the mass of a straight curve lies behind us: what remains is P(t | not yet), not the old figure."""
    horizon = Horizon([(10.0, 0.8)], elapsed_years=5.0)
    straight = Horizon([(10.0, 0.8)])
    behind = float(straight.probability(5.0))
    assert float(horizon.probability(5.0)) == pytest.approx((0.8 - behind) / (1 - behind))


def test_a_curve_drawn_after_the_day_of_judgement_begins_at_its_own_date() -> None:
    """Before the survey's date the probability is 0, not extrapolated."""
    horizon = Horizon([(10.0, 0.5)], elapsed_years=-2.0)
    assert horizon.probability([0.0, 1.9]) == pytest.approx([0, 0])
    assert float(horizon.probability(12.0)) == pytest.approx(0.5)


def test_a_curve_that_has_run_out_is_refused_not_read_as_no_threat() -> None:
    """On and after the last anchor a flat curve would say `never`; that is an error with a next step."""
    curve = next(c for c in curves() if c.id == "gri-2024")
    end = curve.origin + timedelta(days=round(10 * DAYS_PER_YEAR) + 1)
    with pytest.raises(InvalidInput) as caught:
        horizons(curve, end)
    assert "newer threat curve" in caught.value.hint
    assert horizons(curve, end - timedelta(days=30))


def test_years_between_counts_both_ways() -> None:
    """A day before is as far as a day after."""
    assert years_between(date(2026, 1, 1), date(2036, 1, 1)) == pytest.approx(10, abs=0.01)
    assert years_between(date(2036, 1, 1), date(2026, 1, 1)) == pytest.approx(-10, abs=0.01)


@given(anchor_points(), st.floats(0, 30), st.floats(0, 30), st.floats(0, 60))
def test_what_a_plan_avoids_is_never_more_than_what_was_avoidable(
    points: Points, without: float, planned: float, x: float
) -> None:
    """Avoided and what is left add up to the avoidable; an earlier end never avoids less; a later one adds."""
    horizon = Horizon(points)
    saved = avoided(horizon, without, planned, x)
    assert saved + avoidable(horizon, planned, x) == pytest.approx(avoidable(horizon, without, x), abs=1e-6)
    assert (saved >= -1e-9) if planned <= without else (saved <= 1e-9)


@given(anchor_points(), st.floats(0, 40), st.floats(0, 20))
def test_a_signature_trusted_for_longer_can_be_forged_for_longer(points: Points, m: float, longer: float) -> None:
    """A(M) never falls with M and is never more than M: it counts years up to then."""
    horizon = Horizon(points)
    assert 0 <= forgeable(horizon, m) <= forgeable(horizon, m + longer) + 1e-9
    assert forgeable(horizon, m) <= m + 1e-9


def test_the_closed_forms_take_arrays() -> None:
    """A thousand systems at once give what they give one by one."""
    horizon = Horizon([(5.0, 0.1), (10.0, 0.4)], 1.0)
    m, x = np.linspace(0, 12, 50), np.linspace(0, 40, 50)
    for figure in (avoidable, delay_cost, shelf_life_exceeds_horizon):
        together = figure(horizon, m, x)
        assert together == pytest.approx([float(figure(horizon, a, b)) for a, b in zip(m, x, strict=True)])
    assert sunk(horizon, x) == pytest.approx([float(sunk(horizon, one)) for one in x])


spans = st.tuples(st.floats(0, 30), st.floats(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=60, deadline=None)
@given(anchor_points(), spans, spans)
def test_an_even_spread_lies_within_its_ends_and_agrees_with_quadrature(
    points: Points, m: tuple[float, float], x: tuple[float, float]
) -> None:
    """The exact mean is between both corners, and what 400 x 400 points give, thin spans included."""
    horizon = Horizon(points)
    grid = (np.arange(400) + 0.5) / 400
    times, lives = (low + (high - low) * grid for low, high in (m, x))
    for evenly, plain, digits in (
        (avoidable_evenly, avoidable, 1e-2),
        (shelf_life_exceeds_horizon_evenly, shelf_life_exceeds_horizon, 1e-3),
    ):
        mean = float(evenly(horizon, m, x))
        assert float(plain(horizon, m[0], x[0])) - 1e-3 <= mean <= float(plain(horizon, m[1], x[1])) + 1e-3
        assert mean == pytest.approx(float(plain(horizon, times[:, None], lives[None, :]).mean()), abs=digits)


def test_spreads_take_arrays_of_thin_and_wide_spans() -> None:
    """A point, a range of one time, of the other, of both: together what they give one by one."""
    horizon = Horizon([(5.0, 0.1), (10.0, 0.4)], 1.0)
    m = np.array([2.0, 2.0, 1.0, 1.0]), np.array([2.0, 2.0, 4.0, 4.0])
    x = np.array([9.0, 5.0, 9.0, 5.0]), np.array([9.0, 12.0, 9.0, 12.0])
    together = avoidable_evenly(horizon, m, x)
    alone = [avoidable_evenly(horizon, (m[0][n], m[1][n]), (x[0][n], x[1][n])) for n in range(4)]
    assert together == pytest.approx([float(one) for one in alone])
    assert together[0] == pytest.approx(float(avoidable(horizon, 2.0, 9.0)))
