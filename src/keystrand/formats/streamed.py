"""Documents too large for memory, piece by piece: the same bytes and the same content hash as `documents` gives.

A piece is what goes into the file, beside what goes into the content hash: both are made in one pass.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from keystrand.formats.documents import canonical, encode, encode_record
from keystrand.model.document import Document
from keystrand.model.observation import Record
from keystrand.model.stages import Asset, Inventory, Observations, SystemView


class Piece(NamedTuple):
    """Octets of a document's file, and of the text that its content hash is taken of."""

    shown: bytes
    said: bytes


def observations_pieces(head: Observations, records: Iterable[Record]) -> Iterator[Piece]:
    """Yield the pieces of `head` with `records` in place of its own (none)."""
    said, rest = _split(canonical(head), b'"records":[')
    yield Piece(encode(head), said)
    comma = b""
    for record in records:
        yield Piece(encode_record(record), comma + canonical(record))
        comma = b","
    yield Piece(b"", rest)


def inventory_pieces(
    head: Inventory,
    assets: Iterable[Asset],
    ended: Callable[[], Inventory],
    members: Callable[[str], Iterable[str]],
) -> Iterator[Piece]:
    """Yield the pieces of `head` with `assets` in place of its own (none), and in each system its `members`' ids.

    What comes after the assets is taken from what `ended` returns once they have passed: they may have been counted.
    """
    yield next(_around(head, "assets"))
    yield from _listed(map(_whole, assets), 1)
    known = ended()
    _, middle, after = _around(replace(known, systems=()), "assets", "systems")
    yield middle
    yield from _listed((_system(view, members(view.system)) for view in known.systems), 1)
    yield after


def assets_in(lines: Iterable[bytes]) -> Iterator[Asset]:
    """Yield the assets of an inventory's file, given line by line as `inventory_pieces` writes it."""
    asset: list[bytes] = []
    decode = msgspec.json.Decoder(Asset).decode
    rows = iter(lines)
    for line in rows:
        if line == b'  "assets": [\n':
            break
    for line in rows:
        if line.startswith(b"  ]"):
            return
        asset.append(line)
        if line.startswith(b"    }"):
            yield decode(b"".join(asset).rstrip(b",\n"))
            asset.clear()


def _system(view: SystemView, members: Iterable[str]) -> Iterator[Piece]:
    before, after = _around(view, "assets")
    yield before
    yield from _listed(map(_whole, members), 1)
    yield after


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _whole(value: object) -> Iterator[Piece]:
    yield Piece(_pretty(value), canonical(value))


def _split(text: bytes, at: bytes) -> tuple[bytes, bytes]:
    """Return what comes before the end of `at` and after it. No string holds `at`: quotes are escaped there."""
    begin = text.index(at) + len(at)
    return text[:begin], text[begin:]


def _around(value: Struct, *fields: str) -> Iterator[Piece]:
    """Yield the pieces of `value` between its empty lists `fields`, of which both texts have the same order."""
    shown = _pretty(value) + (b"\n" if isinstance(value, Document) else b"")
    said = canonical(value)
    for field in fields:
        shown_before, shown = _split(shown, f'\n  "{field}": ['.encode())
        said_before, said = _split(said, f'"{field}":['.encode())
        yield Piece(shown_before, said_before)
    yield Piece(shown, said)


def _listed(items: Iterable[Iterator[Piece]], depth: int) -> Iterator[Piece]:
    """Yield the pieces of a list's inside; `depth`: that of the list, so its items are one further in."""
    outer, inner = b"\n" + b"  " * depth, b"\n" + b"  " * (depth + 1)
    comma = b""
    for item in items:
        yield Piece(comma + inner, comma)
        for piece in item:
            yield Piece(piece.shown.replace(b"\n", inner), piece.said)
        comma = b","
    if comma:
        yield Piece(outer, b"")


class ContentHash:
    """Takes the pieces as they pass and knows the content hash at the end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def shown(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        """Yield what goes into the file."""
        for piece in pieces:
            self._hash.update(piece.said)
            yield piece.shown

    @property
    def hex(self) -> str:
        """Return the hash of all that passed."""
        return self._hash.hexdigest()
