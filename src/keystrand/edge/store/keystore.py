"""One KME's durable memory, opened and watched over: database, data keys, audit, and the checks between them.

At every start three memories that lie apart are compared: the database, the keyring and the audit file. A database that
is older than either was put back from a copy; it is refused, since it would hand out keys again. What peers remember
is the fourth (`keys.witness`).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from keystrand.edge.lasting import Patience, lasting
from keystrand.edge.store import fencing, peers, schema
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_tail import NOWHERE, AuditEnd, Remembered
from keystrand.edge.store.committer import Committer, Transaction
from keystrand.edge.store.epochs import Epochs
from keystrand.edge.store.holdings import Holdings, Limits
from keystrand.edge.store.keyring import Keyring, KeyringFault, Sealer
from keystrand.edge.store.own_marks import PUT_BACK, RESTORED_HINT, OwnMarks, Run
from keystrand.edge.store.pools import Pools
from keystrand.edge.store.session import Backend, Session
from keystrand.edge.store.sweep import Swept, sweep
from keystrand.keys.witness import StoreMark
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import AuditRecord

__all__ = ["KeyStore", "Run", "StoreIdentity", "Terms", "identity", "open_store"]

_log = logging.getLogger(__name__)


class Terms(Struct, frozen=True, kw_only=True):
    """How long things last, in seconds. `epoch_s`: how long one data key seals what comes.

    What is used of it can be read, by who has the keyring, for that time more and a sweep's: then its key is destroyed.
    `keyring_s`: how long that may fail, or the next epoch may not begin, before the process stops.
    """

    epoch_s: float = 600.0
    sweep_s: float = 1.0
    checkpoint_s: float = 60.0
    keyring_s: float = 60.0
    limits: Limits = Limits(replay_s=10.0, retention_s=86_400.0)


class KeyStore:
    """The store of one KME, made by `open_store`."""

    def __init__(
        self, backend: Backend, keyring: Keyring, audit: AuditFile, store_id: str, committer: Committer, terms: Terms,
        run: Run,
    ) -> None:  # fmt: skip
        self._backend, self._keyring, self.audit, self._terms = backend, keyring, audit, terms
        self.id, self.committer = store_id, committer
        self.own_marks = OwnMarks(backend, store_id, committer, run)
        self._sealer = Sealer(keyring)
        self.shown = peers.LastShown()
        self.pools = Pools(self._sealer, store_id)
        self.holdings = Holdings(self._sealer, store_id, terms.limits)
        self.epoch = 0
        self._data_keys = Epochs(keyring, terms.keyring_s)
        self.swept: Callable[[Swept], None] = lambda _: None
        """Told of every sweep that did something."""
        self.looked_around: Callable[[], Awaitable[None]] = _nothing
        """Called again and again where other processes write this store too: they may have changed anything."""
        self._watch = fencing.Watch(backend.lease_s)
        self._epochs: frozenset[int] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def mark(self) -> StoreMark:
        """What peers are shown of this store."""
        return self.own_marks.mark

    @property
    def writer(self) -> str:
        """The name under which this process writes."""
        return self._backend.writer

    async def reader(self) -> Session:
        """Return a session on what is committed. Raises `StoreFailure`."""
        return await self._backend.reader()

    async def begin(self) -> None:
        """Begin this run, open its first epoch and start to sweep."""
        await self.committer.do(self.own_marks.begin)
        await self.next_epoch()
        await self.committer.do(self._void_left)
        work = {
            "the sweep": self._sweep_for_ever, "the turn of the epochs": self._turn_epochs,
            "the signing of the audit": self._checkpoint_for_ever,
        }  # fmt: skip
        if self._backend.lease_s:
            work["the look at the other writers"] = self._look_around_for_ever
        self._tasks = [lasting(run(), what, self.committer.fail) for what, run in work.items()]

    async def _void_left(self, tx: Transaction) -> None:
        """End what this writer had under way with several KMEs when it was last stopped: they may hold it."""
        if orders := await peers.void_orders(tx, writer=self.writer):
            tx.note("void", orders=list(orders), why="this process was stopped while they were under way")

    async def next_epoch(self) -> None:
        """Seal what comes from now on under a new data key. It is durable in the keyring before anything needs it.

        Raises `KeyringFault` where there is none: all goes on under the old one.
        """

        async def reserve(tx: Transaction) -> None:
            no = await self._data_keys.settle(tx.session) + 1
            with await self._data_keys.create(no) as key:
                self._sealer.adopt(no, key)
            await tx.run("UPDATE epoch SET closed = 1 WHERE writer = ?", self._backend.writer)
            await tx.run("INSERT INTO epoch(no, writer, closed) VALUES(?, ?, 0)", no, self._backend.writer)
            # at once: who seals under the old one after this could lose its key to the next sweep
            self.epoch = no

        await self.committer.do(reserve)

    async def sweep(self) -> Swept:
        """Carry out what is due, and destroy the data keys of epochs that ended. Raises `StoreFailure`."""
        done = await self.committer.do(self._sweep)
        # only after the commit: until then their rows could come back
        for epoch in done.ended_epochs:
            self._sealer.forget(epoch)
        await self._data_keys.destroy(done.ended_epochs)
        return done

    async def _sweep(self, tx: Transaction) -> Swept:
        done = await sweep(tx, self.pools, self.holdings, self._terms.limits.retention_s, self.epoch)
        if done.expired:
            tx.note("expire", orders=list(done.expired))
        if done.old_blocks:
            tx.note("destroy_blocks", blocks=list(done.old_blocks), why="too old")
        if done.ended_epochs:
            tx.note("destroy_epochs", epochs=list(done.ended_epochs))
        return done

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._terms.sweep_s)
            done = await self.sweep()
            while done.more:
                done = await self.sweep()
            self.swept(done)

    async def _checkpoint_for_ever(self) -> None:
        """Sign the audit's end in idle times too."""
        while True:
            await asyncio.sleep(self._terms.checkpoint_s)
            await self.committer.audit_thread.run(self.audit.checkpoint)

    async def _turn_epochs(self) -> None:
        patience, pause_s = Patience("the next epoch does not begin", self._terms.keyring_s), self._terms.epoch_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.next_epoch()
            except KeyringFault as error:
                patience.bear(error)
                pause_s = self._terms.sweep_s
            else:
                patience.over()
                pause_s = self._terms.epoch_s

    # Where other processes write this store too

    async def look_around(self) -> tuple[str, ...]:
        """Show the other writers that this one lives, take over from those that are lost, and return them."""
        lost = await self.committer.do(self._look)
        for writer in lost:
            _log.warning("the process that writes as %s is lost: what it held is free for the others", writer)
        await self._forget_gone()
        await self.looked_around()
        return lost

    async def _look(self, tx: Transaction) -> tuple[str, ...]:
        heads = await fencing.heads_of_others(tx, self.writer)
        connected = await self._backend.connected([head.writer for head in heads])
        lost = self._watch.lost(heads, connected, time.monotonic())
        for writer in lost:
            await fencing.take_over(tx, writer)
        if lost:
            with contextlib.suppress(KeyringFault):  # the next epoch's beginning does it again
                await self._data_keys.settle(tx.session)
        tx.writes += 1  # the commit itself says that this writer lives
        return lost

    async def _forget_gone(self) -> None:
        """Clear from memory what others have destroyed: data keys and blocks."""
        session = await self.reader()
        epochs = frozenset([no for (no,) in await session.rows("SELECT no FROM epoch")])
        for epoch in self._epochs - epochs:
            self._sealer.forget(epoch)
        self._epochs = epochs
        await self.pools.forget_gone(session)

    async def _look_around_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._backend.lease_s / fencing.BEATS)
            await self.look_around()

    async def close(self) -> None:
        """Finish what waits and let go of everything."""
        for task in self._tasks:
            task.cancel()
        await self.committer.close()
        await self._backend.close()
        self.audit.close()
        self._keyring.close()


