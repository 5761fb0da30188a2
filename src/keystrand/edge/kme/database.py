"""The database under a KME's store: SQLite (WAL, synchronous=FULL), one writer, sealed rows, an append-only audit."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keystrand.edge.kme.sealing import Seal, make_master_key, read_master_key
from keystrand.edge.tls import Peer
from keystrand.model.errors import StoreFailure

_FORMAT = "2"
_BUSY_S = 1.0
"""How long a transaction waits for a program that looks at the file, such as a backup, to let go of it."""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON")
_COMMITS_TO_FOLD = 100
"""After so many commits at most, sealed rows that were overwritten leave the log too."""
_TABLES = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pool(
  link TEXT, master_kme TEXT, stored INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(link, master_kme)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block(
  number INTEGER PRIMARY KEY AUTOINCREMENT, block_id TEXT NOT NULL UNIQUE, link TEXT NOT NULL, master_kme TEXT NOT NULL,
  length INTEGER NOT NULL, cursor INTEGER NOT NULL, sealed BLOB, qber REAL NOT NULL, label TEXT NOT NULL,
  received_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS live_block ON block(link, master_kme, number) WHERE sealed IS NOT NULL;
CREATE TABLE IF NOT EXISTS key(
  key_id TEXT PRIMARY KEY, master_sae TEXT NOT NULL, slave_sae TEXT NOT NULL, state TEXT NOT NULL, sealed BLOB,
  provenance TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting_key ON key(since) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS audit(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, tls_group TEXT NOT NULL,
  action TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS audit_is_not_changed BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_not_shortened BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
"""


class Database:
    """The database in `folder`. Its methods block and belong to one thread.

    After any fault of SQLite it refuses everything: what the disk holds is then known only to a restart.
    """

    def __init__(self, folder: Path, master_key: Path) -> None:
        """Open or make it. Raises `StoreFailure` where another process has it or it cannot be used."""
        self._broken = False
        self._commits = 0
        self._lock = _lock(folder)
        try:
            self._db = self._open(folder / "store.db", master_key)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, file: Path, master_key: Path) -> sqlite3.Connection:
        if not file.exists() and not master_key.exists():
            make_master_key(master_key)
        master = read_master_key(master_key)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            # the thread that works is not the one that opens; SQLite itself is built thread-safe
            db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
            try:
                meta = _prepare(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            raise StoreFailure(f"{file} cannot be opened: {error}") from error
        self.id = meta["id"]
        with master:
            self.seal = Seal(master, self.id)
        return db

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Any:
        """Return the first row of a query, None where there is none."""
        return self._db.execute(sql, values).fetchone()

    @contextmanager
    def walk(self, sql: str, *values: Any) -> Iterator[Iterator[Any]]:
        """Give the rows of a query one by one, as far as they are wanted."""
        cursor = self._db.execute(sql, values)
        try:
            yield cursor
        finally:
            cursor.close()

    def write(self, sql: str, *values: Any) -> None:
        """Run a statement inside a transaction."""
        self._db.execute(sql, values)

    def close(self) -> None:
        """Fold the log into the database and let another process have the store."""
        self.fold()
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit; any exception inside undoes it. Raises `StoreFailure` for every fault of SQLite.

        A row that contradicts those there is no fault of the disk: it is undone and refused, and the store goes on.
        """
        if self._broken:
            raise StoreFailure("the key store failed earlier and serves nothing until the KME is started again")
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            # nothing has begun, so nothing is in doubt: somebody looks at the file, and holds it
            raise StoreFailure(f"the key store is held by another program: {error}") from error
        try:
            try:
                yield
            except sqlite3.IntegrityError as error:
                self._db.execute("ROLLBACK")
                raise StoreFailure(f"the key store refused what contradicts it: {error}") from error
            except sqlite3.Error:
                raise
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = True
            raise StoreFailure(f"the key store failed: {error}") from error
        self._commits += 1
        if self._commits >= _COMMITS_TO_FOLD:
            self.fold()

    def fold(self) -> bool:
        """Move the log into the database and cut it to nothing; return false where another program holds it up.

        Until then the log still holds the sealed rows that later commits overwrote.
        """
        self._commits = 0
        if self._broken:
            return True
        try:
            busy, _, _ = self.row("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # every commit so far is safe in the log; what the disk does next is not known
            self._broken = True
            return True
        return not busy

    def audit(self, now: float, by: Peer, action: str, **detail: Any) -> None:
        """Add a record inside a transaction: it stands or falls with what it tells of."""
        entry = (now, by.identity.urn, by.group, action, json.dumps(detail, sort_keys=True))
        self._db.execute("INSERT INTO audit(at, actor, tls_group, action, detail) VALUES(?, ?, ?, ?, ?)", entry)


def _prepare(db: sqlite3.Connection) -> dict[str, str]:
    for pragma in _PRAGMAS:
        db.execute(f"PRAGMA {pragma}")
    db.executescript(_TABLES)
    db.execute("INSERT OR IGNORE INTO meta VALUES('format', ?), ('id', ?)", (_FORMAT, os.urandom(16).hex()))
    meta = dict(db.execute("SELECT name, value FROM meta"))
    if meta["format"] != _FORMAT:
        raise StoreFailure(f"the store is of format {meta['format']}, this release writes {_FORMAT}")
    return meta


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreFailure(f"{folder} cannot be used as a store: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreFailure(
            f"{folder} is in use by another key management entity", hint="one process writes a store; stop the other"
        ) from None
    return descriptor
