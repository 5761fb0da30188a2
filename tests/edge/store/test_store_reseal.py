"""What was delivered cannot be read an epoch later: not in the store as it is, and in no older copy of it."""

from typing import Any

import pytest
from tests.edge.store.place import (
    MASTER_KEY,
    Clock,
    Place,
    PostgresPlace,
    add,
    add_ready,
    asked,
    block,
    holding,
    in_loop,
    opened,
    pool_of,
    take,
)
from tests.edge.store.place import write as write_holdings

from keystrand.crypto.labels import STORE_BLOCK, STORE_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import FileKeyring, Sealer
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, Pool
from keystrand.keys.allocation import Demand, Piece
from keystrand.keys.lifecycle import KeyEvent
from keystrand.model.errors import StoreFailure

_BLOCKS = "SELECT b.block_id, b.epoch, s.sealed, b.label, b.qber FROM block b JOIN block_seal s USING (block_id)"
_KEYS = "SELECT order_id, sae, partner, told, epoch, sealed FROM holding WHERE sealed IS NOT NULL"
_SWEEPS = 50


class Copy:
    """A copy of all that a store has sealed."""

    def __init__(self, store_id: str, blocks: list[tuple[Any, ...]], keys: list[tuple[Any, ...]]) -> None:
        self._id = store_id
        self._rows = [
            (epoch, sealed, bound(STORE_BLOCK, store_id, name, label, repr(qber + 0.0)))
            for name, epoch, sealed, label, qber in blocks
        ] + [(epoch, sealed, bound(STORE_KEY, store_id, *places)) for *places, epoch, sealed in keys]

    def opened(self, place: Place) -> bytes:
        """Return all that opens with the keyring as it is now, one after the other."""
        sealer, found = Sealer(FileKeyring(place.keyring_file, Secret(MASTER_KEY), self._id)), b""
        for row in self._rows:
            try:
                found += sealer.open(*row).reveal() + b" | "
            except StoreFailure as error:
                assert "was destroyed" in error.message  # noqa: PT017  # others open
        return found


async def copy_of(place: Place, store: KeyStore) -> Copy:
    """Copy what the store has sealed."""
    return Copy(store.id, await place.look(_BLOCKS), await place.look(_KEYS))


async def use(store: KeyStore, pool: Pool, *pieces: Piece) -> None:
    """Use bytes."""

    async def use_them(tx: Transaction) -> None:
        await store.pools.use(tx, pool, pieces)

    await store.committer.do(use_them)


async def turn(store: KeyStore) -> int:
    """Begin an epoch and sweep until there is nothing left to do; return how many sweeps that took."""
    await store.next_epoch()
    for count in range(1, _SWEEPS):
        if not (await store.sweep()).more:
            return count
    raise AssertionError("the sweep finds no end")


@in_loop
async def test_a_delivered_key_is_unreadable_after_the_turn(place: Place, clock: Clock) -> None:
    """Neither the live store nor an older copy of it opens it with the keyring; what was not used stays usable."""
    async with opened(place, clock) as store:
        one, other = block(), block()
        no = await add_ready(store, one)
        await add_ready(store, other)
        pool, before = await pool_of(store, one), await copy_of(place, store)
        bits, rest = one.key_bits.reveal(), other.key_bits.reveal()[CONFIRMATION_OCTETS:]
        key = bits[32:64]
        await store.pools.content(await store.reader(), one.block_id)
        await use(store, pool, Piece(no, 32, 32))
        await store.sweep()
        # so far its epoch goes on
        assert key in before.opened(place)
        assert key in (await copy_of(place, store)).opened(place)
        await turn(store)
        live = (await copy_of(place, store)).opened(place)
        assert key not in live
        assert bits[:32] not in live  # nor what confirmed it
        assert bits[64:] in live
        assert rest in live
        assert before.opened(place) == b""
        content = await store.pools.content(await store.reader(), one.block_id)
        assert content.reveal() == bytes(64) + bits[64:]
    async with opened(place, clock) as store:
        content = await store.pools.content(await store.reader(), one.block_id)
        assert content.reveal() == bytes(64) + bits[64:]
        await use(store, pool, Piece(no, 64, 32))
        lanes = await store.pools.owned(await store.reader(), pool, store.writer)
        assert lanes == []
        assert await store.pools.stored_octets(await store.reader(), pool) == 256 - 96 + 256 - 32


