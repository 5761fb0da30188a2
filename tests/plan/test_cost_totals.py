"""From lines to money: years, present values, what is bought again, and that the 95th percentile stands still."""

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge.price_lists import price_lists, rate_lists
from keystrand.edge.scenarios import scenario_set
from keystrand.model.estate import Estate
from keystrand.model.prices import CostCategory
from keystrand.plan.cost_inputs import LIFE, Draws, Inputs, draw, inputs_of
from keystrand.plan.cost_lines import Line
from keystrand.plan.cost_totals import bill_of, discounts, expected, price, yearly_shares

YEARS = 10
lines = st.builds(
    lambda item, amount, start, length, yearly: Line("x", item, amount, start, start + length, yearly=yearly),
    st.sampled_from(["engineer-day", "qkd-pair", "dark-fibre-km-year", "key-server"]),
    st.floats(0.1, 100),
    st.floats(0, 12),
    st.floats(0, 12),
    st.booleans(),
)


@pytest.fixture(scope="module")
def inputs(estate: Callable[..., Estate]) -> Inputs:
    """Return the shipped prices and rates."""
    return inputs_of(estate(), price_lists(), rate_lists(), scenario_set())


@pytest.fixture(scope="module")
def draws(inputs: Inputs) -> Draws:
    """Return a few scenarios."""
    return draw(inputs, scenarios=50, seed=2)


@given(st.floats(0, 0.3), st.lists(st.floats(-1000, 1000), min_size=1, max_size=30))
def test_the_present_value_is_the_one_of_exact_arithmetic(rate: float, paid: list[float]) -> None:
    """Against a sum in decimal numbers, each year discounted to its middle."""
    exact = sum(Decimal(amount) / (1 + Decimal(rate)) ** (Decimal(n) + Decimal("0.5")) for n, amount in enumerate(paid))
    assert float(np.array(paid) @ discounts(rate, len(paid))) == pytest.approx(float(exact), rel=1e-9, abs=1e-9)


@given(lines)
def test_a_line_inside_the_horizon_is_spent_whole(line: Line) -> None:
    """A sum is spread over its years and adds up; a yearly amount is paid for exactly the years within."""
    (shares,) = yearly_shares([line], YEARS)
    if line.yearly:
        wanted = line.amount * max(min(line.end, YEARS) - min(line.start, YEARS), 0.0)
        assert shares.sum() == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    elif line.end <= YEARS:
        assert shares.sum() == pytest.approx(line.amount, rel=1e-9)
    else:
        assert shares.sum() <= line.amount * (1 + 1e-9)
    assert (shares >= 0).all()


@given(st.lists(lines, min_size=1, max_size=12))
def test_categories_and_years_add_up_to_the_total(inputs: Inputs, draws: Draws, found: list[Line]) -> None:
    """Whatever the lines are, in each scenario."""
    discount = discounts(0.03, YEARS)
    priced = price(bill_of(found, inputs.prices, YEARS), draws, discount)
    np.testing.assert_allclose(priced.cash @ discount, priced.present)
    np.testing.assert_allclose(sum(priced.by_category.values()), priced.present, rtol=1e-9, atol=1e-6)
    assert sum(priced.by_item.values()) == pytest.approx(priced.present.mean(), rel=1e-9, abs=1e-6)


@given(st.lists(lines, min_size=1, max_size=8))
def test_each_scenario_is_what_a_plain_loop_reckons(inputs: Inputs, draws: Draws, found: list[Line]) -> None:
    """Line by line and life by life, without arrays: a second way to the same sum."""
    discount = discounts(0.05, YEARS)
    priced = price(bill_of(found, inputs.prices, YEARS), draws, discount)
    for n in range(5):
        total = 0.0
        for line, share in zip(found, yearly_shares(found, YEARS), strict=True):
            unit = draws.of(line.item)[n]
            total += unit * sum(s * (1.05 ** -(y + 0.5)) for y, s in enumerate(share))
            when = line.start
            while inputs.prices[line.item].life_years and not line.yearly and line.start < YEARS:
                when += draws.of(LIFE + line.item)[n]
                if when >= YEARS:
                    break
                total += unit * line.amount * 1.05 ** -(math.floor(when) + 0.5)
        assert priced.present[n] == pytest.approx(total, rel=1e-6, abs=1e-6)


def test_what_is_bought_again_is_a_refresh_and_what_is_avoided_is_taken_off(inputs: Inputs) -> None:
    """Devices of year 0 are replaced within ten years; a negative line lowers the total by as much."""
    draws = draw(inputs, scenarios=200, seed=1)
    discount = discounts(0.0, YEARS)
    bought = Line("x", "qkd-pair", 2.0, 0.0, 0.0)
    anyway = bought._replace(amount=-2.0, item="system-upgrade", category=CostCategory.AVOIDED)
    priced = price(bill_of([bought, anyway], inputs.prices, YEARS), draws, discount)
    assert (priced.by_category[CostCategory.REFRESH] > 0).all()
    np.testing.assert_allclose(priced.by_category[CostCategory.AVOIDED], -2 * draws.of("system-upgrade"))


def test_a_thing_without_a_price_is_named_and_not_free(inputs: Inputs) -> None:
    """The bill says what is missing."""
    made = bill_of([Line("x", "laboratory-year", 1.0, 0.0, 5.0, yearly=True)], inputs.prices, YEARS)
    assert made.missing == ("laboratory-year",)
    assert made.kinds == ()


def test_the_expected_cost_of_subjects_is_the_mean_of_their_draws(inputs: Inputs) -> None:
    """The short way that a hundred thousand systems need, against the long one."""
    found = [Line(f"s{n}", "engineer-day", 3.0 + n, 0.5, 2.0, rates=("migration-share",)) for n in range(3)]
    draws = draw(inputs, scenarios=300, seed=1)
    discount = discounts(0.03, YEARS)
    short = expected(found, inputs.prices, draws, discount)
    for line in found:
        long = price(bill_of([line], inputs.prices, YEARS), draws, discount).present.mean()
        assert short[line.subject] == pytest.approx(float(long))


def test_the_95th_percentile_differs_by_less_than_half_a_percent_between_seeds(inputs: Inputs) -> None:
    """Forty lines, 10,000 scenarios, twelve seeds: largest distance from their mean."""
    names = [name for name, item in inputs.prices.items() if item.ends][:20]
    found = [Line("x", name, 5.0, 0.3 * n, 0.3 * n + 4.0, yearly=True) for n, name in enumerate(names * 2)]
    bill, discount = bill_of(found, inputs.prices, YEARS), discounts(0.03, YEARS)
    high = [
        float(np.quantile(price(bill, draw(inputs, scenarios=10_000, seed=s), discount).present, 0.95))
        for s in range(12)
    ]
    assert max(abs(value / np.mean(high) - 1) for value in high) < 0.005
