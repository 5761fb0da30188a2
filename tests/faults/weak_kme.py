"""A KME with one step left out, which the harness must find: the negative control. Run as a script, by the tests only.

The environment names weaknesses, joined by "+": `answer-before-commit` (store and audit follow the answers 0.1 s late),
`slave-before-commit` (the same for batches of what a slave KME does only), `sync-normal` (commits of the store are not
synced), `audit-unsynced` (the audit is not), `goes-on` (a fault of store or audit is forgotten), `blind` (at the start
the KME's own memories and what its peers remember are not compared).
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from keystrand.edge.kme import __main__ as kme
from keystrand.edge.store import audit_file, audit_segment, epochs, own_marks, peers, sqlite
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.committer import Committer, Operation, Transaction
from keystrand.edge.store.sqlite import SqliteBackend
from keystrand.keys.witness import Standing
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import AuditRecord

_LATE_S = 0.1
_SLAVE = ("Assigner.assign.<locals>.assign", "KeyManagementEntity._taking.<locals>.take")
"""The operations by which a slave KME assigns keys, and gives them out."""

Batch = Callable[[Committer, Sequence[Operation[Any]]], Awaitable[list[Any]]]


def _answer_early(only: tuple[str, ...] = ()) -> None:
    strict: Batch = Committer._batch

    async def batch(self: Committer, operations: Sequence[Operation[Any]]) -> list[Any]:
        if late := vars(self).pop("late", None):
            await late
        if only and not all(one.__qualname__ in only for one in operations):
            return await strict(self, operations)
        transaction = Transaction(await self._backend.begin(), self._clock())
        outcomes = [await self._one(operation, transaction) for operation in operations]
        await self._flush(transaction)
        await self._move_head(transaction)
        vars(self)["late"] = asyncio.get_running_loop().create_task(_commit(self, transaction))
        return outcomes

    Committer._batch = batch  # type: ignore[method-assign]


async def _commit(committer: Committer, transaction: Transaction) -> None:
    await asyncio.sleep(_LATE_S)
    await committer._backend.commit()
    committer.generation += 1
    committer._audit.append(transaction.records, committer.generation)


def _sync_less() -> None:
    # a store that is folded often keeps the most of what it held, and forgets the latest
    weaker = {"synchronous=FULL": "synchronous=NORMAL", "wal_autocheckpoint=4000": "wal_autocheckpoint=100"}
    vars(sqlite)["_PRAGMAS"] = tuple(weaker.get(one, one) for one in sqlite._PRAGMAS)


def _leave_audit_unsynced() -> None:
    class Os:
        def __getattr__(self, name: str) -> Any:
            return (lambda _: None) if name == "fdatasync" else getattr(os, name)

    vars(audit_segment)["os"] = Os()


def _go_on() -> None:
    def forget(self: Committer, batch: Any, error: Exception) -> None:
        if self._backend._db.in_transaction:  # type: ignore[attr-defined]
            self._backend._db.execute("ROLLBACK")  # type: ignore[attr-defined]
        vars(self._audit)["_failure"] = None
        self.generation += 1
        self._give_up(batch, StoreFailure(str(error)))
        self._task = asyncio.get_running_loop().create_task(self._run())

    Committer._stop = forget  # type: ignore[method-assign]
    Committer.fail = lambda *_: None  # type: ignore[method-assign]
    SqliteBackend._broken = property(lambda _: "", lambda _, __: None)  # type: ignore[assignment]


def _see_nothing() -> None:
    def nothing(*_: Any, **__: Any) -> None:
        return

    async def knows(*_: Any) -> Standing:
        return Standing.CONTINUES

    def append(self: AuditFile, records: Sequence[AuditRecord], _: int) -> None:
        appended(self, records, self.last_generation + 1)

    appended = AuditFile.append
    vars(audit_file)["AuditFile"].append = append
    AuditFile.recover = nothing  # type: ignore[method-assign]
    epochs._refuse_restored = nothing
    vars(peers)["judge"] = lambda *_: Standing.CONTINUES
    vars(own_marks)["OwnMarks"].judge = knows


WEAKNESSES: dict[str, Callable[[], None]] = {
    "answer-before-commit": _answer_early,
    "slave-before-commit": lambda: _answer_early(_SLAVE),
    "sync-normal": _sync_less,
    "audit-unsynced": _leave_audit_unsynced,
    "goes-on": _go_on,
    "blind": _see_nothing,
}

if __name__ == "__main__":
    for weakness in os.environ["KEYSTRAND_TESTS_WEAKNESS"].split("+"):
        WEAKNESSES[weakness]()
    sys.exit(kme.main())
