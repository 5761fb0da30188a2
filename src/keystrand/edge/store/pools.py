"""Pools in the store: numbered, sealed blocks with a durable cursor each, one pool for a link, source and master KME.

A block is written once and never again; what moves is its cursor, forward only, in the transaction that hands its bytes
out. Both ends check it: an order that names bytes below the cursor is refused whatever the other side believes.
"""

from collections.abc import Iterable, Sequence

from keystrand.edge.store.blocks import (
    CONFIRMATION_OCTETS,
    LANE,
    LEAST_BLOCK_OCTETS,
    BlockDamaged,
    BlockGone,
    Fresh,
    NewBlock,
    OpenBlock,
    Pool,
    Waiting,
    allowed,
    give_up,
    id_in,
    lane_of,
    names_of,
)  # fmt: skip
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import SealBroken, Sealer
from keystrand.edge.store.opened import OpenedBlocks
from keystrand.edge.store.session import Session
from keystrand.keys.allocation import Demand, Lane, Piece
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.model.key import SourceKind, Strength

__all__ = [
    "CONFIRMATION_OCTETS", "LEAST_BLOCK_OCTETS", "BlockDamaged", "BlockGone", "Fresh", "NewBlock", "OpenBlock", "Pool",
    "Pools", "Waiting",
]  # fmt: skip

_NAMED = 64
"""How many blocks that cannot be used are looked for: who asked plans anew with what it hears of."""
MOST_BLOCKS = 1 << 16
"""How many blocks a pool holds, however short they are."""
_MANY = 100


