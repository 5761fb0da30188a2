"""The readers of files, by kind of target. A reader is registered here and nowhere else."""

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand.edge.probes import capture, programs, rpm_database, sensor_logs
from keystrand.edge.source_rules import source_reader
from keystrand.formats import (
    cyclonedx_read,
    cyclonedx_xml,
    key_reading,
    report_key_services,
    report_nmap,
    report_pkcs11,
    report_sarif,
    report_ssh_audit,
    report_sslyze,
    report_testssl,
    report_zgrab,
)
from keystrand.formats.config_reader import CONFIG
from keystrand.model.estate import ProbeKind
from keystrand.model.reading import FileReader, StreamReader

_REPORTS = (cyclonedx_read, cyclonedx_xml, report_key_services, report_nmap, report_pkcs11, report_sarif,
            report_ssh_audit, report_sslyze, report_testssl, report_zgrab)  # fmt: skip
FILE_READERS: tuple[FileReader, ...] = (
    CONFIG,
    programs.PROGRAMS,
    programs.PACKAGES,
    rpm_database.READER,
    *(report.READER for report in _REPORTS),
)
"""Readers of whole files, up to 64 MiB, beside that of certificates and keys."""
STREAM_READERS: tuple[StreamReader, ...] = (capture.READER, sensor_logs.READER)
"""Readers of files of any size: captures and logs."""
LARGE_READERS: tuple[StreamReader, ...] = (
    StreamReader("x509", key_reading.wants, key_reading.read_large),
    programs.LARGE_PROGRAMS,
)
"""What reads a file that is too large for the first."""


_source = cache(source_reader)
"""Rules are many: they are made ready once, and only where source code is asked for."""


class Readers(NamedTuple):
    """Readers of whole files; of streams of any size; and of files too large for the first, in place of them."""

    whole: tuple[FileReader, ...] = ()
    streams: tuple[StreamReader, ...] = ()
    large: tuple[StreamReader, ...] = ()


def readers_of(kind: ProbeKind, passwords: tuple[str, ...] = (), rules: tuple[Path, ...] = ()) -> Readers:
    """Return the readers that a target of `kind` asks for, `files` for all.

    `passwords` are tried on keystores, `rules` for source code come before ours. Raises `InvalidInput` where they are
    wrong.
    """
    keys = FileReader("x509", key_reading.wants, partial(key_reading.read, passwords=passwords))

    def asked(of: str) -> bool:
        return kind is ProbeKind.FILES or of == kind.value

    source = (_source(rules),) if asked("source") else ()
    return Readers(
        tuple(one for one in (keys, *FILE_READERS, *source) if asked(one.kind)),
        tuple(one for one in STREAM_READERS if asked(one.kind)),
        tuple(one for one in LARGE_READERS if asked(one.kind)),
    )


def _look_at_types() -> None:
    """Let msgspec look at every type that readers decode, before threads do.

    Where two threads are the first to decode a type at once, msgspec ends the process (SIGSEGV, seen with 0.22.0):
    the one sees what the other has only half looked at.
    """
    kinds = msgspec.Struct.__subclasses__()
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("keystrand.") and not getattr(kind, "__parameters__", ()):
            msgspec.json.Decoder(kind)


_look_at_types()
