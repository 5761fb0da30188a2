"""Reports of other tools: read one, and tell how far several agree."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from keystrand.edge.files import read_bytes
from keystrand.edge.probes.readers import readers_of
from keystrand.inventory.contradictions import Comparison, compared
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Outcome
from keystrand.model.reading import Reading

Row = dict[str, Any]
_HEAD = 4096
MAX_REPORT_OCTETS = 64 * 1024 * 1024


def report_in(file: Path) -> Reading:
    """Return what a report of another tool tells. Raises `InvalidInput` where no reader knows its form."""
    content = _content(file)
    for reader in readers_of(ProbeKind.REPORT).whole:
        if reader.wants(file.name, content[:_HEAD]):
            return reader.read(file.name, content)
    raise InvalidInput(f"{file} is not a report of a tool that is known")


def _content(file: Path) -> bytes:
    with suppress(OSError):  # what cannot be looked at cannot be read either, and is told there
        if file.stat().st_size > MAX_REPORT_OCTETS:
            raise InvalidInput(f"{file} is larger than the {MAX_REPORT_OCTETS} octets that a report may have")
    return read_bytes(file)


def compare(files: list[Path]) -> Comparison:
    """Return how far the reports in `files` agree. Raises `InvalidInput` where one of them cannot be read."""
    read = {str(file): report_in(file) for file in files}
    for name, reading in read.items():
        if reading.outcome is Outcome.UNPARSABLE:
            raise InvalidInput(f"{name}: {reading.reason}")
    return compared({name: reading.found for name, reading in read.items()})


def contradiction_rows(comparison: Comparison) -> list[Row]:
    """Return one row a contradiction."""
    return [
        {"identity": one.identity, "field": one.field, "said": [f"{document}: {value}" for document, value in one.said]}
        for one in comparison.contradictions
    ]
