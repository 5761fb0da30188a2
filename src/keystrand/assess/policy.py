"""Rules against findings. Three-valued throughout: what is not known is undetermined, never met.

A violation needs all of: a final text, read at its source or in two independent places, that binds this organisation,
whose date has passed, and a verdict of quantum-vulnerable. Everything weaker is due, a notice, or undetermined.
"""

from collections.abc import Iterator
from datetime import date

from keystrand.assess.policy_facts import Facts, facts_of
from keystrand.assess.policy_scope import Held, applies, in_jurisdiction
from keystrand.assess.waivers import WAIVABLE, Covered, covered
from keystrand.assess.words import deadline_text
from keystrand.formats.wording import day_text, joined
from keystrand.model.algorithm import Algorithm, Verdict, classify
from keystrand.model.policy import Dispute, Effect, Policy, Rule, Status, Verification
from keystrand.model.stages import Finding, PolicyFinding, PolicyState
from keystrand.model.units import Answer

__all__ = ["Facts", "facts_of", "judge", "remarks"]


_State = tuple[PolicyState, str]


def judge(policies: tuple[Policy, ...], finding: Finding, facts: Facts) -> tuple[PolicyFinding, ...]:
    """Return what each rule says of `finding`, in the order of the policies.

    A rule about another function or another kind of place says nothing. One that does not apply for another reason is
    left out too, unless the organisation named its policy: then the answer is due, and the reason is given.
    """
    judged = (
        _judge(rule, policy, finding, facts)
        for policy in policies
        if policy.id in facts.obligations
        or in_jurisdiction(policy.jurisdictions, facts.jurisdiction).answer is not Answer.NO
        for rule in policy.rules
        if finding.function in rule.functions and (not rule.places or facts.system.place in rule.places)
    )
    return tuple(
        found for found in judged if found.state is not PolicyState.NOT_APPLICABLE or found.policy in facts.obligations
    )


