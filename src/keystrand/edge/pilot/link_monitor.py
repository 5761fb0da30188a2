"""The telemetry of a pilot's quantum link, as its devices would send it, and what our own monitoring makes of it."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keystrand.model.link import LinkRate
from keystrand.model.telemetry import LinkTelemetry
from keystrand.operate.link_kinds import Kind
from keystrand.operate.link_signs import Verdict, classify, unseen
from keystrand.pilot.link_reports import report

INTERVAL_S = 0.5
_BASELINE = 12
"""How many quiet reports the judging begins with."""
_WINDOW = 12
"""How many of the latest reports are judged: what is over is not told for ever."""


class Told(NamedTuple):
    """An alarm: when (`time.time()`), and what the figures look like."""

    at_s: float
    text: str


class LinkMonitor:
    """Takes a report of the link twice a second and judges it; `state` says what the link does, None where it is cut.

    What is reported is simulated; the judging is the one that `keystrand qkd signs` does.
    """

    def __init__(self, link: str, state: Callable[[], LinkRate | None], *, seed: int) -> None:
        self._link, self._state, self._rng = link, state, np.random.default_rng(seed)
        self._quiet: list[LinkTelemetry] = []
        self._latest: list[LinkTelemetry] = []
        self._began = time.monotonic()
        self._stop = threading.Event()
        self.alarms: list[Told] = []
        self._thread = threading.Thread(target=self._run, name="link monitor", daemon=True)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return which attacks no such report shows, and why."""
        return tuple(f"{one.attack}: {one.why}" for one in unseen(self._quiet))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def forget(self) -> None:
        """Take what comes from now on as another stretch: an event is over, and its reports with it."""
        self._latest = []

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self.take()

    def take(self) -> Verdict | None:
        """Take one report and return what it is judged to show; None while the baseline is gathered."""
        at_s = round(time.monotonic() - self._began, 6)
        made = report(self._link, self._state(), at_s=at_s, interval_s=INTERVAL_S, rng=self._rng)
        if len(self._quiet) < _BASELINE:
            if made.up:
                self._quiet.append(made)
            return None
        latest = self._latest = [*self._latest, made][-_WINDOW:]
        verdict = classify(self._quiet, latest)
        if verdict.kind not in (Kind.QUIET, Kind.PLANNED):
            self.alarms.append(Told(time.time(), f"{verdict.kind}: {verdict.why}"))
        return verdict
