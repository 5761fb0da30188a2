"""From the documents to the rows of each chart of the report."""

import re
from datetime import date

from keystrand.formats.charts import ExposureRow, ScoreRow, VerdictRow, exposure_bars, scorecard, verdict_bars
from keystrand.formats.charts_map import LinkMark, SiteMark, site_map
from keystrand.formats.charts_time import TimeRow, burndown, timeline, years_of
from keystrand.formats.svg import wrapped
from keystrand.formats.wording import capital, counted, simulated_text, spread_text, two_figures, value_text
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, CriterionResult, Figure, OperationsReport, PilotReport, Plan

FUNCTION_NAMES = {Function.KEY_ESTABLISHMENT: "Key exchange", Function.SIGNATURE: "Signatures"}
SHOWN_MEASURES = 8
"""Bars of the timeline: the measures that the table names."""
SHOWN_EXPOSURES = 5
"""Exposures drawn: the largest. The table names all that the report names."""
SHOWN_DEADLINES = 6
_POINTED_EXPOSURE = re.compile(r"/exposures/(\d+)\Z")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def verdict_chart(report: OperationsReport) -> str:
    """Return the verdicts by function; empty where no system takes part."""
    rows = [VerdictRow(FUNCTION_NAMES.get(v.function, v.function.value), (v.vulnerable, v.unknown, v.mixed, v.safe))
            for v in report.verdicts]  # fmt: skip
    return verdict_bars(rows) if any(sum(row.counts) for row in rows) else ""


def exposure_indices(figures: tuple[Figure, ...]) -> list[int]:
    """Return the places in the assessment that the single exposure figures point to."""
    return [int(found[1]) for figure in figures if (found := _POINTED_EXPOSURE.match(figure.pointer))]


def exposure_chart(report: OperationsReport, estate: Estate, assessment: Assessment) -> str:
    """Return the largest of the exposures that the report names one by one; empty where there are none."""
    systems = {system.id: system.name for system in estate.system}
    classes = {kind.id: kind.name for kind in estate.data_class}
    rows = []
    for index in exposure_indices(report.exposure)[:SHOWN_EXPOSURES]:
        e = assessment.exposures[index]
        years = f"{two_figures(e.shelf_life_years)} years"
        detail = f"{years}: {classes.get(e.data_class, e.data_class)}"
        rows.append(
            ExposureRow(
                systems.get(e.system, e.system),
                detail,
                e.sunk_data_years,
                e.avoidable_data_years,
                judged=e.verdict is not Verdict.UNKNOWN,
            )
        )
    return exposure_bars(rows) if rows else ""


def deadlines_of(report: OperationsReport) -> list[date]:
    """Return the coming dates of the rules: the binding ones if there are any, else all of them."""
    coming = [o for o in report.obligations if o.deadline > report.as_of]
    chosen = [o for o in coming if o.binding] or coming
    return sorted({o.deadline for o in chosen})[:SHOWN_DEADLINES]


def time_charts(report: OperationsReport, plan: Plan) -> tuple[str, str]:
    """Return the timeline of the first measures and the burn-down of all of them."""
    if not plan.measures:
        return "", ""
    deadlines = deadlines_of(report)
    ordered = sorted(plan.measures, key=lambda m: m.rank)
    finishes = [m.finish for m in ordered]
    rows = [TimeRow(m.title, m.start, m.finish, m.latest_finish, m.late) for m in ordered[:SHOWN_MEASURES]]
    shown = [day for row in rows for day in (row.start, row.finish, row.deadline) if day]
    return (
        timeline(rows, deadlines, report.as_of, years_of(report.as_of, [*shown, *deadlines])),
        burndown(finishes, deadlines, report.as_of, years_of(report.as_of, [*finishes, *deadlines])),
    )


def map_chart(report: OperationsReport, estate: Estate, plan: Plan) -> str:
    """Return the schematic map; a segment that the plan decides has the number of its row in the table."""
    words = {figure.pointer: figure.value for figure in report.approaches}
    segments = {segment.id: segment for segment in estate.segment}
    links = []
    for n, decision in enumerate(plan.decisions):
        if (segment := segments.get(decision.segment)) is not None:
            path = (segment.a, *segment.via, segment.b)
            words_here = words.get(f"/decisions/{n}", decision.chosen.value)
            links.append(LinkMark(n + 1, segment.name, path, decision.chosen.value, words_here))
    sites = [SiteMark(s.id, s.name, s.kind.value.replace("-", " "), s.latitude, s.longitude) for s in estate.site]
    return site_map(sites, links)


def _bound(criterion: CriterionResult) -> float | None:
    """Return the number in the goal's words, if it is in the unit of what was measured: only where to draw a line.

    Whether the goal was met is never decided here; the document says it.
    """
    measured, found = criterion.measured, _NUMBER.search(criterion.goal)
    if measured is None or found is None or not measured.unit or measured.unit not in criterion.goal.split():
        return None
    return float(found[0].replace(",", ""))


def _shown(criterion: CriterionResult) -> tuple[str, ...]:
    measured = criterion.measured
    if measured is None:
        return tuple(wrapped(criterion.reason or "no reason given", 260))
    samples = counted(measured.sample_size, "sample")
    return (
        f"{value_text(measured)}{simulated_text(measured)}",
        f"{spread_text(measured)}, {samples}" if spread_text(measured) else samples,
        *([criterion.reason] if criterion.reason else []),
    )


def scorecard_chart(pilot: PilotReport | None) -> str:
    """Return the pilot's criteria with their values and goals, without those of consumers; empty without any."""
    shown = [c for c in pilot.scorecard if not c.consumer] if pilot else []
    if not shown:
        return ""
    rows = [
        ScoreRow(
            name=capital(c.name),
            goal=f"Goal: {c.goal}",
            state=c.state.value,
            value=c.measured.value if c.measured else None,
            low=c.measured.low if c.measured else None,
            high=c.measured.high if c.measured else None,
            bound=_bound(c),
            shown=_shown(c),
        )
        for c in shown
    ]
    return scorecard(rows)
