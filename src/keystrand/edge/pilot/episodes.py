"""The events of a campaign, one after the other, and what every consumer went through in each."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct, structs

from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import Trial
from keystrand.edge.pilot.doings import Doings
from keystrand.edge.pilot.key_service import Doing
from keystrand.edge.pilot.link_monitor import Told
from keystrand.keys.lapse import Footing
from keystrand.model.errors import KeystrandError
from keystrand.model.pilot import Event, EventKind
from keystrand.model.stages.recorded import Alarm, Deed, DeedKind, Episode, FootingChange, Rotation, Seen
from keystrand.pilot.agents_told import Changeover, FootingMove
from keystrand.pilot.consumer_criteria import NAMED_FOOTINGS

WELL_S = 20.0
"""How long all is waited for to be well again after an event; the record says so where it was not."""
_LOOK_S = 0.1
_LOST_MARGIN_S = 0.2
"""Packets that are lost this long after a changeover's proof are still put to it: the way of the last ones."""


class Mark(Struct, frozen=True, kw_only=True):
    """What was counted of one consumer so far."""

    in_clear: int | None
    wrong_keys: int


class Window(Struct, frozen=True, kw_only=True):
    """One repetition of one event that took place: its moments (`time.time()`), what was counted before and after."""

    event: EventKind
    number: int
    began: float
    undone: float
    ended: float
    before: tuple[Mark, ...]
    after: tuple[Mark, ...]
    told: str = ""


def _undone(doing: Doing, number: int) -> str:
    """Undo an event; return in words that it could not be. What was seen so far is not lost by it."""
    try:
        doing.undo(number)
    except KeystrandError as error:
        return f"it could not be undone: {error.message}"
    return ""


class Performer:
    """Performs events on consumers that run, and keeps what an operator would have had to do.

    What is counted from its making on is put to some event: what came before the first one or between two, to the next.
    """

    def __init__(self, trials: Sequence[Trial], agents: Agents | None, doings: Doings) -> None:
        self._trials, self._agents, self._doings = trials, agents, doings
        self.deeds: list[Deed] = []
        self.windows: list[Window] = []
        self.not_run: list[Episode] = []
        self._counted = self._marks()

    def perform(self, event: Event, say: Callable[[str], None]) -> None:
        """Do `event` as often as it is declared."""
        doing = self._doings.of(event.kind)
        if isinstance(doing, str):
            say(f"  {event.kind}: not run: {doing}")
            self.not_run.append(Episode(event=event.kind, number=0, not_run=doing))
            return
        for number in range(event.times):
            say(f"  {event.kind}{f', time {number + 1} of {event.times}' if event.times > 1 else ''}")
            before, began = self._counted, time.time()
            try:
                doing.do(number)
            except KeystrandError as error:
                trouble = _undone(doing, number)
                why = "; ".join(filter(None, (error.message, trouble)))
                say(f"  {event.kind}: not run: {why}")
                self.not_run.append(Episode(event=event.kind, number=number, not_run=why))
                continue
            time.sleep(event.seconds)
            undone = time.time()
            trouble = _undone(doing, number)
            if trouble:
                say(f"  {event.kind}: {trouble}")
            well = event.kind is EventKind.NORMAL or self._well(undone)
            unwell = "" if well else f"not all was well again {WELL_S:g} s after it"
            self._counted = self._marks()
            self.deeds += [Deed(kind=DeedKind.ACTION, what=what, event=event.kind) for what in doing.deeds]
            self.windows.append(
                Window(
                    event=event.kind, number=number, began=began, undone=undone, ended=time.time(), before=before,
                    after=self._counted, told="; ".join(filter(None, (self._doings.told, trouble, unwell))),
                )
            )  # fmt: skip
            self._doings.told = ""

    def _marks(self) -> tuple[Mark, ...]:
        return tuple(Mark(in_clear=one.in_clear(), wrong_keys=one.wrong_keys()) for one in self._trials)

    def _well(self, since: float) -> bool:
        """Wait until every consumer stands on a fresh key, and what works in band works; return whether that came."""
        deadline = time.monotonic() + WELL_S
        while time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            if all(self._is_well(one, since) for one in self._trials):
                return True
        return False

    def _is_well(self, trial: Trial, since: float) -> bool:
        if trial.agent_kind() and self._agents:
            try:
                if not self._agents.fresh(trial.declared.id):
                    return False
            except KeystrandError:
                return False
        now = time.time()
        latest = trial.traffic(max(since, now - 1.0), now - 0.1) if now - since > 0.2 else None
        return latest is not None and latest.tried > latest.failed


def episodes(
    windows: Iterable[Window], trials: Sequence[Trial], agents: Agents | None, alarms: Sequence[Told], start: float,
    audited: frozenset[str] | None,
) -> Iterator[Episode]:  # fmt: skip
    """Yield what was seen, once everything has ended. `alarms` are those of the link; `start` is moment zero."""
    for one in windows:
        yield Episode(
            event=one.event, number=one.number, began_s=one.began - start, undone_s=one.undone - start,
            ended_s=one.ended - start, told=one.told, alarms=tuple(_alarms(one, agents, alarms)),
            seen=tuple(
                _Looking(one, trial, agents, start, audited).seen(before, after)
                for trial, before, after in zip(trials, one.before, one.after, strict=True)
            ),
        )  # fmt: skip


