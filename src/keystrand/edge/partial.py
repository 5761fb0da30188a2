"""What a scan saw so far: JSON Lines that grow by one block an endpoint, and are whole at every moment.

The head says for which estate; a line `done` closes each block. What a kill tore off, from the last `done` on, is cut
when the scan goes on, and that endpoint is looked at again.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from keystrand.formats.documents import encode_record
from keystrand.model.document import FORMAT_VERSION
from keystrand.model.errors import DocumentMismatch, InvalidInput, StoreFailure
from keystrand.model.observation import Attempt, Observation, Record

Endpoint = tuple[str, str]
"""A target's id and a place of it: what a scan looks at in one go."""
_HEAD_OCTETS = 4096
"""A head has some 150: a file without an end of line in so many was torn before anything was seen."""
_NAMED = "it was begun for another estate or in another mode, or the estate has changed since"


class _Head(Struct, frozen=True, kw_only=True, tag_field="record", tag="head"):
    format_version: str
    estate: str
    begun: str


class Done(Struct, frozen=True, kw_only=True, tag_field="record", tag="done"):
    """The end of a block. `definition`: of what was asked, empty where it cannot be reused; `asked`: when it was."""

    target: str
    place: str
    definition: str = ""
    asked: str = ""


class Signature(Struct, frozen=True, kw_only=True, tag_field="record", tag="file"):
    """What tells that a file is the one that was read: see stat(2). `ruleset`: what it was read with."""

    target: str
    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ruleset: str


Line = Observation | Attempt | Signature | _Head | Done
_LINE = msgspec.json.Decoder(Line)
_encode = msgspec.json.Encoder().encode


def closing_of(records: tuple[Record, ...]) -> Attempt:
    """Return the attempt that closes the work on an endpoint or on a target's files: their last."""
    return next(record for record in reversed(records) if isinstance(record, Attempt))


class Partial:
    """An open file of this kind. `done`: what needs no second look; `begun`: when the scan began that it goes on."""

    def __init__(self, path: Path, file: BinaryIO, begun: str, done: set[Endpoint]) -> None:
        self._path, self._file, self.begun, self.done = path, file, begun, done

    def add(
        self, records: tuple[Record, ...], *, files: Iterable[Signature] = (), definition: str = "", asked: str = ""
    ) -> None:
        """Append the records of one endpoint, of which the last attempt is its own, or of files with their signatures.

        An endpoint whose `definition` is given may be reused later. Raises `StoreFailure`.
        """
        closing = closing_of(records)
        done = Done(target=closing.target, place=closing.place, definition=definition, asked=asked)
        lines = (*map(encode_record, records), *(_encode(file) + b"\n" for file in files), _encode(done) + b"\n")
        self._write(b"".join(lines))
        self.done.add((closing.target, closing.place))

    def _write(self, octets: bytes) -> None:
        rest = memoryview(octets)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise StoreFailure(f"{self._path} could not be written: {error.strerror}") from error

    def begin(self, estate: str, begun: str) -> None:
        """Begin anew: empty but for the head. Raises `StoreFailure`."""
        if os.fstat(self._file.fileno()).st_size:
            self._file.truncate(0)
        head = _Head(format_version=FORMAT_VERSION, estate=estate, begun=begun)
        self._write(msgspec.json.encode(head) + b"\n")

    def lines(self) -> Iterator[Line]:
        """Yield all that the blocks say, in the order in which it came."""
        with self._path.open("rb") as file:
            yield from map(_LINE.decode, file)

    def records(self) -> Iterator[Record]:
        """Yield every record of every block, in the order in which they came."""
        return (said for said in self.lines() if isinstance(said, Observation | Attempt))


@contextmanager
def partial_at(path: Path, *, estate: str, begun: str, resume: bool) -> Iterator[Partial]:
    """Yield the partial file of a scan of `estate` (its content hash and mode), which no other scan writes meanwhile.

    `resume`: go on with the file that is there, if one is. Raises `DocumentMismatch` where it is of another estate,
    `InvalidInput` where it is no such file, `StoreFailure` where it cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreFailure(f"{path} could not be written: {error.strerror}") from error
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path to open
        _lock(path, descriptor)
        if resume and b"\n" in os.pread(descriptor, _HEAD_OCTETS, 0):
            yield _resumed(path, file, estate)
        else:
            partial = Partial(path, file, begun, set())
            partial.begin(estate, begun)
            yield partial


def _lock(path: Path, descriptor: int) -> None:
    """Keep other scans out. Raises `StoreFailure` where one is at work, or has just put the file away."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino != os.fstat(descriptor).st_ino:
            raise FileNotFoundError
    except OSError as error:
        raise StoreFailure(
            f"another scan is writing {path}", hint="wait until it has ended, or name another folder with --out"
        ) from error


def _resumed(path: Path, file: BinaryIO, estate: str) -> Partial:
    """Return the partial file as it was left, cut behind its last whole block."""
    again = f"scan without --resume to begin anew; what was seen so far is in {path}"
    done: set[Endpoint] = set()
    head, end, at = None, 0, 0
    with path.open("rb") as lines:
        for line in lines:
            at += len(line)
            said = _said(line)
            if head is None:
                if not isinstance(said, _Head):
                    raise InvalidInput(f"{path} is not what a scan left behind", hint=again)
                head, end = said, at
            if isinstance(said, Done):
                done.add((said.target, said.place))
                end = at
            if said is None:
                break
    if head is None or head.format_version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise InvalidInput(f"{path} is not what a scan of this release left behind", hint=again)
    if head.estate != estate:
        raise DocumentMismatch(f"{path} cannot be gone on with: {_NAMED}", hint=again)
    file.truncate(end)
    file.seek(end)
    return Partial(path, file, head.begun, done)


def _said(line: bytes) -> Line | None:
    """Return what a line says, None for one that a kill tore off or something else spoiled."""
    try:
        return _LINE.decode(line) if line.endswith(b"\n") else None
    except msgspec.MsgspecError:
        return None
