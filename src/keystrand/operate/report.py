"""The leadership report: what a chief security officer reads in five minutes, every figure with its source.

Numbers are rounded to two significant figures; what is unknown is counted and never called safe.
"""

from datetime import date, datetime

from keystrand.formats.wording import capital, counted, day_text, interval_text
from keystrand.model.algorithm import Function
from keystrand.model.control import Control
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, Figure, Inventory, OperationsReport, PilotReport, Plan
from keystrand.operate.counting import systems_by_state, verdict_counts
from keystrand.operate.decisions import approach_figures, decisions_needed, first_measures
from keystrand.operate.exposure import doubtful_systems, exposed_systems, exposure_figures, totals
from keystrand.operate.obligations import (
    NextDate,
    next_date,
    obligations_of,
    systems_in_doubt,
    systems_in_violation,
    systems_to_ask_about,
)
from keystrand.operate.proof import pilot_figures, pilot_headline, pilot_limits
from keystrand.operate.standing import ANSWERS, NOT_COVERED, controls_of
from keystrand.operate.unknowns import unknown_figures


def _headline(key: str, label: str, value: str, document: str, pointer: str) -> Figure:
    return Figure(id=f"headline-{key}", label=label, value=value, document=document, pointer=pointer)


def _key_exchange(estate: Estate, assessment: Assessment) -> Figure:
    states = systems_by_state(estate.system, assessment, Function.KEY_ESTABLISHMENT)
    total, vulnerable, unknown = sum(map(len, states.values())), len(states["vulnerable"]), len(states["unknown"])
    verb = "uses" if vulnerable == 1 else "use"
    value = f"{vulnerable} of {counted(total, 'system')} {verb} key exchange that a quantum computer breaks; "
    value += f"{unknown} could not be judged." if unknown else "every one could be judged."
    if not total:
        value = "0 systems are declared to exchange keys."
    return _headline("key-exchange", "Exposure", value, "assessment", "/findings")


def _long_lived(estate: Estate, assessment: Assessment) -> Figure:
    exposed, doubtful = len(exposed_systems(assessment)), len(doubtful_systems(assessment))
    verb = "carries" if exposed == 1 else "carry"
    value = f"{exposed} of {counted(len(estate.system), 'system')} {verb} data that will probably still need secrecy "
    value += "when a quantum computer can read it"
    value += f"; for {doubtful} others it cannot be ruled out." if doubtful else "."
    return _headline("long-lived", "Long-lived data", value, "assessment", "/exposures")


def _sunk(assessment: Assessment) -> Figure:
    together = totals(assessment)
    value = "0 exposures were computed: no system at risk carries data with a declared life."
    if together is not None:
        value = f"{interval_text(together.avoidable, 'data-years')} of exposure can still be avoided; "
        value += f"{interval_text(together.sunk)} more may already be recorded, and no migration calls them back."
    return _headline("sunk", "Avoidable and sunk", capital(value), "assessment", "/exposures")


def _obligations(assessment: Assessment) -> Figure:
    if not any(policy.binding for policy in assessment.policies):
        return _headline("obligations", "Obligations", _NO_BINDING, "assessment", "/policies")
    judged = {finding.system for finding in assessment.findings}
    if not judged:
        value = "0 systems were judged: whether a binding rule is broken, or will be, is not known."
        return _headline("obligations", "Obligations", value, "assessment", "/findings")
    broken = len(systems_in_violation(assessment))
    verb = "breaks" if broken == 1 else "break"
    value = f"{broken} of {counted(len(judged), 'system')} {verb} a binding rule today; "
    doubt = len(systems_in_doubt(assessment))
    value += f"for {doubt} others it could not be determined; " if doubt else ""
    asked = len(systems_to_ask_about(assessment))
    value += f"for {asked}{' more' if doubt else ''} the owner must say whether a plan stands; " if asked else ""
    return _headline("obligations", "Obligations", value + _coming(next_date(assessment)), "assessment", "/findings")


def _coming(coming: NextDate | None) -> str:
    if coming is None:
        return "no later date is due."
    value = f"the next date is {day_text(coming.day)}"
    if not coming.due:
        return f"{value}, and {counted(coming.undetermined, 'system')} cannot be judged."
    more = f", and {coming.undetermined} more cannot be judged" if coming.undetermined else ""
    return f"{value}, for {counted(coming.due, 'system')}{more}."


_NO_BINDING = "0 policies are declared as binding: every date in this report is an outlook."


def _readiness(plan: Plan) -> Figure:
    measures = plan.measures
    if not measures:
        return _headline("plan", "Readiness", "0 measures are planned.", "plan", "/measures")
    late, unowned = sum(m.late for m in measures), sum(m.owner is None for m in measures)
    value = f"{counted(len(measures), 'measure')} would be done by {day_text(max(m.finish for m in measures))}; "
    value += f"{late} would miss a deadline and {unowned} {'has' if unowned == 1 else 'have'} no owner."
    return _headline("plan", "Readiness", value, "plan", "/measures")


def _headlines(estate: Estate, assessment: Assessment, plan: Plan, pilot: PilotReport | None) -> tuple[Figure, ...]:
    return (
        _key_exchange(estate, assessment),
        _long_lived(estate, assessment),
        _sunk(assessment),
        _obligations(assessment),
        _readiness(plan),
        pilot_headline(pilot),
    )


def _notice(estate: Estate, inventory: Inventory) -> str:
    """Return what a reader must know first: whose servers were asked. Empty where they were the estate's own."""
    if not inventory.stand_ins:
        return ""
    number = f"{len(inventory.stand_ins)} of {counted(len(estate.target), 'target')}"
    return f"Demonstration: for {number}, servers started for the purpose were asked, not the organisation's own."


def make_report(  # noqa: PLR0913 - one argument a document, and the parts of the new document's head
    estate: Estate,
    inventory: Inventory,
    assessment: Assessment,
    plan: Plan,
    pilot: PilotReport | None,
    *,
    made_from: tuple[InputRef, ...],
    as_of: date,
    created_at: datetime,
    tool_version: str,
    controls: tuple[Control, ...],
) -> OperationsReport:
    """Return the leadership report. `pilot` is None where none was run, which the report then says.

    `controls` are those of the catalogue.

    Every figure names its document by kind, and the place in it by a JSON pointer (RFC 6901). Ranges stay ranges.
    """
    return OperationsReport(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=None,
        coverage=assessment.coverage,
        organisation=estate.organisation.name,
        notice=_notice(estate, inventory),
        headline=_headlines(estate, assessment, plan, pilot),
        verdicts=verdict_counts(estate, assessment),
        exposure=exposure_figures(estate, assessment),
        first_measures=first_measures(estate, plan),
        decisions_needed=decisions_needed(estate, inventory, plan),
        approaches=approach_figures(estate, plan),
        pilot=pilot_figures(pilot),
        pilot_limits=pilot_limits(pilot),
        obligations=obligations_of(assessment),
        not_covered=NOT_COVERED,
        controls=controls_of(frozenset(d.chosen for d in plan.decisions), controls),
        unknown=unknown_figures(estate, inventory, assessment, plan, pilot),
        answers=ANSWERS,
    )
