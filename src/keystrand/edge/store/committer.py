"""Group commit: all operations that wait run in one transaction; nothing is answered before disk and audit have it.

While one batch waits for the disk the next one gathers. The commit and the audit's sync run at the same time; a batch
is over when both are. What the audit file lacks after a crash stands in the store's `head` row and is written at the
next start, so that the two never tell different stories.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from keystrand.edge.lasting import lasting
from keystrand.edge.store.audit_tail import AuditEnd
from keystrand.edge.store.session import Backend, Session
from keystrand.edge.store.worker import Worker
from keystrand.edge.tls import Peer
from keystrand.model.errors import KeystrandError, StoreFailure
from keystrand.operate.audit import AuditRecord, detail_of

_log = logging.getLogger(__name__)
T = TypeVar("T")

_BATCH = 256
"""How many operations share a commit at most: a batch that takes long makes the first of it wait."""
_SOUND = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, sqlite3.IntegrityError)
"""What a fault of an operation raises: the database, whose own faults are others, is as it was before."""
_SILENT = "UPDATE head SET generation = generation + 1, beat = ? WHERE writer = ? AND fence = ?"
_AUDITED = (
    "UPDATE head SET generation = generation + 1, beat = ?, audited = generation + 1, audit_seq = ?, audit_head = ?,"
    " tail = ? WHERE writer = ? AND fence = ?"
)


class AuditWriter(Protocol):
    """What the committer needs of the audit file."""

    @property
    def end(self) -> AuditEnd:
        """Where it ends now."""

    def append(self, records: Sequence[AuditRecord], generation: int) -> None:
        """Write `records` durably. Raises `StoreFailure`."""


class Transaction:
    """What an operation works in: statements, audit records, and what is to be written once for the whole batch.

    An operation judges first and writes then: where it raises, it must have written nothing, unless it is undoable.
    """

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.now = now
        """By the KME's steady clock, which deadlines go by. The audit tells the time of the wall."""
        self.records: list[AuditRecord] = []
        self.cursors: dict[tuple[int, int], Any] = {}
        """Blocks of this batch by pool and number, with the cursor they will have."""
        self.spent: set[int] = set()
        """Epochs of which this batch used something: what they sealed moves on, and their keys are destroyed."""
        self.writes = 0
        self.idle_writes = 0
        """How many of them only remember what peers have shown of their stores."""

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return await self.session.rows(sql, *values)

    async def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query, None where there is none."""
        return await self.session.row(sql, *values)

    async def run(self, sql: str, *values: Any) -> int:
        """Write by a statement and return how many rows it changed."""
        changed = await self.session.run(sql, *values)
        self.writes += 1  # one that fails has written nothing
        return changed

    async def run_many(self, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Write by a statement once for each row of values."""
        if values:
            self.writes += 1
            await self.session.run_many(sql, values)

    def note(self, action: str, by: Peer | None = None, **detail: Any) -> None:
        """Add an audit record of what `by`, or this KME itself, did: it stands or falls with the batch."""
        actor, group = (by.identity.urn, by.group) if by else ("self", "")
        self.records.append(
            AuditRecord(at=time.time(), actor=actor, group=group, action=action, detail=detail_of(**detail))
        )


class OperationFailed(KeystrandError):
    """A fault in one operation. It has done nothing, and all others go on."""

    id = "operation-failed"
    http_status = 503
    default_hint = "the log of the key management entity has its cause"


Operation = Callable[[Transaction], Awaitable[T]]
Flush = Callable[[Transaction], Awaitable[None]]


