"""What two agents told of one consumer, beside what others saw of it: rotations, footings, ages, gaps in the audit.

Three witnesses: the agents' audits, their installers (which put keys in and take them away), and whoever looked at the
agents' standing from time to time. Moments are seconds since the epoch in one clock, and everything comes in their
order; the end 0 is the initiator's.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

INITIATOR = 0
LATE_MOST_S = 0.5
"""A footing that was seen may be this much away from its line: a look reckons it, the agent's own timer tells it."""


class Line(NamedTuple):
    """A line of an agent's audit about a consumer."""

    at_s: float
    end: int
    consumer: str
    action: str
    detail: Mapping[str, str | float]

    @property
    def key_id(self) -> str:
        """The key that it is about; empty for none."""
        return str(self.detail.get("key_ID", ""))


class KeyMove(NamedTuple):
    """What an installer did with a key: when it was told to install it, or when it had `retired` it."""

    at_s: float
    end: int
    consumer: str
    key_id: str
    retired: bool


class FootingSeen(NamedTuple):
    """A footing that somebody saw, and when it was another the last time: what traffic stands on, by the journal."""

    at_s: float
    end: int
    consumer: str
    footing: str
    since_s: float


class Changeover(NamedTuple):
    """A key that came into use: when that was proven at the initiator, and how long after the offer."""

    proven_s: float
    took_s: float
    key_id: str
    label: str

    @property
    def offered_s(self) -> float:
        """When it began."""
        return self.proven_s - self.took_s


class FootingMove(NamedTuple):
    """A change of footing, and the label of the key in use then; empty where none is."""

    at_s: float
    before: str
    after: str
    label: str


class Changes(NamedTuple):
    """Changes of key or footing that took place, how many of them the audit held before, and the others in words."""

    took_place: int
    audited: int
    missing: tuple[str, ...]


def rotations(lines: Sequence[Line], from_s: float, to_s: float) -> tuple[Changeover, ...]:
    """Return the changeovers of one consumer that were proven in a window."""
    return tuple(
        Changeover(line.at_s, float(line.detail["age_s"]), line.key_id, str(line.detail["label"]))
        for line in lines
        if line.end == INITIATOR and line.action == "agent.proven" and from_s <= line.at_s < to_s
    )


def footings(lines: Sequence[Line], from_s: float, to_s: float, *, end: int = INITIATOR) -> tuple[FootingMove, ...]:
    """Return the changes of footing at one end in a window. What a restart tells again is no change."""
    moves, label, stands = [], "", "invalid"
    for line in (one for one in lines if one.end == end and one.at_s < to_s):
        if line.action == "agent.proven":
            label = str(line.detail["label"])
        if line.action == "agent.footing" and line.detail["after"] != stands:
            before, stands = stands, str(line.detail["after"])
            moves.append(FootingMove(line.at_s, before, stands, "" if stands == "invalid" else label))
    return tuple(move for move in moves if move.at_s >= from_s)


def oldest_key_s(lines: Sequence[Line], moves: Sequence[KeyMove], from_s: float, to_s: float) -> float | None:
    """Return the greatest age that a key in use reached in a window, at either end; None where none was in use.

    A key is in use from its installation until the next one is proven, or it is retired. It is as old as the end that
    knows of it longest says, or where none proved it, as its first installation.
    """
    born_s: dict[str, float] = {}
    proven: dict[int, list[Line]] = {}
    for line in lines:
        if line.action == "agent.proven":
            proven.setdefault(line.end, []).append(line)
            born = line.at_s - float(line.detail["age_s"])
            born_s[line.key_id] = min(born, born_s.get(line.key_id, born))
    gone_s = {(move.end, move.key_id): move.at_s for move in reversed(moves) if move.retired}
    ages = []
    for move in (one for one in moves if not one.retired and one.at_s < to_s):
        gone = gone_s.get((move.end, move.key_id), to_s)
        ends_s = min(to_s, gone, _next_s(proven.get(move.end, ()), move, to_s))
        if ends_s >= from_s:
            ages.append(ends_s - min(born_s.get(move.key_id, move.at_s), move.at_s))
    return max(ages, default=None)


def _next_s(proven: Sequence[Line], put: KeyMove, never_s: float) -> float:
    """Return when another key than this was proven at its end."""
    first = bisect_left(proven, put.at_s, key=lambda line: line.at_s)
    return next((line.at_s for line in proven[first:] if line.key_id != put.key_id), never_s)


def given_twice(lines: Sequence[Line], from_s: float, to_s: float) -> int:
    """Return how many keys came to the initiator in a window that it had been given before, taken or refused."""
    known: set[str] = set()
    count = 0
    for line in (one for one in lines if one.end == INITIATOR and one.key_id and one.at_s < to_s):
        count += line.at_s >= from_s and _came(line) and line.key_id in known
        known.add(line.key_id)
    return count


def _came(line: Line) -> bool:
    """Return whether this is the first that an initiator tells of a key that came just now."""
    refused = line.action == "agent.changeover-failed" and line.detail.get("while") == "taking"
    return refused or line.action == "agent.install"


def changes(
    lines: Sequence[Line], moves: Sequence[KeyMove], seen: Sequence[FootingSeen], from_s: float, to_s: float
) -> Changes:
    """Hold the audits of one consumer against what the installers did and what was seen of its footing, in a window.

    A key that an installer was told to install must stand in the audit of that end before; a footing that was seen must
    stand there at that time.
    """
    told = [
        (_has_install(lines, move), f"the key {move.key_id} went in at end {move.end}")
        for move in moves
        if not move.retired and from_s <= move.at_s < to_s
    ]
    told += [
        (_has_footing(lines, one), f"the footing at end {one.end} was {one.footing}")
        for one in seen
        if from_s <= one.at_s < to_s
    ]
    missing = tuple(f"{what}, and no line of its audit said so before" for audited, what in told if not audited)
    return Changes(len(told), len(told) - len(missing), missing)


def _has_install(lines: Iterable[Line], move: KeyMove) -> bool:
    return any(
        (one.action, one.end, one.key_id) == ("agent.install", move.end, move.key_id) and one.at_s <= move.at_s
        for one in lines
    )


def _has_footing(lines: Iterable[Line], seen: FootingSeen) -> bool:
    return any(
        (one.action, one.end, one.detail.get("after")) == ("agent.footing", seen.end, seen.footing)
        and seen.since_s - LATE_MOST_S <= one.at_s <= seen.at_s + LATE_MOST_S
        for one in lines
    )
