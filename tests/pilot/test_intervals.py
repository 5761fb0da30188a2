"""Intervals against textbooks, against counting every order by hand, and against their own promise of 95 %."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.pilot.intervals import (
    mean_count_range,
    quantile_range,
    ratio_range,
    samples_for_quantile,
    share_range,
)

floats = st.floats(1e-3, 1e3)


def test_the_median_of_a_hundred_is_between_the_40th_and_the_61st() -> None:
    """The textbook's order statistics (Conover 1999, section 3.2)."""
    found = quantile_range(range(1, 101), 0.5)
    assert (found.low, found.value, found.high) == (40, 50.5, 61)


def test_a_95th_percentile_is_bounded_from_72_samples_on() -> None:
    """0.95^72 < 0.025 < 0.95^71: with one fewer nothing bounds it from above."""
    assert samples_for_quantile(0.95) == 72
    assert quantile_range(range(72), 0.95).high == 71
    assert quantile_range(range(71), 0.95).high == math.inf
    assert quantile_range((5.0,), 0.5) == (0.0, 5.0, math.inf)


def test_counts_have_the_exact_interval_of_poisson() -> None:
    """No event in 10: at most 3.689 / 10. Ten events: 4.795 to 18.39 (Garwood 1936)."""
    assert mean_count_range([0] * 10) == pytest.approx((0, 0, 0.36889), abs=1e-5)
    assert mean_count_range([10]) == pytest.approx((4.7954, 10, 18.3904), abs=1e-3)


def test_bursts_widen_the_interval() -> None:
    """20 packets lost at once say less than one each in 20 rotations."""
    even, burst = mean_count_range([1] * 20), mean_count_range([20] + [0] * 19)
    assert even.value == burst.value == 1
    assert burst.low < even.low
    assert burst.high > even.high


def test_shares_have_the_exact_interval() -> None:
    """0 of 10 is at most 30.85 %, 5 of 10 18.71 to 81.29 % (Clopper and Pearson 1934)."""
    assert share_range(0, 10) == pytest.approx((0, 0, 0.30850), abs=1e-5)
    assert share_range(5, 10) == pytest.approx((0.18709, 0.5, 0.81291), abs=1e-5)
    for count, tried in ((0, 0), (2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="share"):
            share_range(count, tried)


def test_nothing_has_no_interval() -> None:
    """Without samples there is no quantile, no mean and no ratio."""
    with pytest.raises(ValueError, match="samples"):
        quantile_range((), 0.5)
    with pytest.raises(ValueError, match="counts"):
        mean_count_range(())
    assert ratio_range((), (1.0,)) is None
    assert ratio_range((1.0, 0.0, 2.0, 3.0), (1.0,) * 4) is None


def test_the_order_of_pairs_bounds_the_ratio_as_counting_every_order_does() -> None:
    """The rank of the lower end: the greatest c for which U < c happens in at most 2.5 % of all orders."""
    for m, n in ((3, 3), (4, 4), (5, 4), (6, 5)):
        counts = [0] * (m * n + 1)
        for places in itertools.combinations(range(m + n), m):
            counts[sum(place for place in places) - m * (m - 1) // 2] += 1
        below = np.cumsum(counts) / math.comb(m + n, m)
        rank = int((below <= 0.025).sum())
        one, other = [2.0 ** (n + k) for k in range(m)], [1.001**k for k in range(n)]
        found = ratio_range(one, other)
        pairs = sorted(a / b for a in one for b in other)
        assert (found is None) == (rank == 0)
        if found:
            assert (found.low, found.high) == pytest.approx((pairs[rank - 1], pairs[-rank]))


@given(st.lists(floats, min_size=4, max_size=60), st.lists(floats, min_size=4, max_size=60), floats)
def test_a_ratio_turns_round_and_scales(above: list[float], below: list[float], factor: float) -> None:
    """Exchanged, it is the inverse; a factor on one side is a factor on the ratio; and its ends are in order."""
    found, turned = ratio_range(above, below), ratio_range(below, above)
    scaled = ratio_range([factor * one for one in above], below)
    assert found is not None
    assert turned is not None
    assert scaled is not None
    assert found.low <= found.value <= found.high
    assert turned == pytest.approx((1 / found.high, 1 / found.value, 1 / found.low))
    assert tuple(scaled) == pytest.approx([factor * one for one in found])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0.05, 0.95))
def test_a_quantile_lies_within_its_ends(samples: list[float], share: float) -> None:
    """In order, and the ends are samples where they bound it."""
    found = quantile_range(samples, share)
    assert found.low <= found.value <= found.high
    assert found.low in (0.0, *samples)
    assert found.high in (math.inf, *samples)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=100))
def test_a_mean_of_counts_lies_within_its_ends(counts: list[int]) -> None:
    """In order, and the lower end is not below zero."""
    found = mean_count_range(counts)
    assert 0 <= found.low <= found.value <= found.high


def test_the_truth_is_inside_as_often_as_promised() -> None:
    """Of 400 draws each at least 92 % hold the truth: 95 % less four deviations of the draw would be 90.6 %."""
    rng = np.random.default_rng(7)
    inside = {"quantile": 0, "counts": 0, "ratio": 0}
    for _ in range(400):
        found = quantile_range(rng.exponential(1, 90).tolist(), 0.95)
        inside["quantile"] += found.low <= math.log(20) <= found.high
        found = mean_count_range(rng.poisson(0.3, 40).tolist())
        inside["counts"] += found.low <= 0.3 <= found.high
        ratio = ratio_range((2 * rng.lognormal(0, 0.3, 9)).tolist(), rng.lognormal(0, 0.3, 8).tolist())
        assert ratio is not None
        inside["ratio"] += ratio.low <= 2 <= ratio.high
    assert min(inside.values()) >= 0.92 * 400
