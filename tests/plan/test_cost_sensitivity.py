"""Swings and the worth of information, against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from keystrand.plan.cost_inputs import Draws, Ends
from keystrand.plan.cost_sensitivity import HIGH_SCORE, partial_information, perfect_information, swings


def _normal(mean: float, deviation: float) -> float:
    """Return E[max(b, 0)] - max(E[b], 0) of a normal benefit: the unit normal loss integral."""
    at = abs(mean) / deviation
    return float(deviation * (stats.norm.pdf(at) - at * stats.norm.sf(at)))


@pytest.mark.parametrize(("mean", "own", "rest"), [(0.0, 1.0, 2.0), (0.5, 2.0, 1.0), (-1.0, 1.5, 0.5)])
def test_the_worth_of_information_is_that_of_the_normal_loss_integral(mean: float, own: float, rest: float) -> None:
    """A benefit of one known part and the rest: perfect information from both, partial from the part alone."""
    rng = np.random.default_rng(5)
    score = rng.standard_normal(200_000)
    benefit = mean + own * score + rest * rng.standard_normal(score.size)
    assert perfect_information(benefit) == pytest.approx(_normal(mean, math.hypot(own, rest)), abs=0.015)
    assert partial_information(benefit, score) == pytest.approx(_normal(mean, own), abs=0.015)


def test_what_has_no_part_in_the_benefit_is_worth_nothing() -> None:
    """But for the noise of the fit."""
    rng = np.random.default_rng(6)
    benefit = 1.0 + rng.standard_normal(50_000)
    assert partial_information(benefit, rng.standard_normal(50_000)) < 1e-3
    assert perfect_information(np.full(10, -3.0)) == 0.0


def test_a_swing_is_that_of_the_input_alone_and_of_what_moves_with_it() -> None:
    """A sum of two inputs of one distribution: alone each moves its own range, together more where correlated."""
    rng = np.random.default_rng(7)
    one = rng.standard_normal(50_000)
    other = 0.8 * one + 0.6 * rng.standard_normal(one.size)
    scores = np.array([one, other])
    draws = Draws({"a": 0, "b": 1}, stats.norm.cdf(scores), scores)
    known: dict[str, Ends] = {"a": ((0.0, None, 1.0), None), "b": ((0.0, None, 1.0), None)}
    found = swings(draws, known, lambda d: 10 * d.values[0] + d.values[1])
    assert list(found) == ["a", "b"]
    assert found["a"].at == pytest.approx((0.1, 0.9))
    assert found["a"].alone[1] - found["a"].alone[0] == pytest.approx(8.0)
    assert found["b"].alone[1] - found["b"].alone[0] == pytest.approx(0.8)
    assert found["b"].together[1] - found["b"].together[0] > 5
    assert stats.norm.cdf(HIGH_SCORE) == pytest.approx(0.9)
