"""A policy's own tests: what comes of each case, compared with what its author expects."""

from datetime import UTC, datetime, time

from msgspec import Struct
from msgspec.structs import replace

from keystrand.keys.policy import Ask, DemandUnmet, KeyPolicyDenied, Permit, at_least, decide
from keystrand.keys.rules import PolicyRules
from keystrand.model.key_policy import Case, Outcome


class CaseResult(Struct, frozen=True, kw_only=True):
    """What came of a case. `faults` says how it differs from what was expected; empty where it does not.

    `exception` is the region exception that the answer rests on: the case is denied once that has ended.
    """

    case: Case
    outcome: Outcome
    entry: str = ""
    profile: str = ""
    fallback: tuple[str, ...] = ()
    exception: str = ""
    why: str = ""
    faults: tuple[str, ...] = ()


def run_cases(rules: PolicyRules, now: float) -> tuple[CaseResult, ...]:
    """Return what comes of the policy's tests, in their order; those without a day are run at `now` (epoch s)."""
    return tuple(_compared(_run(rules, case, now)) for case in rules.policy.tests)


def failures(rules: PolicyRules, now: float) -> tuple[CaseResult, ...]:
    """Return the tests that do not come out as expected."""
    return tuple(result for result in run_cases(rules, now) if result.faults)


def ask_of(case: Case) -> Ask:
    """Return the request that a case describes."""
    return Ask(
        master_sae=case.master,
        slave_saes=(case.slave, *case.additional_slaves),
        link=case.link,
        regions=frozenset(case.regions),
        size=case.size,
        offered={strand.source: strand.strength for strand in case.offers},
        profile=case.wants,
        labels=None if case.min_strength is None else at_least(case.min_strength),
        route=case.route,
        max_age_s=case.max_age_s,
    )


def _run(rules: PolicyRules, case: Case, now: float) -> CaseResult:
    at = now if case.on is None else datetime.combine(case.on, time(), tzinfo=UTC).timestamp()
    try:
        permit = decide(rules, ask_of(case), at)
    except KeyPolicyDenied as error:
        return CaseResult(case=case, outcome=Outcome.DENY, entry=error.entry, why=error.message)
    except DemandUnmet as error:
        why = "; ".join(problem.message for problem in error.problems)
        return CaseResult(case=case, outcome=Outcome.UNMET, why=why)
    return _allowed(case, permit)


def _allowed(case: Case, permit: Permit) -> CaseResult:
    return CaseResult(
        case=case,
        outcome=Outcome.ALLOW,
        entry=permit.entry,
        profile=permit.profile.name,
        fallback=tuple(profile.name for profile in permit.fallback),
        exception=permit.exception,
    )


def _compared(result: CaseResult) -> CaseResult:
    case, faults = result.case, []
    if result.outcome is not case.expect:
        faults.append(f"expected {case.expect}, got {result.outcome}")
    else:
        for name in ("profile", "fallback", "exception", "entry"):
            expected, got = getattr(case, name), getattr(result, name)
            if expected is not None and expected != got:
                faults.append(f"expected {name} {_told(expected)}, got {_told(got)}")
    return replace(result, faults=tuple(faults))


def _told(value: str | tuple[str, ...]) -> str:
    text = value if isinstance(value, str) else ", ".join(value)
    return repr(text) if text else "none"
