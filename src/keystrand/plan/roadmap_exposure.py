"""What each end of a measure exposes, by the assessment's own threat curve and the closed forms of `model.horizon`.

Key establishment: data-years that are still avoidable, summed over the system's data classes. Signatures: service-years
in which a signature could be forged and is still trusted. A service-year counts like a data-year in the order of work.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate
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


class Curves(NamedTuple):
    """Both ends of the threat curve, and what each system has at stake: shelf lives of its data classes in years, and
    until when verifiers in the field trust its signatures, in years from now."""

    ends: tuple[Horizon, Horizon]
    lives: dict[str, tuple[float, ...]]
    trusted: dict[str, float]


def curves_of(estate: Estate, assessment: Assessment, as_of: date) -> Curves | None:
    """Return what exposure is computed from; None where the assessment carries no curve."""
    if assessment.curve is None:
        return None
    classes = {entry.id: entry.retention_years for entry in estate.data_class}
    return Curves(
        horizons(assessment.curve, as_of),
        {system.id: tuple(classes[name] for name in system.data_classes) for system in estate.system},
        {s.id: years_between(as_of, s.verifiers_until) if s.verifiers_until else 0.0 for s in estate.system},
    )


def harvested(draft_id: str, kind: MeasureKind) -> bool:
    """Return whether the measure ends the harvest of recorded traffic."""
    return kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT or draft_id.startswith(_RETIRES_KEYS)


def exposed(draft: Draft, years: Reals, curves: Curves, end: Horizon) -> Reals:
    """Return what is exposed if `draft` ends `years` from now, by one end of the curve."""
    total = np.zeros(years.shape)
    if harvested(draft.id, draft.kind):
        for life in curves.lives.get(draft.subject, ()):
            total += avoidable(end, years, life)
    elif draft.kind is MeasureKind.MIGRATE_SIGNATURE:
        total += forgeable(end, np.maximum(years, curves.trusted.get(draft.subject, 0.0)))
    return total


def interval(draft: Draft, years: float, curves: Curves) -> Interval:
    """Return what is exposed if `draft` ends `years` from now, over both ends of the curve."""
    low, high = (float(exposed(draft, np.array([years]), curves, end)[0]) for end in curves.ends)
    return Interval(low=low, high=high)


def recorded(draft: Draft, curves: Curves) -> Interval:
    """Return what was recorded before today and no measure removes, in data-years; nothing for a signature."""
    lives = curves.lives.get(draft.subject, ()) if harvested(draft.id, draft.kind) else ()
    low, high = (float(sum(float(sunk(end, life)) for life in lives)) for end in curves.ends)
    return Interval(low=low, high=high)


def tables(order: Sequence[Draft], curves: Curves) -> tuple[Reals, Reals]:
    """Return the exposure of each draft at each knot (N x K), by the low and by the high end of the curve."""
    years = np.arange(KNOTS) * PITCH_DAYS / DAYS_PER_YEAR
    known: dict[tuple[object, ...], tuple[Reals, Reals]] = {}
    low, high = np.zeros((len(order), KNOTS)), np.zeros((len(order), KNOTS))
    for n, draft in enumerate(order):
        harvest, signs = harvested(draft.id, draft.kind), draft.kind is MeasureKind.MIGRATE_SIGNATURE
        if harvest or signs:
            key = (signs, curves.lives.get(draft.subject, ()), curves.trusted.get(draft.subject, 0.0))
            if key not in known:
                known[key] = (
                    exposed(draft, years, curves, curves.ends[0]),
                    exposed(draft, years, curves, curves.ends[1]),
                )
            low[n], high[n] = known[key]
    return low, high


def ordering(size: int) -> Reals:
    """Return what every measure has besides (N x K): it falls over the list, the first weighing twice the last."""
    share = 1.0 - np.arange(size) / (2 * max(size, 1))
    years = np.arange(KNOTS) * PITCH_DAYS / DAYS_PER_YEAR
    weights: Reals = share[:, None] * ORDER_DATA_YEARS_PER_YEAR * years[None, :]
    return weights
