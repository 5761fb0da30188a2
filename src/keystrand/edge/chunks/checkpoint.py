"""A checkpoint: a folder that holds what a sweep has finished, one file a chunk, and one that says which sweep it is.

Each file is written whole, once. Files of the same sweep may be put into one folder from several. A chunk's file that
is damaged is as good as not there: the log says so, and the chunk is done again.
"""

import fcntl
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from keystrand.edge.files import read_bytes, sha256_hex, temporary_of, write_atomic
from keystrand.model.errors import DocumentMismatch, InvalidInput, StoreFailure, UnsupportedFormat

_log = logging.getLogger(__name__)

FORMAT_VERSION = 1
MANIFEST = "sweep.json"
_NAME = re.compile(r"chunk-(\d{6,})-([0-9a-f]{16})\.msgpack")
_DIGEST_BYTES = sha256().digest_size
_OTHER = "give the folder of this sweep, or a new one; nothing was written"


class Sweep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the results depend on. `version`: the function's own; releases and NumPy's may draw other numbers."""

    format_version: int = FORMAT_VERSION
    function: str
    version: int
    keystrand: str
    numpy: str
    seed: int
    chunks: int
    arguments_sha256: str

    @property
    def key(self) -> str:
        """Return the SHA-256 in hex by which the files of this sweep know it."""
        return sha256_hex(msgspec.json.encode(self))


class _Chunk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chunk's file after the SHA-256 of what follows it."""

    key: str
    index: int
    result: bytes


class Checkpoint:
    """What is finished of one sweep. Made by `opened`."""

    def __init__(self, folder: Path, sweep: Sweep) -> None:
        self._folder, self._chunks, self._key = folder, sweep.chunks, sweep.key

    def finished(self) -> dict[int, bytes]:
        """Return the results that are here by their chunk's index. Raises `DocumentMismatch` where one is foreign."""
        paths = {self._index(path): path for path in sorted(self._folder.glob("chunk-*"))}
        results = {index: self._result(path, index) for index, path in paths.items()}
        return {index: result for index, result in results.items() if result is not None}

    def keep(self, index: int, result: bytes) -> None:
        """Write the result of a chunk. Raises `StoreFailure`."""
        body = msgspec.msgpack.encode(_Chunk(key=self._key, index=index, result=result))
        name = f"chunk-{index:06d}-{self._key[:16]}.msgpack"
        write_atomic(self._folder / name, sha256(body).digest() + body, alone=True)

    def _index(self, path: Path) -> int:
        name = _NAME.fullmatch(path.name)
        if not name or name[2] != self._key[:16] or int(name[1]) >= self._chunks:
            raise DocumentMismatch(f"{path} belongs to another sweep", hint=_OTHER)
        return int(name[1])

    def _result(self, path: Path, index: int) -> bytes | None:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DocumentMismatch(f"{path} is a link or something else, and no file of its own", hint=_OTHER)
        content = read_bytes(path)
        body = content[_DIGEST_BYTES:]
        if sha256(body).digest() != content[:_DIGEST_BYTES]:
            _log.warning("%s is damaged; chunk %d is done again", path, index)
            return None
        try:
            chunk = msgspec.msgpack.decode(body, type=_Chunk)
        except msgspec.MsgspecError as error:
            raise DocumentMismatch(f"{path} is no chunk of a sweep: {error}", hint=_OTHER) from error
        if (chunk.key, chunk.index) != (self._key, index):
            raise DocumentMismatch(f"{path} holds chunk {chunk.index} of another sweep, or is renamed", hint=_OTHER)
        return chunk.result


@contextmanager
def opened(folder: Path, sweep: Sweep) -> Iterator[Checkpoint]:
    """Yield the checkpoint in `folder`, new or one of the same sweep, for this process alone.

    Raises `DocumentMismatch` for another sweep's, `UnsupportedFormat`, `InvalidInput` for a folder of other things, one
    that others can change or an unreadable `sweep.json`, and `StoreFailure` where it cannot be written or another
    process works in it.
    """
    descriptor = _locked(folder)
    try:
        _claim(folder, sweep)
        yield Checkpoint(folder, sweep)
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreFailure(f"{folder} cannot be used as a checkpoint: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        busy = isinstance(error, BlockingIOError)
        why = "is in use by another sweep that runs now" if busy else f"cannot be locked: {error.strerror}"
        raise StoreFailure(f"{folder} {why}", hint="wait for it, stop it, or give another folder") from error
    if reason := _not_ours(os.fstat(descriptor)):
        os.close(descriptor)
        raise InvalidInput(f"{folder} {reason}, who could change results", hint="give a folder of your own")
    return descriptor


def _not_ours(facts: os.stat_result) -> str:
    """Return who else rules over a folder; root may work in another user's, as containers do."""
    if facts.st_mode & stat.S_IWOTH:
        return "can be written to by everybody"
    ours = {os.geteuid(), 0}
    return "" if facts.st_uid in ours or os.geteuid() == 0 else "belongs to another user"


def _claim(folder: Path, sweep: Sweep) -> None:
    """See that the folder is of `sweep`, or make it so, and remove what a kill left of half-written files."""
    path = folder / MANIFEST
    if path.exists():
        _compare(path, sweep)
    elif foreign := [one.name for one in folder.iterdir() if not one.name.startswith(".")]:
        raise InvalidInput(f"{folder} has no {MANIFEST} but other files: {foreign[0]}", hint=_OTHER)
    for leftover in (temporary_of(path), *folder.glob(".chunk-*.new")):
        try:
            leftover.unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailure(f"{leftover} cannot be removed: {error.strerror}", hint="remove it") from error
    if not path.exists():
        write_atomic(path, msgspec.json.format(msgspec.json.encode(sweep)) + b"\n", alone=True)


def _compare(path: Path, sweep: Sweep) -> None:
    content = read_bytes(path)
    try:
        version = msgspec.json.decode(content, type=_Head).format_version
        if version != FORMAT_VERSION:
            raise UnsupportedFormat(f"{path} has format {version}; this release reads {FORMAT_VERSION}")
        found = msgspec.json.decode(content, type=Sweep)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{path} does not describe a sweep: {error}", hint=_OTHER) from error
    differences = [
        f"{name} is {getattr(found, name)}, not {getattr(sweep, name)}"
        for name in Sweep.__struct_fields__
        if getattr(found, name) != getattr(sweep, name)
    ]
    if differences:
        raise DocumentMismatch(f"{path} is of another sweep: {'; '.join(differences)}", hint=_OTHER)


class _Head(Struct, frozen=True, kw_only=True):
    format_version: int