class Pools(OpenedBlocks):
    """The pools of one store. `sealer` opens and seals under the epochs' data keys."""

    def __init__(self, sealer: Sealer, store_id: str) -> None:
        super().__init__(sealer, store_id)
        self._pools: dict[tuple[str, SourceKind, str], Pool] = {}
        self._marked_spent: frozenset[int] = frozenset()
        """Epochs that the latest marking named: batch after batch uses the same, and a mark stays."""

    # Pools and their stock

    async def find(self, session: Session, link: str, source: SourceKind, master: str) -> Pool | None:
        """Return a pool, None where no block for it has ever come."""
        found = self._pools.get((link, source, master))
        if found is None:
            sql = "SELECT id FROM pool WHERE link = ? AND source = ? AND master = ?"
            if row := await session.row(sql, link, source.value, master):
                found = self._pools[link, source, master] = Pool(row[0], link, source, master)
        return found

    async def stored_octets(self, session: Session, pool: Pool) -> int:
        """Return how many unused, confirmed bytes the pool holds."""
        row = await session.row("SELECT stored FROM pool WHERE id = ?", pool.id)
        return int(row[0]) if row else 0

    async def held_octets(self, session: Session, pool: Pool) -> int:
        """Return what counts against the pool's limit: all unused bytes, and of each block those that confirm it."""
        row = await session.row("SELECT held FROM pool WHERE id = ?", pool.id)
        return int(row[0]) if row else 0

    async def free_octets(self, session: Session, pool: Pool, demand: Demand) -> dict[str, int]:
        """Return how many confirmed bytes that `demand` allows no process owns yet, by their label."""
        condition, values = allowed(demand)
        sql = (
            f"SELECT label, sum(length - cursor) FROM block WHERE pool = ? AND ready = 1 AND owner IS NULL{condition}"  # noqa: S608  # constants
            " GROUP BY label"
        )
        return {label: int(octets) for label, octets in await session.rows(sql, pool.id, *values)}

    async def _count(self, tx: Transaction, pool_id: int, *, stored: int = 0, held: int = 0, blocks: int = 0) -> None:
        sql = "UPDATE pool SET stored = stored + ?, held = held + ?, blocks = blocks + ? WHERE id = ?"
        await tx.run(sql, stored, held, blocks, pool_id)

    # Blocks that come

    async def add(self, tx: Transaction, block: NewBlock, *, epoch: int, is_master: bool, pool_octets: int) -> bool:
        """Store `block`; return false where the pool is full. One that was here before is accepted and dropped.

        It is not usable before `confirm`. The master KME numbers it. Raises `InvalidInput` where it is too short.
        """
        octets = len(block.key_bits)
        if octets < LEAST_BLOCK_OCTETS:
            raise InvalidInput(
                f"a block has {LEAST_BLOCK_OCTETS} bytes or more: the first {CONFIRMATION_OCTETS} confirm it"
            )
        if await tx.row("SELECT 1 FROM block_seen WHERE block_id = ? AND link = ?", block.block_id, block.link):
            return True
        pool = await self.find(tx.session, block.link, block.source, block.master)
        if pool and not await self._has_room(tx, pool, octets, pool_octets):
            return False
        name = await self._free_name(tx, block)
        # before anything is written: who brings the block may be gone, and its bytes cleared
        sealed = self._sealer.seal(epoch, block.key_bits.view(), self._place(name, block.label.value, block.qber))
        pool = pool or await self._make(tx, block)
        no = await self._number(tx, pool) if is_master else None
        await tx.run("INSERT INTO block_seen VALUES(?, ?, ?)", block.block_id, block.link, block.until)
        await tx.run(
            "INSERT INTO block(block_id, pool, no, length, cursor, ready, epoch, qber, label, received, until)"
            " VALUES(?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
            name, pool.id, no, octets, CONFIRMATION_OCTETS, epoch, block.qber, block.label.value, tx.now,
            block.confirm_by,
        )  # fmt: skip
        await self._count(tx, pool.id, held=octets, blocks=1)
        await tx.run("INSERT INTO block_seal VALUES(?, ?)", name, sealed)
        return True

    async def _has_room(self, tx: Transaction, pool: Pool, octets: int, limit: int) -> bool:
        row = await tx.row("SELECT held, blocks FROM pool WHERE id = ?", pool.id)
        return row is None or bool(row[0] + octets <= limit and row[1] < MOST_BLOCKS)

    async def _free_name(self, tx: Transaction, block: NewBlock) -> str:
        """Return the name of a block in the tables: its ID, with its link where another link's block has that ID."""
        own, with_link = names_of(block.block_id, block.link)
        return with_link if await tx.row("SELECT 1 FROM block WHERE block_id = ?", own) else own

    async def _make(self, tx: Transaction, block: NewBlock) -> Pool:
        row = await tx.row("SELECT max(id) FROM pool")
        pool = Pool(((row and row[0]) or 0) + 1, block.link, block.source, block.master)
        sql = "INSERT INTO pool(id, link, source, master, next_no) VALUES(?, ?, ?, ?, 0)"
        await tx.run(sql, pool.id, pool.link, pool.source.value, pool.master)
        # not remembered in self._pools: the transaction may yet be undone
        return pool

    async def _number(self, tx: Transaction, pool: Pool) -> int:
        row = await tx.row("UPDATE pool SET next_no = next_no + 1 WHERE id = ? RETURNING next_no", pool.id)
        tx.writes += 1
        return int(row[0]) if row else 0

    async def offered(self, session: Session, link: str, master: str) -> dict[SourceKind, Strength]:
        """Return the label of what each source of a link has in stock; of several the one that came last."""
        sql = (
            "SELECT p.source, b.label, max(b.no) FROM block b JOIN pool p ON p.id = b.pool"
            " WHERE p.link = ? AND p.master = ? AND b.ready = 1 GROUP BY p.source, b.label ORDER BY max(b.no)"
        )
        return {SourceKind(source): Strength(label) for source, label, _ in await session.rows(sql, link, master)}

    # Confirmation

    async def fresh(self, session: Session, link: str, kme: str, *, after: str, at_most: int) -> tuple[Fresh, ...]:
        """Return blocks of `link` that wait for this KME, their master, to confirm them, in the order of their IDs.

        Those up to the ID `after` are left out: many that the other end does not have yet hold up no others.
        """
        sql = (
            "SELECT b.block_id, p.source, b.no, b.length, b.label FROM block b JOIN pool p ON p.id = b.pool"
            " WHERE p.link = ? AND p.master = ? AND b.ready = 0 AND b.block_id > ? ORDER BY b.block_id LIMIT ?"
        )
        rows = await session.rows(sql, link, kme, after, at_most)
        return tuple(Fresh(name, SourceKind(source), *rest) for name, source, *rest in rows)

    async def waiting(
        self, session: Session, block_id: str, link: str, source: SourceKind, master: str
    ) -> Waiting | None:
        """Return a block of a pool, by the ID that its source gave it."""
        sql = (
            "SELECT b.block_id, b.length, b.ready, b.no, b.label FROM block b JOIN pool p ON p.id = b.pool"
            " WHERE b.block_id IN (?, ?) AND p.link = ? AND p.source = ? AND p.master = ?"
        )
        row = await session.row(sql, *names_of(block_id, link), link, source.value, master)
        return Waiting(row[0], row[1], bool(row[2]), row[3], row[4]) if row else None

    async def numbered(self, tx: Transaction, block_id: str, no: int) -> bool:
        """Return whether another block of the same pool has that number already."""
        sql = (
            "SELECT 1 FROM block WHERE no = ? AND block_id <> ? AND pool = (SELECT pool FROM block WHERE block_id = ?)"
        )
        return await tx.row(sql, no, block_id, block_id) is not None

    async def make_ready(self, tx: Transaction, block_id: str, no: int) -> None:
        """Let a confirmed block be used under its number."""
        sql = (
            "UPDATE block SET ready = 1, no = ?, until = coalesce((SELECT s.until FROM block_seen s JOIN pool p"
            " ON p.link = s.link WHERE s.block_id = ? AND p.id = block.pool), until)"
            " WHERE block_id = ? AND ready = 0 RETURNING pool, length - cursor"
        )
        for pool_id, octets in await tx.rows(sql, no, id_in(block_id), block_id):
            await self._count(tx, pool_id, stored=octets)

    async def destroy(self, tx: Transaction, block_ids: Iterable[str]) -> None:
        """Destroy blocks with all that is left of them."""
        gone = tuple(block_ids)
        for at in range(0, len(gone), _MANY):
            await self._destroy(tx, gone[at : at + _MANY])

    async def _destroy(self, tx: Transaction, block_ids: Sequence[str]) -> None:
        these = f"block_id IN ({', '.join('?' * len(block_ids))})"
        sql = f"DELETE FROM block WHERE {these} RETURNING pool, epoch, ready * (length - cursor), length - cursor"  # noqa: S608  # marks alone
        gone = await tx.rows(sql, *block_ids)
        await tx.run(f"DELETE FROM block_seal WHERE {these}", *block_ids)  # noqa: S608  # marks alone
        for pool_id in {row[0] for row in gone}:
            ours = [row for row in gone if row[0] == pool_id]
            held = sum(row[3] + CONFIRMATION_OCTETS for row in ours)
            await self._count(tx, pool_id, stored=-sum(row[2] for row in ours), held=-held, blocks=-len(ours))
        tx.spent.update(row[1] for row in gone)
        for block in tx.cursors.values():
            block.gone = block.gone or block.block_id in block_ids
        for block_id in block_ids:
            self.forget(block_id)

    # Blocks that are used

    async def own(
        self, tx: Transaction, pool: Pool, writer: str, demand: Demand, *, octets: int, at_most: int
    ) -> list[Lane]:
        """Make the next blocks of the pool this writer's own, and return them: no other process will cut them.

        They are as many as give `octets` bytes that `demand` allows; none where `at_most` of them do not.
        """
        condition, values = allowed(demand)
        sql = f"SELECT {LANE} FROM block WHERE pool = ? AND ready = 1 AND owner IS NULL{condition} ORDER BY no LIMIT ?"  # noqa: S608  # constants
        owned: list[Lane] = []
        for row in await tx.rows(sql, pool.id, *values, at_most):
            owned.append(lane_of(row))
            octets -= owned[-1].unused
            if octets <= 0:
                break
        else:
            return []
        await tx.run_many("UPDATE block SET owner = ? WHERE block_id = ?", [(writer, one.block_id) for one in owned])
        return owned

    async def owned(self, session: Session, pool: Pool, writer: str) -> list[Lane]:
        """Return the blocks that this writer owned before it was started again, from their durable cursors."""
        sql = f"SELECT {LANE} FROM block WHERE pool = ? AND ready = 1 AND owner = ? ORDER BY no"  # noqa: S608  # a constant
        return [lane_of(row) for row in await session.rows(sql, pool.id, writer)]

    async def block(self, tx: Transaction, pool: Pool, no: int) -> OpenBlock | None:
        """Return block `no` as this transaction will leave it; None where it is not here or not confirmed."""
        held: OpenBlock | None = tx.cursors.get((pool.id, no))
        if held is None:
            sql = (
                "SELECT block_id, cursor, length, label, qber, received FROM block"
                " WHERE pool = ? AND no = ? AND ready = 1"
            )
            row = await tx.row(sql, pool.id, no)
            if row is None:
                return None
            held = OpenBlock(
                block_id=row[0], cursor=row[1], length=row[2], label=row[3], qber=row[4], received=row[5]
            )  # fmt: skip
            tx.cursors[pool.id, no] = held
        return None if held.gone else held

    async def unusable(
        self, tx: Transaction, pool: Pool | None, pieces: Sequence[Piece]
    ) -> tuple[tuple[int, int], ...]:
        """Return (number, cursor) of blocks whose bytes in `pieces` are used or absent; -1 for a block unknown.

        Each block is named once, and no more of them than a verdict may name.
        """
        found: dict[int, int] = {}
        reached: dict[int, int] = {}
        for piece in pieces:
            block = await self.block(tx, pool, piece.no) if pool else None
            if block is None or piece.end > block.length:
                found[piece.no] = -1
            elif piece.offset < reached.get(piece.no, block.cursor):
                found.setdefault(piece.no, block.cursor)
            else:
                reached[piece.no] = piece.end
            if len(found) >= _NAMED:
                break
        return tuple(found.items())

    async def use(self, tx: Transaction, pool: Pool, pieces: Sequence[Piece]) -> list[OpenBlock]:
        """Move the cursors behind `pieces`; return their blocks. Raises `StoreFailure` where bytes were used before."""
        blocks = []
        for piece in pieces:
            block = await self.block(tx, pool, piece.no)
            if block is None or piece.offset < block.cursor or piece.end > block.length:
                raise StoreFailure(f"bytes of block {piece.no} were used before")
            block.move(piece.end)
            blocks.append(block)
        return blocks

    async def burn(self, tx: Transaction, pool: Pool, pieces: Iterable[Piece]) -> None:
        """Move the cursors behind `pieces` as far as they are not yet: those bytes may be known to the other end."""
        for piece in pieces:
            block = await self.block(tx, pool, piece.no)
            if block and block.cursor < piece.end:
                block.move(min(piece.end, block.length))

    async def flush(self, tx: Transaction) -> None:
        """Write the cursors that this batch moved; a block without unused bytes is destroyed."""
        moved = [block for block in tx.cursors.values() if block.moved]
        await self.destroy(tx, [block.block_id for block in moved if block.cursor >= block.length])
        for block in moved:
            if block.cursor < block.length:
                await self._flush(tx, block)
        if not tx.spent <= self._marked_spent:
            sql = "UPDATE epoch SET spent = 1 WHERE spent = 0 AND no = ?"
            await tx.run_many(sql, [(no,) for no in sorted(tx.spent)])
            self._marked_spent = frozenset(tx.spent)

    async def _flush(self, tx: Transaction, block: OpenBlock) -> None:
        sql = "UPDATE block SET cursor = ? WHERE block_id = ? RETURNING pool, epoch"
        # none where it was destroyed; its epoch is that of the row: it may have moved on in this very batch
        for pool_id, epoch in await tx.rows(sql, block.cursor, block.block_id):
            await self._count(tx, pool_id, stored=-block.used, held=-block.used)
            tx.spent.add(epoch)
        self._forget_used(block.block_id, block.cursor)

    async def reseal(self, tx: Transaction, epoch: int, *, at_most: int) -> int:
        """Seal blocks of closed epochs of which something was used under `epoch` instead; return how many.

        What was used of them is left out: zeros stand in its place, so that the rest stays where it was.
        """
        sql = (
            "SELECT block_id, epoch, sealed, label, qber, ready * cursor FROM block JOIN block_seal USING (block_id)"
            " WHERE epoch IN (SELECT no FROM epoch WHERE closed = 1 AND spent = 1) LIMIT ?"
        )
        moved, damaged, rows = [], [], await tx.rows(sql, at_most)
        for name, old, sealed, label, qber, cursor in rows:
            place = self._place(name, label, qber)
            try:
                content = self._sealer.open(old, sealed, place)
            except SealBroken:
                damaged.append(name)
                continue
            with content:
                content.zeroise_first(cursor)
                moved.append((name, self._sealer.seal(epoch, content.view(), place)))
            self._forget_used(name, cursor)
        await give_up(tx, self.destroy, damaged)
        await tx.run_many("UPDATE block_seal SET sealed = ? WHERE block_id = ?", [(new, name) for name, new in moved])
        await tx.run_many("UPDATE block SET epoch = ? WHERE block_id = ?", [(epoch, name) for name, _ in moved])
        return len(rows)
