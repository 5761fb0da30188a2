"""RPM's headers: names and versions of packages, and the signatures in a package file (RPM's format, V4)."""

import struct
from collections.abc import Iterator

LEAD = b"\xed\xab\xee\xdb"
_MAGIC = b"\x8e\xad\xe8"
_LEAD_SIZE, _ENTRY = 96, struct.Struct(">4I")
_MAX_ENTRIES, _MAX_OCTETS = 65_536, 256 * 1024**2
_NAME, _VERSION, _RELEASE = 1000, 1001, 1002
_SIGNATURES = (267, 268, 1002, 1005)
"""Tags of OpenPGP packets in the signature header: DSA and RSA over the header, and the two older ones."""
_BINARY = 7


def _values(content: bytes, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag and type of each entry, and where its value begins and ends at the latest. Raises `ValueError`."""
    try:
        entries, size = struct.unpack_from(">2I", content, at)
        begin = at + 8 + entries * _ENTRY.size
        if entries > _MAX_ENTRIES or size > _MAX_OCTETS or begin + size > len(content):
            raise ValueError("the header ends early")
        for number in range(entries):
            tag, kind, offset, count = _ENTRY.unpack_from(content, at + 8 + number * _ENTRY.size)
            end = min(offset + count, size) if kind == _BINARY else size
            yield tag, kind, begin + min(offset, size), begin + end
    except struct.error as error:
        raise ValueError("the header ends early") from error


def package_of(blob: bytes) -> tuple[str, str]:
    """Return name and version of the package that a header from RPM's database describes; empty where it is none."""
    found: dict[int, str] = {}
    try:
        for tag, kind, begin, end in _values(blob, 0):
            if tag in (_NAME, _VERSION, _RELEASE) and kind != _BINARY:
                value = blob[begin : min(end, begin + 256)]
                found[tag] = value.partition(b"\0")[0].decode("utf-8", "backslashreplace")
    except ValueError:
        return "", ""
    version = found.get(_VERSION, "")
    return found.get(_NAME, ""), f"{version}-{found[_RELEASE]}" if version and _RELEASE in found else version


def signatures(content: bytes) -> tuple[bytes, ...]:
    """Return the OpenPGP packets in a package file's signature header. Raises `ValueError` where it is damaged."""
    if content[_LEAD_SIZE : _LEAD_SIZE + 3] != _MAGIC:
        raise ValueError("no header where the signature belongs")
    found = {  # a tag stands once: entries without number might share one large value
        tag: (begin, end)
        for tag, kind, begin, end in _values(content, _LEAD_SIZE + 8)
        if tag in _SIGNATURES and kind == _BINARY
    }
    return tuple(content[begin:end] for begin, end in found.values())
