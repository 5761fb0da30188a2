"""Obligations and their dates: every rule that took part, with how many systems stand where."""

from datetime import date
from typing import NamedTuple

from keystrand.formats.wording import day_text
from keystrand.model.algorithm import Function
from keystrand.model.policy import Effect, Verification
from keystrand.model.stages import Assessment, Finding, PolicyFinding, PolicyRef, PolicyState, ReportObligation

_FUNCTION_WORDS = {
    Function.KEY_ESTABLISHMENT: "key exchange",
    Function.SIGNATURE: "signatures",
    Function.ENCRYPTION: "encryption",
    Function.DIGEST: "hashing",
}
_EFFECT_WORDS = {
    Effect.DISALLOW: "No {} that a quantum computer breaks",
    Effect.DEPRECATE: "Phase out {} that a quantum computer breaks",
    Effect.REQUIRE: "Support quantum-safe {}",
    Effect.PLAN: "Know the {} in use, and have a plan to change them",
}
_VERIFICATION_WORDS = {
    Verification.PRIMARY: "read at its source",
    Verification.SECONDARY: "known at second hand",
    Verification.ONE_PAGE: "known from one page, to be checked",
    Verification.MEMORY: "from memory, to be checked",
}
_WORST_FIRST = (
    PolicyState.VIOLATION,
    PolicyState.DUE,
    PolicyState.NOTICE,
    PolicyState.UNDETERMINED,
    PolicyState.MET,
)
_OPEN = (PolicyState.DUE, PolicyState.UNDETERMINED)


class _Judged(NamedTuple):
    pointer: str
    finding: Finding
    judgement: PolicyFinding


def _by_rule(assessment: Assessment) -> dict[tuple[str, str], list[_Judged]]:
    rules: dict[tuple[str, str], list[_Judged]] = {}
    for n, finding in enumerate(assessment.findings):
        for m, judgement in enumerate(finding.policies):
            if judgement.state is not PolicyState.NOT_APPLICABLE:
                judged = _Judged(f"/findings/{n}/policies/{m}", finding, judgement)
                rules.setdefault((judgement.policy, judgement.rule), []).append(judged)
    return rules


def _counts(rows: list[_Judged]) -> dict[PolicyState, int]:
    """Return the number of systems in each state; a system with several findings counts once, where it is worst."""
    worst: dict[str, PolicyState] = {}
    for row in rows:
        state, system = row.judgement.state, row.finding.system
        worst[system] = min(worst.get(system, state), state, key=_WORST_FIRST.index)
    return {state: list(worst.values()).count(state) for state in _WORST_FIRST}


def _standing(ref: PolicyRef | None) -> str:
    if ref is None:
        return "not described in the assessment"
    return f"{ref.status.value} {ref.force.value}, {_VERIFICATION_WORDS[ref.verification]}, as of {day_text(ref.as_of)}"


def _obligation(ref: PolicyRef | None, rows: list[_Judged]) -> ReportObligation:
    first, counts = rows[0], _counts(rows)
    functions = sorted({row.finding.function for row in rows}, key=list(Function).index)
    effect = first.judgement.effect
    words = (" or " if effect is Effect.DISALLOW else " and ").join(_FUNCTION_WORDS[f] for f in functions)
    return ReportObligation(
        policy=ref.name if ref else first.judgement.policy,
        rule=first.judgement.rule,
        clause=first.judgement.clause,
        demand=_EFFECT_WORDS[effect].format(words),
        deadline=first.judgement.deadline,
        binding=ref is not None and ref.binding,
        standing=_standing(ref),
        violations=counts[PolicyState.VIOLATION],
        due=counts[PolicyState.DUE],
        notices=counts[PolicyState.NOTICE],
        undetermined=counts[PolicyState.UNDETERMINED],
        met=counts[PolicyState.MET],
        document="assessment",
        pointer=first.pointer,
    )


def obligations_of(assessment: Assessment) -> tuple[ReportObligation, ...]:
    """Return every rule that applies somewhere: the binding ones first, then by date."""
    refs = {ref.id: ref for ref in assessment.policies}
    made = [_obligation(refs.get(policy), rows) for (policy, _), rows in _by_rule(assessment).items()]
    return tuple(sorted(made, key=lambda o: (not o.binding, o.deadline, o.policy, o.rule)))


class NextDate(NamedTuple):
    """The next date of the binding rules: systems that are not ready for it, and those that could not be judged."""

    day: date
    due: int
    undetermined: int


def next_date(assessment: Assessment) -> NextDate | None:
    """Return the next date that some system is not known to meet; each system counts once, where it is worst."""
    binding = {ref.id for ref in assessment.policies if ref.binding}
    coming: dict[date, dict[PolicyState, set[str]]] = {}
    for finding in assessment.findings:
        for p in finding.policies:
            if p.policy in binding and p.deadline >= assessment.as_of and p.state in _OPEN:
                coming.setdefault(p.deadline, {state: set() for state in _OPEN})[p.state].add(finding.system)
    if not coming:
        return None
    systems = coming[day := min(coming)]
    due = systems[PolicyState.DUE]
    return NextDate(day, len(due), len(systems[PolicyState.UNDETERMINED] - due))


def systems_in_violation(assessment: Assessment) -> frozenset[str]:
    """Return the systems that break a binding rule today."""
    return _bound(assessment, PolicyState.VIOLATION)


def systems_in_doubt(assessment: Assessment) -> frozenset[str]:
    """Return the further systems for which a binding rule is in force and nobody can tell whether it is met."""
    return _bound(assessment, PolicyState.UNDETERMINED, _SEEN_IN_A_SCAN) - systems_in_violation(assessment)


def systems_to_ask_about(assessment: Assessment) -> frozenset[str]:
    """Return the further systems where only a person can say whether a duty to plan is met: no scan sees a plan."""
    asked = _bound(assessment, PolicyState.UNDETERMINED, frozenset({Effect.PLAN}))
    return asked - systems_in_violation(assessment) - systems_in_doubt(assessment)


_SEEN_IN_A_SCAN = frozenset(Effect) - {Effect.PLAN}


def _bound(
    assessment: Assessment, state: PolicyState, effects: frozenset[Effect] = frozenset(Effect)
) -> frozenset[str]:
    binding = {ref.id for ref in assessment.policies if ref.binding}
    return frozenset(
        finding.system
        for finding in assessment.findings
        if any(
            p.state is state and p.policy in binding and p.effect in effects and p.deadline <= assessment.as_of
            for p in finding.policies
        )
    )
