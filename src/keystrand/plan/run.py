"""The plan stage: estate, inventory, assessment and positions in, one plan out. Deterministic."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime

from keystrand.formats.wording import day_text, joined
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.errors import DocumentMismatch
from keystrand.model.estate import Estate
from keystrand.model.observation import Outcome
from keystrand.model.policy import Position
from keystrand.model.stages import (
    Assessment,
    Assumption,
    DateReason,
    Inventory,
    Measure,
    MeasureKind,
    Milestone,
    Plan,
    SegmentDecision,
)
from keystrand.plan import measures, work
from keystrand.plan.approach import ASSUMPTIONS, decide
from keystrand.plan.comparison import CALIBRATION
from keystrand.plan.positions import position_refs
from keystrand.plan.roadmap import DEFAULT_RUN, WEIGHTS, Run, Setting, make_roadmap
from keystrand.plan.roadmap_phases import Grounds, phases
from keystrand.plan.schedule import AT_ONCE, MOST_WAIT_DAYS, Placed
from keystrand.qkd.decoy import MODEL, SOURCE
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

_MILESTONES: dict[MeasureKind, str] = {
    MeasureKind.FIND_OUT: "Nothing is unknown any more",
    MeasureKind.ASSIGN_OWNER: "Every layer has an owner",
    MeasureKind.MIGRATE_KEY_ESTABLISHMENT: "Key establishment is quantum-safe",
    MeasureKind.MIGRATE_SIGNATURE: "Signatures are quantum-safe",
    MeasureKind.RETIRE_CLASSICAL: "No service accepts a classical exchange beside the safe one",
    MeasureKind.PILOT: "Every planned quantum link has been piloted",
    MeasureKind.DEPLOY_QUANTUM_LINK: "The quantum links are in service",
}


def make_plan(  # noqa: PLR0913 - what every stage takes, and how the dates are looked for
    estate: Estate,
    inventory: Inventory,
    assessment: Assessment,
    positions: Sequence[Position],
    *,
    as_of: date,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
    run: Run = DEFAULT_RUN,
) -> Plan:
    """Return the approach of every segment and the ordered, dated measures, none starting before `as_of`.

    Raises `DocumentMismatch` where the inventory or assessment speaks of things the estate does not have, and
    `InvalidInput` where the work cannot be dated.
    """
    _require_same_estate(estate, inventory, assessment)
    decisions = decide(estate, positions, as_of)
    drafts = measures.drafts(estate, inventory, assessment, decisions, as_of=as_of)
    roadmap = make_roadmap(drafts, Setting(estate, assessment, as_of, run))
    pairs = zip(roadmap.placed, roadmap.reasons, strict=True)
    dated = tuple(_measure(rank, one, why) for rank, (one, why) in enumerate(pairs, start=1))
    grounds = Grounds(estate, inventory, assessment, roadmap.curves, as_of)
    return Plan(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=None,
        coverage=_coverage(decisions),
        decisions=decisions,
        measures=dated,
        milestones=_milestones(dated),
        positions=position_refs(positions, estate),
        assumptions=_assumptions(),
        phases=phases(roadmap.placed, grounds),
        roadmap=roadmap.figures,
    )


def _require_same_estate(estate: Estate, inventory: Inventory, assessment: Assessment) -> None:
    known = {("system", s.id) for s in estate.system} | {("segment", s.id) for s in estate.segment}
    named = {("system", f.system) for f in assessment.findings} | {("system", p.system) for p in assessment.priorities}
    named |= {(gap.noun, gap.id) for gap in inventory.ownership_gaps}
    if strange := sorted(named - known):
        raise DocumentMismatch(f"the estate does not have {joined([f'{noun} {name}' for noun, name in strange])}")


def _measure(rank: int, placed: Placed, why: DateReason) -> Measure:
    draft = placed.draft
    moved = (f"ends with the {placed.window.why} on {day_text(placed.window.day)}",) if placed.window else ()
    return Measure(
        id=draft.id,
        rank=rank,
        kind=draft.kind,
        title=draft.title,
        subject=draft.subject,
        owner=draft.owner,
        start=placed.start,
        finish=placed.finish,
        latest_finish=draft.latest_finish,
        late=draft.latest_finish is not None and placed.finish > draft.latest_finish,
        depends_on=draft.depends_on,
        reasons=(*draft.reasons, *moved),
        done_when=draft.done_when,
        fallback=draft.fallback,
        engineers=draft.engineers,
        why_date=why,
    )


def _milestones(dated: Sequence[Measure]) -> tuple[Milestone, ...]:
    by_kind: dict[MeasureKind, list[Measure]] = defaultdict(list)
    for measure in dated:
        by_kind[measure.kind].append(measure)
    made = [
        Milestone(
            id=kind.value,
            title=_MILESTONES[kind],
            date=max(m.finish for m in members),
            measures=tuple(m.id for m in members),
        )
        for kind, members in by_kind.items()
    ]
    return tuple(sorted(made, key=lambda m: (m.date, m.id)))


def _coverage(decisions: Sequence[SegmentDecision]) -> Coverage:
    gaps = tuple(
        Gap(what=f"segment {d.segment}", outcome=Outcome.NONE, reason=question)
        for d in decisions
        for question in d.questions
    )
    undecided = sum(1 for d in decisions if d.questions)
    return Coverage(unit="segment", looked_at=len(decisions), answered=len(decisions) - undecided, gaps=gaps)


def _assumptions() -> tuple[Assumption, ...]:
    ours = "assumed by keystrand, to be replaced by the organisation's own figures"
    days = (
        f"find out {work.FIND_OUT_DAYS}, name an owner {work.ASSIGN_OWNER_DAYS}, retire classical "
        f"{work.RETIRE_CLASSICAL_DAYS}, pilot {work.PILOT_DAYS}, deploy a quantum link {work.DEPLOY_DAYS}"
    )
    order = (
        "key establishment waits for no other system. A signature waits for the systems of place identity or "
        "code-signing that its system depends on: a certificate under an anchor that can be forged proves nothing. A "
        "classical exchange ends once the systems that depend on its service have moved. What else a change waits for, "
        "such as a supplier or the module that holds the keys, is part of migration_years"
    )
    return (
        Assumption(name="link model", value=MODEL, source=SOURCE),
        Assumption(name="quantum hardware", value=PLANNING_1GHZ.name, source=PLANNING_1GHZ.source),
        Assumption(name="ratings of the approaches", value=CALIBRATION, source="counted by keystrand"),
        *ASSUMPTIONS,
        Assumption(name="which change waits for which", value=order, source="keystrand, method of the plan"),
        Assumption(name="duration of a migration", value="the longer end of migration_years", source="estate"),
        Assumption(name="duration of other measures, in days", value=days, source=ours),
        Assumption(
            name="changes under way at once for each owner, and as many enquiries",
            value=f"{AT_ONCE}, where the estate does not say how many engineers the owner has",
            source=ours,
        ),
        Assumption(name="longest wait for a refresh or contract, in days", value=str(MOST_WAIT_DAYS), source=ours),
        *(Assumption(name=name, value=value, source=ours) for name, value in WEIGHTS.items()),
    )
