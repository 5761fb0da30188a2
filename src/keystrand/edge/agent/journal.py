"""What an agent remembers of its consumers over a crash: one file each, written whole and synced; never a key byte.

Times inside a process are those of the machine's own steady clock. After a restart of the machine they are carried over
by the wall clock; where that went backwards every key counts as too old.
"""

import fcntl
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from keystrand.edge.files import write_atomic
from keystrand.keys.agent_memory import Memory, Note
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.model.taken_apart import take_apart

_FORMAT = 1
_FAR_S = 1e9
"""Older than any key may be."""
_LOOK_MOST_S = 0.3
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def steady_s() -> float:
    """Return the time of the agent: seconds since the machine's start, those of its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    consumer: str
    role: str
    boot_id: str
    steady_s: float
    wall_s: float
    memory: Memory


take_apart(_File)


class Journal:
    """The journal in `folder`, for one agent at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = -1

    def open(self) -> None:
        """Take it for this process. Raises `StoreFailure` where another has it, or it cannot be written."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StoreFailure(f"{self._folder} cannot hold a journal: {error.strerror}") from error
        if not self._free():
            self.close()
            raise StoreFailure(f"another agent runs with the journal {self._folder}", hint="stop it, or name another")
        for left in self._folder.glob(".*.json.*"):
            left.unlink()  # a write that a kill cut short

    def _free(self) -> bool:
        deadline = time.monotonic() + _LOOK_MOST_S  # who only looks whether an agent runs has it for a moment
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.01)
            else:
                return True

    def close(self) -> None:
        """Let go of it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def in_use(self) -> bool:
        """Return whether an agent runs with it. Not for the one that does."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def write(self, consumer: str, role: str, memory: Memory) -> None:
        """Have `memory` on the disk. Raises `StoreFailure`."""
        told = _File(
            format=_FORMAT, consumer=consumer, role=role, boot_id=_boot_id(), steady_s=steady_s(), wall_s=time.time(),
            memory=memory,
        )  # fmt: skip
        write_atomic(self._folder / f"{consumer}.json", msgspec.json.encode(told) + b"\n", mode=0o600)

    def read(self, consumer: str, role: str, now: float, wall_s: float) -> Memory:
        """Return what is remembered, in the clock of `now`; nothing yet where there is no file.

        Raises `StoreFailure`, or `InvalidInput` where the file is not what an agent in `role` wrote.
        """
        file = self._folder / f"{consumer}.json"
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise StoreFailure(f"{file} cannot be read: {error.strerror}") from error
        hint = "keep it for whoever looks into it, retire the consumer's keys by hand, and move the file away"
        try:
            told = msgspec.json.decode(content, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file} is no journal: {error}", hint=hint) from None
        if (told.format, told.consumer, told.role) != (_FORMAT, consumer, role):
            raise InvalidInput(f"{file} is the journal of the {told.role} of {told.consumer}, not {role}", hint=hint)
        return _carried(told, now, wall_s)


def _carried(told: _File, now: float, wall_s: float) -> Memory:
    if told.boot_id == _boot_id():
        return told.memory
    away_s = wall_s - told.wall_s
    shift = now - (away_s if away_s >= 0 else _FAR_S) - told.steady_s
    memory = told.memory

    def moved(at: float | None) -> float | None:
        return None if at is None else at + shift

    def note(one: Note) -> Note:
        return replace(one, born_s=one.born_s + shift)

    return replace(
        memory, held=tuple(map(note, memory.held)), proven=memory.proven and note(memory.proven),
        proved_s=moved(memory.proved_s), substitutes_since_s=moved(memory.substitutes_since_s),
    )  # fmt: skip


def _boot_id() -> str:
    return _BOOT.read_text().strip()
