"""How far the order of the vendors rests on the weights: exactly for one weight and for all at once, and by drawing.

Every score is a weighted sum of worths that do not depend on who else is compared, so the order of two offers is the
sign of one sum: no offer that is added or left out can turn it (unlike AHP and TOPSIS).
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from keystrand.model.stages.compared import Swap, WeightRange
from keystrand.model.units import Interval

WEIGHT_CHANGE = 0.2
"""The change of every weight, up or down, that the order is tried against."""
DRAWS = 10_000
"""Drawn weightings: the share of a coin toss is then known to 0.5 percentage points (one standard error)."""
SEED = 20_260_101
"""Fixed, so that equal inputs give equal bytes."""
TIE = 1e-9
"""Scores nearer than that are equal: they differ by rounding only."""

Array = NDArray[np.float64]


def order_of(scores: Mapping[str, float]) -> list[str]:
    """Return the names by falling score; equal ones by name."""
    return sorted(scores, key=lambda name: (-round(scores[name] / TIE), name))


def ranks(ranges: Mapping[str, Interval]) -> dict[str, tuple[int, int]]:
    """Return the best and worst rank that each range allows: surely behind is who cannot reach the other's low end."""
    return {
        name: (
            1 + sum(other.low > own.high + TIE for key, other in ranges.items() if key != name),
            1 + sum(other.high > own.low + TIE for key, other in ranges.items() if key != name),
        )
        for name, own in ranges.items()
    }


def weight_ranges(weights: Mapping[str, float], worths: Mapping[str, Sequence[float]], first: str) -> list[WeightRange]:
    """Return, for each weight, exactly where `first` stays first while all others are held.

    `worths` has a row for each vendor in the order of `weights`. Against each rival the lead is linear in the weight.
    """
    values = np.asarray(list(weights.values()), dtype=np.float64)
    leads = [np.subtract(worths[first], row) for name, row in worths.items() if name != first]
    return [_range(name, k, values, leads) for k, name in enumerate(weights)]


def _range(name: str, k: int, values: Array, leads: Sequence[Array]) -> WeightRange:
    low, high = 0.0, math.inf
    for lead in leads:
        held = float(values @ lead) - float(values[k] * lead[k])
        if lead[k] > TIE:
            low = max(low, -held / float(lead[k]))
        elif lead[k] < -TIE:
            high = min(high, held / -float(lead[k]))
    return WeightRange(
        requirement=name,
        weight=float(values[k]),
        share=float(values[k] / values.sum()),
        low=round(low, 6),
        high=None if math.isinf(high) else round(high, 6),
    )


def swaps(weights: Mapping[str, float], worths: Mapping[str, Sequence[float]], order: Sequence[str]) -> list[Swap]:
    """Return the neighbours in `order` that change places under some change of every weight by up to `WEIGHT_CHANGE`.

    The least lead over the box of weights is taken at a corner: sum(w d) - change * sum(w |d|). Where it is positive
    for all neighbours, the whole order holds in the whole box.
    """
    values = np.asarray(list(weights.values()), dtype=np.float64)
    found = []
    for ahead, behind in pairwise(order):
        lead = np.subtract(worths[ahead], worths[behind])
        if float(values @ lead) - WEIGHT_CHANGE * float(values @ np.abs(lead)) < -TIE:
            found.append(Swap(ahead=ahead, behind=behind))
    return found


def first_ratios(weights: Mapping[str, float], ranges: Mapping[str, Sequence[Interval]]) -> dict[str, float]:
    """Return in what share of draws nobody is ahead of each vendor.

    Weights of what counts at all are drawn evenly over all that sum to one (Dirichlet, all parameters 1); worths evenly
    within their ranges. A vendor's draws depend on its name alone, so another one changes nothing but who is ahead.
    """
    counts = np.asarray([weight > 0 for weight in weights.values()])
    drawn = np.random.default_rng(SEED).dirichlet(np.ones(int(counts.sum())), DRAWS)
    scores = {name: np.einsum("ij,ij->i", drawn, _worths(name, row)[:, counts]) for name, row in ranges.items()}
    best = np.max(list(scores.values()), axis=0) if scores else np.zeros(DRAWS)
    return {name: round(float(np.mean(score >= best - TIE)), 3) for name, score in scores.items()}


def _worths(name: str, row: Sequence[Interval]) -> Array:
    low = np.asarray([one.low for one in row])
    width = np.asarray([one.high - one.low for one in row])
    stream = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return np.asarray(low + width * stream.random((DRAWS, len(row))))
