"""Tar archives read in one pass, with bounded memory whatever the headers say (POSIX.1-2001 pax and ustar, GNU tar).

The standard library reads an extended header of any length into memory; here nothing longer than `MAX_HEADER` is.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
MAX_HEADER = 1024 * 1024
"""Octets of an extended header that are read: a path has 4096 at most."""
_SKIP = 256 * 1024
_REGULAR = b"0\x007"
_LONG_NAME, _PAX = b"L", b"x"
_BASE_256 = 0x80
_MAX_DIGITS = 18
"""Digits of a size: below 2^60, so that no number overflows what a file system can hold."""


class Section(io.RawIOBase):
    """The next `size` octets of a stream, as a stream."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.left = stream, size

    def readable(self) -> bool:
        """Return true: that is what it is for."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base takes any buffer, we get this
        """Fill `buffer` as far as the section goes. Raises `ValueError` where the stream ends before it."""
        octets = self._stream.read(min(len(buffer), self.left))
        if not octets and self.left and len(buffer):
            raise ValueError("the archive ends early")
        self.left -= len(octets)
        buffer[: len(octets)] = octets
        return len(octets)

    def finish(self) -> None:
        """Pass over what was not read."""
        while self.left:
            self.read(_SKIP)


class Entry(NamedTuple):
    """A regular file in the archive. `content` is to be read, or left, before the next entry is asked for."""

    name: str
    size: int
    content: Section


def is_tar(head: bytes) -> bool:
    """Return whether the first block begins a tar with a mark: those from before 1988 have none."""
    return head[257:262] == b"ustar"


def entries(stream: BinaryIO) -> Iterator[Entry]:
    """Yield the regular files in a tar. Raises `ValueError` where a header is damaged or the stream ends early."""
    name, size = "", None
    while (header := stream.read(BLOCK)) and header.strip(b"\0"):
        if len(header) < BLOCK or not is_tar(header):
            raise ValueError("a header of the archive is damaged")
        kind, stored = header[156:157], _number(header[124:136])
        section = Section(stream, stored if size is None else size)
        padding = -section.left % BLOCK
        if kind in (_LONG_NAME, _PAX):
            found = _extended(kind, _whole(section))
            name, size = found[0] or name, size if found[1] is None else found[1]
        else:
            if kind in _REGULAR:
                yield Entry(name or _name(header), section.left, section)
            name, size = "", None
        section.finish()
        Section(stream, padding).finish()


def _whole(section: Section) -> bytes:
    if section.left > MAX_HEADER:
        raise ValueError("an extended header of the archive is longer than any that is read")
    return section.readall() or b""


def _number(field: bytes) -> int:
    """Return a size: octal digits, or after a set bit a number to the base of 256 (GNU tar)."""
    digits = field.strip(b"\0 ") or b"0"
    value = int.from_bytes(field[1:], "big") if field[0] & _BASE_256 else int(digits, 8)
    if not 0 <= value < 10**_MAX_DIGITS:
        raise ValueError("a size in the archive is out of range")
    return value


def _name(header: bytes) -> str:
    prefix = header[345:500] if header[257:263] == b"ustar\0" else b""
    parts = [_text(part) for part in (prefix, header[:100])]
    return "/".join(part for part in parts if part)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _extended(kind: bytes, content: bytes) -> tuple[str, int | None]:
    """Return the path and the size that an extended header gives to the next file, where it gives them."""
    if kind == _LONG_NAME:
        return _text(content), None
    fields = dict(_pax(content))
    size = fields.get(b"size")
    return _text(fields.get(b"path", b"")), None if size is None else _decimal(size)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise ValueError("a size in the archive is out of range")
    return int(digits)


def _pax(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a pax header: `length key=value`, with a line end."""
    at = 0
    while at < len(content):
        digits = content[at : at + _MAX_DIGITS].partition(b" ")[0]
        length = _decimal(digits)
        if length <= len(digits) + 1 or at + length > len(content):
            raise ValueError("an extended header of the archive is damaged")
        key, _, value = content[at + len(digits) + 1 : at + length - 1].partition(b"=")
        yield key, value
        at += length
