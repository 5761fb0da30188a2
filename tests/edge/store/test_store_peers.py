"""What the store remembers of other KMEs: how far their stores had come, and what they must still be told."""

import asyncio
from itertools import product

import pytest
from tests.edge.store.place import Clock, Place, in_loop, new_order_id, opened

from keystrand.edge.store import peers
from keystrand.edge.store.keystore import KeyStore
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.witness import Standing, StoreMark, judge


def mark(
    generation: int, *, store: str = "s1", writer: str = "only", start: str = "r1", begun: int | None = None
) -> StoreMark:
    """Return what a peer shows; where nothing else is said, its run has committed nothing yet."""
    begun = generation if begun is None else begun
    return StoreMark(store=store, writer=writer, start=start, begun=begun, generation=generation)


def see(store: KeyStore, shown: StoreMark) -> "asyncio.Future[None]":
    """Remember a mark of KME B."""
    return store.committer.do(lambda tx: peers.witness(tx, "kme-b", shown))


def tell(store: KeyStore, order_id: str, kme: str, event: KeyEvent) -> "asyncio.Future[None]":
    """Have a KME told of an event within a minute."""
    return store.committer.do(lambda tx: peers.tell(tx, order_id, kme, event, tx.now + 60))


async def standing(store: KeyStore, shown: StoreMark, *known: StoreMark, kme: str = "kme-b") -> Standing:
    """Return what a mark of KME B means."""
    return await peers.standing_of(await store.reader(), kme, (shown,), known, all_writers=False)


@pytest.mark.parametrize(("seen", "shown", "same_run"), list(product((0, 5), (0, 4, 5, 6), (True, False))))
def test_a_store_goes_back_only_between_two_runs(seen: int, shown: int, same_run: bool) -> None:  # noqa: FBT001
    """A lower generation of another run is a copy that was put back; of the same run it is a message overtaken."""
    judged = judge(mark(seen), mark(shown, start="r1" if same_run else "r2"), (mark(seen),))
    assert judged is (Standing.ROLLED_BACK if shown < seen and not same_run else Standing.CONTINUES)


@in_loop
async def test_the_highest_mark_is_remembered(place: Place, clock: Clock) -> None:
    """Across restarts, by KME and writer; an older message changes nothing."""
    async with opened(place, clock) as store:
        assert await standing(store, mark(7)) is Standing.CONTINUES
        for generation in (7, 9, 8):
            await see(store, mark(generation))
        await see(store, mark(3, writer="second"))
    async with opened(place, clock) as store:
        assert await standing(store, mark(8, start="r2")) is Standing.ROLLED_BACK
        assert await standing(store, mark(8)) is Standing.CONTINUES
        assert await standing(store, mark(9, start="r2"), mark(9)) is Standing.CONTINUES
        assert await standing(store, mark(9, start="r2"), mark(8)) is Standing.UNPROVEN
        second = mark(3, writer="second")
        assert await standing(store, mark(3, writer="second", start="r2"), second) is Standing.CONTINUES
        assert await standing(store, mark(2, writer="second", start="r2")) is Standing.ROLLED_BACK
        assert await standing(store, mark(1, writer="third")) is Standing.CONTINUES
        assert await standing(store, mark(1), kme="kme-c") is Standing.CONTINUES


@in_loop
async def test_a_new_store_is_new_whichever_writer_speaks(place: Place, clock: Clock) -> None:
    """Another identity is a new store, also by a writer never heard of. After it the old one is retired."""
    async with opened(place, clock) as store:
        await see(store, mark(9))
        await see(store, mark(5, writer="second"))
        for writer in ("only", "second", "third"):
            assert await standing(store, mark(1, store="s2", writer=writer)) is Standing.NEW_STORE
        await see(store, mark(1, store="s2"))
        assert await standing(store, mark(1, store="s2", writer="second")) is Standing.CONTINUES
        for writer in ("only", "second", "third"):
            assert await standing(store, mark(99, writer=writer)) is Standing.ROLLED_BACK
        assert {one.generation for one in await peers.seen_of(await store.reader(), "kme-b", "s1")} == {9, 5}
        assert await peers.seen_of(await store.reader(), "kme-b", "s2") == (mark(1, store="s2"),)
        assert await standing(store, mark(9), kme="kme-c") is Standing.CONTINUES


@in_loop
async def test_of_many_retired_stores_the_latest_are_kept(place: Place, clock: Clock) -> None:
    """A peer that changes its store again and again fills no disk."""
    async with opened(place, clock) as store:
        for no in range(peers.RETIRED + 3):
            await see(store, mark(1, store=f"s{no}"))
        counted = await place.look("SELECT count(*) FROM retired")
        assert counted[0][0] == peers.RETIRED
        assert await standing(store, mark(2, store="s2")) is Standing.ROLLED_BACK
        assert await standing(store, mark(2, store="s1")) is Standing.NEW_STORE


@in_loop
async def test_a_peer_is_told_until_it_has_heard(place: Place, clock: Clock) -> None:
    """One event an order and KME, the latest; what was heard meanwhile of an older one does not end it."""
    async with opened(place, clock) as store:
        one, two = sorted((new_order_id(), new_order_id()))
        await tell(store, one, "kme-b", KeyEvent.VOID)
        await tell(store, two, "kme-b", KeyEvent.VOID)
        await tell(store, one, "kme-c", KeyEvent.VOID)
        untold = await peers.untold(await store.reader(), "kme-b", at_most=9)
        assert [(notice.order_id, notice.event) for notice in untold] == [(one, KeyEvent.VOID), (two, KeyEvent.VOID)]
        assert len(await peers.untold(await store.reader(), "kme-b", at_most=1)) == 1
        await tell(store, two, "kme-b", KeyEvent.REVOKE)
        await store.committer.do(lambda tx: peers.told(tx, untold))
    async with opened(place, clock) as store:
        untold = await peers.untold(await store.reader(), "kme-b", at_most=9)
        assert [(notice.order_id, notice.event) for notice in untold] == [(two, KeyEvent.REVOKE)]
        assert len(await peers.untold(await store.reader(), "kme-c", at_most=9)) == 1
        clock.now += 60
        await store.sweep()
        assert await peers.untold(await store.reader(), "kme-c", at_most=9) == ()


@in_loop
async def test_what_was_done_on_purpose_is_told_first(place: Place, clock: Clock) -> None:
    """And by itself: no void is in its message, which could be too much for the peer."""
    async with opened(place, clock) as store:
        orders = sorted(new_order_id() for _ in range(5))
        for one in orders:
            await tell(store, one, "kme-b", KeyEvent.REVOKE if one in orders[3:] else KeyEvent.VOID)
        await tell(store, orders[0], "kme-c", KeyEvent.COMPROMISE)
        for at_most, first in ((1, orders[3:4]), (2, orders[4:]), (2, orders[:2]), (2, orders[2:3])):
            untold = await peers.untold(await store.reader(), "kme-b", at_most=at_most)
            assert [notice.order_id for notice in untold] == first
            await store.committer.do(lambda tx, told=untold: peers.told(tx, told))  # type: ignore[misc]  # bound at once
