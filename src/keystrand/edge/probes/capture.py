"""Packet captures of any size as evidence: what was negotiated on the wire, by whom, and how much passed."""

from collections.abc import Iterator
from typing import BinaryIO

from keystrand.edge.probes.unpacked import NotWhole, head, pieces, with_fault
from keystrand.formats.capture import Capture
from keystrand.formats.capture_file import is_capture
from keystrand.formats.capture_flows import MAX_FLOWS
from keystrand.formats.capture_tally import MAX_TOTALS
from keystrand.model.estate import ProbeKind
from keystrand.model.reading import Found, Reading, StreamReader


def wants(_path: str, octets: bytes) -> bool:
    """Return whether a file that begins so is a packet capture, also a packed one."""
    return is_capture(head(octets, 64))


def read(
    _path: str, stream: BinaryIO, *, flows: int = MAX_FLOWS, totals: int = MAX_TOTALS
) -> Iterator[Found | Reading]:
    """Yield the facts of a capture as they are found, and the reading at the end. `Capture` tells the bounds."""
    capture, fault = Capture(flows=flows, totals=totals), ""
    try:
        for piece in pieces(stream):
            yield from capture.feed(piece)
            if capture.faulty:
                break
    except NotWhole as error:
        fault = str(error)
    *found, reading = capture.end()
    yield from found
    if isinstance(reading, Reading):
        yield with_fault(reading, fault)


READER = StreamReader(ProbeKind.CAPTURE.value, wants, read)
