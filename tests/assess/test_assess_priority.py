"""The order of work: what may move a system up, and what may not."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.assess.exposure import exposures
from keystrand.assess.findings import findings
from keystrand.assess.policy import facts_of, judge
from keystrand.assess.priority import Standing, _Criteria, _tiers, has_open_work, prioritise
from keystrand.edge.catalogue import curves, policies
from keystrand.model.algorithm import Function
from keystrand.model.estate import Exposure, Sensitivity
from keystrand.model.horizon import horizons
from keystrand.model.observation import Strength
from keystrand.model.stages import Priority

Order = Callable[..., tuple[Priority, ...]]
Drawn = tuple[float, Sensitivity, Exposure, float, str]
"""Retention, sensitivity, network, longest migration time, and what was negotiated."""
READ_AGAIN = tuple(replace(p, source=replace(p.source, expires=None)) for p in policies())
"""The catalogue as if its readings never grew old: these tests look years ahead."""


@pytest.fixture(scope="session")
def order(estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, as_of: date) -> Order:
    """Return a function from drawn systems to their order of work; each has a data class of its own."""
    both_ends = horizons(next(c for c in curves() if c.id == "gri-2025"), as_of)

    def run(drawn: list[Drawn], obligations: tuple[str, ...] = ("eu-roadmap",)) -> tuple[Priority, ...]:
        systems = [
            system_of(f"s{n}", data_classes=(f"d{n}",), exposure=network, migration_years=(1.0, longest))
            for n, (_, _, network, longest, _) in enumerate(drawn)
        ]
        classes = [(f"d{n}", retention, harm) for n, (retention, harm, _, _, _) in enumerate(drawn)]
        estate = estate_of(*systems, classes=classes, obligations=obligations)
        seen = {f"s{n}": [kex(name, Strength.OFFERED)] for n, (*_, name) in enumerate(drawn)}
        judged = findings(estate, inventory_of(seen))
        exposed = exposures(estate, judged, both_ends, as_of)
        return prioritise([_standing(estate, system, judged, exposed, as_of) for system in systems])

    return run


def _standing(estate: Any, system: Any, judged: Any, exposed: Any, as_of: date) -> Standing:
    facts = facts_of(estate, system, as_of)
    found = tuple(f for f in judged if f.system == system.id)
    with_rules = tuple(
        type(f)(**{**{k: getattr(f, k) for k in f.__struct_fields__}, "policies": judge(READ_AGAIN, f, facts)})
        for f in found
    )
    return Standing(facts, with_rules, tuple(e for e in exposed if e.system == system.id))


systems = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sampled_from(Sensitivity),
        st.sampled_from(Exposure),
        st.floats(1, 9),
        st.sampled_from(["X25519", "X25519MLKEM768", "never-heard-of"]),
    ),
    min_size=1,
    max_size=6,
)


def _place(found: tuple[Priority, ...], name: str) -> tuple[int, int]:
    return next((p.tier, p.rank) for p in found if p.system == name)


@settings(max_examples=40, deadline=None)
@given(systems, st.floats(0, 1), st.integers(0, 5))
def test_priority_never_rises_when_retention_falls(order: Order, drawn: list[Drawn], kept: float, which: int) -> None:
    """Data that must stay secret for less time never moves its system up, in rank or in tier."""
    n = which % len(drawn)
    shorter = [*drawn]
    shorter[n] = (drawn[n][0] * kept, *drawn[n][1:])
    before, after = _place(order(drawn), f"s{n}"), _place(order(shorter), f"s{n}")
    assert after[0] >= before[0]
    assert after[1] >= before[1]


@settings(max_examples=40, deadline=None)
@given(systems)
def test_ranks_count_up_and_tiers_never_fall(order: Order, drawn: list[Drawn]) -> None:
    """Every system has one rank; tiers follow it; those with nothing left to do come last; each says why."""
    found = order(drawn)
    assert [p.rank for p in found] == list(range(1, len(drawn) + 1))
    assert [p.tier for p in found] == sorted(p.tier for p in found)
    done = [drawn[int(p.system[1:])][4] == "X25519MLKEM768" for p in found]
    assert done == sorted(done)
    assert all(p.reasons for p in found)


criteria = st.lists(
    st.builds(_Criteria, st.floats(0, 3).map(lambda x: round(x, 1)), st.integers(0, 4), st.integers(0, 2),
              st.sampled_from([-5, -2, 0])),
    max_size=40,
).map(lambda found: sorted(found, reverse=True))  # fmt: skip


@given(criteria)
def test_a_tier_is_one_more_than_the_highest_that_beats_it(found: list[_Criteria]) -> None:
    """By definition, over all pairs: who is at least as urgent in everything and more urgent in something."""
    expected: list[int] = []
    for n, own in enumerate(found):
        beaten_by = [
            expected[before]
            for before, other in enumerate(found[:n])
            if other != own and all(a >= b for a, b in zip(other, own, strict=True))
        ]
        expected.append(1 + max(beaten_by, default=0))
    assert _tiers(found) == expected


def test_a_system_that_is_worse_in_everything_comes_first(order: Order) -> None:
    """Longer retention, critical data, the internet, a slower migration: a tier of its own."""
    low: Drawn = (2.0, Sensitivity.LOW, Exposure.INTERNAL, 2.0, "X25519")
    high: Drawn = (30.0, Sensitivity.CRITICAL, Exposure.INTERNET, 6.0, "X25519")
    assert [(p.system, p.tier) for p in order([low, high])] == [("s1", 1), ("s0", 2)]


def test_what_the_criteria_do_not_settle_shares_a_tier(order: Order) -> None:
    """More exposure on an internal network against less on the internet: one tier, the exposure first in it."""
    inside: Drawn = (30.0, Sensitivity.HIGH, Exposure.INTERNAL, 4.0, "X25519")
    outside: Drawn = (5.0, Sensitivity.HIGH, Exposure.INTERNET, 4.0, "X25519")
    assert [(p.system, p.tier) for p in order([outside, inside])] == [("s1", 1), ("s0", 1)]


def test_a_binding_date_decides_between_equals(order: Order) -> None:
    """The EU roadmap asks for high data by 2030 and for medium data by 2035, where it binds."""
    found = order([(10.0, Sensitivity.HIGH, Exposure.INTERNET, 4.0, "X25519")])[0]
    assert any("31 December 2030 (eu-roadmap" in reason for reason in found.reasons)
    outlook = order([(10.0, Sensitivity.HIGH, Exposure.INTERNET, 4.0, "X25519")], ())[0]
    assert any("nearest date of outlook" in reason for reason in outlook.reasons)


def test_a_binding_rule_that_is_not_met_keeps_a_safe_system_open(
    estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, as_of: date
) -> None:
    """ML-KEM-768 is quantum-safe, and below the level that CNSA 2.0 asks of whom it binds."""
    system = system_of()
    judged = findings(estate_of(system), inventory_of({"web": [kex("ML-KEM-768", Strength.CONFIGURED, "file:a")]}))
    bound = estate_of(system, jurisdiction="US", obligations=("cnsa-2.0",))
    assert has_open_work(_standing(bound, system, judged, (), as_of))
    assert not has_open_work(_standing(estate_of(system), system, judged, (), as_of))


def test_a_violated_rule_is_the_first_reason(
    estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, as_of: date
) -> None:
    """In 2031 the EU roadmap's date for high-risk uses has passed: that comes before everything else."""
    system, later = system_of(), as_of.replace(year=2031)
    estate = estate_of(system, obligations=("eu-roadmap",))
    judged = findings(estate, inventory_of({"web": [kex("X25519")]}))
    (found,) = prioritise([_standing(estate, system, judged, (), later)])
    assert found.reasons[0] == "1 rule violated: eu-roadmap chapter 4, milestone 2030"


def test_reasons_are_words_with_ranges(order: Order) -> None:
    """A reader learns the verdict, the shelf life, the chance as a range, the network and the sensitivity."""
    text = " | ".join(order([(25.0, Sensitivity.CRITICAL, Exposure.INTERNET, 4.0, "X25519")])[0].reasons)
    for words in (
        "quantum-vulnerable",
        "secret for 25 years",
        "1 to 4 years",
        "percent",
        "internet",
        "data of critical sensitivity",
    ):
        assert words in text


def test_a_system_that_only_signs_is_ordered_without_exposure(
    estate_of: Any, system_of: Any, inventory_of: Any, sig: Any, as_of: date
) -> None:
    """No harvest, still work: it is ranked, and no reason speaks of recorded traffic."""
    system = system_of(functions=(Function.SIGNATURE,))
    estate = estate_of(system)
    judged = findings(estate, inventory_of({"web": [sig("RSA-2048")]}))
    (found,) = prioritise([_standing(estate, system, judged, (), as_of)])
    assert found.rank == 1
    assert not any("recorded" in reason and "data-years" in reason for reason in found.reasons)
