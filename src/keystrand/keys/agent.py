"""One consumer at one end: its keys, its footing, and what stays in force when anything fails.

Sans-I/O: `handle` takes what happened, `poll` the time; both return what to do, in order. Before every switch stand a
`Save` (what a crash must not forget) and a `Tell` (the audit). An end takes a fresh key every `rotate_every_s`. Where
none comes it tries again, ever less often, and where the policy permits a post-quantum key it takes one as soon as the
key in use grows old. A restart ends in one of two states: settled as before, or apart; then another key follows.
What the two ends do differently stands in `agent_initiator` and `agent_responder`.
"""

import math
from collections.abc import Iterable
from typing import ClassVar

from msgspec.structs import replace

from keystrand.keys.agent_memory import Action, Do, Event, Heard, Memory, Note, Pace, Save, Tell, Verb
from keystrand.keys.changeover import Step
from keystrand.keys.lapse import Footing, Lapse, LapseAction, Move, Terms
from keystrand.model.errors import InvalidInput

_DOES = {
    Step.OFFER: Verb.OFFER, Step.TELL_INSTALL: Verb.TELL_INSTALL, Step.INSTALL: Verb.INSTALL,
    Step.PROVE: Verb.PROVE, Step.TELL_PROVEN: Verb.TELL_PROVEN, Step.FETCH: Verb.FETCH, Step.CONFIRM: Verb.CONFIRM,
    Step.REFUSE: Verb.REFUSE, Step.SAY_INSTALLED: Verb.SAY_INSTALLED, Step.DESTROY: Verb.DESTROY,
}  # fmt: skip


