"""The schedule: dependencies, capacity, deadlines and windows hold for every set of measures."""

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.errors import InvalidInput
from keystrand.model.stages import MeasureKind
from keystrand.plan.schedule import MOST_WAIT_DAYS, Draft, Placed, Window, schedule, work_order

AS_OF = date(2026, 11, 24)
days = st.integers(0, 3000).map(lambda n: AS_OF + timedelta(days=n))


@st.composite
def draft_sets(draw: st.DrawFn) -> list[Draft]:
    """Up to a dozen drafts; each may depend on earlier ones, so there is no circle."""
    made: list[Draft] = []
    for n in range(draw(st.integers(1, 12))):
        names = [draft.id for draft in made]
        made.append(
            Draft(
                id=f"m{n}",
                kind=draw(st.sampled_from(MeasureKind)),
                title="",
                subject="",
                owner=draw(st.sampled_from(["a", "b", None])),
                days=draw(st.integers(1, 900)),
                rank=draw(st.integers(1, 5)),
                latest_finish=draw(st.none() | days),
                windows=tuple(Window(day, "refresh") for day in draw(st.lists(days, max_size=2))),
                depends_on=tuple(draw(st.lists(st.sampled_from(names), max_size=3))) if names else (),
            )
        )
    return made


def by_id(drafts: list[Draft], at_once: int) -> dict[str, Placed]:
    """Return the schedule by id."""
    return {placed.draft.id: placed for placed in schedule(drafts, as_of=AS_OF, at_once=at_once)}


capacities = st.integers(1, 3)


@given(draft_sets(), capacities)
def test_schedule_is_sound(drafts: list[Draft], at_once: int) -> None:
    """Every draft once, with its own length, after `as_of` and after all it depends on; never too many at once."""
    placed = by_id(drafts, at_once)
    assert len(placed) == len(drafts)
    for one in placed.values():
        assert one.start > AS_OF
        assert (one.finish - one.start).days + 1 == one.draft.days
        assert all(placed[name].finish < one.start for name in one.draft.depends_on)
        running = [p for p in placed.values() if p.draft.lane == one.draft.lane and p.start <= one.start <= p.finish]
        assert len(running) <= at_once


@given(draft_sets(), capacities)
def test_order_is_the_same_whatever_order_the_drafts_come_in(drafts: list[Draft], at_once: int) -> None:
    """Equal sets give equal schedules."""
    assert schedule(drafts, as_of=AS_OF, at_once=at_once) == schedule(drafts[::-1], as_of=AS_OF, at_once=at_once)


@given(draft_sets(), capacities, st.data())
def test_deadline_never_delays(drafts: list[Draft], at_once: int, choices: st.DataObject) -> None:
    """Give one measure a deadline, or an earlier one: that measure does not finish later for it."""
    n = choices.draw(st.integers(0, len(drafts) - 1))
    deadline = min(choices.draw(days), drafts[n].latest_finish or date.max)
    before = by_id(drafts, at_once)[drafts[n].id]
    drafts[n] = msgspec.structs.replace(drafts[n], latest_finish=deadline)
    assert by_id(drafts, at_once)[drafts[n].id].finish <= before.finish


@given(draft_sets(), capacities)
def test_window_costs_nobody_else_and_no_deadline(drafts: list[Draft], at_once: int) -> None:
    """Against the same drafts without windows, a measure only moves to one of its windows, in time, within a year."""
    plain = by_id([msgspec.structs.replace(draft, windows=()) for draft in drafts], at_once)
    for name, one in by_id(drafts, at_once).items():
        if one.window is None:
            assert (one.start, one.finish) == (plain[name].start, plain[name].finish)
            continue
        assert one.finish == one.window.day
        assert one.window in one.draft.windows
        assert 0 <= (one.finish - plain[name].finish).days <= MOST_WAIT_DAYS
        assert one.draft.latest_finish is None or one.finish <= one.draft.latest_finish


def draft(name: str, **changes: object) -> Draft:
    """Return a draft of ten days."""
    base = Draft(
        id=name, kind=MeasureKind.MIGRATE_SIGNATURE, title="", subject="", owner="team", days=10, rank=1
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def test_what_an_urgent_measure_waits_for_is_urgent_too() -> None:
    """A measure of the last rank goes first where one of the first rank depends on it."""
    drafts = [draft("urgent", rank=1, depends_on=("last",)), draft("middle", rank=2), draft("last", rank=9)]
    assert [d.id for d in work_order(drafts)] == ["last", "urgent", "middle"]


def test_change_waits_for_the_refresh_when_it_may() -> None:
    """Ten days of work end with the refresh; with a deadline before it they begin at once; a year is the most."""
    refresh = Window(AS_OF + timedelta(days=100), "hardware refresh")
    moved = schedule([draft("a", windows=(refresh,))], as_of=AS_OF)[0]
    assert (moved.finish, moved.window) == (refresh.day, refresh)
    hurried = draft("a", windows=(refresh,), latest_finish=AS_OF + timedelta(days=99))
    assert schedule([hurried], as_of=AS_OF)[0].start == AS_OF + timedelta(days=1)
    far = Window(AS_OF + timedelta(days=MOST_WAIT_DAYS + 11), "hardware refresh")
    assert schedule([draft("a", windows=(far,))], as_of=AS_OF)[0].window is None


def test_enquiries_do_not_stand_behind_migrations() -> None:
    """Finding out begins at once although the owner's hands are full of changes."""
    drafts = [draft("migrate", days=2000), draft("ask", kind=MeasureKind.FIND_OUT, rank=9)]
    ask = next(p for p in schedule(drafts, as_of=AS_OF, at_once=1) if p.draft.id == "ask")
    assert ask.start == AS_OF + timedelta(days=1)


def test_circle_is_named() -> None:
    """Measures that wait for each other are an error that names them and the next step."""
    with pytest.raises(InvalidInput, match="wait for each other") as caught:
        schedule([draft("a", depends_on=("b",)), draft("b", depends_on=("a",))], as_of=AS_OF)
    assert "depends_on" in caught.value.hint


def test_work_beyond_the_calendar_is_an_error_not_a_traceback() -> None:
    """Two hundred years at a time, a hundred times in a row, ends in words."""
    drafts = [draft(f"m{n:03}", days=73_000) for n in range(100)]
    with pytest.raises(InvalidInput, match="9999"):
        schedule(drafts, as_of=AS_OF, at_once=1)
