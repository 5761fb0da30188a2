"""What a cost is drawn from: prices and their currencies, PERT distributions, draws that all options share."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keystrand.edge.price_lists import price_lists, rate_lists
from keystrand.edge.scenarios import scenario_set
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.planning import Planning, Price
from keystrand.model.prices import CostCategory, Factor, PriceLevel
from keystrand.plan.cost_inputs import (
    CORRELATION,
    CURVE,
    LIFE,
    Inputs,
    draw,
    inputs_of,
    pert_quantiles,
    spreads,
    values_at,
)

ends = st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted)


@pytest.fixture(scope="module")
def inputs(estate: Callable[..., Estate]) -> Inputs:
    """Return the shipped prices and rates."""
    return inputs_of(estate(), price_lists(), rate_lists(), scenario_set())


def _with(of: Estate, price: dict[str, Any], **planning: Any) -> Estate:
    row = {"low": 1, "likely": 2, "high": 3, "source": "offer", "as_of": "2026-11-01", "currency": "EUR"} | price
    return msgspec.structs.replace(
        of, price=(msgspec.convert(row, Price),), planning=msgspec.convert(planning, Planning)
    )


def test_every_shipped_price_says_that_it_is_not_verified(inputs: Inputs) -> None:
    """No shipped figure passes for a fact, and every category but what is derived has at least one item."""
    assert {item.level for item in inputs.prices.values()} == {PriceLevel.UNVERIFIED_DEFAULT}
    assert {rate.level for rate in inputs.rates.values()} == {PriceLevel.ASSUMED}
    derived = {CostCategory.AVOIDED, CostCategory.REFRESH}
    assert {item.category for item in inputs.prices.values()} == set(CostCategory) - derived


def test_the_estates_price_takes_the_place_of_the_lists(estate: Callable[..., Estate]) -> None:
    """In the plan's currency, with its own source; category and unit stay."""
    planning = {"currency": "EUR",
                "exchange": [{"currency": "USD", "rate": 0.5, "source": "bank", "as_of": "2026-11-01"}]}  # fmt: skip
    of = _with(estate(), {"item": "qkd-pair", "currency": "USD"}, **planning)
    made = inputs_of(of, price_lists(), rate_lists(), scenario_set()).prices["qkd-pair"]
    assert (made.ends, made.level, made.source) == ((0.5, 1.0, 1.5), PriceLevel.ONE_SOURCE, "offer")
    assert made.category is CostCategory.ACQUISITION


@pytest.mark.parametrize(
    ("price", "planning", "field", "words"),
    [
        ({"item": "qkd-pair", "currency": "USD"}, {}, "price[0].currency", "in USD, the plan in EUR"),
        ({"item": "qdk-pair"}, {}, "price[0].item", "no price list has an item 'qdk-pair'"),
        ({"item": "qkd-pair", "currency": "CHF"}, {"currency": "CHF"}, "planning.exchange", "a price list is in EUR"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_field(
    estate: Callable[..., Estate], price: dict[str, Any], planning: dict[str, Any], field: str, words: str
) -> None:
    """Unknown items, and currencies without a rate, of the estate and of a list."""
    with pytest.raises(InvalidInput) as caught:
        inputs_of(_with(estate(), price, **planning), price_lists(), rate_lists(), scenario_set())
    (problem,) = caught.value.problems
    assert problem.field == field
    assert words in problem.message
    assert problem.hint


@given(ends)
def test_pert_is_the_beta_distribution_of_its_ends(found: list[float]) -> None:
    """Against SciPy's beta distribution; its mean is (low + 4 likely + high) / 6."""
    low, likely, high = found
    scores = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    made = pert_quantiles((low, likely, high), scores)
    if high > low:
        span = high - low
        other = stats.beta(1 + 4 * (likely - low) / span, 1 + 4 * (high - likely) / span, loc=low, scale=span)
        np.testing.assert_allclose(made, other.ppf(stats.norm.cdf(scores)), rtol=1e-9, atol=1e-9)
        assert other.mean() == pytest.approx((low + 4 * likely + high) / 6, rel=1e-9)
    else:
        assert set(made) == {low}


@given(ends, st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_the_table_of_quantiles_is_near_enough(found: list[float], at: list[float]) -> None:
    """Values come from a table; nowhere is it further from the quantile than 2e-4 of the range."""
    low, likely, high = found
    scores = np.array([at])
    (made,) = values_at([((low, likely, high), None)], scores)
    exact = pert_quantiles((low, likely, high), scores[0])
    assert np.abs(made - exact).max() <= 2e-4 * (high - low) + 1e-12 * high


def test_every_input_has_its_own_distribution_whatever_moves_it_with_others(inputs: Inputs) -> None:
    """Mean and deviation of each are those of its PERT distribution, though inputs are correlated."""
    draws = draw(inputs, scenarios=20_000, seed=1)
    for name, ((low, likely, high), _) in spreads(inputs).items():
        values = draws.of(name)
        if likely is None:
            assert values.mean() == pytest.approx((low + high) / 2, abs=1e-3)
            assert values.std() == pytest.approx((high - low) / np.sqrt(12), rel=1e-2)
            continue
        mean = (low + 4 * likely + high) / 6
        deviation = np.sqrt((mean - low) * (high - mean) / 7)
        assert abs(values.mean() - mean) < 0.01 * (high - low), name
        assert values.std() == pytest.approx(deviation, rel=0.04), name
        assert low <= values.min() <= values.max() <= high


def test_inputs_of_one_factor_move_together_and_chances_do_not(inputs: Inputs) -> None:
    """The correlation of the scores is the stated one within a factor, and none between factors and chances."""
    draws = draw(inputs, scenarios=20_000, seed=3)

    def between(one: str, other: str) -> float:
        return float(np.corrcoef(draws.scores[draws.names[one]], draws.scores[draws.names[other]])[0, 1])

    assert between("qkd-pair", "key-server") == pytest.approx(CORRELATION, abs=0.03)
    assert between("qkd-pair", "engineer-day") == pytest.approx(0.0, abs=0.03)
    assert between("pqc-cryptanalysis", "qkd-side-channel") == pytest.approx(0.0, abs=0.03)
    assert between(CURVE, LIFE + "qkd-pair") == pytest.approx(0.0, abs=0.03)


def test_equal_seeds_give_equal_draws_and_a_held_factor_moves_only_its_own(inputs: Inputs) -> None:
    """What does not belong to the factor stays the same, scenario by scenario."""
    one, again = (draw(inputs, scenarios=500, seed=9) for _ in range(2))
    held = draw(inputs, scenarios=500, seed=9, held={Factor.DEVICES: 1.28})
    np.testing.assert_array_equal(one.values, again.values)
    np.testing.assert_array_equal(one.of("engineer-day"), held.of("engineer-day"))
    assert held.of("qkd-pair").mean() > one.of("qkd-pair").mean()
    assert not np.array_equal(one.values, draw(inputs, scenarios=500, seed=10).values)
