"""Tell leadership."""

from datetime import date
from pathlib import Path

from keystrand import __version__
from keystrand.app.documents import FILES, load, now, require_estate, require_made_from, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.catalogue import beside, controls
from keystrand.edge.files import write_atomic
from keystrand.edge.templates import report_template
from keystrand.formats.report_html import render
from keystrand.model.document import InputRef
from keystrand.model.stages import Assessment, Inventory, OperationsReport, PilotReport, Plan
from keystrand.operate.report import make_report


def report_estate(opened: OpenEstate, out: Path, *, as_of: date) -> tuple[OperationsReport, Path]:
    """Write `report.json` and `report.html` from the documents in `out`; the pilot's is used where it is there."""
    inventory, inventory_ref = load(out, Inventory)
    assessment, assessment_ref = load(out, Assessment)
    plan, plan_ref = load(out, Plan)
    require_estate(plan, opened.ref)
    require_made_from(assessment, inventory_ref)
    require_made_from(plan, assessment_ref)
    pilot, pilot_refs = _pilot(out, plan_ref)
    report = make_report(
        opened.estate,
        inventory,
        assessment,
        plan,
        pilot,
        as_of=as_of,
        made_from=(opened.ref, inventory_ref, assessment_ref, plan_ref, *pilot_refs),
        created_at=now(),
        tool_version=__version__,
        controls=controls(beside(opened.folder, "controls")),
    )
    save(out, report)
    page = out / "report.html"
    write_atomic(page, render(report, opened.estate, assessment, plan, pilot, report_template()))
    return report, page


def _pilot(out: Path, plan_ref: InputRef) -> tuple[PilotReport | None, tuple[InputRef, ...]]:
    if not (out / FILES[PilotReport]).exists():
        return None, ()
    pilot, ref = load(out, PilotReport)
    require_made_from(pilot, plan_ref)
    return pilot, (ref,)
