"""One key for SAEs at several KMEs costs its bytes before any KME is asked, and holds no link up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import Network, in_loop, running, until

from keystrand.edge.kme.messages import ASSIGN_URL, HELLO_URL
from keystrand.edge.kme.multicast import NotEverywhere
from keystrand.edge.kme.ordering import KeysBurned, new_order_id
from keystrand.edge.store import fencing, peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.pools import CONFIRMATION_OCTETS
from keystrand.keys.making import PAD_TAG_OCTETS
from keystrand.model.errors import PeerUnavailable

BLOCK = 512
PAD = 32 + PAD_TAG_OCTETS
BURNED = [("ab", CONFIRMATION_OCTETS + 32), ("ac", CONFIRMATION_OCTETS + PAD)]
CURSORS = "SELECT p.link, b.cursor FROM block b JOIN pool p ON p.id = b.pool ORDER BY 1"


async def filled(net: Network) -> tuple[str, str]:
    """Fill both links and return their blocks."""
    return await net.fill(BLOCK), await net.fill(BLOCK, link="ac")


async def hanging(net: Network, link: str) -> "asyncio.Task[Any]":
    """Return an order for both KMEs of which one link's KME has assigned, and whose answer never comes."""
    net.a.wires[link].faults[ASSIGN_URL] = [Fault.HANGS]
    order = asyncio.ensure_future(net.a.issue("sae-b", "sae-c"))
    await net.a.wires[link].hanging.wait()
    return order


@pytest.mark.parametrize("link", ["ab", "ac"])
@in_loop
async def test_all_is_burned_before_anything_is_said(tmp_path: Path, link: str) -> None:
    """When a message leaves the master's store has neither the key's bytes nor the pad's, and knows of the order."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        seen = []

        async def look(url: str) -> None:
            if url == ASSIGN_URL:
                marks = await net.a.rows("SELECT order_id, kme FROM under_way ORDER BY kme")
                seen.append((await net.a.rows(CURSORS), marks))

        net.a.wires[link].before = look
        got = await net.a.issue("sae-b", "sae-c")
        order_id = got.key_ids[0][:-3]
        assert seen == [(BURNED, [(order_id, "b"), (order_id, "c")])]
        assert not await net.a.rows("SELECT 1 FROM under_way")
        assert not await net.a.rows("SELECT 1 FROM outbox")


@pytest.mark.parametrize("link", ["ab", "ac"])
@in_loop
async def test_after_a_crash_it_is_void_everywhere(tmp_path: Path, link: str) -> None:
    """The master is killed when a KME has assigned it: its bytes make no other key, and both hear that it is void."""
    async with running(tmp_path, names="abc") as net:
        first, _ = await filled(net)
        order = await hanging(net, link)
        (order_id,) = {*net.a.orders("ab"), *net.a.orders("ac")}
        await net.a.kill()
        order.cancel()
        await net.a.start()
        await net.trusted()
        await net.b.void(order_id)
        await net.c.void(order_id)
        got = await net.a.issue("sae-b")
        assert got.keys.reveal() == net.material[first][32:64]
        assert "void" in net.a.actions()


@in_loop
async def test_who_takes_over_voids_what_was_under_way(tmp_path: Path) -> None:
    """Of several processes of one KME one is lost: those that stay tell the other KMEs of its orders."""
    async with running(tmp_path, names="abc") as net:
        order_id = new_order_id(net.clock())

        async def lost(tx: Transaction) -> None:
            await peers.begin_order(tx, order_id, ["b", "c"], "another", tx.now + 60)
            await fencing.take_over(tx, "another")

        await net.a.store.committer.do(lost)
        for peering in net.a.peerings.values():
            peering.news()
        for kme in (net.b, net.c):
            await kme.void(order_id)


@in_loop
async def test_one_that_is_given_up_is_void_everywhere(tmp_path: Path) -> None:
    """Who asked is gone while a KME is awaited: nothing is delivered, both KMEs hear it, and the next order works."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        order = await hanging(net, "ac")
        order.cancel()
        with pytest.raises(asyncio.CancelledError):
            await order
        await net.b.void(net.a.orders("ab")[-1])
        await net.c.void(net.a.orders("ab")[-1])
        assert await net.a.rows(CURSORS) == BURNED
        assert (await net.a.issue("sae-b", "sae-c")).keys


@in_loop
async def test_one_that_is_given_up_at_its_delivery_gives_nobody_cleared_bytes(tmp_path: Path) -> None:
    """The commit comes when the keys are cleared already: nothing is delivered, not even at home, and all goes on."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        do = net.a.store.committer.do

        def give_up(operation: Any) -> "asyncio.Future[Any]":
            if operation.__name__ == "deliver_here_too":
                do(lambda _: asyncio.sleep(0.01))
                asyncio.get_running_loop().call_soon(order.cancel)
            return do(operation)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(net.a.store.committer, "do", give_up)
            order = asyncio.ensure_future(net.a.issue("sae-b", "sae-c", "sae-a2"))
            with pytest.raises(asyncio.CancelledError):
                await order
        await net.b.void(net.a.orders("ab")[-1])
        await net.c.void(net.a.orders("ab")[-1])
        assert not await net.a.states(net.a.orders("ab")[-1])
        assert (await net.a.issue("sae-b", "sae-c", "sae-a2")).keys


@in_loop
async def test_one_kme_that_is_awaited_holds_no_link_up(tmp_path: Path) -> None:
    """While the other KME's answer is awaited, orders of one link go on, on both links."""
    async with running(tmp_path, names="abc") as net:
        first, other = await filled(net)
        order = await hanging(net, "ac")
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[first][32:64]
        assert (await net.a.issue("sae-c", link="ac")).keys.reveal() == net.material[other][PAD : PAD + 32]
        assert not order.done()
        order.cancel()


