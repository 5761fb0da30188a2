"""Exposure in closed form: against simulation, against figures measured elsewhere, and in the right direction."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from keystrand.assess.exposure import Horizons, exposures, stops_within
from keystrand.assess.findings import findings
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.horizon import (
    Horizon,
    avoidable,
    avoidable_evenly,
    delay_cost,
    forgeable,
    horizons,
    shelf_life_exceeds_horizon,
    shelf_life_exceeds_horizon_evenly,
    sunk,
)
from keystrand.model.stages import Exposure

DRAWS = 40_000
SEED = 11
GRI_2025_EXTENDED = (
    Horizon([(5, 0.05), (10, 0.28), (15, 0.51), (20, 0.70), (30, 0.85)]),
    Horizon([(5, 0.15), (10, 0.49), (15, 0.70), (20, 0.86), (30, 0.95)]),
)
"""The survey with a stated extrapolation to 20 and 30 years, for which reference figures exist."""

Floats = NDArray[np.float64]


def _shipped(name: str) -> Horizons:
    curve = next(c for c in curves() if c.id == name)
    return horizons(curve, curve.origin)


def _days_of_the_quantum_computer(horizon: Horizon, rng: np.random.Generator) -> Floats:
    """Draw arrival times by inverting F on a fine grid; the mass that never arrives becomes infinity."""
    grid = np.linspace(0, 40, 200_001)
    ratios = horizon.probability(grid)
    drawn = rng.random(DRAWS)
    return np.where(drawn < ratios[-1], np.interp(drawn, ratios, grid), np.inf)


def _sigmas(samples: Floats, expected: Floats) -> float:
    """Return the distance in standard errors of the mean; below a thousandth of a unit nothing is told apart."""
    error = float(samples.std()) / np.sqrt(DRAWS)
    away = max(0.0, abs(float(samples.mean()) - float(expected)) - 1e-3)
    return away / error if away else 0.0


cases = st.tuples(
    st.lists(st.floats(0.03, 0.2), min_size=3, max_size=5),
    st.floats(0.5, 12),
    st.floats(1, 30),
    st.floats(0, 4),
    st.integers(0, 2**31),
)


def _agree(case: tuple[list[float], float, float, float, int]) -> dict[str, float]:
    """Return how many standard errors each closed form is from a simulation of items, recordings and arrival times."""
    steps, m, x, passed, seed = case
    years = 5.0 * np.arange(1, len(steps) + 1)
    horizon = Horizon(list(zip(years.tolist(), np.cumsum(steps).tolist(), strict=True)), passed)
    rng = np.random.default_rng(seed)
    arrives = _days_of_the_quantum_computer(horizon, rng)

    def readable(made: Floats) -> Floats:
        return np.clip(made + x - np.maximum(arrives, made), 0, None)

    def readable_from(ends: Floats, lives: Floats) -> Floats:
        made = rng.random(DRAWS) * ends
        return ends * np.clip(made + lives - np.maximum(arrives, made), 0, None)

    return {
        "avoidable": _sigmas(m * readable(rng.random(DRAWS) * m), avoidable(horizon, m, x)),
        "sunk": _sigmas(10 * readable(-rng.random(DRAWS) * 10), sunk(horizon, x, 10)),
        "outlasts": _sigmas((arrives < x + m).astype(float), shelf_life_exceeds_horizon(horizon, m, x)),
        "avoidable, spread": _sigmas(
            readable_from(ends := m * (0.4 + 0.6 * rng.random(DRAWS)), lives := x * (0.5 + 0.5 * rng.random(DRAWS))),
            avoidable_evenly(horizon, (0.4 * m, m), (0.5 * x, x)),
        ),
        "outlasts, spread": _sigmas(
            (arrives < ends + lives).astype(float),
            shelf_life_exceeds_horizon_evenly(horizon, (0.4 * m, m), (0.5 * x, x)),
        ),
        "forgeable": _sigmas(np.clip(m - arrives, 0, None), forgeable(horizon, m)),
    }


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases)
def test_closed_form_agrees_with_monte_carlo(case: tuple[list[float], float, float, float, int]) -> None:
    """E, S, P(X + Y > Z) and A lie within 3 sigma of a simulation of items, recordings and arrival times."""
    assert max(_agree(case).values()) <= 3


@pytest.mark.slow
def test_closed_form_agrees_with_monte_carlo_on_a_thousand_cases() -> None:
    """1,000 cases, six figures each: as many beyond 2 and 3 sigma as chance allows, none beyond 5, no bias."""
    rng = np.random.default_rng(SEED)
    drawn = [
        (rng.uniform(0.03, 0.2, rng.integers(3, 6)).tolist(), rng.uniform(0.5, 12), rng.uniform(1, 30),
         rng.uniform(0, 4), int(rng.integers(2**31)))
        for _ in range(1000)
    ]  # fmt: skip
    away = np.array([list(_agree(case).values()) for case in drawn])
    assert away.max() <= 5
    assert (away > 3).mean() <= 0.01
    assert (away > 2).mean() <= 0.07


@pytest.mark.parametrize(("m", "x", "expected"), [(4, 25, 50.595), (9, 10, 29.127), (9, 30, 171.540), (2, 1, 0.0731)])
def test_reference_figures_of_the_closed_form(m: float, x: float, expected: float) -> None:
    """The figures of our own earlier study, confirmed there by 2 million draws to 0.4 percent."""
    horizon = Horizon([(5, 0.14), (10, 0.34), (15, 0.55), (20, 0.74), (30, 0.90)])
    assert avoidable(horizon, m, x) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("m", "x", "low", "high"),
    [(1.1, 10, 1.1, 2.4), (4.1, 10, 6.3, 12.2), (9.1, 10, 23.9, 39.2), (1.1, 25, 11, 15), (4.1, 25, 47, 62),
     (9.1, 25, 121, 156)],
)  # fmt: skip
def test_reference_figures_of_the_survey(m: float, x: float, low: float, high: float) -> None:
    """Exposed data-years for migrations in 2028, 2031 and 2036, seen from November 2026, as the study gives them."""
    measured = [avoidable(horizon, m, x) for horizon in GRI_2025_EXTENDED]
    assert measured == pytest.approx([low, high], rel=0.02)


def test_reference_figures_of_delay_and_of_the_sunk_share() -> None:
    """The cost of a year's delay in 2031, and more than half of the exposure of 25-year data already sunk."""
    assert [delay_cost(h, 4.1, 10) for h in GRI_2025_EXTENDED] == pytest.approx([2.3, 4.1], rel=0.02)
    assert [delay_cost(h, 4.1, 25) for h in GRI_2025_EXTENDED] == pytest.approx([13, 17], rel=0.02)
    assert [shelf_life_exceeds_horizon(h, 4, 10) for h in GRI_2025_EXTENDED] == pytest.approx([0.47, 0.66], abs=0.01)
    shares = [sunk(h, 25) / (sunk(h, 25) + avoidable(h, 4.1, 25)) for h in GRI_2025_EXTENDED]
    assert shares == pytest.approx([0.56, 0.59], abs=0.005)


