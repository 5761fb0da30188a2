"""Key in a network: bits are conserved, routes are taken in order, and nothing passes where it must not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keystrand.pilot.key_flow import Route, flow, routes
from keystrand.qkd.decoy import Values

RING = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
EVERY = frozenset("abcd")


def slow(
    made: Values, capacity: Values, wanted: Values, by_demand: list[list[Route]], passable: NDArray[np.bool_]
) -> Values:
    """Serve step by step in plain Python."""
    store: list[float] = [0.0] * len(capacity)
    out: list[list[float]] = []
    for step in range(len(made)):
        store = [min(s + m, c) for s, m, c in zip(store, made[step], capacity, strict=True)]
        row = []
        for want, choices in zip(wanted[step], by_demand, strict=True):
            left = want
            for route in choices:
                most = min([left, *(store[n] if passable[step][n] else 0.0 for n in route)])
                for n in route:
                    store[n] -= most
                left -= most
            row.append(want - left)
        out.append(row)
    return np.array(out)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_bits_are_conserved_and_served_as_the_reference_says(seed: int) -> None:
    """Made = stored + spent + overflow on every link; delivered + short = wanted; spent = delivered x hops."""
    rng = np.random.default_rng(seed)
    steps = 40
    made, wanted = rng.integers(0, 50, (steps, 4)).astype(float), rng.integers(0, 60, (steps, 3)).astype(float)
    capacity, passable = rng.integers(0, 300, 4).astype(float), rng.random((steps, 4)) < 0.8
    by_demand = [routes(RING, EVERY, *pair, 3) for pair in (("a", "c"), ("b", "d"), ("a", "b"))]
    out = flow(made, capacity, wanted, by_demand, passable)
    assert np.allclose(made.sum(axis=0), out.stored[-1] + out.spent + out.overflow)
    assert np.allclose(out.delivered + out.short, wanted)
    assert np.allclose(out.delivered, slow(made, capacity, wanted, by_demand, passable))
    assert np.all((out.stored >= -1e-9) & (out.stored <= capacity + 1e-9))
    assert np.all(out.rerouted <= out.delivered + 1e-9)


def test_routes_pass_trusted_nodes_only() -> None:
    """Fewest hops first; a site that is not trusted ends a path and never stands on one."""
    assert routes(RING, EVERY, "a", "c", 3) == [(0, 1), (3, 2)]
    assert routes(RING, frozenset("b"), "a", "c", 3) == [(0, 1)]
    assert routes(RING, frozenset(), "a", "b", 3) == [(0,)]
    assert routes(RING, EVERY, "a", "c", 1) == []
    assert routes([("a", "b"), ("a", "b")], frozenset(), "a", "b", 2) == [(0,), (1,)]


def one(*, passable: bool, first: float = 10.0) -> tuple[float, float, float]:
    """Return delivered, rerouted and short bits of one step of a ring in which the first link holds `first`."""
    made = np.array([[first, 10.0, 10.0, 10.0]])
    where = np.ones((1, 4), np.bool_)
    where[0, 0] = passable
    by_demand: list[list[Route]] = [routes(RING, EVERY, "a", "c", 2)]
    out = flow(made, np.full(4, 100.0), np.array([[12.0]]), by_demand, where)
    return float(out.delivered[0, 0]), float(out.rerouted[0, 0]), float(out.short[0, 0])


def test_the_other_way_round_carries_what_the_first_cannot() -> None:
    """First route first; what it lacks goes round; what both lack is short."""
    assert one(passable=True) == (12.0, 2.0, 0.0)
    assert one(passable=True, first=0.0) == (10.0, 10.0, 2.0)
    assert one(passable=False) == (10.0, 10.0, 2.0)


@pytest.mark.parametrize("fault", ["negative", "shape", "link"])
def test_what_does_not_fit_is_refused(fault: str) -> None:
    """Less than nothing, steps that do not agree, and a link that is not there."""
    made = np.full((2, 1), -1.0 if fault == "negative" else 1.0)
    wanted = np.ones((3 if fault == "shape" else 2, 1))
    route: Route = (1,) if fault == "link" else (0,)
    with pytest.raises(ValueError, match=r"bits must not|not there"):
        flow(made, np.ones(1), wanted, [[route]], np.ones((2, 1), np.bool_))
