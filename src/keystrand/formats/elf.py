"""ELF files by their headers: the libraries they need, their own name, and the symbols they take from others.

Source: System V ABI, chapters 4 and 5 (object files, dynamic linking). Reads are few and bounded, whatever the size.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAGIC = b"\x7fELF"
Take = Callable[[int, int], bytes]
"""Returns the octets at an offset, fewer where the file ends."""

MAX_TABLE = 16 * 1024**2
"""Octets of a table of symbols or strings that are read."""
_MAX_HEADERS, _MAX_DYNAMIC, _MAX_NAME = 4096, 1024 * 1024, 255
_LOAD, _DYNAMIC = 1, 2
_EXECUTED, _WRITTEN = 1, 2
_NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME = 1, 5, 10, 14
_DYNAMIC_SYMBOLS, _UNDEFINED = 11, 0


class Linked(NamedTuple):
    """What a program or library says of itself: `needed` and `name` are file names of shared libraries.

    `tables` are the parts of the file, begin and end, that hold values and no code; empty where that is not told.
    """

    needed: tuple[str, ...] = ()
    name: str = ""
    imports: tuple[str, ...] = ()
    tables: tuple[tuple[int, int], ...] = ()


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    size: int


class _Layout(NamedTuple):
    """Forms of the structures in one class and byte order."""

    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    entry: struct.Struct
    symbol: struct.Struct
    wide: bool


def _layout(ident: bytes) -> _Layout:
    if len(ident) < 6 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ValueError("no class or byte order")
    order = "<" if ident[5] == 1 else ">"
    if ident[4] == 2:
        forms = ("16x2HI3QI6H", "2I6Q", "2I4Q2I2Q", "qQ", "I2BHQQ")
    else:
        forms = ("16x2HI3II6H", "8I", "10I", "iI", "3I2BH")
    header, segment, section, entry, symbol = (struct.Struct(order + form) for form in forms)
    return _Layout(header, segment, section, entry, symbol, ident[4] == 2)


def linked(take: Take, *, imports: Callable[[tuple[str, ...]], bool]) -> Linked:
    """Return what the file links to; its symbols where `imports` says so of the libraries. Raises `ValueError`."""
    try:
        layout = _layout(take(0, 16))
        header = layout.header.unpack(take(0, layout.header.size))
        segments = list(_segments(take, layout, header))
        dynamic = next((segment for segment in segments if segment.kind == _DYNAMIC), None)
        if dynamic is None:
            return Linked(tables=_tables(segments))
        needed, name = _named(take, layout, segments, dynamic)
        taken = tuple(_imports(take, layout, header)) if imports(needed) else ()
    except struct.error as error:
        raise ValueError("a structure of the ELF file ends early") from error
    return Linked(needed, name, taken, _tables(segments))


def _tables(segments: list[_Segment]) -> tuple[tuple[int, int], ...]:
    """Return where values stand: what is loaded and not executed, unless all constants are beside the code.

    Segments that overlap are one part: no octet is searched twice.
    """
    loaded = [segment for segment in segments if segment.kind == _LOAD and segment.size]
    apart = any(not segment.flags & (_EXECUTED | _WRITTEN) for segment in loaded)
    kept = (segment for segment in loaded if not (apart and segment.flags & _EXECUTED))
    found: list[tuple[int, int]] = []
    for begin, end in sorted((segment.offset, segment.offset + segment.size) for segment in kept):
        if found and begin < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return tuple(found)


def _segments(take: Take, layout: _Layout, header: tuple[int, ...]) -> Iterator[_Segment]:
    begin, size, count = header[4], header[8], header[9]
    if size < layout.segment.size or count > _MAX_HEADERS:
        return
    for number in range(count):
        fields = layout.segment.unpack(take(begin + number * size, layout.segment.size))
        if layout.wide:
            yield _Segment(fields[0], fields[1], fields[2], fields[3], fields[5])
        else:
            yield _Segment(fields[0], fields[6], fields[1], fields[2], fields[4])


def _named(take: Take, layout: _Layout, segments: list[_Segment], dynamic: _Segment) -> tuple[tuple[str, ...], str]:
    """Return the names in the dynamic section: what is needed, and the library's own."""
    content = take(dynamic.offset, min(dynamic.size, _MAX_DYNAMIC))
    whole = len(content) - len(content) % layout.entry.size
    entries = list(layout.entry.iter_unpack(content[:whole]))
    table = dict(reversed(entries))
    strings = _strings(take, segments, table)
    needed = tuple(_text(strings, value) for tag, value in entries if tag == _NEEDED)
    return needed, _text(strings, table[_SONAME]) if _SONAME in table else ""


def _strings(take: Take, segments: list[_Segment], table: dict[int, int]) -> bytes:
    address, size = table.get(_STRINGS, 0), min(table.get(_STRINGS_SIZE, 0), MAX_TABLE)
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return take(address - segment.address + segment.offset, size)
    return b""


def _text(strings: bytes, at: int) -> str:
    # of each name no more than is kept: many may point into one long string
    return strings[at : at + _MAX_NAME].partition(b"\0")[0].decode("utf-8", "backslashreplace")[:_MAX_NAME]


def _imports(take: Take, layout: _Layout, header: tuple[int, ...]) -> Iterator[str]:
    """Yield the names of symbols that the file takes from others."""
    begin, size, count = header[5], header[10], header[11]
    if size < layout.section.size or count > _MAX_HEADERS:
        return
    raw = [take(begin + number * size, layout.section.size) for number in range(count)]
    sections = [layout.section.unpack(one) for one in raw]
    found = next((one for one in sections if one[1] == _DYNAMIC_SYMBOLS), None)
    if found is None or found[6] >= count:
        return
    names = sections[found[6]]
    strings = take(names[4], min(names[5], MAX_TABLE))
    symbols = take(found[4], min(found[5], MAX_TABLE))
    whole = len(symbols) - len(symbols) % layout.symbol.size
    for symbol in layout.symbol.iter_unpack(symbols[:whole]):
        section = symbol[3] if layout.wide else symbol[5]
        if section == _UNDEFINED and symbol[0]:
            yield _text(strings, symbol[0])
