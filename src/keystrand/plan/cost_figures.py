"""Draws to figures: median and range, rounded so that two machines write the same document."""

import numpy as np
from numpy.typing import NDArray

from keystrand.model.units import Estimate, Interval

Values = NDArray[np.float64]

FIGURES = 5
"""Significant figures kept: far more than is known, and few enough that the last bits of a sum do not show."""
SPREAD = "5th to 95th percentile of the scenarios"


def figure(value: float) -> float:
    """Return `value` to `FIGURES` significant figures."""
    return float(f"{value:.{FIGURES}g}")


def estimate(values: Values, unit: str) -> Estimate:
    """Return the median and the 5th and 95th percentile of draws: simulated, for nothing of it was measured."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return Estimate(value=figure(middle), low=figure(low), high=figure(high), sample_size=values.size, unit=unit,
                    simulated=True, spread=SPREAD)  # fmt: skip


def interval(values: Values) -> Interval:
    """Return the 5th and 95th percentile of draws."""
    low, high = np.quantile(values, [0.05, 0.95])
    return Interval(low=figure(low), high=figure(high))
