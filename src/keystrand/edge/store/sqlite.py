"""The store in SQLite: WAL with synchronous=FULL, one process, statements in the loop's thread.

A statement touches memory only, so it runs at once. COMMIT waits for the disk: where that is slow it runs in a thread
of its own and lets the loop go on. After any fault of SQLite nothing is served until a restart: what the disk holds is
not known (a failed fsync may have dropped pages that a second one then reports as written).
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keystrand.edge.store.schema import TABLES
from keystrand.edge.store.session import Row, Session
from keystrand.edge.store.worker import Worker
from keystrand.model.errors import StoreFailure

_PRAGMAS = (
    "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "wal_autocheckpoint=4000", "cache_size=-16000",
    "temp_store=MEMORY",
)  # fmt: skip
_QUICK_S = 0.002
"""A COMMIT that takes less runs in the loop's own thread: the way to another and back takes as long as a fast disk."""
_BUSY_S = 1.0
"""How long a statement waits for a program that looks at the file, such as a copy, to let go of it."""

Connect = Callable[[Path], sqlite3.Connection]


def connect(file: Path) -> sqlite3.Connection:
    """Return a connection to `file` that any one thread at a time may use."""
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=_BUSY_S, cached_statements=256)


class SqliteSession:
    """Statements on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        return self._db.execute(sql, values).fetchall()

    async def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, None where there is none."""
        found: Row | None = self._db.execute(sql, values).fetchone()
        return found

    async def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it changed."""
        return self._db.execute(sql, values).rowcount

    async def run_many(self, sql: str, values: Iterable[Row]) -> None:
        """Run a statement once for each row of values."""
        self._db.executemany(sql, values)


class SqliteBackend:
    """The database in `folder`. Only this process writes it, and only while it holds the folder's lock."""

    writer = "only"
    lease_s = 0.0

    def __init__(self, folder: Path) -> None:
        """Open or make it. Raises `StoreFailure` where another process has it or it cannot be used."""
        self._lock = _lock(folder)
        try:
            self._open(folder / "store.db")
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = Worker("commit")
        self._session, self._reader = SqliteSession(self._db), SqliteSession(self._reading)
        self._broken = ""
        self._typical_s = 0.0
        """How long a COMMIT takes, of late."""

    def _open(self, file: Path) -> None:
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = connect(file)
            try:
                for pragma in _PRAGMAS:
                    self._db.execute(f"PRAGMA {pragma}")
                for statement in TABLES:
                    self._db.execute(statement.format(clustered=" WITHOUT ROWID"))
                self._reading = connect(file)
                self._reading.execute("PRAGMA query_only=ON")
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise StoreFailure(f"{file} cannot be opened: {error}") from error

    async def begin(self) -> Session:
        """Begin the transaction. Raises `StoreFailure`."""
        self._demand_sound()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._broken = str(error)
            raise StoreFailure(f"the key store failed: {error}") from error
        return self._session

    async def commit(self) -> None:
        """Make it durable. Raises `StoreFailure`."""
        try:
            if self._typical_s < _QUICK_S:
                self._commit()
            else:
                await self._thread.run(self._commit)
        except sqlite3.Error as error:
            self._broken = str(error)
            raise StoreFailure(f"the key store failed: {error}") from error

    def _commit(self) -> None:
        begin_s = time.perf_counter()
        self._db.execute("COMMIT")
        self._typical_s += (time.perf_counter() - begin_s - self._typical_s) / 16

    async def rollback(self) -> None:
        """Undo it. Raises `StoreFailure`."""
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._broken = str(error)
            raise StoreFailure(f"the key store failed: {error}") from error

    async def reader(self) -> Session:
        """Return a session that sees what is committed. Raises `StoreFailure`."""
        self._demand_sound()
        return self._reader

    async def time(self) -> float:
        """Return the time of this host."""
        return time.time()

    async def connected(self, writers: Iterable[str]) -> frozenset[str]:
        """Return this process alone: the folder's lock keeps others out."""
        return frozenset(writers) & {self.writer}

    def _demand_sound(self) -> None:
        if self._broken:
            raise StoreFailure(f"the key store failed earlier ({self._broken}) and serves nothing until a restart")

    async def close(self) -> None:
        """Let go of the database; what was committed stays."""
        self._thread.close()
        self._reading.close()
        self._db.close()
        os.close(self._lock)


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
