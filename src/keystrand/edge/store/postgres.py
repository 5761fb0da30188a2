"""The store in PostgreSQL 15 or later: all processes of one KME share it, and take turns, a transaction at a time.

A transaction begins with a lock that its end gives back. So each sees all that was committed before it, and nothing
moves meanwhile: what holds for the one process of SQLite holds here for several. A process that stops with the lock in
its hand loses it with its connection. As with SQLite, after any fault nothing is served until a restart.
"""

import asyncio
import contextlib
import functools
import hashlib
import os
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg

from keystrand.edge.store.master_key import SecretSource, read_secret
from keystrand.edge.store.schema import TABLES
from keystrand.edge.store.session import Row, Session
from keystrand.model.errors import InvalidInput, StoreFailure

T = TypeVar("T")

_VERSION = 15
_CONNECT_S = 10.0
_PATIENCE_S = 10.0
"""How long a statement may take beside the time that others may hold the lock; then the database counts as lost."""
_NAME_S = 2.0
"""How long a process that starts waits for an earlier one of its name to be gone: the server notices that soon."""
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_TEXT = 'TEXT COLLATE "C"'
"""By octets, as in SQLite: an index by a language's rules breaks when the system's rules change."""
_DSN_HINT = "one line, as postgresql://user:password@host/database?sslmode=verify-full&sslrootcert=/path/ca.pem"


def read_dsn(file: Path) -> str:
    """Return the connection string in `file`.

    Raises `MissingInput`, or `InvalidInput` where others can reach the file or the string is not one. A server on
    another host must prove who it is: whoever stands in its place could give an old state of the store.
    """
    with read_secret(SecretSource(file=str(file)), Path()) as content:
        dsn = content.reveal().decode(errors="replace").strip()
    try:
        parts = urlsplit(dsn)
        asked, host = parse_qs(parts.query), parts.hostname or ""
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("postgresql", "postgres"):
        raise InvalidInput(f"{file} holds no connection string of PostgreSQL", hint=_DSN_HINT)
    # what a string leaves open the driver takes from the environment
    hosts = [host, *asked.get("host", []), *([] if host else [os.environ.get("PGHOST", "")])]
    named = "service" in asked or "PGSERVICE" in os.environ
    here = not named and all(one in ("", "localhost", "127.0.0.1", "::1") or one.startswith("/") for one in hosts)
    if not here and asked.get("sslmode") != ["verify-full"]:
        raise InvalidInput(f"{file}: a server on another host needs sslmode=verify-full", hint=_DSN_HINT)
    return dsn


@functools.cache
def numbered(sql: str) -> str:
    """Return a statement with `$1`, `$2` and so on for each `?`."""
    first, *others = sql.split("?")
    return first + "".join(f"${n}{part}" for n, part in enumerate(others, 1))


def _place(schema: str, name: str) -> tuple[int, int]:
    """Return what an advisory lock is known by: store and name, 31 bits each. No writer has an empty name."""
    one, two = (
        int.from_bytes(hashlib.sha256(part.encode()).digest()[:4]) >> 1 for part in (f"keystrand/{schema}", name)
    )
    return one, two


class PostgresSession:
    """Statements on one connection, one at a time."""

    def __init__(self, backend: "PostgresBackend", db: Any) -> None:
        self._backend, self._db = backend, db
        self._turn = asyncio.Lock()

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        _demand_storable(values)
        async with self._turn:
            found = await self._backend.outcome(self._db.fetch(numbered(sql), *values))
        return [tuple(row) for row in found]

    async def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, None where there is none."""
        found = await self.rows(sql, *values)
        return found[0] if found else None

    async def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it changed."""
        _demand_storable(values)
        async with self._turn:
            status: str = await self._backend.outcome(self._db.execute(numbered(sql), *values))
        return int(status.rpartition(" ")[2])

    async def run_many(self, sql: str, values: Iterable[Row]) -> None:
        """Run a statement once for each row of values."""
        many = list(values)
        for one in many:
            _demand_storable(one)
        async with self._turn:
            await self._backend.outcome(self._db.executemany(numbered(sql), many))


def _demand_storable(values: Row) -> None:
    """Raise `InvalidInput` before the server does: a statement that it refuses ends the whole transaction."""
    if any(isinstance(one, str) and "\0" in one for one in values):
        raise InvalidInput("a text has a NUL character in it")


