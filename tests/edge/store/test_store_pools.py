"""Pools: a block comes once, is used after both ends know it is the same, and each of its bytes is used once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.edge.store.place import (
    Clock,
    Place,
    add,
    add_ready,
    block,
    in_loop,
    number_of,
    opened,
    pool_of,
)

from keystrand.edge.store import pools
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, LEAST_BLOCK_OCTETS, Pool
from keystrand.keys.allocation import Demand, Lane, Piece
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.model.key import SourceKind, Strength


async def use(store: KeyStore, pool: Pool, *pieces: Piece) -> None:
    """Use bytes."""

    async def use_them(tx: Transaction) -> None:
        await store.pools.use(tx, pool, pieces)

    await store.committer.do(use_them)


async def own(store: KeyStore, pool: Pool, *, at_most: int = 10) -> list[Lane]:
    """Take blocks over."""
    owned: list[Lane] = []
    while len(owned) < at_most and (more := await own_octets(store, pool, 1)):
        owned += more
    return owned


async def own_octets(
    store: KeyStore, pool: Pool, octets: int, demand: Demand | None = None, *, at_most: int = 99
) -> list[Lane]:  # fmt: skip
    """Take blocks over that give so many bytes."""
    wanted = demand or Demand()
    return await store.committer.do(
        lambda tx: store.pools.own(tx, pool, store.writer, wanted, octets=octets, at_most=at_most)
    )


async def cursor_of(store: KeyStore, block_id: str) -> int | None:
    """Return how far a block is used, None where it is gone."""
    row = await (await store.reader()).row("SELECT cursor FROM block WHERE block_id = ?", block_id)
    return int(row[0]) if row else None


@in_loop
async def test_a_block_comes_once(place: Place, clock: Clock) -> None:
    """The same ID again, also with other bits, is accepted and dropped; also when the block has been used up."""
    async with opened(place, clock) as store:
        first = block()
        assert await add(store, first)
        assert await add(store, block(512, block_id=first.block_id))
        session = await store.reader()
        assert await session.rows("SELECT block_id, length FROM block") == [(first.block_id, 256)]
        assert await store.pools.content(session, first.block_id) == first.key_bits
        no = await number_of(store, first.block_id)
        await store.committer.do(lambda tx: store.pools.make_ready(tx, first.block_id, no))
        await use(store, await pool_of(store, first), Piece(no, CONFIRMATION_OCTETS, 256 - CONFIRMATION_OCTETS))
        assert await add(store, first)
        assert await session.rows("SELECT block_id FROM block") == []


@in_loop
async def test_a_full_pool_takes_no_more(place: Place, clock: Clock) -> None:
    """What would go beyond the limit is refused, and may come again later; other pools have their own limits."""
    async with opened(place, clock) as store:
        first, second = block(), block()
        assert await add(store, first, limit=700)
        assert await add(store, second, limit=700)
        third = block()
        assert not await add(store, third, limit=700)
        assert await add(store, block(link="other"), limit=700)
        assert await add(store, block(master="kme-b"), is_master=False, limit=700)
        await store.committer.do(lambda tx: store.pools.destroy(tx, [first.block_id]))
        assert await add(store, third, limit=700)


@in_loop
async def test_a_block_is_longer_than_what_confirms_it(place: Place, clock: Clock) -> None:
    """One that has no bytes besides is refused, and nothing else happens to the store."""
    async with opened(place, clock) as store:
        with pytest.raises(InvalidInput, match="64 bytes or more"):
            await add(store, block(LEAST_BLOCK_OCTETS - 1))
        assert await add(store, block(LEAST_BLOCK_OCTETS))


@in_loop
async def test_the_master_numbers_blocks(place: Place, clock: Clock) -> None:
    """Numbers go up within a pool, whatever is destroyed meanwhile; the other end has none before it is told."""
    async with opened(place, clock) as store:
        blocks = [block() for _ in range(3)]
        for one in blocks:
            await add(store, one)
        assert [await number_of(store, one.block_id) for one in blocks] == [1, 2, 3]
        await store.committer.do(lambda tx: store.pools.destroy(tx, [one.block_id for one in blocks]))
        later, other = block(), block(source=SourceKind.PQC, label=Strength.POST_QUANTUM)
        await add(store, later)
        await add(store, other)
        assert await number_of(store, later.block_id) == 4
        assert await number_of(store, other.block_id) == 1
        here = block(master="kme-b")
        await add(store, here, is_master=False)
        session = await store.reader()
        assert await session.row("SELECT no FROM block WHERE block_id = ?", here.block_id) == (None,)
        found = await store.pools.waiting(session, here.block_id, "corridor", SourceKind.QKD, "kme-b")
        assert found == (here.block_id, 256, False, None, here.label)
        await store.committer.do(lambda tx: store.pools.make_ready(tx, here.block_id, 17))
        found = await store.pools.waiting(session, here.block_id, "corridor", SourceKind.QKD, "kme-b")
        assert found == (here.block_id, 256, True, 17, here.label)


@in_loop
async def test_a_block_is_not_used_before_it_is_confirmed(place: Place, clock: Clock) -> None:
    """It is no stock, nobody can own it and its bytes are not there; then its confirmation key stays out of reach."""
    async with opened(place, clock) as store:
        one = block()
        await add(store, one)
        pool = await pool_of(store, one)
        session, no = await store.reader(), await number_of(store, one.block_id)
        assert await store.pools.stored_octets(session, pool) == 0
        assert await store.pools.offered(session, "corridor", "kme-a") == {}
        assert [
            fresh.block_id for fresh in await store.pools.fresh(session, "corridor", "kme-a", after="", at_most=9)
        ] == [one.block_id]
        assert await own(store, pool) == []
        piece = Piece(no, CONFIRMATION_OCTETS, 1)
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, [piece])) == ((no, -1),)
        await store.committer.do(lambda tx: store.pools.make_ready(tx, one.block_id, no))
        assert await store.pools.stored_octets(session, pool) == 256 - CONFIRMATION_OCTETS
        assert await store.pools.offered(session, "corridor", "kme-a") == {SourceKind.QKD: Strength.SIMULATED}
        assert await store.pools.fresh(session, "corridor", "kme-a", after="", at_most=9) == ()
        assert [lane.cursor for lane in await own(store, pool)] == [CONFIRMATION_OCTETS]
        below = Piece(no, 0, CONFIRMATION_OCTETS)
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, [below])) == (
            (no, CONFIRMATION_OCTETS),
        )


@in_loop
async def test_a_number_belongs_to_one_block_of_a_pool(place: Place, clock: Clock) -> None:
    """The other end learns that a number is taken before it stores it twice."""
    async with opened(place, clock) as store:
        one, two = block(master="kme-b"), block(master="kme-b")
        for each in (one, two):
            await add(store, each, is_master=False)
        await store.committer.do(lambda tx: store.pools.make_ready(tx, one.block_id, 1))
        assert await store.committer.do(lambda tx: store.pools.numbered(tx, two.block_id, 1))
        assert not await store.committer.do(lambda tx: store.pools.numbered(tx, one.block_id, 1))
        assert not await store.committer.do(lambda tx: store.pools.numbered(tx, two.block_id, 2))


@in_loop
async def test_blocks_are_owned_once_in_their_order(place: Place, clock: Clock) -> None:
    """What is owned is not free any more, and a process that starts again has what it owned, as far as it was used."""
    async with opened(place, clock) as store:
        blocks = [block() for _ in range(5)]
        numbers = [await add_ready(store, one) for one in blocks]
        pool = await pool_of(store, blocks[0])
        assert [lane.no for lane in await own(store, pool, at_most=2)] == numbers[:2]
        assert [lane.no for lane in await own(store, pool, at_most=9)] == numbers[2:]
        assert await own(store, pool) == []
        await use(store, pool, Piece(numbers[0], 32, 10))
    async with opened(place, clock) as store:
        lanes = await store.pools.owned(await store.reader(), pool, store.writer)
        assert [(lane.no, lane.cursor) for lane in lanes] == [(no, 42 if no == 1 else 32) for no in numbers]


@in_loop
async def test_cursors_only_go_forward(place: Place, clock: Clock) -> None:
    """Bytes that were used are refused in the same batch and in any later one, also after a restart."""
    async with opened(place, clock) as store:
        one = block()
        no = await add_ready(store, one)
        pool = await pool_of(store, one)

        async def twice(tx: Transaction) -> tuple[tuple[int, int], ...]:
            await store.pools.use(tx, pool, [Piece(no, 32, 8), Piece(no, 40, 8)])
            assert await store.pools.unusable(tx, pool, [Piece(no, 48, 8)]) == ()
            return await store.pools.unusable(tx, pool, [Piece(no, 47, 8)])

        assert await store.committer.do(twice) == ((no, 48),)
        assert await cursor_of(store, one.block_id) == 48
    async with opened(place, clock) as store:
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, [Piece(no, 40, 8)])) == ((no, 48),)
        overlapping = [Piece(no, 48, 8), Piece(no, 50, 8)]
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, overlapping)) == ((no, 48),)
        with pytest.raises(StoreFailure, match="used before"):
            await use(store, pool, Piece(no, 40, 8))
    async with opened(place, clock) as store:
        assert await cursor_of(store, one.block_id) == 48


@in_loop
async def test_what_is_burned_is_never_used(place: Place, clock: Clock) -> None:
    """Burning goes forward where it must, and nowhere else; a gap left in between is lost too."""
    async with opened(place, clock) as store:
        one = block()
        no = await add_ready(store, one)
        pool = await pool_of(store, one)

        async def burn(tx: Transaction) -> None:
            await store.pools.burn(tx, pool, [Piece(no, 64, 16), Piece(no, 40, 8), Piece(99, 0, 8)])

        await store.committer.do(burn)
        assert await cursor_of(store, one.block_id) == 80
        await store.committer.do(burn)
        assert await cursor_of(store, one.block_id) == 80
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, [Piece(no, 32, 8)])) == ((no, 80),)
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, [Piece(no, 80, 8)])) == ()


@in_loop
async def test_a_block_that_is_used_up_is_destroyed(place: Place, clock: Clock) -> None:
    """Row, sealed bytes and the bytes in memory are gone with its last byte."""
    async with opened(place, clock) as store:
        one = block()
        no = await add_ready(store, one)
        pool, session = await pool_of(store, one), await store.reader()
        content = await store.pools.content(session, one.block_id)
        await use(store, pool, Piece(no, 32, 100), Piece(no, 132, 124))
        assert await cursor_of(store, one.block_id) is None
        assert await session.rows("SELECT block_id FROM block_seal") == []
        with pytest.raises(ValueError, match="cleared"):
            content.view()
        with pytest.raises(StoreFailure, match="not in the store"):
            await store.pools.content(session, one.block_id)
        beyond = [Piece(no, 32, 8)]
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, beyond)) == ((no, -1),)


@in_loop
async def test_bytes_beyond_a_block_are_not_there(place: Place, clock: Clock) -> None:
    """A piece that ends behind its block's end, or of a pool nobody knows, names a block unknown."""
    async with opened(place, clock) as store:
        one = block()
        no = await add_ready(store, one)
        pool = await pool_of(store, one)
        beyond = [Piece(no, 250, 7)]
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, pool, beyond)) == ((no, -1),)
        assert await store.committer.do(lambda tx: store.pools.unusable(tx, None, beyond)) == ((no, -1),)
        with pytest.raises(StoreFailure, match="used before"):
            await use(store, pool, *beyond)


