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
_LONG_NAME, _PAX, _SPARSE = b"L", b"x", b"S"
_OCTAL = frozenset(b"01234567")
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
    """Return whether the first block begins a tar: by its mark, or by its checksum where it is from before 1988."""
    return head[257:262] == b"ustar" or (head[:1] not in (b"", b"\0") and _checked(head[:BLOCK]))


def _checked(header: bytes) -> bool:
    """Return whether a header's checksum is that of its octets, its own place counted as spaces (POSIX, ustar)."""
    field = header[148:156].strip(b"\0 ")
    if len(header) < BLOCK or not field or not set(field) <= _OCTAL:
        return False
    rest = header[:148] + b" " * 8 + header[156:]
    signed = sum(rest) - 256 * sum(octet > 127 for octet in rest)  # as some wrote it whose letters had signs
    return int(field, 8) in (sum(rest), signed)


def entries(stream: BinaryIO) -> Iterator[Entry]:
    """Yield the regular files in a tar. Raises `ValueError` where a header is damaged or the stream ends early."""
    name, size = "", None
    while (header := stream.read(BLOCK)) and header.strip(b"\0"):
        if not _checked(header):
            raise ValueError("a header of the archive is damaged")
        kind, stored = header[156:157], _number(header[124:136])
        section = Section(stream, stored if size is None else size)
        padding = -section.left % BLOCK
        if kind in (_LONG_NAME, _PAX):
            found = _extended(kind, _whole(section))
            name, size = found[0] or name, size if found[1] is None else found[1]
        else:
            if kind == _SPARSE:
                _pass_map(stream, header)
            if kind in _REGULAR or kind == _SPARSE:
                yield Entry(name or _name(header), section.left, section)
            name, size = "", None
        section.finish()
        Section(stream, padding).finish()


def _pass_map(stream: BinaryIO, header: bytes) -> None:
    """Pass over the rest of the map of a sparse file (GNU tar): its parts then follow, one after the other."""
    more = header[482:483]
    while more not in (b"", b"\0"):
        more = stream.read(BLOCK)[504:505]


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
    significant = digits.lstrip(b"0") or b"0"
    if not significant.isdigit() or len(significant) > _MAX_DIGITS:
        raise ValueError("a size in the archive is out of range")
    return int(significant)


def _pax(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a pax header: `length key=value`, with a line end."""
    at = 0
    while at < len(content):
        digits = content[at : at + _MAX_DIGITS].partition(b" ")[0]
        length = _decimal(digits or b"x")
        if length <= len(digits) + 1 or at + length > len(content):
            raise ValueError("an extended header of the archive is damaged")
        key, _, value = content[at + len(digits) + 1 : at + length - 1].partition(b"=")
        yield key, value
        at += length
