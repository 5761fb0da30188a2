"""Prove a segment's approach in a pilot."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.campaign import run_campaign
from keystrand.app.documents import load, now, require_estate, save
from keystrand.app.estate import OpenEstate
from keystrand.app.pilot_score import open_plan, pilot_named, plan_file, score_record
from keystrand.edge.daemons import ended_as_by_interrupt
from keystrand.edge.files import demand_own, require_room
from keystrand.edge.pilot import campaign as campaign_of_consumers
from keystrand.formats.wording import counted, joined, plain_number
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap
from keystrand.model.errors import InvalidInput
from keystrand.model.link import LinkRate
from keystrand.model.observation import Outcome
from keystrand.model.pilot import Pilot
from keystrand.model.stages import CriterionState, PilotRecord, PilotReport, Plan
from keystrand.model.stages.recorded import RunConsumer
from keystrand.pilot.report import pilot_report

_MOST_MISSED = 8
_ROOM_OCTETS = 8 * 2**20
"""Record and report of a long campaign take a few megabytes: room for them is sought before it, not after."""


def run_pilot(
    opened: OpenEstate,
    out: Path,
    name: str = "",
    *,
    as_of: date,
    stage: Callable[[str], None] = lambda _: None,
) -> PilotReport:
    """Run the short pilot called `name` (default: the first): one consumer, one cut, no root, no file of its own.

    The link is the one that the plan in `out` models; the report is written there.
    """
    pilot = pilot_named(opened, name)
    plan, plan_ref = load(out, Plan)
    require_estate(plan, opened.ref)
    rate = _rate(plan, pilot)
    require_room(out, _ROOM_OCTETS)
    with ended_as_by_interrupt(), tempfile.TemporaryDirectory(prefix="keystrand-pilot-") as folder:
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


def run_with_consumers(
    opened: OpenEstate,
    out: Path,
    *,
    as_of: date,
    name: str = "",
    file: Path | None = None,
    stage: Callable[[str], None] = lambda _: None,
) -> PilotReport:
    """Run the pilot as its plan says, with the real consumers of its keys, and write its record and its report.

    `name` must be the plan's where it is given. Raises `InvalidInput` for what the plan gets wrong, `PolicyDenied`
    where it has commands and others can change it, and as `edge.pilot.campaign.run_campaign` does; nothing is written
    then.
    """
    planned = open_plan(opened, file)
    if name and name != planned.pilot.id:
        raise InvalidInput(
            f"{plan_file(opened, file)} plans the pilot {planned.pilot.id!r}, not {name!r}",
            hint="name the plan of that pilot with --file, or give --short",
        )
    if planned.plan.source.commands:
        demand_own(plan_file(opened, file))
    decided, plan_ref = load(out, Plan)
    require_estate(decided, opened.ref)
    require_room(out, _ROOM_OCTETS)
    rate, beside = _rate(decided, planned.pilot), plan_file(opened, file).absolute().parent
    with ended_as_by_interrupt(), tempfile.TemporaryDirectory(prefix="keystrand-pilot-") as folder:
        order = campaign_of_consumers.Order(planned.plan, planned.pilot, rate, beside)
        brought = campaign_of_consumers.run_campaign(order, Path(folder), stage)
    record = PilotRecord(
        format_version=FORMAT_VERSION, tool_version=__version__, as_of=as_of, created_at=now(),
        made_from=(opened.ref, plan_ref, planned.ref), seed=None, coverage=_ran(brought.consumers),
        pilot=planned.pilot.id, name=planned.plan.name, segment=planned.pilot.segment,
        source=planned.plan.source.kind, rate=rate, **brought._asdict(),
    )  # fmt: skip
    save(out, record)
    return score_record(opened, out, as_of=as_of, file=file)


def _ran(consumers: Sequence[RunConsumer]) -> Coverage:
    """Return which consumers ran, and which did not and why."""
    gaps = tuple(
        Gap(what=f"consumer {one.id}", outcome=Outcome.NONE, reason=one.not_run) for one in consumers if one.not_run
    )
    return Coverage(unit="consumer", looked_at=len(consumers), answered=len(consumers) - len(gaps), gaps=gaps)


def _rate(plan: Plan, pilot: Pilot) -> LinkRate:
    rate = next((decision.rate for decision in plan.decisions if decision.segment == pilot.segment), None)
    if rate is None or rate.secret_key_rate_bits_per_s <= 0:
        raise InvalidInput(
            f"the plan models no key rate for segment {pilot.segment!r}",
            hint="choose a segment whose loss a quantum link can bridge, or make the plan again",
        )
    return rate


def scorecard_words(report: PilotReport) -> str:
    """Return how many criteria were met, and which were missed, in a line."""
    states = Counter(one.state for one in report.scorecard)
    missed = [one.called for one in report.scorecard if one.state is CriterionState.MISSED]
    told = (
        f"{states[CriterionState.MET]} met",
        f"{len(missed)} missed" + (f" ({joined(missed, most=_MOST_MISSED)})" if missed else ""),
        f"{states[CriterionState.NOT_MEASURED]} not measured",
    )
    return f"{counted(len(report.scorecard), 'criterion', 'criteria')}: {', '.join(told)}"


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
