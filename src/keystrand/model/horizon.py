"""The threat horizon as a distribution, and what it makes of a date, in closed form: one place for every stage.

F(t) is the probability that a quantum computer breaks RSA-2048 within t years of the day of the judgement, G the
integral of F and H the integral of G. An item made at time u and secret for X years is readable from the day that
machine comes (Q) until u + X. With production of one unit a year, all of it recorded, and today as 0:

    avoidable  E(M) = H(M + X) - H(X) - H(M)       produced from today until the migration at M
    avoided    E(M') - E(M)                        what a plan that ends at M saves against one that ends at M'
    sunk       S(A) = H(X) - H(max(X - A, 0))      produced in the A years before today; no migration removes it
    delay      dE/dM = G(M + X) - G(M)             what each further year costs; it grows with M, so E is convex
    Mosca      P(X + Y > Z) = F(X + Y)             M. Mosca, IEEE Security & Privacy 16(5), 2018
    forgeable  A(M) = G(M)                         signatures: years in which one could be forged and is still trusted

E and S follow by integrating E[(u + X - max(Q, u))+] = G(u + X) - G(u) over u. Units: data-years, that is years of
readability of one year's production; A in service-years. Signatures are not harvested: nothing of theirs is sunk.

Where M and X are ranges and nothing more is known, their even spread has a closed form as well: the mean of F, G or H
over a span is a difference of the next integral at its ends.

Every function takes numbers or arrays (years, broadcast together) and returns an array of 64-bit floats.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator, PPoly

from keystrand.model.errors import InvalidInput
from keystrand.model.policy import ThreatCurve

DAYS_PER_YEAR = 365.2425
"""Mean length of a Gregorian year in days."""
RECORDED_YEARS = 10.0
"""How far back traffic may have been recorded. Nobody knows; every assessment states it as an assumption."""

THIN_YEARS = 0.05
"""A span shorter than this (18 days) is a point: nobody states a retention or a migration more exactly."""

Values = NDArray[np.float64]
Span = tuple[ArrayLike, ArrayLike]
"""The shortest and the longest time, in years."""


def years_between(start: date, end: date) -> float:
    """Return the years from `start` to `end`, negative where `end` comes first."""
    return (end - start).days / DAYS_PER_YEAR


class Horizon:
    """One end of a threat curve as seen on the day of the judgement: t counts years from that day.

    Between the anchors of a survey (`points`: years and cumulative probabilities) the curve is interpolated
    monotonically (PCHIP; Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980); after the last it stays flat, so part of
    the mass may never arrive. The integrals are exact antiderivatives of the piecewise polynomials, not tables.

    The curve was drawn earlier, and nothing has happened since: with `elapsed_years` = a the probability is
    conditioned on that, F(t | none by a) = (F(a + t) - F(a)) / (1 - F(a)). `elapsed_years` may be negative.
    Raises `InvalidInput` where the curve says nothing about what comes after `elapsed_years`.
    """

    def __init__(self, points: Sequence[tuple[float, float]], elapsed_years: float = 0.0) -> None:
        ahead = _seen_from(points, elapsed_years)
        self._orders = [ahead, *(ahead.antiderivative(order) for order in range(1, 5))]

    def probability(self, t: ArrayLike) -> Values:
        """Return F(t): the probability that it has come `t` years from the day of the judgement."""
        return self._at(0, t)

    def integral(self, t: ArrayLike) -> Values:
        """Return G(t), the integral of F from 0 to `t`, in years: expected time since it came."""
        return self._at(1, t)

    def double_integral(self, t: ArrayLike) -> Values:
        """Return H(t), the integral of G from 0 to `t`, in years squared."""
        return self._at(2, t)

    def mean(self, order: int, spans: Sequence[Span]) -> Values:
        """Return the mean of F (`order` 0), G (1) or H (2) at a sum of times, each evenly spread over its span.

        Integrals of higher order at the corners give it exactly. A span shorter than `THIN_YEARS` counts as its middle:
        the error is below a ten-thousandth of the curvature, where the difference of the corners would lose digits.
        At most two spans of H, four of F.
        """
        total = np.zeros(())
        ends = [(np.asarray(low, dtype=float), np.asarray(high, dtype=float)) for low, high in spans]
        wide = [high - low >= THIN_YEARS for low, high in ends]
        for picked in product((False, True), repeat=len(ends)):
            here = _all(w == p for w, p in zip(wide, picked, strict=True))
            if np.any(here):
                total = total + np.where(here, self._corners(order, ends, picked), 0.0)
        return total

    def _corners(self, order: int, ends: list[tuple[Values, Values]], picked: tuple[bool, ...]) -> Values:
        """Return the mean where the `picked` spans are wide and the others are their middle."""
        middle = sum(((low + high) / 2 for (low, high), p in zip(ends, picked, strict=True) if not p), np.zeros(()))
        spread = [pair for pair, p in zip(ends, picked, strict=True) if p]
        total = np.zeros(())
        for corner in product((0, 1), repeat=len(spread)):
            at = sum((pair[n] for pair, n in zip(spread, corner, strict=True)), middle)
            total = total + (-1) ** (len(spread) - sum(corner)) * self._at(order + len(spread), at)
        for low, high in spread:
            total = total / np.maximum(high - low, THIN_YEARS)
        return total

    def _at(self, order: int, t: ArrayLike) -> Values:
        return np.asarray(self._orders[order](np.maximum(np.asarray(t, dtype=float), 0.0)), dtype=float)


def _all(conditions: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    found = np.array(True)  # noqa: FBT003 - a value, not an option
    for one in conditions:
        found = found & one
    return found


def _seen_from(points: Sequence[tuple[float, float]], elapsed: float) -> PPoly:
    """Return F from `elapsed` on, as cubic pieces; the last piece is flat, and is what evaluation beyond it goes on."""
    years, ratios = (np.array(column) for column in zip((0.0, 0.0), *points, strict=True))
    survey = PchipInterpolator(years, ratios)
    passed = float(survey(max(elapsed, 0.0))) if elapsed < years[-1] else 1.0
    if passed >= 1.0:
        raise InvalidInput(
            "the threat curve says nothing about the time after the day of the judgement",
            hint="take a newer threat curve, or judge for an earlier day",
        )
    left = np.concatenate(([max(elapsed, 0.0)], years[(years > elapsed) & (years > 0)]))
    # each piece by its Taylor expansion about its left end, which is exact for a cubic
    cubic = np.array([survey(left, 3) / 6, survey(left, 2) / 2, survey(left, 1), survey(left) - passed])
    cubic[:3, -1] = 0.0
    before = np.zeros((4, 1)) if elapsed < 0 else np.empty((4, 0))
    start = [0.0] if elapsed < 0 else []
    breaks = np.concatenate((start, left - elapsed, [left[-1] - elapsed + 1.0]))
    return PPoly(np.hstack((before, cubic / (1.0 - passed))), breaks, extrapolate=True)


def horizons(curve: ThreatCurve, as_of: date) -> tuple[Horizon, Horizon]:
    """Return the low and the high end of `curve` as seen on `as_of`; there is no middle.

    Raises `InvalidInput` where `as_of` lies at or beyond the last anchor.
    """
    elapsed = years_between(curve.origin, as_of)
    low = [(anchor.years, anchor.low) for anchor in curve.anchors]
    high = [(anchor.years, anchor.high) for anchor in curve.anchors]
    return Horizon(low, elapsed), Horizon(high, elapsed)


def avoidable(horizon: Horizon, migration_years: ArrayLike, shelf_life_years: ArrayLike) -> Values:
    """Return E(M) in data-years: readable data produced from today until `migration_years` from now."""
    h, m, x = horizon.double_integral, np.maximum(migration_years, 0.0), np.asarray(shelf_life_years, dtype=float)
    return np.maximum(h(m + x) - h(x) - h(m), 0.0)


def avoided(
    horizon: Horizon, without_years: ArrayLike, planned_years: ArrayLike, shelf_life_years: ArrayLike
) -> Values:
    """Return what ending at `planned_years` in place of `without_years` saves, in data-years; negative where later.

    What is sunk has no part in it: it is the same on both sides.
    """
    without = avoidable(horizon, without_years, shelf_life_years)
    return without - avoidable(horizon, planned_years, shelf_life_years)


def sunk(horizon: Horizon, shelf_life_years: ArrayLike, recorded_years: float = RECORDED_YEARS) -> Values:
    """Return S(A) in data-years: readable data recorded in the `recorded_years` before today."""
    h, x = horizon.double_integral, np.asarray(shelf_life_years, dtype=float)
    return np.maximum(h(x) - h(np.maximum(x - recorded_years, 0.0)), 0.0)


def delay_cost(horizon: Horizon, migration_years: ArrayLike, shelf_life_years: ArrayLike) -> Values:
    """Return dE/dM in data-years per year of further delay; it grows with M."""
    g, m = horizon.integral, np.maximum(migration_years, 0.0)
    return np.maximum(g(m + np.asarray(shelf_life_years, dtype=float)) - g(m), 0.0)


def shelf_life_exceeds_horizon(horizon: Horizon, migration_years: ArrayLike, shelf_life_years: ArrayLike) -> Values:
    """Return P(X + Y > Z), Mosca's inequality as a probability."""
    return horizon.probability(np.asarray(migration_years, dtype=float) + np.asarray(shelf_life_years, dtype=float))


def avoidable_evenly(horizon: Horizon, migration_years: Span, shelf_life_years: Span) -> Values:
    """Return the mean of E(M) where M and X are spread evenly and independently over their spans, in data-years."""
    both = horizon.mean(2, [migration_years, shelf_life_years])
    return np.maximum(both - horizon.mean(2, [shelf_life_years]) - horizon.mean(2, [migration_years]), 0.0)


def shelf_life_exceeds_horizon_evenly(horizon: Horizon, migration_years: Span, shelf_life_years: Span) -> Values:
    """Return P(X + Y > Z) where X and Y are spread evenly and independently over their spans."""
    return np.clip(horizon.mean(0, [migration_years, shelf_life_years]), 0.0, 1.0)


def forgeable(horizon: Horizon, trusted_until_years: ArrayLike) -> Values:
    """Return A(M) in service-years: how long a signature could be forged that is trusted until then.

    `trusted_until_years` counts to the day on which the last verifier stops accepting the old algorithm from the last
    of its issuers, not to the day on which the signer itself changed.
    """
    return horizon.integral(trusted_until_years)
