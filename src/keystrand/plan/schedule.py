"""Dates for measures: a list schedule by priority, with limited work at once in the hands of each owner.

Time moves from finish to finish. Whenever an owner has a hand free, the most urgent measure whose predecessors are done
begins. Afterwards a measure may move later to end at a refresh or the end of a contract, but only within its own slack:
nothing else moves for it, no deadline is missed for it, and it waits a year at most. Deadlines never change the order,
so adding one can only bring its measure forward. The exact optimum is not sought here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import NamedTuple

from msgspec import Struct

from keystrand.model.errors import InvalidInput
from keystrand.model.stages import MeasureKind

AT_ONCE = 12
"""Changes that one owner has under way at the same time, and as many enquiries; assumed: most of a migration is waiting
for suppliers, tests and change windows."""
MOST_WAIT_DAYS = 365
"""How long a measure may wait for a refresh or the end of a contract; assumed: longer costs more than it saves."""
_DAY = timedelta(days=1)


ENQUIRIES = frozenset({MeasureKind.FIND_OUT, MeasureKind.ASSIGN_OWNER})
"""Kinds of work that change nothing: they do not stand in line behind migrations that take years."""


GOES_LIVE = frozenset({MeasureKind.MIGRATE_KEY_ESTABLISHMENT, MeasureKind.MIGRATE_SIGNATURE,
                       MeasureKind.RETIRE_CLASSICAL, MeasureKind.DEPLOY_QUANTUM_LINK})  # fmt: skip
"""Kinds of work that change what runs: they end on no frozen day."""


class Window(NamedTuple):
    """A day on which a change is cheap, and why."""

    day: date
    why: str


class Draft(Struct, frozen=True, kw_only=True):
    """A measure without dates. `days` >= 1; `rank` orders the work, lowest first; `depends_on` names other drafts.

    `engineers` are bound by it all the time; `not_before`: the day on which its supplier delivers.
    """

    id: str
    kind: MeasureKind
    title: str
    subject: str
    owner: str | None
    days: int
    rank: int
    latest_finish: date | None = None
    windows: tuple[Window, ...] = ()
    depends_on: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    done_when: str = ""
    fallback: str = ""
    engineers: int = 1
    not_before: date | None = None

    @property
    def lane(self) -> "Lane":
        """Return what the draft competes for: its owner, for changes and enquiries apart."""
        return (self.owner, self.kind in ENQUIRIES)

    @property
    def urgency(self) -> tuple[int, int, str]:
        """Return what orders the drafts: rank, then the kinds in the order of work, then the id."""
        return (self.rank, list(MeasureKind).index(self.kind), self.id)


Lane = tuple[str | None, bool]


class Placed(NamedTuple):
    """A draft with its first and last day; `window` is the day it was moved to, if it was."""

    draft: Draft
    start: date
    finish: date
    window: Window | None = None


def work_order(drafts: Iterable[Draft]) -> tuple[Draft, ...]:
    """Return the drafts most urgent first, none before one it depends on.

    What another waits for inherits its urgency. Raises `InvalidInput` naming a circle of dependencies.
    """
    by_id = {draft.id: draft for draft in drafts}
    try:
        forward = tuple(TopologicalSorter({d.id: d.depends_on for d in by_id.values()}).static_order())
    except CycleError as error:
        raise InvalidInput(
            f"these measures wait for each other: {', '.join(error.args[1])}",
            hint="break the circle in depends_on of the systems named here",
        ) from error
    urgency = {name: draft.urgency for name, draft in by_id.items()}
    for name in reversed(forward):
        for before in by_id[name].depends_on:
            urgency[before] = min(urgency[before], urgency[name])
    waiting = {name: len(set(draft.depends_on)) for name, draft in by_id.items()}
    followers = _followers(by_id.values())
    ready = sorted((urgency[name], by_id[name].urgency) for name, count in waiting.items() if not count)
    order: list[Draft] = []
    while ready:
        done = by_id[heappop(ready)[1][2]]
        order.append(done)
        for name in followers[done.id]:
            waiting[name] -= 1
            if not waiting[name]:
                heappush(ready, (urgency[name], by_id[name].urgency))
    return tuple(order)


def _followers(drafts: Iterable[Draft]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for draft in drafts:
        for before in dict.fromkeys(draft.depends_on):
            found[before].append(draft.id)
    return found


def schedule(drafts: Sequence[Draft], *, as_of: date, at_once: int = AT_ONCE) -> tuple[Placed, ...]:
    """Return the drafts with dates, in the order of work; the first begins the day after `as_of`.

    Raises `InvalidInput` on a circle of dependencies, and where the work runs past the last year a date can hold.
    """
    order = work_order(drafts)
    try:
        earliest = _earliest(order, as_of + _DAY, at_once)
        return _to_windows(order, earliest, at_once)
    except OverflowError as error:
        raise InvalidInput(
            "the work would run past the year 9999",
            hint="check migration_years, and spread the systems over more owners",
        ) from error


class _Floor:
    """The work in progress: how busy each lane is, what is ready in it, and what waits for what."""

    def __init__(self, order: Sequence[Draft], at_once: int) -> None:
        self.order, self.at_once = order, at_once
        self.position = {draft.id: n for n, draft in enumerate(order)}
        self.followers = _followers(order)
        self.waiting = {draft.id: len(set(draft.depends_on)) for draft in order}
        self.ready: dict[Lane, list[int]] = defaultdict(list)
        self.busy: dict[Lane, int] = defaultdict(int)
        self.running: list[tuple[date, int]] = []
        self.placed: dict[str, Placed] = {}

    def make_ready(self, name: str) -> Lane:
        """Put a measure into its lane, and return the lane."""
        n = self.position[name]
        heappush(self.ready[self.order[n].lane], n)
        return self.order[n].lane

    def begin(self, lane: Lane, day: date) -> None:
        """Begin on `day` as many ready measures of `lane` as there are hands free."""
        while self.ready[lane] and self.busy[lane] < self.at_once:
            n = heappop(self.ready[lane])
            finish = day + timedelta(days=self.order[n].days - 1)
            self.placed[self.order[n].id] = Placed(self.order[n], day, finish)
            self.busy[lane] += 1
            heappush(self.running, (finish, n))

    def finish_next(self) -> tuple[date, list[Lane]]:
        """Finish one measure, and return the day and the lanes that may have something to begin."""
        day, n = heappop(self.running)
        done = self.order[n]
        self.busy[done.lane] -= 1
        lanes = [done.lane]
        for name in self.followers[done.id]:
            self.waiting[name] -= 1
            if not self.waiting[name]:
                lanes.append(self.make_ready(name))
        return day, lanes


def _earliest(order: Sequence[Draft], first_day: date, at_once: int) -> dict[str, Placed]:
    floor = _Floor(order, at_once)
    for lane in dict.fromkeys([floor.make_ready(draft.id) for draft in order if not floor.waiting[draft.id]]):
        floor.begin(lane, first_day)
    while floor.running:
        day, lanes = floor.finish_next()
        # all that ends on one day is counted before anything new begins, or a less urgent measure could slip in
        while floor.running and floor.running[0][0] == day:
            lanes += floor.finish_next()[1]
        for lane in dict.fromkeys(lanes):
            floor.begin(lane, day + _DAY)
    return floor.placed


def _to_windows(order: Sequence[Draft], placed: dict[str, Placed], at_once: int) -> tuple[Placed, ...]:
    followers = _followers(order)
    lanes: dict[Lane, list[str]] = defaultdict(list)
    for draft in order:
        lanes[draft.lane].append(draft.id)
    for draft in reversed(order):
        now = placed[draft.id]
        limit = min((placed[name].start - _DAY for name in followers[draft.id]), default=date.max)
        limit = min(limit, draft.latest_finish or date.max, now.finish + timedelta(days=MOST_WAIT_DAYS))
        window = min((w for w in draft.windows if now.finish <= w.day <= limit), default=None)
        if window is None:
            continue
        moved = Placed(draft, window.day - (now.finish - now.start), window.day, window)
        others = [placed[name] for name in lanes[draft.lane] if name != draft.id]
        if _most_at_once(others, moved) < at_once:
            placed[draft.id] = moved
    return tuple(placed[draft.id] for draft in order)


def _most_at_once(others: Iterable[Placed], span: Placed) -> int:
    """Return how many of `others` run on the busiest day of `span`."""
    inside = [p for p in others if p.start <= span.finish and p.finish >= span.start]
    days = {max(p.start, span.start) for p in inside}
    return max((sum(p.start <= day <= p.finish for p in inside) for day in days), default=0)
