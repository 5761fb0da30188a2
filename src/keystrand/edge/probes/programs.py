"""Readers of programs and of lists of packages, with the table of libraries that comes with the package."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import BinaryIO

from keystrand.formats import package_reading, program_reading
from keystrand.formats.libraries import KnownLibraries, known_libraries
from keystrand.model.reading import FileReader, Found, Reading, StreamReader


@cache
def shipped_libraries() -> KnownLibraries:
    """Return the table, read once."""
    return known_libraries((files("keystrand.edge.probes") / "libraries.toml").read_bytes())


def _program(path: str, content: bytes) -> Reading:  # noqa: ARG001 - the form of every reader
    return program_reading.read(content, shipped_libraries())


def _large_program(path: str, stream: BinaryIO) -> Iterator[Found | Reading]:  # noqa: ARG001 - as above
    yield from program_reading.read_large(stream, shipped_libraries())


def _packages(path: str, content: bytes) -> Reading:
    return package_reading.read(path, content, shipped_libraries())


PROGRAMS = FileReader("binary", program_reading.wants, _program)
PACKAGES = FileReader("binary", package_reading.wants, _packages)
LARGE_PROGRAMS = StreamReader("binary", program_reading.wants, _large_program)