@in_loop
async def test_a_block_that_is_used_up_takes_its_epoch_along(place: Place, clock: Clock) -> None:
    """An older copy of it is worthless though other blocks of its epoch live on."""
    async with opened(place, clock) as store:
        one, other = block(), block()
        no = await add_ready(store, one)
        await add_ready(store, other)
        before = await copy_of(place, store)
        await store.next_epoch()
        await use(store, await pool_of(store, one), Piece(no, 32, 224))
        assert one.key_bits.reveal() in before.opened(place)
        # the epoch is over already: no turn is needed
        for _ in range(2):
            await store.sweep()
        assert before.opened(place) == b""
        assert other.key_bits.reveal()[CONFIRMATION_OCTETS:] in (await copy_of(place, store)).opened(place)


@in_loop
async def test_what_ends_otherwise_takes_its_epoch_along_too(place: Place, clock: Clock) -> None:
    """A key that is revoked, and a block that is destroyed."""
    async with opened(place, clock) as store:
        gone, kept = holding(), holding()
        await write_holdings(store, gone, kept)
        before = await copy_of(place, store)
        await store.committer.do(lambda tx: store.holdings.happen(tx, gone.order_id, KeyEvent.REVOKE))
        await turn(store)
        assert before.opened(place) == b""
        assert kept.keys
        assert (await take(store, asked(kept)))[0] == [kept.keys.reveal()[:32], kept.keys.reveal()[32:]]
        clock.now += 10.0  # then that answer cannot be repeated any more
        one, other = block(), block()
        await add(store, one)
        await add(store, other)
        before = await copy_of(place, store)
        await store.committer.do(lambda tx: store.pools.destroy(tx, [one.block_id]))
        await turn(store)
        assert other.key_bits.reveal() not in before.opened(place)
        assert other.key_bits.reveal()[CONFIRMATION_OCTETS:] in (await copy_of(place, store)).opened(place)


@in_loop
async def test_of_an_order_only_what_waits_stays(place: Place, clock: Clock) -> None:
    """Keys fetched one by one go with the turn, as soon as their answers cannot be repeated any more."""
    async with opened(place, clock, replay_s=10.0) as store:
        keys = bytes([1]) * 32 + bytes([2]) * 32 + bytes([3]) * 32
        one = holding(number=3, keys=keys, until=clock.now + 500)
        await write_holdings(store, one)
        before = await copy_of(place, store)
        assert (await take(store, asked(one, 1)))[0] == [keys[32:64]]
        await turn(store)
        assert keys in before.opened(place)
        assert await take(store, asked(one, 1)) == ([keys[32:64]], True)
        clock.now += 10.0
        await store.sweep()
        assert before.opened(place) == b""
        live = (await copy_of(place, store)).opened(place)
        assert keys[32:64] not in live
        assert keys[:32] + bytes(32) + keys[64:] in live
        assert await take(store, asked(one, 0, 2)) == ([keys[:32], keys[64:]], False)
        await turn(store)
        clock.now += 10.0
        await turn(store)
        assert (await copy_of(place, store)).opened(place) == b""


@in_loop
async def test_an_epoch_of_which_nothing_was_used_stays(place: Place, clock: Clock) -> None:
    """Its blocks are not sealed anew: an idle store writes nothing but its epochs."""
    async with opened(place, clock) as store:
        await add_ready(store, block())
        await write_holdings(store, holding(until=clock.now + 500))
        first, rows = store.epoch, await place.look(_BLOCKS)
        for _ in range(3):
            await turn(store)
        assert await place.look(_BLOCKS) == rows
        assert [no for (no,) in await place.look("SELECT no FROM epoch ORDER BY no")] == [first, store.epoch]


@in_loop
async def test_a_turn_goes_on_until_nothing_is_left(place: Place, clock: Clock) -> None:
    """A few at a time: others come in between."""
    async with opened(place, clock) as store:
        blocks = [block(64) for _ in range(40)]
        numbers = [await add_ready(store, one) for one in blocks]
        keys = [holding(until=clock.now + 500) for _ in range(70)]
        await write_holdings(store, *keys)
        before = await copy_of(place, store)
        await use(store, await pool_of(store, blocks[0]), Piece(numbers[0], 32, 16))
        assert await turn(store) == 3
        assert before.opened(place) == b""
        assert {epoch for _, epoch, *_ in await place.look(_BLOCKS)} == {store.epoch}
        # and no more than once
        again = await place.look(_BLOCKS)
        await turn(store)
        assert await place.look(_BLOCKS) == again