@in_loop
async def test_key_bits_are_sealed_and_bound_to_their_row(place: Place, clock: Clock) -> None:
    """The database has none of them in the clear, and a block whose label or place was changed opens no more."""
    async with opened(place, clock) as store:
        one, two = block(), block()
        for each in (one, two):
            await add_ready(store, each)
    rows = await place.look("SELECT sealed FROM block_seal")
    assert all(one.key_bits.reveal() not in row[0] and two.key_bits.reveal() not in row[0] for row in rows)
    await place.look(f"UPDATE block SET label = 'information-theoretic' WHERE block_id = '{one.block_id}'")  # noqa: S608  # ours
    async with opened(place, clock) as store:
        session = await store.reader()
        with pytest.raises(StoreFailure, match="does not open"):
            await store.pools.content(session, one.block_id)
        content = await store.pools.content(session, two.block_id)
        assert content.reveal()[CONFIRMATION_OCTETS:] == two.key_bits.reveal()[CONFIRMATION_OCTETS:]


@in_loop
async def test_what_is_in_stock_decides_what_is_offered(place: Place, clock: Clock) -> None:
    """Each source is offered by the label of the block that came last."""
    async with opened(place, clock) as store:
        await add_ready(store, block(label=Strength.SIMULATED))
        await add_ready(store, block(source=SourceKind.PQC, label=Strength.POST_QUANTUM))
        await add_ready(store, block(label=Strength.INFORMATION_THEORETIC))
        await add_ready(store, block(master="kme-b", source=SourceKind.CLASSICAL, label=Strength.CLASSICAL))
        session = await store.reader()
        assert await store.pools.offered(session, "corridor", "kme-a") == {
            SourceKind.QKD: Strength.INFORMATION_THEORETIC,
            SourceKind.PQC: Strength.POST_QUANTUM,
        }
        assert await session.rows("SELECT master FROM pool ORDER BY id") == [("kme-a",), ("kme-a",), ("kme-b",)]


