"""What files a target names: itself, or all below it, in a fixed order, and nothing outside its border.

Links to folders are not followed, links to files only where they stay inside; whatever is left out is told.
"""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from keystrand.formats.zeek_log import read_together
from keystrand.model.observation import Outcome

MAX_FILES = 1_000_000
"""Files of one target that are read at most; some 150 octets of memory each."""
_NOT_FILES = frozenset(
    ("proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "pstore", "bpf",
     "configfs", "fusectl", "mqueue", "hugetlbfs", "binfmt_misc", "efivarfs", "autofs")
)  # fmt: skip
"""Types of file systems that hold no files: the kernel makes up what is read from them, without end in places."""


class Root(NamedTuple):
    """Where a walk begins (`top`, real), what it must not leave (`border`), and what shown paths begin at (`base`)."""

    top: Path
    border: Path
    base: Path | None


class File(NamedTuple):
    """A file to read: its path, how it is shown, and what the system says of it, links followed.

    `beside`: what it says of the files that are read together with this one; None for one that is not there.
    """

    path: str
    shown: str
    status: os.stat_result
    beside: tuple[os.stat_result | None, ...] = ()

    @property
    def identity(self) -> int:
        """Return one number for device, inode and change: two names of one file have the same.

        An inode alone is that of another file as soon as the first is gone.
        """
        return self.status.st_dev << 128 | self.status.st_ino << 64 | self.status.st_ctime_ns


class Missed(NamedTuple):
    """Something that was not read, and why. `link`: only a name of something that is read elsewhere, or not ours."""

    shown: str
    outcome: Outcome
    reason: str
    link: bool = False


def root(folder: Path, path: str) -> Root | Missed:
    """Return where the target's `path` begins: absolute, it is its own border; relative, `folder` is."""
    given = Path(path)
    try:
        top = (folder / given).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        return Missed(path, Outcome.UNREADABLE, why(error))
    if path and given.is_absolute():
        return Root(top, top, None)
    border = folder.resolve()
    if not path or not top.is_relative_to(border):
        return Missed(path, Outcome.SKIPPED, "outside the estate's folder; it was not read")
    return Root(top, border, border)


def why(error: Exception) -> str:
    """Return what the system says, without a path."""
    return (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "not a path that can be read"


def shown(path: str, base: Path | None) -> str:
    """Return `path` relative to `base`; octets that are not UTF-8 are written as escapes."""
    relative = (path[len(str(base)) :].lstrip("/") or ".") if base else path
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def walk(start: Root, max_files: int = MAX_FILES) -> Iterator[File | Missed]:
    """Yield every file below `start`, those of a folder before its folders, each level by name; and what is missed."""
    if not start.top.is_dir():
        yield _one(str(start.top), start)
        return
    count = 0
    for found in _below(start):
        count += isinstance(found, File)
        if count > max_files:
            reason = f"more than {max_files} files; the rest was not read"
            yield Missed(shown(str(start.top), start.base), Outcome.SKIPPED, reason)
            return
        yield found


def _below(start: Root) -> Iterator[File | Missed]:
    made_up = _made_up()
    waiting = [str(start.top)]
    while waiting:
        here = waiting.pop()
        if here in made_up:
            yield Missed(shown(here, start.base), Outcome.SKIPPED, f"a file system of the kernel's ({made_up[here]})")
            continue
        try:
            with os.scandir(here) as found:
                entries = sorted(islice(found, MAX_FILES), key=lambda entry: entry.name)
                if next(found, None):
                    reason = f"more than {MAX_FILES} names in one folder; the rest was not read"
                    yield Missed(shown(here, start.base), Outcome.SKIPPED, reason)
        except OSError as error:
            yield Missed(shown(here, start.base), Outcome.UNREADABLE, why(error))
            continue
        folders = [entry.path for entry in entries if _is_folder(entry)]
        waiting += reversed(folders)
        inside = set(folders)
        yield from (_entry(entry, start) for entry in entries if entry.path not in inside)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _entry(entry: os.DirEntry[str], start: Root) -> File | Missed:
    try:
        if entry.is_symlink():
            return _link(entry.path, start)
        return _regular(entry.path, shown(entry.path, start.base), entry.stat(follow_symlinks=False))
    except OSError as error:
        return Missed(shown(entry.path, start.base), Outcome.UNREADABLE, why(error))


def _link(path: str, start: Root) -> File | Missed:
    """Return the file that a link leads to, if it stays inside the border. Raises `OSError`."""
    name = shown(path, start.base)
    real = os.path.realpath(path, strict=True)
    status = os.lstat(real)
    if stat.S_ISDIR(status.st_mode):
        return Missed(name, Outcome.SKIPPED, "a link to a folder, which is not followed", link=True)
    if not f"{real}/".startswith(f"{str(start.border).rstrip('/')}/"):
        where = "the estate's folder" if start.base else "the folder that is read"
        return Missed(name, Outcome.SKIPPED, f"a link that leads out of {where}; it was not read", link=True)
    return _regular(real, name, status)


def _one(path: str, start: Root) -> File | Missed:
    try:
        return _regular(path, shown(path, start.base), os.lstat(path))
    except OSError as error:
        return Missed(shown(path, start.base), Outcome.UNREADABLE, why(error))


def _regular(path: str, name: str, status: os.stat_result) -> File | Missed:
    if not stat.S_ISREG(status.st_mode):
        return Missed(name, Outcome.UNREADABLE, "not a regular file")
    return File(path, name, status, tuple(map(_status, read_together(path))))


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _made_up() -> dict[str, str]:
    """Return where file systems that hold no files are mounted, and their types (proc(5), mounts)."""
    try:
        with Path("/proc/self/mounts").open(encoding="utf-8", errors="surrogateescape") as mounts:
            fields = [line.split() for line in mounts]
    except OSError:
        return {}
    return {field[1]: field[2] for field in fields if len(field) > 2 and field[2] in _NOT_FILES}
