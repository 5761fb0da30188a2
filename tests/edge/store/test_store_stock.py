"""What one process takes over of a pool: no more than a request needs, and nothing for one that cannot be met."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.edge.store.place import Clock, SqlitePlace, add_ready, block, in_loop, opened

from keystrand.edge.kme.links import Stock
from keystrand.edge.store.keystore import KeyStore
from keystrand.keys.allocation import Demand, PoolTooSmall
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key import SourceKind, Strength

_BLOCK = 32 + 8192
_OWNED = "SELECT count(*) FROM block WHERE owner IS NOT NULL"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[KeyStore, Stock]]:
    """Open a store with ten blocks of 8 KiB to use, and ten that are stronger."""
    async with opened(SqlitePlace(folder), Clock()) as store:
        for label in (Strength.SIMULATED, Strength.INFORMATION_THEORETIC):
            for _ in range(10):
                await add_ready(store, block(_BLOCK, label=label))
        yield store, Stock(store, "corridor", SourceKind.QKD, "kme-a")


async def owned(store: KeyStore) -> int:
    """Return how many blocks somebody owns."""
    row = await (await store.reader()).row(_OWNED)
    assert row
    return int(row[0])


@in_loop
async def test_a_request_that_cannot_be_met_takes_nothing_over(tmp_path: Path) -> None:
    """It is told the sum there is of one label, and the blocks stay everybody's."""
    async with running(tmp_path) as (store, stock):
        with pytest.raises(PoolTooSmall) as caught:
            await stock.plan(81_921, Demand(), at_most=100)
        assert caught.value.stored_octets == 81_920
        with pytest.raises(PoolTooSmall) as caught:
            await stock.plan(1, Demand(labels=frozenset(("classical",))), at_most=100)
        assert caught.value.stored_octets == 0
        with pytest.raises(PoolTooSmall):
            await stock.plan(1, Demand(since=Clock().now + 1), at_most=100)
        assert await owned(store) == 0


@in_loop
async def test_a_request_takes_over_what_it_needs(tmp_path: Path) -> None:
    """And a little more, so that not each one costs a commit; only of what it may use."""
    async with running(tmp_path) as (store, stock):
        strong = Demand(labels=frozenset((Strength.INFORMATION_THEORETIC.value,)))
        (only,) = await stock.plan(32, strong, at_most=100)
        assert only.lane.label == Strength.INFORMATION_THEORETIC.value
        assert await owned(store) == 2
        assert len(await stock.plan(40_000, strong, at_most=100)) == 5
        assert await owned(store) == 5
        assert len(await stock.plan(81_920, strong, at_most=100)) == 10
        with pytest.raises(PoolTooSmall):
            await stock.plan(81_921, strong, at_most=100)
        assert await owned(store) == 10


@in_loop
async def test_what_lies_in_too_many_pieces_is_not_taken_over(tmp_path: Path) -> None:
    """A request that would name more blocks than fit its message leaves them alone."""
    async with running(tmp_path) as (store, stock):
        with pytest.raises(NoKeyAvailable, match="too small for so many"):
            await stock.take(40_000, Demand(), at_most=4)
        assert await owned(store) == 0
        cuts, content = await stock.take(40_000, Demand(), at_most=5)
        assert (len(cuts), len(content)) == (5, 40_000)


@in_loop
async def test_the_first_request_after_a_restart_finds_what_was_owned(tmp_path: Path) -> None:
    """The whole pool was this process's own before; nothing is free, and all of it is there."""
    async with running(tmp_path) as (store, stock):
        await stock.plan(81_920, Demand(), at_most=100)
        again = Stock(store, "corridor", SourceKind.QKD, "kme-a")
        first, second = await asyncio.gather(*[again.plan(81_920, Demand(), at_most=100) for _ in range(2)])
        assert len(first) == len(second) == 10


@in_loop
async def test_a_damaged_block_is_destroyed_and_the_next_is_cut(tmp_path: Path) -> None:
    """One that does not open stands in nobody's way."""
    async with running(tmp_path) as (store, stock):
        ((first, _),) = await stock.plan(32, Demand(), at_most=9)
        damage = f"UPDATE block_seal SET sealed = x'00' WHERE block_id = '{first.block_id}'"  # noqa: S608  # ours
        await SqlitePlace(tmp_path).look(damage)
        cuts, _ = await stock.take(32, Demand(), at_most=9)
        assert cuts[0].lane.block_id != first.block_id
        assert not await (await store.reader()).rows("SELECT 1 FROM block WHERE block_id = ?", first.block_id)
    assert SqlitePlace(tmp_path).actions() == ["block_damaged"]
