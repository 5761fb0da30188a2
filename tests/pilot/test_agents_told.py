"""What two agents told, held against what others saw: by hand-made cases and by properties."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keystrand.pilot.agents_told import (
    Changeover,
    FootingMove,
    FootingSeen,
    KeyMove,
    Line,
    changes,
    footings,
    given_twice,
    oldest_key_s,
    rotations,
)

A, B = 0, 1


def line(at_s: float, action: str, end: int = A, **detail: Any) -> Line:
    """Return a line of an audit."""
    return Line(at_s, end, "door", f"agent.{action}", detail)


def proven(at_s: float, key: str, end: int = A, age_s: float = 0.5, label: str = "qkd") -> Line:
    """Return the line of a key that came into use."""
    return line(at_s, "proven", end, key_ID=key, label=label, age_s=age_s)


def put(at_s: float, key: str, end: int = A, *, retired: bool = False) -> KeyMove:
    """Return what an installer did."""
    return KeyMove(at_s, end, "door", key, retired)


def footing(at_s: float, before: str, after: str, end: int = A) -> Line:
    """Return the line of a change of footing."""
    return line(at_s, "footing", end, before=before, after=after, cause="x")


def test_a_rotation_is_the_initiators_from_offer_to_proof() -> None:
    """The responder's proof of the same key is no rotation of its own; the window is half open."""
    told = [proven(10, "k1"), proven(10.2, "k1", B, 0.1), proven(20, "k2", age_s=2), proven(30, "k3")]
    assert rotations(told, 10, 30) == (Changeover(10, 0.5, "k1", "qkd"), Changeover(20, 2, "k2", "qkd"))
    assert [one.offered_s for one in rotations(told, 10, 30)] == [9.5, 18]


def test_a_restart_tells_footings_again_and_nothing_has_changed() -> None:
    """What stood before is no change; the label is that of the key in use, none where nothing is."""
    told = [
        proven(1, "k1"), footing(1, "invalid", "fresh"), footing(5, "invalid", "fresh"),
        footing(6, "fresh", "invalid"), proven(8, "k2", label="pqc"), footing(8, "invalid", "substitute"),
        footing(9, "fresh", "invalid", B),
    ]  # fmt: skip
    assert footings(told, 0, 100) == (
        FootingMove(1, "invalid", "fresh", "qkd"), FootingMove(6, "fresh", "invalid", ""),
        FootingMove(8, "invalid", "substitute", "pqc"),
    )  # fmt: skip
    assert [move.at_s for move in footings(told, 6, 8)] == [6]


def test_a_key_is_as_old_as_it_was_when_the_next_one_came_or_it_was_taken_away() -> None:
    """By hand: taken at 9.5, in use until the next proof at 20; the responder's may be older; the last is cut off."""
    told = [proven(10, "k1"), proven(20, "k2", age_s=2)]
    moves = [put(9.9, "k1"), put(19, "k2"), put(20.1, "k1", retired=True)]
    assert oldest_key_s(told, moves, 10, 21) == 10.5
    assert oldest_key_s(told, moves, 20.5, 21) == 3.0
    assert oldest_key_s(told, moves, 20.5, 30) == 12.0
    assert oldest_key_s(told, moves, 0, 9) is None
    slow = [*moves, put(9.95, "k1", B), put(25, "k1", B, retired=True)]
    assert oldest_key_s(told, slow, 10, 26) == 15.5


def test_a_key_that_nobody_proved_is_as_old_as_its_installation() -> None:
    """It may be in use at an end that died before it could tell."""
    assert oldest_key_s([], [put(3, "k1"), put(7, "k1", retired=True)], 0, 10) == 4


