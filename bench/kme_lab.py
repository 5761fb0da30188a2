"""A running lab of KMEs: this project's, or any program with the same manners, and what it costs the machine.

A lab program is called with `--dir DIR`, prints `ready` once its KMEs answer, has written DIR/lab.json by then, and
runs until SIGTERM.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.measure import Failed

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_START_S = 600.0
"""A lab that makes a large stock first takes its time."""
_STOP_S = 20.0


class LabKme(Struct, frozen=True, kw_only=True):
    """One KME of a lab; what it uses is that of its process `pid` and those that it started."""

    id: str
    url: str
    pid: int


class LabSae(Struct, frozen=True, kw_only=True):
    """One SAE of a lab, with its PEM files, and its KME."""

    id: str
    cert: str
    key: str
    kme: str


class LabFile(Struct, frozen=True, kw_only=True):
    """The file lab.json."""

    ca: str
    kmes: tuple[LabKme, ...]
    saes: tuple[LabSae, ...]


class Lab:
    """One lab, running."""

    def __init__(self, name: str, folder: Path, child: subprocess.Popen[bytes]) -> None:
        self.name, self.folder, self._child = name, folder, child
        self.file = folder / "lab.json"
        self.parties = msgspec.json.decode(self.file.read_bytes(), type=LabFile)

    @property
    def _pids(self) -> tuple[int, ...]:
        return tuple({kme.pid for kme in self.parties.kmes})

    def cpu_s(self) -> float:
        """Return the processor time that all its KMEs have used so far."""
        return sum(cpu_seconds(pid) for root in self._pids for pid in family(root))

    def largest_rss_bytes(self) -> int:
        """Return the memory of that KME which holds most."""
        return max(sum(map(rss_bytes, family(root))) for root in self._pids)

    def size_bytes(self) -> int:
        """Return what all files of the lab take on the disk."""
        return sum(file.stat().st_blocks * 512 for file in self.folder.rglob("*") if file.is_file())

    def stop(self) -> None:
        """End it."""
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
        _reap(self._child)


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.wait()
    if child.stdout:
        child.stdout.close()


@contextlib.contextmanager
def running(name: str, command: Sequence[str], folder: Path) -> Iterator[Lab]:
    """Start `command` with `--dir FOLDER`, wait until it is ready, and end it afterwards.

    Raises `Failed` where it does not get ready; its standard error is in FOLDER with the suffix `.log`.
    """
    log = folder.with_suffix(".log")
    with log.open("wb") as errors:
        child = subprocess.Popen(  # noqa: S603  # a program that the one who measures has named
            [*command, "--dir", str(folder)], bufsize=0, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        _wait_ready(name, child, log)
        lab = Lab(name, folder, child)
    except BaseException:
        child.kill()
        _reap(child)
        raise
    try:
        yield lab
    finally:
        lab.stop()


def _wait_ready(name: str, child: subprocess.Popen[bytes], log: Path) -> None:
    out, deadline = child.stdout, time.monotonic() + _START_S
    while out and time.monotonic() < deadline:
        if not select.select([out], [], [], 1.0)[0]:
            continue
        line = out.readline()
        if line.startswith(b"ready"):
            return
        if not line:
            break
    told = log.read_text(errors="replace").strip().splitlines()[-5:]
    raise Failed(f"{name} did not get ready: {' | '.join(told) or 'no word from it'}")


# What a process uses


def family(pid: int) -> tuple[int, ...]:
    """Return `pid` and all processes below it that are alive."""
    with contextlib.suppress(OSError):
        children = [c for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
        return (pid, *(member for child in children for member in family(int(child))))
    return (pid,)


def cpu_seconds(pid: int) -> float:
    """Return the processor time, user and system, of all threads of one process; 0 where it is gone."""
    with contextlib.suppress(OSError):
        # the command's name, in parentheses, may hold spaces (proc(5)): fields 14 and 15 are counted after it
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return 0.0


def rss_bytes(pid: int) -> int:
    """Return the resident memory of one process; 0 where it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0
