"""The notation of TLS: vectors with a length in front (RFC 8446, section 3), and the record layer (5.1)."""

import struct
from typing import NamedTuple

MAX_RECORD = 2**14 + 2048
"""Octets of a record at most: RFC 5246, 6.2.3, which allows more expansion than TLS 1.3."""

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
"""Content types of records."""


class TlsUnreadable(ValueError):
    """What came is not what TLS prescribes here; the message says what it is instead."""


class NotTls(TlsUnreadable):
    """What came is no TLS at all."""


class Record(NamedTuple):
    """One record. `header` is what AEAD of TLS 1.3 authenticates along."""

    kind: int
    header: bytes
    body: bytes


class Reader:
    """Takes numbers and vectors off the front of `octets`. All raise `TlsUnreadable` where too few are left."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def empty(self) -> bool:
        """Return whether nothing is left."""
        return self._at == len(self._octets)

    def take(self, count: int) -> bytes:
        """Return the next `count` octets."""
        end = self._at + count
        if end > len(self._octets):
            raise TlsUnreadable(f"a message ends {end - len(self._octets)} octets too early")
        taken, self._at = self._octets[self._at : end], end
        return taken

    def number(self, width: int) -> int:
        """Return the next `width` octets as a number in network order."""
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Return the content of a vector whose length field has `width` octets."""
        return self.take(self.number(width))


def number(value: int, width: int = 2) -> bytes:
    """Return `value` in `width` octets, network order."""
    return value.to_bytes(width, "big")


def numbers(values: tuple[int, ...]) -> bytes:
    """Return 16-bit numbers one after the other."""
    return struct.pack(f"!{len(values)}H", *values)


def vector(width: int, content: bytes) -> bytes:
    """Return `content` with its length in `width` octets in front."""
    return number(len(content), width) + content


def message(kind: int, content: bytes) -> bytes:
    """Return a handshake message (RFC 8446, section 4)."""
    return number(kind, 1) + vector(3, content)


def handshake_record(content: bytes, version: int = 0x0301) -> bytes:
    """Return one plaintext handshake record. Its version is 0x0301, as middleboxes expect (RFC 8446, 5.1)."""
    return bytes((HANDSHAKE,)) + number(version) + vector(2, content)


class Records:
    """Cuts a stream into records."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> None:
        """Add what came."""
        self._buffer += octets

    def next(self) -> Record | None:
        """Return the next whole record, or None until more comes. Raises `NotTls` where no record can begin."""
        kind_and_version = bytes(self._buffer[:2])
        if (kind_and_version and not CHANGE_CIPHER_SPEC <= kind_and_version[0] <= APPLICATION_DATA) or (
            len(kind_and_version) == 2 and kind_and_version[1] != 3
        ):
            raise NotTls(f"no TLS record begins with {kind_and_version.hex()}")
        if len(self._buffer) < 5:
            return None
        length = int.from_bytes(self._buffer[3:5], "big")
        if length > MAX_RECORD:
            raise NotTls(f"a record of {length} octets is longer than TLS allows")
        if len(self._buffer) < 5 + length:
            return None
        header, body = bytes(self._buffer[:5]), bytes(self._buffer[5 : 5 + length])
        del self._buffer[: 5 + length]
        return Record(header[0], header, body)


class Messages:
    """Puts handshake messages together again that were cut into records, or several in one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> None:
        """Add the content of a handshake record."""
        self._buffer += octets

    def next(self) -> bytes | None:
        """Return the next whole message with its four-octet head, or None until more comes."""
        if len(self._buffer) < 4:
            return None
        end = 4 + int.from_bytes(self._buffer[1:4], "big")
        if len(self._buffer) < end:
            return None
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        return whole
