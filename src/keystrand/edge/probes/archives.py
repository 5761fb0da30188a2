"""Members of archives (zip, jar, tar, container images; gzip, bzip2 and xz around them), one after the other.

A member is kept in memory whole, one at a time; what an archive may cost is bounded over all that is nested in it.
"""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from keystrand.formats.tar_members import Section, entries, is_tar

MAX_MEMBERS = 200_000
"""Members of one archive that are read at most, those of nested archives counted in."""
MAX_OCTETS = 16 * 1024**3
"""Octets that one archive may unfold to, nested ones counted in: a large container image."""
MAX_RATIO = 100
"""Octets out for each octet in, at most: text reaches 30, a zip bomb over 1000."""
RATIO_FREE_OCTETS = 64 * 1024**2
"""Octets that may come out of any archive, whatever its ratio: small files of zeros are no attack."""
MAX_DEPTH = 3
"""Archives inside archives that are opened: a container image, its layer, a jar in it."""
MAX_MEMBER = 64 * 1024**2
"""Octets of a member that is read, unless it is an archive that can be read in one pass."""
MAX_SLOW = 512 * 1024**2
"""Octets of one archive that slow readers get: source code alone, all of it about cryptography, takes some minutes."""
MAX_DIRECTORY = 16 * 1024**2
"""Octets of a zip's table of contents that are read: some 200,000 members."""
HEAD = 512
"""Octets that tell an archive: a tar's mark stands in its first block."""

_STREAMS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b\x08": lambda stream: cast("BinaryIO", gzip.GzipFile(fileobj=stream)),
    b"BZh": lambda stream: cast("BinaryIO", bz2.BZ2File(stream)),
    b"\xfd7zXZ\x00": lambda stream: cast("BinaryIO", lzma.LZMAFile(stream)),  # noqa: SIM115 - it owns no file
}
_ENCRYPTED = 1
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_DEBIAN = _AR_MAGIC + b"debian-binary"
_BUFFER = 256 * 1024
_MAX_END = 65536 + 22
"""Octets in which a zip's end record is looked for: it and the longest comment."""
_SUFFIXES = (".gz", ".bz2", ".xz", ".tgz")
_Buffered: TypeAlias = "io.BufferedReader[Any]"


class Member(NamedTuple):
    """One file in an archive by its path, `inner` or `inner.jar!deeper`."""

    name: str
    content: bytes


class Refused(NamedTuple):
    """A member that was not read, and why."""

    name: str
    reason: str


class TooMuchError(Exception):
    """An archive asks for more than it may cost."""


class Budget:
    """What an archive of `octets` may still unfold to, for all that is nested in it together."""

    def __init__(self, octets: int) -> None:
        self._octets = min(MAX_OCTETS, max(RATIO_FREE_OCTETS, MAX_RATIO * octets))
        self._members = MAX_MEMBERS
        self._slow = MAX_SLOW

    def take(self, octets: int) -> None:
        """Count octets that came out. Raises `TooMuchError`."""
        self._octets -= octets
        if self._octets < 0:
            raise TooMuchError(f"it unfolds to far more than it holds (over {MAX_RATIO} times, or {MAX_OCTETS} octets)")

    def member(self) -> None:
        """Count a member. Raises `TooMuchError`."""
        self._members -= 1
        if self._members < 0:
            raise TooMuchError(f"it has more than {MAX_MEMBERS} members")

    def allows_slow(self, octets: int) -> bool:
        """Count octets that a slow reader asks for; return whether it may have them."""
        self._slow -= octets
        return self._slow >= 0


class _Counted(io.RawIOBase):
    """What comes out of a compressed stream, counted against the budget."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base takes any buffer, we get this
        octets = self._stream.read(len(buffer))
        self._budget.take(len(octets))
        buffer[: len(octets)] = octets
        return len(octets)


class _Bounded:
    """A zip of which no piece longer than `most` is read: its table of contents is, in one piece (APPNOTE, 4.3.12)."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._stream, self.most = stream, MAX_DIRECTORY

    def read(self, size: int = -1) -> bytes:
        """Read as the stream does, without a size the end of the file. Raises `TooMuchError` where that is too much."""
        if size > self.most:
            raise TooMuchError(f"its table of contents is larger than {self.most} octets")
        return self._stream.read(size if size >= 0 else _MAX_END)


def is_archive(head: bytes) -> bool:
    """Return whether `head`, the first `HEAD` octets, begin an archive or a compressed stream."""
    return _is_zip(head) or is_tar(head) or head.startswith(_DEBIAN) or _opener(head) is not None


