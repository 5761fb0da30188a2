"""One KME's durable memory: blocks, keys, audit, in SQLite (WAL, synchronous=FULL), one writer, one commit a request.

What is written before an answer leaves is on the disk: no key goes out twice, whatever is killed. Raw key stands in
blocks with a cursor, so cutting a key of any size costs the same however much is stored; what was cut goes with the old
seal of its block, and the rest is written anew. A delivered key leaves its ID behind for ever.

What is overwritten stays in SQLite's log, sealed, until the log is folded into the database: `fold`, every hundred
commits, at the end. Until then, and in whatever the disk or a copy of the files keeps, who has the master key can open
it. A store that is put back from a copy hands out again what it handed out since.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from keystrand.crypto.labels import STORE_BLOCK, STORE_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.kme import service
from keystrand.edge.kme.database import Database
from keystrand.edge.kme.messages import Assign, AssignAnswer, Block, BlockAnswer, Slice
from keystrand.edge.kme.service import KeyOrder, KeyRow, LiveBlock
from keystrand.edge.tls import Peer
from keystrand.formats.etsi014 import bad_request
from keystrand.model.errors import PeerUnavailable, StoreFailure


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key that its commit made deliverable, with what its blocks said of it."""

    key_id: str
    key: Secret
    provenance: dict[str, Any]


class _Row(NamedTuple):
    """A block's row."""

    number: int
    block_id: str
    link: str
    master_kme: str
    length: int
    cursor: int
    sealed: bytes | None
    qber: float
    label: str


