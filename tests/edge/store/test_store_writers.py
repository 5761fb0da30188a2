"""Several processes write one store: they take turns, none cuts another's blocks, and one that is lost is replaced."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.store.place import (
    Clock,
    PostgresPlace,
    add,
    add_ready,
    asked,
    block,
    holding,
    in_loop,
    number_of,
    opened,
    pool_of,
    take,
    write,
)

from keystrand.crypto.secret import Secret
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.fencing import Head, Watch
from keystrand.edge.store.holdings import NewHolding, Request
from keystrand.edge.store.keyring import FileKeyring
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import Pool
from keystrand.keys.allocation import Demand, Lane, Piece
from keystrand.model.errors import InvalidInput, StoreFailure

_LOOKS = 200


@contextlib.asynccontextmanager
async def both(place: PostgresPlace, clock: Clock) -> AsyncIterator[tuple[KeyStore, KeyStore]]:
    """Open the store for two writers."""
    async with opened(place, clock, "one") as one, opened(place, clock, "two") as two:
        yield one, two


def own(store: KeyStore, pool: Pool, at_most: int) -> "asyncio.Future[list[int]]":
    """Take blocks over and return their numbers."""

    async def own_them(tx: Transaction) -> list[int]:
        owned: list[Lane] = []
        while len(owned) < at_most:
            more = await store.pools.own(tx, pool, store.writer, Demand(), octets=1, at_most=at_most)
            if not more:
                break
            owned += more
        return [lane.no for lane in owned]

    return store.committer.do(own_them)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look until something is so, for a while."""
    for _ in range(_LOOKS):
        if await look():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.mark.system
@in_loop
async def test_both_write_at_once_and_neither_fails(shared: PostgresPlace, clock: Clock) -> None:
    """Pools, numbers, epochs and pairs of the same name made at the same moment by both are one, or distinct."""
    async with both(shared, clock) as (one, two):
        blocks = [block(link=f"link-{n % 4}") for n in range(80)]
        twice = [add(store, each) for each in blocks for store in (one, two)]
        turns = [store.next_epoch() for store in (one, two) for _ in range(5)]
        done, _ = await asyncio.gather(asyncio.gather(*twice), asyncio.gather(*turns))
        assert all(done)
        rows = await shared.look("SELECT p.link, b.no FROM block b JOIN pool p ON p.id = b.pool ORDER BY 1, 2")
        assert rows == [(f"link-{link}", no) for link in range(4) for no in range(1, 21)]
        epochs = await shared.look("SELECT no, closed FROM epoch ORDER BY no")
        assert len({no for no, _ in epochs}) == 12
        assert [no for no, closed in epochs if not closed] == sorted((one.epoch, two.epoch))


@pytest.mark.system
@in_loop
async def test_a_key_is_given_once_by_either(shared: PostgresPlace, clock: Clock) -> None:
    """Both are asked for the same keys many times at the same moment, by different requests: each key is given once."""
    async with both(shared, clock) as (one, two):
        holdings = [holding() for _ in range(20)]
        await write(one, *holdings[:10])
        await write(two, *holdings[10:])
        requests = [
            (store, Request(slave_sae="sae-b", master_sae="sae-a", key_ids=asked(each).key_ids, digest=bytes([n])))
            for each in holdings
            for n, store in enumerate((one, two) * 4)
        ]
        outcomes = await asyncio.gather(*(take(*request) for request in requests), return_exceptions=True)
        given_keys = [key for outcome in outcomes if isinstance(outcome, tuple) for key in outcome[0]]
        assert len(given_keys) == len(set(given_keys)) == 40
        assert all(isinstance(outcome, (tuple, InvalidInput)) for outcome in outcomes)


@pytest.mark.system
@in_loop
async def test_an_answer_is_repeated_by_either(shared: PostgresPlace, clock: Clock) -> None:
    """A client that lost the answer of one process may ask the other."""
    async with both(shared, clock) as (one, two):
        held = holding()
        await write(one, held)
        first = await take(one, asked(held))
        assert await take(two, asked(held)) == (first[0], True)


@pytest.mark.system
@in_loop
async def test_an_order_that_one_heard_is_void_does_not_come_to_the_other(shared: PostgresPlace, clock: Clock) -> None:
    """Of a void notice and its order, at two processes at the same moment, the later finds the earlier."""
    async with both(shared, clock) as (one, two):
        for _ in range(20):
            held = holding()

            async def assign(tx: Transaction, held: NewHolding = held) -> bool:
                if await one.holdings.known(tx, held.order_id):
                    return False
                await one.holdings.write(tx, [held], one.epoch)
                return True

            async def void(tx: Transaction, order_id: str = held.order_id) -> bool:
                if await two.holdings.known(tx, order_id):
                    return False
                await two.holdings.refuse_for_ever(tx, order_id, "kme-a", "corridor")
                return True

            assert sorted(await asyncio.gather(one.committer.do(assign), two.committer.do(void))) == [False, True]


