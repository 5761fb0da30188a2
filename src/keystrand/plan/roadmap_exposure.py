"""What each end of a measure exposes, by the assessment's own threat curve and the closed forms of `model.horizon`.

Key establishment: data-years that are still avoidable, summed over the system's data classes. Signatures: service-years
in which a signature could be forged and is still trusted. A service-year counts like a data-year in the order of work.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate, System
from keystrand.model.horizon import DAYS_PER_YEAR, Horizon, avoidable, forgeable, horizons, sunk, years_between
from keystrand.model.stages import Assessment, MeasureKind
from keystrand.model.units import Interval
from keystrand.plan.roadmap_problem import Reals
from keystrand.plan.schedule import Draft

PITCH_DAYS, KNOTS = 365, 41
"""Exposure is convex and linear between whole years; after forty it goes on as in the last of them."""
ORDER_DATA_YEARS_PER_YEAR = 0.01
"""What a year's delay of a measure weighs that exposes nothing itself: enough to be done early, too little to displace
one that does. The first in the order of work weighs twice the last."""
_RETIRES_KEYS = f"{MeasureKind.RETIRE_CLASSICAL}.{Function.KEY_ESTABLISHMENT}."


Lives = tuple[float, ...]
LOW, HIGH = 0, 1


class Curves(NamedTuple):
    """Both ends of the threat curve, and what each system has at stake by each: shelf lives of its data classes in
    years, the shortest and the longest; and until when verifiers in the field trust its signatures, in years from now.

    What is not known to be vulnerable counts at the high end and never at the low one, as in the assessment: such a
    system has no lives at the low end, and is not among the `forgeable`.
    """

    ends: tuple[Horizon, Horizon]
    lives: dict[str, tuple[Lives, Lives]]
    trusted: dict[str, float]
    forgeable: frozenset[str]


def curves_of(estate: Estate, assessment: Assessment, as_of: date) -> Curves | None:
    """Return what exposure is computed from; None where the assessment carries no curve."""
    if assessment.curve is None:
        return None
    classes = {c.id: c.retention_range_years or (c.retention_years, c.retention_years) for c in estate.data_class}
    sure = {(f.system, f.function) for f in assessment.findings if f.verdict is Verdict.QUANTUM_VULNERABLE}

    def lives(system: System) -> tuple[Lives, Lives]:
        longest = tuple(max(classes[name]) for name in system.data_classes)
        shortest = tuple(min(classes[name]) for name in system.data_classes)
        return shortest if (system.id, Function.KEY_ESTABLISHMENT) in sure else (), longest

    return Curves(
        horizons(assessment.curve, as_of),
        {system.id: lives(system) for system in estate.system},
        {s.id: years_between(as_of, s.verifiers_until) if s.verifiers_until else 0.0 for s in estate.system},
        frozenset(name for name, function in sure if function is not Function.KEY_ESTABLISHMENT),
    )


def harvested(draft_id: str, kind: MeasureKind) -> bool:
    """Return whether the measure ends the harvest of recorded traffic."""
    return kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT or draft_id.startswith(_RETIRES_KEYS)


def exposed(draft: Draft, years: Reals, curves: Curves, end: int) -> Reals:
    """Return what is exposed if `draft` ends `years` from now, by one end of the curve: `LOW` or `HIGH`."""
    total, curve = np.zeros(years.shape), curves.ends[end]
    if harvested(draft.id, draft.kind):
        for life in _lives(draft, curves, end):
            total += avoidable(curve, years, life)
    elif draft.kind is MeasureKind.MIGRATE_SIGNATURE and (end or draft.subject in curves.forgeable):
        total += forgeable(curve, np.maximum(years, curves.trusted.get(draft.subject, 0.0)))
    return total


def _lives(draft: Draft, curves: Curves, end: int) -> Lives:
    return curves.lives.get(draft.subject, ((), ()))[end]


def interval(draft: Draft, years: float, curves: Curves) -> Interval:
    """Return what is exposed if `draft` ends `years` from now, over both ends of the curve."""
    low, high = (float(exposed(draft, np.array([years]), curves, end)[0]) for end in (LOW, HIGH))
    return Interval(low=low, high=high)


def recorded(draft: Draft, curves: Curves) -> Interval:
    """Return what was recorded before today and no measure removes, in data-years; nothing for a signature."""
    if not harvested(draft.id, draft.kind):
        return Interval(low=0.0, high=0.0)
    low, high = (
        float(sum(float(sunk(curves.ends[end], life)) for life in _lives(draft, curves, end))) for end in (LOW, HIGH)
    )
    return Interval(low=low, high=high)


def tables(order: Sequence[Draft], curves: Curves) -> tuple[Reals, Reals]:
    """Return the exposure of each draft at each knot (N x K), by the low and by the high end of the curve."""
    years = np.arange(KNOTS) * PITCH_DAYS / DAYS_PER_YEAR
    known: dict[tuple[object, ...], tuple[Reals, Reals]] = {}
    low, high = np.zeros((len(order), KNOTS)), np.zeros((len(order), KNOTS))
    for n, draft in enumerate(order):
        harvest, signs = harvested(draft.id, draft.kind), draft.kind is MeasureKind.MIGRATE_SIGNATURE
        if harvest or signs:
            name = draft.subject
            key = (signs, curves.lives.get(name, ()), curves.trusted.get(name, 0.0), name in curves.forgeable)
            if key not in known:
                known[key] = exposed(draft, years, curves, LOW), exposed(draft, years, curves, HIGH)
            low[n], high[n] = known[key]
    return low, high


def ordering(size: int) -> Reals:
    """Return what every measure has besides (N x K): it falls over the list, the first weighing twice the last."""
    share = 1.0 - np.arange(size) / (2 * max(size, 1))
    years = np.arange(KNOTS) * PITCH_DAYS / DAYS_PER_YEAR
    weights: Reals = share[:, None] * ORDER_DATA_YEARS_PER_YEAR * years[None, :]
    return weights
