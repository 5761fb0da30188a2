"""What happens when the keys of a profile run out on a link: fail, wait, or degrade; labelled, alarmed, time-boxed.

Sans-I/O: `handle(event, now)` takes what was seen, `poll(now)` gives the changes to audit and alarm. The machine never
leaves a worse state by itself before the stock is back at `recover_bits`, so it does not flap; and never stays degraded
for longer than `max_duration_s`. A clock set back does not lengthen that; one set forward ends it early, which is safe.
"""

import math
from enum import StrEnum

from msgspec import Struct

from keystrand.keys.machine import Table
from keystrand.keys.policy import Choice, Permit
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key_policy import FAIL, Exhaustion, ExhaustionMode

CLOSED_RETRY_S = 30.0
"""What a caller is told when nothing can be said of the stock's return: the order of a key distribution round."""


class Supply(StrEnum):
    """How a profile's keys stand on a link.

    `empty`: they ran out; each request is still tried. `waiting`: they ran out a moment ago and requests wait.
    `degraded`: another profile takes their place. `closed`: that lasted too long; nothing is given.
    """

    NORMAL = "normal"
    EMPTY = "empty"
    WAITING = "waiting"
    DEGRADED = "degraded"
    CLOSED = "closed"


class SupplyEvent(StrEnum):
    """What moves it: the keys ran out and the policy says what then; they are back; time is up; the policy changed."""

    OUT_FAIL = "ran out (fail)"
    OUT_WAIT = "ran out (wait)"
    OUT_DEGRADE = "ran out (degrade)"
    RECOVERED = "recovered"
    DEADLINE = "deadline"
    REVISED = "policy changed"


class Exhausted(Struct, frozen=True):
    """A request found too few keys; `bits` is what the smallest of the profile's pools still holds.

    With `recover_bits` or more in stock it was the request that was too large: nobody can degrade a link by asking.
    """

    bits: int = 0


class Stock(Struct, frozen=True):
    """How many bits the smallest of the profile's pools holds now."""

    bits: int


class Revised(Struct, frozen=True):
    """A policy came into force that says this of the profile."""

    exhaustion: Exhaustion


Seen = Exhausted | Stock | Revised


class Change(Struct, frozen=True, kw_only=True):
    """A change to be audited. `until_s` is when the new state ends by itself, infinite where it does not."""

    link: str
    profile: str
    before: Supply
    after: Supply
    cause: SupplyEvent
    degrade_to: str
    until_s: float

    @property
    def alarm(self) -> bool:
        """Whether an alarm is to be raised; otherwise the one that stands for this link and profile is cleared."""
        return self.after is not Supply.NORMAL

    def __str__(self) -> str:
        instead = f", {self.degrade_to} takes its place" if self.after is Supply.DEGRADED else ""
        return f"link {self.link}, profile {self.profile}: {self.before} to {self.after} ({self.cause}){instead}"


class FallbackClosed(NoKeyAvailable):
    """A degraded profile has reached the end of its time, and the keys it stands for are not back."""

    retry_after_s = CLOSED_RETRY_S
    default_hint = "restore the source of the keys; the link opens again once recover_bits of its policy are in stock"


class Course(Struct, frozen=True, kw_only=True):
    """What to do for a request now: take keys by `choice`, and where there are too few wait until `wait_until_s`.

    `instead_of` names the profiles that were passed over, empty for none: the answer must say so.
    """

    choice: Choice
    wait_until_s: float = 0.0
    instead_of: tuple[str, ...] = ()


class Fallback:
    """The machine of one profile on one link."""

    def __init__(self, link: str, profile: str, exhaustion: Exhaustion) -> None:
        self.link, self.profile, self.exhaustion = link, profile, exhaustion
        self.state = Supply.NORMAL
        self.until_s = math.inf
        self._now = -math.inf
        self._changes: list[Change] = []

    def handle(self, event: Seen, now: float) -> Supply:
        """Take note of `event` and return the state. Time that has passed counts first."""
        self._pass_time(now)
        match event:
            case Exhausted(bits):
                if bits < self.exhaustion.recover_bits:
                    self._move(_OUT[self.exhaustion.mode], now)
            case Stock(bits):
                if bits >= self.exhaustion.recover_bits:
                    self._move(SupplyEvent.RECOVERED, now)
            case Revised(exhaustion):
                if exhaustion != self.exhaustion:
                    self.exhaustion = exhaustion
                    self._move(SupplyEvent.REVISED, now)
        return self.state

    def at(self, now: float) -> Supply:
        """Return the state at `now`."""
        self._pass_time(now)
        return self.state

    def poll(self, now: float) -> tuple[Change, ...]:
        """Return the changes since the last call, those of time that has passed included."""
        self._pass_time(now)
        changes, self._changes = tuple(self._changes), []
        return changes

    def _pass_time(self, now: float) -> None:
        if now < self._now:
            self.until_s -= self._now - now
        self._now = now
        if now >= self.until_s:
            self._move(SupplyEvent.DEADLINE, now)

    def _move(self, event: SupplyEvent, now: float) -> None:
        before, after = self.state, SUPPLY.after(self.state, event)
        if after is before:
            return
        lasts_s = {Supply.WAITING: self.exhaustion.wait_s, Supply.DEGRADED: self.exhaustion.max_duration_s}.get(after)
        self.state, self.until_s = after, math.inf if lasts_s is None else now + lasts_s
        self._changes.append(
            Change(
                link=self.link, profile=self.profile, before=before, after=after, cause=event,
                degrade_to=self.exhaustion.degrade_to or "", until_s=self.until_s,
            )
        )  # fmt: skip