class End:
    """What both ends of a consumer share: its keys, its footing, what it waits for."""

    changing: ClassVar[frozenset[str]]
    """The states in which the newest key is on trial: it is no rest that a lapse may sweep away."""

    def __init__(self, terms: Terms, pace: Pace, memory: Memory) -> None:
        self.pace, self.memory = pace, memory
        self.lapse = Lapse(terms)
        self.new: Note | None = None
        """The key of the changeover under way."""
        self.wait_ends_s = self.prove_next_s = self.check_next_s = self.retire_next_s = math.inf
        self._failures = 0
        self._why = ""

    # What differs

    def _polled(self, now: float) -> list[Action]:
        raise NotImplementedError

    def _happened(self, event: Event, now: float) -> list[Action]:
        raise NotImplementedError

    def _set_right(self, now: float) -> list[Action]:
        """Do what being apart asks for."""
        raise NotImplementedError

    # What the edge calls

    def begin(self, now: float) -> tuple[Action, ...]:
        """Return what to do first: the footing is what the journal proves, as old as it says."""
        actions = self._moved(self._remembered(now), now)
        self._doom(self.memory.doomed, now)
        if self.memory.held:
            self.check_next_s = now
        return (Save(memory=self.memory), *actions, *self.poll(now))

    def poll(self, now: float) -> tuple[Action, ...]:
        """Return what time alone asks for."""
        actions = self._moved(self.lapse.poll(now), now)
        actions += self._polled(now)
        if now >= self.retire_next_s:
            self.retire_next_s = now + self.pace.wait_s
            actions += [Do(verb=Verb.RETIRE, key_id=key_id) for key_id in self.memory.doomed]
        if now >= self.check_next_s:
            self.check_next_s = math.inf
            newest = self._newest()
            actions += [Do(verb=Verb.PROVE, key_id=newest.key_id)] if newest else self._set_right(now)
        return tuple(actions)

    def handle(self, event: Event, now: float) -> tuple[Action, ...]:
        """Return what follows from `event`; nothing where it belongs to a changeover that is over."""
        actions = self._moved(self.lapse.poll(now), now)
        if event.heard is Heard.RETIRED:
            actions += self._retired(event.key_id)
        elif event.heard is Heard.NOT_RETIRED:
            self.memory = replace(self.memory, trouble=event.why)
            actions.append(Tell(action="agent.not-retired", detail={"key_ID": event.key_id, "why": event.why}))
        elif event.heard is Heard.STOCK:
            self.memory = replace(self.memory, stock=event.number)
            actions.append(Save(memory=self.memory))
        elif event.heard in (Heard.PROVED, Heard.NOT_PROVED) and not self._on_trial(event.key_id):
            actions += self._looked(event, now)
        else:
            actions += self._happened(event, now)
        return (*actions, *self.poll(now))

    def _on_trial(self, key_id: str) -> bool:
        return self.new is not None and self.new.key_id == key_id

    @property
    def next_s(self) -> float:
        """When `poll` has something to do, as far as is known now."""
        return min(self.lapse.until_s, self.wait_ends_s, self.prove_next_s, self.check_next_s, self.retire_next_s)

    # Footing

    def _remembered(self, now: float) -> tuple[Move, ...]:
        """Return the moves that bring the footing to what the journal proves."""
        memory = self.memory
        try:
            if memory.substitutes_since_s is not None:
                since = memory.substitutes_since_s
                self.lapse.renewed(since, born_s=since, substitute=True)
            if memory.proven is None or memory.proved_s is None:
                self.lapse.poll(now)
                return self._swept()
            proven = memory.proven
            self.lapse.renewed(memory.proved_s, born_s=proven.born_s, substitute=proven.substitute)
        except InvalidInput:  # its time was over before we ended, or the policy is another one now
            return self._swept()
        return self.lapse.poll(now) or self._swept()

    def _swept(self) -> tuple[Move, ...]:
        if self.lapse.footing is Footing.INVALID:
            self.memory = replace(self.memory, doomed=tuple(note.key_id for note in self.memory.held))
        return ()

    def _moved(self, moves: Iterable[Move], now: float) -> list[Action]:
        actions: list[Action] = []
        for move in moves:
            detail = {"before": move.before.value, "after": move.after.value, "cause": move.cause.value}
            actions.append(Tell(action="agent.footing", detail=dict(detail)))
            if LapseAction.INVALIDATE in move.actions:
                actions += self._invalidate(now)
        return actions

    def _invalidate(self, now: float) -> list[Action]:
        """Have every key retired but one on trial: that one is fresh, and nothing passes under it until it is proven
        at both ends, or it goes the same way.
        """
        trial = self.new.key_id if self.new and self.memory.state in self.changing else ""
        self.memory = replace(self.memory, proven=None, proved_s=None)
        self._doom([note.key_id for note in self.memory.held if note.key_id != trial], now)
        return [Save(memory=self.memory)]

    def _doom(self, key_ids: Iterable[str], now: float) -> None:
        doomed = tuple(dict.fromkeys([*self.memory.doomed, *key_ids]))
        self.memory = replace(self.memory, doomed=doomed)
        if doomed:
            self.retire_next_s = now

    def _retired(self, key_id: str) -> list[Action]:
        memory = self.memory
        doomed = tuple(one for one in memory.doomed if one != key_id)
        held = tuple(note for note in memory.held if note.key_id != key_id)
        self.memory = replace(memory, held=held, doomed=doomed)
        if not doomed:
            self.retire_next_s = math.inf
        return [Save(memory=self.memory), Tell(action="agent.retired", detail={"key_ID": key_id})]

    def _newest(self) -> Note | None:
        return next((note for note in reversed(self.memory.held) if note.key_id not in self.memory.doomed), None)

    def _proven(self, note: Note, why: str, now: float) -> list[Action]:
        """Take note that traffic runs under `note`, and have every other key retired.

        Raises `InvalidInput` where the policy permits no such key any more.
        """
        moves = self.lapse.renewed(now, born_s=note.born_s, substitute=note.substitute)
        actions = self._moved(moves, now)
        since = self.memory.substitutes_since_s
        self.memory = replace(
            self.memory, proven=note, proved_s=now, trouble="", changeovers=self.memory.changeovers + 1,
            substitutes_since_s=(now if since is None else since) if note.substitute else None,
        )  # fmt: skip
        held = (one.key_id for one in self.memory.held)
        self._doom([one for one in held if one != note.key_id and not self._on_trial(one)], now)
        # at the initiator the offer follows at once on the key: its age is how long the changeover took
        age_s = round(now - note.born_s, 6)
        detail: dict[str, str | float] = {
            "key_ID": note.key_id, "label": note.label, "shown_by": why, "age_s": age_s,
        }  # fmt: skip
        return [Save(memory=self.memory), Tell(action="agent.proven", detail=detail), *actions]

    def _looked(self, event: Event, now: float) -> list[Action]:
        """Judge a look at the newest key outside of a changeover: what a restart or a lost word left open."""
        newest = self._newest()
        if newest is None or newest.key_id != event.key_id:
            return []
        if event.heard is not Heard.PROVED:
            self.memory = replace(self.memory, trouble=event.why)
            if self.lapse.footing is Footing.INVALID:
                self._doom([newest.key_id], now)
            return [Tell(action="agent.not-in-use", detail={"key_ID": event.key_id, "why": event.why}),
                    *self._set_right(now)]  # fmt: skip
        known = self.memory.proven is not None and self.memory.proven.key_id == newest.key_id
        try:
            return [] if known else self._proven(newest, event.why, now)
        except InvalidInput:
            return self._invalidate(now)

    def _steps(self, steps: Iterable[Step], why: str = "") -> list[Action]:
        """Return the actions of a row, with what must be written down first."""
        key_id, label = (self.new.key_id, self.new.label) if self.new else ("", "")
        actions: list[Action] = []
        for step in steps:
            if step is Step.INSTALL and self.new:
                # before the consumer hears of it: a crash must find it among those that it may hold
                self.memory = replace(self.memory, held=(*self.memory.held, self.new))
                actions.append(Tell(action="agent.install", detail={"key_ID": key_id, "label": label}))
            if step in _DOES:
                actions.append(Do(verb=_DOES[step], key_id=key_id, label=label, why=why))
        return [Save(memory=self.memory), *actions]

    def _note_failure(self, why: str) -> None:
        self.memory = replace(self.memory, trouble=why, failures=self.memory.failures + 1)

    def _gave_up(self, now: float) -> None:
        """Where the key before it is invalid already, a key that was not proven goes too."""
        if self.lapse.footing is Footing.INVALID:
            self._doom([note.key_id for note in self.memory.held], now)
        self.new = None
        self.wait_ends_s = self.prove_next_s = math.inf
