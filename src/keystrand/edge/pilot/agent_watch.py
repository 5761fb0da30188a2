"""Two agents watched from outside: their audits and their installers' logs as they grow, their standing ten times a
second. What is seen stays until it is asked for.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from keystrand.edge.agent.standing import Standing
from keystrand.model.errors import KeystrandError
from keystrand.operate.audit import Entry, entry_of
from keystrand.pilot.agents_told import FootingSeen, KeyMove, Line

_LOOK_S = 0.1
_MOVED = re.compile(r"(\S+): key (\S+): (installed|retired) at (\d+\.\d+)$", re.MULTILINE)


class AlarmSeen(NamedTuple):
    """An alarm that stood in two looks, and when the first was."""

    at_s: float
    end: int
    consumer: str
    text: str


class Grown:
    """The whole lines of files that only grow, each line once."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder, self._pattern = folder, pattern
        self._read: dict[Path, int] = {}

    def more(self) -> Iterator[bytes]:
        """Yield the lines that are new, their ends included."""
        for path in sorted(self._folder.glob(self._pattern)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # it is being written
                    self._read[path] = self._read.get(path, 0) + len(line)
                    yield line


class Trail:
    """What the agent and the installer at one end have told so far, in this machine's clock."""

    def __init__(self, end: int, audit: Path, log: Path) -> None:
        self._end = end
        self._audit, self._log = Grown(audit, "*.jsonl"), Grown(log.parent, log.name)
        self._skew_s = 0.0
        self.lines: list[Line] = []
        self.moves: list[KeyMove] = []

    def set_clock(self, skew_s: float) -> None:
        """Take note that the agent is started anew, with a clock that is so much ahead of this machine's."""
        self.read()
        self._skew_s = skew_s

    def read(self) -> None:
        """Take what is new. Raises `ValueError` for a line that is none of an audit."""
        for line in self._audit.more():
            entry = entry_of(line)
            if not entry.own:
                self.lines.append(self._as_line(entry))
        for told in _MOVED.finditer(b"".join(self._log.more()).decode(errors="replace")):
            self.moves.append(KeyMove(float(told[4]), self._end, told[1], told[2], told[3] == "retired"))

    def _as_line(self, entry: Entry) -> Line:
        detail: dict[str, Any] = msgspec.json.decode(entry.detail)
        at_s = datetime.fromisoformat(entry.at).timestamp() - self._skew_s
        return Line(at_s, self._end, str(detail.get("consumer", "")), entry.action, detail)


class Watch:
    """Looks at both agents' standing, by `look`, in a thread of its own, from `start` to `stop`."""

    def __init__(self, look: Callable[[int], tuple[Standing, ...]]) -> None:
        self._look = look
        self._over = threading.Event()
        self.looking = threading.Lock()
        """Held while it looks; who holds it is not looked at."""
        self._thread = threading.Thread(target=self._run, name="agents' standing", daemon=True)
        self._stood: dict[tuple[int, str, str], float] = {}
        self._told: set[tuple[int, str, str]] = set()
        self._footings: dict[tuple[int, str], tuple[str, float]] = {}
        self.alarms: list[AlarmSeen] = []
        self.footings: list[FootingSeen] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was seen stays."""
        self._over.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            with self.looking:
                self._look_once(time.time())

    def _look_once(self, now: float) -> None:
        alarms: set[tuple[int, str, str]] = set()
        for end in (0, 1):
            try:
                found = self._look(end)
            except KeystrandError as error:
                alarms.add((end, "", error.message))  # whoever asks for the standing is told the same
                continue
            alarms |= {(end, one.consumer, text) for one in found for text in one.alarms}
            for one in found:
                self._note_footing(end, one, now)
        self._note_alarms(alarms, now)

    def _note_footing(self, end: int, one: Standing, now: float) -> None:
        before, since_s = self._footings.get((end, one.consumer), (one.footing.value, now))
        if before != one.footing.value:
            self.footings.append(FootingSeen(now, end, one.consumer, one.footing.value, since_s))
        self._footings[end, one.consumer] = one.footing.value, now

    def _note_alarms(self, alarms: set[tuple[int, str, str]], now: float) -> None:
        """Note what stands for the second time: what lasts for one look alone is the middle of a changeover."""
        self._stood = {alarm: self._stood.get(alarm, now) for alarm in alarms}
        self._told &= alarms
        for alarm, since_s in self._stood.items():
            if since_s < now and alarm not in self._told:
                self._told.add(alarm)
                self.alarms.append(AlarmSeen(since_s, *alarm))
