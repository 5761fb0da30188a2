"""Pools in the store: numbered, sealed blocks with a durable cursor each, one pool for a link, source and master KME.

A block is written once and never again; what moves is its cursor, forward only, in the transaction that hands its bytes
out. Both ends check it: an order that names bytes below the cursor is refused whatever the other side believes.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from keystrand.crypto.labels import STORE_BLOCK, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import Sealer
from keystrand.edge.store.session import Session
from keystrand.keys.allocation import Lane, Piece
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.model.key import SourceKind, Strength

_OPENED = 64
"""How many blocks are kept open: every link and direction works on one or two."""
_LANE = "no, block_id, cursor, length, label, qber, received"


class Pool(NamedTuple):
    """A pool's row."""

    id: int
    link: str
    source: SourceKind
    master: str


class NewBlock(Struct, frozen=True, kw_only=True):
    """A block as it arrives: raw key that the other end of `link` receives too.

    Where the other end has not confirmed it at `confirm_by` it is destroyed, and where it is not used up at `until`.
    """

    block_id: str
    link: str
    source: SourceKind
    master: str
    key_bits: Secret
    qber: float
    label: Strength
    confirm_by: float
    until: float


class OpenBlock(Struct, kw_only=True):
    """A block's row within a transaction, with the cursor it will have."""

    block_id: str
    cursor: int
    length: int
    label: str
    qber: float
    received: float
    moved: bool = False


class Fresh(NamedTuple):
    """A block that its master KME has not yet confirmed with the other end."""

    block_id: str
    source: SourceKind
    no: int
    length: int
    label: str


class BlockGone(StoreFailure):
    """A block is not in the store any more: it was used up, grew too old, or was destroyed with what a peer lost."""

    def __init__(self, block_id: str) -> None:
        super().__init__("a block is not in the store any more")
        self.block_id = block_id


