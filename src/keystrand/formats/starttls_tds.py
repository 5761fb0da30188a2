"""TLS in SQL Server before TDS 8: the handshake travels inside PRELOGIN packets (MS-TDS, 2.2.6.5 and 3.2.5.2)."""

import struct

from keystrand.formats.starttls_script import Preface, Refusal, Say, Script

_PRELOGIN, _RESPONSE, _END_OF_MESSAGE = 0x12, 0x04, 0x01
_HEAD = 8
_PACKET = 4096
"""Octets of a packet at most before the login settles another size (MS-TDS, 2.2.3.1.3)."""
_VERSION, _ENCRYPTION, _TERMINATOR = 0, 1, 0xFF
_ON, _NOT_SUPPORTED = 1, 2


def _packet(content: bytes, number: int, *, last: bool) -> bytes:
    status = _END_OF_MESSAGE if last else 0
    return struct.pack(">BBHHBB", _PRELOGIN, status, _HEAD + len(content), 0, number & 0xFF, 0) + content


def _cut(octets: bytes) -> int | None:
    """Cut for one packet of a server."""
    if octets and octets[0] not in (_PRELOGIN, _RESPONSE):
        raise Refusal("does not answer with TDS")
    if len(octets) < _HEAD:
        return None
    length = int.from_bytes(octets[2:4], "big")
    if length < _HEAD:
        raise Refusal("does not answer with TDS")
    return length if len(octets) >= length else None


def _option(content: bytes, wanted: int) -> bytes | None:
    """Return the value of one option: five octets each of token, offset and length stand before the values."""
    at = 0
    while at + 5 <= len(content) and content[at] != _TERMINATOR:
        token, offset, length = struct.unpack_from(">BHH", content, at)
        if token == wanted:
            return content[offset : offset + length]
        at += 5
    return None


def _script() -> Script:
    options = struct.pack(">BHHBHHB", _VERSION, 11, 6, _ENCRYPTION, 17, 1, _TERMINATOR)
    values = bytes(6) + bytes((_ON,))
    packet = yield Say(_packet(options + values, 0, last=True), _cut)
    answer, content = b"", packet
    while not content[1] & _END_OF_MESSAGE:
        answer += content[_HEAD:]
        content = yield Say(b"", _cut)
    encryption = _option(answer + content[_HEAD:], _ENCRYPTION)
    if not encryption:
        raise Refusal("PRELOGIN is answered without a word on encryption")
    if encryption[0] == _NOT_SUPPORTED:
        raise Refusal("PRELOGIN is answered: encryption is not supported")


class TdsPreface(Preface):
    """PRELOGIN, then TLS records inside further packets of the same type."""

    def __init__(self) -> None:
        super().__init__(_script())
        self._wrapped = b""

    def wrap(self, octets: bytes) -> bytes:
        """Return `octets` in packets; only the last ends the message."""
        size = _PACKET - _HEAD
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        return b"".join(_packet(piece, n, last=n == len(pieces)) for n, piece in enumerate(pieces, start=1))

    def unwrap(self, octets: bytes) -> bytes:
        """Return what whole packets hold; a packet is at most 64 KiB, so no more than that waits."""
        self._wrapped += octets
        found = b""
        while (end := _cut(self._wrapped)) is not None:
            found += self._wrapped[_HEAD:end]
            self._wrapped = self._wrapped[end:]
        return found
