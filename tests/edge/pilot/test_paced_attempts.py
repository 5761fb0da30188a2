"""What many attempts say of a span of time, and the pace at which they are made."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge.pilot.attempts import Attempt, Done, Outcome, begun_in, traffic_of
from keystrand.edge.pilot.paced import Paced
from keystrand.model.errors import NoKeyAvailable, PeerUnavailable

_MOMENT = st.integers(0, 400).map(lambda n: n / 4)


@st.composite
def attempts(draw: st.DrawFn) -> list[Attempt]:
    """Some attempts on a grid of quarters of a second, so that every sum is exact."""
    made = []
    for at_s, took_s, done in draw(st.lists(st.tuples(_MOMENT, st.integers(0, 20), st.booleans()), max_size=30)):
        told = Done("k", took_s / 4) if done else None
        outcome = Outcome.DONE if done else Outcome.FAILED
        made.append(Attempt(at_s=at_s, ended_s=at_s + took_s / 4, outcome=outcome, done=told))
    return made


@given(attempts(), _MOMENT, _MOMENT)
def test_the_longest_gap_is_where_no_quarter_second_saw_a_success(made: list[Attempt], one: float, two: float) -> None:
    """Counted independently: walk the grid and take the longest run of moments between successes."""
    from_s, to_s = sorted((one, two))
    found = traffic_of(made, from_s, to_s)
    begun = [each for each in made if from_s <= each.at_s < to_s]
    assert (found.tried, found.failed) == (len(begun), len([each for each in begun if not each.done]))
    ends = {each.ended_s for each in made if each.done}
    if not begun and not any(from_s <= end <= to_s for end in ends):
        assert found.longest_gap_s is None
        return
    longest = run = 0.0
    for quarter in range(int(from_s * 4) + 1, int(to_s * 4) + 1):
        run += 0.25
        longest = max(longest, run)
        if quarter / 4 in ends:
            run = 0.0
    assert found.longest_gap_s == longest


@given(attempts(), _MOMENT, _MOMENT, _MOMENT)
def test_spans_add_up(made: list[Attempt], one: float, two: float, three: float) -> None:
    """Two spans that meet hold what the whole holds; no gap of a part is longer than that of the whole."""
    first, middle, last = sorted((one, two, three))
    parts = [traffic_of(made, first, middle), traffic_of(made, middle, last)]
    whole = traffic_of(made, first, last)
    assert sum(part.tried for part in parts) == whole.tried
    assert sum(part.failed for part in parts) == whole.failed
    assert [s for part in parts for s in part.operation_s] == list(whole.operation_s)
    assert all((part.longest_gap_s or 0) <= (whole.longest_gap_s or 0) for part in parts)
    assert len(begun_in(made, first, last)) == whole.tried


def test_each_outcome_is_told() -> None:
    """A success, want of a key, a failure and a socket's error; where there is nothing to do there is no attempt."""
    turns = iter([Done("one", 0.5), NoKeyAvailable("none"), PeerUnavailable("away"), OSError("reset"), None])
    enough = threading.Event()

    def operation() -> Done | None:
        turn = next(turns, None)
        if turn is None:
            enough.set()
        if isinstance(turn, Exception):
            raise turn
        return turn

    paced, from_s = Paced(1000), time.time()
    paced.begin(operation)
    assert enough.wait(10)
    paced.end()
    made = paced.between(from_s, time.time())
    assert [one.outcome.value for one in made] == ["done", "no-key", "failed", "failed"]
    assert [one.why for one in made] == ["", "none", "away", "reset"]
    assert paced.traffic(from_s, time.time()).operation_s == (0.5,)


def test_a_slow_attempt_holds_up_no_other_and_is_waited_for() -> None:
    """The first waits for the fifth to begin; asked for the span, one waits until it has ended."""
    fifth, count = threading.Event(), iter(range(1_000_000))

    def operation() -> Done:
        number = next(count)
        if number == 4:
            fifth.set()
        if number == 0:
            assert fifth.wait(10)
            time.sleep(0.05)
        return Done(str(number), 0.0)

    paced, from_s = Paced(200), time.time()
    paced.begin(operation)
    assert fifth.wait(10)
    made = paced.between(from_s, time.time())
    paced.end()
    assert made[0].done == Done("0", 0.0)
    assert len(made) >= 5


@pytest.mark.parametrize(("per_s", "most", "places"), [(1000.0, 64, 64), (25.0, 64, 50), (100.0, 3, 3)])
def test_what_is_late_is_not_made_up_for(per_s: float, most: int, places: int) -> None:
    """With all places taken nothing begins, and afterwards no burst comes of it: never more at once than there are."""
    going, highest, under_way, turn = threading.Event(), 0, 0, threading.Lock()

    def operation() -> Done:
        nonlocal highest, under_way
        with turn:
            under_way += 1
            highest = max(highest, under_way)
        assert going.wait(10)
        with turn:
            under_way -= 1
        return Done("", 0.0)

    paced = Paced(per_s, most_at_once=most)
    paced.begin(operation)
    while under_way < places:
        time.sleep(0.01)
    time.sleep(3 / per_s)
    assert under_way == places
    going.set()
    paced.end()
    assert highest == places


def test_it_ends_when_told() -> None:
    """After the end nothing more is tried; it can be begun again."""
    paced, made = Paced(500), []

    def operation() -> Done:
        made.append(1)
        return Done("", 0.0)

    for _ in range(2):
        before = len(made)
        paced.begin(operation)
        while len(made) == before:
            time.sleep(0.002)
        paced.end()
        after = len(made)
        time.sleep(0.02)
        assert len(made) == after


@pytest.mark.parametrize("per_s", [50.0, 200.0])
def test_the_pace_is_never_exceeded(per_s: float) -> None:
    """No more attempts begin than the span has room for, and one at its beginning."""
    paced, begin = Paced(per_s), time.time()
    paced.begin(lambda: Done("", 0.0))
    time.sleep(0.2)
    paced.end()
    end = time.time()
    assert 1 <= paced.traffic(begin, end).tried <= (end - begin) * per_s + 1