def _alarms(window: Window, agents: Agents | None, link: Sequence[Told]) -> Iterator[Alarm]:
    said: set[str] = set()
    for told in link:
        if window.began <= told.at_s < window.ended and told.text not in said:
            said.add(told.text)
            yield Alarm(after_s=told.at_s - window.began, who="the link's telemetry", text=told.text)
    for seen in agents.alarms(window.began, window.ended) if agents else ():
        who = f"agent {'ab'[seen.end]}" + (f", {seen.consumer}" if seen.consumer else "")
        yield Alarm(after_s=seen.at_s - window.began, who=who, text=seen.text)


def _stood(moves: Sequence[FootingMove], fell: FootingMove, policy: str) -> float | None:
    """Return when a consumer stood on what its policy names, after it `fell` from its fresh key; None where never."""
    named = NAMED_FOOTINGS.get(policy)
    return next((one.at_s for one in moves if one.at_s >= fell.at_s and one.after == named), None)


class _Looking:
    """What one consumer went through in one window. A changeover is that of the window in which it was proven: each
    belongs to one, the slow ones that reach over an edge too.
    """

    def __init__(
        self, window: Window, trial: Trial, agents: Agents | None, start: float, audited: frozenset[str] | None
    ) -> None:
        self._window, self._trial, self._start, self._audited = window, trial, start, audited
        self._agents = agents if trial.agent_kind() else None

    def seen(self, before: Mark, after: Mark) -> Seen:
        window, trial = self._window, self._trial
        traffic = trial.traffic(window.began, window.ended)
        common = Seen(
            consumer=trial.declared.id, tried=traffic.tried, failed=traffic.failed,
            longest_gap_s=traffic.longest_gap_s, waited_s=window.ended - window.undone,
            in_clear=None if after.in_clear is None or before.in_clear is None else after.in_clear - before.in_clear,
            wrong_keys=after.wrong_keys - before.wrong_keys,
        )  # fmt: skip
        return self._keyed(common, self._agents) if self._agents else self._in_band(common)

    def _keyed(self, common: Seen, agents: Agents) -> Seen:
        window, declared = self._window, self._trial.declared
        name, began, ended = declared.id, window.began, window.ended
        moves = agents.footings(name, began, ended)
        fell = next((one for one in moves if one.before == Footing.FRESH and one.after != Footing.FRESH), None)
        back = next((one for one in moves if fell and one.after == Footing.FRESH and one.at_s > fell.at_s), None)
        turnovers = agents.rotations(name, began - declared.max_age_s - 5.0, ended)
        over_s = None
        if fell:
            born = [one.offered_s for one in turnovers if one.proven_s <= fell.at_s]
            stood = _stood(moves, fell, declared.policy)
            over_s = max(0.0, stood - (max(born) + declared.max_age_s)) if born and stood is not None else None
        changes = agents.changes(name, began, ended)
        without = self._trial.traffic(fell.at_s, back.at_s if back else ended) if fell else None
        return structs.replace(
            common, outage=fell is not None, tried_without=without.tried if without else 0, failover_s=over_s,
            recovery_s=max(0.0, back.at_s - window.undone) if back else None,
            oldest_key_s=agents.oldest_key_s(name, began, ended),
            rotations=tuple(self._rotation(one) for one in turnovers if began <= one.proven_s),
            footings=tuple(
                FootingChange(at_s=one.at_s - self._start, footing=one.after, label=one.label) for one in moves
            ),
            changes=changes.took_place, audited=changes.audited,
            wrong_keys=max(common.wrong_keys, agents.given_twice(name, began, ended)),
        )  # fmt: skip

    def _rotation(self, one: Changeover) -> Rotation:
        return Rotation(
            at_s=one.proven_s - self._start, took_s=one.took_s, lost=self._lost(one.offered_s, one.proven_s)
        )

    def _lost(self, offered_s: float, proven_s: float) -> int | None:
        if self._window.event is not EventKind.NORMAL or offered_s < self._window.began:
            return None  # what an event takes away is no loss of the changeover's
        seen = self._trial.traffic(offered_s, min(proven_s + _LOST_MARGIN_S, self._window.ended))
        return seen.failed if seen.tried else None

    def _in_band(self, common: Seen) -> Seen:
        window, trial = self._window, self._trial
        used = trial.keys_used(window.began, window.ended)
        quiet = window.event is EventKind.NORMAL  # a slow handshake in quiet times is a failure, and no outage
        without = 0 if quiet else trial.traffic(window.began, window.undone).failed
        first = min((at_s for at_s, _ in used if at_s >= window.undone), default=None)
        known = self._audited
        return structs.replace(
            common, outage=without > 0,
            recovery_s=first - window.undone if without and first is not None else None,
            changes=len(used) if known is not None else 0,
            audited=sum(key_id in known for _, key_id in used) if known is not None else 0,
        )  # fmt: skip
