"""Decide what to do."""

from datetime import date
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.documents import load, now, require_estate, require_made_from, save
from keystrand.app.estate import OpenEstate
from keystrand.assess.run import DEFAULT_CURVE
from keystrand.edge.catalogue import beside, curves, positions
from keystrand.edge.scenarios import limitations, scenario_set
from keystrand.model.stages import Assessment, Fit, Inventory, Plan
from keystrand.plan.roadmap import DEFAULT_RUN, Run
from keystrand.plan.run import make_plan
from keystrand.plan.staged import require_staged
from keystrand.plan.weigh import weigh


def plan_estate(opened: OpenEstate, out: Path, *, as_of: date, run: Run = DEFAULT_RUN) -> Plan:
    """Make the plan from the inventory and assessment in `out`, and write it beside them."""
    inventory, inventory_ref = load(out, Inventory)
    assessment, assessment_ref = load(out, Assessment)
    require_estate(assessment, opened.ref)
    require_made_from(assessment, inventory_ref)
    known = positions(beside(opened.folder, "positions"))
    curve = assessment.curve or next(c for c in curves() if c.id == DEFAULT_CURVE)
    made = make_plan(
        opened.estate,
        inventory,
        assessment,
        known,
        as_of=as_of,
        made_from=(opened.ref, inventory_ref, assessment_ref),
        created_at=now(),
        tool_version=__version__,
        run=run,
    )
    plan = weigh(made, opened.estate, scenario_set(opened.folder), curve, limitations(known))
    require_staged(plan)
    save(out, plan)
    return plan


def decision_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return one row a segment: the approach, the modelled rate, why, and what is not known."""
    return [
        {
            "segment": d.segment,
            "approach": d.chosen.value,
            "modelled_rate_kbit_per_s": round(d.rate.secret_key_rate_bits_per_s / 1e3, 1) if d.rate else None,
            "why": "; ".join(next(o.reasons for o in d.options if o.fit is Fit.CHOSEN)),
            "questions": len(d.questions),
        }
        for d in plan.decisions
    ]


def measure_rows(out: Path) -> list[dict[str, Any]]:
    """Return one row a measure of the plan in `out`, in order."""
    plan, _ = load(out, Plan)
    return [
        {
            "rank": m.rank,
            "measure": m.title,
            "owner": m.owner or "nobody named",
            "start": m.start.isoformat(),
            "finish": m.finish.isoformat(),
            "deadline": m.latest_finish.isoformat() if m.latest_finish else "",
            "late": m.late,
            "why": "; ".join(m.reasons),
        }
        for m in plan.measures
    ]
