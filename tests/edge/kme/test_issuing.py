"""The master's side of the contract over a wire that loses, delays and repeats: real stores at both ends."""

import asyncio
from pathlib import Path

import pytest
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import WAIT_S, Kme, Network, in_loop, running, until

from keystrand.edge.kme import links
from keystrand.edge.kme.issuing import Issuer
from keystrand.edge.kme.messages import ASSIGN_URL, HELLO_URL, NOTICES_URL, ORDERS
from keystrand.edge.kme.ordering import Issued
from keystrand.keys.allocation import PoolTooSmall
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PeerUnavailable

DOUBTS = (Fault.REQUEST_LOST, Fault.ANSWER_LOST, Fault.BROKEN, Fault.NONSENSE, Fault.SHORT, Fault.OTHER_STORE)
BLOCK = 1024


async def fetched(net: Network, issued: Issued, kme: Kme | None = None, sae: str = "sae-b") -> bytes:
    """Return the keys that a slave SAE gets for an answer to `sae-a`."""
    taken = await (kme or net.b).take(sae, "sae-a", issued.key_ids)
    return b"".join(bytes(one.key) for one in taken)


async def together(issuer: Issuer, net: Network, *slaves: str) -> list[Issued | BaseException]:
    """Get a key for each of `slaves` in one batch."""
    async with net.a.links["ab"].turn:
        futures = [issuer.submit(net.a.ask(slave)) for slave in slaves]
    return await asyncio.gather(*futures, return_exceptions=True)


@in_loop
async def test_both_ends_hold_what_was_answered(tmp_path: Path) -> None:
    """The same keys, cursors and states, and both audits say so."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        got = await net.a.issue("sae-b", count=3)
        keys = got.keys.reveal()
        assert keys == net.material[block_id][:96]
        assert await net.a.cursors("a") == await net.b.cursors("a") == [(1, 32 + 96)]
        (order_id,) = net.a.orders()
        assert await net.a.states(order_id) == {"sae-a": "deactivated"}
        assert await net.b.states(order_id) == {"sae-b": "active"}
        assert await fetched(net, got) == keys
        assert (net.a.actions(), net.b.actions()) == (["enc_keys"], ["assign"])


@in_loop
async def test_many_at_once_get_keys_of_their_own(tmp_path: Path) -> None:
    """Three hundred requests of one moment, in as few batches as may be: each its own bytes, the same at both ends."""
    async with running(tmp_path) as net:
        await net.fill(300 * 32)
        got = await asyncio.gather(*(net.a.issue("sae-b") for _ in range(300)))
        assert len({one.keys.reveal() for one in got}) == len({one.key_ids for one in got}) == 300
        for one in got:
            assert await fetched(net, one) == one.keys.reveal()
        assert len(net.a.wires["ab"].said) < 300
        assert max(len(body.get("orders", ())) for _, body in net.a.wires["ab"].said) <= ORDERS


# What was not sent


@pytest.mark.parametrize("fault", [Fault.UNREACHED, Fault.REFUSED])
@in_loop
async def test_what_was_not_sent_consumes_nothing(tmp_path: Path, fault: Fault) -> None:
    """The request is refused, nothing is burned or void, and the next one gets the very bytes."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [fault]
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b", count=2)
        assert await net.a.cursors("a") == await net.b.cursors("a") == [(1, 32)]
        assert not await net.a.rows("SELECT 1 FROM outbox")
        assert "burn" not in net.a.actions()
        await net.trusted()
        got = await net.a.issue("sae-b")
        assert got.keys.reveal() == net.material[block_id][:32]


@in_loop
async def test_a_batch_that_was_not_sent_is_given_back_whole(tmp_path: Path) -> None:
    """Several orders of several blocks: every cursor is where it was."""
    async with running(tmp_path) as net:
        for _ in range(3):
            await net.fill(48)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.UNREACHED]
        results = await together(net.a.issuers["ab"], net, *["sae-b"] * 4)
        assert all(isinstance(one, PeerUnavailable) for one in results)
        got = [await net.a.issue("sae-b") for _ in range(4)]
        assert len({one.keys.reveal() for one in got}) == 4
        with pytest.raises(PoolTooSmall):
            await net.a.issue("sae-b")


