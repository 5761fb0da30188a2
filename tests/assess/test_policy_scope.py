"""Whom a rule speaks of, how old its reading may be, and what it asks beyond a safe algorithm."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.assess.policy import Facts, facts_of, judge
from keystrand.assess.words import deadline_text
from keystrand.edge.catalogue import policies, positions, shipped_policies
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate, System
from keystrand.model.observation import Strength
from keystrand.model.policy import (
    DatePrecision,
    Dispute,
    Effect,
    Force,
    Policy,
    Prohibition,
    Rule,
    Source,
    Status,
    Technique,
    Verification,
)
from keystrand.model.stages import Finding, PolicyState
from keystrand.model.units import Answer

KEX = Function.KEY_ESTABLISHMENT
DAY = date(2026, 11, 24)
RULE = Rule(id="r", functions=(KEX,), effect=Effect.DISALLOW, deadline=date(2026, 1, 1), text="", clause="1")
POLICY = Policy(
    id="p", name="P", status=Status.FINAL, force=Force.LAW, jurisdictions=(), addressees="all", rules=(RULE,),
    source=Source(
        title="t", publisher="p", clause="1", published=date(2025, 1, 1), as_of=date(2026, 1, 1),
        verification=Verification.PRIMARY,
    ),
)  # fmt: skip
VULNERABLE = Finding(
    id="web/key-establishment", system="web", function=KEX, verdict=Verdict.QUANTUM_VULNERABLE,
    strength=Strength.NEGOTIATED, algorithms=("X25519",), assets=(), classical_still_accepted=Answer.YES, policies=(),
    reason="X25519 negotiated",
)  # fmt: skip


def _safe(*algorithms: str) -> Finding:
    return replace(
        VULNERABLE, verdict=Verdict.QUANTUM_SAFE, algorithms=algorithms, classical_still_accepted=Answer.NO
    )  # fmt: skip


@pytest.fixture(scope="session")
def facts(estate_of: Callable[..., Estate], system_of: Callable[..., System]) -> Callable[..., Facts]:
    """Return a maker of facts of one system under the policy `p`, on a day."""

    def make(as_of: date = DAY, national: Answer = Answer.UNKNOWN, *, bound: bool = True, **changes: Any) -> Facts:
        system = system_of(**changes)
        estate = estate_of(system, obligations=("p",) if bound else ())
        organisation = replace(estate.organisation, national_security=national)
        return facts_of(replace(estate, organisation=organisation), system, as_of)

    return make


def _state(rule: Rule, finding: Finding, facts: Facts, **policy: Any) -> PolicyState:
    found = judge((replace(POLICY, rules=(rule,), **policy),), finding, facts)
    return found[0].state if found else PolicyState.NOT_APPLICABLE


@given(days=st.integers(-300, 300))
def test_an_old_reading_gives_a_notice_at_most(facts: Callable[..., Facts], days: int) -> None:
    """On its last day a reading still counts; from the next on nobody is in violation, and the reason says why."""
    expires = DAY + timedelta(days=days)
    source = replace(POLICY.source, expires=expires)
    (found,) = judge((replace(POLICY, source=source),), VULNERABLE, facts())
    assert found.state is (PolicyState.VIOLATION if days >= 0 else PolicyState.NOTICE)
    assert ("our reading of it is old" in found.reason) is (days < 0)


@pytest.mark.parametrize("resolved", [True, False])
def test_an_open_dispute_of_the_policy_or_the_rule_gives_a_notice(facts: Callable[..., Facts], resolved: bool) -> None:  # noqa: FBT001 - the case itself
    """One that is settled changes nothing."""
    dispute = Dispute(source="a list", says="it is 2040.", resolved=resolved, note="read again")
    expected = PolicyState.VIOLATION if resolved else PolicyState.NOTICE
    assert _state(RULE, VULNERABLE, facts(), disputes=(dispute,)) is expected
    assert _state(replace(RULE, disputes=(dispute,)), VULNERABLE, facts()) is expected


@pytest.mark.parametrize(
    ("status", "words"),
    [(Status.DRAFT, "is a draft"), (Status.SUPERSEDED, "superseded by q"), (Status.UNCONFIRMED, "no such text")],
)
def test_what_is_not_final_gives_a_notice_that_says_why(
    facts: Callable[..., Facts], status: Status, words: str
) -> None:
    """A draft, an overtaken text, a text that was not found."""
    (found,) = judge((replace(POLICY, status=status, superseded_by="q"),), VULNERABLE, facts())
    assert found.state is PolicyState.NOTICE
    assert words in found.reason


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Answer.YES, PolicyState.VIOLATION),
        (Answer.NO, PolicyState.NOT_APPLICABLE),
        (Answer.UNKNOWN, PolicyState.UNDETERMINED),
    ],
)
def test_high_impact_is_asked_and_never_guessed(facts: Callable[..., Facts], said: Answer, state: PolicyState) -> None:
    """Where nobody said so the rule is undetermined, however sensitive the data, and says what to set."""
    rule = replace(RULE, high_impact=True)
    assert _state(rule, VULNERABLE, facts(high_impact=said)) is state
    (found,) = judge((replace(POLICY, rules=(rule,)),), VULNERABLE, facts())
    assert "set high_impact on the system" in found.reason


@pytest.mark.parametrize(
    ("speaks_of", "said", "bound", "state"),
    [
        (True, Answer.YES, True, PolicyState.VIOLATION),
        (True, Answer.NO, True, PolicyState.NOT_APPLICABLE),
        (True, Answer.UNKNOWN, True, PolicyState.VIOLATION),
        (True, Answer.UNKNOWN, False, PolicyState.UNDETERMINED),
        (False, Answer.YES, True, PolicyState.NOT_APPLICABLE),
        (False, Answer.NO, True, PolicyState.VIOLATION),
        (False, Answer.UNKNOWN, False, PolicyState.UNDETERMINED),
        (None, Answer.UNKNOWN, True, PolicyState.VIOLATION),
    ],
)
def test_national_security_systems_have_rules_of_their_own(
    facts: Callable[..., Facts], speaks_of: bool | None, said: Answer, bound: bool, state: PolicyState  # noqa: FBT001 - the case itself
) -> None:  # fmt: skip
    """Whoever names the policy has answered; where nobody did, it stays open."""
    assert _state(RULE, VULNERABLE, facts(national=said, bound=bound), national_security=speaks_of) is state


@pytest.mark.parametrize(
    ("algorithms", "state"),
    [(("X25519MLKEM768",), PolicyState.MET), (("ML-KEM-1024",), PolicyState.DUE),
     (("X25519MLKEM768", "ML-KEM-1024"), PolicyState.DUE)],
)  # fmt: skip
def test_a_combination_with_a_classical_algorithm_is_told_from_one_that_stands_alone(
    facts: Callable[..., Facts], algorithms: tuple[str, ...], state: PolicyState
) -> None:
    """What some authorities ask for; a post-quantum algorithm alone is no violation either: nothing is vulnerable."""
    rule = replace(RULE, hybrid=True, effect=Effect.REQUIRE)
    assert _state(rule, _safe(*algorithms), facts()) is state


def test_a_rule_on_what_is_new_accuses_nobody_of_what_is_old(facts: Callable[..., Facts]) -> None:
    """When the system was acquired is not known here: the owner is asked."""
    rule = replace(RULE, new_only=True, effect=Effect.REQUIRE)
    assert _state(rule, VULNERABLE, facts()) is PolicyState.UNDETERMINED
    assert _state(replace(rule, deadline=date(2027, 1, 1)), VULNERABLE, facts()) is PolicyState.DUE


@pytest.mark.parametrize(
    ("day", "precision", "words"),
    [
        (date(2030, 12, 31), DatePrecision.DAY, "31 December 2030"),
        (date(2026, 4, 30), DatePrecision.MONTH, "the end of April 2026"),
        (date(2035, 12, 31), DatePrecision.YEAR, "the end of 2035"),
    ],
)
def test_no_date_is_more_exact_than_its_source(day: date, precision: DatePrecision, words: str) -> None:
    """A year stays a year."""
    assert deadline_text(day, precision) == words


@given(st.dates(max_value=date(9999, 12, 30)))
def test_the_last_day_of_a_period_is_the_last(day: date) -> None:
    """A year's last day is 31 December; a month's is followed by a first; any day ends itself."""
    assert DatePrecision.YEAR.ends(day) is ((day.month, day.day) == (12, 31))
    assert DatePrecision.MONTH.ends(day) is ((day + timedelta(days=1)).day == 1)
    assert DatePrecision.DAY.ends(day)


def test_a_deadline_that_is_not_the_last_day_of_its_year_is_refused() -> None:
    """It would be a date that the source does not give."""
    with pytest.raises(ValueError, match="last day of the year"):
        replace(RULE, deadline=date(2030, 6, 30), precision=DatePrecision.YEAR)


def test_a_prohibition_has_a_first_or_a_last_day() -> None:
    """Quantum key distribution is barred since the memorandum; pre-shared keys may be used until the end of 2030."""
    dow = next(p for p in positions() if p.id == "us-dow-cio")
    qkd, psk = dow.prohibition(Technique.QKD), dow.prohibition(Technique.PSK)
    assert qkd
    assert psk
    assert [qkd.holds(date(2025, 11, d)) for d in (17, 18)] == [False, True]
    assert [psk.holds(day) for day in (date(2030, 12, 31), date(2031, 1, 1))] == [False, True]
    assert next(p for p in positions() if p.id == "sg-mas").prohibition(Technique.QKD) is None
    for day in (None, DAY):
        with pytest.raises(ValueError, match="a prohibition has"):
            Prohibition(of=Technique.QKD, since=day, until=day)


def test_a_prohibition_that_was_not_checked_is_a_question() -> None:
    """Certain where the source was read and the reading is good; else unknown, and never a no."""
    dow = next(p for p in positions() if p.id == "us-dow-cio")
    assert dow.forbids(Technique.QKD, DAY) is Answer.YES
    assert dow.forbids(Technique.PSK, DAY) is Answer.NO
    assert dow.forbids(Technique.PSK, date(2031, 1, 1)) is Answer.UNKNOWN  # the reading is old by then
    hearsay = replace(dow, source=replace(dow.source, verification=Verification.ONE_PAGE))
    assert hearsay.forbids(Technique.QKD, DAY) is Answer.UNKNOWN
    dispute = Dispute(source="a list", says="it was withdrawn", resolved=False)
    assert replace(dow, disputes=(dispute,)).forbids(Technique.QKD, DAY) is Answer.UNKNOWN


def test_every_shipped_reading_ends_and_no_link_of_texts_is_loose() -> None:
    """Each record of the catalogue has to be read again some day; successors are records."""
    assert all(source.expires for source in (*(p.source for p in policies()), *(p.source for p in positions())))
    named = {n for p in policies() for n in (*p.supersedes, *([p.superseded_by] if p.superseded_by else []))}
    assert named <= shipped_policies().keys()


def test_what_the_issue_names_is_in_the_catalogue() -> None:
    """The instruments and the positions that a plan of a bank, a hospital or an agency meets."""
    assert {"nist-ir-8547", "nist-sp-800-131a-r2", "nist-sp-800-131a-r3", "cnsa-2.0", "us-omb-m-23-02",
            "us-omb-m-26-15", "us-eo-14412", "uk-ncsc-timelines", "eu-roadmap", "bsi-tr-02102-1",
            "fr-anssi-certification", "au-asd-ism", "pci-dss-4.0.1", "eu-dora-rts-2024-1774", "eu-nis2",
            "ca-itsm-40-001", "g7-ceg-2026", "us-dow-pqc-strategy", "jp-nco-2025", "kr-master-plan",
            "in-dst-task-force", "nz-nzism"} <= shipped_policies().keys()  # fmt: skip
    assert {"us-nsa", "us-dow-cio", "uk-ncsc", "uk-dsit", "eu-joint-agencies", "eu-18-states", "eu-euroqci", "sg-mas",
            "cn-network", "jp-programme", "kr-programme", "in-nqm"} <= {p.id for p in positions()}  # fmt: skip
    assert len(next(p for p in positions() if p.id == "us-nsa").limitations) == 5
