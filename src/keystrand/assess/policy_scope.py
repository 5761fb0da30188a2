"""Whom a rule speaks of: where, which data, how strong a key, what kind of system. What is not known stays unknown."""

from collections.abc import Iterator
from typing import NamedTuple

from keystrand.assess.policy_facts import Facts
from keystrand.assess.strength import classical_strength
from keystrand.formats.wording import joined
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.estate import Sensitivity
from keystrand.model.policy import EU_MEMBERS, Policy, Rule
from keystrand.model.stages import Finding
from keystrand.model.units import Answer


class Held(NamedTuple):
    """An answer with its reason."""

    answer: Answer
    reason: str = ""


def applies(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> Held:
    """Return whether the rule speaks of this system: the first `no` decides, then the first `unknown`."""
    open_question = None
    for held in _checks(rule, policy, finding, facts):
        if held.answer is Answer.NO:
            return held
        if held.answer is Answer.UNKNOWN:
            open_question = open_question or held
    return open_question or Held(Answer.YES)


def _checks(rule: Rule, policy: Policy, finding: Finding, facts: Facts) -> Iterator[Held]:
    yield in_jurisdiction(policy.jurisdictions, facts.jurisdiction)
    yield _of_sensitivity(rule.sensitivities, facts.sensitivity)
    yield _of_strength(rule.strength_at_most, finding)
    yield _of_national_security(policy, facts)
    if rule.high_impact:
        yield _of_high_impact(facts.system.high_impact)


def _of_national_security(policy: Policy, facts: Facts) -> Held:
    """Return whether the policy speaks of such systems. Whoever names it as an obligation has answered the question."""
    wanted = policy.national_security
    said = facts.national_security
    if wanted is None or (said is Answer.UNKNOWN and policy.id in facts.obligations):
        return Held(Answer.YES)
    scope = "only of" if wanted else "of all but"
    if said is Answer.UNKNOWN:
        question = "whether these are some is not said: set national_security under [organisation]"
        return Held(Answer.UNKNOWN, f"the policy speaks {scope} national security systems; {question}")
    if (said is Answer.YES) == wanted:
        return Held(Answer.YES)
    return Held(Answer.NO, f"the policy speaks {scope} national security systems")


def _of_high_impact(said: Answer) -> Held:
    reason = "the rule speaks of high-value assets and systems of high impact"
    if said is Answer.UNKNOWN:
        return Held(said, f"{reason}; whether this is one is not said: set high_impact on the system")
    return Held(said, "" if said is Answer.YES else f"{reason}; this is none")


def in_jurisdiction(named: tuple[str, ...], where: str) -> Held:
    """Return whether a policy for `named` holds `where` a system stands; nothing named means everywhere."""
    if not named or where in named or ("EU" in named and where in EU_MEMBERS):
        return Held(Answer.YES)
    if where == "EU" and EU_MEMBERS.intersection(named):
        return Held(Answer.UNKNOWN, f"the rule holds in {joined(named)}; the region says only EU")
    return Held(Answer.NO, f"the rule holds in {joined(named)}; the system stands in {where}")


def _of_sensitivity(named: tuple[Sensitivity, ...], carried: Sensitivity | None) -> Held:
    if not named or carried in named:
        return Held(Answer.YES)
    words = joined([s.value for s in named])
    if carried is None:
        return Held(Answer.UNKNOWN, f"the rule speaks of {words} data; no data class is declared for this system")
    return Held(Answer.NO, f"the rule speaks of {words} data; this system carries {carried.value} data")


def _of_strength(at_most: int | None, finding: Finding) -> Held:
    """Return whether a classical algorithm of at most this strength is in use, or still accepted beside a safe one.

    Safe findings that accept nothing classical are in scope as well: they meet the rule.
    """
    mixed = finding.verdict is Verdict.QUANTUM_SAFE and finding.classical_still_accepted is Answer.YES
    if at_most is None or not (mixed or finding.verdict is Verdict.QUANTUM_VULNERABLE):
        return Held(Answer.YES)
    classical = [a for a in map(classify, finding.algorithms) if a.verdict is Verdict.QUANTUM_VULNERABLE]
    strengths = [classical_strength(algorithm) for algorithm in classical]
    if any(strength is not None and strength <= at_most for strength in strengths):
        return Held(Answer.YES)
    if not strengths or None in strengths:
        return Held(Answer.UNKNOWN, f"the rule speaks of at most {at_most} bits of strength; the key size was not seen")
    return Held(Answer.NO, f"the rule speaks of at most {at_most} bits of strength; what is used is stronger")
