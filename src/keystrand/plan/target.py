"""The target state: estate, assessment and plan in, one document out. It decides nothing; it says what was decided."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime

from msgspec.structs import replace

from keystrand.formats.wording import joined
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.estate import Estate, Layer, Place, Purpose, Segment, Site, System
from keystrand.model.observation import Outcome
from keystrand.model.stages import (
    Approach,
    Assessment,
    Assumption,
    Finding,
    Measure,
    MeasureKind,
    PilotReport,
    Plan,
    SegmentDecision,
)
from keystrand.model.stages.targeted import Protection, SuccessCriterion, TargetDocument, TargetKind, TargetLine
from keystrand.model.units import Answer
from keystrand.plan.approach import NAMES
from keystrand.plan.ground import ground_of
from keystrand.plan.target_criteria import PROPOSED, for_segment, for_system
from keystrand.plan.target_shown import shown_of

KEY_ESTABLISHMENT = ("ML-KEM (FIPS 203), together with a classical exchange where a policy asks for a hybrid",)
_SIGNATURE = ("ML-DSA (FIPS 204)",)
_FIRMWARE = ("LMS or XMSS (SP 800-208)", "SLH-DSA (FIPS 205)", "ML-DSA (FIPS 204)")
"""Code and firmware are checked for many years by what cannot be changed: hash-based signatures rest on least."""
_BENEATH = ("ML-KEM (FIPS 203) in the systems on it, beneath",)
"""Post-quantum cryptography stands under every choice (rule G2), also where the link alone makes the keys."""
_QUANTUM_KEYS = "keys of a quantum link over ETSI GS QKD 014"
_LONG_TRUSTED = frozenset({Place.CODE_SIGNING, Place.FIRMWARE})
_LAST_STEPS = {
    Function.KEY_ESTABLISHMENT: MeasureKind.MIGRATE_KEY_ESTABLISHMENT,
    Function.SIGNATURE: MeasureKind.MIGRATE_SIGNATURE,
}


def make_target(
    estate: Estate,
    assessment: Assessment,
    plan: Plan,
    *,
    as_of: date,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
    pilot: PilotReport | None = None,
) -> TargetDocument:
    """Return the target of every system and segment for each function; equal inputs give equal documents.

    What `pilot` measured on its segment stands beside the criteria there.
    """
    systems = tuple(_system_lines(estate, assessment, plan))
    targets = (*systems, *_segment_lines(estate, plan, systems))
    protections = tuple(_protections(estate, plan))
    return TargetDocument(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=None,
        coverage=_coverage(targets, protections),
        targets=targets,
        protections=protections,
        criteria=tuple(_criteria(estate, targets, pilot)),
        assumptions=_assumptions(),
    )


def _system_lines(estate: Estate, assessment: Assessment, plan: Plan) -> Iterator[TargetLine]:
    systems = {system.id: system for system in estate.system}
    measures: dict[str, list[Measure]] = {}
    for measure in plan.measures:
        measures.setdefault(measure.subject, []).append(measure)
    for finding in assessment.findings:
        if finding.function in _LAST_STEPS:
            system = systems[finding.system]
            yield _system_line(system, finding, measures.get(system.id, ()))


def _system_line(system: System, finding: Finding, measures: Iterable[Measure]) -> TargetLine:
    function, stays = finding.function, system.post_quantum_path is Answer.NO
    reached = finding.verdict is Verdict.QUANTUM_SAFE and finding.classical_still_accepted is Answer.NO
    last = None if stays else _last(measures, function)
    return TargetLine(
        id=f"system/{system.id}/{function}",
        noun="system",
        subject=system.id,
        function=function,
        today=finding.verdict,
        target=TargetKind.CLASSICAL if stays else TargetKind.POST_QUANTUM,
        approach=Approach.PQC_ONLY,
        algorithms=_kept(finding) if stays else _algorithms(system, function),
        reached=reached and not stays,
        by=last.finish if last else None,
        measure=last.id if last else None,
        owner=system.owners.of(Layer.ALGORITHMS),
        until=system.retires if stays else None,
        compensating=system.compensating if stays else None,
        reason="the estate says that there is no post-quantum path before it retires" if stays else finding.reason,
    )


def _kept(finding: Finding) -> tuple[str, ...]:
    return finding.algorithms or ("what it uses today",)


def _algorithms(system: System, function: Function) -> tuple[str, ...]:
    if function is Function.KEY_ESTABLISHMENT:
        return KEY_ESTABLISHMENT
    return _FIRMWARE if system.place in _LONG_TRUSTED else _SIGNATURE


def _last(measures: Iterable[Measure], function: Function) -> Measure | None:
    """Return the measure after which the function is quantum-safe: what ends last of its migration and retirement."""
    retire = f"{MeasureKind.RETIRE_CLASSICAL}.{function}."
    steps = [m for m in measures if m.kind is _LAST_STEPS[function] or m.id.startswith(retire)]
    return max(steps, key=lambda m: (m.finish, m.id), default=None)


def _segment_lines(estate: Estate, plan: Plan, systems: Iterable[TargetLine]) -> Iterator[TargetLine]:
    segments, ground = {segment.id: segment for segment in estate.segment}, ground_of(estate)
    lines = {(line.subject, line.function): line for line in systems}
    last = {m.subject: m for m in plan.measures if m.kind is MeasureKind.PILOT}
    last |= {m.subject: m for m in plan.measures if m.kind is MeasureKind.DEPLOY_QUANTUM_LINK}
    for decision in plan.decisions:
        segment = segments[decision.segment]
        for choice in decision.functions:
            quantum = choice.approach is not Approach.PQC_ONLY
            step = last.get(segment.id) if quantum else None
            users = [lines.get((system.id, choice.function)) for system in ground.users(segment)]
            moved = max((line for line in users if line and line.by), key=_by, default=None)
            yield TargetLine(
                id=f"segment/{segment.id}/{choice.function}",
                noun="segment",
                subject=segment.id,
                function=choice.function,
                today=None,
                target=_kind(segment, decision, choice.function, choice.approach),
                approach=choice.approach,
                algorithms=_link_algorithms(choice.function, choice.approach),
                reached=False,
                by=step.finish if step else moved.by if moved else None,
                measure=step.id if step else moved.measure if moved else None,
                owner=segment.owners.of(Layer.LINK if quantum else Layer.ALGORITHMS),
                until=None,
                compensating=None,
                reason=choice.reason,
            )


def _by(line: TargetLine) -> date:
    return line.by or date.min


def _kind(segment: Segment, decision: SegmentDecision, function: Function, approach: Approach) -> TargetKind:
    if segment.purpose is Purpose.RESEARCH and approach is Approach.QUANTUM_INTERNET_TESTBED:
        return TargetKind.RESEARCH
    if approach is not Approach.PQC_ONLY:
        return TargetKind.QUANTUM_LINK
    asked = decision.questions and function is Function.KEY_ESTABLISHMENT
    return TargetKind.UNDECIDED if asked else TargetKind.POST_QUANTUM


def _link_algorithms(function: Function, approach: Approach) -> tuple[str, ...]:
    if function is Function.SIGNATURE:
        return _SIGNATURE
    if approach is Approach.PQC_ONLY:
        return KEY_ESTABLISHMENT
    beneath = {Approach.HYBRID: KEY_ESTABLISHMENT, Approach.QUANTUM_INTERNET_TESTBED: ()}
    return (_QUANTUM_KEYS, *beneath.get(approach, _BENEATH))


_ENDS = ("a locked and alarmed room for the quantum device and the key server", "a record of who enters")
_NODE = (
    "a cage of its own for the trusted node, with detection of tampering: who opens it reads every key",
    "two people for every visit",
    "a record of who enters",
)
_ROUTE = ("the loss of the fibre is watched, and a change is an alarm", "splices and patch panels under lock")


def _protections(estate: Estate, plan: Plan) -> Iterator[Protection]:
    sites, segments = {site.id: site for site in estate.site}, {one.id: one for one in estate.segment}
    for decision in plan.decisions:
        if decision.chosen is not Approach.PQC_ONLY:
            segment = segments[decision.segment]
            yield from (_at(segment, sites[name], _ENDS) for name in (segment.a, segment.b))
            yield from (_at(segment, sites[name], _NODE, node=True) for name in segment.via)
            yield Protection(
                id=f"segment/{segment.id}/route",
                segment=segment.id,
                site=None,
                needs=_ROUTE,
                ready=Answer.UNKNOWN,
                reason=f"the estate does not say how the fibre of {segment.carrier} is guarded",
            )


def _at(segment: Segment, site: Site, needs: tuple[str, ...], *, node: bool = False) -> Protection:
    ready, what = site.controlled, ("the organisation decides", "others decide", "the organisation decides")
    words = dict(zip(Answer, (f"{who} who enters {site.name}" for who in what), strict=True))
    if node and ready is Answer.YES:
        ready, may = site.may_host_node, f"{site.name} is controlled and may"
        words = dict(zip(Answer, (f"{may} host a node", f"{may} not host a node", f"{may} host a node"), strict=True))
    words[Answer.UNKNOWN] = f"it is not known whether {words[Answer.UNKNOWN]}"
    return Protection(
        id=f"segment/{segment.id}/site/{site.id}",
        segment=segment.id,
        site=site.id,
        needs=needs,
        ready=ready,
        reason=words[ready],
    )


def _criteria(estate: Estate, targets: Iterable[TargetLine], report: PilotReport | None) -> Iterator[SuccessCriterion]:
    pilots = {pilot.segment: pilot for pilot in reversed(estate.pilot)}
    lines = list(targets)
    linked = {line.subject for line in lines if line.target in (TargetKind.QUANTUM_LINK, TargetKind.RESEARCH)}
    moved = {line.subject for line in lines if line.noun == "system" and line.target is TargetKind.POST_QUANTUM}
    for segment in estate.segment:
        if segment.id in linked:
            found = for_segment(segment, pilots.get(segment.id))
            seen = report if report is not None and report.segment == segment.id else None
            yield from (replace(one, shown=shown_of(one, seen)) for one in found) if seen else found
    for system in estate.system:
        if system.id in moved:
            yield from for_system(system)


def _coverage(targets: tuple[TargetLine, ...], protections: tuple[Protection, ...]) -> Coverage:
    gaps = (*_line_gaps(targets), *_protection_gaps(protections))
    open_ = {gap.what for gap in gaps}
    return Coverage(
        unit="target", looked_at=len(targets) + len(protections),
        answered=len(targets) + len(protections) - len(open_), gaps=gaps,
    )  # fmt: skip


def _line_gaps(targets: Iterable[TargetLine]) -> Iterator[Gap]:
    for line in targets:
        missing = []
        if line.target is TargetKind.CLASSICAL:
            missing += ["no compensating control is named"] * (line.compensating is None)
            missing += ["no day is named on which it ends"] * (line.until is None)
        if line.target is TargetKind.UNDECIDED:
            missing.append("questions on the segment are open")
        if line.target is TargetKind.POST_QUANTUM and line.today is Verdict.UNKNOWN:
            missing.append("it is not known what it uses today")
        if missing:
            yield Gap(what=line.id, outcome=Outcome.NONE, reason=joined(missing))


def _protection_gaps(protections: Iterable[Protection]) -> Iterator[Gap]:
    return (Gap(what=p.id, outcome=Outcome.NONE, reason=p.reason) for p in protections if p.ready is not Answer.YES)


def _assumptions() -> tuple[Assumption, ...]:
    proposed = "bounds that no declared pilot sets: each criterion says so"
    return (
        Assumption(name="success criteria", value=proposed, source=PROPOSED),
        Assumption(
            name="algorithms",
            value="families with a final standard; parameter sets follow the policies that bind",
            source="FIPS 203, 204 and 205, SP 800-208",
        ),
    )


def approach_words(line: TargetLine) -> str:
    """Return the target of a line in words."""
    if line.target is TargetKind.CLASSICAL:
        return "stays classical"
    if line.target is TargetKind.UNDECIDED:
        return f"{NAMES[line.approach]}, until the questions are answered"
    return NAMES[line.approach]
