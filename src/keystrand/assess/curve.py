"""The threat horizon as a distribution: P(a quantum computer breaks RSA-2048 within t years), and its integrals.

Between the anchors of a survey the cumulative probability is interpolated monotonically (PCHIP; Fritsch and Carlson,
SIAM J. Numer. Anal. 17, 1980); after the last anchor it stays flat, so part of the mass may never arrive. The integrals
are exact antiderivatives of the piecewise polynomials, not tables.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from keystrand.model.errors import InvalidInput
from keystrand.model.policy import ThreatCurve

DAYS_PER_YEAR = 365.2425
"""Mean length of a Gregorian year in days."""

Values = NDArray[np.float64]


def years_between(start: date, end: date) -> float:
    """Return the years from `start` to `end`, negative where `end` comes first."""
    return (end - start).days / DAYS_PER_YEAR


class _Cumulative:
    """F, G = integral of F and H = integral of G, for t in years from the survey; all three are 0 before it."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        years, ratios = zip((0.0, 0.0), *points, strict=True)
        self.last, self.plateau = years[-1], ratios[-1]
        inside = PchipInterpolator(np.array(years), np.array(ratios))
        self._inside = (inside, inside.antiderivative(1), inside.antiderivative(2))

    def orders(self, t: ArrayLike) -> tuple[Values, Values, Values]:
        """Return F(t), G(t) and H(t)."""
        at = np.asarray(t, dtype=float)
        within = np.clip(at, 0.0, self.last)
        beyond = np.maximum(at - self.last, 0.0)
        f, g, h = (np.asarray(part(within), dtype=float) for part in self._inside)
        return f, g + self.plateau * beyond, h + g * beyond + self.plateau * beyond**2 / 2


class Horizon:
    """One end of a threat curve as seen on the day of the judgement: t counts years from that day.

    The curve was drawn earlier, and nothing has happened since: with `elapsed_years` = a the probability is
    conditioned on that, F(t | none by a) = (F(a + t) - F(a)) / (1 - F(a)). `elapsed_years` may be negative.
    """

    def __init__(self, points: Sequence[tuple[float, float]], elapsed_years: float = 0.0) -> None:
        self._curve = _Cumulative(points)
        self._elapsed = elapsed_years
        f, g, h = self._curve.orders(elapsed_years)
        self._start = float(f), float(g), float(h)
        if elapsed_years >= self._curve.last or self._start[0] >= 1.0:
            raise InvalidInput(
                "the threat curve says nothing about the time after the day of the judgement",
                hint="take a newer threat curve, or judge for an earlier day",
            )

    def _orders(self, t: ArrayLike) -> tuple[Values, Values, Values]:
        ahead = np.maximum(np.asarray(t, dtype=float), 0.0)
        f, g, h = self._curve.orders(self._elapsed + ahead)
        f0, g0, h0 = self._start
        scale = 1.0 / (1.0 - f0)
        return (
            (f - f0) * scale,
            (g - g0 - f0 * ahead) * scale,
            (h - h0 - g0 * ahead - f0 * ahead**2 / 2) * scale,
        )

    def probability(self, t: ArrayLike) -> Values:
        """Return F(t): the probability that it has come `t` years from the day of the judgement."""
        return self._orders(t)[0]

    def integral(self, t: ArrayLike) -> Values:
        """Return G(t), the integral of F from 0 to `t`, in years: expected time since it came."""
        return self._orders(t)[1]

    def double_integral(self, t: ArrayLike) -> Values:
        """Return H(t), the integral of G from 0 to `t`, in years squared."""
        return self._orders(t)[2]


def horizons(curve: ThreatCurve, as_of: date) -> tuple[Horizon, Horizon]:
    """Return the low and the high end of `curve` as seen on `as_of`; there is no middle.

    Raises `InvalidInput` where `as_of` lies at or beyond the last anchor.
    """
    elapsed = years_between(curve.origin, as_of)
    low = [(anchor.years, anchor.low) for anchor in curve.anchors]
    high = [(anchor.years, anchor.high) for anchor in curve.anchors]
    return Horizon(low, elapsed), Horizon(high, elapsed)
