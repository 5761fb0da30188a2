"""What this store says of itself to its peers, and whether what they remember of it lies in its past.

Each run of each writer has a row: the commit that it found. It is written with the run's first commit, so no two have
the same, and the next one's tells where a run ended. A copy that was put back ended there the run that was lost, or
has never heard of it; however often it is started again, and whatever it commits, that does not change.
"""

import hmac
from typing import NamedTuple

from keystrand.crypto.labels import STORE_MARK, bound
from keystrand.edge.store.committer import Committer, Transaction
from keystrand.edge.store.session import Backend
from keystrand.keys.witness import WRITERS, Standing, StoreMark
from keystrand.model.errors import StoreFailure

RESTORED_HINT = (
    "a store is never restored: move the store, its keyring and its audit away at this KME, start it with a new store,"
    " and its peers will drop what they shared with the old one"
)
PUT_BACK = "put_back"
"""The name in `meta` of why a store is never opened again."""
_RUNS = 1 << 16
"""How many runs of a writer are remembered, some 40 bytes each. A peer that has seen none of so many must wait for a
new store at one of the ends."""

_LATEST = (
    "SELECT h.writer, r.start, r.begun, h.generation FROM head h JOIN run r ON r.writer = h.writer"
    " AND r.begun = (SELECT max(begun) FROM run WHERE writer = h.writer) WHERE h.writer <> ?"
    " ORDER BY h.beat DESC LIMIT ?"
)
_END = (
    "SELECT coalesce((SELECT min(n.begun) FROM run n WHERE n.writer = r.writer AND n.begun > r.begun), h.generation)"
    " FROM run r JOIN head h ON h.writer = r.writer WHERE r.writer = ? AND r.begun = ? AND r.start = ?"
)
_FORGET = (
    "DELETE FROM run WHERE writer = ? AND begun <= (SELECT begun FROM run WHERE writer = ?"
    " ORDER BY begun DESC LIMIT 1 OFFSET ?)"
)


class Run(NamedTuple):
    """One run of a process: its random name, the generation it found, and the store's own key that proves marks.

    The key is the store's own for life, so a copy that was put back has it as well.
    """

    start: str
    begun: int
    mark_key: bytes


class OwnMarks:
    """The marks of the store `store_id` as `run` of this process shows them."""

    def __init__(self, backend: Backend, store_id: str, committer: Committer, run: Run) -> None:
        self._backend, self._store_id, self._committer, self._run = backend, store_id, committer, run

    async def begin(self, tx: Transaction) -> None:
        """Write this run's row: in its first commit, before any mark of it is shown."""
        writer = self._backend.writer
        await tx.run("INSERT INTO run(writer, begun, start) VALUES(?, ?, ?)", writer, self._run.begun, self._run.start)
        await tx.run(_FORGET, writer, writer, _RUNS)

    @property
    def mark(self) -> StoreMark:
        """What peers are shown of this process."""
        run = self._run
        return self.marked(self._backend.writer, run.start, run.begun, self._committer.generation)

    def marked(self, writer: str, start: str, begun: int, generation: int) -> StoreMark:
        """Return a mark of this store, with its proof."""
        said = bound(STORE_MARK, self._store_id, writer, start, str(begun), str(generation))
        proof = hmac.digest(self._run.mark_key, said, "sha256").hex()
        return StoreMark(
            store=self._store_id, writer=writer, start=start, begun=begun, generation=generation, proof=proof
        )  # fmt: skip

    async def all(self) -> tuple[StoreMark, ...]:
        """Return what peers are shown of all that write this store, this process first. Raises `StoreFailure`.

        Of a copy that was put back the others' marks tell too, whatever name this process has.
        """
        if not self._backend.lease_s:
            return (self.mark,)
        rows = await (await self._backend.reader()).rows(_LATEST, self._backend.writer, WRITERS - 1)
        return (self.mark, *[self.marked(*row) for row in rows])

    async def judge(self, seen: StoreMark) -> Standing:
        """Return how this store stands to what a peer has seen of it. Raises `StoreFailure`.

        Only what it has said itself and has gone back behind is proof against it. Unproven is what it never said, a
        peer's invention, and what it said so long ago that it does not know any more.
        """
        if seen.store != self._store_id:
            return Standing.NEW_STORE
        said = self.marked(seen.writer, seen.start, seen.begun, seen.generation)
        if not hmac.compare_digest(said.proof, seen.proof):
            return Standing.UNPROVEN
        session = await self._backend.reader()
        run = await session.row(_END, seen.writer, seen.begun, seen.start)
        if run:
            return Standing.CONTINUES if seen.generation <= run[0] else Standing.ROLLED_BACK
        oldest = await session.row("SELECT min(begun) FROM run WHERE writer = ?", seen.writer)
        forgotten = oldest is not None and oldest[0] is not None and seen.begun < oldest[0]
        return Standing.UNPROVEN if forgotten else Standing.ROLLED_BACK

    async def stop_behind(self, seen: StoreMark, kme: str) -> None:
        """Have this store never used again, by any process: it was put back to before `seen`. Raises `StoreFailure`."""
        why = (
            f"{kme} has seen commit {seen.generation} of run {seen.start} of this store, which is not in its past: it"
            " was put back from a copy"
        )

        async def refuse(tx: Transaction) -> None:
            await tx.run("INSERT INTO meta(name, value) VALUES(?, ?) ON CONFLICT DO NOTHING", PUT_BACK, why)
            # what the other processes have under way is not committed any more
            await tx.run("UPDATE head SET fence = fence + 1 WHERE writer <> ?", self._backend.writer)
            tx.note(PUT_BACK, kme=kme, run=seen.start, generation=seen.generation)

        async def stop(_: Transaction) -> None:
            raise StoreFailure(why, hint=RESTORED_HINT)

        await self._committer.do(refuse)
        await self._committer.do(stop)
