"""What the readers make of one file: whole, as a stream where it is large, and member by member in an archive."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from keystrand.edge.probes import archives
from keystrand.edge.probes.readers import Readers
from keystrand.edge.probes.walk import why
from keystrand.model.observation import Outcome
from keystrand.model.reading import FileReader, Found, Reading, StreamReader

HEAD = 4096
"""Octets of a file's begin that a reader is shown to say whether it wants the file."""
MAX_WHOLE = 64 * 1024**2
"""Octets of a file that is read whole."""
MAX_FOUND = 100_000
"""Facts that are kept of one file."""
_REASONS_SHOWN = 5
_WORST_FIRST = (Outcome.TIMED_OUT, Outcome.UNREADABLE, Outcome.UNPARSABLE, Outcome.SKIPPED)


class Result(NamedTuple):
    """What became of one file: its outcome, its facts with the kind of the reader that found each, and why."""

    outcome: Outcome
    found: tuple[tuple[str, Found], ...] = ()
    reason: str = ""


_Read = tuple[str, Reading]


def read_file(path: str, shown: str, readers: Readers) -> Result:
    """Return what `readers` make of the regular file at `path`. Never raises for what is in it or about it."""
    try:
        # not blocking: should a named pipe stand there by now, it must not hold up the scan
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Result(Outcome.UNREADABLE, reason="not a regular file")
            if not _is_at(path, stream.fileno()):
                return Result(Outcome.UNREADABLE, reason="it was moved, or a link was put on the way to it")
            return together(_readings(stream, shown, status.st_size, readers))
    except OSError as error:
        return Result(Outcome.UNREADABLE, reason=why(error))


