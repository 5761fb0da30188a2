"""How far the order rests on the weights: exact intervals against bisection, the box against its corners, and draws."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.units import Interval
from keystrand.plan.vendor_weights import (
    DRAWS,
    WEIGHT_CHANGE,
    first_ratios,
    order_of,
    ranks,
    swaps,
    weight_ranges,
)

WORTHS = st.integers(0, 20).map(lambda n: n / 20)
TABLES = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 10).map(float), min_size=n, max_size=n),
        st.lists(st.lists(WORTHS, min_size=n, max_size=n), min_size=2, max_size=4),
    )
)


def _named(weights: list[float], rows: list[list[float]]) -> tuple[dict[str, float], dict[str, list[float]]]:
    return {f"v{n}": w for n, w in enumerate(weights)}, {f"s{n}": row for n, row in enumerate(rows)}


def _score(weights: dict[str, float], row: list[float]) -> float:
    return sum(w * x for w, x in zip(weights.values(), row, strict=True)) / sum(weights.values())


@given(TABLES)
def test_the_first_stays_first_exactly_within_the_interval_of_a_weight(
    table: tuple[list[float], list[list[float]]],
) -> None:
    """Just inside each end it is first, just outside it is not: tried by scoring anew with the changed weight."""
    weights, worths = _named(*table)
    first = order_of({name: _score(weights, row) for name, row in worths.items()})[0]
    for found in weight_ranges(weights, worths, first):
        end = found.weight * 2 + 1 if found.high is None else found.high
        inside = [found.low + (end - found.low) * share for share in (0.001, 0.5, 0.999)]
        outside = ([found.low - 1e-3] if found.low > 1e-3 else []) + ([] if found.high is None else [found.high + 1e-3])
        for value, stays in [*((v, True) for v in inside), *((v, False) for v in outside)]:
            changed = weights | {found.requirement: value}
            sums = {
                name: sum(w * x for w, x in zip(changed.values(), row, strict=True)) for name, row in worths.items()
            }
            # worths differ by 0.05 at least: a thousandth of weight is worth 5e-5, ends are rounded to 1e-6
            assert (sums[first] >= max(sums.values()) - 1e-5) is stays


@given(TABLES)
def test_the_order_holds_in_the_whole_box_exactly_where_it_holds_at_all_corners(
    table: tuple[list[float], list[list[float]]],
) -> None:
    """A linear lead over a box of weights is least at a corner: all corners are tried, one by one."""
    weights, worths = _named(*table)
    order = order_of({name: _score(weights, row) for name, row in worths.items()})
    told = {(swap.ahead, swap.behind) for swap in swaps(weights, worths, order)}
    for ahead, behind in pairwise(order):
        leads = []
        for signs in product((1 - WEIGHT_CHANGE, 1 + WEIGHT_CHANGE), repeat=len(weights)):
            corner = {name: w * sign for (name, w), sign in zip(weights.items(), signs, strict=True)}
            leads.append(
                sum(w * (a - b) for w, a, b in zip(corner.values(), worths[ahead], worths[behind], strict=True))
            )
        assert ((ahead, behind) in told) is (min(leads) < -1e-9)


@given(st.lists(st.tuples(WORTHS, WORTHS).map(sorted), min_size=1, max_size=5))
def test_ranks_span_what_the_ranges_allow(ranges: list[list[float]]) -> None:
    """Whatever score each takes within its range, its rank lies between the best and the worst."""
    named = {f"s{n}": Interval(low=low, high=high) for n, (low, high) in enumerate(ranges)}
    found = ranks(named)
    for ends in product(*((one.low, one.high) for one in named.values())):
        for name, score in zip(named, ends, strict=True):
            ahead = sum(other > score for other in ends)
            assert found[name][0] <= 1 + ahead <= found[name][1]
            assert 1 <= found[name][0] <= found[name][1] <= len(named)


def test_the_share_of_first_places_is_that_of_the_weights() -> None:
    """Two vendors, two requirements, each best at one: by symmetry each is first in half of the draws.

    With worths (1, 0) and (0, 0.5) the first one leads where w > (1 - w) / 2: two thirds of an even w.
    """
    point = {x: Interval(low=x, high=x) for x in (0.0, 0.5, 1.0)}
    error = 4 * float(np.sqrt(0.25 / DRAWS))
    even = first_ratios({"a": 1, "b": 1}, {"x": [point[1], point[0]], "y": [point[0], point[1]]})
    assert even["x"] == pytest.approx(0.5, abs=error)
    assert even["x"] + even["y"] == pytest.approx(1, abs=1e-3)
    skewed = first_ratios({"a": 1, "b": 1}, {"x": [point[1], point[0]], "y": [point[0], point[0.5]]})
    assert skewed["x"] == pytest.approx(2 / 3, abs=error)


def test_open_answers_are_drawn_apart_for_each_vendor() -> None:
    """Two vendors of whom nothing is known share the first place by halves, and a draw is the same every time."""
    rows = {"x": [Interval(low=0, high=1)], "y": [Interval(low=0, high=1)]}
    found = first_ratios({"a": 1}, rows)
    assert found["x"] == pytest.approx(0.5, abs=0.02)
    assert found == first_ratios({"a": 1}, rows)


def test_what_does_not_count_changes_no_share() -> None:
    """A requirement of weight zero is not drawn."""
    rows = {
        "x": [Interval(low=1, high=1), Interval(low=0, high=0)],
        "y": [Interval(low=0.5, high=0.5), Interval(low=1, high=1)],
    }
    assert first_ratios({"a": 1, "b": 0}, rows) == {"x": 1.0, "y": 0.0}
