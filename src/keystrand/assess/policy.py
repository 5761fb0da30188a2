"""Rules against findings. Three-valued throughout: what is not known is undetermined, never met.

A violation needs all of: a final text, read at its source or in two independent places, that binds this organisation,
whose date has passed, and a verdict of quantum-vulnerable. Everything weaker is due, a notice, or undetermined.
"""

from datetime import date
from typing import NamedTuple

from keystrand.assess.strength import classical_strength
from keystrand.formats.wording import day_text, joined
from keystrand.model.algorithm import Algorithm, Verdict, classify
from keystrand.model.estate import Estate, Sensitivity, System
from keystrand.model.policy import EU_MEMBERS, Effect, Policy, Rule, Status, Verification
from keystrand.model.stages import Finding, PolicyFinding, PolicyState
from keystrand.model.units import Answer


class Facts(NamedTuple):
    """What the rules ask of a system. `sensitivity` is that of its most sensitive data, None where none is declared.

    `asked` names who can say whether a plan stands.
    """

    system: System
    jurisdiction: str
    sensitivity: Sensitivity | None
    obligations: frozenset[str]
    as_of: date
    asked: str


class _Held(NamedTuple):
    """An answer with its reason."""

    answer: Answer
    reason: str = ""


_State = tuple[PolicyState, str]


def facts_of(estate: Estate, system: System, as_of: date) -> Facts:
    """Return what the rules ask of `system`, from the estate: its jurisdiction is that of its site's region."""
    site = next(entry for entry in estate.site if entry.id == system.site)
    region = next(entry for entry in estate.region if entry.id == site.region)
    carried = [entry.sensitivity for entry in estate.data_class if entry.id in system.data_classes]
    return Facts(
        system=system,
        jurisdiction=region.jurisdiction,
        sensitivity=max(carried, key=lambda s: s.weight, default=None),
        obligations=frozenset(estate.organisation.obligations),
        as_of=as_of,
        asked=_asked(estate, system),
    )


def _asked(estate: Estate, system: System) -> str:
    """Return the name of who governs the system, else of who owns its algorithms."""
    owner = system.owners.governance or system.owners.algorithms
    names = {entry.id: entry.name for entry in estate.owner}
    return names.get(owner, owner) if owner else "whoever is to own this system"


def judge(policies: tuple[Policy, ...], finding: Finding, facts: Facts) -> tuple[PolicyFinding, ...]:
    """Return what each rule says of `finding`, in the order of the policies.

    A rule about another function or another kind of place says nothing. One that does not apply for another reason is
    left out too, unless the organisation named its policy: then the answer is due, and the reason is given.
    """
    judged = (
        _judge(rule, policy, finding, facts)
        for policy in policies
        for rule in policy.rules
        if finding.function in rule.functions and (not rule.places or facts.system.place in rule.places)
    )
    return tuple(
        found for found in judged if found.state is not PolicyState.NOT_APPLICABLE or found.policy in facts.obligations
    )


