"""Measures for one segment: answer its questions; pilot a quantum link, and only then put it into service."""

from collections.abc import Iterator, Sequence

from keystrand.formats.wording import counted
from keystrand.model.estate import Layer, Segment, System
from keystrand.model.stages import Approach, MeasureKind, SegmentDecision
from keystrand.plan.approach import NAMES
from keystrand.plan.schedule import Draft
from keystrand.plan.work import DEPLOY_DAYS, FIND_OUT_DAYS, LAST, PILOT_DAYS, Work, owner_first, windows


def of_segment(segment: Segment, decision: SegmentDecision, work: Work) -> Iterator[Draft]:
    """Yield the drafts of one segment; a testbed is piloted but never put into service."""
    users = [system for system in work.estate.system if segment.id in system.segments]
    rank = min((work.ranks.get(system.id, LAST) for system in users), default=LAST)
    if decision.questions:
        yield _ask(segment, decision, rank, work)
    if decision.chosen is not Approach.PQC_ONLY:
        yield _pilot(segment, decision, rank, work)
    if decision.chosen not in (Approach.PQC_ONLY, Approach.QUANTUM_INTERNET_TESTBED):
        yield _deploy(segment, decision, rank, users, work)


def _chosen_reason(decision: SegmentDecision) -> tuple[str, ...]:
    return next(option.reasons[:2] for option in decision.options if option.approach is decision.chosen)


def _ask(segment: Segment, decision: SegmentDecision, rank: int, work: Work) -> Draft:
    return Draft(
        id=f"find-out.segment.{segment.id}",
        kind=MeasureKind.FIND_OUT,
        title=f"Answer {counted(len(decision.questions), 'open question')} on {segment.name}",
        subject=segment.id,
        owner=segment.owners.of(Layer.LINK),
        days=FIND_OUT_DAYS,
        rank=rank,
        depends_on=owner_first("segment", segment.id, Layer.LINK, work),
        reasons=decision.questions,
        done_when="the estate answers each question with yes or no",
        fallback="the segment stays on post-quantum cryptography",
    )


def _pilot(segment: Segment, decision: SegmentDecision, rank: int, work: Work) -> Draft:
    named = next((pilot for pilot in work.estate.pilot if pilot.segment == segment.id), None)
    done = f"the pilot {named.name} meets every one of its criteria" if named else "criteria are agreed, and all met"
    return Draft(
        id=f"pilot.{segment.id}",
        kind=MeasureKind.PILOT,
        title=f"Pilot {NAMES[decision.chosen]} on {segment.name}",
        subject=segment.id,
        owner=segment.owners.of(Layer.LINK),
        days=PILOT_DAYS,
        rank=rank,
        depends_on=owner_first("segment", segment.id, Layer.LINK, work),
        reasons=(*_chosen_reason(decision), "a quantum link is bought only after a pilot has met its criteria"),
        done_when=done,
        fallback="production traffic is not on the pilot; ending it changes nothing",
    )


def _deploy(segment: Segment, decision: SegmentDecision, rank: int, users: Sequence[System], work: Work) -> Draft:
    first = [f"{MeasureKind.MIGRATE_KEY_ESTABLISHMENT}.{system.id}" for system in users]
    return Draft(
        id=f"deploy-quantum-link.{segment.id}",
        kind=MeasureKind.DEPLOY_QUANTUM_LINK,
        title=f"Put {NAMES[decision.chosen]} into service on {segment.name}",
        subject=segment.id,
        owner=segment.owners.of(Layer.LINK),
        days=DEPLOY_DAYS,
        rank=rank,
        windows=windows((segment.contract_ends, "end of the fibre contract")),
        depends_on=(f"pilot.{segment.id}", *owner_first("segment", segment.id, Layer.LINK, work), *first),
        reasons=(*_chosen_reason(decision), "post-quantum cryptography comes first: it is the fallback of the link"),
        done_when="consumers use fresh quantum keys, and a cut of the link shows the agreed behaviour",
        fallback="post-quantum cryptography carries the traffic alone, and the status shows it",
    )
