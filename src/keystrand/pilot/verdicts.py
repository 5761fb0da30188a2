"""Estimates against goals: what is judged by an interval is judged by its worse end, and the reason says so."""

from collections.abc import Sequence

from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult, CriterionState
from keystrand.model.units import Estimate
from keystrand.pilot.intervals import INTERVAL, Range

EACH = "least to greatest"
"""The spread where every single value has to be within the goal."""
COUNTED = "all counted"
"""The spread of what was counted in full: nothing was sampled."""
_REACHES = "the interval reaches beyond the goal, though its middle does not: more repetitions would tell"


def of_range(found: Range, samples: int, unit: str, spread: str = INTERVAL) -> Estimate:
    """Return the measured estimate of a range."""
    return Estimate(
        value=found.value, low=found.low, high=found.high, sample_size=samples, unit=unit, simulated=False,
        spread=spread,
    )  # fmt: skip


def of_each(values: Sequence[float], unit: str) -> Estimate:
    """Return the median of values with the least and the greatest of them. Raises `ValueError` without values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return of_range(Range(ordered[0], middle, ordered[-1]), len(ordered), unit, EACH)


def of_count(count: float, among: int, unit: str) -> Estimate:
    """Return what was counted, `among` so many."""
    return of_range(Range(count, count, count), among, unit, COUNTED)


def at_most(limit: float, goal: str, name: CriterionName, seen: Estimate, reason: str = "") -> CriterionResult:
    """Judge `seen` by its upper end."""
    return _judged(name, goal, seen, met=seen.high <= limit, middle=seen.value <= limit, reason=reason)


def at_least(limit: float, goal: str, name: CriterionName, seen: Estimate, reason: str = "") -> CriterionResult:
    """Judge `seen` by its lower end."""
    return _judged(name, goal, seen, met=seen.low >= limit, middle=seen.value >= limit, reason=reason)


def unmeasured(goal: str, name: CriterionName, why: str, seen: Estimate | None = None) -> CriterionResult:
    """Return that a criterion was not measured, and why; `seen` is what there is all the same."""
    return CriterionResult(name=name.value, goal=goal, state=CriterionState.NOT_MEASURED, measured=seen, reason=why)


def missed(goal: str, name: CriterionName, why: str, seen: Estimate | None = None) -> CriterionResult:
    """Return that a criterion was missed: by `seen`, or because what should come never came; no number covers that."""
    return CriterionResult(name=name.value, goal=goal, state=CriterionState.MISSED, measured=seen, reason=why)


def _judged(name: CriterionName, goal: str, seen: Estimate, *, met: bool, middle: bool, reason: str) -> CriterionResult:
    reaches = not met and middle and seen.spread == INTERVAL
    return CriterionResult(
        name=name.value, goal=goal, state=CriterionState.MET if met else CriterionState.MISSED, measured=seen,
        reason="; ".join(filter(None, (reason, _REACHES if reaches else ""))),
    )  # fmt: skip
