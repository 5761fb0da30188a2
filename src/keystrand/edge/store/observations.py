"""The inventory's store: what every scan saw, in SQLite, for one machine and any number of observations.

WAL with `synchronous=NORMAL`: a kill or a power cut at any moment leaves a whole database, at worst without the last
transaction. Two processes may read; while one writes another waits, then is told.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from keystrand.edge.store.observation_schema import APPLICATION_ID, INCOMING, TABLES, TAKE_IN, VERSION
from keystrand.formats.documents import canonical
from keystrand.inventory.identity import about, canonical_place, is_by_name, joined, of_line, without_line
from keystrand.model.document import InputRef
from keystrand.model.errors import StoreFailure, UnsupportedFormat
from keystrand.model.observation import Attempt, Certificate, Observation, Record
from keystrand.model.stages import Observations

WAIT_S = 10.0
"""How long another process that writes is waited for."""
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=OFF", "cache_size=-65536")
"""Foreign keys say what belongs together; all rows are made here, so they are not checked row by row."""
_BATCH = 10_000
_FACTS_REMEMBERED = 200_000
"""Digests of facts that were just written, 16 octets each: most facts come many times."""


class Run(NamedTuple):
    """A scan that ended, what it was of, when it began (ISO 8601, UTC), and the file of its observations."""

    id: int
    estate: str
    begun: str
    document: InputRef


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of an attempt that is not its place."""

    outcome: str
    reason: str = ""
    counts: tuple[tuple[str, int], ...] = ()


