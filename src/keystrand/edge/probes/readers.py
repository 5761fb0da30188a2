"""The readers of files, by kind of target. A reader is registered here and nowhere else."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

from keystrand.edge.probes.library_table import shipped_libraries
from keystrand.formats import key_reading, package_reading, program_reading
from keystrand.model.estate import ProbeKind
from keystrand.model.reading import FileReader, Found, Reading, StreamReader


def _program(path: str, content: bytes) -> Reading:  # noqa: ARG001 - the form of every reader
    return program_reading.read(content, shipped_libraries())


def _large_program(path: str, stream: BinaryIO) -> Iterator[Found | Reading]:  # noqa: ARG001 - as above
    yield from program_reading.read_large(stream, shipped_libraries())


def _packages(path: str, content: bytes) -> Reading:
    return package_reading.read(path, content, shipped_libraries())


FILE_READERS: tuple[FileReader, ...] = (
    FileReader("binary", program_reading.wants, _program),
    FileReader("binary", package_reading.wants, _packages),
)
"""Readers of whole files, up to 64 MiB, beside that of certificates and keys."""
STREAM_READERS: tuple[StreamReader, ...] = ()
"""Readers of files of any size: captures and logs."""
LARGE_READERS: tuple[StreamReader, ...] = (
    StreamReader("x509", key_reading.wants, key_reading.read_large),
    StreamReader("binary", program_reading.wants, _large_program),
)
"""What reads a file that is too large for the first."""


class Readers(NamedTuple):
    """Readers of whole files; of streams of any size; and of files too large for the first, in place of them."""

    whole: tuple[FileReader, ...] = ()
    streams: tuple[StreamReader, ...] = ()
    large: tuple[StreamReader, ...] = ()


def readers_of(kind: ProbeKind, passwords: tuple[str, ...] = ()) -> Readers:
    """Return the readers that a target of `kind` asks for, `files` for all; `passwords` are tried on keystores."""
    keys = FileReader("x509", key_reading.wants, partial(key_reading.read, passwords=passwords))

    def asked(of: str) -> bool:
        return kind is ProbeKind.FILES or of == kind.value

    return Readers(
        tuple(one for one in (keys, *FILE_READERS) if asked(one.kind)),
        tuple(one for one in STREAM_READERS if asked(one.kind)),
        tuple(one for one in LARGE_READERS if asked(one.kind)),
    )
