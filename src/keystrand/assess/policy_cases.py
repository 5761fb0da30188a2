"""A policy's own tests: of such a system, on such a day, this rule says that. Judged by what judges an estate."""

from typing import NamedTuple

from msgspec.structs import replace

from keystrand.assess.policy import Facts, judge
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.estate import Exposure, Place, System
from keystrand.model.policy import Policy, PolicyCase, PolicyState, Rule
from keystrand.model.stages import Finding
from keystrand.model.units import Answer


class Outcome(NamedTuple):
    """What came of a case: the state that the rule gives, and why."""

    case: PolicyCase
    state: PolicyState
    reason: str

    @property
    def passed(self) -> bool:
        """Return whether it is what the case expects."""
        return self.state is self.case.expect


def run_policy_cases(policy: Policy) -> tuple[Outcome, ...]:
    """Return what comes of each test of `policy`, in their order."""
    return tuple(_run(policy, case) for case in policy.test)


def _run(policy: Policy, case: PolicyCase) -> Outcome:
    rule = next(rule for rule in policy.rules if rule.id == case.rule)
    finding = _finding(case)
    said = judge((replace(policy, rules=(rule,)),), finding, _facts(policy, rule, case))
    if not said:
        return Outcome(case, PolicyState.NOT_APPLICABLE, "the rule says nothing of such a system")
    return Outcome(case, said[0].state, said[0].reason)


def _finding(case: PolicyCase) -> Finding:
    verdicts = {classify(name, case.function).verdict for name in case.algorithms}
    mixed = verdicts == {Verdict.QUANTUM_SAFE, Verdict.QUANTUM_VULNERABLE}
    verdict = _verdict(verdicts, case.function)
    return Finding(
        id=f"case/{case.function.value}",
        system="case",
        function=case.function,
        verdict=verdict,
        strength=None,
        algorithms=case.algorithms,
        assets=(),
        classical_still_accepted=Answer.YES if mixed and case.classical is Answer.UNKNOWN else case.classical,
        policies=(),
        reason=f"{' and '.join(case.algorithms) or 'nothing seen'}: {verdict.value}",
    )


def _verdict(verdicts: set[Verdict], function: Function) -> Verdict:
    """Return the verdict on all of them: beside a classical one, a safe key exchange is safe and a signature is not."""
    if not verdicts or Verdict.UNKNOWN in verdicts:
        return Verdict.UNKNOWN
    if len(verdicts) == 1:
        return next(iter(verdicts))
    return Verdict.QUANTUM_SAFE if function is Function.KEY_ESTABLISHMENT else Verdict.QUANTUM_VULNERABLE


def _facts(policy: Policy, rule: Rule, case: PolicyCase) -> Facts:
    """Return the facts of a system that the rule speaks of, but for what the case says of it."""
    system = System(
        id="case",
        name=case.name,
        place=case.place or next(iter(rule.places), Place.APPLICATION),
        site="case",
        functions=(case.function,),
        exposure=Exposure.INTERNAL,
        high_impact=case.high_impact,
    )
    return Facts(
        system=system,
        jurisdiction=case.jurisdiction or next(iter(policy.jurisdictions), "EU"),
        sensitivity=case.sensitivity,
        obligations=frozenset({policy.id} if case.bound else ()),
        as_of=case.on,
        asked="its owner",
        national_security=case.national_security,
    )
