"""Logs of network sensors as evidence, of any size, line by line: Zeek's ssl, ssh, quic, x509 and conn; Suricata's eve.

For networks too large for a reader of packets. Volumes are summed by client, server, port, protocol, key establishment
and day. Zeek keeps them in conn.log: where that lies beside an ssl, ssh or quic log of the same name and time, it is
read together with them, by the connection's uid. A line that cannot be read is counted, and ends nothing.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from keystrand.edge.probes.unpacked import NotWhole, head, pieces, with_fault
from keystrand.formats.log_tally import EveLog, HandshakeLog, JoinedLog, LineTally
from keystrand.formats.zeek_log import ZeekLines, path_in, renamed
from keystrand.model.estate import ProbeKind
from keystrand.model.reading import Found, Reading, StreamReader

MAX_LINE = 1024 * 1024
"""Octets of a line at most; a longer one is counted as bad and not held."""
_HANDSHAKES = ("ssl", "ssh", "quic")
_HEADER_LINES = 10
_ZEEK_HEAD = re.compile(rb"#separator .*#path[^\n]*?(ssl|ssh|quic|conn|x509)\n", re.DOTALL)
_ZEEK_JSON = re.compile(rb'\{[^\n]*"(?:id\.orig_h|certificate\.key_alg)"')
_EVE_JSON = re.compile(rb'\{"timestamp": ?"\d{4}-\d\d-\d\dT[^\n]*"event_type": ?"\w+"')
"""Suricata writes the time first. Other programs have events too, which are none of ours."""


def wants(path: str, octets: bytes) -> bool:
    """Return whether a file that begins so is a log that is read here, also a packed one."""
    begin = head(octets)
    if _EVE_JSON.match(begin):
        return True
    return _ZEEK_HEAD.match(begin) is not None or (bool(path_in(path)) and _ZEEK_JSON.match(begin) is not None)


def read(path: str, stream: BinaryIO) -> Iterator[Found | Reading]:
    """Yield the facts of a log as they are found, and the reading at the end."""
    with ExitStack() as opened:
        tally: LineTally | None = None
        fault = ""
        try:
            for lines in _line_groups(stream):
                tally = tally or _tally(path, stream, lines, opened)
                for line in lines:
                    if line is None:
                        tally.bad_line(tally.lines + 1)
                    else:
                        tally.take(line)
                yield from tally.ready()
        except NotWhole as error:
            fault = str(error)
        *found, reading = (tally or EveLog()).end()
        yield from found
        if isinstance(reading, Reading):
            yield with_fault(reading, fault)


def _tally(path: str, stream: BinaryIO, lines: list[bytes | None], opened: ExitStack) -> LineTally:
    """Return what takes the lines of this log; logs beside it stay open until `opened` is closed."""
    begin = [line for line in lines[:_HEADER_LINES] if line is not None]
    if begin and _EVE_JSON.match(begin[0]):
        return EveLog()
    rows, place = ZeekLines(path), _place(stream)
    if path_in(path) == "conn" or any(line.startswith(b"#path") and line.endswith(b"conn") for line in begin):
        beside = {name: _lines_beside(place, name, opened) for name in _HANDSHAKES}
        return JoinedLog(rows, {name: lines for name, lines in beside.items() if lines is not None})
    volumes = _beside(place, "conn", opened) is not None
    quic = _lines_beside(place, "quic", opened) if path_in(path) == "ssl" else None
    return HandshakeLog(rows, volumes=volumes, quic=quic)


def _place(stream: BinaryIO) -> Path | None:
    """Return where an open file lies, None where that cannot be told."""
    name = getattr(stream, "name", None)
    try:
        return Path(name) if isinstance(name, str) else Path(f"/proc/self/fd/{stream.fileno()}").readlink()
    except (OSError, ValueError, AttributeError):
        return None


def _lines_beside(place: Path | None, name: str, opened: ExitStack) -> Iterator[bytes] | None:
    stream = _beside(place, name, opened)
    return _plain_lines(stream) if stream else None


def _beside(place: Path | None, name: str, opened: ExitStack) -> BinaryIO | None:
    """Return the log `name` of the same time, opened; None where there is none, or this one has no log's name."""
    return _open(Path(renamed(str(place), name)), opened) if place and path_in(place.name) else None


def _open(path: Path, opened: ExitStack) -> BinaryIO | None:
    """Return a regular file that lies beside the log, no link, opened; None where there is none."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        return None
    opened.enter_context(stream)
    return stream if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else None


def _plain_lines(stream: BinaryIO) -> Iterator[bytes]:
    try:
        for lines in _line_groups(stream):
            yield from (line for line in lines if line is not None)
    except NotWhole:
        return


def _line_groups(stream: BinaryIO) -> Iterator[list[bytes | None]]:
    """Yield lines in groups; None stands for one that is too long. Raises `NotWhole`."""
    rest, skipping = b"", False
    for piece in pieces(stream):
        first, *lines = piece.split(b"\n")
        if not lines:
            rest, skipping = (rest + first, skipping) if len(rest) + len(first) <= MAX_LINE else (b"", True)
            continue
        begin = None if skipping or len(rest) + len(first) > MAX_LINE else rest + first
        *whole, rest = lines
        skipping = len(rest) > MAX_LINE
        rest = b"" if skipping else rest
        yield [begin, *whole]
    if rest or skipping:
        yield [None if skipping else rest]


READER = StreamReader(ProbeKind.CAPTURE.value, wants, read)
