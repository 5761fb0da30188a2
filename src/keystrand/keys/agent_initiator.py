"""The end of a consumer that takes keys and begins every changeover."""

import math

from msgspec.structs import replace

from keystrand.keys.agent import End
from keystrand.keys.agent_memory import RECENT, Action, Do, Event, Heard, Memory, Note, Pace, Save, Tell, Verb
from keystrand.keys.changeover import InitiatorEvent, InitiatorState, initiator_restarted, initiator_step
from keystrand.keys.lapse import Footing, Terms
from keystrand.model.errors import InvalidInput

Ini, IE = InitiatorState, InitiatorEvent
_AT_REST = (Ini.SETTLED, Ini.APART)
_FOLLOWS = {
    (Ini.OFFERED, Heard.CONFIRMED): IE.CONFIRMED,
    (Ini.PEER_INSTALLING, Heard.PEER_INSTALLED): IE.PEER_INSTALLED,
    (Ini.INSTALLING, Heard.INSTALLED): IE.INSTALLED,
}


class InitiatorEnd(End):
    """The end that takes keys and begins."""

    changing = frozenset({Ini.INSTALLING, Ini.PROVING})

    def __init__(self, terms: Terms, pace: Pace, memory: Memory) -> None:
        super().__init__(terms, pace, memory)
        self.state, self.began = Ini(memory.state), Ini(memory.began)
        self.state = initiator_restarted(self.state, self.began)
        self.memory = replace(memory, state=self.state, began=self.state)
        self.due_s = -math.inf
        if self.state is Ini.SETTLED and memory.proved_s is not None:
            self.due_s = memory.proved_s + pace.rotate_every_s
        self._by_pqc = False

    @property
    def next_s(self) -> float:
        """When `poll` has something to do, as far as is known now."""
        due = self.due_s if self.state in _AT_REST else math.inf
        return min(super().next_s, due)

    def _set_right(self, now: float) -> list[Action]:
        if not self._failures:  # else the next one is planned already
            self._failures, self.due_s = 1, min(self.due_s, now)
        return []

    def _go(self, event: InitiatorEvent, now: float, why: str = "") -> list[Action]:
        if event is IE.DUE:
            self.began = self.state
        self.state, steps = initiator_step(self.state, event, self.began)
        self.memory = replace(self.memory, state=self.state, began=self.began)
        self.wait_ends_s = now + self._patience_s()
        return self._steps(steps, why)

    def _patience_s(self) -> float:
        if self.state is Ini.PROVING:
            return self.pace.prove_within_s
        # the peer may wait as long as we for its own KME or consumer before it answers
        return self.pace.wait_s * (2 if self.state in (Ini.OFFERED, Ini.PEER_INSTALLING) else 1)

    def _polled(self, now: float) -> list[Action]:
        if self.state in _AT_REST:
            return self._start(now) if now >= self.due_s else []
        if now >= self.wait_ends_s:
            return self._failed(f"no answer while {self.state}", now)
        if now >= self.prove_next_s and self.new:
            self.prove_next_s = math.inf
            return [Do(verb=Verb.PROVE, key_id=self.new.key_id)]
        return []

    def _start(self, now: float) -> list[Action]:
        self.new, self.due_s = None, math.inf
        verb = Verb.AGREE if self._by_pqc else Verb.TAKE
        return [*self._go(IE.DUE, now), Do(verb=verb)]

    def _happened(self, event: Event, now: float) -> list[Action]:
        if event.heard is Heard.WANTED:
            return self._asked_for(now)
        if self.state is Ini.TAKING:
            return self._took(event, now)
        return self._went(event, now) if self._on_trial(event.key_id) else []

    def _asked_for(self, now: float) -> list[Action]:
        """Begin for a peer whose consumer has no key in use, as seldom as after many failures: keys are dear."""
        proved_s = -math.inf if self.memory.proved_s is None else self.memory.proved_s
        if self.state in _AT_REST and not self._failures:
            self.due_s = min(self.due_s, max(now, proved_s + self.pace.retry_most_s))
        return []

    def _took(self, event: Event, now: float) -> list[Action]:
        if event.heard is Heard.NO_KEY:
            return self._failed(event.why, now)
        if event.heard is not Heard.TAKEN:
            return []
        self.new = Note(key_id=event.key_id, label=event.label, born_s=now, substitute=event.substitute)
        recent = (*self.memory.recent, event.key_id)[-RECENT:]
        if event.key_id in self.memory.recent:
            return self._failed(f"the KME gave the key {event.key_id} a second time", now)
        if event.substitute and not self.lapse.may_substitute(now):
            return self._failed(f"the policy permits no {event.label} key now", now)
        self.memory = replace(self.memory, number=self.memory.number + 1, recent=recent)
        return self._go(IE.TAKEN, now)

    def _went(self, event: Event, now: float) -> list[Action]:
        """Take a step of the changeover under way."""
        if follows := _FOLLOWS.get((self.state, event.heard)):
            return self._go(follows, now)
        match self.state, event.heard:
            case Ini.OFFERED, Heard.REFUSED:
                # the peer has heard a higher number than we remember: go on above it
                self.memory = replace(self.memory, number=max(self.memory.number, event.number))
                return self._failed(event.why, now, refused=True)
            case Ini.PROVING, Heard.PROVED:
                return self._settle(event.why, now)
            case Ini.PROVING, Heard.NOT_PROVED:
                self.prove_next_s, self._why = now + self.pace.prove_every_s, event.why
            case _, Heard.FAILED:
                return self._failed(event.why, now)
        return []

    def _settle(self, why: str, now: float) -> list[Action]:
        assert self.new is not None  # noqa: S101  # `_happened` came here with one
        try:
            actions = self._proven(self.new, why, now)
        except InvalidInput as error:
            return self._failed(error.message, now)
        actions += self._go(IE.PROVEN, now)
        self._by_pqc = False
        if self.new.substitute:  # keys of the KME are tried for as after a failure
            self.due_s = now + min(self.pace.rotate_every_s, self.pace.after(max(1, self._failures)))
        else:
            self._failures, self.due_s = 0, now + self.pace.rotate_every_s
        self.new, self.wait_ends_s, self.prove_next_s = None, math.inf, math.inf
        return actions

    def _failed(self, why: str, now: float, *, refused: bool = False) -> list[Action]:
        """End the changeover under way, and say when the next one begins."""
        was, told = self.state, f"{why}; {self._why}" if self.state is Ini.PROVING and self._why else why
        event = IE.NO_KEY if was is Ini.TAKING else IE.REFUSED if refused else IE.FAILED
        self._note_failure(told)
        actions = self._go(event, now)
        lost = self.new.key_id if self.new else ""
        self._why = ""
        self._failures += 1
        self._gave_up(now)
        if self.state is Ini.APART:
            self.check_next_s = now
        self._plan_next(was, now)
        detail: dict[str, str | float] = {"while": was.value, "now": self.state.value, "why": told}
        if lost:
            detail["key_ID"] = lost
        return [*actions, Save(memory=self.memory), Tell(action="agent.changeover-failed", detail=detail)]

    def _plan_next(self, was: InitiatorState, now: float) -> None:
        """Try again: at once where the ends are apart or a substitute is wanted, else ever less often."""
        wanted_qkd = was in (Ini.TAKING, Ini.OFFERED) and not self._by_pqc
        self._by_pqc = wanted_qkd and self.lapse.may_substitute(now) and self._grows_old(now)
        if self._by_pqc or (self.state is Ini.APART and self._failures == 1):
            self.due_s = now
            return
        self.due_s = now + self.pace.after(self._failures)
        if self.lapse.may_substitute(now) and self.lapse.footing is not Footing.INVALID:
            self.due_s = max(now, min(self.due_s, self.lapse.until_s - self._lead_s()))

    def _lead_s(self) -> float:
        """Return how long before a key is too old its substitute is sought."""
        return min(3 * self.pace.wait_s, self.lapse.terms.max_age_s / 4)

    def _grows_old(self, now: float) -> bool:
        return self.lapse.footing is Footing.INVALID or now >= self.lapse.until_s - self._lead_s()
