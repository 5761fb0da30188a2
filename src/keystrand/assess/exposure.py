"""Harvest-now-decrypt-later exposure of every data class of every system that establishes keys.

The closed forms are those of `model.horizon`. Signatures and certificates cannot be harvested: they have no part here.
"""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import numpy as np

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import DataClass, Estate, System
from keystrand.model.horizon import (
    Horizon,
    Span,
    Values,
    avoidable,
    avoidable_evenly,
    delay_cost,
    shelf_life_exceeds_horizon,
    shelf_life_exceeds_horizon_evenly,
    sunk,
    years_between,
)
from keystrand.model.stages import Exposure, Finding
from keystrand.model.units import Answer, Interval

_DIGITS = 6
"""Exposures are rounded far below their meaning, so that two machines write the same document."""

Horizons = tuple[Horizon, Horizon]


def exposures(estate: Estate, findings: tuple[Finding, ...], horizons: Horizons, as_of: date) -> tuple[Exposure, ...]:
    """Return one exposure for every data class of every system that establishes keys, in the order of the estate."""
    classes = {entry.id: entry for entry in estate.data_class}
    judged = {f.system: f for f in findings if f.function is Function.KEY_ESTABLISHMENT}
    pairs = [
        _Pair(system.id, classes[name], judged[system.id], stop)
        for system in estate.system
        if system.id in judged
        for stop in (stops_within(system, as_of),)
        for name in system.data_classes
    ]
    return tuple(map(_exposure, pairs, *_figures(pairs, horizons))) if pairs else ()


def stops_within(system: System, as_of: date) -> Interval:
    """Return the years until `system` stops using vulnerable key establishment: migrated, or retired if that is sooner.

    A day of retirement that has passed while the system still stands is not believed.
    """
    low, high = sorted(system.migration_years)
    if system.retires and system.retires > as_of:
        left = years_between(as_of, system.retires)
        low, high = min(low, left), min(high, left)
    return Interval(low=round(low, _DIGITS), high=round(high, _DIGITS))


class _Pair(NamedTuple):
    """A data class in a system, with the verdict on its key establishment and the years until the system stops."""

    system: str
    data_class: DataClass
    finding: Finding
    stops: Interval

    @property
    def shelf_life(self) -> tuple[float, float]:
        return self.data_class.retention_range_years or (self.data_class.retention_years,) * 2


class _Scope(NamedTuple):
    """What the verdict lets count: `certain` keeps the low ends, `to_come` the avoidable part, else they are 0."""

    certain: bool
    to_come: bool


def _scope(finding: Finding) -> _Scope:
    """Return the scope of a verdict. Unknown counts in the high end and never in the low one."""
    if finding.verdict is Verdict.QUANTUM_SAFE:
        # what was recorded before the safe exchange came is not known to be small, so the high end of `sunk` stays
        return _Scope(certain=False, to_come=finding.classical_still_accepted is not Answer.NO)
    return _Scope(certain=finding.verdict is Verdict.QUANTUM_VULNERABLE, to_come=True)


def _figures(pairs: list[_Pair], horizons: Horizons) -> tuple[list[Interval], ...]:
    """Return, for all `pairs` at once, P(x + y > z), avoidable, sunk and cost of delay: each a list of intervals."""
    scopes = [_scope(pair.finding) for pair in pairs]
    certain = np.array([scope.certain for scope in scopes], dtype=float)
    to_come = np.array([scope.to_come for scope in scopes], dtype=float)
    m = np.array([(pair.stops.low, pair.stops.high) for pair in pairs]) * to_come[:, None]
    x = np.array([pair.shelf_life for pair in pairs])

    def between(at: Callable[[Horizon, Values, Values], Values]) -> list[Interval]:
        low = np.min([at(horizon, m[:, 0], x[:, 0]) for horizon in horizons], axis=0) * certain
        high = np.max([at(horizon, m[:, 1], x[:, 1]) for horizon in horizons], axis=0)
        return _intervals(low, high)

    def evenly(at: Callable[[Horizon, Span, Span], Values]) -> list[Interval]:
        ends = np.array([at(horizon, (m[:, 0], m[:, 1]), (x[:, 0], x[:, 1])) for horizon in horizons])
        return _intervals(ends.min(axis=0) * certain, ends.max(axis=0))

    return (
        between(shelf_life_exceeds_horizon),
        between(avoidable),
        between(lambda horizon, _, years: sunk(horizon, years)),
        between(lambda horizon, end, years: delay_cost(horizon, end, years) * to_come),
        evenly(shelf_life_exceeds_horizon_evenly),
        evenly(avoidable_evenly),
    )


def _intervals(low: Values, high: Values) -> list[Interval]:
    ends = zip(np.round(low, _DIGITS).tolist(), np.round(high, _DIGITS).tolist(), strict=True)
    return [Interval(low=a, high=b) for a, b in ends]


def _exposure(pair: _Pair, *figures: Interval) -> Exposure:
    outlasts, ahead, behind, delay, outlasts_evenly, ahead_evenly = figures
    spread = pair.data_class.retention_range_years
    return Exposure(
        system=pair.system,
        data_class=pair.data_class.id,
        shelf_life_years=pair.data_class.retention_years,
        shelf_life_range_years=Interval(low=spread[0], high=spread[1]) if spread else None,
        migration_years=pair.stops,
        shelf_life_exceeds_horizon=outlasts,
        avoidable_data_years=ahead,
        sunk_data_years=behind,
        delay_cost_data_years_per_year=delay,
        verdict=pair.finding.verdict,
        shelf_life_exceeds_horizon_evenly=outlasts_evenly,
        avoidable_evenly_data_years=ahead_evenly,
    )
