"""What was cleared, on the disk or in memory, never leaves as a key and enters none: zeros are no key."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.edge.store.place import (
    Clock,
    Place,
    SqlitePlace,
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

from keystrand.edge.kme.links import Stock
from keystrand.edge.store.committer import OperationFailed, Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import BlockGone
from keystrand.keys.allocation import Demand, Piece, PoolTooSmall
from keystrand.model.errors import InvalidInput

STRICT_S, OPERATIONAL_S = 0.0, 10.0
KEYS = b"".join(bytes([at]) * 32 for at in (1, 2, 3))


async def turn(store: KeyStore) -> None:
    """Begin an epoch and sweep until there is nothing left to do."""
    await store.next_epoch()
    while (await store.sweep()).more:
        pass


# Keys that were fetched


@in_loop
async def test_a_policy_that_is_put_back_repeats_the_key_itself(place: Place, clock: Clock) -> None:
    """Between an answer and its repetition the policy was strict for a moment, and an epoch ended."""
    async with opened(place, clock) as store:
        one = holding(number=3, keys=KEYS, until=clock.now + 500)
        await write_holdings(store, one)
        await take(store, asked(one, 0))
        store.holdings.repeat_for(STRICT_S)
        await take(store, asked(one, 1))
        await turn(store)
        store.holdings.repeat_for(OPERATIONAL_S)
        clock.now += 9
        assert await take(store, asked(one, 0)) == ([KEYS[:32]], True)
        with pytest.raises(InvalidInput):
            await take(store, asked(one, 1))


@in_loop
async def test_a_key_that_was_cleared_is_refused(place: Place, clock: Clock) -> None:
    """Whatever the deadlines say: here a clock that goes back, with an answer that ought to be forgotten."""
    async with opened(place, clock) as store:
        one = holding(number=3, keys=KEYS, until=clock.now + 500)
        await write_holdings(store, one)
        await take(store, asked(one, 0))
        await place.look("UPDATE holding SET again = 0")
        await turn(store)
        with pytest.raises(InvalidInput):
            await take(store, asked(one, 0))
        assert await take(store, asked(one, 1)) == ([KEYS[32:64]], False)
        assert await take(store, asked(one, 1)) == ([KEYS[32:64]], True)
        assert await take(store, asked(one, 2)) == ([KEYS[64:]], False)


async def _follow(steps: Sequence[tuple[str, int]], folder: Path) -> None:
    clock = Clock()
    async with opened(SqlitePlace(folder), clock) as store:
        one = holding(number=3, keys=KEYS, until=clock.now + 500)
        await write_holdings(store, one)
        for what, value in steps:
            if what == "take":
                places = [at for at in range(3) if value >> at & 1]
                try:
                    got, _ = await take(store, asked(one, *places))
                except InvalidInput:
                    continue
                assert got == [KEYS[32 * at : 32 * at + 32] for at in places]
            elif what == "turn":
                await turn(store)
            elif what == "policy":
                store.holdings.repeat_for(OPERATIONAL_S if value else STRICT_S)
            else:
                clock.now += value


STEP = st.one_of(
    st.tuples(st.just("take"), st.integers(1, 7)),
    st.tuples(st.just("policy"), st.integers(0, 1)),
    st.tuples(st.just("pass"), st.sampled_from((-10, -1, 1, 9, 10))),
    st.tuples(st.just("turn"), st.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=25))
@example([("take", 1), ("policy", 0), ("take", 2), ("turn", 0), ("policy", 1), ("take", 1)])
@example([("take", 1), ("pass", 10), ("turn", 0), ("pass", -10), ("take", 1)])
def test_no_answer_ever_holds_anything_but_the_key(steps: list[tuple[str, int]]) -> None:
    """Fetched and asked for again in any order, under any policy, by any clock, over any end of an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_follow(steps, Path(folder)))


# Bytes of blocks that were used


@pytest.mark.parametrize("after", ["use", "turn", "opening"])
@in_loop
async def test_no_key_is_cut_from_bytes_that_were_cleared(place: Place, clock: Clock, after: str) -> None:
    """A process that took them for unused, against all that is true, is given none; nor is one that assigns them."""
    async with opened(place, clock) as store:
        new = block()
        no, bits = await add_ready(store, new), new.key_bits.reveal()
        pool, stock = await pool_of(store, new), Stock(store, new.link, new.source, new.master)
        ((lane, _),), content = await stock.take(32, Demand(), at_most=1)
        assert content.reveal() == bits[32:64]

        async def use(tx: Transaction) -> None:
            await store.pools.use(tx, pool, [Piece(no, 32, 32)])

        await store.committer.do(use)
        if after == "turn":
            await turn(store)
        if after != "use":
            store.pools.forget(new.block_id)
        for offset in (32, 63):
            with pytest.raises(BlockGone):
                await store.pools.piece(await store.reader(), new.block_id, Piece(no, offset, 8))
        assert await store.pools.piece(await store.reader(), new.block_id, Piece(no, 64, 8)) == bits[64:72]
        lane.cursor = 48
        with pytest.raises(PoolTooSmall):
            await stock.take(32, Demand(), at_most=1)


@in_loop
async def test_a_block_whose_source_is_gone_is_not_stored(place: Place, clock: Clock) -> None:
    """Its bytes are cleared before they are sealed: the operation fails, writes nothing, and all others go on."""
    async with opened(place, clock) as store:
        gone, new = block(), block()
        gone.key_bits.zeroise()
        with pytest.raises(OperationFailed):
            await add(store, gone)
        assert not await place.look("SELECT 1 FROM block_seen")
        assert await add(store, new)
