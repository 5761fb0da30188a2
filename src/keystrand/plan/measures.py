"""What has to be done, from the findings and the decisions; the dates come from `schedule`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, Finding, Inventory, SegmentDecision
from keystrand.model.trust import anchors_of
from keystrand.plan.owner_measures import assign_owners
from keystrand.plan.schedule import Draft
from keystrand.plan.segment_measures import of_segment
from keystrand.plan.system_measures import of_system
from keystrand.plan.work import Work


def drafts(
    estate: Estate, inventory: Inventory, assessment: Assessment, decisions: Sequence[SegmentDecision], *, as_of: date
) -> tuple[Draft, ...]:
    """Return every measure without dates. A system whose verdict is unknown is planned for as if it were vulnerable."""
    owners, gaps = assign_owners(estate, inventory.ownership_gaps, _ranks(assessment))
    work = Work(
        estate=estate,
        findings=_by_system(assessment.findings),
        ranks=_ranks(assessment),
        why={p.system: p.reasons for p in assessment.priorities},
        binding=frozenset(p.id for p in assessment.policies if p.binding),
        gaps=gaps,
        anchors=anchors_of(estate),
        as_of=as_of,
    )
    made = [*owners, *(d for s in estate.system for d in of_system(s, work))]
    segments = {segment.id: segment for segment in estate.segment}
    made += [d for decision in decisions for d in of_segment(segments[decision.segment], decision, work)]
    known = {draft.id for draft in made}
    return tuple(
        msgspec.structs.replace(d, depends_on=tuple(n for n in dict.fromkeys(d.depends_on) if n in known)) for d in made
    )


def _ranks(assessment: Assessment) -> dict[str, int]:
    return {p.system: p.rank for p in assessment.priorities}


def _by_system(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        found[finding.system].append(finding)
    return found