def test_the_shipped_curve_gives_the_reference_figures_where_their_anchors_agree() -> None:
    """Up to 15 years the shipped curve and the extended one have the same anchors, and nearly the same exposure."""
    for m in (1.1, 4.1):
        shipped = [avoidable(h, m, 10) for h in _shipped("gri-2025")]
        assert shipped == pytest.approx([avoidable(h, m, 10) for h in GRI_2025_EXTENDED], rel=0.005)


@given(st.floats(0, 30), st.floats(0, 30), st.floats(0, 60), st.floats(0, 60))
def test_exposure_grows_with_delay_and_with_shelf_life(m: float, later: float, x: float, longer: float) -> None:
    """A later migration or a longer shelf life never lowers any of the four figures."""
    for horizon in _shipped("gri-2025"):
        for figure in (avoidable, delay_cost, shelf_life_exceeds_horizon):
            assert figure(horizon, m, x) <= figure(horizon, m + later, x) + 1e-9
            assert figure(horizon, m, x) <= figure(horizon, m, x + longer) + 1e-9
        assert sunk(horizon, x) <= sunk(horizon, x + longer) + 1e-9


@given(st.floats(0, 20), st.floats(0, 60))
def test_exposure_grows_with_the_threat(m: float, x: float) -> None:
    """The high end of the survey never gives less exposure than its low end."""
    low, high = _shipped("gri-2025")
    assert avoidable(low, m, x) <= avoidable(high, m, x) + 1e-9
    assert sunk(low, x) <= sunk(high, x) + 1e-9


def test_cost_of_delay_is_the_slope_of_the_exposure() -> None:
    """dE/dM from its own formula equals the difference quotient of E."""
    horizon, m, x, step = _shipped("gri-2025")[1], 4.0, 12.0, 1e-4
    slope = (avoidable(horizon, m + step, x) - avoidable(horizon, m - step, x)) / (2 * step)
    assert delay_cost(horizon, m, x) == pytest.approx(slope, rel=1e-5)