class ObservationStore:
    """An open store. What is written between `begin` and `commit` is there at once or not at all."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.db, self.path = db, path

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is written inside, or nothing of it; inside another as a part of that. Raises `StoreFailure`."""
        if self.db.in_transaction:
            yield
            return
        with told(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")

    def begin_run(self, *, estate: str, tool: str, begun: str) -> int:
        """Return the number of a new run. What the run before knew of files and endpoints is forgotten with it."""
        self.db.execute("DELETE FROM file")
        self.db.execute("DELETE FROM endpoint")
        made = self.db.execute("INSERT INTO run(estate, tool, begun) VALUES(?, ?, ?)", (estate, tool, begun))
        return int(made.lastrowid or 0)

    def end_run(self, run: int, *, document: InputRef, ended: str) -> None:
        """Say that the run's observations stand in this document: from here on they are the current ones."""
        self.db.execute(
            "UPDATE run SET content = ?, document = ?, ended = ? WHERE id = ?",
            (document.content_sha256, document.file_sha256, ended, run),
        )

    def newest_run(self) -> int:
        """Return the number of the newest run, whether it ended or not; 0 where there is none."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0])

    def last_run(self) -> Run | None:
        """Return the last run that ended."""
        row = self.db.execute(
            "SELECT id, estate, begun, content, document FROM run WHERE ended <> '' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        number, estate, begun, content, document = row
        ref = InputRef(kind=Observations.kind(), content_sha256=content, file_sha256=document)
        return Run(number, estate, begun, ref)

    def take(self, run: int, records: Iterable[Record]) -> None:
        """Put in all records of a run, at once: lines of a file are told apart by their order. Again: no change."""
        remembered: set[bytes] = set()
        by_name: set[str] = set()
        source = iter(records)
        while batch := list(islice(source, _BATCH)):
            by_name |= self._facts([record for record in batch if isinstance(record, Observation)], remembered)
            self._attempts(run, [record for record in batch if isinstance(record, Attempt)])
        if by_name:
            self._join(by_name)
        for statement in TAKE_IN:
            self.db.execute(statement, {"run": run} if ":run" in statement else {})

    def _join(self, by_name: set[str]) -> None:
        """Let certificates of which only the name is told be the ones of that name."""
        rows = self.db.execute(
            "SELECT said FROM fact WHERE kind = 'certificate' AND digest IN (SELECT fact FROM incoming)"
        )
        certificates = (msgspec.json.decode(said, type=Certificate) for (said,) in rows)
        wholes = joined(certificates, by_name)
        self.db.executemany(
            "UPDATE incoming SET name = ? WHERE name = ?", [(whole, name) for name, whole in wholes.items()]
        )

    def _facts(self, batch: list[Observation], remembered: set[bytes]) -> set[str]:
        """Put in the facts of a batch; return the hashes that stand in for those of certificates."""
        by_name: set[str] = set()
        facts: list[tuple[bytes, str, str]] = []
        rows: list[tuple[Any, ...]] = []
        for seen in batch:
            said = canonical(seen.fact)
            digest = hashlib.blake2b(said, digest_size=16).digest()
            if digest not in remembered:
                remembered.add(digest)
                facts.append((digest, str(seen.fact.__struct_config__.tag), said.decode()))
                if isinstance(seen.fact, Certificate) and is_by_name(seen.fact):
                    by_name.add(seen.fact.sha256)
            name, line = without_line(seen.fact, about(seen))
            rows.append((name, line, digest, seen.target, seen.place, seen.probe, seen.strength.rank))
        self.db.executemany("INSERT OR IGNORE INTO fact(digest, kind, said) VALUES(?, ?, ?)", facts)
        self.db.executemany("INSERT INTO incoming VALUES(?, ?, ?, ?, ?, ?, ?)", rows)
        if len(remembered) > _FACTS_REMEMBERED:
            remembered.clear()
        return by_name

    def _attempts(self, run: int, batch: list[Attempt]) -> None:
        spots = [(one.target, one.place, one.probe) for one in batch]
        said = [msgspec.json.encode(Said(one.outcome, one.reason, one.counts)).decode() for one in batch]
        self.db.executemany("INSERT OR IGNORE INTO spot(target, place, probe) VALUES(?, ?, ?)", spots)
        self.db.executemany(
            "INSERT INTO attempt SELECT id, ?, ?, ? FROM spot WHERE target = ? AND place = ? AND probe = ?"
            " ON CONFLICT DO UPDATE SET last_run = excluded.last_run",
            [(text, run, run, *spot) for text, spot in zip(said, spots, strict=True)],
        )


@contextmanager
def opened(path: Path) -> Iterator[ObservationStore]:
    """Yield the store at `path`, made where there is none.

    Raises `StoreFailure` where it cannot be used, `UnsupportedFormat` where a later release wrote it.
    """
    if path.is_symlink():
        raise StoreFailure(f"{path} is a link, which may lead anywhere; it is not followed")
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # one thread at a time uses it; who shares it among threads sees to that
        db = sqlite3.connect(path, isolation_level=None, timeout=WAIT_S, check_same_thread=False)
    try:
        with told(path):
            for name, count, function in (("of_line", 2, of_line), ("canonical_place", 1, canonical_place)):
                db.create_function(name, count, function, deterministic=True)
            _demand_ours(db, path)
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            _make(db)
        yield ObservationStore(db, path)
    finally:
        db.close()


def _demand_ours(db: sqlite3.Connection, path: Path) -> None:
    (version,), (whose,) = db.execute("PRAGMA user_version").fetchone(), db.execute("PRAGMA application_id").fetchone()
    if whose not in (0, APPLICATION_ID) or (not whose and db.execute("SELECT 1 FROM sqlite_master").fetchone()):
        raise StoreFailure(f"{path} is a database of another program", hint="name another folder with --out")
    if version > VERSION:
        raise UnsupportedFormat(f"{path} has version {version}, and this release reads up to {VERSION}")


def _make(db: sqlite3.Connection) -> None:
    """Make the tables where there are none: only then does opening wait for a process that writes."""
    if not db.execute("PRAGMA application_id").fetchone()[0]:
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("PRAGMA application_id").fetchone()[0]:  # another process may have been faster
            for statement in TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    for statement in INCOMING:
        db.execute(statement)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into words."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreFailure(
                f"{path} is being written by another process, also after {WAIT_S:g} s",
                hint="wait for the other scan or merge to end, or name another folder with --out",
            ) from error
        if name in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
            raise StoreFailure(
                f"{path} is damaged, or is no database: {error}",
                hint="move it away; keystrand inventory merge DIR --out OUT makes it again from observations.jsonl",
            ) from error
        raise StoreFailure(f"{path} could not be used: {error}") from error
    except OSError as error:
        raise StoreFailure(f"{path} could not be used: {error.strerror}") from error