async def _nothing() -> None:
    return


class StoreIdentity(NamedTuple):
    """A store's id; whether it is `new`: nothing was ever sealed in it; whether this writer is: it has no audit yet."""

    id: str
    new: bool
    writer_is_new: bool


async def identity(backend: Backend) -> StoreIdentity:
    """Return what the store is. Raises `StoreFailure` where it is of another format, or was found to be a copy."""
    session = await backend.begin()
    sql = "INSERT INTO meta(name, value) VALUES(?, ?) ON CONFLICT DO NOTHING"
    await session.run(sql, "format", schema.FORMAT)
    await session.run(sql, "id", os.urandom(16).hex())
    await session.run(sql, "mark_key", os.urandom(32).hex())
    meta = {str(name): value for name, value in await session.rows("SELECT name, value FROM meta")}
    await backend.commit()
    if meta["format"] != schema.FORMAT:
        raise StoreFailure(f"the store is of format {meta['format']}, this release writes {schema.FORMAT}")
    if PUT_BACK in meta:
        raise StoreFailure(meta[PUT_BACK], hint=RESTORED_HINT)
    session = await backend.reader()
    writer = await session.row("SELECT 1 FROM head WHERE writer = ? AND generation > 0", backend.writer)
    return StoreIdentity(str(meta["id"]), await _is_new(backend), writer is None)