def _judge(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> PolicyFinding:
    state, reason = _state(rule, policy, finding, facts)
    return PolicyFinding(
        policy=policy.id,
        rule=rule.id,
        clause=rule.clause,
        effect=rule.effect,
        state=state,
        deadline=rule.deadline,
        reason=reason,
    )


def _state(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> _State:
    scope = _applies(rule, policy, finding, facts)
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


def _applies(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> _Held:
    """Return whether the rule speaks of this system: the first `no` decides, then the first `unknown`."""
    checks = (
        _in_jurisdiction(policy.jurisdictions, facts.jurisdiction),
        _of_sensitivity(rule.sensitivities, facts.sensitivity),
        _of_strength(rule.strength_at_most, finding),
    )
    return next(
        (held for answer in (Answer.NO, Answer.UNKNOWN) for held in checks if held.answer is answer),
        _Held(Answer.YES),
    )


def _in_jurisdiction(named: tuple[str, ...], where: str) -> _Held:
    if not named or where in named or ("EU" in named and where in EU_MEMBERS):
        return _Held(Answer.YES)
    if where == "EU" and EU_MEMBERS.intersection(named):
        return _Held(Answer.UNKNOWN, f"the rule holds in {joined(named)}; the region says only EU")
    return _Held(Answer.NO, f"the rule holds in {joined(named)}; the system stands in {where}")


def _of_sensitivity(named: tuple[Sensitivity, ...], carried: Sensitivity | None) -> _Held:
    if not named or carried in named:
        return _Held(Answer.YES)
    words = joined([s.value for s in named])
    if carried is None:
        return _Held(Answer.UNKNOWN, f"the rule speaks of {words} data; no data class is declared for this system")
    return _Held(Answer.NO, f"the rule speaks of {words} data; this system carries {carried.value} data")


def _of_strength(at_most: int | None, finding: Finding) -> _Held:
    """Return whether a classical algorithm of at most this strength is in use. Safe findings are in scope as well."""
    if at_most is None or finding.verdict is not Verdict.QUANTUM_VULNERABLE:
        return _Held(Answer.YES)
    classical = [a for a in map(classify, finding.algorithms) if a.verdict is Verdict.QUANTUM_VULNERABLE]
    strengths = [classical_strength(algorithm) for algorithm in classical]
    if any(strength is not None and strength <= at_most for strength in strengths):
        return _Held(Answer.YES)
    if not strengths or None in strengths:
        return _Held(
            Answer.UNKNOWN, f"the rule speaks of at most {at_most} bits of strength; the key size was not seen"
        )
    return _Held(Answer.NO, f"the rule speaks of at most {at_most} bits of strength; what is used is stronger")


def _meets(rule: Rule, finding: Finding) -> _Held:
    """Return whether the finding does what the rule asks, whatever the date and whoever it binds."""
    if finding.verdict is not Verdict.QUANTUM_SAFE:
        return _Held(Answer.NO, finding.reason)
    if rule.effect is Effect.PLAN:
        left = _without_classical(finding)
        return _Held(Answer.YES, "it is known, and nothing here is left to plan") if left.answer is Answer.YES else left
    level = _reaches(rule.minimum_level, finding)
    if level.answer is not Answer.YES or rule.effect is Effect.REQUIRE:
        return level
    return _without_classical(finding)


def _reaches(minimum: int | None, finding: Finding) -> _Held:
    if minimum is None:
        return _Held(Answer.YES, finding.reason)
    safe = _safe_algorithms(finding)
    below = [a.name for a in safe if a.nist_level is not None and a.nist_level < minimum]
    if below:
        return _Held(Answer.NO, f"asks for level {minimum}; {joined(below)} is below it")
    if not safe or any(a.nist_level is None for a in safe):
        return _Held(Answer.UNKNOWN, f"asks for level {minimum}; the level of what is used is not known")
    return _Held(Answer.YES, finding.reason)


def _safe_algorithms(finding: Finding) -> list[Algorithm]:
    return [a for a in map(classify, finding.algorithms) if a.verdict is Verdict.QUANTUM_SAFE]


def _without_classical(finding: Finding) -> _Held:
    match finding.classical_still_accepted:
        case Answer.NO:
            return _Held(Answer.YES, finding.reason)
        case Answer.YES:
            return _Held(Answer.NO, "a classical exchange is still accepted from a peer that has nothing else")
        case _:
            return _Held(Answer.UNKNOWN, "whether a classical exchange is still accepted was not seen")


def _unmet(rule: Rule, policy: Policy, finding: Finding, facts: Facts, why: str) -> _State:
    """Return the state of a rule that applies and is not met."""
    day = day_text(rule.deadline)
    if weakness := _weakness(rule, policy, facts):
        return PolicyState.NOTICE, f"{why}; the date is {day}, but {weakness}"
    if facts.as_of <= rule.deadline:
        return PolicyState.DUE, f"{why}; {'a plan for it is due ' if rule.effect is Effect.PLAN else ''}by {day}"
    if rule.effect is Effect.PLAN:
        return PolicyState.UNDETERMINED, _open_question(rule, policy, facts, why)
    return _overdue(rule, finding, why, day)


def _open_question(rule: Rule, policy: Policy, facts: Facts, why: str) -> str:
    """Return `why`, and for a binding duty to plan the question that settles it: no scan can see whether a plan stands.

    The answer is the owner's; nothing here guesses it.
    """
    if rule.effect is not Effect.PLAN or _weakness(rule, policy, facts):
        return why
    when = "due since" if rule.deadline < facts.as_of else "due by"
    return f"{why}; ask {facts.asked} whether a documented plan stands ({when} {day_text(rule.deadline)})"


def _overdue(rule: Rule, finding: Finding, why: str, day: str) -> _State:
    """Return the state of a binding rule whose date has passed: a violation can arise here, and nowhere else."""
    if rule.effect is Effect.DEPRECATE:
        return PolicyState.NOTICE, f"{why}; discouraged since {day}: keeping it accepts a risk"
    if finding.verdict is not Verdict.QUANTUM_VULNERABLE:
        return PolicyState.DUE, f"{why}; overdue since {day}"
    if rule.effect is Effect.REQUIRE and _safe_algorithms(finding):
        return PolicyState.UNDETERMINED, f"{why}; a quantum-safe algorithm is there beside it, which may be enough"
    return PolicyState.VIOLATION, f"{why}; the date was {day}"


def _weakness(rule: Rule, policy: Policy, facts: Facts) -> str:
    """Return why the text cannot bind here, or nothing if it can."""
    if policy.status is not Status.FINAL:
        return "the text is a draft"
    if Verification.MEMORY in (policy.source.verification, rule.verification):
        return "what it says was not checked in two places"
    if policy.id not in facts.obligations:
        return "the organisation does not name it as an obligation"
    return ""