class Fallbacks:
    """The machines of all profiles on all links under the policy in force. A restart begins with all of them normal."""

    def __init__(self, rules: PolicyRules) -> None:
        self._rules = rules
        self._machines: dict[tuple[str, str], Fallback] = {}

    @property
    def states(self) -> dict[tuple[str, str], Supply]:
        """How every profile stands by link and profile, for status and metrics; what is not in it is normal."""
        return {place: machine.state for place, machine in self._machines.items()}

    @property
    def next_deadline_s(self) -> float:
        """When `poll` has something to do at the latest, infinite for never."""
        return min((machine.until_s for machine in self._machines.values()), default=math.inf)

    def handle(self, link: str, profile: str, event: Seen, now: float) -> Supply:
        """Take note of `event` and return the state. Only what runs out has a machine: other events make none."""
        machine = self._machines.get((link, profile))
        if machine is None:
            if not isinstance(event, Exhausted):
                return Supply.NORMAL
            machine = self._machines[link, profile] = Fallback(link, profile, self._exhaustion(profile))
        return machine.handle(event, now)

    def poll(self, now: float) -> tuple[Change, ...]:
        """Return the changes of all machines since the last call."""
        return tuple(change for machine in self._machines.values() for change in machine.poll(now))

    def adopt(self, rules: PolicyRules, now: float) -> None:
        """Go on under another policy: where it says something else of a profile, that one begins anew."""
        self._rules = rules
        for (_, profile), machine in self._machines.items():
            machine.handle(Revised(self._exhaustion(profile)), now)

    def course(self, link: str, permit: Permit, now: float) -> Course:
        """Return what to do for a request that holds `permit`. Raises `FallbackClosed`.

        Where the keys of the course run out, tell `handle` and ask again: the chain of choices is finite. A request
        that may not take what its profile degrades to goes on with that profile, and gets what is left of it.
        """
        passed: list[str] = []
        for choice in permit.choices:
            name = choice.profile.name
            machine = self._machines.get((link, name))
            state = Supply.NORMAL if machine is None else machine.at(now)
            if state is Supply.CLOSED:
                raise FallbackClosed(f"link {link}: profile {name} ran out, and the time for a substitute is over")
            if state is not Supply.DEGRADED or choice is permit.choices[-1]:
                wait_until_s = machine.until_s if machine is not None and state is Supply.WAITING else 0.0
                return Course(choice=choice, wait_until_s=wait_until_s, instead_of=tuple(passed))
            passed.append(name)
        raise NoKeyAvailable(f"link {link}: the permit names no profile")

    def _exhaustion(self, profile: str) -> Exhaustion:
        known = self._rules.profiles.get(profile)
        return FAIL if known is None else known.exhaustion


_OUT = {
    ExhaustionMode.FAIL: SupplyEvent.OUT_FAIL,
    ExhaustionMode.WAIT: SupplyEvent.OUT_WAIT,
    ExhaustionMode.DEGRADE: SupplyEvent.OUT_DEGRADE,
}
S, E = Supply, SupplyEvent
SUPPLY = Table(
    name="supply",
    start=S.NORMAL,
    rows={
        (S.NORMAL, E.OUT_FAIL): S.EMPTY,
        (S.NORMAL, E.OUT_WAIT): S.WAITING,
        (S.NORMAL, E.OUT_DEGRADE): S.DEGRADED,
        (S.EMPTY, E.RECOVERED): S.NORMAL,
        (S.EMPTY, E.REVISED): S.NORMAL,
        (S.WAITING, E.RECOVERED): S.NORMAL,
        (S.WAITING, E.DEADLINE): S.EMPTY,
        (S.WAITING, E.REVISED): S.NORMAL,
        (S.DEGRADED, E.RECOVERED): S.NORMAL,
        (S.DEGRADED, E.DEADLINE): S.CLOSED,
        (S.DEGRADED, E.REVISED): S.NORMAL,
        (S.CLOSED, E.RECOVERED): S.NORMAL,
        (S.CLOSED, E.REVISED): S.NORMAL,
    },
)
"""The whole machine. What is not in it changes nothing: keys that run out twice, or come back without having gone."""