@in_loop
async def test_what_is_given_back_of_blocks_that_were_used_up_is_cut_again(tmp_path: Path) -> None:
    """A batch that takes over block after block on its way, again and again while nobody is reached: nothing is lost.

    Afterwards all there is can be had, in the order of the blocks, without a restart.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "_AHEAD", 1)
        async with running(tmp_path) as net:
            material = b"".join([net.material[await net.fill(64)] for _ in range(4)])
            for tries in (3, 8, 8):
                net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.UNREACHED]
                results = await together(net.a.issuers["ab"], net, *["sae-b"] * tries)
                assert all(isinstance(one, PeerUnavailable) for one in results)
                await net.trusted()
            got = [await net.a.issue("sae-b") for _ in range(8)]
            assert b"".join(one.keys.reveal() for one in got) == material
            with pytest.raises(PoolTooSmall):
                await net.a.issue("sae-b")


@pytest.mark.parametrize("fault", [Fault.UNREACHED, Fault.REQUEST_LOST])
@in_loop
async def test_a_kme_that_is_gone_is_asked_for_nothing_more(tmp_path: Path, fault: Fault) -> None:
    """After one batch, who waits and who comes is refused and costs nothing until it has answered a hello."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        wire = net.a.wires["ab"]
        wire.faults |= {ASSIGN_URL: [fault], HELLO_URL: [fault] * 50}
        lost = 32 if fault is Fault.REQUEST_LOST else 0
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        said = [url for url, _ in wire.said if url == ASSIGN_URL]
        waiting = net.a.issuers["ab"].submit(net.a.ask("sae-b"))
        for refused in (waiting, net.a.issue("sae-b")):
            with pytest.raises(PeerUnavailable, match=r"no answer|cannot be reached"):
                await refused
        assert [url for url, _ in wire.said if url == ASSIGN_URL] == said
        assert await net.a.cursors("a") == [(1, 32 + lost)]
        wire.faults.clear()
        await net.trusted()
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[block_id][lost : lost + 32]


@in_loop
async def test_a_kme_that_does_not_know_this_store_any_more_is_greeted_first(tmp_path: Path) -> None:
    """After a 401 nothing moves on the link until both ends have shown each other their stores again."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.REFUSED]
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        assert not net.a.links["ab"].trusted
        await net.trusted()
        assert await net.a.issue("sae-b")


# Doubt


@pytest.mark.parametrize("fault", DOUBTS)
@in_loop
async def test_doubt_burns_and_voids(tmp_path: Path, fault: Fault) -> None:
    """Whether the slave KME holds the order or not: it is void there, its bytes serve nobody, the next is fine."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [fault]
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b", count=2)
        (order_id,) = net.a.orders()
        await net.b.void(order_id)
        with pytest.raises(InvalidInput):
            await net.b.take("sae-b", "sae-a", [f"{order_id}000"])
        assert not await net.a.states(order_id)
        assert "burn" in net.a.actions()
        await net.trusted()
        got = await net.a.issue("sae-b")
        assert got.keys.reveal() == net.material[block_id][64:96] == await fetched(net, got)


@in_loop
async def test_an_order_that_comes_after_its_void_is_refused(tmp_path: Path) -> None:
    """The slave KME remembers a void order that it has never seen."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.LATE]
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        (order_id,) = net.a.orders()
        await net.b.void(order_id)
        (answer,) = await net.a.wires["ab"].deliver_late()
        assert answer["verdicts"][0]["denied"] == "its ID was used before"
        assert await net.b.states(order_id) == {"": "destroyed"}


@in_loop
async def test_an_order_that_comes_late_but_before_its_void(tmp_path: Path) -> None:
    """It is assigned, nobody is told of it, and the void destroys it; the order after it was not harmed."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        wire = net.a.wires["ab"]
        wire.faults |= {ASSIGN_URL: [Fault.LATE], NOTICES_URL: [Fault.REQUEST_LOST] * 2}
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        (order_id,) = net.a.orders()
        (answer,) = await wire.deliver_late()
        assert answer["verdicts"] == [{}]
        assert await net.b.states(order_id) == {"sae-b": "active"}
        got = await net.a.issue("sae-b")
        await net.b.void(order_id)
        assert await fetched(net, got) == got.keys.reveal()


@in_loop
async def test_orders_that_overtake_each_other(tmp_path: Path) -> None:
    """Two in doubt arrive after a third: their bytes lie before the cursor, and both are refused."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        wire = net.a.wires["ab"]
        wire.faults |= {ASSIGN_URL: [Fault.LATE] * 2, NOTICES_URL: [Fault.REQUEST_LOST] * 20}
        for _ in range(2):
            with pytest.raises(PeerUnavailable):
                await net.a.issue("sae-b")
        got = await net.a.issue("sae-b")
        wire.late.reverse()
        answers = await wire.deliver_late()
        assert all(one["verdicts"][0]["used"] == [["qkd", 1, 32 + 96]] for one in answers)
        assert await fetched(net, got) == got.keys.reveal()


@in_loop
async def test_a_request_that_comes_twice_is_assigned_once(tmp_path: Path) -> None:
    """The second time it is refused; the master that hears only that makes the order void."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.TWICE]
        with pytest.raises(NoKeyAvailable, match="used before"):
            await net.a.issue("sae-b")
        (order_id,) = net.a.orders()
        await net.b.void(order_id)
        assert await net.a.issue("sae-b")


