"""What the store remembers of other KMEs: the highest mark seen of each one's store, and what each must yet be told."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.session import Session
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.witness import WRITERS, Standing, StoreMark, judge

_MARK = "store, writer, start, begun, generation, proof"
RETIRED = 256
"""How many former stores of a peer are remembered: they hold keys that it has given out since."""


class Notice(NamedTuple):
    """An event of an order that a peer KME must still hear of."""

    order_id: str
    kme: str
    event: KeyEvent


async def seen_of(session: Session, kme: str, store: str = "") -> tuple[StoreMark, ...]:
    """Return the highest mark seen of each writer of a peer's store; of `store`, where it had that one formerly."""
    sql = f"SELECT {_MARK} FROM retired WHERE kme = ? AND store = ? LIMIT ?"  # noqa: S608  # constants
    rows = await session.rows(sql, kme, store, WRITERS) if store else []
    if not rows:
        rows = await session.rows(f"SELECT {_MARK} FROM witness WHERE kme = ? LIMIT ?", kme, WRITERS)  # noqa: S608  # constants
    return tuple(StoreMark(**dict(zip(StoreMark.__struct_fields__, row, strict=True))) for row in rows)


_WITNESS_S = 0.5
"""How often at most a peer's mark is written: it comes with every message."""


class LastShown:
    """The run of each peer's store that was witnessed last, and when: its next message need not be judged anew.

    Whether a run itself has gone back a single message cannot tell, since they overtake each other: hellos do. What is
    remembered durably may lag behind by `_WITNESS_S`.
    """

    def __init__(self) -> None:
        self._runs: dict[str, tuple[str, str, str, float]] = {}

    def witnessed(self, kme: str, shown: StoreMark, now: float) -> None:
        """Note that a mark was written."""
        self._runs[kme] = (shown.store, shown.writer, shown.start, now)

    def goes_on(self, kme: str, shown: StoreMark, now: float) -> bool:
        """Return whether `shown` is of the run that was witnessed last, a moment ago."""
        store, writer, start, at = self._runs.get(kme, ("", "", "", 0.0))
        return (store, writer, start) == (shown.store, shown.writer, shown.start) and 0 <= now - at < _WITNESS_S


async def standing_of(
    session: Session, kme: str, shown: Sequence[StoreMark], known: Collection[StoreMark] = (), *, all_writers: bool
) -> Standing:
    """Return what a peer's marks, all of one store, mean beside what was seen of it before.

    `known`: see `witness.judge`. With `all_writers` they are the marks of all that write it: a writer that was seen
    and is not shown is one that the store does not know, so it was put back to before it.
    """
    store = shown[0].store
    if await session.row("SELECT 1 FROM retired WHERE kme = ? AND store = ? LIMIT 1", kme, store):
        return Standing.ROLLED_BACK
    seen = {mark.writer: mark for mark in await seen_of(session, kme)}
    if any(mark.store != store for mark in seen.values()):
        return Standing.NEW_STORE
    standings = {judge(seen.get(mark.writer), mark, known) for mark in shown}
    missing = all_writers and len(shown) < WRITERS and seen.keys() - {mark.writer for mark in shown}
    if missing or Standing.ROLLED_BACK in standings:
        return Standing.ROLLED_BACK
    return Standing.UNPROVEN if Standing.UNPROVEN in standings else Standing.CONTINUES


async def witness(tx: Transaction, kme: str, shown: StoreMark) -> None:
    """Remember a peer's mark. Another store of that peer that was seen before is retired.

    Of more than `WRITERS` the one that has come least far is forgotten: a peer that invents them fills no disk.
    """
    before = tx.writes
    await _retire(tx, kme, shown.store)
    await tx.run(
        "INSERT INTO witness(kme, store, writer, start, begun, generation, proof) VALUES(?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT(kme, writer) DO UPDATE SET start = excluded.start, begun = excluded.begun,"
        " generation = excluded.generation, proof = excluded.proof WHERE witness.generation < excluded.generation",
        kme, shown.store, shown.writer, shown.start, shown.begun, shown.generation, shown.proof,
    )  # fmt: skip
    others = await tx.rows(
        "SELECT writer FROM witness WHERE kme = ? AND writer <> ? ORDER BY generation DESC, writer", kme, shown.writer
    )
    await tx.run_many(
        "DELETE FROM witness WHERE kme = ? AND writer = ?", [(kme, one) for (one,) in others[WRITERS - 1 :]]
    )
    # two idle KMEs would else show each other for ever that they have seen each other
    tx.idle_writes += tx.writes - before


