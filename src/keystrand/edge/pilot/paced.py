"""A consumer that does one thing so many times a second, each time in a thread of its own, and keeps what came of it.

A slow attempt holds up no other, so that the way's return is seen at once and not when the last time-out is over.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from keystrand.edge.pilot.attempts import Attempt, Done, Outcome, begun_in, traffic_of
from keystrand.edge.pilot.base import Traffic
from keystrand.model.errors import KeystrandError, NoKeyAvailable
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed

PATIENCE_S = 2.0
"""How long one wait of an attempt may last: more than a lost first packet of TCP takes (1 s; RFC 6298, 2.1)."""
MOST_AT_ONCE = 64
"""Attempts under way at once, where the pace alone would allow more. While so many wait no further one begins: it is
not tried, and not counted."""
_END_S = 30.0

Operation = Callable[[], Done | None]
"""Does the thing once; None where there was nothing to try. Raises `KeystrandError`, `NoKeyAvailable` for want of a
key, or `OSError`."""


class Paced:
    """Begins `operation` at a steady pace from `begin` to `end`."""

    def __init__(self, per_s: float, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._period_s = 1 / per_s
        # what begins while one attempt is patient, and no more: a machine that is slow is not made slower
        self._most = min(most_at_once, max(2, math.ceil(per_s * PATIENCE_S)))
        self._attempts: list[Attempt] = []
        self._running: dict[threading.Thread, float] = {}
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._pacer: threading.Thread | None = None

    def begin(self, operation: Operation) -> None:
        """Begin."""
        self._over.clear()
        self._pacer = threading.Thread(target=self._pace, args=(operation,), name="pace", daemon=True)
        self._pacer.start()

    def end(self) -> None:
        """Begin no further one and wait for those under way."""
        self._over.set()
        if self._pacer:
            self._pacer.join()
        self._pacer = None
        self._wait(float("inf"))

    def between(self, from_s: float, to_s: float) -> tuple[Attempt, ...]:
        """Return what began between two moments that are over, once all of it has ended."""
        self._wait(to_s)
        with self._changed:
            return begun_in(self._attempts, from_s, to_s)

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        """Return what went through between two moments that are over."""
        self._wait(to_s)
        with self._changed:
            return traffic_of(self._attempts, from_s, to_s)

    def _wait(self, before_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: all(at_s >= before_s for at_s in self._running.values()), _END_S)

    def _pace(self, operation: Operation) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            if len(self._running) < self._most:
                thread = threading.Thread(target=self._attempt, args=(operation,), daemon=True)
                with self._changed:
                    self._running[thread] = time.time()
                thread.start()
            # what is late is left out and not made up for in a burst
            due = max(due + self._period_s, time.monotonic())

    def _attempt(self, operation: Operation) -> None:
        at_s = self._running[threading.current_thread()]
        made = _attempted(operation, at_s)
        with self._changed:
            if made:
                self._attempts.append(made)
            del self._running[threading.current_thread()]
            self._changed.notify_all()


def _attempted(operation: Operation, at_s: float) -> Attempt | None:
    try:
        done = operation()
    except NoKeyAvailable as error:
        return Attempt(at_s=at_s, ended_s=time.time(), outcome=Outcome.NO_KEY, why=error.message)
    except (KeystrandError, OSError) as error:
        return Attempt(at_s=at_s, ended_s=time.time(), outcome=Outcome.FAILED, why=str(error))
    return Attempt(at_s=at_s, ended_s=time.time(), outcome=Outcome.DONE, done=done) if done else None


class PacedTrial:
    """What the trials of a paced consumer share; it names its key in band, and no agent serves it, unless it says so.

    A subclass sets `_operation` to what is done now: without keystrand's keys, with them, or nothing.
    """

    how = ""
    programs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    most_at_once = MOST_AT_ONCE

    def __init__(self, declared: PilotConsumer) -> None:
        self.declared = declared
        self.deeds: list[Deed] = []
        self._operation: Operation = nothing
        self._paced = Paced(declared.per_s, most_at_once=self.most_at_once)

    def begin_keyed(self) -> None:
        """Begin to take keys, where no agent does it."""

    def agent_kind(self) -> str:
        """Return none."""
        return ""

    def agent_settings(self, _at: int) -> Mapping[str, str | int | float | bool]:
        """Return none."""
        return {}

    def installer_prefix(self, _at: int) -> Sequence[str]:
        """Return none: what it keys is in no site's namespace."""
        return ()

    def installer_env(self, _at: int) -> Mapping[str, str]:
        """Return none."""
        return {}

    def begin_traffic(self) -> None:
        """Begin attempts at the declared pace."""
        self._paced.begin(self._whatever_is_done_now)

    def _whatever_is_done_now(self) -> Done | None:
        return self._operation()

    def end_traffic(self) -> None:
        """End them, and wait for those under way."""
        self._paced.end()

    def attempts(self, from_s: float, to_s: float) -> tuple[Attempt, ...]:
        """Return each attempt that began between two moments."""
        return self._paced.between(from_s, to_s)

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        """Return what went through between two moments."""
        return self._paced.traffic(from_s, to_s)

    def keys_used(self, from_s: float, to_s: float) -> tuple[tuple[float, str], ...]:
        """Return the moment and the key_ID of each success that began between two moments."""
        return tuple((one.ended_s, one.done.key_id) for one in self.attempts(from_s, to_s) if one.done)

    def throughput(self, _seconds: float) -> float | None:
        """Return None: it means nothing."""
        return None

    def in_clear(self) -> int | None:
        """Return None: whatever it sends is sealed before it is sent, and no count of packets can tell."""
        return None


def nothing() -> Done | None:
    """Try nothing."""
    return None
