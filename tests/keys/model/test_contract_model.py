"""The two-KME contract checked in every state that three orders, two crashes and an unreliable network can lead to."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from keystrand.keys.contract import ROWS, OrderAction, OrderEvent, OrderState, Rows
from keystrand.keys.lifecycle import LIFECYCLE
from keystrand.keys.machine import Table

from . import model, world
from .checker import Step, TooLarge, check
from .model import STRONG, Rules, TwoKmes
from .promises import outcomes
from .world import Slave, World

S, E, A = OrderState, OrderEvent, OrderAction
K = TypeVar("K")
V = TypeVar("V")
SMALL = {"requests": 2, "crashes": 2, "octets": 3}
AT_MOST = 1_000_000
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "two-kme-contract.md"


class Seen(dict[K, V]):
    """A table that remembers which of its rows were looked up."""

    def __init__(self, rows: Mapping[K, V]) -> None:
        super().__init__(rows)
        self.seen: set[K] = set()

    def __getitem__(self, key: K) -> V:
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key: K, default: Any = None) -> Any:
        """Return a row or `default`."""
        try:
            return self[key]
        except KeyError:
            self.seen.discard(key)
            return default


def test_every_promise_holds_in_every_state(capsys: pytest.CaptureFixture[str]) -> None:
    """Three orders, two crashes of either KME, one denial, any loss: no promise is broken, and all comes to rest."""
    report = check(TwoKmes(requests=3, crashes=2, octets=4, denials=1), at_most=AT_MOST)
    with capsys.disabled():
        print(f"\nthe two-KME contract: {report}")  # noqa: T201  # the numbers are part of the evidence
    assert not report.fault, report
    told = f"{report.states:,} states and {report.steps:,} steps"
    assert told in PAGE.read_text(), f"{PAGE.name} tells other numbers than {told}"


def test_blocks_that_grow_too_old_and_messages_that_come_twice_break_no_promise() -> None:
    """Two orders and a crash: the block ends at either KME at any time, and any message may arrive once more."""
    report = check(TwoKmes(requests=2, crashes=1, octets=3, denials=1, doubles=1, ageings=2), at_most=AT_MOST)
    assert not report.fault, report


def test_every_row_of_the_contract_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model leaves out no row of the order's table; of the life of a key only what operators do."""
    rows, life = Seen(ROWS), Seen(LIFECYCLE.rows)
    for place in (model, world):
        monkeypatch.setattr(place, "LIFECYCLE", Table(name="key", start=LIFECYCLE.start, rows=life))
    system = TwoKmes(requests=2, crashes=1, octets=3, denials=1, ageings=1, rules=STRONG._replace(rows=rows))
    assert not check(system, at_most=AT_MOST).fault
    assert rows.seen == set(ROWS)
    walked = {event for _, event in life.seen}
    assert walked == {"assign", "deliver", "expire", "void"}


# Negative controls: what the checker must find


def changed(state: OrderState, event: OrderEvent, then: OrderState, *actions: OrderAction) -> Rows:
    """Return the contract's table with one row changed."""
    return {**ROWS, (state, event): (then, actions)}


class Weak(NamedTuple):
    """One step done wrongly, and what the checker says of it."""

    rules: Rules
    fault: str


WEAK = {
    "the master answers before it commits": Weak(
        STRONG._replace(rows=changed(S.ASKED, E.ASSIGNED, S.DELIVERED, A.ANSWER, A.COMMIT)),
        "a key was answered that the master's store does not hold as delivered",
    ),
    "the master answers before the slave KME has the keys": Weak(
        STRONG._replace(rows=changed(S.PLANNED, E.SENT, S.ASKED, A.ANSWER)),
        "a key was answered that the master's store does not hold as delivered",
    ),
    "the slave KME answers before it commits": Weak(
        STRONG._replace(slave_commits_first=False), "order 1 was answered, and the slave KME cannot give it out"
    ),
    "doubt does not burn": Weak(
        STRONG._replace(rows=changed(S.ASKED, E.DOUBT, S.REFUSED, A.GIVE_BACK, A.REFUSE)),
        "bytes that were in doubt serve another order",
    ),
    "a lost answer is repeated to another SAE": Weak(
        STRONG._replace(may_repeat=lambda slave, _, orders: ("slave", orders) in slave.replays),
        "another SAE gets order 1",
    ),
    "a lost answer is repeated for other key IDs": Weak(
        STRONG._replace(
            may_repeat=lambda slave, sae, orders: any(
                sae == who and set(orders) <= set(those) for who, those in slave.replays
            )
        ),
        "a request for order 1 is answered again that never was",
    ),
    "after a crash the allocator begins a byte too early": Weak(
        STRONG._replace(restart_at=lambda cursor: max(0, cursor - 1)),
        "the master may cut bytes again that its store holds as used",
    ),
    "the slave KME does not look at its cursor": Weak(
        STRONG._replace(slave_checks_cursor=False), "the slave KME holds one key under two IDs"
    ),
    "a void order that has not come yet is forgotten": Weak(
        STRONG._replace(remembers_void=False), "order 1 is void, and can be fetched"
    ),
    "a refusal is carried out before the deliveries of the same message": Weak(
        STRONG._replace(delivers_first=False), "a delivery cannot be committed any more, though nothing was lost"
    ),
}


