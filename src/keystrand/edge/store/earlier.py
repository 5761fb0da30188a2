"""What an earlier scan found that still holds, so that a scan touches only what is due.

A file is the same while device, inode, size and both times are, its own and those of the files that are read together
with it, and it is read in the same way; an endpoint is asked
again once its answer is older than `max_age`. An endpoint that did not answer in full, and a file with something
locked in it, are always due.
"""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from keystrand import __version__
from keystrand.edge.partial import Done, Line, Signature
from keystrand.edge.probes.base import place_of
from keystrand.edge.probes.contents import Result
from keystrand.edge.probes.walk import File
from keystrand.edge.store.observation_reads import attempts_of, observations_of
from keystrand.edge.store.observations import ObservationStore, Said
from keystrand.formats.key_facts import ENCRYPTED
from keystrand.model.estate import ScanMode, Target
from keystrand.model.observation import Attempt, Observation, Outcome, Record
from keystrand.model.reading import Found

_LASTING = (Outcome.SEEN, Outcome.NONE, Outcome.UNPARSABLE, Outcome.SKIPPED)
"""Outcomes that are the file's own: another reader's rights or a busier machine would not change them."""
_TICK_NS, _COARSE_NS = 20_000_000, 2_000_000_000
"""How late a change may be stamped: by the kernel's tick, and on file systems that keep whole seconds (FAT: two)."""
_SIGNED = (1 << 63) - 1
"""SQLite's integers have a sign; numbers of devices and inodes do not."""
_BATCH = 10_000
_SIGNS = "!#:@"
"""What may follow a file's name in a place."""
_INSIDE = " OR ".join(f"(s.place >= :at || '{sign}' AND s.place < :at || '{chr(ord(sign) + 1)}')" for sign in _SIGNS)
# rows where the file is the same, with what was said of it; more than one that says something: it is not clear what
_KNOWN = (
    "SELECT a.said FROM file f LEFT JOIN spot s ON s.target = f.target AND s.place = 'file:' || f.path"
    " AND EXISTS(SELECT 1 FROM attempt WHERE spot = s.id) LEFT JOIN attempt a ON a.spot = s.id AND a.last_run = ?"
    " WHERE f.target = ? AND f.path = ? AND f.device = ? AND f.inode = ? AND f.size = ? AND f.mtime_ns = ?"
    " AND f.ctime_ns = ? AND f.ruleset = ?"
)
_LONGER = (
    "SELECT 1 FROM (SELECT 'file:' || path AS place FROM file WHERE target = :target AND path > substr(:at, 6)"  # noqa: S608 - our own words
    f" AND path < substr(:at, 6) || 'A') s WHERE {_INSIDE}"
)
"""Whether another file's name is this one's with such a sign behind it."""


