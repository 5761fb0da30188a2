"""In which order systems stand by their exposure when nothing is held at one value: ranges of ranks, never a score.

Each draw takes one threat curve between the two ends of the survey (each anchor evenly within its range, never falling
with time), one migration time for each system and one shelf life for each data class, evenly within their ranges. All
systems of a draw share the curve, because there is only one quantum computer to come. The seed is fixed.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.horizon import Horizon, Values, avoidable, years_between
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Exposure, RankRange
from keystrand.model.units import Interval

SEED = 20_261_126
"""Any fixed number does; equal inputs then give equal ranges."""
DRAWS_MOST, DRAWS_LEAST = 1_000, 200
"""A 5th and 95th percentile is good to about one percent of the ranks at 1,000 draws."""
_EVALUATIONS = 5_000_000
"""Draws times pairs of system and data class: beyond it the draws get fewer, so that time and memory stay bounded."""
_SHARE = 0.05
"""What is left out at either end of a range."""

_Indices = NDArray[np.intp]


class Pairs(NamedTuple):
    """The exposures as arrays: `open` is 0 where nothing is to come; `system` and `data_class` are places in lists."""

    open: Values
    migration: Values
    shelf_life: Values
    system: _Indices
    data_class: _Indices
    systems: tuple[str, ...]
    classes: tuple[str, ...]


def pairs_of(exposures: Sequence[Exposure]) -> Pairs:
    """Return `exposures` as arrays; ranges have shape (pairs, 2), in years, shortest first."""
    systems = {name: n for n, name in enumerate(dict.fromkeys(e.system for e in exposures))}
    classes = {name: n for n, name in enumerate(dict.fromkeys(e.data_class for e in exposures))}
    return Pairs(
        open=np.array([e.avoidable_data_years.high > 0 for e in exposures], dtype=float),
        migration=_ends([e.migration_years for e in exposures]),
        shelf_life=_ends([e.shelf_life for e in exposures]),
        system=np.array([systems[e.system] for e in exposures], dtype=np.intp),
        data_class=np.array([classes[e.data_class] for e in exposures], dtype=np.intp),
        systems=tuple(systems),
        classes=tuple(classes),
    )


def _ends(ranges: list[Interval]) -> Values:
    return np.array([(one.low, one.high) for one in ranges], dtype=float).reshape(-1, 2)


def rank_ranges(
    exposures: Sequence[Exposure], curve: ThreatCurve, as_of: date, *, seed: int = SEED, draws: int | None = None
) -> tuple[RankRange, ...]:
    """Return the range of ranks of every system in `exposures`, in their order; a verdict not known counts as exposed.

    `draws`: by default 1,000, fewer for very large estates.
    """
    if not exposures:
        return ()
    pairs = pairs_of(exposures)
    count = draws or draws_for(len(exposures))
    best, worst = _ranks(pairs, curve, years_between(curve.origin, as_of), count, np.random.default_rng(seed))
    low, high = floor(_SHARE * (count - 1)), ceil((1 - _SHARE) * (count - 1))
    first = (best <= ceil(len(pairs.systems) / 10)).mean(axis=0)
    lows = np.partition(best, low, axis=0)[low].tolist()
    highs = np.partition(worst, high, axis=0)[high].tolist()
    return tuple(
        RankRange(system=name, low=lows[n], high=highs[n], first_tenth=round(float(first[n]), 3))
        for n, name in enumerate(pairs.systems)
    )


def draws_for(pairs: int) -> int:
    """Return how many draws an estate with so many pairs of system and data class gets."""
    return max(DRAWS_LEAST, min(DRAWS_MOST, _EVALUATIONS // pairs))


def drawn_horizons(curve: ThreatCurve, elapsed_years: float, draws: int, rng: np.random.Generator) -> Iterator[Horizon]:
    """Yield `draws` horizons between the ends of `curve`, as seen `elapsed_years` after it was drawn."""
    years = [anchor.years for anchor in curve.anchors]
    low, high = (np.array([getattr(anchor, end) for anchor in curve.anchors]) for end in ("low", "high"))
    for _ in range(draws):
        ratios = np.maximum.accumulate(low + rng.random(len(years)) * (high - low))
        yield Horizon(list(zip(years, ratios.tolist(), strict=True)), elapsed_years)


def _ranks(
    pairs: Pairs, curve: ThreatCurve, elapsed: float, draws: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the best and the worst rank of every system in every draw; they differ where systems are level."""
    best, worst = (np.empty((draws, len(pairs.systems)), dtype=np.int32) for _ in range(2))
    for n, horizon in enumerate(drawn_horizons(curve, elapsed, draws, rng)):
        m = _within(pairs.migration, rng.random(len(pairs.systems))[pairs.system])
        x = _within(pairs.shelf_life, rng.random(len(pairs.classes))[pairs.data_class])
        best[n], worst[n] = ranks_by(by_system(pairs, avoidable(horizon, m, x)))
    return best, worst


def _within(ranges: Values, at: Values) -> Values:
    return ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * at


def by_system(pairs: Pairs, amounts: Values) -> Values:
    """Return the sum of `amounts` (one a pair) for each system."""
    return np.asarray(np.bincount(pairs.system, amounts * pairs.open, len(pairs.systems)), dtype=float)


def ranks_by(amounts: Values) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the best and worst rank of each of `amounts`, the largest first; level ones share a range."""
    rising = np.sort(amounts)
    best = len(amounts) - np.searchsorted(rising, amounts, "right") + 1
    worst = len(amounts) - np.searchsorted(rising, amounts, "left")
    return best.astype(np.int32), worst.astype(np.int32)