@pytest.mark.parametrize(("what", "weak"), WEAK.items(), ids=WEAK)
def test_a_step_done_wrongly_is_found(what: str, weak: Weak, capsys: pytest.CaptureFixture[str]) -> None:
    """The same walk over a weakened contract ends at a broken promise, by the shortest way; the page says how short."""
    report = check(TwoKmes(**SMALL, denials=1, rules=weak.rules), at_most=AT_MOST)
    print(report)  # noqa: T201  # shown where it fails
    assert report.fault == weak.fault
    assert f"\n| {what} | {len(report.way)} step" in PAGE.read_text()
    assert all(f"{n:3}. {what}" in str(report) for n, what in enumerate(report.way, 1))
    assert str(report).endswith(f"=> {weak.fault}")
    assert capsys.readouterr().out


def test_what_the_inner_checks_guard_is_a_key_given_twice() -> None:
    """With both the allocator and the slave KME's check weak, the SAE itself sees one key under two IDs."""
    rules = STRONG._replace(restart_at=lambda _: 0, slave_checks_cursor=False)

    class Outside(TwoKmes):
        def faults(self, w: World) -> Iterator[str]:
            return outcomes(w)

    report = check(Outside(**SMALL, rules=rules), at_most=AT_MOST)
    assert report.fault == "one key under two IDs"
    assert "master KME crashes" in report.way


def test_a_state_that_waits_for_nobody_is_found() -> None:
    """Without the deadline of what is held, the walk ends where something waits and nothing is due."""

    class Endless(TwoKmes):
        def _end(self, _: World) -> Iterator[Step[World]]:
            return iter(())

    report = check(Endless(requests=1, crashes=0, octets=1), at_most=AT_MOST)
    assert report.fault.startswith("nothing is due and yet it is not at rest")
    assert "slave KME gets order 1 = byte 0" in report.way


# The checker itself


class Counter:
    """Numbers that go up to `top`, then, where `round_` is set, back to one."""

    def __init__(self, top: int, *, wrong: int = -1, round_: bool = False) -> None:
        self.top, self.wrong, self.round = top, wrong, round_

    def start(self) -> int:
        """Begin at zero."""
        return 0

    def steps(self, state: int) -> Iterator[Step[int]]:
        """Go on by one or by two."""
        for by in (1, 2):
            if state + by <= self.top:
                yield Step(f"+{by}", state + by, due=True)
        if self.round and state == self.top:
            yield Step("round", 1, due=True)

    def faults(self, state: int) -> Iterator[str]:
        """Complain about one number."""
        if state == self.wrong:
            yield "wrong"

    def rests(self, state: int) -> bool:
        """Rest at the top."""
        return state == self.top and not self.round


def test_the_checker_visits_every_state_once() -> None:
    """It counts states and steps, and finds no fault where there is none."""
    report = check(Counter(100), at_most=1000)
    assert (report.states, report.steps, report.fault, report.way) == (101, 199, "", ())
    assert str(report).startswith("101 states, 199 steps, ")


def test_the_checker_gives_the_shortest_way() -> None:
    """To an odd number by steps of two and one of one."""
    report = check(Counter(100, wrong=7), at_most=1000)
    assert (report.fault, len(report.way), sorted(report.way)) == ("wrong", 4, ["+1", "+2", "+2", "+2"])


def test_the_checker_finds_what_goes_round_for_ever() -> None:
    """Steps that are due and lead back are no progress."""
    assert check(Counter(5, round_=True), at_most=1000).fault == "what is due goes round for ever"


def test_the_checker_stops_where_there_are_too_many_states() -> None:
    """It says so, instead of running on."""
    with pytest.raises(TooLarge, match="more than 50"):
        check(Counter(100), at_most=50)


def test_a_slave_store_begins_empty() -> None:
    """Nothing is held, and nothing can be repeated."""
    assert not model.may_repeat(Slave(), "slave", (0,))
