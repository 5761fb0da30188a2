"""One key for SAEs at several KMEs: the same everywhere, or void everywhere, and no pad twice."""

import base64
from pathlib import Path

import pytest
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import Network, in_loop, running

from keystrand.edge.kme.messages import ASSIGN_URL, NOTICES_URL
from keystrand.edge.kme.ordering import KeysBurned
from keystrand.edge.store import peers
from keystrand.edge.store.pools import CONFIRMATION_OCTETS
from keystrand.keys.making import PAD_TAG_OCTETS
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable

BLOCK = 512
PAD = 32 + PAD_TAG_OCTETS


async def filled(net: Network) -> tuple[str, str]:
    """Fill both links and return their blocks."""
    return await net.fill(BLOCK), await net.fill(BLOCK, link="ac")


@in_loop
async def test_every_slave_gets_the_same_key(tmp_path: Path) -> None:
    """At the first slave's KME, at another one, and at the master's own; the wire to the other never shows it."""
    async with running(tmp_path, names="abc") as net:
        first, other = await filled(net)
        got = await net.a.issue("sae-b", "sae-c", "sae-b2", "sae-a2", count=1)
        key = got.keys.reveal()
        assert key == net.material[first][:32]
        for kme, sae in ((net.b, "sae-b"), (net.c, "sae-c"), (net.b, "sae-b2"), (net.a, "sae-a2")):
            (taken,) = await kme.take(sae, "sae-a", got.key_ids)
            assert bytes(taken.key) == key, sae
            with pytest.raises(InvalidInput):
                await kme.take(sae, "sae-a", got.key_ids, repeatable=False)
        (said,) = (body for url, body in net.a.wires["ac"].said if url == ASSIGN_URL)
        sealed = base64.b64decode(said["orders"][0]["sealed"])
        assert bytes(a ^ b for a, b in zip(sealed, net.material[other], strict=False))[:32] == key
        assert await net.c.cursors("a") == [(1, CONFIRMATION_OCTETS + PAD)]


@in_loop
async def test_a_slave_at_home_needs_no_other_link(tmp_path: Path) -> None:
    """A second slave of the master's own KME has its key without a pad."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b", "sae-a2")
        (taken,) = await net.a.take("sae-a2", "sae-a", got.key_ids)
        assert bytes(taken.key) == got.keys.reveal()


@pytest.mark.parametrize("link", ["ab", "ac"])
@pytest.mark.parametrize("fault", [Fault.UNREACHED, Fault.REQUEST_LOST, Fault.ANSWER_LOST, Fault.BROKEN, Fault.LATE])
@in_loop
async def test_where_one_fails_it_is_void_everywhere(tmp_path: Path, fault: Fault, link: str) -> None:
    """Whichever of the two it is: nothing is answered, bytes and pad are burned, and both KMEs hear that it is void."""
    async with running(tmp_path, names="abc") as net:
        first, other = await filled(net)
        net.a.wires[link].faults[ASSIGN_URL] = [fault]
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b", "sae-c", "sae-a2")
        (order_id,) = {*net.a.orders("ab"), *net.a.orders("ac")}
        await net.b.void(order_id)
        await net.c.void(order_id)
        for wire in net.a.wires.values():
            assert all(one["verdicts"][0]["denied"] for one in await wire.deliver_late())
        assert not await net.a.states(order_id)
        assert "burn" in net.a.actions()
        assert await net.a.rows("SELECT p.link, b.cursor FROM block b JOIN pool p ON p.id = b.pool ORDER BY 1") == [
            ("ab", CONFIRMATION_OCTETS + 32), ("ac", CONFIRMATION_OCTETS + PAD),
        ]  # fmt: skip
        got = await net.a.issue("sae-b", "sae-c")
        assert got.keys.reveal() == net.material[first][32:64]
        (taken,) = await net.c.take("sae-c", "sae-a", got.key_ids)
        assert bytes(taken.key) == got.keys.reveal()
        assert await net.c.cursors("a") == [(1, CONFIRMATION_OCTETS + 2 * PAD)]
        assert other in net.material


@in_loop
async def test_where_one_denies_it_is_void_everywhere(tmp_path: Path) -> None:
    """A refusal by the policy of one end ends the order at both."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        net.c.judge = lambda _: "not for this pair"
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b", "sae-c")
        await net.b.void(net.a.orders()[-1])
        await net.c.void(net.a.orders()[-1])


