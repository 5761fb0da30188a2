"""Rules against findings: what makes a violation, and everything that must not."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.assess.policy import Facts, facts_of, judge
from keystrand.assess.strength import classical_strength
from keystrand.edge.catalogue import policies
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.estate import Estate, Owner, Owners, Place, Sensitivity, System
from keystrand.model.observation import Strength
from keystrand.model.policy import Effect, Force, Policy, Rule, Source, Status, Verification
from keystrand.model.stages import Finding, PolicyFinding, PolicyState
from keystrand.model.units import Answer

KEX, SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
RULE = Rule(id="r", functions=(KEX,), effect=Effect.DISALLOW, deadline=date(2026, 1, 1), text="", clause="1")
SOURCE = Source(
    title="t", publisher="p", clause="1", published=date(2025, 1, 1), as_of=date(2026, 1, 1),
    verification=Verification.PRIMARY,
)  # fmt: skip
POLICY = Policy(
    id="p", name="P", status=Status.FINAL, force=Force.LAW, jurisdictions=(), addressees="all", source=SOURCE,
    rules=(RULE,),
)  # fmt: skip
FINDING = Finding(
    id="web/key-establishment", system="web", function=KEX, verdict=Verdict.QUANTUM_VULNERABLE,
    strength=Strength.NEGOTIATED, algorithms=("X25519",), assets=(), classical_still_accepted=Answer.YES, policies=(),
    reason="X25519 negotiated",
)  # fmt: skip
SAFE = replace(
    FINDING, verdict=Verdict.QUANTUM_SAFE, algorithms=("X25519MLKEM768",), classical_still_accepted=Answer.NO
)
UNKNOWN = replace(FINDING, verdict=Verdict.UNKNOWN, algorithms=(), classical_still_accepted=Answer.UNKNOWN)


@pytest.fixture(scope="session")
def facts(estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date) -> Callable[..., Facts]:
    """Return a maker of facts: a system under the policy `p`, unless said otherwise."""

    def make(obligations: tuple[str, ...] = ("p",), jurisdiction: str = "DE", **changes: Any) -> Facts:
        system = system_of(**changes)
        estate = estate_of(system, jurisdiction=jurisdiction, obligations=obligations)
        named = (Owner(id="risk", name="Risk office"), Owner(id="crypto", name="Cryptography"))
        return facts_of(replace(estate, owner=named), system, as_of)

    return make


def _one(rule: Rule, finding: Finding, facts: Facts, **policy: Any) -> PolicyFinding:
    (found,) = judge((replace(POLICY, rules=(rule,), **policy),), finding, facts)
    return found


@given(
    status=st.sampled_from(Status), verification=st.sampled_from(Verification),
    of_rule=st.sampled_from([None, *Verification]), effect=st.sampled_from(Effect), days=st.integers(-400, 400),
    binding=st.booleans(), finding=st.sampled_from([FINDING, SAFE, UNKNOWN]),
)  # fmt: skip
def test_a_violation_needs_every_condition(
    facts: Callable[..., Facts], as_of: date, *, status: Status, verification: Verification,
    of_rule: Verification | None, effect: Effect, days: int, binding: bool, finding: Finding,
) -> None:  # fmt: skip
    """Final, checked, binding, past its date and vulnerable: all of them or no violation. Drafts and hearsay never."""
    rule = replace(RULE, effect=effect, deadline=as_of + timedelta(days=days), verification=of_rule)
    source = replace(SOURCE, verification=verification)
    found = _one(rule, finding, facts(("p",) if binding else ()), status=status, source=source)
    expected = (
        status is Status.FINAL
        and not {Verification.MEMORY, Verification.ONE_PAGE} & {verification, of_rule}
        and binding
        and days < 0
        and finding.verdict is Verdict.QUANTUM_VULNERABLE
        and effect in (Effect.DISALLOW, Effect.REQUIRE)
    )
    assert (found.state is PolicyState.VIOLATION) == expected
    assert found.reason


@given(effect=st.sampled_from(Effect), days=st.integers(-400, 400), binding=st.booleans())
def test_unknown_is_never_met_and_never_a_violation(
    facts: Callable[..., Facts], as_of: date, *, effect: Effect, days: int, binding: bool
) -> None:
    """Nobody knows what the system uses: undetermined, whatever the rule."""
    rule = replace(RULE, effect=effect, deadline=as_of + timedelta(days=days))
    assert _one(rule, UNKNOWN, facts(("p",) if binding else ())).state is PolicyState.UNDETERMINED


def test_the_day_of_the_deadline_is_still_in_time(facts: Callable[..., Facts], as_of: date) -> None:
    """Due on the day itself, violated on the next."""
    on_the_day = replace(RULE, deadline=as_of)
    assert _one(on_the_day, FINDING, facts()).state is PolicyState.DUE
    assert _one(replace(RULE, deadline=as_of - timedelta(days=1)), FINDING, facts()).state is PolicyState.VIOLATION


@pytest.mark.parametrize(
    ("effect", "classical", "state"),
    [
        (Effect.DISALLOW, Answer.NO, PolicyState.MET),
        (Effect.DISALLOW, Answer.YES, PolicyState.DUE),
        (Effect.DISALLOW, Answer.UNKNOWN, PolicyState.UNDETERMINED),
        (Effect.REQUIRE, Answer.YES, PolicyState.MET),
        (Effect.REQUIRE, Answer.UNKNOWN, PolicyState.MET),
        (Effect.PLAN, Answer.NO, PolicyState.MET),
        (Effect.PLAN, Answer.YES, PolicyState.UNDETERMINED),
        (Effect.PLAN, Answer.UNKNOWN, PolicyState.UNDETERMINED),
    ],
)
def test_offering_a_safe_exchange_is_not_having_migrated(
    facts: Callable[..., Facts], effect: Effect, classical: Answer, state: PolicyState
) -> None:
    """A rule that ends classical use, or asks for a plan, is met only where no peer gets it; one on support is met."""
    finding = replace(SAFE, classical_still_accepted=classical)
    found = _one(replace(RULE, effect=effect), finding, facts())
    assert found.state is state
    assert ("nothing here is left to plan" in found.reason) is (effect is Effect.PLAN and state is PolicyState.MET)


@pytest.mark.parametrize(
    ("algorithm", "state"),
    [("ML-KEM-1024", PolicyState.MET), ("X25519MLKEM768", PolicyState.DUE), ("XMSS", PolicyState.UNDETERMINED)],
)  # fmt: skip
def test_a_level_is_reached_missed_or_not_known(
    facts: Callable[..., Facts], algorithm: str, state: PolicyState
) -> None:
    """Level 5 asks for ML-KEM-1024; ML-KEM-768 is below, and an algorithm without a level is undetermined."""
    assert _one(replace(RULE, minimum_level=5), replace(SAFE, algorithms=(algorithm,)), facts()).state is state


@pytest.mark.parametrize(
    ("algorithm", "state"),
    [("RSA-KEX-2048", PolicyState.VIOLATION), ("RSA-KEX-3072", PolicyState.NOT_APPLICABLE),
     ("X25519", PolicyState.NOT_APPLICABLE), ("RSA-KEX", PolicyState.UNDETERMINED)],
)  # fmt: skip
def test_a_rule_on_weak_keys_looks_at_the_key_size(
    facts: Callable[..., Facts], algorithm: str, state: PolicyState
) -> None:
    """112 bits is RSA-2048, not RSA-3072 nor X25519; without a size nobody can tell."""
    found = _one(replace(RULE, strength_at_most=112), replace(FINDING, algorithms=(algorithm,)), facts())
    assert found.state is state


@pytest.mark.parametrize(
    ("named", "where", "state"),
    [
        ((), "SG", PolicyState.VIOLATION),
        (("DE",), "DE", PolicyState.VIOLATION),
        (("EU",), "DE", PolicyState.VIOLATION),
        (("EU",), "EU", PolicyState.VIOLATION),
        (("EU",), "GB", PolicyState.NOT_APPLICABLE),
        (("DE",), "FR", PolicyState.NOT_APPLICABLE),
        (("DE",), "EU", PolicyState.UNDETERMINED),
    ],
)
def test_jurisdiction_is_that_of_the_site(
    facts: Callable[..., Facts], named: tuple[str, ...], where: str, state: PolicyState
) -> None:
    """EU rules reach every Member State; a national rule is undetermined where the region says only EU."""
    assert _one(RULE, FINDING, facts(jurisdiction=where), jurisdictions=named).state is state


def test_sensitivity_that_nobody_declared_is_undetermined(facts: Callable[..., Facts]) -> None:
    """A rule on critical data passes over high data, and cannot judge a system without a data class."""
    rule = replace(RULE, sensitivities=(Sensitivity.CRITICAL,))
    assert _one(rule, FINDING, facts()).state is PolicyState.NOT_APPLICABLE
    assert _one(rule, FINDING, facts(data_classes=())).state is PolicyState.UNDETERMINED
    assert _one(replace(rule, sensitivities=(Sensitivity.HIGH,)), FINDING, facts()).state is PolicyState.VIOLATION


def test_rules_that_say_nothing_of_the_finding_are_left_out(facts: Callable[..., Facts]) -> None:
    """Another function, another place, or another country without an obligation: no line in the document."""
    assert judge((replace(POLICY, rules=(replace(RULE, functions=(SIG,)),)),), FINDING, facts()) == ()
    assert judge((replace(POLICY, rules=(replace(RULE, places=(Place.MAIL,)),)),), FINDING, facts()) == ()
    assert judge((replace(POLICY, jurisdictions=("US",)),), FINDING, facts(obligations=())) == ()


def test_discouraged_use_is_a_notice_and_a_plan_cannot_be_seen(facts: Callable[..., Facts]) -> None:
    """After its date a deprecation accepts a risk, and whether a plan stands is nothing a scan can tell."""
    assert _one(replace(RULE, effect=Effect.DEPRECATE), FINDING, facts()).state is PolicyState.NOTICE
    assert _one(replace(RULE, effect=Effect.PLAN), FINDING, facts()).state is PolicyState.UNDETERMINED


@pytest.mark.parametrize(
    ("owners", "asked"),
    [
        (Owners(governance="risk", algorithms="crypto"), "ask Risk office whether"),
        (Owners(algorithms="crypto"), "ask Cryptography whether"),
        (Owners(keys="crypto"), "ask whoever is to own this system whether"),
    ],
)
@pytest.mark.parametrize("finding", [FINDING, UNKNOWN, replace(SAFE, classical_still_accepted=Answer.YES)])
def test_a_duty_to_plan_that_no_scan_can_judge_becomes_a_question_to_the_owner(
    facts: Callable[..., Facts], owners: Owners, asked: str, finding: Finding
) -> None:
    """The reason names who can answer, what to ask, and since when; whatever the verdict, nothing is made up."""
    found = _one(replace(RULE, effect=Effect.PLAN), finding, facts(owners=owners))
    assert found.state is PolicyState.UNDETERMINED
    assert f"{asked} a documented plan stands (due since 1 January 2026)" in found.reason


def test_nobody_is_asked_for_a_plan_that_no_obligation_demands(facts: Callable[..., Facts], as_of: date) -> None:
    """A text the organisation does not name gives no question, and a date to come is named as that of the plan."""
    rule = replace(RULE, effect=Effect.PLAN)
    assert "ask " not in _one(rule, UNKNOWN, facts(())).reason
    mixed = replace(SAFE, classical_still_accepted=Answer.YES)
    for finding, what in ((FINDING, "X25519 negotiated"), (mixed, "a classical exchange is still accepted")):
        ahead = _one(replace(rule, deadline=as_of + timedelta(days=7)), finding, facts())
        assert ahead.state is PolicyState.DUE
        assert ahead.reason.startswith(what)
        assert ahead.reason.endswith("; a plan for it is due by 1 December 2026")


def test_support_that_is_not_preferred_is_no_proven_violation(facts: Callable[..., Facts]) -> None:
    """A server that has a safe exchange and does not prefer it may meet a rule that asks for support: undetermined."""
    both = replace(FINDING, algorithms=("X25519", "X25519MLKEM768"))
    assert _one(replace(RULE, effect=Effect.REQUIRE), both, facts()).state is PolicyState.UNDETERMINED
    assert _one(RULE, both, facts()).state is PolicyState.VIOLATION


@pytest.mark.parametrize(
    ("beside", "state"),
    [
        (("X25519", "ECDH-P-256"), PolicyState.NOT_APPLICABLE),
        (("FFDH-1024",), PolicyState.DUE),
        (("RSA-KEX",), PolicyState.UNDETERMINED),
        ((), PolicyState.UNDETERMINED),
    ],
)
def test_what_is_accepted_beside_a_safe_exchange_counts_by_its_strength(
    facts: Callable[..., Facts], beside: tuple[str, ...], state: PolicyState
) -> None:
    """A rule about keys below 112 bits says nothing of a peer that gets X25519 at worst."""
    mixed = replace(SAFE, algorithms=("X25519MLKEM768", *beside), classical_still_accepted=Answer.YES)
    assert _one(replace(RULE, strength_at_most=111), mixed, facts()).state is state


def test_a_german_bank_today_violates_nothing_and_owes_2030(facts: Callable[..., Facts]) -> None:
    """The shipped catalogue on a vulnerable system with high data in Germany, bound by the EU roadmap."""
    found = {(f.policy, f.rule): f.state for f in judge(policies(), FINDING, facts(("eu-roadmap",)))}
    assert found[("eu-roadmap", "high-risk")] is PolicyState.DUE
    assert found[("eu-roadmap", "medium-risk")] is PolicyState.NOT_APPLICABLE
    assert found[("nist-ir-8547", "key-establishment")] is PolicyState.NOTICE
    assert ("nist-ir-8547", "key-establishment-112-bit") not in found
    assert not [key for key in found if key[0] in ("cnsa-2.0", "uk-ncsc-timelines", "us-eo-14412")]
    assert PolicyState.VIOLATION not in found.values()


def test_strengths_follow_sp_800_57() -> None:
    """NIST SP 800-57 part 1 rev. 5, Table 2; between two steps the lower one counts."""
    strengths = {"RSA-1024": 80, "RSA-2048": 112, "RSA-3071": 112, "RSA-3072": 128, "FFDH-4096": 128, "RSA-512": 0,
                 "ECDSA-P-256": 128, "ECDH-P-384": 192, "X25519": 128, "RSA": None, "ML-KEM-768": None}  # fmt: skip
    assert {name: classical_strength(classify(name)) for name in strengths} == strengths
