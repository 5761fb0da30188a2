"""A stream in windows that overlap, so that a short thing is whole in one of them."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Window(NamedTuple):
    """Octets at an offset. What begins in the first `own` of them belongs to this window, the rest to the next."""

    offset: int
    content: bytes
    own: int


def windows(stream: BinaryIO, size: int, overlap: int) -> Iterator[Window]:
    """Yield the rest of `stream` in windows that share `overlap` octets, each of `size` new ones."""
    offset, rest = 0, b""
    while content := rest + (fresh := stream.read(size)):
        if len(fresh) < size:
            yield Window(offset, content, len(content))
            return
        own = len(content) - overlap
        yield Window(offset, content, own)
        offset, rest = offset + own, content[own:]