def test_a_key_that_came_again_is_counted_though_the_agent_refused_it() -> None:
    """Also one that it has forgotten by then. What the responder takes, and a try without a key, is none."""
    lines = [
        line(1, "install", key_ID="one"), line(1.2, "install", B, key_ID="one"), proven(1.5, "one"),
        line(3, "changeover-failed", A, **{"while": "offered"}, key_ID="two"),
        line(4, "changeover-failed", A, **{"while": "taking"}, key_ID="one"),
        line(5, "changeover-failed", A, **{"while": "taking"}, why="no key"),
        line(6, "install", key_ID="two"),
    ]  # fmt: skip
    assert given_twice(lines, 0, 10) == 2
    assert [given_twice(lines, *span) for span in ((0, 4), (4, 5), (5, 7))] == [0, 1, 1]


def test_what_the_audit_lacks_is_told() -> None:
    """A key that went in before its line, one without, a footing nobody wrote: three of five changes are missing."""
    told = [
        line(1, "install", key_ID="k1", label="qkd"), line(2.1, "install", key_ID="k2", label="qkd"),
        footing(9.9, "fresh", "invalid"),
    ]  # fmt: skip
    moves = [put(1.01, "k1"), put(2, "k2"), put(3, "k1", B), put(4, "k1", retired=True)]
    seen = [FootingSeen(10, A, "door", "invalid", 9.9), FootingSeen(10, B, "door", "invalid", 9.9)]
    found = changes(told, moves, seen, 0, 20)
    assert (found.took_place, found.audited) == (5, 2)
    assert [one.split(",")[0] for one in found.missing] == [
        "the key k2 went in at end 0", "the key k1 went in at end 1", "the footing at end 1 was invalid",
    ]  # fmt: skip
    assert changes(told, moves, seen, 0, 1.5) == (1, 1, ())


KEYS = st.lists(st.floats(0.1, 5), min_size=1, max_size=8)


def history(gaps: Sequence[float]) -> tuple[list[Line], list[KeyMove]]:
    """Return a faultless history: every key is audited, goes in at both ends, is proven, and ends the one before."""
    told, moves, now = [], [], 100.0
    for n, gap in enumerate(gaps):
        now += gap
        for end in (B, A):
            at_s = now + 0.01 * (2 - end)
            told += [line(at_s, "install", end, key_ID=f"k{n}", label="qkd")]
            moves += [put(at_s + 0.001, f"k{n}", end)]
            told += [proven(at_s + 0.002, f"k{n}", end, age_s=0.03)]
            moves += [put(at_s + 0.003, f"k{n - 1}", end, retired=True)] if n else []
    return sorted(told, key=lambda one: one.at_s), sorted(moves)


@given(KEYS)
def test_a_faultless_history_lacks_nothing_and_any_line_that_is_gone_is_missed(gaps: Sequence[float]) -> None:
    """The ratio is one; without the line of any one installation it is one change less."""
    told, moves = history(gaps)
    whole = changes(told, moves, [], 0, 1000)
    assert whole == (2 * len(gaps), 2 * len(gaps), ())
    for one in told:
        if one.action == "agent.install":
            found = changes([other for other in told if other is not one], moves, [], 0, 1000)
            assert (found.took_place - found.audited, len(found.missing)) == (1, 1)
            assert one.key_id in found.missing[0]


@given(KEYS, st.floats(0, 60), st.floats(0, 60))
def test_windows_that_touch_share_nothing_out_twice(gaps: Sequence[float], one: float, two: float) -> None:
    """Rotations and changes of a window are those of its parts; the oldest key is the oldest of both."""
    told, moves = history(gaps)
    low, middle, high = 90.0, 100 + min(one, two), 101 + max(one, two)
    parts = (low, middle), (middle, high)
    assert rotations(told, low, high) == sum((rotations(told, *part) for part in parts), ())
    assert changes(told, moves, [], low, high).took_place == sum(
        changes(told, moves, [], *part).took_place for part in parts
    )
    ages = [age for part in parts if (age := oldest_key_s(told, moves, *part)) is not None]
    assert oldest_key_s(told, moves, low, high) == max(ages, default=None)
