"""The leadership report as one HTML file: no script, no request to anywhere, every name escaped."""

import re
from collections import Counter
from datetime import date
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from keystrand.formats import report_charts, report_pilot
from keystrand.formats.wording import capital, day_text, is_simulated, sentences, short_day
from keystrand.model.estate import Estate, LossBasis, Segment
from keystrand.model.stages import (
    Approach,
    Assessment,
    Assumption,
    OperationsReport,
    PilotReport,
    Plan,
    PositionRef,
    SegmentDecision,
)

DOCUMENT_FILES = {
    "estate": "estate.toml",
    "observations": "observations.jsonl",
    "inventory": "inventory.json",
    "assessment": "assessment.json",
    "plan": "plan.json",
    "pilot-report": "pilot.json",
    "operations-report": "report.json",
}
"""Where each kind of document lies beside the report."""

_LEAD = re.compile(
    r"(?:About |Less than |More than )?\d[\d,.]*(?: (?:of|to) (?:more than )?\d[\d,.]*)?(?: percent)?(?= )"
)
_QUANTUM = frozenset(Approach) - {Approach.PQC_ONLY}


class SegmentRow(NamedTuple):
    """One segment as the table shows it."""

    number: int
    name: str
    route: str
    approach: str
    reason: str
    objection: str
    questions: tuple[str, ...]
    would_change: tuple[str, ...]
    advice: str
    positions: tuple[PositionRef, ...]
    pointer: str


class OpenCount(NamedTuple):
    """How many measures are still open on a date."""

    day: date
    open: int


def split_lead(sentence: str) -> tuple[str, str]:
    """Return the quantity a sentence begins with and the rest of it; the first is empty where there is none."""
    found = _LEAD.match(sentence)
    return (found[0], sentence[found.end() :].strip()) if found else ("", sentence)


def document_file(kind: str) -> str:
    """Return the file name of a document of `kind`, relative to the report."""
    return DOCUMENT_FILES.get(kind, f"{kind}.json")


def _route(segment: Segment, sites: dict[str, str]) -> str:
    stops = " – ".join(sites.get(site, site) for site in (segment.a, *segment.via, segment.b))
    basis = "measured" if segment.loss_basis is LossBasis.MEASURED else "assumed"
    return f"{stops}; {segment.length_km:g} km, {segment.total_loss_db:.3g} dB ({basis})"


def _advice(positions: tuple[PositionRef, ...]) -> str:
    """Return what authorities say in one line: those that address the organisation by name, the others counted."""
    here = [f"{p.authority} {p.stance.value} it" for p in positions if p.applies]
    elsewhere = Counter(p.stance.value for p in positions if not p.applies)
    counts = [f"{n} {stance if n == 1 else stance.removesuffix('s')} it" for stance, n in sorted(elsewhere.items())]
    return "; ".join([*here, *([f"of those elsewhere {', '.join(counts)}"] if counts else [])])


def _segment_row(n: int, decision: SegmentDecision, estate: Estate, report: OperationsReport, plan: Plan) -> SegmentRow:
    segment = next((s for s in estate.segment if s.id == decision.segment), None)
    sites = {site.id: site.name for site in estate.site}
    figure = next((f for f in report.approaches if f.pointer == f"/decisions/{n}"), None)
    chosen = next((o for o in decision.options if o.approach is decision.chosen), None)
    positions = {position.id: position for position in plan.positions}
    said = tuple(positions[p] for p in decision.positions if p in positions) if decision.chosen in _QUANTUM else ()
    return SegmentRow(
        number=n + 1,
        name=segment.name if segment else decision.segment,
        route=_route(segment, sites) if segment else "",
        approach=figure.value if figure else decision.chosen.value,
        reason=figure.note if figure else "",
        objection=sentences(chosen.objections[:1]) if chosen else "",
        questions=decision.questions,
        would_change=decision.would_change,
        advice=_advice(said),
        positions=said,
        pointer=f"/decisions/{n}",
    )


def _open_counts(report: OperationsReport, plan: Plan) -> list[OpenCount]:
    days = [report.as_of, *report_charts.deadlines_of(report)]
    return [OpenCount(day, sum(m.finish > day for m in plan.measures)) for day in days]


def _assumptions(assessment: Assessment, plan: Plan) -> list[tuple[Assumption, str, str]]:
    """Return every assumption with the kind of its document and its pointer."""
    return [
        (assumption, document.kind(), f"/assumptions/{n}")
        for document in (assessment, plan)
        for n, assumption in enumerate(document.assumptions)
    ]


def _advised(rows: list[SegmentRow]) -> list[PositionRef]:
    """Return the positions shown beside a recommendation of a quantum link, each once."""
    return list({position.id: position for row in rows for position in row.positions}.values())


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["below"] = str.startswith
    environment.filters |= {
        "capital": capital,
        "day": day_text,
        "short_day": short_day,
        "file": document_file,
        "lead": split_lead,
    }
    return environment


def render(
    report: OperationsReport,
    estate: Estate,
    assessment: Assessment,
    plan: Plan,
    pilot: PilotReport | None,
    template_text: str,
) -> bytes:
    """Return the report as one self-contained HTML file in UTF-8.

    `template_text` is the package's `templates/report.html.j2`. Everything that comes from a document is escaped;
    only the drawings of `formats.charts`, which escape for themselves, are taken as markup.
    """
    segments = [_segment_row(n, d, estate, report, plan) for n, d in enumerate(plan.decisions)]
    line, burndown = report_charts.time_charts(report, plan)
    page = (
        _environment()
        .from_string(template_text)
        .render(
            report=report,
            sector=estate.organisation.sector,
            functions=report_charts.FUNCTION_NAMES,
            verdict_chart=Markup(report_charts.verdict_chart(report)),  # noqa: S704 - charts escape every text themselves
            exposure_chart=Markup(report_charts.exposure_chart(report, estate, assessment)),  # noqa: S704 - as above
            timeline=Markup(line),  # noqa: S704 - as above
            burndown=Markup(burndown),  # noqa: S704 - as above
            map=Markup(report_charts.map_chart(report, estate, plan)),  # noqa: S704 - as above
            scorecard=Markup(report_charts.scorecard_chart(pilot)),  # noqa: S704 - as above
            open_counts=_open_counts(report, plan),
            segments=segments,
            positions=_advised(segments),
            assumptions=_assumptions(assessment, plan),
            measures=len(plan.measures),
            pilot=pilot,
            simulated=pilot is not None and is_simulated(pilot),
            trial=report_pilot,
        )
    )
    return page.encode()