class Pools:
    """The pools of one store. `sealer` opens and seals under the epochs' data keys."""

    def __init__(self, sealer: Sealer, store_id: str) -> None:
        self._sealer, self._store_id = sealer, store_id
        self._opened: OrderedDict[str, Secret] = OrderedDict()
        self._pools: dict[tuple[str, SourceKind, str], Pool] = {}

    # Pools and their stock

    async def known(self, session: Session) -> tuple[Pool, ...]:
        """Return all pools."""
        rows = await session.rows("SELECT id, link, source, master FROM pool ORDER BY id")
        return tuple(Pool(i, link, SourceKind(source), master) for i, link, source, master in rows)

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
        sql = "SELECT sum(length - cursor) FROM block WHERE pool = ? AND ready = 1"
        row = await session.row(sql, pool.id)
        return int(row[0]) if row and row[0] is not None else 0

    # Blocks that come

    async def add(self, tx: Transaction, block: NewBlock, *, epoch: int, is_master: bool, pool_octets: int) -> bool:
        """Store `block`; return false where the pool is full. One that was here before is accepted and dropped.

        It is not usable before `confirm`. The master KME numbers it. Raises `InvalidInput` where it is too short.
        """
        if len(block.key_bits) <= CONFIRMATION_OCTETS:
            raise InvalidInput(f"a block needs more than {CONFIRMATION_OCTETS} bytes: those confirm it")
        if await tx.row("SELECT 1 FROM block_seen WHERE block_id = ?", block.block_id):
            return True
        pool = await self.find(tx.session, block.link, block.source, block.master)
        if pool and await self.held_octets(tx.session, pool) + len(block.key_bits) > pool_octets:
            return False
        pool = pool or await self._make(tx, block)
        no = await self._number(tx, pool) if is_master else None
        await tx.run("INSERT INTO block_seen VALUES(?, ?)", block.block_id, block.until)
        await tx.run(
            "INSERT INTO block(block_id, pool, no, length, cursor, ready, epoch, qber, label, received, until)"
            " VALUES(?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
            block.block_id, pool.id, no, len(block.key_bits), CONFIRMATION_OCTETS, epoch, block.qber, block.label.value,
            tx.now, block.confirm_by,
        )  # fmt: skip
        place = self._place(block.block_id, block.label.value, block.qber)
        sealed = self._sealer.seal(epoch, block.key_bits.view(), place)
        await tx.run("INSERT INTO block_seal VALUES(?, ?)", block.block_id, sealed)
        return True

    async def held_octets(self, session: Session, pool: Pool) -> int:
        """Return how many unused bytes the pool holds, confirmed or not: what counts against its limit."""
        row = await session.row("SELECT sum(length - cursor) FROM block WHERE pool = ?", pool.id)
        return int(row[0]) if row and row[0] is not None else 0

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

    def _place(self, block_id: str, label: str, qber: float) -> bytes:
        # a number that compares equal reads equal: SQLite knows no negative zero
        return bound(STORE_BLOCK, self._store_id, block_id, label, repr(qber + 0.0))

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
        return tuple(Fresh(block_id, SourceKind(source), *rest) for block_id, source, *rest in rows)

    async def waiting(
        self, session: Session, block_id: str, link: str, source: SourceKind, master: str
    ) -> tuple[int, bool, int | None] | None:  # fmt: skip
        """Return length, readiness and number of a block of a pool."""
        sql = (
            "SELECT b.length, b.ready, b.no FROM block b JOIN pool p ON p.id = b.pool"
            " WHERE b.block_id = ? AND p.link = ? AND p.source = ? AND p.master = ?"
        )
        row = await session.row(sql, block_id, link, source.value, master)
        return (row[0], bool(row[1]), row[2]) if row else None

    async def numbered(self, tx: Transaction, block_id: str, no: int) -> bool:
        """Return whether another block of the same pool has that number already."""
        sql = (
            "SELECT 1 FROM block WHERE no = ? AND block_id <> ? AND pool = (SELECT pool FROM block WHERE block_id = ?)"
        )
        return await tx.row(sql, no, block_id, block_id) is not None

    async def make_ready(self, tx: Transaction, block_id: str, no: int) -> None:
        """Let a confirmed block be used under its number."""
        sql = (
            "UPDATE block SET ready = 1, no = ?, until = coalesce((SELECT s.until FROM block_seen s"
            " WHERE s.block_id = block.block_id), until) WHERE block_id = ?"
        )
        await tx.run(sql, no, block_id)

    async def destroy(self, tx: Transaction, block_ids: Iterable[str]) -> None:
        """Destroy blocks with all that is left of them."""
        gone = [(block_id,) for block_id in block_ids]
        await tx.run_many("DELETE FROM block_seal WHERE block_id = ?", gone)
        await tx.run_many("DELETE FROM block WHERE block_id = ?", gone)
        for (block_id,) in gone:
            self.forget(block_id)

    # Blocks that are used

    async def own(self, tx: Transaction, pool: Pool, writer: str, *, at_most: int) -> list[Lane]:
        """Make the next blocks of the pool this writer's own, and return them: no other process will cut them."""
        free = "SELECT block_id FROM block WHERE pool = ? AND ready = 1 AND owner IS NULL ORDER BY no LIMIT ?"
        sql = f"UPDATE block SET owner = ? WHERE block_id IN ({free}) RETURNING {_LANE}"  # noqa: S608  # constants
        rows = await tx.rows(sql, writer, pool.id, at_most)
        tx.writes += bool(rows)
        return sorted((_lane(row) for row in rows), key=lambda lane: lane.no)

    async def owned(self, session: Session, pool: Pool, writer: str) -> list[Lane]:
        """Return the blocks that this writer owned before it was started again, from their durable cursors."""
        sql = f"SELECT {_LANE} FROM block WHERE pool = ? AND ready = 1 AND owner = ? ORDER BY no"  # noqa: S608  # a constant
        return [_lane(row) for row in await session.rows(sql, pool.id, writer)]

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
        return held

    async def unusable(
        self, tx: Transaction, pool: Pool | None, pieces: Sequence[Piece]
    ) -> tuple[tuple[int, int], ...]:
        """Return (number, cursor) of each block whose bytes in `pieces` are used or absent; -1 for a block unknown."""
        found: list[tuple[int, int]] = []
        reached: dict[int, int] = {}
        for piece in pieces:
            block = await self.block(tx, pool, piece.no) if pool else None
            if block is None or piece.end > block.length:
                found.append((piece.no, -1))
            elif piece.offset < reached.get(piece.no, block.cursor):
                found.append((piece.no, block.cursor))
            else:
                reached[piece.no] = piece.end
        return tuple(dict.fromkeys(found))

    async def use(self, tx: Transaction, pool: Pool, pieces: Sequence[Piece]) -> list[OpenBlock]:
        """Move the cursors behind `pieces`; return their blocks. Raises `StoreFailure` where bytes were used before."""
        blocks = []
        for piece in pieces:
            block = await self.block(tx, pool, piece.no)
            if block is None or piece.offset < block.cursor or piece.end > block.length:
                raise StoreFailure(f"bytes of block {piece.no} were used before")
            block.cursor, block.moved = piece.end, True
            blocks.append(block)
        return blocks

    async def burn(self, tx: Transaction, pool: Pool, pieces: Iterable[Piece]) -> None:
        """Move the cursors behind `pieces` as far as they are not yet: those bytes may be known to the other end."""
        for piece in pieces:
            block = await self.block(tx, pool, piece.no)
            if block and block.cursor < piece.end:
                block.cursor, block.moved = min(piece.end, block.length), True

    async def flush(self, tx: Transaction) -> None:
        """Write the cursors that this batch moved; a block without unused bytes is destroyed."""
        moved = [(key, block) for key, block in tx.cursors.items() if block.moved]
        await tx.run_many(
            "UPDATE block SET cursor = ? WHERE pool = ? AND no = ?",
            [(block.cursor, *key) for key, block in moved if block.cursor < block.length],
        )
        await self.destroy(tx, [block.block_id for _, block in moved if block.cursor >= block.length])

    async def content(self, session: Session, block_id: str) -> Secret:
        """Return the bytes of a block, opened once and kept for a while. Raises `BlockGone`, or `StoreFailure`."""
        opened = self._opened.get(block_id)
        if opened is None:
            sql = (
                "SELECT b.epoch, s.sealed, b.label, b.qber FROM block b JOIN block_seal s ON s.block_id = b.block_id"
                " WHERE b.block_id = ?"
            )
            row = await session.row(sql, block_id)
            if row is None:
                raise BlockGone(block_id)
            place = self._place(block_id, row[2], row[3])
            # somebody else may have opened it meanwhile
            opened = self._opened.get(block_id) or self._sealer.open(row[0], row[1], place)
            self._opened[block_id] = opened
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)[1].zeroise()
        self._opened.move_to_end(block_id)
        return opened

    async def forget_gone(self, session: Session) -> None:
        """Clear from memory the bytes of blocks that are not in the store any more."""
        for block_id in tuple(self._opened):
            if await session.row("SELECT 1 FROM block WHERE block_id = ?", block_id) is None:
                self.forget(block_id)

    def forget(self, block_id: str) -> None:
        """Clear a block's bytes from memory."""
        if opened := self._opened.pop(block_id, None):
            opened.zeroise()


CONFIRMATION_OCTETS = 32
"""The first bytes of every block: the one-time key of its confirmation (RFC 8439, 2.5), never handed out."""


def _lane(row: tuple[object, ...]) -> Lane:
    no, block_id, cursor, length, label, qber, received = row
    return Lane(
        no=no, block_id=block_id, cursor=cursor, length=length, label=label, qber=qber, received=received  # type: ignore[arg-type]  # a row of the schema
    )  # fmt: skip
