"""What is put to which event, by what agents and traffic tell."""

from collections.abc import Sequence
from typing import cast

from tests.edge.pilot.grounds import declared

from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import Traffic, Trial
from keystrand.edge.pilot.doings import Doings
from keystrand.edge.pilot.episodes import Mark, Performer, Window, episodes
from keystrand.edge.pilot.key_service import Doing
from keystrand.model.errors import PeerUnavailable
from keystrand.model.pilot import ConsumerKind, Event, EventKind
from keystrand.pilot import agents_told
from keystrand.pilot.agents_told import Changeover, Changes, FootingMove, Line

A = 0


class _Told:
    """Two agents that have told these lines."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def rotations(self, _: str, from_s: float, to_s: float) -> tuple[Changeover, ...]:
        return agents_told.rotations(self._lines, from_s, to_s)

    def footings(self, _: str, from_s: float, to_s: float) -> tuple[FootingMove, ...]:
        return agents_told.footings(self._lines, from_s, to_s)

    def oldest_key_s(self, *_: object) -> None:
        return None

    def alarms(self, *_: object) -> tuple[()]:
        return ()

    def given_twice(self, _: str, from_s: float, to_s: float) -> int:
        return agents_told.given_twice(self._lines, from_s, to_s)

    def changes(self, _: str, from_s: float, to_s: float) -> Changes:
        return agents_told.changes(self._lines, (), (), from_s, to_s)


class _Steady:
    """A tunnel that loses one packet in every ten seconds."""

    declared = declared(ConsumerKind.IPSEC, 1, "fail-secure")

    def agent_kind(self) -> str:
        return "strongswan"

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        return Traffic(tried=100, failed=int(to_s // 10 - from_s // 10), longest_gap_s=0.0)


def _proven(at_s: float, took_s: float) -> Line:
    return Line(at_s, A, "the-ipsec", "agent.proven", {"key_ID": f"k{at_s}", "label": "qkd", "age_s": took_s})


def _window(event: EventKind, began: float, ended: float) -> Window:
    mark = (Mark(in_clear=0, wrong_keys=0),)
    return Window(event=event, number=0, began=began, undone=ended, ended=ended, before=mark, after=mark)


def test_a_changeover_that_reaches_over_an_edge_is_in_one_window() -> None:
    """In that of its proof: were it in none, the slower a changeover, the rarer it would be counted. What it lost is
    not counted then: part of it went before.
    """
    agents = cast("Agents", _Told([_proven(19.0, 0.5), _proven(28.0, 9.0), _proven(39.0, 9.0), _proven(45.0, 2.0)]))
    windows = [
        _window(began=20, ended=30, event=EventKind.NORMAL), _window(began=30, ended=40, event=EventKind.LINK_CUT),
        _window(began=40, ended=50, event=EventKind.NORMAL),
    ]  # fmt: skip
    seen = [one.seen[0] for one in episodes(windows, [cast("Trial", _Steady())], agents, (), 20.0, None)]
    assert [[(one.took_s, one.lost) for one in each.rotations] for each in seen] == [
        [(9.0, None)], [(9.0, None)], [(2.0, 0)],
    ]  # fmt: skip


def test_packets_count_as_sent_without_fresh_keys_only_while_there_were_none() -> None:
    """Not those of the whole event: most of it the last key may still be in use."""
    moves = [(5.0, "invalid", "fresh"), (26.5, "fresh", "invalid"), (28.0, "invalid", "fresh")]
    lines = [
        Line(at_s, A, "the-ipsec", "agent.footing", {"before": one, "after": other}) for at_s, one, other in moves
    ]  # fmt: skip
    windows = [_window(EventKind.NORMAL, 10, 20), _window(EventKind.LINK_CUT, 20, 30)]
    told = cast("Agents", _Told(lines))
    found = [one.seen[0] for one in episodes(windows, [cast("Trial", _Counted())], told, (), 10.0, None)]
    assert [(one.tried, one.tried_without, one.outage) for one in found] == [(1000, 0, False), (1000, 150, True)]


class _Counted(_Steady):
    """A tunnel that sends 100 packets a second."""

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        return Traffic(tried=round(100 * (to_s - from_s)), failed=0, longest_gap_s=0.0)


class _Leaking:
    """A tunnel of which one packet more is seen in clear at every look, and one wrong key more."""

    declared = declared(ConsumerKind.IPSEC, 1, "fail-secure")
    looks = 0

    def in_clear(self) -> int:
        self.looks += 1
        return self.looks

    def wrong_keys(self) -> int:
        return self.looks

    def agent_kind(self) -> str:
        return ""

    def traffic(self, *_: float) -> Traffic:
        return Traffic(tried=1, failed=0, longest_gap_s=0.0)


class _Few:
    """One event that cannot be done, and others in which nothing happens."""

    told = ""

    def of(self, event: EventKind) -> Doing:
        def do(_: int) -> None:
            if event is EventKind.KME_DEATH:
                raise PeerUnavailable("it does not die")

        return Doing(do, lambda _: None)


def test_nothing_is_counted_in_no_event() -> None:
    """Not what comes before the first, between two, or while one could not be done."""
    trial = _Leaking()
    performer = Performer([cast("Trial", trial)], None, cast("Doings", _Few()))
    trial.in_clear()
    for kind in (EventKind.NORMAL, EventKind.KME_DEATH, EventKind.NORMAL, EventKind.LINK_CUT):
        performer.perform(Event(kind=kind, seconds=0.01), lambda _: None)
    assert [one.event for one in performer.not_run] == [EventKind.KME_DEATH]
    counted = [(one.after[0].in_clear or 0) - (one.before[0].in_clear or 0) for one in performer.windows]
    assert len(counted) == 3
    assert sum(counted) == trial.looks - 1
    assert sum(one.after[0].wrong_keys - one.before[0].wrong_keys for one in performer.windows) == trial.looks - 1