@pytest.mark.system
@in_loop
async def test_no_block_has_two_owners(shared: PostgresPlace, clock: Clock) -> None:
    """However both reach for them, each block goes to one, and nobody starves the other of what is left."""
    async with both(shared, clock) as (one, two):
        blocks = [block() for _ in range(30)]
        for each in blocks:
            await add_ready(one, each)
        pool = await pool_of(one, blocks[0])
        owned = await asyncio.gather(*(own(store, pool, 2) for _ in range(10) for store in (one, two)))
        assert Counter(no for numbers in owned for no in numbers) == dict.fromkeys(range(1, 31), 1)
        for store in (one, two):
            lanes = await store.pools.owned(await store.reader(), pool, store.writer)
            assert lanes


@pytest.mark.system
@in_loop
async def test_a_slave_s_cursor_is_one_for_both(shared: PostgresPlace, clock: Clock) -> None:
    """The same bytes asked of both at once are used by one; the other tells how far the block is used."""
    async with both(shared, clock) as (one, two):
        blk = block(octets=4096)
        no = await add_ready(one, blk)
        pool = await pool_of(one, blk)

        def use(store: KeyStore, piece: Piece) -> "asyncio.Future[bool]":
            async def use_it(tx: Transaction) -> bool:
                if await store.pools.unusable(tx, pool, [piece]):
                    return False
                await store.pools.use(tx, pool, [piece])
                return True

            return store.committer.do(use_it)

        for at in range(32, 4096, 64):
            piece = Piece(no, at, min(64, 4096 - at))
            assert sorted(await asyncio.gather(use(one, piece), use(two, piece))) == [False, True]
        assert await shared.look("SELECT block_id FROM block") == []


@pytest.mark.system
@in_loop
async def test_a_name_belongs_to_one_process(shared: PostgresPlace, clock: Clock) -> None:
    """As long as one writes by a name no other can; the first goes on."""
    async with opened(shared, clock, "one") as one:
        with pytest.raises(StoreFailure, match="another process writes to this store as one") as caught:
            async with opened(shared, clock, "one"):
                pass
        assert "writer" in caught.value.hint
        await write(one, holding())


@pytest.mark.system
@in_loop
async def test_a_process_that_is_gone_is_replaced_at_once(shared: PostgresPlace, clock: Clock) -> None:
    """Its connection ends with it: what it owned is free at the next look, which is audited once."""
    async with opened(shared, clock, "one") as one:
        two_open = opened(shared, clock, "two")
        two = await two_open.__aenter__()
        blocks = [block() for _ in range(4)]
        for each in blocks:
            await add_ready(two, each)
        pool = await pool_of(two, blocks[0])
        assert await own(two, pool, 9) == [1, 2, 3, 4]
        assert await own(one, pool, 9) == []
        assert await one.look_around() == ()
        await two_open.__aexit__(None, None, None)
        assert await one.look_around() == ("two",)
        assert await one.look_around() == ()
        assert await own(one, pool, 9) == [1, 2, 3, 4]
        assert await shared.look("SELECT closed FROM epoch WHERE writer = 'two'") == [(1,)]
        async with opened(shared, clock, "two") as two:
            await write(two, holding())
            assert await one.look_around() == ()
            assert await two.look_around() == ()
    assert shared.actions("one").count("take_over") == 1


@pytest.mark.system
@in_loop
async def test_a_process_that_is_silent_is_fenced_off(shared: PostgresPlace, clock: Clock) -> None:
    """One that lives but does nothing for the lease loses what it held, and can commit nothing when it wakes up."""
    shared.lease_s = 1.5
    async with opened(shared, clock, "two") as two:
        held, blk = holding(), block()
        await write(two, held)
        await add_ready(two, blk)
        pool = await pool_of(two, blk)
        await own(two, pool, 1)
        for task in two._tasks:
            task.cancel()  # as if it hung
        async with opened(shared, clock, "one") as one:

            async def is_free() -> bool:
                return await own(one, pool, 1) == [1]

            await until(is_free)
            with pytest.raises(StoreFailure, match="taken over"):
                await take(two, asked(held))
            assert two.committer.failed.done()
            assert not (await take(one, asked(held)))[1]
    assert "dec_keys" not in shared.actions("two")
    assert "take_over" in shared.actions("one")


@pytest.mark.system
@in_loop
async def test_writers_that_live_leave_each_other_alone(shared: PostgresPlace, clock: Clock) -> None:
    """Idle or busy, nobody is fenced off who shows that he lives."""
    shared.lease_s = 3.0
    async with both(shared, clock) as (one, two):
        for _ in range(14):
            await write(one, holding())
            await asyncio.sleep(0.25)
        assert not two.committer.failed.done()
        await write(two, holding())
    assert "take_over" not in (*shared.actions("one"), *shared.actions("two"))


@pytest.mark.system
@in_loop
async def test_who_holds_the_turn_and_hangs_loses_it(shared: PostgresPlace, clock: Clock) -> None:
    """A process that stops in the middle of a transaction holds the others up for less than the lease, and is over."""
    shared.lease_s = 2.0
    hung, wake = asyncio.Event(), asyncio.Event()
    async with both(shared, clock) as (one, two):
        held = holding()
        await write(two, held)

        async def hang(tx: Transaction) -> None:
            await two.holdings.take(tx, asked(held))
            hung.set()
            await wake.wait()

        lost = two.committer.do(hang)
        await hung.wait()
        assert not (await take(one, asked(held)))[1]
        wake.set()
        with pytest.raises(StoreFailure):
            await lost
        assert two.committer.failed.done()
        assert not one.committer.failed.done()


