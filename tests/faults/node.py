"""One KME process that can be killed, have its power cut, and have its disk fail."""

import itertools
import os
import queue
import random
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from .powercut import Disk, Style, files_of, put_back
from .shim import Control, Record, environment, read_log

_READY_S = 30.0
_STOP_S = 15.0
WEAKNESS = "KEYSTRAND_TESTS_WEAKNESS"
"""Which step `weak_kme.py` leaves out. Nothing but that module reads it."""


class NotStarted(AssertionError):
    """A KME did not start on what it had left behind."""


class Node:
    """The KME that `command` starts, at `url`, which keeps its state in `folders`.

    It writes a line that begins with `ready` on standard output once it serves; its standard error goes to `log`. With
    `shim`, steps on its files are logged and obey `rules`.
    """

    def __init__(
        self, kme_id: str, url: str, command: Sequence[str], folders: Sequence[Path], log: Path,
        *, shim: Path | None = None, weakness: str = "",
    ) -> None:  # fmt: skip
        self.kme_id, self.url, self.log = kme_id, url, log
        self._command, self.folders, self._shim, self._weakness = command, folders, shim, weakness
        self.rules = Control(log.with_suffix(".rules"))
        self._logs = (log.with_suffix(f".steps.{n}") for n in itertools.count())
        self._steps = next(self._logs)
        self._child: subprocess.Popen[bytes] | None = None
        self._before: dict[Path, bytes] = {}

    @property
    def has_shim(self) -> bool:
        """Return whether its disk can be made to fail, to be slow, or to lose power."""
        return self._shim is not None

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._child is not None and self._child.poll() is None

    def launch(self) -> None:
        """Start it without waiting; rules are cleared, and what its folders hold is taken to be on the disk."""
        self.rules.set()
        surroundings = {**os.environ, WEAKNESS: self._weakness}
        if self._shim:
            self._steps.unlink(missing_ok=True)
            self._steps, self._before = next(self._logs), files_of(self.folders)
            surroundings |= environment(self._shim, self.folders, self._steps, self.rules)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=surroundings
            )

    def wait_ready(self) -> None:
        """Wait until it serves. Raises `NotStarted` with the end of its log where it does not."""
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        out = self._child and self._child.stdout
        assert out
        threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
        try:
            first = lines.get(timeout=_READY_S)
        except queue.Empty:
            first = b""
        if not first.startswith(b"ready"):
            self.kill()
            last_words = self.log.read_text(errors="replace").splitlines()[-3:]
            raise NotStarted(f"{self.kme_id} did not start: {' / '.join(last_words)}")

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.launch()
        self.wait_ready()

    def kill(self) -> None:
        """SIGKILL; what the system had taken from it stays."""
        if self._child:
            self._child.kill()
        self._reap()

    def stop(self) -> int | None:
        """SIGTERM; return the exit code, None where it did not run."""
        if self._child and self.alive:
            self._child.terminate()
            try:
                self._child.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._reap()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self.rules.close()

    def _reap(self) -> int | None:
        code = None
        if self._child:
            code = self._child.wait()
            for stream in (self._child.stdin, self._child.stdout):
                if stream:
                    stream.close()
        self._child = None
        return code

    def steps(self) -> list[Record]:
        """Return what it has done to its files since it was started."""
        return list(read_log(self._steps))

    def lose_power(self, chance: random.Random, style: Style) -> None:
        """SIGKILL, and leave in its folders what the disk may hold after power was lost at that moment."""
        self.kill()
        disk = Disk(self._before, chance)
        disk.apply(self.steps())
        put_back(self.folders, disk.cut(style))
