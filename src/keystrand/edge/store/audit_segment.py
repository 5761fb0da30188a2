"""The files of an audit: appended to durably, by one process, and looked at while they grow.

Files grow by plain appending (O_APPEND). Measured on ext4, p50 of write + fdatasync: reserving blocks ahead
(`fallocate` with KEEP_SIZE) gains nothing, since committing the new length costs the same; filling ahead with zeros
takes 20 kB from 225 to 113 us, but stalls for 8 to 19 ms at each refill, ends every file in zeros that log shippers
trip over, and gives up O_APPEND. The store's commit, which runs beside it, is slower than either.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keystrand.model.errors import MissingInput, StoreFailure

_PRIVATE = 0o600


def segments(folder: Path) -> list[Path]:
    """Return the files of the audit in `folder`, in the order of the chain."""
    return sorted(folder.glob("audit-*.jsonl"))


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment `number`."""
    return folder / f"audit-{number:06d}.jsonl"


def lock(folder: Path) -> int:
    """Make `folder` if it is not there and take it for this process; return its descriptor. Raises `StoreFailure`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreFailure(f"{folder} cannot hold an audit: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreFailure(
            f"another process writes the audit in {folder}", hint="stop it; one process writes"
        ) from None
    return descriptor


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file up to an unfinished one: without its end, or zeros where a crash left blocks unwritten.

    Raises `StoreFailure` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or b"\0" in line:
                    return
                yield line
    except OSError as error:
        raise StoreFailure(f"{path} cannot be read: {error.strerror}") from error


class Segment:
    """A file to append to. Raises `StoreFailure` on every fault; it is then not to be used again.

    Nothing is tried twice: after a failed fsync the kernel may have dropped what it could not write and call the next
    fsync a success, so a second try would prove nothing.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if new else 0)
        try:
            self._fd = os.open(path, flags, _PRIVATE)
            found = os.fstat(self._fd)
        except OSError as error:
            raise StoreFailure(f"{path} cannot be written: {error.strerror}") from error
        self._file, self.size = (found.st_dev, found.st_ino), found.st_size

    def cut(self, size: int) -> None:
        """Drop what stands after `size` bytes."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise StoreFailure(f"{self.path} cannot be cut: {error.strerror}") from error
        self.size = size

    def append(self, content: bytes) -> None:
        """Write `content`, durable on return, and see that the file is still the one that was opened."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fdatasync(self._fd)
            found = os.stat(self.path)  # noqa: PTH116  # on the path of every answer
        except OSError as error:
            raise StoreFailure(
                f"the audit {self.path} could not be written: {error.strerror}",
                hint="free or repair the disk, then start again; without its audit nothing is answered",
            ) from error
        self.size += len(content)
        if (found.st_dev, found.st_ino) != self._file or found.st_size != self.size:
            raise StoreFailure(
                f"the audit {self.path} was changed by another program",
                hint="find out which: nothing but the key management entity writes there",
            )

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


_PATIENCE_S, _LOOKS = 0.05, 10
"""How often and how long apart a reader looks for the rest of a line that is just being written."""


class Reading:
    """The lines of an audit, file after file, also while it is written; `file` and `line` say where the latest stood.

    `path`: the folder of an audit or one of its files. Raises `MissingInput`, or `StoreFailure` where one is not read.
    """

    def __init__(self, path: Path) -> None:
        self.whole = path.is_dir()
        self.files = segments(path) if self.whole else [path]
        if not self.files or not self.files[0].exists():
            raise MissingInput(
                f"{path} holds no audit", hint="name the folder of a key server's audit, or one file of it"
            )
        self.file, self.line, self.number = self.files[0], 0, 0

    def __iter__(self) -> Iterator[bytes]:
        for path in self.files:
            self.file, self.line = path, 0
            try:
                with path.open("rb") as file:
                    while line := _patient(file):
                        self.line += 1
                        self.number += 1
                        yield line
            except OSError as error:
                raise StoreFailure(f"{path} cannot be read: {error.strerror}") from error


def _patient(file: BinaryIO) -> bytes:
    """Return the next line, with its end where that comes soon."""
    line = file.readline()
    for _ in range(_LOOKS if line and not line.endswith(b"\n") else 0):
        time.sleep(_PATIENCE_S)
        line += file.readline()
        if line.endswith(b"\n"):
            break
    return line
