"""What is not known, counted. Shown early, because every other number is no better than this."""

from collections import Counter

from keystrand.formats.wording import OUTCOME_WORDS, counted, joined
from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate
from keystrand.model.observation import Outcome, Strength
from keystrand.model.policy import Verification
from keystrand.model.stages import Assessment, CriterionState, Figure, Inventory, PilotReport, Plan
from keystrand.operate.counting import names_of, systems_by_state

_WEAK = (Strength.CONFIGURED, Strength.LINKED, Strength.REFERENCED)


def _figure(key: str, label: str, value: str, document: str, pointer: str) -> Figure:
    return Figure(id=f"unknown-{key}", label=label, value=value, document=document, pointer=pointer)


def _systems(estate: Estate, assessment: Assessment) -> list[Figure]:
    names = names_of(estate)["system"]
    made = []
    for function, word in ((Function.KEY_ESTABLISHMENT, "key exchange"), (Function.SIGNATURE, "signatures")):
        states = systems_by_state(estate.system, assessment, function)
        total, unknown = sum(map(len, states.values())), states["unknown"]
        if unknown:
            value = f"{len(unknown)} of {total} systems could not be judged: {joined([names.of(i) for i in unknown])}."
            made.append(_figure(f"{function.value}", f"Systems, {word}", value, "assessment", "/findings"))
    return made


def _targets(inventory: Inventory) -> Figure:
    coverage = inventory.coverage
    unit = coverage.unit.removesuffix("s") + "s"
    if coverage.complete:
        value = f"0 gaps: all {coverage.looked_at:,} {unit} that were looked at answered."
        return _figure("targets", "Scan", value, "inventory", "/coverage")
    outcomes = Counter(gap.outcome for gap in coverage.gaps)
    left_out = outcomes.pop(Outcome.SKIPPED, 0)
    words = {**OUTCOME_WORDS, Outcome.SEEN: "seen only in part"}  # what was seen whole is no gap
    why = joined([f"{n} {words[o]}" for o, n in sorted(outcomes.items(), key=lambda x: (-x[1], x[0]))], most=8)
    missing = max(coverage.looked_at - coverage.answered, 0)
    silent = "showed nothing" if Outcome.NONE in outcomes else "gave no answer"  # "nothing there" is an answer
    value = f"{missing} of {coverage.looked_at:,} {unit} {silent}{f' ({why})' if why else ''}"
    value += (
        f"; {counted(left_out, 'target or system', 'targets or systems')} left out of the scan." if left_out else "."
    )
    return _figure("targets", "Scan", value, "inventory", "/coverage/gaps")


def _weak_evidence(assessment: Assessment) -> list[Figure]:
    weak = sum(1 for f in assessment.findings if f.strength in _WEAK)
    verb = "rests" if weak == 1 else "rest"
    value = f"{weak} of {counted(len(assessment.findings), 'verdict')} {verb} on files or references, not on a live "
    value += "connection."
    return [_figure("evidence", "Evidence", value, "assessment", "/findings")] * bool(weak)


def _ownership(inventory: Inventory) -> list[Figure]:
    gaps = inventory.ownership_gaps
    things = len({(gap.noun, gap.id) for gap in gaps})
    value = f"{counted(len(gaps), 'layer')} of {counted(things, 'system or segment', 'systems and segments')} "
    value += "has no owner." if len(gaps) == 1 else "have no owner."
    return [_figure("owners", "Ownership", value, "inventory", "/ownership_gaps")] * bool(gaps)


def _segments(plan: Plan) -> list[Figure]:
    asked = [d for d in plan.decisions if d.questions]
    value = f"{counted(sum(len(d.questions) for d in asked), 'question')} open on {counted(len(asked), 'segment')}."
    return [_figure("segments", "Segments", value, "plan", "/decisions")] * bool(asked)


def _policies(assessment: Assessment) -> list[Figure]:
    weak = [p for p in assessment.policies if p.verification is not Verification.PRIMARY]
    verb = "was" if len(weak) == 1 else "were"
    value = f"{len(weak)} of {counted(len(assessment.policies), 'policy', 'policies')} {verb} not read at the source."
    return [_figure("policies", "Policies", value, "assessment", "/policies")] * bool(weak)


def _pilot(plan: Plan, pilot: PilotReport | None) -> list[Figure]:
    if pilot is None:
        value = f"0 of {counted(len(plan.decisions), 'segment')} proved by a pilot."
        return [_figure("pilot", "Pilot", value, "plan", "/decisions")]
    unmeasured = [
        f"{c.consumer}: {c.name}" if c.consumer else c.name
        for c in pilot.scorecard if c.state is CriterionState.NOT_MEASURED
    ]  # fmt: skip
    value = f"{len(unmeasured)} of {counted(len(pilot.scorecard), 'criterion', 'criteria')} not measured: "
    made = _figure("pilot", "Pilot", f"{value}{joined(unmeasured)}.", PilotReport.kind(), "/scorecard")
    return [made] * bool(unmeasured)


def unknown_figures(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport | None
) -> tuple[Figure, ...]:
    """Return everything the documents say is not known, each with its count. The scan's coverage is always there."""
    return (
        *_systems(estate, assessment),
        _targets(inventory),
        *_weak_evidence(assessment),
        *_ownership(inventory),
        *_segments(plan),
        *_policies(assessment),
        *_pilot(plan, pilot),
    )
