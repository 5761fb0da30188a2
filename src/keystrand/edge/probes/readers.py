"""The readers of files, by kind of target. A reader is registered here and nowhere else."""

from functools import partial
from typing import NamedTuple

from keystrand.formats import key_reading
from keystrand.model.estate import ProbeKind
from keystrand.model.reading import FileReader, StreamReader

FILE_READERS: tuple[FileReader, ...] = ()
"""Readers of whole files, up to 64 MiB, beside that of certificates and keys."""
STREAM_READERS: tuple[StreamReader, ...] = ()
"""Readers of files of any size: captures and logs."""


class Readers(NamedTuple):
    """Readers of whole files; of streams of any size; and of files too large for the first, in place of them."""

    whole: tuple[FileReader, ...] = ()
    streams: tuple[StreamReader, ...] = ()
    large: tuple[StreamReader, ...] = ()


def readers_of(kind: ProbeKind, passwords: tuple[str, ...] = ()) -> Readers:
    """Return the readers that a target of `kind` asks for, `files` for all; `passwords` are tried on keystores."""
    keys = FileReader("x509", key_reading.wants, partial(key_reading.read, passwords=passwords))
    large = (StreamReader("x509", key_reading.wants, key_reading.read_large),)

    def asked(of: str) -> bool:
        return kind is ProbeKind.FILES or of == kind.value

    return Readers(
        tuple(one for one in (keys, *FILE_READERS) if asked(one.kind)),
        tuple(one for one in STREAM_READERS if asked(one.kind)),
        tuple(one for one in large if asked(one.kind)),
    )
