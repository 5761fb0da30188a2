"""What a consumer does when no fresh key comes: by a policy that has a name, never in silence.

A key is fresh until `max_age_s`. Then: `fail-secure` invalidates it at once; `hold-until-ttl` uses it on, with an
alarm, until `ttl_s`, and invalidates it then; `fail-open` uses it on, with an alarm, under a signed exception that
has an end. Under `fallback-pqc` the agents may put a key in its place that they agree on by ML-KEM: it carries its
label and an alarm, and all such keys together serve for `fallback_most_s` at most. What is invalid stays so until a
key is proven.

Sans-I/O: `renewed` and `poll` take the time; a clock set back lengthens nothing.
"""

import math
from enum import StrEnum

from msgspec import Struct

from keystrand.keys.machine import Table
from keystrand.model.errors import InvalidInput
from keystrand.model.lapsing import FailurePolicy, Terms

__all__ = ["LAPSE", "FailurePolicy", "Footing", "Lapse", "LapseAction", "LapseEvent", "Move", "Terms"]


class Footing(StrEnum):
    """What a consumer's traffic stands on now. `held` and `open`: an old key; `substitute`: a post-quantum one."""

    INVALID = "invalid"
    FRESH = "fresh"
    HELD = "held"
    SUBSTITUTE = "substitute"
    OPEN = "open"


class LapseEvent(StrEnum):
    """What moves it."""

    RENEWED = "a fresh key is proven"
    SUBSTITUTED = "a post-quantum key is proven"
    TOO_OLD = "too old"
    TOO_OLD_HELD = "too old, and held"
    TOO_OLD_OPEN = "too old, and excepted"
    TIME_UP = "time is up"


class LapseAction(StrEnum):
    """What the agent must do."""

    INVALIDATE = "invalidate the key in use"
    ALARM = "raise the alarm"
    CLEAR = "clear the alarm"


class Move(Struct, frozen=True, kw_only=True):
    """A change of footing, to be audited before anything is done about it, and what to do, in order."""

    before: Footing
    after: Footing
    cause: LapseEvent
    actions: tuple[LapseAction, ...]


class Lapse:
    """The footing of one consumer. It begins invalid: a consumer without a proven key has none."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.footing = Footing.INVALID
        self.until_s = math.inf
        self._born_s = self._now = -math.inf
        self._substitutes_end_s = math.inf

    def age_s(self, now: float) -> float:
        """Return the age of the key in use, infinite where there is none: visible at any moment."""
        return math.inf if self.footing is Footing.INVALID else max(0.0, now - self._born_s)

    def may_substitute(self, now: float) -> bool:
        """Return whether a post-quantum key may take the place of a fresh one now."""
        return self.terms.policy is FailurePolicy.FALLBACK_PQC and now < self._substitutes_end_s

    def renewed(self, now: float, *, born_s: float, substitute: bool = False) -> tuple[Move, ...]:
        """Take note that a key fetched at `born_s` is proven to be in use, and return the moves, time's first.

        Raises `InvalidInput` for a substitute that the policy does not permit now: nothing has changed then.
        """
        moves = self.poll(now)
        if substitute and not self.may_substitute(now):
            raise InvalidInput(f"{self.terms.policy} permits no post-quantum key in the place of a fresh one now")
        if not substitute:
            self._substitutes_end_s = math.inf
        elif self._substitutes_end_s == math.inf:
            self._substitutes_end_s = now + (self.terms.fallback_most_s or 0.0)
        self._born_s = born_s
        return (*moves, *self._move(LapseEvent.SUBSTITUTED if substitute else LapseEvent.RENEWED))

    def poll(self, now: float) -> tuple[Move, ...]:
        """Return what time alone has changed."""
        back = self._now - now
        if 0 < back < math.inf:
            self.until_s, self._born_s, self._substitutes_end_s = (
                at - back for at in (self.until_s, self._born_s, self._substitutes_end_s)
            )
        self._now = now
        moves: tuple[Move, ...] = ()
        while now >= self.until_s:
            fresh = self.footing is Footing.FRESH
            moves += self._move(_TOO_OLD[self.terms.policy] if fresh else LapseEvent.TIME_UP)
        return moves

    def _move(self, event: LapseEvent) -> tuple[Move, ...]:
        before, self.footing = self.footing, LAPSE.step(self.footing, event)
        self.until_s = self._end()
        if before is self.footing:
            return ()
        return (Move(before=before, after=self.footing, cause=event, actions=_ACTIONS[self.footing]),)

    def _end(self) -> float:
        match self.footing:
            case Footing.FRESH:
                return self._born_s + self.terms.max_age_s
            case Footing.HELD:
                return self._born_s + (self.terms.ttl_s or 0.0)
            case Footing.SUBSTITUTE:
                return min(self._substitutes_end_s, self._born_s + self.terms.max_age_s)
            case Footing.OPEN:
                return self.terms.exception_ends_s or 0.0
            case Footing.INVALID:
                return math.inf


_TOO_OLD = {
    FailurePolicy.FAIL_SECURE: LapseEvent.TOO_OLD,
    FailurePolicy.FALLBACK_PQC: LapseEvent.TOO_OLD,
    FailurePolicy.HOLD_UNTIL_TTL: LapseEvent.TOO_OLD_HELD,
    FailurePolicy.FAIL_OPEN: LapseEvent.TOO_OLD_OPEN,
}
_ACTIONS = {
    Footing.FRESH: (LapseAction.CLEAR,),
    Footing.INVALID: (LapseAction.INVALIDATE, LapseAction.ALARM),
    **dict.fromkeys((Footing.HELD, Footing.SUBSTITUTE, Footing.OPEN), (LapseAction.ALARM,)),
}
F, E = Footing, LapseEvent
LAPSE = Table(
    name="lapse",
    start=F.INVALID,
    rows={
        **{(footing, E.RENEWED): F.FRESH for footing in F},
        (F.INVALID, E.SUBSTITUTED): F.SUBSTITUTE,
        (F.FRESH, E.SUBSTITUTED): F.SUBSTITUTE,
        (F.SUBSTITUTE, E.SUBSTITUTED): F.SUBSTITUTE,
        (F.FRESH, E.TOO_OLD): F.INVALID,
        (F.FRESH, E.TOO_OLD_HELD): F.HELD,
        (F.FRESH, E.TOO_OLD_OPEN): F.OPEN,
        (F.HELD, E.TIME_UP): F.INVALID,
        (F.SUBSTITUTE, E.TIME_UP): F.INVALID,
        (F.OPEN, E.TIME_UP): F.INVALID,
    },
)
"""The whole machine. Only a proven key leads out of `invalid`."""
