"""What one store's mark says beside another: a peer's life with crashes, restores and messages that overtake."""

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.witness import Standing, StoreMark, judge


class Life(NamedTuple):
    """A peer's store at a moment: its identity, its run, the commit that the run found, and its latest."""

    store: int
    run: int
    begun: int
    generation: int

    @property
    def mark(self) -> StoreMark:
        """What it shows."""
        return StoreMark(
            store=f"s{self.store}", writer="only", start=f"r{self.run}", begun=self.begun, generation=self.generation
        )  # fmt: skip


def lived(events: list[str]) -> list[Life]:
    """Return the moments of a store that commits and is started again, and is never put back."""
    moments = [Life(0, 0, 0, 0)]
    for event in events:
        now = moments[-1]
        restarted = now._replace(run=now.run + 1, begun=now.generation)
        moments.append(restarted if event == "restart" else now._replace(generation=now.generation + 1))
    return moments


EVENTS = st.lists(st.sampled_from(["commit", "restart"]), max_size=20)


@given(EVENTS, st.data())
def test_a_store_that_only_goes_on_continues(events: list[str], data: st.DataObject) -> None:
    """Whatever was seen of it, what it shows later continues that, through any number of restarts that know of it."""
    moments = lived(events)
    seen = data.draw(st.integers(0, len(moments) - 1))
    shown = data.draw(st.integers(seen, len(moments) - 1))
    said = moments[seen].mark
    assert judge(said, moments[shown].mark, (said,)) is Standing.CONTINUES


@given(EVENTS, st.integers(0, 20), st.integers(0, 20))
def test_a_run_that_does_not_know_what_was_seen_proves_nothing(events: list[str], more: int, since: int) -> None:
    """However far a copy had come before it was started again, another run's mark that it names is not the one seen."""
    seen = lived(["commit", *events])[-1]
    copy = Life(seen.store, seen.run + 1000, seen.generation + more, seen.generation + more + since)
    other = seen._replace(generation=seen.generation - 1).mark
    for known in ((), (other,), (copy.mark,)):
        assert judge(seen.mark, copy.mark, known) is Standing.UNPROVEN


@given(EVENTS, st.data())
def test_a_message_of_the_same_run_may_be_overtaken(events: list[str], data: st.DataObject) -> None:
    """What a run said earlier and comes later accuses nobody."""
    moments = lived(events)
    seen = data.draw(st.integers(0, len(moments) - 1))
    earlier = [one for one in moments[:seen] if one.run == moments[seen].run]
    for one in earlier:
        assert judge(moments[seen].mark, one.mark) is Standing.CONTINUES


@given(EVENTS, st.integers(1, 10), st.integers(0, 20))
def test_a_store_that_was_put_back_is_found(events: list[str], lost: int, since: int) -> None:
    """A copy starts a run of its own, at less than was seen: however much it commits then, it has gone back."""
    seen = lived(["commit"] * lost + events)[-1]
    begun = seen.generation - lost
    copy = Life(seen.store, seen.run + 1000, begun, begun + since)
    for known in ((), (seen.mark,)):
        assert judge(seen.mark, copy.mark, known) is Standing.ROLLED_BACK


@given(EVENTS, st.integers(0, 30))
def test_a_new_store_is_no_old_one(events: list[str], generation: int) -> None:
    """Another identity is a new store, however far either has come."""
    assert judge(lived(events)[-1].mark, Life(1, 0, 0, generation).mark) is Standing.NEW_STORE


def test_who_was_never_seen_continues() -> None:
    """There is nothing yet that it could contradict."""
    assert judge(None, Life(0, 0, 0, 0).mark) is Standing.CONTINUES


@pytest.mark.parametrize(
    "altered",
    [
        {"generation": 2**53 + 1}, {"generation": -1}, {"begun": 2**63}, {"store": "a\0"}, {"writer": "w" * 65},
        {"start": ""}, {"proof": "0" * 63}, {"proof": "0" * 65}, {"store": "a\n"},
    ],
)  # fmt: skip
def test_a_mark_from_outside_has_bounds(altered: dict[str, Any]) -> None:
    """Numbers that every database holds, names without control characters, a proof of one length or none."""
    good = msgspec.to_builtins(Life(0, 0, 1, 2).mark)
    assert msgspec.convert(good, StoreMark) == Life(0, 0, 1, 2).mark
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | altered, StoreMark)