def _judge(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> PolicyFinding:
    state, reason = _state(rule, policy, finding, facts)
    excused = covered(facts.waivers, policy.id, rule.id, facts.as_of) if state in WAIVABLE else Covered()
    return PolicyFinding(
        policy=policy.id,
        rule=rule.id,
        clause=rule.clause,
        effect=rule.effect,
        state=state,
        deadline=rule.deadline,
        precision=rule.precision,
        waiver=excused.waiver,
        reason=f"{reason}; {excused.remark}" if excused.remark else reason,
    )


def _state(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> _State:
    scope = applies(rule, policy, finding, facts)
    if scope.answer is Answer.NO:
        return PolicyState.NOT_APPLICABLE, scope.reason
    if finding.verdict is Verdict.UNKNOWN:
        return PolicyState.UNDETERMINED, _open_question(rule, policy, facts, finding.reason)
    if scope.answer is Answer.UNKNOWN:
        return PolicyState.UNDETERMINED, scope.reason
    met = _meets(rule, finding)
    if met.answer is Answer.YES:
        return PolicyState.MET, met.reason
    if met.answer is Answer.UNKNOWN:
        return PolicyState.UNDETERMINED, _open_question(rule, policy, facts, met.reason)
    return _unmet(rule, policy, finding, facts, met.reason)


def _meets(rule: Rule, finding: Finding) -> Held:
    """Return whether the finding does what the rule asks, whatever the date and whoever it binds."""
    if finding.verdict is not Verdict.QUANTUM_SAFE:
        return Held(Answer.NO, finding.reason)
    if rule.effect is Effect.PLAN:
        left = _without_classical(finding)
        return Held(Answer.YES, "it is known, and nothing here is left to plan") if left.answer is Answer.YES else left
    for held in (_reaches(rule.minimum_level, finding), _together(finding) if rule.hybrid else Held(Answer.YES)):
        if held.answer is not Answer.YES:
            return held
    return Held(Answer.YES, finding.reason) if rule.effect is Effect.REQUIRE else _without_classical(finding)


def _reaches(minimum: int | None, finding: Finding) -> Held:
    if minimum is None:
        return Held(Answer.YES, finding.reason)
    safe = _safe_algorithms(finding)
    below = [a.name for a in safe if a.nist_level is not None and a.nist_level < minimum]
    if below:
        return Held(Answer.NO, f"asks for level {minimum}; {joined(below)} is below it")
    if not safe or any(a.nist_level is None for a in safe):
        return Held(Answer.UNKNOWN, f"asks for level {minimum}; the level of what is used is not known")
    return Held(Answer.YES, finding.reason)


def _together(finding: Finding) -> Held:
    """Return whether every quantum-safe algorithm in use is combined with a classical one."""
    safe = _safe_algorithms(finding)
    alone = [algorithm.name for algorithm in safe if not algorithm.components]
    if alone:
        return Held(Answer.NO, f"asks for a combination with a classical algorithm; {joined(alone)} stands alone")
    if not safe:
        return Held(Answer.UNKNOWN, "asks for a combination with a classical algorithm; what is used was not seen")
    return Held(Answer.YES, finding.reason)


def _safe_algorithms(finding: Finding) -> list[Algorithm]:
    return [a for a in map(classify, finding.algorithms) if a.verdict is Verdict.QUANTUM_SAFE]


def _without_classical(finding: Finding) -> Held:
    match finding.classical_still_accepted:
        case Answer.NO:
            return Held(Answer.YES, finding.reason)
        case Answer.YES:
            return Held(Answer.NO, "a classical exchange is still accepted from a peer that has nothing else")
        case _:
            return Held(Answer.UNKNOWN, "whether a classical exchange is still accepted was not seen")


def _unmet(rule: Rule, policy: Policy, finding: Finding, facts: Facts, why: str) -> _State:
    """Return the state of a rule that applies and is not met."""
    day = deadline_text(rule.deadline, rule.precision)
    if weakness := _weakness(rule, policy, facts):
        return PolicyState.NOTICE, f"{why}; the date is {day}, but {weakness}"
    if facts.as_of <= rule.deadline:
        return PolicyState.DUE, f"{why}; {'a plan for it is due ' if rule.effect is Effect.PLAN else ''}by {day}"
    if rule.effect is Effect.PLAN:
        return PolicyState.UNDETERMINED, _open_question(rule, policy, facts, why)
    return _overdue(rule, finding, why, facts)


def _open_question(rule: Rule, policy: Policy, facts: Facts, why: str) -> str:
    """Return `why`, and for a binding duty to plan the question that settles it: no scan can see whether a plan stands.

    The answer is the owner's; nothing here guesses it.
    """
    if rule.effect is not Effect.PLAN or _weakness(rule, policy, facts):
        return why
    day = deadline_text(rule.deadline, rule.precision)
    when = "due since" if rule.deadline < facts.as_of else "due by"
    return f"{why}; ask {facts.asked} whether a documented plan stands ({when} {day})"


def _overdue(rule: Rule, finding: Finding, why: str, facts: Facts) -> _State:
    """Return the state of a binding rule whose date has passed: a violation can arise here, and nowhere else."""
    day = deadline_text(rule.deadline, rule.precision)
    if rule.effect is Effect.DEPRECATE:
        return PolicyState.NOTICE, f"{why}; discouraged since {day}: keeping it accepts a risk"
    if rule.new_only:
        return (
            PolicyState.UNDETERMINED,
            f"{why}; asks it of what is acquired after {day}: ask {facts.asked} when it was",
        )
    if finding.verdict is not Verdict.QUANTUM_VULNERABLE:
        return PolicyState.DUE, f"{why}; overdue since {day}"
    if rule.effect is Effect.REQUIRE and _safe_algorithms(finding):
        return PolicyState.UNDETERMINED, f"{why}; a quantum-safe algorithm is there beside it, which may be enough"
    return PolicyState.VIOLATION, f"{why}; the date was {day}"


def _weakness(rule: Rule, policy: Policy, facts: Facts) -> str:
    """Return why the text cannot bind here, or nothing if it can."""
    if found := next(_doubts(policy, facts.as_of, rule), ""):
        return found
    return "" if policy.id in facts.obligations else "the organisation does not name it as an obligation"


def remarks(policy: Policy, as_of: date) -> tuple[str, ...]:
    """Return why none of the policy's rules can give more than a notice on `as_of`; empty where they can."""
    return tuple(_doubts(policy, as_of))


_NOT_FINAL = {
    Status.DRAFT: "the text is a draft",
    Status.SUPERSEDED: "the text is superseded by {}",
    Status.UNCONFIRMED: "no such text was found",
}


def _doubts(policy: Policy, as_of: date, rule: Rule | None = None) -> Iterator[str]:
    """Yield why the policy, or one rule of it, gives a notice at most, whoever it binds."""
    if policy.status is not Status.FINAL:
        yield _NOT_FINAL[policy.status].format(policy.superseded_by)
    if not _proven(policy, rule):
        yield "what it says was not checked in two places"
    yield from (_open(one) for one in (*policy.disputes, *(rule.disputes if rule else ())) if not one.resolved)
    if policy.source.expires and policy.source.old(as_of):
        yield f"our reading of it is old: it was good until {day_text(policy.source.expires)}"


def _proven(policy: Policy, rule: Rule | None) -> bool:
    own: Verification | None = rule.verification if rule else None
    return policy.source.verification.proves and (own is None or own.proves)


def _open(dispute: Dispute) -> str:
    return f"it is disputed: {dispute.source} says that {dispute.says.rstrip('.')}"
