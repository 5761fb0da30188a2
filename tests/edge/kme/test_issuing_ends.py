"""Orders under way while a KME stops or a block ends: what was committed stays, and nothing else was ever there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.edge.kme.two_kmes import LIFE_S, Kme, Network, in_loop, running, until

from keystrand.edge.kme.messages import ASSIGN_URL
from keystrand.edge.kme.ordering import Issued
from keystrand.edge.store.committer import Transaction
from keystrand.keys.allocation import PoolTooSmall
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PeerUnavailable

BLOCK = 1024


async def fetched(net: Network, issued: Issued, kme: Kme | None = None, sae: str = "sae-b") -> bytes:
    """Return the keys that a slave SAE gets for an answer to `sae-a`."""
    taken = await (kme or net.b).take(sae, "sae-a", issued.key_ids)
    return b"".join(bytes(one.key) for one in taken)


# Restarts


@in_loop
async def test_the_slave_is_started_again_between(tmp_path: Path) -> None:
    """What it had committed it still has; while it is away requests are refused and consume nothing."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        first = await net.a.issue("sae-b")
        await net.b.kill()
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        assert await net.a.cursors("a") == [(1, 64)]
        await net.b.start()
        await net.trusted()
        second = await net.a.issue("sae-b")
        for one in (second, first):
            assert await fetched(net, one) == one.keys.reveal()


@in_loop
async def test_the_master_is_started_again_between(tmp_path: Path) -> None:
    """It begins where its store stands: delivered keys are not cut again."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        first = await net.a.issue("sae-b", count=2)
        await net.a.kill()
        assert await fetched(net, first) == first.keys.reveal()
        await net.a.start()
        second = await net.a.issue("sae-b")
        assert second.keys.reveal() == net.material[block_id][64:96] == await fetched(net, second)


@in_loop
async def test_a_master_that_ends_answers_who_waits(tmp_path: Path) -> None:
    """A request whose turn has not come is refused; none is left without an answer."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        async with net.a.links["ab"].turn:
            waiting = net.a.issuers["ab"].submit(net.a.ask("sae-b"))
            await net.a.issuers["ab"].close()
        with pytest.raises(PeerUnavailable, match="stopping"):
            await waiting


@in_loop
async def test_too_many_that_wait_are_refused_at_once(tmp_path: Path) -> None:
    """A link whose other end is slow does not gather requests without end."""
    async with running(tmp_path) as net:
        async with net.a.links["ab"].turn:
            futures = [net.a.issuers["ab"].submit(net.a.ask("sae-b")) for _ in range(1100)]
            assert sum(one.done() for one in futures) == 1100 - 1024
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(one, KeystrandError) for one in results)


# Blocks that end


async def destroy_blocks(kme: Kme) -> None:
    """Destroy all blocks of `kme`, as where the other end of its links has a new store."""

    async def destroy(tx: Transaction) -> None:
        await kme.store.pools.destroy(tx, [one for (one,) in await tx.rows("SELECT block_id FROM block")])

    await kme.store.committer.do(destroy)


def once(url: str, act: Callable[[], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """Return what acts before the first exchange of `url`."""
    left = [act]

    async def before(now: str) -> None:
        if now == url and left:
            await left.pop()()

    return before


@in_loop
async def test_blocks_destroyed_at_the_master_while_under_way(tmp_path: Path) -> None:
    """Nothing is answered, the order is made void at the slave, and the process goes on with other blocks."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].before = once(ASSIGN_URL, lambda: destroy_blocks(net.a))
        with pytest.raises(NoKeyAvailable, match="blocks of these keys are gone"):
            await net.a.issue("sae-b")
        await net.b.void(net.a.orders()[0])
        assert not await net.a.rows("SELECT 1 FROM holding")
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b")
        assert await fetched(net, got) == got.keys.reveal()


@in_loop
async def test_blocks_destroyed_at_the_slave_while_under_way(tmp_path: Path) -> None:
    """The slave KME says that it has none; the master passes over the whole block and goes on with the next."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.a.wires["ab"].before = once(ASSIGN_URL, lambda: destroy_blocks(net.b))
        with pytest.raises(NoKeyAvailable):
            await net.a.issue("sae-b")

        async def burned() -> bool:
            return not await net.a.rows("SELECT 1 FROM block")

        await until(burned)
        await net.fill(BLOCK)
        assert await net.a.issue("sae-b")


@in_loop
async def test_blocks_that_grew_too_old_are_passed_over(tmp_path: Path) -> None:
    """A block that was begun and then destroyed for its age holds up nothing: the next request is served."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        await net.a.issue("sae-b")
        net.clock.now += LIFE_S
        await net.a.store.sweep()
        await net.b.store.sweep()
        with pytest.raises(PoolTooSmall):
            await net.a.issue("sae-b")
        block_id = await net.fill(BLOCK)
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[block_id][:32]
