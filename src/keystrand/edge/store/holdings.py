"""Holdings in the store: what each SAE of this KME holds of each order of keys, as its master or as a slave.

A slave's holding has its key material sealed until it is fetched, or as long as a lost answer may be repeated.
A holding that has ended stays as a tombstone for the retention time, so that its key IDs cannot come again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from keystrand.crypto.labels import STORE_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import Sealer
from keystrand.edge.store.session import Session
from keystrand.formats import etsi014
from keystrand.keys.contract import INDEX_DIGITS, key_ids_of
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent, step
from keystrand.model.errors import InvalidInput, PolicyDenied, Problem
from keystrand.model.key import KeyState

_COLUMNS = "order_id, sae, role, partner, kme, link, size, count, state, taken, epoch, told, since, until"


class Holding(NamedTuple):
    """A holding's row, without its key material. `partner`: the SAE at the other end; `kme`: the KME there."""

    order_id: str
    sae: str
    role: str
    partner: str
    kme: str
    link: str
    size: int
    number: int
    state: str
    taken: bytes
    epoch: int | None
    told: str
    since: float
    until: float

    @property
    def kmes(self) -> tuple[str, ...]:
        """The other KMEs that hold the same keys, or held them."""
        return (self.kme, *msgspec.json.decode(self.told).get("hops", ()))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The IDs of its keys, in their order."""
        return key_ids_of(self.order_id, self.number)


class NewHolding(NamedTuple):
    """A holding to be written. `keys`: the material of all its keys, joined, for a slave; None for a master."""

    order_id: str
    sae: str
    role: str
    partner: str
    kme: str
    link: str
    size: int
    number: int
    keys: Secret | None
    told: str
    until: float


class Taken(NamedTuple):
    """One key that is handed out."""

    key_id: str
    key: memoryview
    told: str


class Request(Struct, frozen=True, kw_only=True):
    """A Get key with key IDs: by whom, for which keys of which master. `digest` tells an exact repetition.

    `repeatable` is false where the caller still has the connection that carried the first answer: it was not lost.
    """

    slave_sae: str
    master_sae: str
    key_ids: tuple[str, ...]
    digest: bytes
    repeatable: bool = True

    @property
    def first_order(self) -> str:
        """The order of the first key asked for."""
        return self.key_ids[0][:-INDEX_DIGITS]


class Limits(Struct, frozen=True, kw_only=True):
    """Times in seconds: how long an answer may be repeated, and how long what has ended is remembered."""

    replay_s: float
    retention_s: float


class Holdings:
    """The holdings of one store."""

    def __init__(self, sealer: Sealer, store_id: str, limits: Limits) -> None:
        self._sealer, self._store_id, self._limits = sealer, store_id, limits
        self._replay_s = limits.replay_s

    def _place(self, order_id: str, sae: str, partner: str, told: str) -> bytes:
        return bound(STORE_KEY, self._store_id, order_id, sae, partner, told)

    def repeat_for(self, replay_s: float) -> None:
        """Repeat lost answers for so long from now on; those given before are repeated no longer than that either."""
        self._replay_s = replay_s

    # Orders that begin

    async def known(self, tx: Transaction, order_id: str) -> bool:
        """Return whether the order's ID was used before."""
        return await tx.row("SELECT 1 FROM holding WHERE order_id = ? LIMIT 1", order_id) is not None

    async def of_order(self, tx: Transaction, order_id: str) -> tuple[Holding, ...]:
        """Return what the SAEs of this KME hold of an order."""
        sql = f"SELECT {_COLUMNS} FROM holding WHERE order_id = ? AND role <> 'void'"  # noqa: S608  # a constant
        return tuple(Holding(*row) for row in await tx.rows(sql, order_id))

    async def write(self, tx: Transaction, holdings: Sequence[NewHolding], epoch: int) -> None:
        """Write new holdings: a slave's wait to be fetched, a master's is delivered with this commit."""
        rows = []
        for one in holdings:
            state, sealed = step(KeyState.PRE_ACTIVATION, KeyEvent.ASSIGN), None
            if one.keys is None:
                state = step(state, KeyEvent.DELIVER)
            else:
                place = self._place(one.order_id, one.sae, one.partner, one.told)
                sealed = self._sealer.seal(epoch, one.keys.view(), place)
            rows.append((
                one.order_id, one.sae, one.role, one.partner, one.kme, one.link, one.size, one.number, state.value,
                bytes(-(-one.number // 8)), sealed, epoch if sealed else None, one.told, tx.now, one.until,
            ))  # fmt: skip
        sql = f"INSERT INTO holding(order_id, sae, role, partner, kme, link, size, count, state, taken, sealed, epoch, told, since, until) VALUES({', '.join('?' * 15)})"  # noqa: E501  # constants
        await tx.run_many(sql, rows)

    # Keys that are fetched

    async def take(self, tx: Transaction, request: Request) -> tuple[tuple[Taken, ...], bool]:
        """Return the keys of `request`, all or none, and whether this repeats an earlier answer.

        Raises `PolicyDenied` where one ID was never meant for the caller (ETSI GS QKD 014, 5.4), and `InvalidInput`
        where one is unknown, gone, or of another master.
        """
        found = await self._found(tx, request)
        absent = [
            key_id
            for key_id in request.key_ids
            if not _waiting(found.get(key_id[:-INDEX_DIGITS]), key_id, request, tx.now)
        ]
        if not absent:
            return await self._hand_out(tx, request, found), False
        if await self._may_repeat(tx, request, found.values()):
            return await self._material(tx, request, found), True
        problems = tuple(Problem(message=key_id, field="key_ID") for key_id in absent)
        raise InvalidInput(etsi014.KEYS_NOT_FOUND, problems=problems)

    async def _found(self, tx: Transaction, request: Request) -> dict[str, Holding]:
        """Return the caller's holdings by order. Raises `PolicyDenied` where an order is others'."""
        found: dict[str, Holding] = {}
        for order_id in dict.fromkeys(key_id[:-INDEX_DIGITS] for key_id in request.key_ids):
            held = await self.of_order(tx, order_id)
            own = next((one for one in held if one.sae == request.slave_sae and one.role == "slave"), None)
            if own:
                found[order_id] = own
            elif any(_is_key_of(one, key_id) for one in held for key_id in request.key_ids):
                raise PolicyDenied("a key ID was not supplied for the calling SAE")
        return found

    async def _hand_out(self, tx: Transaction, request: Request, found: Mapping[str, Holding]) -> tuple[Taken, ...]:
        keys = await self._material(tx, request, found)
        replay_until = tx.now + self._replay_s
        if self._replay_s:
            sql = "INSERT INTO replay VALUES(?, ?, ?) ON CONFLICT DO NOTHING"
            await tx.run(sql, request.first_order, request.digest, replay_until)
        for order_id, one in found.items():
            taken = bytearray(one.taken)
            for key_id in request.key_ids:
                if key_id[:-INDEX_DIGITS] == order_id:
                    at = _index(key_id)
                    taken[at // 8] |= 1 << at % 8
            await self._mark(tx, one, bytes(taken), replay_until)
        return keys

    async def _mark(self, tx: Transaction, one: Holding, taken: bytes, replay_until: float) -> None:
        """Write which keys of a holding are gone; with the last it ends, and its material when no answer needs it."""
        _spend(tx, one)
        if sum(octet.bit_count() for octet in taken) < one.number:
            # never sooner than before: under another policy an earlier answer may have longer
            later = "CASE WHEN again < ? THEN ? ELSE again END"
            sql = f"UPDATE holding SET taken = ?, again = {later} WHERE order_id = ? AND sae = ?"  # noqa: S608  # constants
            await tx.run(sql, taken, replay_until, replay_until, one.order_id, one.sae)
            return
        state = step(KeyState(one.state), KeyEvent.DELIVER)
        if self._replay_s:
            sql = "UPDATE holding SET taken = ?, state = ?, until = ? WHERE order_id = ? AND sae = ?"
            await tx.run(sql, taken, state.value, replay_until, one.order_id, one.sae)
        else:
            state = step(state, KeyEvent.EXPIRE)
            sql = "UPDATE holding SET taken = ?, state = ?, sealed = NULL, until = ? WHERE order_id = ? AND sae = ?"
            await tx.run(sql, taken, state.value, tx.now + self._limits.retention_s, one.order_id, one.sae)

    async def _may_repeat(self, tx: Transaction, request: Request, held: Iterable[Holding]) -> bool:
        if not self._replay_s or not request.repeatable:
            return False
        # of an order that is suspended some keys may have been handed out; none is while it is
        if any(one.state == KeyState.SUSPENDED.value for one in held):
            return False
        row = await tx.row(
            "SELECT until FROM replay WHERE order_id = ? AND digest = ?", request.first_order, request.digest
        )
        return row is not None and bool(tx.now < row[0] <= tx.now + self._replay_s)

    async def _material(self, tx: Transaction, request: Request, found: Mapping[str, Holding]) -> tuple[Taken, ...]:
        """Return the keys asked for, in that order. Raises `InvalidInput` where the material of one is gone."""
        opened: dict[str, tuple[memoryview, bytes]] = {}
        for order_id, one in found.items():
            sql = "SELECT sealed, cleared FROM holding WHERE order_id = ? AND sae = ?"
            row = await tx.row(sql, order_id, one.sae)
            if not row or row[0] is None or one.epoch is None:
                raise InvalidInput(etsi014.KEYS_NOT_FOUND)
            place = self._place(order_id, one.sae, one.partner, one.told)
            opened[order_id] = self._sealer.open(one.epoch, row[0], place).view(), row[1] or b""
        keys = []
        for key_id in request.key_ids:
            held = found.get(key_id[:-INDEX_DIGITS])
            if held is None:
                raise InvalidInput(etsi014.KEYS_NOT_FOUND)
            at, octets = _index(key_id), held.size // 8
            content, cleared = opened[held.order_id]
            if cleared and _has(cleared, at):
                raise InvalidInput(etsi014.KEYS_NOT_FOUND)
            keys.append(Taken(key_id, content[at * octets : (at + 1) * octets], held.told))
        return tuple(keys)

    # Orders that end otherwise

    async def happen(
        self, tx: Transaction, order_id: str, event: KeyEvent, *, sae: str = "", by: str = ""
    ) -> tuple[Holding, ...]:  # fmt: skip
        """Let `event` happen to all holdings of an order, or to that of one SAE; return those it changed.

        What the event cannot happen to stays as it is. The material goes where the new state has none. `by`: the other
        KME that says so; it resumes what it has suspended itself, and nothing else.
        """
        changed = []
        for one in await self.of_order(tx, order_id):
            if sae not in ("", one.sae) or (event is KeyEvent.RESUME and not await self._may_resume(tx, one, by)):
                continue
            state = LIFECYCLE.after(KeyState(one.state), event)
            if state.value != one.state:
                await self._become(tx, one, state)
                changed.append(one._replace(state=state.value))
            if event is KeyEvent.SUSPEND and state is KeyState.SUSPENDED and (not by or state.value != one.state):
                sql = "UPDATE holding SET suspended_by = ? WHERE order_id = ? AND sae = ?"
                await tx.run(sql, by, one.order_id, one.sae)
        return tuple(changed)

    async def _may_resume(self, tx: Transaction, one: Holding, by: str) -> bool:
        sql = "SELECT 1 FROM holding WHERE order_id = ? AND sae = ? AND suspended_by = ?"
        return not by or await tx.row(sql, one.order_id, one.sae, by) is not None

    async def void_some(self, tx: Transaction, kme: str, *, at_most: int) -> tuple[str, ...]:
        """Void what is held of orders of `kme` and was not delivered, up to `at_most`; return each one's order."""
        state = step(KeyState.ACTIVE, KeyEvent.VOID)
        # by the index of what is sealed: what has ended is far more
        due = (
            "SELECT order_id, sae FROM holding WHERE kme = ? AND sealed IS NOT NULL AND epoch >= 0"
            " AND state IN (?, ?) LIMIT ?"
        )
        sql = (
            f"UPDATE holding SET state = ?, sealed = NULL, until = ? WHERE (order_id, sae) IN ({due})"  # noqa: S608  # constants
            " RETURNING order_id, epoch"
        )
        until, waiting = tx.now + self._limits.retention_s, (KeyState.ACTIVE.value, KeyState.SUSPENDED.value)
        rows = await tx.rows(sql, state.value, until, kme, *waiting, at_most)
        tx.writes += bool(rows)
        tx.spent.update(epoch for _, epoch in rows)
        return tuple(order_id for order_id, _ in rows)

    async def _become(self, tx: Transaction, one: Holding, state: KeyState) -> None:
        if state in (KeyState.ACTIVE, KeyState.SUSPENDED):
            sql = "UPDATE holding SET state = ? WHERE order_id = ? AND sae = ?"
            await tx.run(sql, state.value, one.order_id, one.sae)
        else:
            _spend(tx, one)
            sql = "UPDATE holding SET state = ?, sealed = NULL, until = ? WHERE order_id = ? AND sae = ?"
            await tx.run(sql, state.value, tx.now + self._limits.retention_s, one.order_id, one.sae)

    async def refuse_for_ever(self, tx: Transaction, order_id: str, kme: str, link: str) -> None:
        """Remember that an order of `kme` is void before it has come: it cannot come any more."""
        state = step(KeyState.PRE_ACTIVATION, KeyEvent.VOID).value
        until = tx.now + self._limits.retention_s
        await tx.run(
            "INSERT INTO holding(order_id, sae, role, partner, kme, link, size, count, state, taken, told, since,"
            " until) VALUES(?, '', 'void', '', ?, ?, 0, 0, ?, ?, '{}', ?, ?) ON CONFLICT DO NOTHING",
            order_id, kme, link, state, b"", tx.now, until,
        )  # fmt: skip

    # Epochs that end

    async def reseal(self, tx: Transaction, epoch: int, *, at_most: int) -> int:
        """Seal keys that wait in closed epochs of which something was used under `epoch` instead; return how many rows.

        Keys that were fetched are left out: zeros stand in their place, and the row says so. Where their answer may
        still be repeated the row stays for now, as one does of which all keys were fetched: that loses its material
        soon.
        """
        sql = (
            "SELECT order_id, sae, partner, told, epoch, sealed, taken, size FROM holding WHERE sealed IS NOT NULL"
            " AND epoch IN (SELECT no FROM epoch WHERE closed = 1 AND spent = 1) AND state IN (?, ?) AND again <= ?"
            " LIMIT ?"
        )
        waiting = KeyState.ACTIVE.value, KeyState.SUSPENDED.value
        moved = []
        for order_id, sae, partner, told, old, sealed, taken, size in await tx.rows(sql, *waiting, tx.now, at_most):
            place, octets = self._place(order_id, sae, partner, told), size // 8
            with self._sealer.open(old, sealed, place) as keys:
                left = bytearray(keys.view())
            for at in (at for at in range(len(left) // octets) if _has(taken, at)):
                left[at * octets : (at + 1) * octets] = bytes(octets)
            moved.append((self._sealer.seal(epoch, left, place), epoch, taken, order_id, sae))
            left[:] = bytes(len(left))
        await tx.run_many("UPDATE holding SET sealed = ?, epoch = ?, cleared = ? WHERE order_id = ? AND sae = ?", moved)
        return len(moved)

    # Looking

    async def listed(
        self, session: Session, *, sae: str = "", state: str = "", after: tuple[str, str] = ("", ""), at_most: int = 100
    ) -> tuple[Holding, ...]:
        """Return holdings in the order of their IDs, beyond `after`, of one SAE and state where those are given."""
        sql = (
            f"SELECT {_COLUMNS} FROM holding WHERE (order_id > ? OR (order_id = ? AND sae > ?))"  # noqa: S608  # a constant
            " AND (? = '' OR sae = ?) AND (? = '' OR state = ?) AND role <> 'void' ORDER BY order_id, sae LIMIT ?"
        )
        rows = await session.rows(sql, after[0], after[0], after[1], sae, sae, state, state, at_most)
        return tuple(Holding(*row) for row in rows)

    async def counts(self, session: Session) -> dict[tuple[str, str], int]:
        """Return how many holdings there are by role and state."""
        rows = await session.rows("SELECT role, state, count(*) FROM holding GROUP BY role, state")
        return {(role, state): count for role, state, count in rows}


def _spend(tx: Transaction, one: Holding) -> None:
    """Remember that something was used of what the holding's epoch sealed."""
    if one.epoch is not None:
        tx.spent.add(one.epoch)


def _index(key_id: str) -> int:
    return int(key_id[-INDEX_DIGITS:], 16)


def _is_key_of(one: Holding, key_id: str) -> bool:
    return key_id[:-INDEX_DIGITS] == one.order_id and _index(key_id) < one.number


def _waiting(one: Holding | None, key_id: str, request: Request, now: float) -> bool:
    """Return whether a key can be handed out to the caller at `now`."""
    if one is None or one.partner != request.master_sae or one.state != KeyState.ACTIVE.value or one.until <= now:
        return False
    at = _index(key_id)
    return at < one.number and not _has(one.taken, at)


def _has(keys: bytes, at: int) -> bool:
    """Return whether `keys`, a bit for each, has the key at the place `at`."""
    return bool(keys[at // 8] >> at % 8 & 1)