@in_loop
async def test_a_block_that_is_not_confirmed_keeps_what_confirms_it(place: Place, clock: Clock) -> None:
    """It moves on whole."""
    async with opened(place, clock) as store:
        used, fresh = block(), block()
        no = await add_ready(store, used)
        await add(store, fresh)
        await use(store, await pool_of(store, used), Piece(no, 32, 8))
        await turn(store)
        assert await store.pools.content(await store.reader(), fresh.block_id) == fresh.key_bits


@in_loop
async def test_used_bytes_are_cleared_from_memory(place: Place, clock: Clock) -> None:
    """At once, and what follows stays in its place."""
    async with opened(place, clock) as store:
        one = block()
        no, bits = await add_ready(store, one), one.key_bits.reveal()
        content = await store.pools.content(await store.reader(), one.block_id)
        assert content.reveal() == bytes(32) + bits[32:]  # what confirmed it is used, too
        await use(store, await pool_of(store, one), Piece(no, CONFIRMATION_OCTETS, 32))
        assert content.reveal() == bytes(64) + bits[64:]


@in_loop
async def test_bytes_used_in_the_batch_of_the_turn(place: Place, clock: Clock) -> None:
    """Where a block moves on in the batch that uses it, what was used is left out at the next turn."""
    async with opened(place, clock) as store:
        one = block()
        no, bits = await add_ready(store, one), one.key_bits.reveal()
        pool = await pool_of(store, one)
        await use(store, pool, Piece(no, 32, 8))
        await store.next_epoch()

        async def use_and_move(tx: Transaction) -> int:
            await store.pools.use(tx, pool, [Piece(no, 40, 24)])
            return await store.pools.reseal(tx, store.epoch, at_most=5)

        assert await store.committer.do(use_and_move) == 1
        before = await copy_of(place, store)
        assert bits[40:64] in before.opened(place)
        await turn(store)
        assert before.opened(place) == b""
        assert bits[40:64] not in (await copy_of(place, store)).opened(place)


@in_loop
async def test_a_block_that_was_altered_is_destroyed(place: Place, clock: Clock) -> None:
    """It does not move, and keeps no other from it: what opens it is not made again. The audit says so."""
    async with opened(place, clock) as store:
        one, other = block(), block()
        no = await add_ready(store, one)
        await add_ready(store, other)
        await use(store, await pool_of(store, one), Piece(no, 32, 8))
        await store.next_epoch()
        await place.look(f"UPDATE block SET label = 'classical' WHERE block_id = '{other.block_id}'")  # noqa: S608  # ours
        await store.sweep()
        assert await (await store.reader()).rows("SELECT block_id, epoch FROM block") == [(one.block_id, store.epoch)]
    assert place.actions().count("block_damaged") == 1


@pytest.mark.system
@in_loop
async def test_another_process_moves_a_block(shared: PostgresPlace, clock: Clock) -> None:
    """Whoever read its row before finds it under the later epoch, and forgets what was used."""
    async with opened(shared, clock, "one") as one, opened(shared, clock, "two") as two:
        new = block()
        no, bits = await add_ready(one, new), new.key_bits.reveal()
        pool = await pool_of(one, new)
        kept = await two.pools.content(await two.reader(), new.block_id)
        await use(one, pool, Piece(no, 32, 32))
        assert kept.reveal() == bytes(32) + bits[32:]
        await two.look_around()
        assert kept.reveal() == bytes(64) + bits[64:]
        two.pools.forget(new.block_id)
        session, old = await two.reader(), one.epoch
        stale = await two.pools._sealed(session, new.block_id)
        await turn(one)
        two._sealer.forget(old)
        rows = [stale]

        async def stale_first(*_: object) -> tuple[int, bytes, bytes, int]:
            return rows.pop() if rows else await type(two.pools)._sealed(two.pools, session, new.block_id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(two.pools, "_sealed", stale_first)
            content = await two.pools.content(session, new.block_id)
        assert content.reveal() == bytes(64) + bits[64:]
        lanes = await two.committer.do(
            lambda tx: two.pools.own(tx, pool, two.writer, Demand(), octets=1, at_most=9)
        )  # fmt: skip
        assert [lane.cursor for lane in lanes] == [64]
