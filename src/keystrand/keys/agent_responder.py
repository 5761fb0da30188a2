"""The end of a consumer that hears offers and installs first."""

import math

from msgspec.structs import replace

from keystrand.keys.agent import End
from keystrand.keys.agent_memory import RECENT, Action, Do, Event, Heard, Memory, Note, Pace, Save, Tell, Verb
from keystrand.keys.changeover import ResponderEvent, ResponderState, responder_restarted, responder_step
from keystrand.keys.lapse import Terms
from keystrand.model.errors import InvalidInput

Res, RE = ResponderState, ResponderEvent
_AT_REST = (Res.SETTLED, Res.APART)
_FOLLOWS = {
    (Res.FETCHING, Heard.MATCHED): RE.MATCHED,
    (Res.CONFIRMED, Heard.TOLD_TO_INSTALL): RE.TOLD_TO_INSTALL,
    (Res.INSTALLING, Heard.INSTALLED): RE.INSTALLED,
}


class ResponderEnd(End):
    """The end that hears offers and installs first."""

    changing = frozenset({Res.INSTALLING, Res.WAITING})

    def __init__(self, terms: Terms, pace: Pace, memory: Memory) -> None:
        super().__init__(terms, pace, memory)
        self.state, self.began = Res(memory.state), Res(memory.began)
        self.state = responder_restarted(self.state, self.began)
        self.memory = replace(memory, state=self.state, began=self.state)
        self._asked_itself = False

    def _set_right(self, now: float) -> list[Action]:  # noqa: ARG002  # as the other end's
        return [Do(verb=Verb.WANT)] if self.state in _AT_REST else []

    def _go(self, event: ResponderEvent, now: float, why: str = "") -> list[Action]:
        if event is RE.OFFERED:
            self.began = responder_restarted(self.state, self.began)
        self.state, steps = responder_step(self.state, event, self.began)
        self.memory = replace(self.memory, state=self.state, began=self.began)
        settled = self.state in _AT_REST
        self.wait_ends_s = math.inf if settled else now + self.pace.wait_s
        if self.state is Res.WAITING:
            self.wait_ends_s += self.pace.wait_s + self.pace.prove_within_s
        self._asked_itself = False
        return self._steps(steps, why)

    def _polled(self, now: float) -> list[Action]:
        if now < self.wait_ends_s:
            return []
        if self.state is Res.WAITING and self.new and not self._asked_itself:
            # the peer's word may be lost: the consumer itself knows whether traffic runs under the key
            self._asked_itself, self.wait_ends_s = True, now + self.pace.wait_s
            return [Do(verb=Verb.PROVE, key_id=self.new.key_id)]
        return self._failed(f"no answer while {self.state}", now)

    def _happened(self, event: Event, now: float) -> list[Action]:
        if event.heard is Heard.OFFERED:
            return self._offered(event, now)
        return self._went(event, now) if self._on_trial(event.key_id) else []

    def _offered(self, event: Event, now: float) -> list[Action]:
        why = self._objection(event, now)
        if why:
            detail: dict[str, str | float] = {"key_ID": event.key_id, "number": event.number, "why": why}
            return [Tell(action="agent.refused", detail=detail),
                    Do(verb=Verb.REFUSE, key_id=event.key_id, why=why)]  # fmt: skip
        before = [Do(verb=Verb.DESTROY, key_id=self.new.key_id)] if self.new else []
        self._gave_up(now)
        self.new = Note(key_id=event.key_id, label=event.label, born_s=now, substitute=event.substitute)
        recent = (*self.memory.recent, event.key_id)[-RECENT:]
        self.memory = replace(self.memory, number=event.number, recent=recent)
        return [*before, *(one for one in self._go(RE.OFFERED, now) if not _destroys(one))]

    def _objection(self, event: Event, now: float) -> str:
        """Return why an offer is refused at once; empty where it is not."""
        if self.state is Res.INSTALLING:
            return "an installation is under way"
        if event.number <= self.memory.number or event.key_id in self.memory.recent:
            return "an offer that was heard before: replayed, or of a journal that is older than ours"
        if event.substitute and not self.lapse.may_substitute(now):
            return f"the policy here permits no {event.label} key now"
        return ""

    def _went(self, event: Event, now: float) -> list[Action]:
        if follows := _FOLLOWS.get((self.state, event.heard)):
            return self._go(follows, now)
        match self.state, event.heard:
            case Res.WAITING, (Heard.PEER_PROVED | Heard.PROVED):
                return self._settle(event.why or "the initiator proved it", now)
            case Res.FETCHING, Heard.UNMATCHED:
                return self._failed(event.why, now, unmatched=True)
            case (Res.WAITING, Heard.NOT_PROVED) | (Res.FETCHING | Res.CONFIRMED | Res.INSTALLING, Heard.FAILED):
                return self._failed(event.why, now)
        return []

    def _settle(self, why: str, now: float) -> list[Action]:
        assert self.new is not None  # noqa: S101  # `_happened` came here with one
        try:
            actions = self._proven(self.new, why, now)
        except InvalidInput as error:
            return self._failed(error.message, now)
        actions += self._go(RE.PEER_PROVED, now)
        self.new = None
        return actions

    def _failed(self, why: str, now: float, *, unmatched: bool = False) -> list[Action]:
        was, lost = self.state, self.new.key_id if self.new else ""
        self._note_failure(why)
        actions = self._go(RE.UNMATCHED if unmatched else RE.FAILED, now, why)
        self._gave_up(now)
        if self.state is Res.APART:
            self.check_next_s = now
        detail: dict[str, str | float] = {"while": was.value, "now": self.state.value, "why": why, "key_ID": lost}
        return [*actions, Save(memory=self.memory), Tell(action="agent.changeover-failed", detail=detail)]


def _destroys(action: Action) -> bool:
    return isinstance(action, Do) and action.verb is Verb.DESTROY