@in_loop
async def test_an_id_belongs_to_its_link(place: Place, clock: Clock) -> None:
    """A block of another link with the same ID is another block: neither hides the other, in any step of its life."""
    async with opened(place, clock) as store:
        one = block()
        other = block(link="other", block_id=one.block_id)
        assert await add(store, one)
        assert await add(store, other)
        session = await store.reader()
        for each in (one, other):
            (fresh,) = await store.pools.fresh(session, each.link, "kme-a", after="", at_most=9)
            assert fresh.block_id == one.block_id
            assert await store.pools.content(session, fresh.name) == each.key_bits
            found = await store.pools.waiting(session, one.block_id, each.link, SourceKind.QKD, "kme-a")
            assert found == (fresh.name, 256, False, 1, each.label)
            await store.committer.do(lambda tx: store.pools.make_ready(tx, fresh.name, 1))  # noqa: B023  # done before the next one
            assert await store.pools.stored_octets(session, await pool_of(store, each)) == 224
            pool = await pool_of(store, each)
            await use(store, pool, Piece(1, 32, 224))
            assert await store.pools.held_octets(session, pool) == 0
        # both stay known until their time is over
        clock.now += 999.0
        await store.sweep()
        assert await add(store, one)
        assert await add(store, other)
        assert await session.rows("SELECT block_id FROM block") == []
        clock.now += 1.0
        await store.sweep()
        assert await session.rows("SELECT block_id FROM block_seen") == []


