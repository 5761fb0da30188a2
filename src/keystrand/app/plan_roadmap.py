"""The roadmap of a plan: told, drawn, compared, and tried under other conditions."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from keystrand import __version__
from keystrand.app.documents import FILES, MADE_BY, load, now, require_made_from
from keystrand.app.estate import OpenEstate, open_estate
from keystrand.assess.run import DEFAULT_CURVE, assess
from keystrand.edge.catalogue import beside, curves, policies, positions
from keystrand.edge.estate_folder import changed_estate
from keystrand.edge.files import read_bytes, write_atomic
from keystrand.formats.charts_gantt import gantt
from keystrand.formats.charts_time import TimeRow
from keystrand.formats.documents import decode
from keystrand.formats.icalendar import Event, calendar
from keystrand.formats.wording import counted, day_text, interval_text, joined, two_figures
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, Inventory, Measure, Phase, Plan, RoadmapFigures
from keystrand.plan.roadmap import Run
from keystrand.plan.roadmap_diff import PlanChange, announced_of, plan_changes
from keystrand.plan.run import make_plan

Row = dict[str, Any]


def read_plan(path: Path) -> Plan:
    """Return the plan in `path`, a run's folder or a file. Raises `MissingInput` without one."""
    file = path / FILES[Plan] if path.is_dir() else path
    return decode(read_bytes(file, hint=f"make it first: {MADE_BY[Plan]}"), Plan, file=str(file))


def announced(path: Path | None) -> dict[str, date]:
    """Return the dates that the plan in `path` announced; none without one."""
    return announced_of(read_plan(path)) if path else {}


def roadmap_rows(plan: Plan) -> list[Row]:
    """Return one row a measure: its dates, what binds them, and what a quarter's slip costs."""
    return [
        {
            "measure": m.id,
            "owner": m.owner or "nobody named",
            "engineers": m.engineers,
            "start": m.start.isoformat(),
            "finish": m.finish.isoformat(),
            "deadline": m.latest_finish.isoformat() if m.latest_finish else "",
            "late": m.late,
            "bound_by": m.why_date.binding.value if m.why_date else "",
            "why": m.why_date.because if m.why_date else "",
            "slip_of_a_quarter": _slip(m),
        }
        for m in plan.measures
    ]


def _slip(measure: Measure) -> str:
    if measure.why_date is None:
        return ""
    cost = measure.why_date.slip_data_years
    words = [interval_text(cost, "data-years") if cost is not None else "not judged"]
    missed = [name for name in measure.why_date.slip_misses if name != measure.id]
    words += ["misses its deadline"] if len(missed) < len(measure.why_date.slip_misses) else []
    words += [f"misses the deadline of {joined(missed)}"] if missed else []
    return "; ".join(words)


def phase_rows(plan: Plan) -> list[Row]:
    """Return some rows a phase, each with one thing to say: dates, entry, exit, worth, rules, the way back."""
    finishes = {measure.id: measure.finish for measure in plan.measures}
    waits = {measure.id: measure.depends_on for measure in plan.measures}
    return [
        {"phase": p.title, "about": about, "what": what}
        for p in plan.phases
        for about, what in _phase_lines(p, finishes, {b for m in p.measures for b in waits[m]} - {*p.measures})
    ]


def _phase_lines(phase: Phase, finishes: dict[str, date], outside: set[str]) -> Iterator[tuple[str, str]]:
    yield "dates", f"{day_text(phase.start)} to {day_text(phase.finish)}, {counted(len(phase.measures), 'measure')}"
    yield "before it", phase.entry[0]
    if outside:
        last = max(finishes[name] for name in outside)
        yield "before it", f"{counted(len(outside), 'measure')} of other phases, the last planned for {day_text(last)}"
    yield "after it", phase.exit[0]
    if phase.certificates:
        yield "certificates", f"{counted(len(phase.certificates), 'certificate')} to be replaced"
    yield "worth", _worth(phase)
    for about, rules in (("rules met", phase.met), ("rules missed", phase.missed)):
        yield from ((about, rule) for rule in rules)
    yield "way back", phase.rollback


def _worth(phase: Phase) -> str:
    if phase.avoided is None or phase.avoidable is None or phase.sunk is None:
        return "not judged"
    if not phase.avoidable.high:
        return "exposes nothing itself: others wait for it, or it adds to what they give"
    if not phase.sunk.high:
        unit = "service-years in which a signature could be forged"
        return f"avoids {interval_text(phase.avoided)} of {interval_text(phase.avoidable)} {unit}"
    saved = f"avoids {interval_text(phase.avoided)} of {interval_text(phase.avoidable)} data-years until the horizon"
    return f"{saved}; {interval_text(phase.sunk)} more were recorded before today, and stay so"


