"""A policy's own tests, and what changed between two records of it."""

from collections.abc import Callable
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.assess.findings import findings
from keystrand.assess.policy import facts_of, judge
from keystrand.assess.policy_cases import run_policy_cases
from keystrand.assess.policy_changes import moved, policy_changes
from keystrand.edge.catalogue import shipped_policies
from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate, Place
from keystrand.model.policy import PolicyCase, PolicyState
from keystrand.model.units import Answer

CNSA = shipped_policies()["cnsa-2.0"]
ROADMAP = shipped_policies()["eu-roadmap"]
CASE = PolicyCase(
    name="a web server in 2036", rule="all-systems", function=Function.KEY_ESTABLISHMENT, algorithms=("X25519",),
    on=date(2027, 6, 30), expect=PolicyState.DUE,
)  # fmt: skip


def _came(**changes: Any) -> PolicyState:
    (outcome,) = run_policy_cases(replace(CNSA, test=(replace(CASE, **changes),)))
    return outcome.state


def test_a_case_is_judged_as_an_estate_is() -> None:
    """Due before the date, met by a safe algorithm of the level, below it due, another country not spoken of."""
    assert _came() is PolicyState.DUE
    assert _came(bound=False, national_security=Answer.YES) is PolicyState.NOTICE
    assert _came(algorithms=("ML-KEM-1024",), classical=Answer.NO) is PolicyState.MET
    assert _came(algorithms=("X25519", "ML-KEM-1024")) is PolicyState.DUE
    assert _came(algorithms=("X25519MLKEM768",)) is PolicyState.DUE
    assert _came(algorithms=()) is PolicyState.UNDETERMINED
    assert _came(jurisdiction="DE") is PolicyState.NOT_APPLICABLE
    assert _came(national_security=Answer.NO) is PolicyState.NOT_APPLICABLE
    assert _came(on=date(2040, 1, 1)) is PolicyState.NOTICE  # the reading is old by then
    assert _came(rule="web-and-cloud", place=Place.MAIL) is PolicyState.NOT_APPLICABLE


def test_a_case_says_whether_it_came_out_as_expected() -> None:
    """Two expectations of one thing: one passes, one fails, with the reason."""
    policy = replace(CNSA, test=(CASE, replace(CASE, expect=PolicyState.MET)))
    assert [one.passed for one in run_policy_cases(policy)] == [True, False]
    assert "by the end of 2035" in run_policy_cases(policy)[0].reason


def test_a_record_does_not_differ_from_itself() -> None:
    """Of every shipped policy."""
    assert all(policy_changes(policy, policy) == () for policy in shipped_policies().values())


def test_what_changed_is_told_field_by_field() -> None:
    """A moved date, a rule that went, one that came, a status."""
    first, *others = ROADMAP.rules
    new = replace(
        ROADMAP, note="", rules=(replace(first, deadline=date(2027, 12, 31)), *others[1:], replace(first, id="added"))
    )
    changes = {(c.where, c.field): (c.old, c.new) for c in policy_changes(ROADMAP, new)}
    assert changes["rule first-steps", "deadline"] == ("31 December 2026", "31 December 2027")
    assert changes["rule high-risk", ""] == ("is there", "")
    assert changes["rule added", ""] == ("", "is there")
    assert changes["policy", "note"] == (ROADMAP.note, "")
    assert len(changes) == 4


@given(st.dates(date(2020, 1, 1), date(2026, 12, 30)))
def test_the_systems_that_change_state_are_those_whose_verdict_differs(
    estate_of: Callable[..., Estate], system_of: Any, inventory_of: Any, kex: Any, day: date
) -> None:
    """A date brought forward moves the vulnerable system from due to violated, and not the safe one."""
    systems = (system_of("old"), system_of("safe"))
    estate = estate_of(*systems, obligations=("eu-roadmap",))
    found = findings(estate, inventory_of({"old": [kex("X25519")], "safe": []}))
    facts = {system.id: facts_of(estate, system, date(2026, 12, 31)) for system in systems}
    rules = tuple(replace(r, deadline=day) if r.id == "high-risk" else r for r in ROADMAP.rules)
    new = replace(ROADMAP, id="roadmap-2", rules=rules)
    (change,) = moved(ROADMAP, new, found, facts)
    assert (change.system, change.rule) == ("old", "high-risk")
    assert (change.old, change.new) == (PolicyState.DUE, PolicyState.VIOLATION)
    bound = facts["old"]._replace(obligations=frozenset({"roadmap-2"}))
    assert PolicyState.VIOLATION in {p.state for p in judge((new,), found[0], bound)}
