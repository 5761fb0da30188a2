"""What programs say of cryptography: libraries they link to, functions they take from them, modules they were built of.

Evidence by linking, never of use: a library that contains an algorithm does not use it. Sources: the formats' own
modules; Go's debug/buildinfo; cargo's registry paths, which Rust's panics keep.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from keystrand.formats import elf, portable_executable
from keystrand.formats.crypto_constants import TABLES
from keystrand.formats.crypto_symbols import uses_of
from keystrand.formats.elf import Linked, Take
from keystrand.formats.libraries import KnownLibraries, Package, package_url
from keystrand.formats.windows import windows
from keystrand.model.observation import AlgorithmUse, Fact, Library, Outcome, Strength
from keystrand.model.reading import Found, Reading

MAGICS = (elf.MAGIC, portable_executable.PE_MAGIC, *portable_executable.MACHO_MAGICS)
_GO = b"\xff Go buildinf:"
_GO_HEAD, _GO_INLINE = 32, 2
_GO_MODULE = re.compile(rb"^(?:dep|=>)\t([^\t\n]{1,255})\t(v[^\t\n]{1,100})", re.MULTILINE)
_GO_TLS = b"crypto/tls.(*Conn)"
"""A name in the table of functions of every Go program that speaks TLS by the standard library."""
_GO_MAX = 1024 * 1024
_RUST = b"/registry/src/"
_RUST_CRATE = re.compile(
    rb"/registry/src/[^/\0\n]{1,100}/([a-z0-9_-]{1,64}?)-(\d+\.\d+\.\d+[\w.+-]{0,40})/", re.IGNORECASE
)
_VERSIONS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("openssl", re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]{0,2}) +\d{1,2} \w{3} 20\d\d")),
    ("libgcrypt", re.compile(rb"Libgcrypt (\d+\.\d+\.\d+)")),
    ("libsodium", re.compile(rb"\0(1\.0\.\d\d)\0")),
)
_WINDOW = 16 * 1024**2
_OVERLAP = 4096


def wants(path: str, head: bytes) -> bool:  # noqa: ARG001 - the form of every reader's question
    """Return whether `head` begins a program or a shared library of Linux, Windows or macOS."""
    return head.startswith(MAGICS)


class _Headers(NamedTuple):
    """What headers say. `own`: the file is a cryptographic library itself; what it contains is then no use of it."""

    found: tuple[Found, ...] = ()
    own: bool = False
    gap: str = ""
    tables: tuple[tuple[int, int], ...] = ()


def read(content: bytes, known: KnownLibraries) -> Reading:
    """Return what the program in `content` says of itself."""

    def take(at: int, size: int) -> bytes:
        return content[at : at + size] if at >= 0 else b""

    headers = _headers(take, known)
    if headers.own:
        return _reading((_with_version(headers.found[0], content), *headers.found[1:]), headers.gap)
    tables = headers.tables or ((0, len(content)),)
    return _reading((*headers.found, *_inside(content, tables, known)), headers.gap)


def read_large(stream: BinaryIO, known: KnownLibraries) -> Iterator[Found | Reading]:
    """Yield what a program of any size says of itself, its headers first and then window by window."""

    def take(at: int, size: int) -> bytes:
        stream.seek(max(at, 0))
        return stream.read(size)

    headers = _headers(take, known)
    yield from headers.found
    stream.seek(0)
    seen: set[Fact] = set()
    for offset, window, own in () if headers.own else windows(stream, _WINDOW, _OVERLAP):
        for one in _inside(window, ((0, own + _OVERLAP),), known, offset):
            if one.fact not in seen:
                seen.add(one.fact)
                yield one
    yield _reading((), headers.gap)


def _reading(found: tuple[Found, ...], gap: str) -> Reading:
    if found:
        return Reading(found, Outcome.SEEN, gap)
    return Reading((), Outcome.UNPARSABLE if gap else Outcome.NONE, gap)


def _headers(take: Take, known: KnownLibraries) -> _Headers:
    try:
        linked = _linked(take, known)
    except ValueError as error:
        return _Headers(gap=str(error))
    libraries = dict.fromkeys(library for name in linked.needed if (library := known.library_named(name)))
    own = known.library_named(linked.name) if linked.name else None
    facts: tuple[Library | AlgorithmUse, ...] = (*dict.fromkeys((own, *libraries)),) if own else (
        *libraries, *uses_of(linked.imports))  # fmt: skip
    return _Headers(tuple(Found("", Strength.LINKED, one) for one in facts), own is not None, "", linked.tables)


def _with_version(found: Found, content: bytes) -> Found:
    """Return a library with the version that stands inside it, where it says so in words that we know."""
    fact = found.fact
    for name, pattern in _VERSIONS:
        if isinstance(fact, Library) and fact.name.startswith(f"{name} (") and (match := pattern.search(content)):
            package = Package("generic", name, match[1].decode())
            return found._replace(fact=Library(name=name, version=package.version, purl=package_url(package)))
    return found


def _linked(take: Take, known: KnownLibraries) -> Linked:
    head = take(0, 4)
    if head == elf.MAGIC:
        return elf.linked(take, imports=lambda needed: any(map(known.library_named, needed)))
    if head.startswith(portable_executable.PE_MAGIC):
        return Linked(portable_executable.pe_libraries(take))
    return Linked(portable_executable.macho_libraries(take))


_Parts = tuple[tuple[int, int], ...]


def _inside(content: bytes, parts: _Parts, known: KnownLibraries, offset: int = 0) -> Iterator[Found]:
    """Yield what stands in the `parts` of a program: the modules that it was built of, and tables of algorithms."""
    packages = dict.fromkeys((*_go(content, parts), *_rust(content, parts)))
    libraries = dict.fromkeys(known.library_of(package) for package in packages)
    yield from (Found("", Strength.LINKED, one) for one in libraries if one)
    told: set[str] = set()
    for table, name, function in TABLES:
        if name not in told and (at := _find(content, table, parts)) >= 0:
            told.add(name)
            use = AlgorithmUse(algorithm=name, function=function)
            yield Found(f"@{offset + at:#x}", Strength.REFERENCED, use)


def _find(content: bytes, wanted: bytes, parts: _Parts) -> int:
    return next((at for begin, end in parts if (at := content.find(wanted, begin, end)) >= 0), -1)


def _go(content: bytes, parts: _Parts) -> Iterator[Package]:
    """Yield the modules in a Go program's build record, that of Go 1.18 and later."""
    at = _find(content, _GO, parts)
    if at < 0 or not content[at + 15 : at + 16] or not content[at + 15] & _GO_INLINE:
        return
    version, at = _counted(content, at + _GO_HEAD)
    modules, _ = _counted(content, at)
    release = version.decode("utf-8", "replace").removeprefix("go").partition(" ")[0]
    if _find(content, _GO_TLS, parts) >= 0:
        yield Package("golang", "std/crypto/tls", release)
    for match in _GO_MODULE.finditer(modules):
        yield Package("golang", match[1].decode("utf-8", "replace"), match[2].decode("utf-8", "replace"))


def _counted(content: bytes, at: int) -> tuple[bytes, int]:
    """Return a string with its length before it, as a varint, and where it ends."""
    size = shift = 0
    for octet in content[at : at + 5]:
        at += 1
        size |= (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            break
    return content[at : at + min(size, _GO_MAX)], at + size


def _rust(content: bytes, parts: _Parts) -> Iterator[Package]:
    for begin, end in parts:
        at = content.find(_RUST, begin, end)
        while at >= 0:
            if match := _RUST_CRATE.match(content, at):
                yield Package("cargo", match[1].decode(), match[2].decode())
            at = content.find(_RUST, at + 1, end)
