"""The frames of QUIC's handshake, and the TLS messages put together from them (RFC 9000, sections 19 and 7.5)."""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from keystrand.formats.quic_packets import QuicUnreadable, varint, varint_octets

MAX_CRYPTO = 128 * 1024
"""Octets of one level's handshake that are put together: a certificate chain fits several times over."""
MAX_PIECES = 1024
"""Pieces of a handshake that wait for an earlier one. Clients that shuffle on purpose send a few dozen."""

_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE, _CLOSE_BY_APPLICATION = 0, 1, 2, 3, 6, 0x1C, 0x1D
_CRYPTO_ERROR = 0x0100


class Close(NamedTuple):
    """A CONNECTION_CLOSE. `alert` is the TLS alert where TLS was the reason (RFC 9001, 4.8), else None."""

    code: int

    @property
    def alert(self) -> int | None:
        """Return the TLS alert that the code stands for."""
        return self.code & 0xFF if self.code & ~0xFF == _CRYPTO_ERROR else None


class Frames(NamedTuple):
    """What the frames of one packet say: pieces of CRYPTO by offset, and whether the connection is closed."""

    crypto: tuple[tuple[int, bytes], ...] = ()
    close: Close | None = None
    asks_for_ack: bool = False


def frames(octets: bytes) -> Frames:
    """Return what an Initial or Handshake packet holds. Raises `QuicUnreadable` where a frame does not belong there."""
    crypto: list[tuple[int, bytes]] = []
    close, asks, at = None, False, 0
    while at < len(octets):
        kind = octets[at]
        at += 1
        if kind == _PADDING:
            at = len(octets) - len(octets[at:].lstrip(b"\0"))
        elif kind == _CRYPTO:
            offset, at = varint(octets, at)
            length, at = varint(octets, at)
            if at + length > len(octets):
                raise QuicUnreadable("a CRYPTO frame is cut short")
            crypto.append((offset, octets[at : at + length]))
            at, asks = at + length, True
        elif kind in (_ACK, _ACK_ECN):
            at = _skip_ack(octets, at, counts=3 if kind == _ACK_ECN else 0)
        elif kind in (_CLOSE, _CLOSE_BY_APPLICATION):
            code, at = varint(octets, at)
            close, at = Close(code), len(octets)
        elif kind == _PING:
            asks = True
        else:
            raise QuicUnreadable(f"a frame of type {kind} came in the handshake")
    return Frames(tuple(crypto), close, asks)


def _skip_ack(octets: bytes, at: int, counts: int) -> int:
    for _ in range(2):  # largest acknowledged, delay
        _, at = varint(octets, at)
    ranges, at = varint(octets, at)
    numbers = 1 + 2 * ranges + counts
    if numbers > len(octets) - at:
        raise QuicUnreadable("an ACK frame is cut short")
    for _ in range(numbers):
        _, at = varint(octets, at)
    return at


def crypto_frame(offset: int, content: bytes) -> bytes:
    """Return a CRYPTO frame."""
    return bytes((_CRYPTO,)) + varint_octets(offset) + varint_octets(len(content)) + content


def ack_frame(numbers: Iterable[int]) -> bytes:
    """Return an ACK frame for the packets received; `numbers` holds at least one."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers), reverse=True):
        if ranges and ranges[-1][0] == number + 1:
            ranges[-1] = (number, ranges[-1][1])
        else:
            ranges.append((number, number))
    low, high = ranges[0]
    body = varint_octets(high) + b"\0" + varint_octets(len(ranges) - 1) + varint_octets(high - low)
    for next_low, next_high in ranges[1:]:
        body += varint_octets(low - next_high - 2) + varint_octets(next_high - next_low)
        low = next_low
    return bytes((_ACK,)) + body


def close_frame(code: int) -> bytes:
    """Return a CONNECTION_CLOSE without words."""
    return bytes((_CLOSE,)) + varint_octets(code) + b"\0\0"


class CryptoStream:
    """Puts the handshake of one level together, whatever order its pieces come in."""

    def __init__(self) -> None:
        self.taken = 0
        self._waiting: list[tuple[int, bytes]] = []

    def add(self, offset: int, content: bytes) -> bytes:
        """Take a piece; return the octets that can be read now and could not before.

        Raises `QuicUnreadable` where the handshake is longer, or in more pieces, than any is.
        """
        if offset + len(content) > MAX_CRYPTO:
            raise QuicUnreadable(f"a handshake of more than {MAX_CRYPTO} octets")
        if offset + len(content) <= self.taken:
            return b""
        if len(self._waiting) >= MAX_PIECES:
            raise QuicUnreadable(f"a handshake in more than {MAX_PIECES} pieces that do not fit together")
        heapq.heappush(self._waiting, (offset, content))
        ready = bytearray()
        while self._waiting and self._waiting[0][0] <= self.taken:
            offset, content = heapq.heappop(self._waiting)
            new = content[self.taken - offset :]
            ready += new
            self.taken += len(new)
        return bytes(ready)