@in_loop
async def test_a_pad_is_burned_before_it_hides_anything(tmp_path: Path) -> None:
    """When the message leaves, the master's store no longer has those bytes: after a crash they serve nobody else."""
    async with running(tmp_path, names="abc") as net:
        _, other = await filled(net)
        seen = []

        async def look(url: str) -> None:
            if url == ASSIGN_URL:
                seen.append(await net.a.rows("SELECT cursor FROM block WHERE block_id = ?", other))

        net.a.wires["ac"].before = look
        net.a.wires["ac"].faults[ASSIGN_URL] = [Fault.REQUEST_LOST]
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b", "sae-c")
        assert seen == [[(CONFIRMATION_OCTETS + PAD,)]]


@in_loop
async def test_too_little_for_a_pad_consumes_nothing(tmp_path: Path) -> None:
    """Where one link cannot hide the key nothing is cut from the other."""
    async with running(tmp_path, names="abc") as net:
        block_id = await net.fill(BLOCK)
        await net.fill(PAD - 8, link="ac")
        with pytest.raises(NoKeyAvailable):
            await net.a.issue("sae-b", "sae-c")
        assert await net.a.cursors("a") == [(1, CONFIRMATION_OCTETS)] * 2
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[block_id][:32]
        assert (await net.a.issue("sae-c", link="ac")).keys


@in_loop
async def test_a_kme_has_another_store_while_it_is_under_way(tmp_path: Path) -> None:
    """What ends every order with one KME ends this one: nothing is delivered, and both KMEs hear that it is void."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)

        async def drop(url: str) -> None:
            if url == ASSIGN_URL:
                await net.a.store.committer.do(lambda tx: peers.void_orders(tx, kme="b"))

        net.a.wires["ac"].before = drop
        with pytest.raises(KeysBurned, match="ended meanwhile"):
            await net.a.issue("sae-b", "sae-c", "sae-a2")
        await net.b.void(net.a.orders()[-1])
        await net.c.void(net.a.orders()[-1])
        assert not await net.a.states(net.a.orders()[-1])


@in_loop
async def test_a_key_that_was_altered_on_its_way_is_denied(tmp_path: Path) -> None:
    """Another bit under the pad, and the other KME takes nothing: the order is void everywhere."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        wire, exchange = net.a.wires["ac"], net.a.wires["ac"].exchange

        async def altered(_method: str, url: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
            at = body.find(b'"sealed":"')
            if at > 0:
                at += len(b'"sealed":"')
                body = body[:at] + (b"A" if body[at : at + 1] != b"A" else b"B") + body[at + 1 :]
            return await exchange(_method, url, body, timeout_s=timeout_s)

        wire.exchange = altered  # type: ignore[method-assign]  # somebody in the middle
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b", "sae-c")
        await net.b.void(net.a.orders()[-1])
        await net.c.void(net.a.orders()[-1])
        assert await net.c.cursors("a") == [(1, CONFIRMATION_OCTETS + PAD)]


@in_loop
async def test_every_kme_hears_of_the_void_in_its_own_time(tmp_path: Path) -> None:
    """One that is away hears of it when it is back."""
    async with running(tmp_path, names="abc") as net:
        await filled(net)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.BROKEN]
        net.a.wires["ac"].faults[NOTICES_URL] = [Fault.UNREACHED] * 2
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b", "sae-c")
        order_id = net.a.orders()[-1]
        await net.b.void(order_id)
        await net.c.kill()
        await net.c.start()
        await net.c.void(order_id)
