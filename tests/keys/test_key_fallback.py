"""Exhaustion: fail, wait, degrade; the time-box, the way back, and that nobody can force either."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.keys.fallback import (
    SUPPLY,
    Change,
    Exhausted,
    Fallback,
    FallbackClosed,
    Fallbacks,
    Revised,
    Stock,
    Supply,
    SupplyEvent,
)
from keystrand.keys.machine import drawing
from keystrand.keys.policy import Ask, Permit, decide
from keystrand.keys.rules import PolicyRules
from keystrand.model.key import SourceKind, Strand, Strength
from keystrand.model.key_policy import FAIL, CryptoProfile, Effect, Entitlement, Exhaustion, ExhaustionMode, KeyPolicy

ENOUGH = 25_600
DEGRADE = Exhaustion(mode=ExhaustionMode.DEGRADE, degrade_to="hybrid", max_duration_s=100)
WAIT = Exhaustion(mode=ExhaustionMode.WAIT, wait_s=5)
QKD = Strand(source=SourceKind.QKD, strength=Strength.INFORMATION_THEORETIC)
PQC = Strand(source=SourceKind.PQC, strength=Strength.POST_QUANTUM)
POLICY = KeyPolicy(
    name="p",
    default=Effect.DENY,
    profiles=(
        CryptoProfile(name="qkd", strands=(QKD,), result=Strength.INFORMATION_THEORETIC, exhaustion=DEGRADE),
        CryptoProfile(
            name="hybrid", strands=(QKD, PQC), result=Strength.POST_QUANTUM,
            exhaustion=replace(DEGRADE, degrade_to="pqc", max_duration_s=50),
        ),
        CryptoProfile(name="pqc", strands=(PQC,), result=Strength.POST_QUANTUM, exhaustion=WAIT),
    ),
    allows=(
        Entitlement(id="any", master="any", slave="b", profiles=("qkd", "hybrid", "pqc")),
        Entitlement(id="only", master="only", slave="b", profiles=("qkd",)),
    ),
)  # fmt: skip
RULES = PolicyRules(POLICY, file="policy.toml")


def _permit(master: str) -> Permit:
    return decide(RULES, Ask(master_sae=master, slave_saes=("b",), link="l"), 0)


def _machine(exhaustion: Exhaustion) -> Fallback:
    return Fallback("l", "qkd", exhaustion)


def test_fail_is_told_and_ends_when_the_stock_is_back() -> None:
    """One alarm when the keys run out, none while they stay away, and its end once `recover_bits` are there."""
    machine = _machine(FAIL)
    assert machine.handle(Exhausted(), 0) is Supply.EMPTY
    assert machine.handle(Exhausted(), 1) is Supply.EMPTY
    assert machine.handle(Stock(ENOUGH - 1), 2) is Supply.EMPTY
    assert machine.handle(Stock(ENOUGH), 3) is Supply.NORMAL
    assert [(change.after, change.alarm) for change in machine.poll(4)] == [
        (Supply.EMPTY, True),
        (Supply.NORMAL, False),
    ]
    assert machine.poll(5) == ()


def test_wait_ends_after_its_time() -> None:
    """Requests wait until a fixed moment, not each for its own: after that they fail at once."""
    machine = _machine(WAIT)
    assert machine.handle(Exhausted(), 10) is Supply.WAITING
    assert machine.until_s == 15
    assert machine.handle(Exhausted(), 14.9) is Supply.WAITING
    assert machine.until_s == 15
    assert machine.at(15) is Supply.EMPTY
    assert machine.until_s == math.inf


def test_a_degraded_link_is_time_boxed_and_fails_closed() -> None:
    """After `max_duration_s` nothing is given, however often the keys run out again, until the stock is back."""
    machine = _machine(DEGRADE)
    machine.handle(Exhausted(), 0)
    assert machine.handle(Exhausted(), 99) is Supply.DEGRADED
    assert machine.at(100) is Supply.CLOSED
    assert machine.handle(Exhausted(), 101) is Supply.CLOSED
    assert machine.handle(Stock(ENOUGH - 1), 10_000) is Supply.CLOSED
    assert machine.handle(Stock(ENOUGH), 10_001) is Supply.NORMAL
    said = [str(change) for change in machine.poll(10_002)]
    assert said[0] == "link l, profile qkd: normal to degraded (ran out (degrade)), hybrid takes its place"
    assert "degraded to closed (deadline)" in said[1]


def test_a_request_that_was_too_large_degrades_nothing() -> None:
    """With enough in stock it was the request: no SAE can talk a link down by asking for too much at once."""
    machine = _machine(DEGRADE)
    assert machine.handle(Exhausted(ENOUGH), 0) is Supply.NORMAL
    assert machine.poll(1) == ()
    assert machine.handle(Exhausted(ENOUGH - 1), 2) is Supply.DEGRADED


@pytest.mark.parametrize(("jump_s", "left_s"), [(-3600, 60), (-1, 60), (0, 60), (3600, 0)])
def test_a_clock_jump_does_not_lengthen_the_time_box(jump_s: float, left_s: float) -> None:
    """Set back, the rest of the time stays the rest; set forward, it ends early."""
    machine = _machine(DEGRADE)
    machine.handle(Exhausted(), 10_000)
    now = 10_040 + jump_s
    machine.at(10_040)
    assert machine.at(now) is (Supply.DEGRADED if left_s else Supply.CLOSED)
    assert machine.at(now + left_s - 0.1) is (Supply.DEGRADED if left_s else Supply.CLOSED)
    assert machine.at(now + left_s) is Supply.CLOSED


def test_another_policy_ends_what_the_old_one_allowed() -> None:
    """A revision that forbids to degrade takes hold at once; one that says the same changes nothing."""
    machine = _machine(DEGRADE)
    machine.handle(Exhausted(), 0)
    assert machine.handle(Revised(DEGRADE), 1) is Supply.DEGRADED
    assert machine.handle(Revised(FAIL), 2) is Supply.NORMAL
    assert machine.handle(Exhausted(), 3) is Supply.EMPTY


events = st.one_of(
    st.integers(0, 2 * ENOUGH).map(Exhausted),
    st.integers(0, 2 * ENOUGH).map(Stock),
    st.sampled_from((FAIL, WAIT, DEGRADE)).map(Revised),
)


@given(
    st.sampled_from((FAIL, WAIT, DEGRADE)),
    st.lists(st.tuples(st.floats(min_value=0, max_value=60), events), max_size=40),
)
def test_of_any_events_the_promises_hold(
    exhaustion: Exhaustion, seen: list[tuple[float, Exhausted | Stock | Revised]]
) -> None:
    """Never degraded beyond the box, never back without the stock or another policy, every change told once."""
    machine, now, since, state = _machine(exhaustion), 0.0, 0.0, Supply.NORMAL
    told: list[Change] = []
    for passed_s, event in seen:
        now += passed_s
        before, after = state, machine.handle(event, now)
        changes = machine.poll(now)
        told += changes
        assert bool(changes) == (before is not after) or len(changes) > 1
        if after is Supply.NORMAL and before is not Supply.NORMAL:
            assert isinstance(event, Revised) or (isinstance(event, Stock) and event.bits >= ENOUGH)
        if after is not before or len(changes) > 1:
            since = now
        if after is Supply.DEGRADED:
            assert now - since < 100
            assert machine.exhaustion.degrade_to
        if after is Supply.CLOSED and before is not Supply.CLOSED:
            assert any(change.before is Supply.DEGRADED for change in changes)
        state = after
    assert all(one.after is two.before for one, two in pairwise(told))


def test_the_course_follows_the_chain_and_says_what_it_left() -> None:
    """QKD runs out: hybrid, labelled as standing in. Hybrid runs out too: post-quantum keys, and then the wait."""
    fallbacks, permit = Fallbacks(RULES), _permit("any")
    assert fallbacks.course("l", permit, 0).choice.profile.name == "qkd"
    fallbacks.handle("l", "qkd", Exhausted(), 0)
    course = fallbacks.course("l", permit, 1)
    assert (course.choice.profile.name, course.instead_of) == ("hybrid", ("qkd",))
    fallbacks.handle("l", "hybrid", Exhausted(), 2)
    course = fallbacks.course("l", permit, 3)
    assert (course.choice.profile.name, course.instead_of) == ("pqc", ("qkd", "hybrid"))
    fallbacks.handle("l", "pqc", Exhausted(), 4)
    assert fallbacks.course("l", permit, 5).wait_until_s == 9
    assert fallbacks.course("l", permit, 9).wait_until_s == 0
    assert fallbacks.next_deadline_s == 52
    assert {place: state.value for place, state in fallbacks.states.items()} == {
        ("l", "qkd"): "degraded",
        ("l", "hybrid"): "degraded",
        ("l", "pqc"): "empty",
    }
    with pytest.raises(FallbackClosed, match="hybrid"):
        fallbacks.course("l", permit, 53)
    assert fallbacks.course("other link", permit, 53).choice.profile.name == "qkd"
    assert [change.after.value for change in fallbacks.poll(200)] == [
        "degraded", "closed", "degraded", "closed", "waiting", "empty",
    ]  # fmt: skip


def test_who_may_not_degrade_gets_what_is_left_and_nothing_else() -> None:
    """While others are degraded, a strict request goes on with its own profile; when closed, it fails as well."""
    fallbacks, strict = Fallbacks(RULES), _permit("only")
    fallbacks.handle("l", "qkd", Exhausted(), 0)
    course = fallbacks.course("l", strict, 1)
    assert (course.choice.profile.name, course.instead_of, course.wait_until_s) == ("qkd", (), 0.0)
    with pytest.raises(FallbackClosed) as caught:
        fallbacks.course("l", strict, 100)
    assert caught.value.exit_code == 13
    assert caught.value.retry_after_s > 0


def test_stock_of_what_never_ran_out_is_no_event() -> None:
    """Deposits cost nothing while all is well."""
    fallbacks = Fallbacks(RULES)
    assert fallbacks.handle("l", "qkd", Stock(0), 0) is Supply.NORMAL
    assert fallbacks.states == {}
    assert fallbacks.next_deadline_s == math.inf


def test_a_new_revision_reaches_every_link() -> None:
    """Where the profile is gone or says something else, its links begin anew."""
    fallbacks = Fallbacks(RULES)
    fallbacks.handle("l", "qkd", Exhausted(), 0)
    fallbacks.handle("m", "pqc", Exhausted(), 0)
    only_pqc = replace(POLICY, profiles=POLICY.profiles[2:], allows=())
    fallbacks.adopt(PolicyRules(only_pqc, file="policy.toml", revision=2), 1)
    assert set(fallbacks.states.values()) == {Supply.NORMAL, Supply.WAITING}


def test_the_machine_is_drawn_from_its_table() -> None:
    """Every state can be reached and left, and the drawing shows each."""
    assert set(SUPPLY.rows.values()) == set(Supply)
    assert {state for state, _ in SUPPLY.rows} == set(Supply)
    assert {event for _, event in SUPPLY.rows} == set(SupplyEvent)
    assert all(state.value in drawing(SUPPLY) for state in Supply)


def test_the_guide_shows_the_machine_that_runs() -> None:
    """The drawing of the guide is made from the table."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "write-a-key-policy.md"
    assert f"```mermaid\n{drawing(SUPPLY)}```" in page.read_text()
