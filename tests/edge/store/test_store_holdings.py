"""Holdings: each key is handed out once, to the SAE it was made for, and what has ended never comes back."""

import asyncio

import pytest
from tests.edge.store.place import (
    Clock,
    Place,
    asked,
    holding,
    in_loop,
    new_order_id,
    opened,
    take,
    write,
)

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Holding, Request
from keystrand.edge.store.keystore import KeyStore
from keystrand.formats import etsi014
from keystrand.keys.contract import key_ids_of
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent
from keystrand.model.errors import InvalidInput, PolicyDenied
from keystrand.model.key import KeyState

KEYS = bytes(range(64))


def happen(
    store: KeyStore, order_id: str, event: KeyEvent, *, sae: str = ""
) -> "asyncio.Future[tuple[Holding, ...]]":  # fmt: skip
    """Let an event happen to the holdings of an order."""
    return store.committer.do(lambda tx: store.holdings.happen(tx, order_id, event, sae=sae))


async def row_of(store: KeyStore, order_id: str) -> tuple[object, ...]:
    """Return state of the only holding of an order, whether it has material, and its deadline."""
    session = await store.reader()
    rows = await session.rows("SELECT state, sealed, until FROM holding WHERE order_id = ?", order_id)
    assert len(rows) == 1
    return rows[0][0], rows[0][1] is not None, rows[0][2]


@in_loop
async def test_keys_come_in_the_order_asked_for(place: Place, clock: Clock) -> None:
    """One request may name keys of several orders, in any order; each key has its own bytes."""
    async with opened(place, clock) as store:
        one, two = holding(keys=KEYS), holding(keys=KEYS[::-1])
        await write(store, one, two)
        ids = (*key_ids_of(one.order_id, 2), *key_ids_of(two.order_id, 2))
        request = Request(slave_sae="sae-b", master_sae="sae-a", key_ids=(ids[3], ids[0], ids[2], ids[1]), digest=b"d")
        keys, repeated = await take(store, request)
        assert not repeated
        assert keys == [KEYS[::-1][32:], KEYS[:32], KEYS[::-1][:32], KEYS[32:]]


@in_loop
async def test_a_key_is_handed_out_once(place: Place, clock: Clock) -> None:
    """By one key at a time or all at once: what has been given is refused in any other combination."""
    async with opened(place, clock, replay_s=0.0) as store:
        one = holding(number=3)
        await write(store, one)
        await take(store, asked(one, 1))
        for again in (asked(one, 1), asked(one), asked(one, 0, 1)):
            with pytest.raises(InvalidInput, match=etsi014.KEYS_NOT_FOUND) as caught:
                await take(store, again)
            assert [problem.message for problem in caught.value.problems] == [key_ids_of(one.order_id, 3)[1]]
        await take(store, asked(one, 2, 0))
        with pytest.raises(InvalidInput):
            await take(store, asked(one, 0))


@in_loop
async def test_of_many_at_once_one_gets_the_key(place: Place, clock: Clock) -> None:
    """Thirty-two ask for the same key at the same moment, each in its own way: one gets it, the others nothing."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        requests = [
            Request(slave_sae="sae-b", master_sae="sae-a", key_ids=asked(one).key_ids, digest=bytes([n]))
            for n in range(32)
        ]
        outcomes = await asyncio.gather(*(take(store, request) for request in requests), return_exceptions=True)
        got = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(got) == 1
        assert all(isinstance(outcome, InvalidInput) for outcome in outcomes if outcome not in got)


@in_loop
async def test_a_batch_is_whole_or_nothing(place: Place, clock: Clock) -> None:
    """Where one ID is unknown or gone nothing is consumed: all the others can still be fetched."""
    async with opened(place, clock) as store:
        one, two = holding(), holding()
        await write(store, one, two)
        await take(store, asked(two, 0))
        unknown = key_ids_of(new_order_id(), 1)
        beyond = key_ids_of(one.order_id, 3)[2:]
        for more in (unknown, beyond, key_ids_of(two.order_id, 1)):
            with pytest.raises(InvalidInput) as caught:
                await take(store, asked(one, more=more))
            assert [problem.message for problem in caught.value.problems] == list(more)
        keys, _ = await take(store, asked(one))
        assert len(keys) == 2


@in_loop
async def test_another_ones_key_id_is_denied(place: Place, clock: Clock) -> None:
    """One foreign ID denies the whole request (014, 5.4), and its keys stay for whom they are; or one as its master."""
    async with opened(place, clock) as store:
        mine, others = holding(), holding(sae="sae-c")
        masters = holding(sae="sae-b", role="master", partner="sae-c")
        await write(store, mine, others, masters)
        for foreign in (others, masters):
            with pytest.raises(PolicyDenied):
                await take(store, asked(mine, more=key_ids_of(foreign.order_id, 1)))
        assert len((await take(store, asked(mine)))[0]) == 2
        assert len((await take(store, asked(others)))[0]) == 2


@in_loop
async def test_the_master_is_part_of_the_request(place: Place, clock: Clock) -> None:
    """A key is not found under the name of another master SAE."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        with pytest.raises(InvalidInput):
            await take(store, asked(one, master="sae-x"))
        assert len((await take(store, asked(one)))[0]) == 2