@in_loop
async def test_a_pool_holds_so_many_blocks(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short they are, and each counts with the bytes that confirm it."""
    monkeypatch.setattr(pools, "MOST_BLOCKS", 3)
    async with opened(place, clock) as store:
        blocks = [block(LEAST_BLOCK_OCTETS) for _ in range(4)]
        assert [await add(store, one) for one in blocks] == [True, True, True, False]
        pool = await pool_of(store, blocks[0])
        assert await store.pools.held_octets(await store.reader(), pool) == 3 * LEAST_BLOCK_OCTETS
        await store.committer.do(lambda tx: store.pools.destroy(tx, [blocks[0].block_id]))
        assert await add(store, blocks[3])


@in_loop
async def test_what_is_used_and_destroyed_in_one_batch_counts_once(place: Place, clock: Clock) -> None:
    """The pool's sums are those of its blocks, and a block that is gone is not used any more."""
    async with opened(place, clock) as store:
        one, other = block(), block()
        no = await add_ready(store, one)
        await add_ready(store, other)
        pool = await pool_of(store, one)

        async def use_and_destroy(tx: Transaction) -> tuple[tuple[int, int], ...]:
            await store.pools.use(tx, pool, [Piece(no, 32, 8)])
            await store.pools.destroy(tx, [one.block_id, one.block_id])
            return await store.pools.unusable(tx, pool, [Piece(no, 40, 8)])

        assert await store.committer.do(use_and_destroy) == ((no, -1),)
        session = await store.reader()
        assert await store.pools.stored_octets(session, pool) == 224
        assert await store.pools.held_octets(session, pool) == 256
        assert await session.rows("SELECT blocks FROM pool") == [(1,)]


@in_loop
async def test_a_destruction_that_is_undone_loses_no_cursor(place: Place, clock: Clock) -> None:
    """What another operation of the batch used of the block stays used."""
    async with opened(place, clock) as store:
        one = block()
        no = await add_ready(store, one)
        pool = await pool_of(store, one)

        async def destroy_and_fail(tx: Transaction) -> None:
            await store.pools.destroy(tx, [one.block_id])
            raise InvalidInput("no")

        using, undone = (
            asyncio.ensure_future(use(store, pool, Piece(no, 32, 8))),
            asyncio.ensure_future(undo(store, destroy_and_fail)),
        )
        assert [type(each) for each in await asyncio.gather(using, undone, return_exceptions=True)] == [
            type(None),
            InvalidInput,
        ]
        assert await cursor_of(store, one.block_id) == 40
        assert await store.pools.stored_octets(await store.reader(), pool) == 216


async def undo(store: KeyStore, operation: Callable[[Transaction], Awaitable[None]]) -> None:
    """Run an operation that may be undone."""
    await store.committer.do_undoable(operation)
