"""The sweep: nothing waits for ever, nothing is kept for ever, and what has ended cannot be read from any copy."""

import asyncio

import pytest
from tests.edge.store.place import (
    Clock,
    Place,
    add,
    add_ready,
    asked,
    block,
    holding,
    in_loop,
    new_order_id,
    opened,
    take,
    write,
)

from keystrand.crypto.secret import Secret
from keystrand.edge.store.keyring import FileKeyring
from keystrand.edge.store.keystore import KeyStore
from keystrand.model.errors import InvalidInput, StoreFailure


async def states(store: KeyStore) -> dict[str, tuple[str, bool]]:
    """Return state and whether there is material of each order."""
    rows = await (await store.reader()).rows("SELECT order_id, state, sealed FROM holding")
    return {order_id: (state, sealed is not None) for order_id, state, sealed in rows}


@in_loop
async def test_a_key_that_nobody_fetched_is_destroyed_and_audited(place: Place, clock: Clock) -> None:
    """At its deadline, not before; its ID stays known for the retention time, and then it is forgotten."""
    async with opened(place, clock, retention_s=100.0) as store:
        one = holding(until=clock.now + 60)
        await write(store, one)
        clock.now += 59.9
        assert (await store.sweep()).expired == ()
        clock.now += 0.1
        assert (await store.sweep()).expired == (one.order_id,)
        assert await states(store) == {one.order_id: ("destroyed", False)}
        with pytest.raises(InvalidInput):
            await take(store, asked(one))
        clock.now += 99.9
        await store.sweep()
        assert await store.committer.do(lambda tx: store.holdings.known(tx, one.order_id))
        clock.now += 0.1
        await store.sweep()
        assert await states(store) == {}
    assert place.actions().count("expire") == 1


@in_loop
async def test_what_was_fetched_is_shredded_after_its_window(place: Place, clock: Clock) -> None:
    """The material goes with the replay window, the entry that allowed repetition too; the ID stays a while longer."""
    async with opened(place, clock, replay_s=10.0, retention_s=100.0) as store:
        one = holding()
        await write(store, one)
        await take(store, asked(one))
        clock.now += 9.0
        await store.sweep()
        assert await states(store) == {one.order_id: ("deactivated", True)}
        clock.now += 1.0
        await store.sweep()
        assert await states(store) == {one.order_id: ("destroyed", False)}
        assert await (await store.reader()).rows("SELECT digest FROM replay") == []
        clock.now += 100.0
        await store.sweep()
        assert await states(store) == {}


@in_loop
async def test_a_master_s_record_goes_after_its_time(place: Place, clock: Clock) -> None:
    """So does that of an order that was void before it came, and one that was revoked."""
    async with opened(place, clock, retention_s=100.0) as store:
        await write(store, holding(role="master", until=clock.now + 100))
        await store.committer.do(lambda tx: store.holdings.refuse_for_ever(tx, new_order_id(), "kme-a", "corridor"))
        clock.now += 99.0
        await store.sweep()
        assert len(await states(store)) == 2
        clock.now += 1.0
        await store.sweep()
        assert await states(store) == {}


@in_loop
async def test_old_blocks_are_destroyed(place: Place, clock: Clock) -> None:
    """One that nobody confirms at its first deadline, one that nobody uses at its second; they stay known till then."""
    async with opened(place, clock) as store:
        fresh, ready = block(now=clock.now), block(now=clock.now)
        await add(store, fresh)
        await add_ready(store, ready)
        clock.now += 100.0
        assert (await store.sweep()).old_blocks == (fresh.block_id,)
        assert await add(store, fresh)
        session = await store.reader()
        assert await session.rows("SELECT block_id FROM block") == [(ready.block_id,)]
        clock.now += 900.0
        assert (await store.sweep()).old_blocks == (ready.block_id,)
        assert await session.rows("SELECT block_id FROM block") == []
        assert await session.rows("SELECT block_id FROM block_seal") == []
    assert place.actions().count("destroy_blocks") == 2


@in_loop
async def test_a_sweep_with_nothing_to_do_changes_nothing(place: Place, clock: Clock) -> None:
    """No commit, and no audit."""
    async with opened(place, clock) as store:
        await write(store, holding())
        before = store.committer.generation
        swept = await store.sweep()
        assert (swept.expired, swept.old_blocks, swept.ended_epochs, swept.more) == ((), (), (), False)
        assert store.committer.generation == before


@in_loop
async def test_the_data_key_goes_with_the_last_of_its_epoch(place: Place, clock: Clock) -> None:
    """As long as anything is sealed under it the key stays, also after its epoch is over; then it is destroyed."""
    async with opened(place, clock, replay_s=0.0) as store:
        ring = FileKeyring(place.keyring_file, Secret(bytes(range(32))), store.id)
        first, one, blk = store.epoch, holding(until=clock.now + 500), block(now=clock.now)
        await write(store, one)
        await add(store, blk)
        await store.next_epoch()
        assert store.epoch == first + 1
        assert (await store.sweep()).ended_epochs == ()
        assert first in ring.epochs()
        await take(store, asked(one))
        await store.committer.do(lambda tx: store.pools.destroy(tx, [blk.block_id]))
        assert (await store.sweep()).ended_epochs == (first,)
        assert ring.epochs() == (store.epoch,)
    assert place.actions().count("destroy_epochs") == 1


@in_loop
async def test_a_number_of_an_epoch_never_comes_twice(place: Place, clock: Clock) -> None:
    """Whatever has ended, and after any number of restarts."""
    seen = list[int]()
    for _ in range(3):
        async with opened(place, clock) as store:
            seen.append(store.epoch)
            await store.next_epoch()
            seen.append(store.epoch)
            await store.sweep()
    assert seen == sorted(set(seen))


@in_loop
async def test_what_is_sealed_while_the_epoch_turns_stays_readable(place: Place, clock: Clock) -> None:
    """An operation in the batch of the turn, or right behind it, seals under a key that is not destroyed before it."""
    async with opened(place, clock) as store:
        for _ in range(20):
            one = holding(until=clock.now + 60)
            turn, sweeping = asyncio.create_task(store.next_epoch()), asyncio.create_task(store.sweep())
            await asyncio.sleep(0)  # both are in line now, and the old epoch is empty
            await asyncio.gather(turn, sweeping, write(store, one))
            assert len((await take(store, asked(one)))[0]) == 2
            clock.now += 11.0
            await store.sweep()


@in_loop
async def test_old_backups_become_useless(place: Place, clock: Clock) -> None:
    """A copy of the database made while keys were live opens nothing once they have ended: their data key is gone."""
    async with opened(place, clock, replay_s=0.0) as store:
        one, blk = holding(keys=bytes(64)), block(now=clock.now)
        await write(store, one)
        await add(store, blk)
        await place.copy()
        store_id, epoch = store.id, store.epoch
        await take(store, asked(one))
        await store.committer.do(lambda tx: store.pools.destroy(tx, [blk.block_id]))
        await store.next_epoch()
        await store.sweep()
    await place.put_back()
    rows = await place.look("SELECT sealed, epoch FROM holding WHERE sealed IS NOT NULL")
    assert [row[1] for row in rows] == [epoch]
    ring = FileKeyring(place.keyring_file, Secret(bytes(range(32))), store_id)
    with pytest.raises(StoreFailure, match="destroyed"):
        ring.open(epoch)
    with pytest.raises(StoreFailure, match="the store is older"):
        async with opened(place, clock):
            pass
