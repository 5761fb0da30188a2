"""Where a test's store is, how it is opened as a key management entity opens it, and how others meddle with it."""

import asyncio
import contextlib
import functools
import os
import shutil
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, ParamSpec

import asyncpg

from keystrand.crypto.secret import Secret
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.edge.store.audit_signer import open_signer, read_public_key
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Limits, NewHolding, Request
from keystrand.edge.store.keyring import FileKeyring
from keystrand.edge.store.keystore import KeyStore, Terms, identity, open_store
from keystrand.edge.store.pools import NewBlock, Pool
from keystrand.edge.store.postgres import PostgresBackend, open_postgres
from keystrand.edge.store.session import Backend
from keystrand.edge.store.sqlite import SqliteBackend
from keystrand.keys.contract import key_ids_of
from keystrand.model.key import SourceKind, Strength
from keystrand.operate.audit import Entry, entry_of
from keystrand.operate.audit_verify import Verified, verify

P = ParamSpec("P")
MASTER_KEY = bytes(range(32))
_NEVER_S = 86_400.0
QUIET_S = 60.0
"""A lease that does not end within a test: nobody looks around by itself."""


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Return a test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Place(ABC):
    """The database, keyring and audit of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring_file = folder / "keys" / "ring"

    def audit_folder(self, writer: str) -> Path:
        """Return the folder of a process's audit."""
        return self.folder / f"{writer}-audit"

    def audit(self, writer: str = "only") -> list[Entry]:
        """Return what a process's audit tells, its chain verified."""
        lines = [line for path in segments(self.audit_folder(writer)) for line in whole_lines(path)]
        key = read_public_key(self.audit_folder(writer) / "audit.pub.pem")
        judged = verify(lines, [key])
        assert isinstance(judged, Verified), judged
        return [entry_of(line) for line in lines]

    def actions(self, writer: str = "only") -> list[str]:
        """Return what was done by a process's audit, the audit's own lines left out."""
        return [entry.action for entry in self.audit(writer) if not entry.own]

    @abstractmethod
    async def backend(self, writer: str) -> Backend:
        """Open the database."""

    @abstractmethod
    async def copy(self) -> None:
        """Make a backup of the database alone, also while it is written."""

    @abstractmethod
    async def put_back(self) -> None:
        """Put the backup back, while nobody uses the database."""

    @abstractmethod
    async def look(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement without our code and return its rows."""

    @abstractmethod
    async def sever(self, store: KeyStore) -> None:
        """Let the database fail under a running process."""

    def keep_files(self, *names: str) -> Callable[[], None]:
        """Copy files and folders; return what puts the copies back."""
        kept = self.folder / f"kept-{uuid.uuid4()}"
        for name in names:
            source = self.folder / name
            (shutil.copytree if source.is_dir() else _copy_file)(source, kept / name)

        def put_back() -> None:
            for name in names:
                target = self.folder / name
                if target.is_dir():
                    shutil.rmtree(target)
                    shutil.copytree(kept / name, target)
                else:
                    _copy_file(kept / name, target)

        return put_back


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


class SqlitePlace(Place):
    """A folder."""

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / "store" / "store.db"

    async def backend(self, writer: str) -> Backend:
        """Open the database; it knows one writer only."""
        assert writer == "only"
        return SqliteBackend(self.folder / "store")

    async def copy(self) -> None:
        """Make a backup by SQLite's own means."""
        copy = self.folder / "copy.db"
        with contextlib.closing(sqlite3.connect(self.file)) as source, contextlib.closing(sqlite3.connect(copy)) as to:
            source.backup(to)

    async def put_back(self) -> None:
        """Replace the file, without its log."""
        for suffix in ("-wal", "-shm"):
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        shutil.copy2(self.folder / "copy.db", self.file)

    async def look(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement by another connection."""
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as db:
            return db.execute(sql).fetchall()

    async def sever(self, store: KeyStore) -> None:
        """Close the connection under the store."""
        backend = store._backend
        assert isinstance(backend, SqliteBackend)
        backend._db.close()


class PostgresPlace(Place):
    """A schema of a server."""

    def __init__(self, folder: Path, server: Any) -> None:
        super().__init__(folder)
        self.server, self.schema = server, f"s{uuid.uuid4().hex}"
        self.dsn, self.lease_s = server.dsn(self.schema), QUIET_S
        self.server.run(f"CREATE SCHEMA {self.schema}")

    async def backend(self, writer: str) -> Backend:
        """Open the database as one of its writers."""
        return await open_postgres(self.dsn, writer, self.lease_s)

    async def copy(self) -> None:
        """Copy all tables."""
        await self.look(f"DROP SCHEMA IF EXISTS {self.schema}_copy CASCADE")
        await self.look(f"CREATE SCHEMA {self.schema}_copy")
        for table in await self._tables():
            await self.look(f"CREATE TABLE {self.schema}_copy.{table} AS TABLE {table}")

    async def put_back(self) -> None:
        """Replace what all tables hold."""
        for table in await self._tables():
            await self.look(f"TRUNCATE {table}")
            await self.look(f"INSERT INTO {table} TABLE {self.schema}_copy.{table}")

    async def _tables(self) -> list[str]:
        rows = await self.look(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.schema}'")  # noqa: S608  # a name of our own
        return [name for (name,) in rows]

    async def look(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement by another connection."""
        db = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await db.fetch(sql)]
        finally:
            await db.close()

    async def sever(self, store: KeyStore) -> None:
        """Have the server end the connection that writes."""
        backend = store._backend
        assert isinstance(backend, PostgresBackend)
        await self.look(f"SELECT pg_terminate_backend({backend._db.get_server_pid()}, 5000)")


@contextlib.asynccontextmanager
async def opened(
    place: Place,
    clock: Callable[[], float],
    writer: str = "only",
    *,
    replay_s: float = 10.0,
    retention_s: float = 100.0,
    terms: Terms | None = None,
) -> AsyncIterator[KeyStore]:
    """Open the store as a key management entity does; it sweeps, looks around and turns its epoch only when told,
    unless `terms` say otherwise.
    """
    backend = await place.backend(writer)
    keyring: FileKeyring | None = None
    audit: AuditFile | None = None
    try:
        store_id, new, writer_is_new = await identity(backend)
        keyring = FileKeyring(place.keyring_file, Secret(MASTER_KEY), store_id, new=new)
        signer = open_signer(place.folder / "keys" / f"{writer}.key", make=writer_is_new)
        audit = AuditFile(place.audit_folder(writer), signer, store_id=store_id, clock=clock)
        terms = terms or Terms(
            epoch_s=_NEVER_S, sweep_s=_NEVER_S, checkpoint_s=_NEVER_S,
            limits=Limits(replay_s=replay_s, retention_s=retention_s),
        )  # fmt: skip
        store = await open_store(backend, keyring, audit, store_id, clock, terms)
    except BaseException:
        if audit:
            audit.close()
        await backend.close()
        raise
    try:
        yield store
    finally:
        await store.close()


# What is kept


def block(
    octets: int = 256, *, link: str = "corridor", master: str = "kme-a", source: SourceKind = SourceKind.QKD,
    label: Strength = Strength.SIMULATED, block_id: str = "", now: float = 1_800_000_000.0,
) -> NewBlock:  # fmt: skip
    """Return a block of random bits with 100 s to be confirmed in and 1000 s to be used."""
    return NewBlock(
        block_id=block_id or str(uuid.uuid4()), link=link, source=source, master=master, qber=0.01, label=label,
        key_bits=Secret(os.urandom(octets)), confirm_by=now + 100, until=now + 1000,
    )  # fmt: skip


def add(store: KeyStore, new: NewBlock, *, is_master: bool = True, limit: int = 1 << 20) -> "asyncio.Future[bool]":
    """Store a block."""

    async def add_it(tx: Transaction) -> bool:
        return await store.pools.add(tx, new, epoch=store.epoch, is_master=is_master, pool_octets=limit)

    return store.committer.do(add_it)


async def number_of(store: KeyStore, block_id: str) -> int:
    """Return the number of a block."""
    row = await (await store.reader()).row("SELECT no FROM block WHERE block_id = ?", block_id)
    assert row
    return int(row[0])


async def add_ready(store: KeyStore, new: NewBlock) -> int:
    """Store a block, confirm it, and return its number."""
    assert await add(store, new)
    no = await number_of(store, new.block_id)
    await store.committer.do(lambda tx: store.pools.make_ready(tx, new.block_id, no))
    return no


async def pool_of(store: KeyStore, new: NewBlock) -> Pool:
    """Return the pool of a block."""
    pool = await store.pools.find(await store.reader(), new.link, new.source, new.master)
    assert pool
    return pool


def new_order_id() -> str:
    """Return the ID of an order, as it is on the wire."""
    digits = uuid.uuid4().hex
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:29]}"


