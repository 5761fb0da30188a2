"""What is put to which event, by what agents and traffic tell."""

from collections.abc import Sequence
from typing import cast

from tests.edge.pilot.grounds import declared

from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import Traffic, Trial
from keystrand.edge.pilot.episodes import Mark, Window, episodes
from keystrand.model.pilot import ConsumerKind, EventKind
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
