"""Waivers: counted with and without; an ended one counts for nothing and is told."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.app.assess import gate_count, waived_count
from keystrand.assess.assets import Alike, Judge
from keystrand.assess.policy import facts_of
from keystrand.assess.run import assess
from keystrand.assess.waivers import covered, in_force
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate, Owner
from keystrand.model.planning import Waiver
from keystrand.model.policy import Effect, Force, Policy, Rule, Source, Status, Verification
from keystrand.model.stages import Assessment, PolicyState

DAY = date(2026, 11, 24)
POLICY = Policy(
    id="house", name="House", status=Status.FINAL, force=Force.GUIDANCE, jurisdictions=(), addressees="all",
    source=Source(
        title="t", publisher="p", clause="1", published=date(2025, 1, 1), as_of=DAY, verification=Verification.PRIMARY
    ),
    rules=tuple(
        Rule(id=name, functions=(Function.KEY_ESTABLISHMENT,), effect=Effect.DISALLOW, deadline=date(2026, 1, 1),
             text="Ends.", clause=name)
        for name in ("one", "two")
    ),
)  # fmt: skip
WAIVER = Waiver(
    id="w", policy="house", owner="risk", reason="supplier late", granted=date(2026, 1, 1), expires=date(2026, 12, 31)
)


@pytest.fixture(scope="session")
def judged(estate_of: Callable[..., Estate], system_of: Any, inventory_of: Any, kex: Any) -> Callable[..., Assessment]:
    """Return a maker of assessments of two vulnerable systems under the house policy, with waivers."""
    estate = replace(
        estate_of(system_of("a"), system_of("b"), obligations=("house",)), owner=(Owner(id="risk", name="Risk"),)
    )
    inventory = inventory_of({"a": [kex("X25519")], "b": [kex("X25519")]})

    def make(*waivers: Waiver, as_of: date = DAY) -> Assessment:
        return assess(
            replace(estate, waiver=waivers), inventory, (POLICY,), curves(), as_of=as_of, made_from=(),
            created_at=inventory.created_at, tool_version="0",
        )  # fmt: skip

    return make


def _states(assessment: Assessment) -> list[PolicyState]:
    return [said.state for finding in assessment.findings for said in finding.policies]


def test_a_waiver_changes_no_state_and_is_counted_beside_it(judged: Callable[..., Assessment]) -> None:
    """Four violations with it and without it; the gate sees none, and says how many findings it left out."""
    without, with_it = judged(), judged(WAIVER)
    assert _states(without) == _states(with_it) == [PolicyState.VIOLATION] * 4
    assert (gate_count(without, "violation"), waived_count(without)) == (2, 0)
    assert (gate_count(with_it, "violation"), waived_count(with_it)) == (0, 2)
    (use,) = with_it.waivers
    assert (use.in_force, use.violations, use.others, use.owner) == (True, 4, 0, "risk")


@pytest.mark.parametrize(
    ("changes", "tripped", "left_out"),
    [
        ({"systems": ("a",)}, 1, 1),
        ({"rules": ("one",)}, 2, 0),
        ({"regions": ("home",)}, 0, 2),
        ({"regions": ("elsewhere",)}, 2, 0),
        ({"policy": "another"}, 2, 0),
        ({"systems": ("a",), "regions": ("elsewhere",)}, 2, 0),
    ],
)
def test_a_waiver_covers_what_it_names(
    judged: Callable[..., Assessment], changes: dict[str, Any], tripped: int, left_out: int
) -> None:
    """A system, a rule, a region: a finding passes the gate only where every violated rule is covered."""
    assessment = judged(replace(WAIVER, **changes))
    assert (gate_count(assessment, "violation"), waived_count(assessment)) == (tripped, left_out)


def test_an_ended_waiver_counts_for_nothing_and_is_told(judged: Callable[..., Assessment]) -> None:
    """On the last day it still counts; on the next the reason says that it ended."""
    last = WAIVER.expires
    assert gate_count(judged(WAIVER, as_of=last), "violation") == 0
    after = judged(WAIVER, as_of=last + timedelta(days=1))
    assert (gate_count(after, "violation"), after.waivers[0].in_force, after.waivers[0].violations) == (2, False, 0)
    assert "waiver w ended on 31 December 2026 and counts for nothing" in after.findings[0].policies[0].reason
    before = judged(replace(WAIVER, granted=DAY + timedelta(days=1)))
    assert gate_count(before, "violation") == 2
    assert "waiver w counts from 25 November 2026 on" in before.findings[0].policies[0].reason


@given(st.integers(-500, 500), st.integers(0, 500), st.integers(-1000, 1000))
def test_a_waiver_holds_exactly_from_its_first_to_its_last_day(begin: int, length: int, offset: int) -> None:
    """Whatever the days: in force on each of them, and on no other."""
    granted = DAY + timedelta(days=begin)
    waiver = replace(WAIVER, granted=granted, expires=granted + timedelta(days=length))
    day = DAY + timedelta(days=offset)
    assert in_force(waiver, day) is (begin <= offset <= begin + length)
    assert bool(covered((waiver,), "house", "one", day).waiver) is in_force(waiver, day)


def test_assets_alike_are_told_apart_where_a_waiver_names_one_system(
    estate_of: Callable[..., Estate], system_of: Any
) -> None:
    """What is judged once for all assets that are alike does not carry the waiver of one system to another."""
    systems = (system_of("a"), system_of("b"))
    estate = replace(estate_of(*systems, obligations=("house",)), waiver=(replace(WAIVER, systems=("a",)),))
    judge = Judge((POLICY,), {system.id: facts_of(estate, system, DAY) for system in systems})
    alike = Alike("a", "X25519", None, "key-establishment", "quantum-vulnerable")
    assert {said.waiver for said in judge.of(alike)} == {"w"}
    assert {said.waiver for said in judge.of(alike._replace(system="b"))} == {""}


def test_where_two_overlap_the_one_in_force_counts() -> None:
    """An ended waiver does not hide its renewal."""
    ended = replace(WAIVER, id="old", expires=date(2026, 6, 30))
    found = covered((ended, WAIVER), "house", "one", DAY)
    assert (found.waiver, "ended" in found.remark) == ("w", False)