class PostgresBackend:
    """The database behind two connections: one for the transaction, one that sees what is committed.

    Made by `open_postgres`. `lease_s`: a writer that is silent for so long counts as lost (`store.fencing`).
    """

    def __init__(self, db: Any, reading: Any, *, schema: str, writer: str, lease_s: float) -> None:
        self.writer, self.lease_s = writer, lease_s
        self._db, self._reading, self._schema = db, reading, schema
        self._session, self._reader = PostgresSession(self, db), PostgresSession(self, reading)
        turn = "{}, {}".format(*_place(schema, ""))
        self._begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({turn})"
        self._broken = ""

    async def outcome(self, statement: Awaitable[T]) -> T:
        """Return what `statement` gives. Raises `StoreFailure`: then the store has failed for good."""
        if self._broken:
            if asyncio.iscoroutine(statement):
                statement.close()
            raise StoreFailure(f"the key store failed earlier ({self._broken}) and serves nothing until a restart")
        try:
            return await statement
        except _FAULTS as error:
            self._broken = _told(error)
            raise StoreFailure(f"the key store failed: {self._broken}", hint=_HINT) from error

    async def begin(self) -> Session:
        """Begin the transaction when the others' have ended. Raises `StoreFailure`."""
        await self.outcome(self._db.execute(self._begin))
        return self._session

    async def commit(self) -> None:
        """Make it durable. Raises `StoreFailure`."""
        await self.outcome(self._db.execute("COMMIT"))

    async def rollback(self) -> None:
        """Undo it. Raises `StoreFailure`."""
        await self.outcome(self._db.execute("ROLLBACK"))

    async def reader(self) -> Session:
        """Return a session that sees what is committed. Raises `StoreFailure`."""
        return self._reader

    async def time(self) -> float:
        """Return the time of the database: the hosts' own clocks may differ. Raises `StoreFailure`."""
        row = await self._reader.row("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(row[0]) if row else 0.0

    async def connected(self, writers: Iterable[str]) -> frozenset[str]:
        """Return those of `writers` whose process has its connection. Raises `StoreFailure`."""
        places = {_place(self._schema, writer)[1]: writer for writer in writers}
        rows = await self._reader.rows(_HELD, _place(self._schema, "")[0])
        return frozenset(places[place] for (place,) in rows if place in places)

    async def make_tables(self) -> None:
        """Make what is not there yet. Raises `StoreFailure`."""
        await self.begin()
        for statement in TABLES:
            text = statement.format(clustered="").replace("TEXT", _TEXT)
            await self.outcome(self._db.execute(text))
        await self.commit()

    async def take_name(self) -> None:
        """Be the only one that writes as `writer`, for as long as the connection lasts. Raises `StoreFailure`."""
        one, two = _place(self._schema, self.writer)
        try:
            await self.outcome(self._db.execute(f"SELECT pg_advisory_lock({one}, {two})", timeout=_NAME_S))
        except StoreFailure as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            raise StoreFailure(
                f"another process writes to this store as {self.writer}",
                hint="give each process a `writer` of its own; one that was lost is let go of soon",
            ) from None

    async def close(self) -> None:
        """Let go of the database; what was committed stays."""
        for one in (self._db, self._reading):
            with contextlib.suppress(*_FAULTS):
                await one.close(timeout=_PATIENCE_S)


_HELD = (
    "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid AND objsubid = 2"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_HINT = "see the database server's log; the key management entity goes on where it stood when it is started again"


def _told(error: BaseException) -> str:
    """Return what went wrong in one line, without what the statement was about."""
    text = "it took too long" if isinstance(error, TimeoutError) else str(error.args[0] if error.args else error)
    return text.partition("\n")[0] or type(error).__name__


async def open_postgres(dsn: str, writer: str, lease_s: float) -> PostgresBackend:
    """Return the store in the database of `dsn`, for the process that writes as `writer`.

    Raises `StoreFailure` where it cannot be reached, does not keep what it commits, or another process writes by that
    name; `InvalidInput` where the connection string cannot be used.
    """
    db = await _connect(dsn, writer, lease_s)
    try:
        reading = await _connect(dsn, writer, lease_s, default_transaction_read_only="on")
        try:
            backend = PostgresBackend(db, reading, schema=await _judge(db), writer=writer, lease_s=lease_s)
            await backend.take_name()
            await backend.make_tables()
        except BaseException:
            reading.terminate()
            raise
    except BaseException:
        db.terminate()
        raise
    return backend


async def _connect(dsn: str, writer: str, lease_s: float, **settings: str) -> Any:
    settings |= {
        "application_name": f"keystrand {writer}",
        "synchronous_commit": "on",
        "jit": "off",
        "client_min_messages": "warning",
        # who holds the lock and says nothing loses it before those that wait for it count as silent
        "idle_in_transaction_session_timeout": f"{int(500 * lease_s)}ms",
        # a process or a host that is gone is noticed soon
        "client_connection_check_interval": "500ms",
        "tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3",
    }  # fmt: skip
    try:
        return await asyncpg.connect(
            dsn, timeout=_CONNECT_S, command_timeout=_PATIENCE_S + lease_s, statement_cache_size=256,
            max_cached_statement_lifetime=0, server_settings=settings,
        )  # fmt: skip
    except _FAULTS as error:
        raise StoreFailure(f"the database cannot be used: {_told(error)}", hint=_HINT) from error
    except ValueError:
        # what it says could hold a part of the password
        raise InvalidInput("the connection string of the database cannot be used", hint=_DSN_HINT) from None


async def _judge(db: Any) -> str:
    """Return the schema of the store. Raises `StoreFailure` where the server is not fit to keep one."""
    try:
        row = await db.fetchrow(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync'),"
            " current_setting('server_encoding'), pg_is_in_recovery(), current_schema()"
        )
    except _FAULTS as error:
        raise StoreFailure(f"the database cannot be used: {_told(error)}") from error
    version, fsync, encoding, standby, schema = row
    faults = {
        f"it is PostgreSQL {version}; {_VERSION} or later is needed": version < _VERSION,
        "its fsync is off: what it commits may be lost": fsync != "on",
        f"its encoding is {encoding}, not UTF8": encoding != "UTF8",
        "it is a standby, which cannot be written": standby,
        "it has no schema to make tables in": schema is None,
    }
    for fault, there in faults.items():
        if there:
            raise StoreFailure(f"the database cannot hold a key store: {fault}", hint="use another server or database")
    return str(schema)
