"""What becomes of everything whose deadline has passed: nothing waits for ever, and nothing is kept for ever.

A key that nobody fetched is destroyed and audited; an answer that can no longer be repeated loses its material; a
tombstone goes when its time is over; an old block is destroyed. What a closed epoch has sealed moves on to the current
one as soon as something of it was used, without what was used. An epoch under whose key nothing is sealed any more is
given up, and its data key with it: after that nothing opens what was used, in no copy of the store.
"""

from msgspec import Struct

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Holdings
from keystrand.edge.store.pools import Pools
from keystrand.keys.lifecycle import KeyEvent, step
from keystrand.model.key import KeyState

_AT_ONCE = 250
"""How many rows one sweep touches of each kind: others wait for it, about as long as for a sync of the disk."""
_BLOCKS_AT_ONCE, _KEYS_AT_ONCE = 16, 64
"""How many are sealed anew in one sweep: a few milliseconds' work."""
_ACTIVE, _SUSPENDED = KeyState.ACTIVE.value, KeyState.SUSPENDED.value
_DEACTIVATED = KeyState.DEACTIVATED.value


class Swept(Struct, frozen=True, kw_only=True):
    """What a sweep did: IDs of orders that nobody fetched, blocks that grew too old, and epochs that ended."""

    expired: tuple[str, ...]
    old_blocks: tuple[str, ...]
    ended_epochs: tuple[int, ...]
    more: bool


async def sweep(tx: Transaction, pools: Pools, holdings: Holdings, retention_s: float, epoch: int) -> Swept:
    """Carry out what is due at the transaction's time. `epoch`: the one that this process seals under."""
    shredded = await _shred(tx, retention_s)
    expired = await _expire(tx, holdings)
    old = tuple(
        block_id for (block_id,) in await tx.rows("SELECT block_id FROM block WHERE until <= ? LIMIT 100", tx.now)
    )
    await pools.destroy(tx, old)
    forgotten = [await _forget(tx), await _forget_answers(tx), await _forget_blocks(tx)]
    await _run_if_any(tx, "DELETE FROM outbox WHERE until <= ?", tx.now)
    blocks = await pools.reseal(tx, epoch, at_most=_BLOCKS_AT_ONCE)
    keys = await holdings.reseal(tx, epoch, at_most=_KEYS_AT_ONCE)
    return Swept(
        expired=expired, old_blocks=old, ended_epochs=await _end_epochs(tx),
        more=max(shredded, len(expired), *forgotten) >= _AT_ONCE or blocks == _BLOCKS_AT_ONCE or keys == _KEYS_AT_ONCE,
    )  # fmt: skip


async def _run_if_any(tx: Transaction, sql: str, *values: object) -> int:
    """Run a statement that often changes nothing; only a change makes a commit necessary."""
    changed = await tx.session.run(sql, *values)
    tx.writes += changed > 0
    return changed


async def _shred(tx: Transaction, retention_s: float) -> int:
    """Take the material of keys whose answers can no longer be repeated."""
    after = step(KeyState.DEACTIVATED, KeyEvent.EXPIRE).value
    due = (
        "SELECT order_id, sae FROM holding WHERE until <= ? AND state = ? AND sealed IS NOT NULL ORDER BY until LIMIT ?"
    )
    sql = f"UPDATE holding SET state = ?, sealed = NULL, until = ? WHERE (order_id, sae) IN ({due}) RETURNING epoch"  # noqa: S608  # constants
    epochs = await tx.rows(sql, after, tx.now + retention_s, tx.now, _DEACTIVATED, _AT_ONCE)
    tx.writes += bool(epochs)
    tx.spent.update(epoch for (epoch,) in epochs)
    return len(epochs)


async def _expire(tx: Transaction, holdings: Holdings) -> tuple[str, ...]:
    # told apart here: DISTINCT would have SQLite go through the whole table in the order of its key
    sql = "SELECT order_id FROM holding WHERE until <= ? AND state IN (?, ?) ORDER BY until LIMIT ?"
    expired: list[str] = []
    for order_id in dict.fromkeys([row[0] for row in await tx.rows(sql, tx.now, _ACTIVE, _SUSPENDED, _AT_ONCE)]):
        expired += [one.order_id for one in await holdings.happen(tx, order_id, KeyEvent.EXPIRE)]
    return tuple(expired)


async def _forget(tx: Transaction) -> int:
    """Remove tombstones whose time is over."""
    ended = "SELECT order_id, sae FROM holding WHERE until <= ? AND state NOT IN (?, ?) AND sealed IS NULL LIMIT ?"
    sql = f"DELETE FROM holding WHERE (order_id, sae) IN ({ended})"  # noqa: S608  # constants
    return await _run_if_any(tx, sql, tx.now, _ACTIVE, _SUSPENDED, _AT_ONCE)


async def _forget_answers(tx: Transaction) -> int:
    due = "SELECT order_id, digest FROM replay WHERE until <= ? ORDER BY until LIMIT ?"
    return await _run_if_any(tx, f"DELETE FROM replay WHERE (order_id, digest) IN ({due})", tx.now, _AT_ONCE)  # noqa: S608  # constants


async def _forget_blocks(tx: Transaction) -> int:
    """Forget the IDs of blocks that were here. One that is here stays known: it cannot come once more."""
    due = (
        "SELECT block_id, link FROM block_seen s WHERE until <= ? AND NOT EXISTS (SELECT 1 FROM block b"
        " WHERE b.block_id IN (s.block_id, s.link || ' ' || s.block_id)) ORDER BY until LIMIT ?"
    )
    return await _run_if_any(tx, f"DELETE FROM block_seen WHERE (block_id, link) IN ({due})", tx.now, _AT_ONCE)  # noqa: S608  # constants


async def _end_epochs(tx: Transaction) -> tuple[int, ...]:
    # the latest stays: no number comes twice
    sql = (
        "SELECT no FROM epoch e WHERE closed = 1 AND no < (SELECT max(no) FROM epoch)"
        " AND NOT EXISTS (SELECT 1 FROM block b WHERE b.epoch = e.no)"
        " AND NOT EXISTS (SELECT 1 FROM holding h WHERE h.epoch = e.no AND h.sealed IS NOT NULL)"
    )
    ended = tuple(no for (no,) in await tx.rows(sql))
    await tx.run_many("DELETE FROM epoch WHERE no = ?", [(no,) for no in ended])
    return ended