async def _is_new(backend: Backend) -> bool:
    session = await backend.reader()
    return await session.row("SELECT 1 FROM head WHERE generation > 0 LIMIT 1") is None


async def open_store(
    backend: Backend, keyring: Keyring, audit: AuditFile, store_id: str, clock: Callable[[], float], terms: Terms
) -> KeyStore:
    """Return the store behind `backend`, ready for work.

    Raises `StoreFailure` where it was put back from a copy, and `KeyringFault`.
    """
    head = await _take_head(backend)
    records = msgspec.json.decode(head.tail, type=list[AuditRecord])
    audit.recover(Remembered(head.generation, head.audited, records, AuditEnd(head.audit_seq, head.audit_head)))
    await Epochs(keyring, terms.keyring_s).settle(await backend.begin())
    await backend.rollback()
    committer = Committer(
        backend, audit, clock, fence=head.fence, generation=head.generation,
        flush=lambda tx: store.pools.flush(tx),  # noqa: PLW0108  # the store comes after it
    )  # fmt: skip
    run = Run(os.urandom(8).hex(), head.generation, bytes.fromhex(head.mark_key))
    store = KeyStore(backend, keyring, audit, store_id, committer, terms, run)
    await store.begin()
    return store


class _Head(NamedTuple):
    """A writer's row, see `schema`."""

    fence: int
    generation: int
    audited: int
    audit_seq: int
    audit_head: str
    tail: str
    mark_key: str


async def _take_head(backend: Backend) -> _Head:
    """Return the row of this writer.

    The fence is moved: who wrote under this name before writes no more.
    """
    session = await backend.begin()
    sql = (
        "INSERT INTO head(writer, fence, generation, audited, audit_seq, audit_head, tail, beat)"
        " VALUES(?, 0, 0, 0, ?, ?, '[]', 0) ON CONFLICT DO NOTHING"
    )
    await session.run(sql, backend.writer, *NOWHERE)
    sql = (
        "UPDATE head SET fence = fence + 1 WHERE writer = ?"
        " RETURNING fence, generation, audited, audit_seq, audit_head, tail,"
        " (SELECT value FROM meta WHERE name = 'mark_key')"
    )
    row = await session.row(sql, backend.writer)
    await backend.commit()
    if row is None:
        raise StoreFailure("the store has no place for this writer")
    return _Head(*row)
