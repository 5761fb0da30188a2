"""Exposure in words: what is sunk, what can still be avoided, and what a year of delay costs. Always as ranges."""

from keystrand.formats.wording import interval_text, ratio_text, two_figures
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, Exposure, Figure
from keystrand.model.units import Interval
from keystrand.operate.counting import names_of

SHOWN = 10
"""Exposures named one by one; the rest is in the assessment. Ten fit on one screen and on one page."""
PROBABLE = 0.5
"""A data class counts as likely to outlast the horizon when even the slower forecast makes it at least even."""
ALIKE = "Volumes are not declared, so every pair of system and data class counts alike."


def _sum(intervals: list[Interval]) -> Interval:
    return Interval(low=sum(i.low for i in intervals), high=sum(i.high for i in intervals))


def sunk_share(assessment: Assessment) -> Interval | None:
    """Return the share of the exposure (0..1) that no migration removes, over both forecasts; None without exposure.

    The low ends belong to the slower forecast and the high ends to the faster one, so each share is taken within one.
    """
    sunk = _sum([e.sunk_data_years for e in assessment.exposures])
    avoidable = _sum([e.avoidable_data_years for e in assessment.exposures])
    pairs = ((sunk.low, avoidable.low), (sunk.high, avoidable.high))
    shares = [s / (s + a) for s, a in pairs if s + a > 0]
    return Interval(low=min(shares), high=max(shares)) if shares else None


def exposed_systems(assessment: Assessment) -> frozenset[str]:
    """Return the systems with data that will probably outlast the horizon and that are not known to be safe."""
    return frozenset(
        e.system
        for e in assessment.exposures
        if e.verdict is not Verdict.QUANTUM_SAFE and e.shelf_life_exceeds_horizon.low >= PROBABLE
    )


def worst_first(assessment: Assessment) -> list[int]:
    """Return the indices of the exposures that are not nil, the largest avoidable (upper end) first."""

    def size(index: int) -> tuple[float, float, int]:
        exposure = assessment.exposures[index]
        return -exposure.avoidable_data_years.high, -exposure.sunk_data_years.high, index

    real = [n for n, e in enumerate(assessment.exposures) if e.avoidable_data_years.high + e.sunk_data_years.high > 0]
    return sorted(real, key=size)


def _totals(assessment: Assessment) -> list[Figure]:
    share = sunk_share(assessment)
    if share is None:
        return []
    delay = _sum([e.delay_cost_data_years_per_year for e in assessment.exposures])
    avoidable = _sum([e.avoidable_data_years for e in assessment.exposures])
    rows = (
        ("sunk-share", "Share already sunk", ratio_text(share)),
        ("avoidable", "Avoidable, all together", interval_text(avoidable, "data-years")),
        ("delay", "Added by each year of delay", interval_text(delay, "data-years")),
    )
    return [
        Figure(id=f"exposure-{key}", label=label, value=value, document="assessment", pointer="/exposures", note=ALIKE)
        for key, label, value in rows
    ]


def _one(index: int, exposure: Exposure, system: str, data_class: str) -> Figure:
    doubt = "; verdict not known, counted as exposed" if exposure.verdict is Verdict.UNKNOWN else ""
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
