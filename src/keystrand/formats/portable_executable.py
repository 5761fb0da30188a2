"""Programs of Windows and macOS by their headers: the libraries that they import.

Sources: Microsoft's PE format (import table), Apple's mach-o/loader.h and mach-o/fat.h (load commands).
"""

import struct
from collections.abc import Iterator

from keystrand.formats.elf import Take

PE_MAGIC = b"MZ"
MACHO_MAGICS = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce", b"\xca\xfe\xba\xbe")
_MAX_SECTIONS, _MAX_LIBRARIES, _MAX_COMMANDS, _MAX_PARTS = 96, 1000, 4096, 16
_PE64 = 0x20B
_LOAD_LIBRARY = (0x0C, 0x18, 0x1F, 0x20, 0x23)
_FAT = b"\xca\xfe\xba\xbe"
_NAME = 256


def pe_libraries(take: Take) -> tuple[str, ...]:
    """Return the names of the libraries in the import table. Raises `ValueError` where the headers are none."""
    try:
        return tuple(_pe(take))
    except struct.error as error:
        raise ValueError("a structure of the PE file ends early") from error


def _pe(take: Take) -> Iterator[str]:
    start = int.from_bytes(take(0x3C, 4), "little")
    if take(start, 4) != b"PE\0\0":
        return  # a program of DOS, or a text that begins so
    count, optional = struct.unpack("<2xH12xH2x", take(start + 4, 20))
    (magic,) = struct.unpack("<H", take(start + 24, 2))
    (imports,) = struct.unpack("<I", take(start + 24 + (120 if magic == _PE64 else 104), 4))
    table = take(start + 24 + optional, 40 * min(count, _MAX_SECTIONS))
    sections = [struct.unpack("<8xIIII16x", table[at : at + 40]) for at in range(0, len(table) - 39, 40)]
    at = _file_offset(sections, imports)
    for _ in range(_MAX_LIBRARIES if at else 0):
        (name,) = struct.unpack("<12xI4x", take(at, 20))
        if not name:
            return
        yield _text(take(_file_offset(sections, name), _NAME))
        at += 20


def _file_offset(sections: list[tuple[int, ...]], address: int) -> int:
    for size, begin, stored, offset in sections:
        if begin <= address < begin + max(size, stored):
            return address - begin + offset
    return 0


def _text(octets: bytes) -> str:
    return octets.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def macho_libraries(take: Take) -> tuple[str, ...]:
    """Return the paths of the libraries that are loaded, those of every architecture. Raises `ValueError`."""
    try:
        parts = list(_parts(take))
        return tuple(dict.fromkeys(name for part in parts for name in _macho(take, part)))
    except struct.error as error:
        raise ValueError("a structure of the Mach-O file ends early") from error


def _parts(take: Take) -> Iterator[int]:
    """Yield where each architecture begins. Java's classes share the magic: there the count is a version."""
    if take(0, 4) != _FAT:
        yield 0
        return
    (count,) = struct.unpack(">I", take(4, 4))
    for number in range(count if count <= _MAX_PARTS else 0):
        (offset,) = struct.unpack(">8xI8x", take(8 + 20 * number, 20))
        yield offset


def _macho(take: Take, start: int) -> Iterator[str]:
    magic = take(start, 4)
    if magic not in MACHO_MAGICS[:4]:
        return
    order = "<" if magic[0] in (0xCF, 0xCE) else ">"
    (count,) = struct.unpack(order + "I", take(start + 16, 4))
    at = start + (32 if 0xCF in magic else 28)
    for _ in range(min(count, _MAX_COMMANDS)):
        command, size = struct.unpack(order + "2I", take(at, 8))
        if command & 0x7FFFFFFF in _LOAD_LIBRARY:
            (name,) = struct.unpack(order + "I", take(at + 8, 4))
            yield _text(take(at + name, max(0, min(size - name, 1024))))
        if size < 8:
            return
        at += size
