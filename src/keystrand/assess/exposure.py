"""Harvest-now-decrypt-later exposure of every data class of every system that establishes keys.

The closed forms are those of `model.horizon`. Signatures and certificates cannot be harvested: they have no part here.
"""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import DataClass, Estate, System
from keystrand.model.horizon import (
    Horizon,
    Values,
    avoidable,
    delay_cost,
    shelf_life_exceeds_horizon,
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
    return tuple(
        _exposure(system, classes[name], judged[system.id], horizons, as_of)
        for system in estate.system
        if system.id in judged
        for name in system.data_classes
    )


def stops_within(system: System, as_of: date) -> Interval:
    """Return the years until `system` stops using vulnerable key establishment: migrated, or retired if that is sooner.

    A day of retirement that has passed while the system still stands is not believed.
    """
    low, high = sorted(system.migration_years)
    if system.retires and system.retires > as_of:
        left = years_between(as_of, system.retires)
        low, high = min(low, left), min(high, left)
    return Interval(low=round(low, _DIGITS), high=round(high, _DIGITS))


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


def _exposure(system: System, data_class: DataClass, finding: Finding, horizons: Horizons, as_of: date) -> Exposure:
    x, stop, scope = data_class.retention_years, stops_within(system, as_of), _scope(finding)
    left = stop if scope.to_come else Interval(low=0.0, high=0.0)

    def between(at: Callable[[Horizon, float], Values]) -> Interval:
        low = min(float(at(horizon, left.low)) for horizon in horizons) if scope.certain else 0.0
        high = max(float(at(horizon, left.high)) for horizon in horizons)
        return Interval(low=round(low, _DIGITS), high=round(high, _DIGITS))

    return Exposure(
        system=system.id,
        data_class=data_class.id,
        shelf_life_years=x,
        migration_years=stop,
        shelf_life_exceeds_horizon=between(lambda horizon, m: shelf_life_exceeds_horizon(horizon, m, x)),
        avoidable_data_years=between(lambda horizon, m: avoidable(horizon, m, x)),
        sunk_data_years=between(lambda horizon, _: sunk(horizon, x)),
        delay_cost_data_years_per_year=between(lambda horizon, m: delay_cost(horizon, m, x) * scope.to_come),
        verdict=finding.verdict,
    )