def definition_of(target: Target, mode: ScanMode, answered_by: tuple[str, int] | None, rules: str) -> str:
    """Return one word for what decides what is found at a target: how it is asked, who answers, and which release asks.

    `rules` is one word for the content of its own rules.

    Passwords have no part, not even as a hash: a file that they would open is always due.
    """
    said = msgspec.json.encode((replace(target, passwords=()), target.mode or mode, answered_by, __version__, rules))
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def signature(target: str, file: File, ruleset: str) -> Signature:
    """Return what is kept of a file that was read; how the files beside it stood is part of how it was read."""
    status = file.status
    if file.beside:
        beside = [
            one and (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in file.beside
        ]
        ruleset = hashlib.blake2b(msgspec.json.encode((ruleset, beside)), digest_size=16).hexdigest()
    return Signature(
        target=target, path=file.shown, device=status.st_dev & _SIGNED, inode=status.st_ino & _SIGNED,
        size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns, ruleset=ruleset,
    )  # fmt: skip


def settled(file: File, begun_ns: int) -> bool:
    """Return whether a file that is changed after a scan's begin, or one beside it, would show another time than now.

    Two changes within one tick have one time: a file changed so short a time before is read again.
    """
    latest = [max(one.st_mtime_ns, one.st_ctime_ns) for one in (file.status, *file.beside) if one]
    return all(at + (_TICK_NS if at % 1_000_000_000 else _COARSE_NS) < begun_ns for at in latest)


def remember(store: ObservationStore, lines: Iterable[Line]) -> None:
    """Put in what a scan's partial file says of files and endpoints: of the run before, nothing is left."""
    source = iter(lines)
    while batch := list(islice(source, _BATCH)):
        files = [msgspec.structs.astuple(said) for said in batch if isinstance(said, Signature)]
        ended = [msgspec.structs.astuple(said) for said in batch if isinstance(said, Done) and said.definition]
        store.db.executemany("INSERT OR REPLACE INTO file VALUES(?, ?, ?, ?, ?, ?, ?, ?)", files)
        store.db.executemany("INSERT OR REPLACE INTO endpoint VALUES(?, ?, ?, ?)", ended)


class Earlier:
    """The last run of a store, asked from any thread."""

    def __init__(self, store: ObservationStore, oldest: datetime) -> None:
        self._store, self._oldest = store, oldest
        last = store.last_run()
        # what is known of files and endpoints is of the newest run: of one that never ended there is nothing to take
        self._run = last.id if last and last.id == store.newest_run() else None
        self._lock = threading.Lock()

    def endpoint(self, target: Target, definition: str) -> tuple[tuple[Record, ...], str] | None:
        """Return the records of an endpoint and when it was asked, where that is not too long ago; else None."""
        place = place_of(target)
        if self._run is None:
            return None
        with self._lock:
            rows = self._rows(
                "SELECT asked FROM endpoint WHERE target = ? AND place = ? AND definition = ?",
                (target.id, place, definition),
            )
            if not rows or datetime.fromisoformat(rows[0][0]) <= self._oldest:
                return None
            where, values = "AND s.target = :target AND s.place = :place", {"target": target.id, "place": place}
            seen = tuple(observations_of(self._store, self._run, where, values))
            ended = tuple(attempts_of(self._store, self._run, where, values))
        return ((*seen, *ended), rows[0][0]) if len(ended) == 1 else None

    def file(self, target: Target, file: File, ruleset: str) -> Result | None:
        """Return the result of a file that has not changed since; else None."""
        now = signature(target.id, file, ruleset)
        if self._run is None:
            return None
        with self._lock:
            known = self._rows(_KNOWN, (self._run, *msgspec.structs.astuple(now)))
            return self._result(target, file.shown, known) if known else None

    def _rows(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._store.db.execute(sql, values).fetchall()
        return found

    def _result(self, target: Target, path: str, known: list[tuple[Any, ...]]) -> Result | None:
        texts = [text for (text,) in known if text is not None]
        if not texts:
            return Result(Outcome.NONE)
        text, *others = texts
        said = msgspec.json.decode(text, type=Said)
        outcome, seen = Outcome(said.outcome), said.outcome == Outcome.SEEN
        if others or outcome not in _LASTING or said.counts or ENCRYPTED in said.reason:
            return None
        at = {"target": target.id, "at": f"file:{path}"}
        if seen and self._confused(target.id, path, at):
            return None
        return Result(outcome, self._found(at) if seen else (), said.reason.removeprefix(f"{path}: "))

    def _confused(self, target: str, path: str, at: Mapping[str, str]) -> bool:
        """Return whether places inside this file cannot be told from those inside another, by their names."""
        shorter = [path[:end] for end, sign in enumerate(path) if sign in _SIGNS]
        among = f"SELECT 1 FROM file WHERE target = ? AND path IN ({', '.join('?' * len(shorter))})"  # noqa: S608 - marks
        return bool(self._rows(_LONGER, at) or (shorter and self._rows(among, (target, *shorter))))

    def _found(self, at: Mapping[str, str]) -> tuple[tuple[str, Found], ...]:
        within = f"AND s.target = :target AND (s.place = :at OR {_INSIDE})"
        seen = observations_of(self._store, self._run or 0, within, at)
        return tuple((one.probe, Found(one.place[len(at["at"]) :], one.strength, one.fact)) for one in seen)


def reusable(records: tuple[Record, ...]) -> bool:
    """Return whether an endpoint's records may stand for it later: it answered all, and all is about its one place."""
    (closing, *others) = [record for record in records if isinstance(record, Attempt)]
    at_it = all(record.place == closing.place for record in records if isinstance(record, Observation))
    return not others and closing.outcome is Outcome.SEEN and not closing.reason and at_it
