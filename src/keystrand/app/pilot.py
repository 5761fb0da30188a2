"""Prove a segment's approach in a pilot."""

import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.campaign import run_campaign
from keystrand.app.documents import load, now, require_estate, save
from keystrand.app.estate import OpenEstate
from keystrand.app.pilot_score import pilot_named
from keystrand.formats.wording import plain_number
from keystrand.model.errors import InvalidInput
from keystrand.model.link import LinkRate
from keystrand.model.pilot import Pilot
from keystrand.model.stages import PilotReport, Plan
from keystrand.pilot.report import pilot_report


def run_pilot(
    opened: OpenEstate,
    out: Path,
    name: str = "",
    *,
    as_of: date,
    stage: Callable[[str], None] = lambda _: None,
) -> PilotReport:
    """Run the pilot called `name` (default: the first) on the link the plan in `out` models, and write its report."""
    pilot = pilot_named(opened, name)
    plan, plan_ref = load(out, Plan)
    require_estate(plan, opened.ref)
    rate = _rate(plan, pilot)
    with tempfile.TemporaryDirectory(prefix="keystrand-pilot-") as folder:
        campaign = run_campaign(pilot, rate, Path(folder) / "kme", stage)
    report = pilot_report(
        pilot,
        rate,
        campaign,
        as_of=as_of,
        made_from=(opened.ref, plan_ref),
        created_at=now(),
        tool_version=__version__,
        seed=None,
    )
    save(out, report)
    return report


def _rate(plan: Plan, pilot: Pilot) -> LinkRate:
    rate = next((decision.rate for decision in plan.decisions if decision.segment == pilot.segment), None)
    if rate is None or rate.secret_key_rate_bits_per_s <= 0:
        raise InvalidInput(
            f"the plan models no key rate for segment {pilot.segment!r}",
            hint="choose a segment whose loss a quantum link can bridge, or make the plan again",
        )
    return rate


def scorecard_rows(report: PilotReport) -> list[dict[str, Any]]:
    """Return one row a criterion; where a campaign had consumers, each row begins with whose it is."""
    consumers = any(c.consumer for c in report.scorecard)
    return [
        {
            **({"consumer": c.consumer} if consumers else {}),
            "criterion": c.name,
            "goal": c.goal,
            "state": c.state.value,
            "measured": f"{plain_number(c.measured.value, 4)} {c.measured.unit}" if c.measured else "",
            "from": plain_number(c.measured.low, 4) if c.measured else "",
            "to": plain_number(c.measured.high, 4) if c.measured else "",
            "samples": c.measured.sample_size if c.measured else 0,
            "simulated": c.measured.simulated if c.measured else "",
            "why": c.reason,
        }
        for c in report.scorecard
    ]