async def _retire(tx: Transaction, kme: str, store: str) -> None:
    """Keep the marks of what was seen of a peer before its present store: of those stores none comes back."""
    former = [mark for mark in await seen_of(tx.session, kme) if mark.store != store]
    if not former:
        return
    row = await tx.row("SELECT coalesce(max(no), 0) + 1 FROM retired WHERE kme = ?", kme)
    no = row[0] if row else 1
    await tx.run_many(
        "INSERT INTO retired(kme, no, store, writer, start, begun, generation, proof) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        [(kme, no, *msgspec.structs.astuple(mark)) for mark in former],
    )
    await tx.run("DELETE FROM retired WHERE kme = ? AND no <= ?", kme, no - RETIRED)
    await tx.run("DELETE FROM witness WHERE kme = ? AND store <> ?", kme, store)


async def tell(tx: Transaction, order_id: str, kme: str, event: KeyEvent, until: float) -> None:
    """Have `kme` told of an order's event, again and again until it has heard or `until` has passed.

    A later event takes the place of an earlier one that is not told yet, except that nothing but another end takes the
    place of an end: who missed a revocation hears of that, not of what was asked for afterwards.
    """
    await tx.run(
        "INSERT INTO outbox(order_id, kme, event, until) VALUES(?, ?, ?, ?) ON CONFLICT(order_id, kme)"
        " DO UPDATE SET event = excluded.event, until = excluded.until"
        " WHERE outbox.event IN ('suspend', 'resume') OR excluded.event NOT IN ('suspend', 'resume')",
        order_id, kme, event.value, until,
    )  # fmt: skip


async def untold(session: Session, kme: str, *, at_most: int) -> tuple[Notice, ...]:
    """Return what `kme` must still be told next: what was done on purpose, as a revocation, and only then the voids.

    Voids may be many, and a KME that has not heard of their orders follows so many of them and no more for a while.
    """
    for which in ("event <> 'void'", "event = 'void'"):
        sql = f"SELECT order_id, event FROM outbox WHERE kme = ? AND {which} ORDER BY order_id LIMIT ?"  # noqa: S608  # constants
        if rows := await session.rows(sql, kme, at_most):
            break
    return tuple(Notice(order_id, kme, KeyEvent(event)) for order_id, event in rows)


async def told(tx: Transaction, notices: tuple[Notice, ...]) -> None:
    """Forget what a peer has heard."""
    sql = "DELETE FROM outbox WHERE order_id = ? AND kme = ? AND event = ?"
    await tx.run_many(sql, [(one.order_id, one.kme, one.event.value) for one in notices])


async def begin_order(tx: Transaction, order_id: str, kmes: Sequence[str], writer: str, until: float) -> None:
    """Remember that `kmes` may come to hold an order: unless it ends well they are told, up to `until`, it is void."""
    sql = "INSERT INTO under_way(order_id, kme, writer, until) VALUES(?, ?, ?, ?)"
    await tx.run_many(sql, [(order_id, kme, writer, until) for kme in kmes])


async def is_under_way(tx: Transaction, order_id: str) -> bool:
    """Return whether an order has begun and not ended."""
    return await tx.row("SELECT 1 FROM under_way WHERE order_id = ? LIMIT 1", order_id) is not None


async def end_order(tx: Transaction, order_id: str) -> None:
    """Forget that an order was under way: it is delivered."""
    await tx.run("DELETE FROM under_way WHERE order_id = ?", order_id)


async def void_orders(tx: Transaction, *, order_id: str = "", writer: str = "", kme: str = "") -> tuple[str, ...]:
    """Have all KMEs told that an order under way is void, or those of a writer, or with a KME; return their IDs."""
    sql = "SELECT DISTINCT order_id FROM under_way WHERE order_id = ? OR writer = ? OR kme = ?"
    orders = tuple(one for (one,) in await tx.rows(sql, order_id, writer, kme))
    for one in orders:
        for other, until in await tx.rows("SELECT kme, until FROM under_way WHERE order_id = ?", one):
            await tell(tx, one, other, KeyEvent.VOID, until)
        await end_order(tx, one)
    return orders