@in_loop
async def test_a_void_is_told_until_it_was_heard(tmp_path: Path) -> None:
    """Lost notices and lost answers to them, and a restart of the master: the slave KME hears of it in the end."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].faults |= {
            ASSIGN_URL: [Fault.ANSWER_LOST], NOTICES_URL: [Fault.REQUEST_LOST, Fault.BROKEN, Fault.UNREACHED],
        }  # fmt: skip
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        (order_id,) = net.a.orders()

        async def committed() -> bool:
            return bool(await net.a.rows("SELECT 1 FROM outbox"))

        await until(committed)
        assert await net.b.states(order_id) == {"sae-b": "active"}
        await net.a.kill()
        await net.a.start()
        await net.b.void(order_id)

        async def forgotten() -> bool:
            return not await net.a.rows("SELECT 1 FROM outbox")

        await until(forgotten)


# Verdicts


@in_loop
async def test_bytes_that_the_slave_has_used_are_passed_over(tmp_path: Path) -> None:
    """Orders of an earlier life of the master: it burns those bytes and plans anew; the request knows nothing of it."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.HANGS]
        lost = asyncio.gather(*(net.a.issue("sae-b", count=3) for _ in range(2)), return_exceptions=True)
        await net.a.wires["ab"].hanging.wait()
        await net.a.kill()
        lost.cancel()
        before = net.a.orders()
        await net.a.start()
        assert await net.a.cursors("a") == [(1, 32)]
        got = await net.a.issue("sae-b")
        assert got.keys.reveal() == net.material[block_id][192:224] == await fetched(net, got)
        tried, last = net.a.orders()[len(before) :]
        assert not await net.b.states(tried)
        assert await net.b.states(last) == {"sae-b": "deactivated"}
        assert await net.a.cursors("a") == await net.b.cursors("a") == [(1, 32 + 224)]
        assert net.a.actions() == ["burn", "enc_keys"]
        # what the lost orders left at the slave ends by its own deadline
        net.clock.now += WAIT_S
        await net.b.store.sweep()
        for order_id in before:
            assert await net.b.states(order_id) == {"sae-b": "destroyed"}


@in_loop
async def test_a_slave_that_always_says_used_is_not_asked_for_ever(tmp_path: Path) -> None:
    """The request ends with 503 after some tries."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        wire, exchange = net.a.wires["ab"], net.a.wires["ab"].exchange

        async def always_used(_method: str, url: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
            status, answer = await exchange(_method, url, body, timeout_s=timeout_s)
            return (status, answer.replace(b'"verdicts":[{}]', b'"verdicts":[{"used":[["qkd",1,32]]}]'))

        wire.exchange = always_used  # type: ignore[method-assign]  # a lying KME
        with pytest.raises(PeerUnavailable, match="different blocks"):
            await net.a.issue("sae-b")
        assert 1 < len(net.a.orders()) < 50


@in_loop
async def test_a_refused_order_does_not_harm_the_others_of_its_batch(tmp_path: Path) -> None:
    """The slave KME denies one of three that were cut from one block: those before and behind it are given."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        net.b.judge = lambda order: "not for this pair" if "sae-b2" in order.slave_saes else ""
        first, second, third = await together(net.a.issuers["ab"], net, "sae-b", "sae-b2", "sae-b")
        assert isinstance(second, NoKeyAvailable)
        assert "not for this pair" in second.message
        material = net.material[block_id]
        for one, at in ((first, 0), (third, 64)):
            assert isinstance(one, Issued)
            assert one.keys.reveal() == material[at : at + 32] == await fetched(net, one)
        await net.b.void(net.a.orders()[1])
        assert {"burn", "enc_keys"} <= set(net.a.actions())


# Stock


@in_loop
async def test_too_little_in_stock_consumes_nothing(tmp_path: Path) -> None:
    """The refusal says how much there is, and a smaller request gets it."""
    async with running(tmp_path) as net:
        block_id = await net.fill(80)
        with pytest.raises(PoolTooSmall) as caught:
            await net.a.issue("sae-b", count=3)
        assert caught.value.stored_octets == 80
        assert (await net.a.issue("sae-b", count=2)).keys.reveal() == net.material[block_id][:64]


@in_loop
async def test_an_order_id_names_its_keys(tmp_path: Path) -> None:
    """Key IDs are the order's and a number."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b", count=3)
        assert [one[:-INDEX_DIGITS] for one in got.key_ids] == net.a.orders() * 3
