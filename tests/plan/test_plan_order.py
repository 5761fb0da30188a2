"""Which change waits for which: signatures for their trust anchor, a key exchange for nobody."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate
from keystrand.model.stages import Finding, Measure, MeasureKind, Plan, PolicyFinding
from keystrand.plan.schedule import AT_ONCE

KEX, SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
MIGRATIONS = {KEX: MeasureKind.MIGRATE_KEY_ESTABLISHMENT, SIG: MeasureKind.MIGRATE_SIGNATURE}
DEADLINE = date(2030, 12, 31)
Moves = Callable[..., dict[str, Measure]]


@pytest.fixture(scope="session")
def moves(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    system_row: dict[str, Any],
) -> Moves:
    """Return a function from systems (what differs from a plain one) to their migrations of one function, by system."""

    def run(function: Function, safe: tuple[str, ...] = (), **systems: dict[str, Any]) -> dict[str, Measure]:
        of = estate(systems=[system_row | {"id": name} | changes for name, changes in systems.items()])
        found = [
            finding(
                function,
                id=f"{name}/{function}",
                system=name,
                policies=(rule(DEADLINE),),
                verdict=Verdict.QUANTUM_SAFE if name in safe else Verdict.QUANTUM_VULNERABLE,
            )
            for name in systems
        ]
        made = plan(of, *found, ranks={name: n for n, name in enumerate(systems, 1)})
        return {m.subject: m for m in made.measures if m.kind is MIGRATIONS[function]}

    return run


LEDGER: dict[str, Any] = {"place": "application", "migration_years": [3, 5]}
AUTHORITY: dict[str, Any] = {"place": "identity", "migration_years": [1, 2]}


@pytest.mark.parametrize("function", [KEX, SIG])
def test_a_front_end_does_not_wait_for_its_back_end(moves: Moves, function: Function, as_of: date) -> None:
    """A slow ledger behind an interface on the internet does not make the interface late: both begin at once."""
    api = {"place": "api", "exposure": "internet", "depends_on": ["ledger"]}
    made = moves(function, api=api, ledger=LEDGER)
    assert {(m.start - as_of).days for m in made.values()} == {1}
    assert (made["api"].late, made["ledger"].late) == (False, True)
    assert made["api"].depends_on == ()


@pytest.mark.parametrize("place", ["identity", "code-signing"])
def test_a_signature_waits_for_its_trust_anchor_and_says_so(moves: Moves, place: str) -> None:
    """A leaf under a root that can be forged proves nothing: the root moves first, whatever their ranks."""
    leaf = {"place": "web", "depends_on": ["ledger", "root"]}
    made = moves(SIG, leaf=leaf, ledger=LEDGER, root=AUTHORITY | {"place": place})
    assert made["leaf"].depends_on == ("migrate-signature.root",)
    assert made["leaf"].start > made["root"].finish
    assert any("waits for root" in reason for reason in made["leaf"].reasons)


def test_a_key_exchange_waits_for_no_anchor(moves: Moves) -> None:
    """Recorded traffic is safe from the day of the exchange, whoever signed for it."""
    made = moves(KEX, leaf={"depends_on": ["root"]}, root=AUTHORITY)
    assert made["leaf"].start == made["root"].start
    assert not any("waits for" in reason for reason in made["leaf"].reasons)


def test_an_anchor_that_is_safe_is_not_waited_for(moves: Moves) -> None:
    """Nothing is left to do there, so no reason speaks of it."""
    made = moves(SIG, safe=("root",), leaf={"depends_on": ["root"]}, root=AUTHORITY)
    assert (set(made), made["leaf"].depends_on) == ({"leaf"}, ())
    assert not any("waits for" in reason for reason in made["leaf"].reasons)


def test_anchors_in_a_circle_do_not_wait_for_each_other(moves: Moves) -> None:
    """Two authorities that sign for each other begin together; who stands outside the circle waits for its anchor."""
    made = moves(
        SIG,
        one=AUTHORITY | {"depends_on": ["two"]},
        two=AUTHORITY | {"depends_on": ["three", "two"]},
        three=AUTHORITY | {"depends_on": ["one"]},
        leaf={"depends_on": ["one"]},
    )
    assert len({made[name].start for name in ("one", "two", "three")}) == 1
    assert made["leaf"].start > made["one"].finish


def test_what_nobody_owns_is_limited_like_what_one_owner_has(moves: Moves) -> None:
    """As many changes without an owner begin at once as one owner would begin: none waits behind another below that."""
    without: dict[str, Any] = {"owners": {}, "segments": []}
    made = moves(KEX, **{f"s{n:02}": without for n in range(AT_ONCE + 1)})
    starts = sorted(m.start for m in made.values())
    assert starts[0] == starts[AT_ONCE - 1] < starts[AT_ONCE]


def test_the_plan_states_the_rule_it_orders_by(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """Whoever reads the dates finds what may wait for what among the assumptions."""
    said = {a.name: a.value for a in plan(estate(), finding()).assumptions}["which change waits for which"]
    assert "key establishment waits for no other system" in said
    assert "identity or code-signing" in said
