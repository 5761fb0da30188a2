"""A wrong clock for one program: its wall clock alone is off, and nothing stays behind where it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keystrand.edge.daemons import Daemon
from keystrand.edge.pilot import clock
from keystrand.edge.pilot.clock import sweep, wrong_clock
from keystrand.model.errors import MissingInput

SHARED = Path("/dev/shm")  # noqa: S108 - where the kernel keeps it
needs_it = pytest.mark.skipif(
    not list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), reason="needs libfaketime (Debian package)"
)


@needs_it
@pytest.mark.parametrize("ahead_s", [3600.0, -90.5])
def test_only_the_wall_clock_is_wrong(ahead_s: float) -> None:
    """The time of day is ahead by what was asked; the steady clocks are those of the machine."""
    tell = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    before = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    told = subprocess.run([*wrong_clock(ahead_s), sys.executable, "-c", tell], capture_output=True, check=True)
    after = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    for n, said in enumerate(map(float, told.stdout.split())):
        off_s = 0.0 if n else ahead_s
        assert before[n] - 0.01 <= said - off_s <= after[n] + 0.01


def test_a_right_clock_needs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing is to be wrong there is nothing to install; where something is, the package is named."""
    monkeypatch.setattr(clock, "_LIBRARIES", (tmp_path,))
    assert wrong_clock(0) == ()
    with pytest.raises(MissingInput, match="libfaketime") as caught:
        wrong_clock(1)
    assert "apt-get install libfaketime" in caught.value.hint


@needs_it
@pytest.mark.system
def test_what_a_kill_leaves_is_swept(tmp_path: Path) -> None:
    """The files in shared memory of one that was killed are removed; those of one that runs are not."""
    log = [tmp_path / name for name in "ab"]
    talks = "import signal, time; print('up', time.time(), flush=True); signal.pause()"
    killed, alive = (Daemon([sys.executable, "-c", talks], one, prefix=wrong_clock(60)) for one in log)
    try:
        for one, file in ((killed, log[0]), (alive, log[1])):
            one.start(lambda file=file: "up" in file.read_text())  # type: ignore[misc]
        dead, living = killed.pid, alive.pid
        assert list(SHARED.glob(f"*faketime_*_{dead}"))
        os.kill(dead, signal.SIGKILL)
        killed.kill()
        sweep()
        assert not list(SHARED.glob(f"*faketime_*_{dead}"))
        assert list(SHARED.glob(f"*faketime_*_{living}"))
    finally:
        killed.kill()
        alive.kill()
        sweep()
