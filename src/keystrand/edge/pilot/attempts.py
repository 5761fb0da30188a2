"""Single attempts of a consumer: what came of each, and what many of them say of a span of time. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from keystrand.edge.pilot.base import Traffic
from keystrand.pilot.traffic import Packets


class Outcome(StrEnum):
    """What came of an attempt. Without a key nothing was sent to the other end."""

    DONE = "done"
    NO_KEY = "no-key"
    FAILED = "failed"


class Done(NamedTuple):
    """What a success tells: the key in use, how long it took (seconds), and of TLS the rest."""

    key_id: str
    operation_s: float
    enc_keys_s: float | None = None
    group: str = ""


class Attempt(Struct, frozen=True, kw_only=True):
    """One handshake, file or operation, by `time.time()`. Where it failed `done` is None, `why` says why."""

    at_s: float
    ended_s: float
    outcome: Outcome
    done: Done | None = None
    why: str = ""


def begun_in(attempts: Iterable[Attempt], from_s: float, to_s: float) -> tuple[Attempt, ...]:
    """Return those that began from `from_s` on and before `to_s`, in the order they began."""
    return tuple(sorted((one for one in attempts if from_s <= one.at_s < to_s), key=lambda one: one.at_s))


def traffic_of(attempts: Sequence[Attempt], from_s: float, to_s: float) -> Traffic:
    """Return what the attempts that began between two moments came to.

    The longest gap is that between successes that ended there, and the two moments: what reaches over an edge is
    counted up to the edge. None where nothing was tried and nothing succeeded.
    """
    begun = begun_in(attempts, from_s, to_s)
    ways = Packets(np.array([one.at_s for one in attempts]), np.array([_answered_s(one) for one in attempts]))
    heard = bool(begun) or any(one.done and from_s <= one.ended_s <= to_s for one in attempts)
    return Traffic(
        tried=len(begun),
        failed=sum(one.done is None for one in begun),
        longest_gap_s=ways.longest_gap_s(from_s, to_s) if heard else None,
        operation_s=tuple(one.done.operation_s for one in begun if one.done),
    )


def _answered_s(one: Attempt) -> float:
    return one.ended_s if one.done else float("nan")