@pytest.mark.system
@in_loop
async def test_many_start_at_once(shared: PostgresPlace, clock: Clock) -> None:
    """Five processes that open the store together each have an epoch and a data key of their own, and none is lost."""
    async with opened(shared, clock, "zero"):
        pass
    async with contextlib.AsyncExitStack() as stack:
        stores = await asyncio.gather(
            *(
                stack.enter_async_context(opened(shared, clock, name))
                for name in ("one", "two", "three", "four", "five")
            )
        )
        assert len({store.epoch for store in stores}) == 5
        held = [holding() for _ in stores]
        await asyncio.gather(*(write(store, one) for store, one in zip(stores, held, strict=True)))
        for store, one in zip(stores, reversed(held), strict=True):
            assert len((await take(store, asked(one)))[0]) == 2


@pytest.mark.system
@in_loop
async def test_what_one_destroys_the_other_forgets(shared: PostgresPlace, clock: Clock) -> None:
    """Data keys and blocks that one process destroyed are not left in the memory of the other."""
    async with both(shared, clock) as (one, two):
        held, blk = holding(), block()
        await write(one, held)
        await add(one, blk)
        await two.look_around()
        content = await two.pools.content(await two.reader(), blk.block_id)
        epoch = one.epoch
        assert epoch in two._sealer._ciphers
        await take(two, asked(held))
        await one.committer.do(lambda tx: one.pools.destroy(tx, [blk.block_id]))
        await one.next_epoch()
        clock.now += 11
        assert epoch in (await one.sweep()).ended_epochs
        await two.look_around()
        assert epoch not in two._sealer._ciphers
        with pytest.raises(ValueError, match="cleared"):
            content.view()


@pytest.mark.system
@in_loop
async def test_the_epochs_of_a_lost_process_end_too(shared: PostgresPlace, clock: Clock) -> None:
    """Its data key is destroyed once nothing is sealed under it, one that it left unused at once; numbers go on."""
    async with opened(shared, clock, "two") as two:
        held, last = holding(), two.epoch
        await write(two, held)
    async with opened(shared, clock, "one", replay_s=0.0) as one:
        ring = FileKeyring(shared.keyring_file, Secret(bytes(range(32))), one.id)
        ring.create(one.epoch + 1)
        assert await one.look_around() == ("two",)
        assert ring.epochs() == (last, one.epoch)
        await take(one, asked(held))
        assert (await one.sweep()).ended_epochs == (last,)
        assert ring.epochs() == (one.epoch,)
        before = one.epoch
        await one.next_epoch()
        assert one.epoch == before + 1


@pytest.mark.system
@in_loop
async def test_a_new_block_is_numbered_by_one(shared: PostgresPlace, clock: Clock) -> None:
    """A module that is not answered in time gives its block to the other process too: it is stored once."""
    async with both(shared, clock) as (one, two):
        for _ in range(10):
            blk = block()
            assert all(await asyncio.gather(add(one, blk), add(two, blk)))
            assert await number_of(one, blk.block_id) == await number_of(two, blk.block_id)
        assert await shared.look("SELECT count(*), max(no) FROM block") == [(10, 10)]


HEAD = Head("two", 1, 5)


def test_silence_is_measured_by_one_s_own_clock() -> None:
    """From when a row was first seen as it is; any change begins anew, and the length of the lease is the limit."""
    watch = Watch(5.0)
    assert watch.lost([HEAD], {"two"}, 100.0) == ()
    assert watch.lost([HEAD], {"two"}, 104.9) == ()
    assert watch.lost([HEAD], {"two"}, 105.0) == ("two",)
    for moved in (HEAD._replace(generation=6), HEAD._replace(fence=2)):
        assert watch.lost([moved], {"two"}, 200.0) == ()
        assert watch.lost([moved], {"two"}, 204.9) == ()
        assert watch.lost([moved], {"two"}, 205.0) == ("two",)


def test_who_is_not_connected_is_lost_at_once() -> None:
    """A process has its connection for as long as it lives."""
    watch = Watch(5.0)
    assert watch.lost([HEAD, Head("three", 1, 1)], {"three"}, 0.0) == ("two",)


@given(steps=st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=30))
def test_nobody_is_lost_who_moved_within_the_lease(steps: list[tuple[float, bool]]) -> None:
    """Whatever the times between looks: lost means that for the whole lease, as far as was seen, nothing moved."""
    watch, now, generation, still_since = Watch(5.0), 0.0, 0, 0.0
    watch.lost([HEAD._replace(generation=0)], {"two"}, now)
    for step_s, moved in steps:
        now += step_s
        if moved:
            generation, still_since = generation + 1, now
        lost = watch.lost([HEAD._replace(generation=generation)], {"two"}, now)
        assert bool(lost) == (now - still_since >= 5.0)
