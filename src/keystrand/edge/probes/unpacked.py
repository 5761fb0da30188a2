"""A file's octets in pieces, unpacked where it is gzip (RFC 1952); neither a large file nor a bomb takes memory."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from keystrand.model.observation import Outcome
from keystrand.model.reading import Reading

PIECE = 1024 * 1024
"""Octets read, and given, at a time."""
MAX_RATIO = 200
"""Times its size that a file may unpack to: logs and captures reach twenty. A bomb of zeros reaches a thousand."""
_GRACE = 64 * 1024 * 1024
_GZIP, _GZIP_WINDOW = b"\x1f\x8b", 31


class NotWhole(Exception):
    """The file ends early, is damaged, or unpacks to too much: its text says which. What came before stands."""


def pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the octets of `stream`, unpacked. Raises `NotWhole` where they end before their time."""
    try:
        first = stream.read(PIECE)
        if not first.startswith(_GZIP):
            yield first
            while piece := stream.read(PIECE):
                yield piece
            return
        yield from _unpacked(first, stream)
    except OSError as error:
        raise NotWhole(f"reading failed: {(error.strerror or 'no reason given').lower()}") from error


def _unpacked(piece: bytes, stream: BinaryIO) -> Iterator[bytes]:
    packed = given = 0
    inflater, within = zlib.decompressobj(_GZIP_WINDOW), True
    while piece:
        packed += len(piece)
        while piece:
            try:
                found = inflater.decompress(piece, PIECE)
            except zlib.error as error:
                raise NotWhole("the gzip stream is damaged") from error
            given += len(found)
            if given > MAX_RATIO * packed + _GRACE:
                raise NotWhole(f"the gzip stream unpacks to more than {MAX_RATIO} times its size")
            if found:
                yield found
            piece, within = inflater.unconsumed_tail, True
            if inflater.eof:
                # members may follow one another; octets of zero pad the last
                piece, within = inflater.unused_data.lstrip(b"\0"), False
                inflater = zlib.decompressobj(_GZIP_WINDOW)
        piece = stream.read(PIECE)
    if within:
        yield inflater.flush()
        raise NotWhole("the gzip stream ends early")


def head(octets: bytes, most: int = 4096) -> bytes:
    """Return the first octets of a file that begins with `octets`, unpacked; what cannot be unpacked stays as it is."""
    if not octets.startswith(_GZIP):
        return octets
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(octets, most)
    except zlib.error:
        return octets


def with_fault(reading: Reading, fault: str) -> Reading:
    """Return the reading of a file that could not be read to its end, with the reason; as it is where there is none."""
    if not fault:
        return reading
    outcome = reading.outcome if reading.outcome is Outcome.SEEN else Outcome.UNPARSABLE
    return reading._replace(outcome=outcome, reason="; ".join(filter(None, (fault, reading.reason))))