def _is_at(path: str, descriptor: int) -> bool:
    """Return whether an open file is the one at `path`, without a link in it: a folder may be one by now."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink() == Path(path)
    except OSError:  # a system that does not tell
        return Path(path).resolve() == Path(path)


def together(readings: Iterable[_Read]) -> Result:
    """Return what several readings of one file come to: seen where anything was, else the worst of their outcomes."""
    found: list[tuple[str, Found]] = []
    outcomes: set[Outcome] = set()
    reasons: list[str] = []
    for kind, reading in map(_writable, readings):
        found += ((kind, one) for one in reading.found[: MAX_FOUND - len(found)])
        outcomes.add(reading.outcome)
        if reading.reason and reading.reason not in reasons:
            reasons.append(reading.reason)
        if (
            len(found) == MAX_FOUND
        ):  # nothing more is kept, so that nothing more is read: an archive may go on for hours
            break
    if len(found) == MAX_FOUND:
        reasons.insert(0, f"the first {MAX_FOUND} facts only")
    reason = "; ".join(reasons[:_REASONS_SHOWN])
    if len(reasons) > _REASONS_SHOWN:
        reason += f"; and {len(reasons) - _REASONS_SHOWN} more reasons"
    if found:
        return Result(Outcome.SEEN, tuple(found), reason)
    worst = next((one for one in _WORST_FIRST if one in outcomes), Outcome.NONE)
    return Result(worst, (), reason if worst is not Outcome.NONE else "")


def _writable(read: _Read) -> _Read:
    """Return a reading without facts that no document can hold: half a character of UTF-16 is no text in UTF-8."""
    kind, reading = read
    reading = reading._replace(reason=reading.reason.encode("utf-8", "backslashreplace").decode())
    found = tuple(one for one in reading.found if _is_writable(one))
    if len(found) == len(reading.found):
        return kind, reading
    reason = "; ".join(filter(None, ("names that are no text were left out", reading.reason)))
    outcome = reading.outcome if found else Outcome.UNPARSABLE
    return kind, reading._replace(found=found, outcome=outcome, reason=reason)


def _is_writable(found: Found) -> bool:
    try:
        msgspec.json.encode(found)
    except (ValueError, OverflowError):
        return False
    return True


def _readings(stream: BinaryIO, shown: str, size: int, readers: Readers) -> Iterator[_Read]:
    if size <= MAX_WHOLE:
        content = stream.read(MAX_WHOLE)
        yield from _whole(shown, content, readers.whole)
        # readers of streams get the file itself, which knows where it lies: a log is joined with those beside it
        head, streams = content[:HEAD], readers.streams
    else:
        head = stream.read(HEAD)
        streams = (*readers.streams, *readers.large)
    for reader in streams:
        if reader.wants(shown, head):
            stream.seek(0)
            yield from _streamed(reader, shown, stream)
    if readers.whole and archives.is_archive(head[: archives.HEAD]):
        stream.seek(0)
        yield from _archive(stream, shown, max(size, len(head)), readers.whole)


def _whole(path: str, content: bytes, readers: tuple[FileReader, ...]) -> Iterator[_Read]:
    head = content[:HEAD]
    for reader in readers:
        try:
            if reader.wants(path, head):
                yield reader.kind, reader.read(path, content)
        except Exception as error:  # a reader never raises; should one, the others and the other files still count
            yield reader.kind, _failed(error)


def _failed(error: Exception) -> Reading:
    return Reading(outcome=Outcome.UNPARSABLE, reason=f"the reader failed on what it found: {type(error).__name__}")


def _streamed(reader: StreamReader, path: str, stream: BinaryIO) -> Iterator[_Read]:
    found: list[Found] = []
    last = Reading()
    try:
        for one in reader.read(path, stream):
            if isinstance(one, Reading):
                last = one
                found += one.found
            elif len(found) < MAX_FOUND:
                found.append(one)
    except OSError as error:
        last = Reading(outcome=Outcome.UNREADABLE, reason=why(error))
    except Exception as error:  # as in `_whole`
        last = _failed(error)
    yield reader.kind, last._replace(found=tuple(found))


def _archive(stream: BinaryIO, shown: str, octets: int, readers: tuple[FileReader, ...]) -> Iterator[_Read]:
    """Yield what is in the members of an archive, their names in front of each place, and why some were not read."""
    budget = archives.Budget(octets)
    readers = tuple(_within(reader, budget) for reader in readers)
    try:
        for one in archives.members(stream, shown, budget):
            if isinstance(one, archives.Refused):
                yield "", Reading(outcome=Outcome.SKIPPED, reason=f"{_text(one.name)}: {one.reason}")
            else:
                yield from _in_member(one, shown, readers)
    except archives.TooMuchError as error:
        yield "", Reading(outcome=Outcome.SKIPPED, reason=f"an archive that is not read to its end: {error}")
    except Exception as error:  # the readers of archives raise errors of many kinds on damaged ones
        reason = f"an archive that cannot be read to its end ({type(error).__name__})"
        yield "", Reading(outcome=Outcome.UNPARSABLE, reason=reason)


def _within(reader: FileReader, budget: archives.Budget) -> FileReader:
    """Return a slow reader as one that reads no more than an archive's budget allows; another as it is."""

    def read(path: str, content: bytes) -> Reading:
        if budget.allows_slow(len(content)):
            return reader.read(path, content)
        reason = f"the archive holds more than {archives.MAX_SLOW} octets of {reader.kind} to read; this was left out"
        return Reading(outcome=Outcome.SKIPPED, reason=reason)

    return reader._replace(read=read) if reader.slow else reader


def _in_member(member: archives.Member, shown: str, readers: tuple[FileReader, ...]) -> Iterator[_Read]:
    name = _text(member.name)
    for kind, reading in _whole(f"{shown}!{name}", member.content, readers):
        found = tuple(one._replace(where=f"!{name}{one.where}") for one in reading.found)
        reason = f"{name}: {reading.reason}" if reading.reason and reading.outcome is not Outcome.NONE else ""
        yield kind, reading._replace(found=found, reason=reason)


def _text(name: str) -> str:
    """Return a member's name as text that can be written, whatever the archive says, and on one line.

    Slashes in a row are one: no member is to be taken for a service, `tls://host`.
    """
    written = re.sub("/{2,}", "/", name.encode("utf-8", "backslashreplace").decode())
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in written)[:4096]
