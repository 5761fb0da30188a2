"""What a probe is: two pure halves, plan and judge. The scheduler alone opens connections and reads the clock.

A job is one connection with one question. Its conversation says what to send and takes what comes; it does no I/O.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple, Protocol

from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Attempt, Fact, Observation, Outcome, Record, Strength

MAX_RECEIVED = 256 * 1024
"""Octets read from one connection at most: a certificate chain fits several times over, a flood does not."""


class Conversation(Protocol):
    """One connection's worth of talk. `receive` never raises, whatever the other side sends.

    Over UDP `begin` and `receive` return one datagram each, `receive` takes one, and after each of them it is given
    nothing (`b""`) until it has no further datagram to send. What was sent last is sent again while no answer comes.
    """

    done: bool

    def begin(self) -> bytes:
        """Return what to send first."""

    def receive(self, octets: bytes) -> bytes:
        """Take what came and return what to send next; sets `done` once the question is answered."""


class Ending(StrEnum):
    """How a connection ended."""

    DONE = "done"
    CLOSED = "closed"
    RESET = "reset"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NO_CONNECTION = "no-connection"
    TOO_MUCH = "too-much"


class Job(NamedTuple):
    """One question to one host and port. `start` makes a fresh conversation."""

    question: str
    host: str
    port: int
    start: Callable[[], Conversation]
    transport: Literal["tcp", "udp"] = "tcp"


class Answer(NamedTuple):
    """What became of a job: the conversation as it stands, how the connection ended, and why in words."""

    job: Job
    conversation: Conversation
    ending: Ending
    reason: str = ""

    @property
    def connected(self) -> bool:
        """Return whether there was a connection at all."""
        return self.ending not in (Ending.REFUSED, Ending.UNREACHABLE, Ending.NO_CONNECTION)


class NetworkProbe(Protocol):
    """A probe that asks over the network. Each job is at most one connection."""

    kind: ClassVar[ProbeKind]

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the jobs of the next round, given every answer so far; nothing left to ask: an empty tuple."""

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return the observations and exactly one attempt for `target`."""


_OUTCOMES = {
    Ending.REFUSED: Outcome.UNREACHABLE,
    Ending.UNREACHABLE: Outcome.UNREACHABLE,
    Ending.TIMED_OUT: Outcome.TIMED_OUT,
    Ending.NO_CONNECTION: Outcome.TIMED_OUT,
}


def place_of(target: Target) -> str:
    """Return where the target is, as observations write it: `tls://host:port`, `dns://host:port/zone`, `file:path`."""
    if target.probe.reads_files:
        return f"file:{target.path}"
    host = f"[{target.host}]" if ":" in (target.host or "") else target.host
    zone = f"/{target.zone.rstrip('.').lower()}" if target.zone else ""
    return f"{target.probe.value}://{host}:{target.port}{zone}"


Seen = tuple[Strength, Fact]
"""A fact, and how strongly it was seen."""


def strongest(seen: Iterable[Seen]) -> dict[Fact, Strength]:
    """Return each fact once, at the greatest strength it was seen at, the strongest first."""
    found: dict[Fact, Strength] = {}
    for strength, fact in sorted(seen, key=lambda pair: pair[0].rank):
        found.setdefault(fact, strength)
    return found


def observations(target: Target, facts: Mapping[Fact, Strength]) -> tuple[Observation, ...]:
    """Return what was seen at `target` as records."""
    probe, place = target.probe.value, place_of(target)
    return tuple(
        Observation(target=target.id, probe=probe, place=place, strength=strength, fact=fact)
        for fact, strength in facts.items()
    )


def attempt(target: Target, outcome: Outcome, reason: str = "") -> Attempt:
    """Return the attempt that closes the work on `target`."""
    return Attempt(target=target.id, probe=target.probe.value, place=place_of(target), outcome=outcome, reason=reason)


def unanswered(target: Target, answers: tuple[Answer, ...]) -> Attempt:
    """Return the attempt for a target that none of `answers` tells anything about, always with a reason.

    Never `none`, which is what is known to hold nothing: who hangs up, or floods, has not said what it speaks.
    """
    if not answers:
        return attempt(target, Outcome.SKIPPED, "nothing was asked")
    first = answers[0]
    return attempt(
        target, _OUTCOMES.get(first.ending, Outcome.UNREADABLE), first.reason or f"connection {first.ending.value}"
    )