@in_loop
async def test_a_link_that_is_waited_for_holds_no_other_up(tmp_path: Path) -> None:
    """An order of one link hangs: the order for both waits for that link, and the other link's go on meanwhile."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        net.a.wires["ac"].faults[ASSIGN_URL] = [Fault.HANGS]
        alone = asyncio.ensure_future(net.a.issue("sae-c", link="ac"))
        await net.a.wires["ac"].hanging.wait()
        both = asyncio.ensure_future(net.a.issue("sae-b", "sae-c"))
        for _ in range(3):
            assert (await net.a.issue("sae-b")).keys
            assert not both.done()
        for task in (alone, both):
            task.cancel()
        assert not await net.a.rows("SELECT 1 FROM under_way")


@in_loop
async def test_a_dead_kme_costs_the_other_links_once(tmp_path: Path) -> None:
    """After the first order that it left unanswered none is cut before it was heard of again; then all is well."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        wire = net.a.wires["ac"]
        wire.faults = {ASSIGN_URL: [Fault.REQUEST_LOST], HELLO_URL: [Fault.UNREACHED] * 1000}
        with pytest.raises(NotEverywhere):
            await net.a.issue("sae-b", "sae-c")
        for _ in range(3):
            with pytest.raises(PeerUnavailable) as caught:
                await net.a.issue("sae-b", "sae-c")
            assert not isinstance(caught.value, KeysBurned)
        assert await net.a.rows(CURSORS) == BURNED
        assert (await net.a.issue("sae-b")).keys
        wire.faults = {}
        await net.trusted()
        assert (await net.a.issue("sae-b", "sae-c")).keys


@in_loop
async def test_those_that_wait_for_a_kme_cost_nothing_when_it_fails(tmp_path: Path) -> None:
    """Of several orders at once one is asked about; the others learn of its fate before they cut anything."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        wire, gone = net.a.wires["ac"], asyncio.Event()

        async def slow(url: str) -> None:
            if url == ASSIGN_URL:
                await gone.wait()

        wire.before = slow
        wire.faults = {ASSIGN_URL: [Fault.REQUEST_LOST]}
        orders = [asyncio.ensure_future(net.a.issue("sae-b", "sae-c")) for _ in range(5)]

        async def asked() -> bool:
            return bool(net.a.orders("ac"))

        await until(asked)
        wire.faults[HELLO_URL] = [Fault.UNREACHED] * 1000
        gone.set()
        ends = await asyncio.gather(*orders, return_exceptions=True)
        assert [isinstance(end, KeysBurned) for end in ends].count(True) == 1
        assert all(isinstance(end, PeerUnavailable) for end in ends)
        assert await net.a.rows(CURSORS) == BURNED


@in_loop
async def test_too_many_are_refused(tmp_path: Path) -> None:
    """The queue of a link has an end; who is refused costs nothing."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        order = await hanging(net, "ac")
        orders = [asyncio.ensure_future(net.a.issue("sae-b", "sae-c")) for _ in range(16)]
        done, waiting = await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        assert "too many" in str(done.pop().exception())
        for task in (order, *waiting):
            task.cancel()
        await asyncio.wait([order, *waiting])
        assert await net.a.rows(CURSORS) == BURNED


@in_loop
async def test_bytes_that_the_other_end_has_used_are_passed_over(tmp_path: Path) -> None:
    """After a crash one end is behind: the order is planned once more, at the cost of the first plan."""
    async with running(tmp_path, names="abc") as net:
        first, _ = await filled(net)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.HANGS]
        lost = asyncio.ensure_future(net.a.issue("sae-b", count=3))
        await net.a.wires["ab"].hanging.wait()
        await net.a.kill()
        lost.cancel()
        await net.a.start()
        await net.trusted()
        got = await net.a.issue("sae-b", "sae-c")
        assert got.keys.reveal() == net.material[first][96:128]
        (taken,) = await net.c.take("sae-c", "sae-a", got.key_ids)
        assert bytes(taken.key) == got.keys.reveal()
        await net.c.void(net.a.orders("ac")[0])


@in_loop
async def test_orders_of_one_link_and_of_both_at_once(tmp_path: Path) -> None:
    """Many of both kinds, all at the same time: every one has a key of its own, and no bytes are passed over."""
    async with running(tmp_path, names="abc") as net:
        first = await net.fill(40 * 32)
        other = await net.fill(20 * PAD + 20 * 32, link="ac")
        asks = [("sae-b", "sae-c"), ("sae-b",)] * 20
        alone = [net.a.issue("sae-c", link="ac") for _ in range(20)]
        slow: list[Any] = []
        for slaves in asks:
            slow.append(asyncio.ensure_future(net.a.issue(*slaves)))
            if len(slow) % 10 == 0:
                await asyncio.gather(*slow)
        got = await asyncio.gather(*slow, *alone)
        assert len({one.keys.reveal() for one in got}) == 60
        assert not await net.a.rows("SELECT 1 FROM block WHERE block_id IN (?, ?)", first, other)
        assert net.a.actions().count("burn") == 0