def test_a_retention_that_is_a_range_widens_both_ends(
    estate_of: Callable[..., Any], system_of: Callable[..., Any], inventory_of: Any, kex: Any, as_of: date
) -> None:
    """The shortest time counts in the low ends and the longest in the high ends; the document says the range."""
    estate = estate_of(system_of())
    ranged = replace(estate.data_class[0], retention_range_years=(5.0, 25.0))
    judged = findings(estate, inventory_of({"web": [kex("X25519")]}))

    def figures(data_class: Any) -> Exposure:
        return exposures(replace(estate, data_class=(data_class,)), judged, _shipped("gri-2025"), as_of)[0]

    wide = figures(ranged)
    short, long = (figures(replace(estate.data_class[0], retention_years=years)) for years in (5.0, 25.0))
    assert (wide.shelf_life.low, wide.shelf_life.high) == (5.0, 25.0)
    for field in ("avoidable_data_years", "sunk_data_years", "delay_cost_data_years_per_year"):
        assert getattr(wide, field).low == getattr(short, field).low
        assert getattr(wide, field).high == getattr(long, field).high


@pytest.fixture
def exposed(
    estate_of: Callable[..., Any],
    system_of: Callable[..., Any],
    inventory_of: Callable[..., Any],
    as_of: date,
) -> Callable[..., tuple[Exposure, ...]]:
    """Return a function from evidence (and changes of the system) to exposures under the shipped curve."""

    def run(*seen: Any, silent: int = 0, **changes: Any) -> tuple[Exposure, ...]:
        estate = estate_of(system_of(**changes))
        judged = findings(estate, inventory_of({"web": seen}, silent=silent))
        return exposures(estate, judged, _shipped("gri-2025"), as_of)

    return run


def test_unknown_counts_from_none_to_all_of_a_vulnerable_system(exposed: Callable[..., Any], kex: Any) -> None:
    """Nothing seen: the low end is 0 and the high end that of a system known to be vulnerable."""
    (vulnerable,), (unknown,) = exposed(kex("X25519")), exposed()
    assert unknown.verdict is Verdict.UNKNOWN
    for field in ("avoidable_data_years", "sunk_data_years", "delay_cost_data_years_per_year"):
        assert getattr(vulnerable, field).low > 0
        assert getattr(unknown, field).low == 0
        assert getattr(unknown, field).high == getattr(vulnerable, field).high


def test_a_safe_exchange_leaves_only_what_is_sunk(exposed: Callable[..., Any], kex: Any, service: Any) -> None:
    """Negotiated and nothing classical accepted: nothing to avoid, but what was recorded before may still be read."""
    (safe,) = exposed(service(prefers=True), kex("X25519MLKEM768"))
    assert safe.verdict is Verdict.QUANTUM_SAFE
    assert safe.avoidable_data_years.high == safe.delay_cost_data_years_per_year.high == 0
    assert safe.sunk_data_years.low == 0 < safe.sunk_data_years.high


def test_a_safe_exchange_beside_a_classical_one_is_a_range_from_0(
    exposed: Callable[..., Any], kex: Any, service: Any
) -> None:
    """A peer without the safe exchange still gets the classical one: the exposure may be all of it."""
    (mixed,) = exposed(service(prefers=True), kex("X25519MLKEM768"), kex("X25519"))
    (vulnerable,) = exposed(kex("X25519"))
    assert mixed.verdict is Verdict.QUANTUM_SAFE
    assert mixed.avoidable_data_years.low == 0
    assert mixed.avoidable_data_years.high == vulnerable.avoidable_data_years.high


def test_signatures_are_not_harvested(exposed: Callable[..., Any], sig: Any) -> None:
    """A system that only signs has no exposure, whatever data it is said to carry."""
    assert exposed(sig("RSA-2048"), functions=(Function.SIGNATURE,)) == ()


def test_a_system_that_retires_first_stops_producing_then(
    exposed: Callable[..., Any], kex: Any, system_of: Callable[..., Any], as_of: date
) -> None:
    """Retirement caps the migration; a day of retirement already past is not believed."""
    (kept,), (leaving,) = exposed(kex("X25519")), exposed(kex("X25519"), retires=date(2027, 11, 24))
    assert leaving.avoidable_data_years.high < kept.avoidable_data_years.low
    assert leaving.migration_years.high == pytest.approx(1, abs=0.01)
    assert stops_within(system_of(retires=date(2020, 1, 1)), as_of).high == 4


def test_a_migration_interval_given_backwards_is_read_as_an_interval(
    system_of: Callable[..., Any], as_of: date
) -> None:
    """The longer time first is still the same span."""
    assert stops_within(system_of(migration_years=(4.0, 2.0)), as_of).low == 2