class Committer:
    """Runs operations in batches. `flush` writes what a batch gathered, before its commit."""

    def __init__(
        self, backend: Backend, audit: AuditWriter, clock: Callable[[], float], *, flush: Flush, fence: int,
        generation: int,
    ) -> None:  # fmt: skip
        self._backend, self._audit, self._clock, self._flush, self._fence = backend, audit, clock, flush, fence
        self.generation = self.worth_showing = generation
        """The number of the latest commit of this process."""
        self._waiting: list[tuple[Operation[Any], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self.audit_thread = Worker("audit")
        self.failed: asyncio.Future[StoreFailure] = asyncio.get_running_loop().create_future()
        """Done once the store cannot go on: the process must say so and stop."""
        self._task = lasting(self._run(), "the commit of batches", self.fail)

    def do(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Run `operation` in the next batch; the result comes when it is durable, with its audit records.

        The future raises what the operation raised, or `StoreFailure`.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.failed.done():
            future.set_exception(_stopped(self.failed.result()))
            return future
        self._waiting.append((operation, future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            if not self._waiting:
                self._wake.clear()
            try:
                outcomes = await self._batch([operation for operation, _ in batch])
            except asyncio.CancelledError:
                self._give_up(batch, StoreFailure("the key management entity is stopping"))
                raise
            except Exception as error:  # whatever it is, what the disk holds is in doubt
                self._stop(batch, error)
                return
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, KeystrandError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    async def _batch(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """Run the operations, make them durable, and return what each gave or the error it raised."""
        transaction = Transaction(await self._backend.begin(), self._clock())
        outcomes = [await self._one(operation, transaction) for operation in operations]
        await self._flush(transaction)
        if not transaction.writes and not transaction.records:
            await self._backend.rollback()
            return outcomes
        if await self._move_head(transaction) != 1:
            await self._backend.rollback()
            raise StoreFailure("another process has taken over this writer's part of the store: it stops here")
        worth_showing = bool(transaction.records) or transaction.writes - 1 > transaction.idle_writes
        generation = self.generation + 1
        audited = self.audit_thread.run(self._audit.append, transaction.records, generation)
        try:
            await self._backend.commit()
        finally:
            await audited
        self.generation = generation
        if worth_showing:
            self.worth_showing = generation
        return outcomes

    async def _move_head(self, transaction: Transaction) -> int:
        """Count this commit, and keep its audit records until the audit file has them.

        With them goes where that file ends before them: whoever writes to its folder alone cannot change what it says.
        """
        who = (self._backend.writer, self._fence)
        if not transaction.records:
            return await transaction.run(_SILENT, transaction.now, *who)
        tail = msgspec.json.encode(transaction.records).decode()
        return await transaction.run(_AUDITED, transaction.now, *self._audit.end, tail, *who)

    async def _one(self, operation: Operation[Any], transaction: Transaction) -> Any:
        records, writes = len(transaction.records), transaction.writes
        try:
            return await operation(transaction)
        except StoreFailure:
            raise
        except KeystrandError as error:
            if transaction.writes != writes:
                raise StoreFailure(f"an operation failed after it had begun to write: {error.message}") from error
            del transaction.records[records:]
            return error
        except _SOUND as error:
            if transaction.writes != writes:
                raise
            _log.exception("an operation failed, and did nothing")
            del transaction.records[records:]
            return OperationFailed(f"an operation failed: {type(error).__name__}")

    def _stop(self, batch: Sequence[tuple[Operation[Any], "asyncio.Future[Any]"]], error: Exception) -> None:
        """Fail by `error`, and refuse the batch under way."""
        if not isinstance(error, StoreFailure):
            _log.critical("the key store failed", exc_info=error)
        failure = error if isinstance(error, StoreFailure) else StoreFailure(f"the key store failed: {error}")
        self.fail(failure)
        self._give_up(batch, failure)

    def fail(self, failure: StoreFailure) -> None:
        """Refuse everything from now on; the process must stop. Again does nothing."""
        if self.failed.done():
            return
        _log.critical("%s: nothing is handed out any more", failure.message)
        self.failed.set_result(failure)
        self._give_up(self._waiting, failure)
        self._waiting = []

    def _give_up(self, batch: Sequence[tuple[Operation[Any], "asyncio.Future[Any]"]], failure: StoreFailure) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(_stopped(failure))

    def do_undoable(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Run an operation on behalf of another KME as `do` does; whatever it wrote is undone where it raises."""

        async def run(tx: Transaction) -> T:
            before, cursors, records = tx.writes, set(tx.cursors), len(tx.records)
            await tx.session.rows("SAVEPOINT operation")
            try:
                outcome = await operation(tx)
            except StoreFailure:
                raise
            except (KeystrandError, *_SOUND):
                await tx.session.rows("ROLLBACK TO SAVEPOINT operation")
                await tx.session.rows("RELEASE SAVEPOINT operation")
                del tx.records[records:]
                # what it read may have been its own; a cursor that it moved stays there: those bytes are burned
                for key in [key for key, block in tx.cursors.items() if key not in cursors and not block.moved]:
                    del tx.cursors[key]
                tx.writes = before
                raise
            await tx.session.rows("RELEASE SAVEPOINT operation")
            return outcome

        return self.do(run)

    async def close(self) -> None:
        """Finish what waits, then stop."""
        # an operation of its own is answered after all before it
        with contextlib.suppress(KeystrandError):
            await self.do(_nothing)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.audit_thread.close()


async def _nothing(_: Transaction) -> None:
    return None


def _stopped(failure: StoreFailure) -> StoreFailure:
    """Return a new error for each who waits: one exception object raised twice mixes up its tracebacks."""
    return StoreFailure(failure.message, hint=failure.hint)
