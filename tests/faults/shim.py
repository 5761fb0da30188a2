"""The fault shim from Python: built with gcc, put into a process by its environment, ruled by a mapped file, logged.

The shim itself is `shim.c`; the layouts here and there must agree.
"""

import errno
import mmap
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from pathlib import Path

from msgspec import Struct

_SOURCE = Path(__file__).with_name("shim.c")
_RECORD = struct.Struct("<QQQQIIII")
_RULE = struct.Struct("<IIIIIIII96s")
_RULES = 8
_HITS_AT = 24
"""Where a rule counts the steps it has met."""


class Op(IntFlag):
    """A step of a process on a file or a name."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 4
    EXTEND = 8
    SYNC = 16
    RENAME = 32
    UNLINK = 64
    LINK = 128
    ODD = 256


class Opened(IntFlag):
    """What an `Op.OPEN` did."""

    CREATED = 1
    EMPTIED = 2
    FOLDER = 4


class Action(IntEnum):
    """What meets a step, beside an errno."""

    STALL = 0
    NO_SPACE = errno.ENOSPC
    IO_ERROR = errno.EIO
    KILL_BEFORE = 10000
    KILL_AFTER = 10001


class Rule(Struct, frozen=True, kw_only=True):
    """After `skip` steps of `ops` on paths like `pattern`, `times` more (0: all that come) meet `action`.

    `torn`: the first write that would fail writes half of its bytes, as a full disk does. `stall_ms`: how long each
    waits before.
    """

    ops: Op
    pattern: str
    action: Action
    skip: int = 0
    times: int = 0
    stall_ms: int = 0
    torn: bool = False


class Control:
    """The rules a process with the shim obeys, changed while it runs. `file` is made anew."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(bytes(_RULE.size * _RULES))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    def set(self, *rules: Rule) -> None:
        """Obey these rules from now on, and no others; counts of hits begin at 0."""
        if len(rules) > _RULES:
            raise ValueError(f"the shim has room for {_RULES} rules")
        self._map[:] = bytes(len(self._map))
        for at, rule in enumerate(rules):
            tail = (rule.ops, rule.skip, rule.times, rule.action, rule.stall_ms, 0, rule.torn, rule.pattern.encode())
            _RULE.pack_into(self._map, at * _RULE.size, 0, *tail)
            struct.pack_into("<I", self._map, at * _RULE.size, 1)

    def disarm(self) -> int:
        """Obey no rule from now on; return how many steps the first has met."""
        for at in range(_RULES):
            struct.pack_into("<I", self._map, at * _RULE.size, 0)
        return self.hits()

    def hits(self, at: int = 0) -> int:
        """Return how many steps rule number `at` has met."""
        return int(struct.unpack_from("<I", self._map, at * _RULE.size + _HITS_AT)[0])

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


class Record(Struct, frozen=True, kw_only=True):
    """One step from the log, done. `place` is an offset, a length, or an `Opened`.

    `covers` is the first step that a sync need not cover, `error` the errno of a sync that failed.
    """

    seq: int
    inode: int
    place: int
    covers: int
    op: Op
    error: int
    paths: tuple[str, ...]
    content: bytes


def build(folder: Path) -> Path:
    """Compile the shim into `folder` and return the library. Raises `CalledProcessError` where gcc does not."""
    library = folder / "faultshim.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True)
    return library


def environment(library: Path, folders: Sequence[Path], log: Path, control: Control) -> dict[str, str]:
    """Return what to add to a process's environment. The log is appended to."""
    return {
        "LD_PRELOAD": str(library),
        "FAULTS_FOLDERS": os.pathsep.join(str(folder.resolve()) for folder in folders),
        "FAULTS_LOG": str(log),
        "FAULTS_CONTROL": str(control.file),
    }


def read_log(log: Path) -> Iterator[Record]:
    """Yield the steps in order; a record whose writer was killed in the middle of it is the last and left out."""
    octets = memoryview(log.read_bytes())
    at = 0
    while at + _RECORD.size <= len(octets):
        seq, inode, place, covers, op, error, path_bytes, data_bytes = _RECORD.unpack_from(octets, at)
        path_at = at + _RECORD.size
        at = path_at + path_bytes + data_bytes
        if at > len(octets):
            return
        yield Record(
            seq=seq, inode=inode, place=place, covers=covers, op=Op(op), error=error,
            paths=tuple(bytes(octets[path_at : path_at + path_bytes]).decode().split("\n")),
            content=bytes(octets[path_at + path_bytes : at]),
        )  # fmt: skip
