"""Why an assessment says what it says of one system or finding, in sentences."""

import difflib

from keystrand.assess.words import deadline_text, span_text
from keystrand.formats.wording import counted, interval_text, joined, ratio_text, sentences
from keystrand.model.algorithm import Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import (
    Assessment,
    Exposure,
    Finding,
    Forgeable,
    PolicyFinding,
    PolicyState,
    Priority,
    RankRange,
)
from keystrand.model.units import Answer


def explain(assessment: Assessment, name: str) -> tuple[str, ...]:
    """Return sentences on the system or finding called `name`.

    Raises `InvalidInput` with near names where the assessment knows nothing of that name.
    """
    found = tuple(f for f in assessment.findings if name in (f.id, f.system))
    if not found:
        raise InvalidInput(f"the assessment knows no system or finding {name!r}", hint=_near(assessment, name))
    told = [line for finding in found for line in _finding(finding)]
    if name == found[0].system:
        rank = [line for p in assessment.priorities if p.system == name for line in _priority(p, assessment)]
        told = [
            *rank,
            *told,
            *(line for e in assessment.exposures if e.system == name for line in _exposure(e)),
            *(line for r in assessment.exposure_ranks if r.system == name for line in _ranks(r, assessment)),
            *(line for f in assessment.forgeable if f.system == name for line in _forgeable(f)),
        ]
    return tuple(sentences([line]) for line in told)


def _near(assessment: Assessment, name: str) -> str:
    known = sorted({n for f in assessment.findings for n in (f.id, f.system)})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else "keystrand assess run lists the systems"


def _finding(finding: Finding) -> tuple[str, ...]:
    evidence = f" on evidence that is {finding.strength.value}" if finding.strength else ""
    return (
        f"{finding.function.value} of {finding.system}: {finding.verdict.value}{evidence}, because {finding.reason}",
        *_classical(finding),
        *(_rule(rule) for rule in finding.policies),
    )


def _classical(finding: Finding) -> tuple[str, ...]:
    if finding.strength is None or finding.verdict is Verdict.QUANTUM_VULNERABLE:
        return ()
    said = {
        Answer.YES: "a peer that has nothing else still gets a classical algorithm",
        Answer.NO: "no classical algorithm is accepted",
        Answer.UNKNOWN: "whether a classical algorithm is still accepted is not known",
    }
    return (said[finding.classical_still_accepted],)


def _rule(rule: PolicyFinding) -> str:
    state = {
        PolicyState.VIOLATION: "violated",
        PolicyState.DUE: "due",
        PolicyState.NOTICE: "a notice",
        PolicyState.MET: "met",
        PolicyState.UNDETERMINED: "undetermined",
        PolicyState.NOT_APPLICABLE: "not applicable",
    }[rule.state]
    date = deadline_text(rule.deadline, rule.precision)
    return f"policy {rule.policy}, {rule.clause} ({rule.effect.value}, {date}): {state}, because {rule.reason}"


def _exposure(exposure: Exposure) -> tuple[str, ...]:
    carried = f"data of class {exposure.data_class}"
    delay = exposure.delay_cost_data_years_per_year
    return (
        f"{carried} must stay secret for {span_text(exposure.shelf_life)} and the change takes "
        f"{span_text(exposure.migration_years)}: {ratio_text(exposure.shelf_life_exceeds_horizon)} that a quantum "
        f"computer comes before both have passed{_evenly(exposure)}",
        f"if all of it is recorded, {interval_text(exposure.avoidable_data_years, 'data-years')} produced before the "
        "change become readable and can still be avoided; each year of delay adds "
        f"{interval_text(delay, 'data-years')}",
        f"of what may have been recorded before today {interval_text(exposure.sunk_data_years, 'data-years')} become "
        "readable; no migration removes that part",
    )


def _evenly(exposure: Exposure) -> str:
    spread = exposure.shelf_life_exceeds_horizon_evenly
    return f" ({ratio_text(spread)} with both times spread evenly over their ranges)" if spread else ""


def _ranks(found: RankRange, assessment: Assessment) -> tuple[str, ...]:
    of = counted(len(assessment.exposure_ranks), "system")
    place = f"rank {found.low}" if found.low == found.high else f"rank {found.low} to {found.high}"
    return (
        f"by exposure it is at {place} of {of} in nine of ten draws, when the threat curve and all times vary within "
        "their ranges",
    )


def _forgeable(found: Forgeable) -> tuple[str, ...]:
    years = interval_text(found.service_years, "years")
    return (
        f"its {found.trusted_for.value} under the old algorithm is trusted for another "
        f"{span_text(found.trusted_until_years)}, held by {joined(found.held_by)}",
        f"for {years} of that, expected, somebody with a quantum computer could forge it; none of it is harvested "
        "beforehand",
    )


def _priority(priority: Priority, assessment: Assessment) -> tuple[str, ...]:
    of = counted(len(assessment.priorities), "system")
    return (
        f"system {priority.system} stands at rank {priority.rank} of {of}, in tier {priority.tier}",
        *priority.reasons,
    )