@in_loop
async def test_several_slaves_hold_the_same_keys(place: Place, clock: Clock) -> None:
    """Each fetches them once, whatever the others do."""
    async with opened(place, clock, replay_s=0.0) as store:
        one = holding(keys=KEYS)
        other = one._replace(sae="sae-c")
        await write(store, one, other)
        assert (await take(store, asked(one)))[0] == (await take(store, asked(other)))[0] == [KEYS[:32], KEYS[32:]]
        for each in (one, other):
            with pytest.raises(InvalidInput):
                await take(store, asked(each))


@in_loop
async def test_the_same_request_is_answered_again_for_a_while(place: Place, clock: Clock) -> None:
    """Within the window the exact request gets its answer again, as often as it comes; any other does not."""
    async with opened(place, clock, replay_s=10.0) as store:
        one = holding(keys=KEYS)
        await write(store, one)
        assert await take(store, asked(one)) == ([KEYS[:32], KEYS[32:]], False)
        for _ in range(3):
            clock.now += 3.0
            assert await take(store, asked(one)) == ([KEYS[:32], KEYS[32:]], True)
        for other in (asked(one, 1, 0), asked(one, 0)):
            with pytest.raises(InvalidInput):
                await take(store, other)
        clock.now += 1.0
        with pytest.raises(InvalidInput):
            await take(store, asked(one))


@in_loop
async def test_a_repetition_of_a_part_is_no_second_part(place: Place, clock: Clock) -> None:
    """One key of several is repeated within its window, while the others wait on; the window is not renewed by that."""
    async with opened(place, clock, replay_s=10.0) as store:
        one = holding(number=3)
        await write(store, one)
        first = await take(store, asked(one, 1))
        clock.now += 9.0
        assert await take(store, asked(one, 1)) == (first[0], True)
        clock.now += 1.5
        with pytest.raises(InvalidInput):
            await take(store, asked(one, 1))
        assert not (await take(store, asked(one, 0, 2)))[1]


@in_loop
async def test_the_window_outlives_a_restart_but_no_clock_that_was_set_back(place: Place, clock: Clock) -> None:
    """A client whose answer was lost in a crash gets it after the restart; a deadline too far ahead is none."""
    async with opened(place, clock) as store:
        one = holding(keys=KEYS)
        await write(store, one)
        await take(store, asked(one))
    async with opened(place, clock) as store:
        assert await take(store, asked(one)) == ([KEYS[:32], KEYS[32:]], True)
        clock.now -= 3600.0
        with pytest.raises(InvalidInput):
            await take(store, asked(one))