def _is_zip(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _opener(head: bytes) -> Callable[[BinaryIO], BinaryIO] | None:
    return next((opener for magic, opener in _STREAMS.items() if head.startswith(magic)), None)


def members(stream: BinaryIO, name: str, budget: Budget, depth: int = 1) -> Iterator[Member | Refused]:
    """Yield the members of the archive `name` in its order, those of nested archives after the one they are in.

    `stream` stands at its begin. Raises `TooMuchError`, and what the readers of archives raise where it is damaged:
    `Exception` of many kinds.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    head = buffered.peek(HEAD)[:HEAD]
    if (opener := _opener(head)) is not None:
        unfolded = io.BufferedReader(_Counted(opener(buffered), budget), _BUFFER)
        yield from _unfolded(unfolded, _inner(name), budget, depth)
    elif is_tar(head):
        yield from _tar(buffered, budget, depth)
    elif _is_zip(head):
        yield from _zip(buffered, budget, depth)
    elif head.startswith(_DEBIAN):
        yield from _debian(buffered, budget, depth)


def _inner(name: str) -> str:
    """Return the name of what a compressed file holds."""
    last = name.rpartition("/")[2].rpartition("!")[2]
    return next((last.removesuffix(end) for end in _SUFFIXES if last.endswith(end)), last)


def _unfolded(stream: _Buffered, name: str, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    """Yield a tar's members, or what is compressed as the one member; a compression is no level of its own."""
    if is_tar(stream.peek(HEAD)[:HEAD]):
        yield from _tar(stream, budget, depth)
        return
    budget.member()
    content = stream.read(MAX_MEMBER + 1)
    if len(content) > MAX_MEMBER:
        yield Refused(name, f"larger than {MAX_MEMBER} octets")
        return
    yield Member(name, content)
    if is_archive(content[:HEAD]):
        yield from _nested(io.BytesIO(content), name, budget, depth)


def _tar(stream: _Buffered, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    for one in entries(cast("BinaryIO", stream)):
        budget.member()
        yield from _member(one.content, one.name, one.size, budget, depth)


def _debian(stream: _Buffered, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    """Yield the members of a Debian package (deb(5)): its control and data, and who signed it (debsigs(1))."""
    stream.read(len(_AR_MAGIC))
    while len(header := stream.read(_AR_HEADER)) == _AR_HEADER:
        budget.member()
        size = int(header[48:58])
        section = Section(cast("BinaryIO", stream), size)
        name = header[:16].decode("ascii", "backslashreplace").strip().rstrip("/")
        yield from _member(section, name, size, budget, depth)
        section.finish()
        stream.read(size & 1)


def _zip(stream: _Buffered, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    bounded = _Bounded(stream)
    with zipfile.ZipFile(cast("BinaryIO", bounded)) as archive:
        bounded.most = MAX_MEMBER
        for entry in archive.infolist():
            budget.member()
            if entry.flag_bits & _ENCRYPTED:
                yield Refused(entry.filename, "encrypted")
            elif not entry.is_dir():
                with archive.open(entry) as inner:
                    counted = _Counted(cast("BinaryIO", inner), budget)
                    yield from _member(counted, entry.filename, entry.file_size, budget, depth)


def _member(stream: io.RawIOBase, name: str, size: int, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    if size > MAX_MEMBER:
        yield from _large(stream, name, budget, depth)
        return
    content = io.BufferedReader(stream).read(MAX_MEMBER + 1)
    budget.take(len(content))
    if len(content) > MAX_MEMBER:
        yield Refused(name, f"larger than {MAX_MEMBER} octets")
        return
    yield Member(name, content)
    if is_archive(content[:HEAD]):
        yield from _nested(io.BytesIO(content), name, budget, depth)


def _large(stream: io.RawIOBase, name: str, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    """Yield what is in a large member that can be read in one pass: a layer of a container image."""
    buffered = io.BufferedReader(stream)
    head = buffered.peek(HEAD)[:HEAD]
    if is_tar(head) or _opener(head):
        yield from _nested(cast("BinaryIO", buffered), name, budget, depth)
    else:
        yield Refused(name, f"larger than {MAX_MEMBER} octets")


def _nested(stream: BinaryIO, name: str, budget: Budget, depth: int) -> Iterator[Member | Refused]:
    if depth >= MAX_DEPTH:
        yield Refused(name, f"an archive more than {MAX_DEPTH} deep, which is not opened")
        return
    for one in members(stream, name, budget, depth + 1):
        yield one._replace(name=f"{name}!{one.name}")
