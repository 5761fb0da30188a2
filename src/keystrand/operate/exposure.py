"""Exposure in words: what is sunk, what can still be avoided, and what a year of delay costs. Always as ranges."""

from typing import NamedTuple

from keystrand.formats.wording import interval_text, ratio_text, two_figures
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, Exposure, Figure
from keystrand.model.units import Interval
from keystrand.operate.counting import names_of

SHOWN = 10
"""Exposures named one by one; the rest is in the assessment. Ten fit on one screen and on one page."""
PROBABLE = 0.5
"""A data class counts as likely to outlast the horizon when even the low end makes it at least as likely as not."""
ALIKE = "Volumes are not declared, so every pair of system and data class counts alike."


def _sum(intervals: list[Interval]) -> Interval:
    return Interval(low=sum(i.low for i in intervals), high=sum(i.high for i in intervals))


class Totals(NamedTuple):
    """The exposure of all systems together, in data-years (`delay`: data-years for each year of delay)."""

    sunk: Interval
    avoidable: Interval
    delay: Interval


def totals(assessment: Assessment) -> Totals | None:
    """Return the totals; None where there is no exposure at all."""
    sunk = _sum([e.sunk_data_years for e in assessment.exposures])
    avoidable = _sum([e.avoidable_data_years for e in assessment.exposures])
    delay = _sum([e.delay_cost_data_years_per_year for e in assessment.exposures])
    return Totals(sunk, avoidable, delay) if sunk.high + avoidable.high > 0 else None


def exposed_systems(assessment: Assessment) -> frozenset[str]:
    """Return the systems with data that will probably outlast the horizon and that are not known to be safe."""
    return frozenset(
        e.system
        for e in assessment.exposures
        if e.verdict is not Verdict.QUANTUM_SAFE and e.shelf_life_exceeds_horizon.low >= PROBABLE
    )


def doubtful_systems(assessment: Assessment) -> frozenset[str]:
    """Return the further systems whose exposure is probable only at the high end: unknown, or by one forecast."""
    possible = frozenset(
        e.system
        for e in assessment.exposures
        if e.avoidable_data_years.high > 0 and e.shelf_life_exceeds_horizon.high >= PROBABLE
    )
    return possible - exposed_systems(assessment)


def worst_first(assessment: Assessment) -> list[int]:
    """Return the indices of the exposures that are not nil, the largest avoidable (upper end) first."""

    def size(index: int) -> tuple[float, float, int]:
        exposure = assessment.exposures[index]
        return -exposure.avoidable_data_years.high, -exposure.sunk_data_years.high, index

    real = [n for n, e in enumerate(assessment.exposures) if e.avoidable_data_years.high + e.sunk_data_years.high > 0]
    return sorted(real, key=size)


def _totals(assessment: Assessment) -> list[Figure]:
    together = totals(assessment)
    if together is None:
        return []
    rows = (
        ("avoidable", "Avoidable, all together", together.avoidable),
        ("sunk", "Sunk, all together", together.sunk),
        ("delay", "Added by each year of delay", together.delay),
    )
    return [
        Figure(
            id=f"exposure-{key}",
            label=label,
            value=interval_text(value, "data-years"),
            document="assessment",
            pointer="/exposures",
            note=ALIKE,
        )
        for key, label, value in rows
    ]


def _one(index: int, exposure: Exposure, system: str, data_class: str) -> Figure:
    doubt = "; the verdict is not known, so only the high end counts it" if exposure.verdict is Verdict.UNKNOWN else ""
    return Figure(
        id=f"exposure-{index}",
        label=f"{system}: {data_class}, secret for {two_figures(exposure.shelf_life_years)} years",
        value=f"avoidable {interval_text(exposure.avoidable_data_years)}, "
        f"sunk {interval_text(exposure.sunk_data_years)} data-years",
        document="assessment",
        pointer=f"/exposures/{index}",
        note=f"Outlasts the threat horizon with a probability of "
        f"{ratio_text(exposure.shelf_life_exceeds_horizon)}{doubt}.",
    )


def exposure_figures(estate: Estate, assessment: Assessment) -> tuple[Figure, ...]:
    """Return the totals, then the largest exposures one by one."""
    names = names_of(estate)
    ones = [
        _one(n, e := assessment.exposures[n], names["system"].of(e.system), names["data_class"].of(e.data_class))
        for n in worst_first(assessment)[:SHOWN]
    ]
    return (*_totals(assessment), *ones)