@in_loop
async def test_a_request_that_was_not_lost_is_not_repeated(place: Place, clock: Clock) -> None:
    """Where the caller still has the connection of the first answer, asking again is asking twice."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        request = asked(one)
        await take(store, request)
        heard = Request(
            slave_sae="sae-b", master_sae="sae-a", key_ids=request.key_ids, digest=request.digest, repeatable=False
        )
        with pytest.raises(InvalidInput):
            await take(store, heard)
        assert (await take(store, request))[1]


@in_loop
async def test_in_the_strict_mode_nothing_is_left_to_repeat(place: Place, clock: Clock) -> None:
    """With no window the material is destroyed in the transaction that hands it out."""
    async with opened(place, clock, replay_s=0.0) as store:
        one = holding()
        await write(store, one)
        await take(store, asked(one))
        assert await row_of(store, one.order_id) == (KeyState.DESTROYED.value, False, clock.now + 100.0)
        assert await (await store.reader()).rows("SELECT digest FROM replay") == []


STARTS: dict[KeyState, tuple[KeyEvent, ...]] = {
    KeyState.ACTIVE: (),
    KeyState.SUSPENDED: (KeyEvent.SUSPEND,),
    KeyState.DEACTIVATED: (KeyEvent.DELIVER,),
    KeyState.COMPROMISED: (KeyEvent.COMPROMISE,),
    KeyState.DESTROYED: (KeyEvent.REVOKE,),
}


@in_loop
async def test_every_event_in_every_state_is_that_of_the_table(place: Place, clock: Clock) -> None:
    """State, material and deadline after each of the events in each state; what cannot happen changes nothing."""
    events = [event for event in KeyEvent if event not in (KeyEvent.ASSIGN, KeyEvent.DELIVER, KeyEvent.REPLAY)]
    async with opened(place, clock) as store:
        for start, steps in STARTS.items():
            for event in events:
                one = holding()
                await write(store, one)
                for step in steps:
                    await (take(store, asked(one)) if step is KeyEvent.DELIVER else happen(store, one.order_id, step))
                before = await row_of(store, one.order_id)
                assert before[0] == start.value
                changed = await happen(store, one.order_id, event)
                after = LIFECYCLE.rows.get((start, event), start)
                usable = after in (KeyState.ACTIVE, KeyState.SUSPENDED)
                expected = (after.value, usable, before[2] if usable else clock.now + 100.0)
                assert await row_of(store, one.order_id) == (before if after is start else expected), (start, event)
                assert [each.state for each in changed] == ([] if after is start else [after.value])


@pytest.mark.parametrize(
    "event", [KeyEvent.VOID, KeyEvent.REVOKE, KeyEvent.COMPROMISE, KeyEvent.DESTROY, KeyEvent.EXPIRE, KeyEvent.SUSPEND]
)
@in_loop
async def test_what_has_ended_is_not_handed_out(place: Place, clock: Clock, event: KeyEvent) -> None:
    """Neither for the first time nor again; a suspended key is given after it is resumed."""
    async with opened(place, clock) as store:
        waiting, taken = holding(), holding()
        await write(store, waiting, taken)
        await take(store, asked(taken))
        for one in (waiting, taken):
            await happen(store, one.order_id, event)
        with pytest.raises(InvalidInput):
            await take(store, asked(waiting))
        if LIFECYCLE.rows.get((KeyState.DEACTIVATED, event)):
            with pytest.raises(InvalidInput):
                await take(store, asked(taken))
        else:
            assert (await take(store, asked(taken)))[1]
        if event is KeyEvent.SUSPEND:
            await happen(store, waiting.order_id, KeyEvent.RESUME)
            assert not (await take(store, asked(waiting)))[1]


@in_loop
async def test_an_event_may_be_for_one_of_several(place: Place, clock: Clock) -> None:
    """Those of the other SAEs stay as they are."""
    async with opened(place, clock) as store:
        one = holding()
        other = one._replace(sae="sae-c")
        await write(store, one, other)
        (changed,) = await happen(store, one.order_id, KeyEvent.REVOKE, sae="sae-c")
        assert (changed.sae, changed.state) == ("sae-c", KeyState.DESTROYED.value)
        assert len((await take(store, asked(one)))[0]) == 2


@in_loop
async def test_an_order_that_is_void_before_it_comes_never_comes(place: Place, clock: Clock) -> None:
    """Its ID counts as used, it is in no list, and fetching it is as if it were unknown."""
    async with opened(place, clock) as store:
        order_id = new_order_id()

        async def refuse(tx: Transaction) -> bool:
            await store.holdings.refuse_for_ever(tx, order_id, "kme-a", "corridor")
            return await store.holdings.known(tx, order_id)

        assert await store.committer.do(refuse)
        assert await store.committer.do(refuse)
        assert await store.committer.do(lambda tx: store.holdings.of_order(tx, order_id)) == ()
        assert await store.holdings.listed(await store.reader()) == ()
        with pytest.raises(InvalidInput):
            await take(store, asked(holding(order_id)))
        assert not await store.committer.do(lambda tx: store.holdings.known(tx, new_order_id()))


@in_loop
async def test_lists_come_in_pages(place: Place, clock: Clock) -> None:
    """Page after page gives every holding once, in one order, also those of one SAE or state alone."""
    async with opened(place, clock) as store:
        orders = [holding(sae=sae) for _ in range(7) for sae in ("sae-b", "sae-c")]
        masters = [holding(sae="sae-a", role="master", partner="sae-z") for _ in range(3)]
        await write(store, *orders, *masters)
        await happen(store, orders[0].order_id, KeyEvent.REVOKE)
        session = await store.reader()

        async def pages(sae: str = "", state: str = "") -> list[tuple[str, str]]:
            found, after = list[tuple[str, str]](), ("", "")
            while page := await store.holdings.listed(session, sae=sae, state=state, after=after, at_most=4):
                found += [(one.order_id, one.sae) for one in page]
                after = found[-1]
            return found

        everything = sorted((one.order_id, one.sae) for one in (*orders, *masters))
        assert await pages() == everything
        assert await pages(sae="sae-c") == [each for each in everything if each[1] == "sae-c"]
        assert await pages(state="destroyed") == [(orders[0].order_id, "sae-b")]
        assert await pages(sae="sae-c", state="destroyed") == []
        assert await store.holdings.counts(session) == {
            ("slave", "active"): 13, ("slave", "destroyed"): 1, ("master", "deactivated"): 3,
        }  # fmt: skip


@in_loop
async def test_no_key_is_in_the_database_in_the_clear(place: Place, clock: Clock) -> None:
    """What is stored of keys is sealed, and bound to the order, the SAEs and what is told of it."""
    async with opened(place, clock) as store:
        one = holding(keys=KEYS)
        await write(store, one)
    ((sealed, told),) = await place.look("SELECT sealed, told FROM holding")
    assert not any(KEYS[at : at + 16] in sealed for at in range(0, 64, 16))
    await place.look(f'UPDATE holding SET told = \'{told[:-1]},"label":"better"}}\'')  # noqa: S608  # our own words
    async with opened(place, clock) as store:
        with pytest.raises(Exception, match="does not open"):
            await take(store, asked(one))