class Store:
    """The store in `folder`. Its methods block and belong to one thread; `now` is seconds since the epoch."""

    def __init__(self, folder: Path, master_key: Path, *, pool_bits: int) -> None:
        """Open or make the store. Raises `StoreFailure` where another process has it or it cannot be used."""
        self._pool_bits = pool_bits
        self._db = Database(folder, master_key)

    def close(self) -> None:
        """Fold the log into the database and let another process have the store."""
        self._db.close()

    def fold(self) -> bool:
        """Remove from the log what was overwritten; return false where another program holds it up."""
        return self._db.fold()

    def note(self, now: float, by: Peer, action: str, **detail: Any) -> None:
        """Write one audit record on its own, such as a refusal."""
        with self._db.transaction():
            self._db.audit(now, by, action, **detail)

    # Blocks

    def stored_bits(self, link: str, master_kme: str) -> int:
        """Return how much unused key the pool holds."""
        with self._db.transaction():
            return self._stored_bits(link, master_kme)

    def _stored_bits(self, link: str, master_kme: str) -> int:
        sql = "SELECT stored FROM pool WHERE link = ? AND master_kme = ?"
        row = self._db.row(sql, link, master_kme)
        return 8 * row[0] if row else 0

    def add_block(self, block: Block, now: float, by: Peer) -> BlockAnswer:
        """Store `block` once, however often it is delivered; a full pool does not accept it.

        Raises `InvalidInput` where its id was used for another block.
        """
        with self._db.transaction():
            stored = self._stored_bits(block.link, block.master_kme)
            if row := self._row(block.block_id):
                self._same(row, block)
                return BlockAnswer(accepted=True, stored_bits=stored)
            if stored + 8 * len(block.key_bits) > self._pool_bits:
                return BlockAnswer(accepted=False, stored_bits=stored)
            self._insert(block, now)
            self._db.audit(
                now, by, "block", link=block.link, block_id=block.block_id, master_kme=block.master_kme,
                bits=8 * len(block.key_bits), qber=block.qber, label=block.label,
            )  # fmt: skip
        return BlockAnswer(accepted=True, stored_bits=stored + 8 * len(block.key_bits))

    def _insert(self, block: Block, now: float) -> None:
        sealed = self._db.seal.close(block.key_bits.view(), self._block_place(block, 0))
        row = (block.block_id, block.link, block.master_kme, len(block.key_bits), sealed, block.qber,
               block.label, now)  # fmt: skip
        self._db.write(
            "INSERT INTO block(block_id, link, master_kme, length, cursor, sealed, qber, label, received_at)"
            " VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?)",
            *row,
        )
        self._grow(block.link, block.master_kme, len(block.key_bits))

    def _same(self, row: _Row, block: Block) -> None:
        ours = (row.link, row.master_kme, row.length, row.label)
        same = ours == (block.link, block.master_kme, len(block.key_bits), block.label)
        if same and row.sealed:
            with self._unused(row) as unused:
                same = unused == Secret(block.key_bits.view()[row.cursor :])
        if not same:
            raise bad_request("was used for another block", "block_id")

    def _block_place(self, block: Block | _Row, cursor: int) -> bytes:
        # SQLite knows no negative zero
        told = (block.link, block.master_kme, block.block_id, repr(block.qber + 0.0), block.label)
        return bound(STORE_BLOCK, self._db.id, *told, str(cursor))

    def _grow(self, link: str, master_kme: str, octets: int) -> None:
        self._db.write(
            "INSERT INTO pool(link, master_kme, stored) VALUES(?, ?, ?)"
            " ON CONFLICT DO UPDATE SET stored = stored + excluded.stored",
            link, master_kme, octets,
        )  # fmt: skip

    def _row(self, block_id: str) -> _Row | None:
        sql = "SELECT number, block_id, link, master_kme, length, cursor, sealed, qber, label FROM block"
        row = self._db.row(f"{sql} WHERE block_id = ?", block_id)
        return _Row(*row) if row else None

    def _unused(self, row: _Row) -> Secret:
        return self._db.seal.open(row.sealed or b"", self._block_place(row, row.cursor))

    def _advance(self, row: _Row, to: int) -> None:
        """Forget the bytes of a block below `to`; a block without unused bytes keeps its id only."""
        sealed = None
        if to < row.length:
            with self._unused(row) as unused:
                sealed = self._db.seal.close(unused.view()[to - row.cursor :], self._block_place(row, to))
        self._db.write("UPDATE block SET cursor = ?, sealed = ? WHERE number = ?", to, sealed, row.number)
        self._grow(row.link, row.master_kme, row.cursor - to)

    def _cut(self, piece: Slice) -> tuple[Secret, _Row]:
        """Return the bytes of `piece` and advance its block beyond them; the caller has seen that they are unused."""
        row = self._row(piece.block_id)
        if row is None or row.sealed is None or piece.offset < row.cursor:
            raise StoreFailure("a block changed between the plan and its commit")
        with self._unused(row) as unused:
            at = piece.offset - row.cursor
            cut = Secret(unused.view()[at : at + piece.length])
        self._advance(row, piece.offset + piece.length)
        return cut, row

    def _keys(self, slices: Sequence[Slice], key_ids: Sequence[str]) -> tuple[StoredKey, ...]:
        """Cut `slices` and return them as equal keys with the provenance of all they come from."""
        joined, labels, qber = bytearray(), set[str](), 0.0
        for piece in slices:
            cut, row = self._cut(piece)
            with cut:
                joined += cut.view()
            labels.add(row.label)
            qber = max(qber, row.qber)
        provenance = {"keystrand_labels": sorted(labels), "keystrand_qber_max": qber}
        with Secret(joined) as whole:
            joined[:] = bytes(len(joined))
            pieces = whole.split(len(whole) // len(key_ids))
        return tuple(StoredKey(key_id=i, key=k, provenance=provenance) for i, k in zip(key_ids, pieces, strict=True))

    # The master's side

    def plan(self, order: KeyOrder, kme_id: str) -> tuple[Slice, ...]:
        """Return the slices for `order` without touching them. Raises `PoolTooSmall` and `InvalidInput`."""
        sql = (
            "SELECT block_id, cursor, length, label FROM block"
            " WHERE link = ? AND master_kme = ? AND sealed IS NOT NULL ORDER BY number"
        )
        with self._db.transaction(), self._db.walk(sql, order.link.id, kme_id) as rows:
            live = (LiveBlock(block_id=i, cursor=c, length=n, label=label) for i, c, n, label in rows)
            return service.allocate(live, order)

    def deliver(self, message: Assign, now: float, by: Peer) -> tuple[StoredKey, ...]:
        """Mark the keys that the peer has assigned as delivered to their master, and return them.

        Raises `PeerUnavailable`, and destroys their bytes, where the peer has meanwhile used one of their IDs itself.
        """
        keys: tuple[StoredKey, ...] = ()
        with self._db.transaction():
            clash = sorted(self._key_rows(message.key_ids))
            if clash:
                self._burn(message.slices, f"the other end used the key ID {clash[0]} itself", now, by)
            else:
                keys = self._keys(message.slices, message.key_ids)
                self._remember(message, keys, "delivered", now)
                self._db.audit(
                    now, by, "enc_keys", link=message.link, slave_sae=message.slave_sae, size=message.size,
                    key_ids=list(message.key_ids),
                )  # fmt: skip
        if clash:
            raise PeerUnavailable("the other KME used the IDs of these keys for others")
        return keys

    def burn(self, slices: Sequence[Slice], why: str, now: float, by: Peer, *, whole_blocks: bool = False) -> None:
        """Destroy the bytes of `slices`, or all that is left of their blocks."""
        with self._db.transaction():
            self._burn(slices, why, now, by, whole_blocks=whole_blocks)

    def _burn(self, slices: Sequence[Slice], why: str, now: float, by: Peer, *, whole_blocks: bool = False) -> None:
        for piece in slices:
            row = self._row(piece.block_id)
            if row and row.sealed:
                self._advance(row, row.length if whole_blocks else max(row.cursor, piece.offset + piece.length))
        self._db.audit(now, by, "burn", why=why, blocks=[piece.block_id for piece in slices])

    # The slave's side

    def assign(self, message: Assign, now: float, by: Peer, *, wait_s: float) -> AssignAnswer:
        """Make the keys that the master KME planned ready for their slave SAE, all or none.

        The answer names the blocks that this end does not hold, or of which it has used those bytes. Raises
        `InvalidInput` where a key ID was used before.
        """
        self._expire(now, wait_s, by)
        with self._db.transaction():
            if self._key_rows(message.key_ids):
                raise bad_request("a key ID was used before", "key_ids")
            if unusable := self._unusable(message, by.identity.id):
                return AssignAnswer(unusable=unusable)
            passed = self._forget_older(message)
            keys = self._keys(message.slices, message.key_ids)
            self._remember(message, keys, "waiting", now)
            self._db.audit(
                now, by, "assign", link=message.link, master_sae=message.master_sae, slave_sae=message.slave_sae,
                size=message.size, key_ids=list(message.key_ids), destroyed_blocks=passed,
            )  # fmt: skip
        for key in keys:
            key.key.zeroise()
        return AssignAnswer()

    def _unusable(self, message: Assign, master_kme: str) -> tuple[str, ...]:
        reached: dict[str, int] = {}
        unusable: dict[str, None] = {}
        for piece in message.slices:
            row = self._row(piece.block_id)
            end = piece.offset + piece.length
            held = row and row.sealed and (row.link, row.master_kme) == (message.link, master_kme)
            if not row or not held or end > row.length or piece.offset < reached.get(row.block_id, row.cursor):
                unusable[piece.block_id] = None
            else:
                reached[row.block_id] = end
        return tuple(unusable)

    def _forget_older(self, message: Assign) -> list[str]:
        """Destroy blocks that came before the first one used, and return them: the master is past them, or never had
        them.
        """
        first = self._row(message.slices[0].block_id)
        if first is None:
            return []
        sql = "SELECT block_id FROM block WHERE link = ? AND master_kme = ? AND sealed IS NOT NULL AND number < ?"
        passed = [block_id for (block_id,) in self._db.rows(sql, first.link, first.master_kme, first.number)]
        for block_id in passed:
            if row := self._row(block_id):
                self._advance(row, row.length)
        return passed

    def take(
        self, key_ids: Sequence[str], master_sae: str, now: float, by: Peer, *, wait_s: float
    ) -> tuple[StoredKey, ...]:
        """Hand waiting keys to their slave SAE, the caller, once. Raises as `service.judge_take` does."""
        slave_sae = by.identity.id
        self._expire(now, wait_s, by)
        with self._db.transaction():
            service.judge_take(self._key_rows(key_ids), key_ids, master_sae, slave_sae)
            keys = tuple(self._take_one(key_id, master_sae, slave_sae, now) for key_id in key_ids)
            self._db.audit(now, by, "dec_keys", master_sae=master_sae, key_ids=list(key_ids))
        return keys

    def _take_one(self, key_id: str, master_sae: str, slave_sae: str, now: float) -> StoredKey:
        sealed, told = self._db.row("SELECT sealed, provenance FROM key WHERE key_id = ?", key_id)
        key = self._db.seal.open(sealed, self._key_place(key_id, master_sae, slave_sae, told))
        sql = "UPDATE key SET state = 'delivered', sealed = NULL, since = ? WHERE key_id = ?"
        self._db.write(sql, now, key_id)
        return StoredKey(key_id=key_id, key=key, provenance=json.loads(told))

    # Keys

    def _key_place(self, key_id: str, master_sae: str, slave_sae: str, provenance: str) -> bytes:
        return bound(STORE_KEY, self._db.id, key_id, master_sae, slave_sae, provenance)

    def _key_rows(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        sql = "SELECT master_sae, slave_sae, state = 'waiting' FROM key WHERE key_id = ?"
        found = ((key_id, self._db.row(sql, key_id)) for key_id in key_ids)
        return {i: KeyRow(master_sae=row[0], slave_sae=row[1], waiting=bool(row[2])) for i, row in found if row}

    def _remember(self, message: Assign, keys: Sequence[StoredKey], state: str, now: float) -> None:
        for key in keys:
            told = json.dumps(key.provenance)
            place = self._key_place(key.key_id, message.master_sae, message.slave_sae, told)
            sealed = self._db.seal.close(key.key.view(), place) if state == "waiting" else None
            row = (key.key_id, message.master_sae, message.slave_sae, state, sealed, told, now)
            self._db.write("INSERT INTO key VALUES(?, ?, ?, ?, ?, ?, ?)", *row)

    def _expire(self, now: float, wait_s: float, by: Peer) -> None:
        """Destroy keys that no slave has fetched for `wait_s`: nothing waits for ever. A request of `by` found them."""
        sql = "UPDATE key SET state = 'destroyed', sealed = NULL WHERE state = 'waiting' AND since < ? RETURNING key_id"
        with self._db.transaction():
            key_ids = sorted(key_id for (key_id,) in self._db.rows(sql, now - wait_s))
            if key_ids:
                self._db.audit(now, by, "expire", why="no slave fetched them in time", key_ids=key_ids)
