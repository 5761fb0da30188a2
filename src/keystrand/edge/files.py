"""Files: read whole, written whole. A reader sees the old content or the new, never half of it."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from keystrand.model.errors import MissingInput, PolicyDenied, StoreFailure


def read_bytes(path: Path, *, hint: str = "") -> bytes:
    """Return the content of `path`. Raises `MissingInput` where it is not there, else `StoreFailure`."""
    with open_to_read(path, hint=hint) as file:
        return file.read()


@contextmanager
def open_to_read(path: Path, *, hint: str = "") -> Iterator[BufferedReader]:
    """Yield the file at `path`. Raises `MissingInput` where it is not there, else `StoreFailure`."""
    try:
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingInput(f"{path} does not exist", hint=hint) from error
    except IsADirectoryError as error:
        raise MissingInput(f"{path} is a folder, not a file", hint=hint) from error
    except OSError as error:
        raise StoreFailure(f"{path} cannot be read: {error.strerror}") from error


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644, alone: bool = False) -> None:
    """Put `content` at `path` in one step; see `replacing`."""
    with replacing(path, mode=mode, alone=alone) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644, alone: bool = False) -> Iterator[BinaryIO]:
    """Yield a new file beside `path`, to be written; at the end it is synced, then renamed over it in one step.

    Raises `StoreFailure` with the earlier content untouched. `alone`: nobody else writes it now, so the new file has
    one name, `temporary_of`, under which what a kill left behind is found.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if alone:
            descriptor = os.open(temporary_of(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            temporary = str(temporary_of(path))
        else:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except (Exception, KeyboardInterrupt, GeneratorExit) as error:
        if temporary:
            shred(Path(temporary))
        if isinstance(error, OSError):
            raise StoreFailure(f"{path} could not be written: {error.strerror}") from error
        raise


def require_room(folder: Path, octets: int) -> None:
    """Raise `StoreFailure` unless a file of `octets` can be written into `folder`; nothing is left of the try."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, octets)
    except OSError as error:
        raise StoreFailure(f"nothing can be written into {folder}: {error.strerror}") from error


def write_new(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step. Raises `FileExistsError` if anything is there, even at the last moment."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, a link never replaces what is there
    finally:
        temporary.unlink()


def temporary_of(path: Path) -> Path:
    """Return the name of the new file beside `path` where one process at a time writes it."""
    return path.with_name(f".{path.name}.new")


def shred(path: Path) -> None:
    """Overwrite a file with zeros, as far as the file system lets us, and remove it. A link's target stays."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            overwrite(descriptor)
        finally:
            os.close(descriptor)
    path.unlink(missing_ok=True)


def overwrite(descriptor: int) -> None:
    """Put zeros over all of an open file, and have them on the disk. Best effort: raises nothing."""
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)


@contextmanager
def open_for_append(path: Path) -> Iterator[BinaryIO]:
    """Yield a new, empty file at `path` to append to. Raises `StoreFailure` where there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise StoreFailure(f"{path} could not be written: {error.strerror}") from error
    with file:
        yield file


def demand_own(file: Path) -> None:
    """Raise `PolicyDenied` where anybody but our own user, or root, can change `file` or put another in its place."""
    for place in (file, file.absolute().parent):
        seen = place.stat()
        sticky = stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX
        if seen.st_uid not in (0, os.geteuid()) or (stat.S_IMODE(seen.st_mode) & 0o022 and not sticky):
            raise PolicyDenied(
                f"{place} can be changed by others than root and the user that runs this",
                hint=f"chown root {place}; chmod go-w {place}",
            )


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of `content` in hex."""
    return hashlib.sha256(content).hexdigest()