def holding(
    order_id: str = "", *, sae: str = "sae-b", partner: str = "sae-a", number: int = 2, role: str = "slave",
    until: float = 1_800_000_060.0, keys: bytes | None = None, kme: str = "kme-a",
) -> NewHolding:  # fmt: skip
    """Return a holding of keys of 256 bits that waits for 60 s to be fetched."""
    material = Secret(keys or os.urandom(32 * number)) if role == "slave" else None
    return NewHolding(
        order_id or new_order_id(),
        sae,
        role,
        partner,
        kme,
        "corridor",
        256,
        number,
        material,
        '{"hops":["kme-a"]}',
        until,
    )


def write(store: KeyStore, *holdings: NewHolding) -> "asyncio.Future[None]":
    """Store holdings."""
    return store.committer.do(lambda tx: store.holdings.write(tx, holdings, store.epoch))


def asked(one: NewHolding, *at: int, sae: str = "", master: str = "", more: Iterable[str] = ()) -> Request:
    """Return a request for keys of a holding, by their places; without any, for all of them."""
    key_ids = key_ids_of(one.order_id, one.number)
    wanted = (*(key_ids[n] for n in at or range(one.number)), *more)
    digest = ",".join((sae or one.sae, master or one.partner, *wanted)).encode()
    return Request(slave_sae=sae or one.sae, master_sae=master or one.partner, key_ids=wanted, digest=digest)


def take(store: KeyStore, request: Request) -> "asyncio.Future[tuple[list[bytes], bool]]":
    """Fetch keys; gives them and whether the answer is a repetition. It is audited, as at a key management entity."""

    async def take_them(tx: Transaction) -> tuple[list[bytes], bool]:
        taken, repeated = await store.holdings.take(tx, request)
        tx.note("dec_keys", key_ids=list(request.key_ids))
        return [bytes(one.key) for one in taken], repeated

    return store.committer.do(take_them)
