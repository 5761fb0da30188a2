"""95 % intervals of what a pilot counts and times: exact where that can be, and none where the samples are too few.

Nothing is drawn here: the same samples give the same interval.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, betaincinv, chdtri, ndtri

TAIL = 0.025
"""What lies beyond each end of an interval of 95 %."""
INTERVAL = "95 % interval"
_PAIRS_MOST = 2000
"""Beyond so many samples a side they are thinned evenly: the interval is far narrower than anybody asks by then."""
_EXACT_MOST = 40
"""Up to so many samples on both sides together their order is counted exactly."""


class Range(NamedTuple):
    """A value between its ends; an end is infinite where the samples do not bound it."""

    low: float
    value: float
    high: float


def quantile_range(samples: Sequence[float], share: float) -> Range:
    """Return the quantile of `share` (0..1) of samples of 0 or more, and the order statistics that bound it.

    Distribution-free: the number of samples below the true quantile is binomial. Raises `ValueError` without samples.
    """
    ordered, n = sorted(samples), len(samples)
    if not ordered:
        raise ValueError("no samples")
    below = np.concatenate([[0.0], bdtr(np.arange(float(n)), n, share)])  # [rank]: P(fewer samples than `rank`)
    low = int(np.flatnonzero(below <= TAIL)[-1])
    enough = np.flatnonzero(below >= 1 - TAIL)
    return Range(
        ordered[low - 1] if low else 0.0,
        float(np.quantile(ordered, share)),
        ordered[int(enough[0]) - 1] if enough.size else math.inf,
    )


def samples_for_quantile(share: float) -> int:
    """Return how many samples bound the quantile of `share` from above."""
    return math.ceil(math.log(TAIL) / math.log(share))


def mean_count_range(counts: Sequence[int]) -> Range:
    """Return the mean of counts: exact for a Poisson number, and wider by the scatter where they come in bursts.

    Raises `ValueError` without counts.
    """
    n, total = len(counts), sum(counts)
    if not n:
        raise ValueError("no counts")
    mean = total / n
    burst = max(1.0, float(np.var(counts, ddof=1)) / mean) if n > 1 and total else 1.0
    seen = total / burst
    low = float(chdtri(2 * seen, 1 - TAIL)) / 2 if total else 0.0
    return Range(low * burst / n, mean, float(chdtri(2 * seen + 2, TAIL)) / 2 * burst / n)


def share_range(count: int, tried: int) -> Range:
    """Return a share of independent tries, exact (Clopper and Pearson 1934). Raises `ValueError` where none was."""
    if not 0 <= count <= tried or not tried:
        raise ValueError("a share needs tries, and no more successes than tries")
    low = float(betaincinv(count, tried - count + 1, TAIL)) if count else 0.0
    high = float(betaincinv(count + 1, tried - count, 1 - TAIL)) if count < tried else 1.0
    return Range(low, count / tried, high)


def ratio_range(above: Sequence[float], below: Sequence[float]) -> Range | None:
    """Return by what factor `above` is typically greater than `below`: the median of all pairs' ratios.

    Hodges and Lehmann's estimate of the shift between logarithms, its interval by the order of the pairs (Mann and
    Whitney): no distribution is assumed. None where samples are too few (four and four suffice) or not above 0.
    """
    one, other = (_thinned(side) for side in (above, below))
    if not one.size or not other.size or min(one.min(), other.min()) <= 0:
        return None
    pairs = np.sort(np.subtract.outer(np.log(one), np.log(other)), axis=None)
    outside = _ranks_outside(one.size, other.size)
    if outside < 1:
        return None
    ends = pairs[outside - 1], np.median(pairs), pairs[-outside]
    low, middle, high = (float(x) for x in np.exp(ends))
    return Range(low, middle, high)


def _thinned(samples: Sequence[float]) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    return values[:: math.ceil(values.size / _PAIRS_MOST)] if values.size > _PAIRS_MOST else values


def _ranks_outside(m: int, n: int) -> int:
    """Return which of the ordered pairs bounds the interval from below: the greatest c with P(U < c) <= `TAIL`."""
    if m + n > _EXACT_MOST:
        scatter = math.sqrt(m * n * (m + n + 1) / 12)
        return math.floor(m * n / 2 + float(ndtri(TAIL)) * scatter)
    below = np.cumsum(_orders(m, n)) / math.comb(m + n, n)
    return int(np.searchsorted(below, TAIL, side="right"))


def _orders(m: int, n: int) -> np.ndarray:
    """Return in how many orders of `m` and `n` samples U is 0, 1, ...: the coefficients of the Gaussian binomial."""
    ways = np.zeros(m * n + 1)
    ways[0] = 1
    for part in range(1, m + 1):
        size = n + part
        for u in range(m * n, size - 1, -1):
            ways[u] -= ways[u - size]
        for u in range(part, m * n + 1):
            ways[u] += ways[u - part]
    return ways