def figures_text(figures: RoadmapFigures | None) -> str:
    """Return in words how good the roadmap is."""
    if figures is None:
        return "this plan has no figures of its roadmap: make it again"
    best = "the best there is" if figures.proven else f"at most {two_figures(figures.gap * 100)} percent from the best"
    peer = figures.first_deadline_first
    if peer <= figures.exposure:
        return f"by {figures.method}: {best}"
    less = two_figures((1 - figures.exposure / peer) * 100)
    return f"by {figures.method}: {best}; {less} percent less exposure than with the first deadline first"


def write_gantt(plan: Plan) -> str:
    """Return the chart of the measures by their begin."""
    rows = [
        TimeRow(m.title, m.start, m.finish, m.latest_finish, m.late)
        for m in sorted(plan.measures, key=lambda m: (m.start, m.finish, m.id))
    ]
    return gantt(rows, sorted({m.latest_finish for m in plan.measures if m.latest_finish}), plan.as_of)


def write_calendar(path: Path, plan: Plan) -> None:
    """Write measures, and milestones as single days, as a calendar."""
    events = [Event(f"{m.id}@keystrand", m.start, m.finish, m.title, _note(m), m.kind.value) for m in plan.measures]
    events += [Event(f"milestone.{m.id}@keystrand", m.date, m.date, m.title, "", "milestone") for m in plan.milestones]
    write_atomic(path, calendar(events, name="Post-quantum roadmap", stamp=plan.created_at))


def _note(measure: Measure) -> str:
    lines = [
        f"Owner: {measure.owner or 'nobody named'}",
        f"Done when {measure.done_when}",
        f"Fallback: {measure.fallback}",
    ]
    lines += [f"Deadline: {measure.latest_finish}{', missed' if measure.late else ''}"] if measure.latest_finish else []
    lines += [f"Date: {measure.why_date.because}"] if measure.why_date else []
    return "\n".join(lines)


def changes_between(old: Path, new: Path) -> tuple[PlanChange, ...]:
    """Return what differs between two plans; each path is a run's folder or a file."""
    return plan_changes(read_plan(old), read_plan(new))


def change_rows(changes: tuple[PlanChange, ...]) -> list[Row]:
    """Return one row a change."""
    return [{**msgspec.structs.asdict(change), "change": change.change.value} for change in changes]


def what_if(folder: Path, out: Path, changes: tuple[str, ...], *, other: Path | None, run: Run) -> tuple[Plan, Plan]:
    """Return the plan in `out`, and what it would be under `changes` or with the estate in `other`. Writes nothing.

    The inventory stays as it is; it is judged again, as the estate may say other things of the same systems. Dates of
    the plan count as announced, so that what moves is what the change moves.
    Raises `InvalidInput` where nothing is to be changed, or the changed estate is not sound.
    """
    if not changes and other is None:
        raise InvalidInput("nothing is to be different", hint="give --set NOUN.ID.FIELD=VALUE, or --estate OTHER")
    plan, _ = load(out, Plan)
    opened = open_estate(other or folder)
    estate = changed_estate(other or folder, changes) if changes else opened.estate
    return plan, _planned(opened, estate, out, plan, run._replace(announced=announced_of(plan)))


def _planned(opened: OpenEstate, estate: Estate, out: Path, plan: Plan, run: Run) -> Plan:
    inventory, inventory_ref = load(out, Inventory)
    assessment, assessment_ref = load(out, Assessment)
    require_made_from(plan, assessment_ref)
    moment = now()
    judged = assess(
        estate,
        inventory,
        policies(beside(opened.folder, "policies")),
        curves(beside(opened.folder, "curves")),
        made_from=(opened.ref, inventory_ref),
        curve=assessment.curve.id if assessment.curve else DEFAULT_CURVE,
        as_of=plan.as_of,
        created_at=moment,
        tool_version=__version__,
    )
    known = positions(beside(opened.folder, "positions"))
    made_from = (opened.ref, inventory_ref, assessment_ref)
    return make_plan(
        estate,
        inventory,
        judged,
        known,
        as_of=plan.as_of,
        made_from=made_from,
        created_at=moment,
        tool_version=__version__,
        run=run,
    )
