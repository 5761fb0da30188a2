"""The work of a link and of a KME goes on: one damaged block, or a moment's fault, ends nothing in silence."""

import asyncio
import uuid
from pathlib import Path

import pytest
from tests.edge.kme.two_kmes import Kme, add_block, in_loop, running, until

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import granting
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import KeyringFault
from keystrand.edge.store.session import Session
from keystrand.keys import staging
from keystrand.keys.fallback import Exhausted
from keystrand.keys.rules import BUILT_IN, PolicyRules
from keystrand.model.errors import KeystrandError, StoreFailure


async def damage(kme: Kme, block_id: str) -> None:
    """Let the disk lose what a block's row has sealed."""

    async def change(tx: Transaction) -> None:
        await tx.run("UPDATE block_seal SET sealed = ? WHERE block_id = ?", b"lost", block_id)

    await kme.store.committer.do(change)


@pytest.mark.parametrize("end", ["a", "b"])
@in_loop
async def test_a_damaged_block_stops_no_other(tmp_path: Path, end: str) -> None:
    """At either end: it is destroyed at both and audited, the blocks beside it are confirmed, and nothing stops."""
    async with running(tmp_path) as net:
        kme = net.a if end == "a" else net.b
        block_id = str(uuid.uuid4())
        for one in (net.b, net.a):
            assert await add_block(one, "ab", "a", b"x" * 96, block_id)
        await damage(kme, block_id)
        other = await net.fill(64)

        async def gone() -> bool:
            return not await kme.rows("SELECT 1 FROM block WHERE block_id = ?", block_id)

        await until(gone)
        assert (other,) in await net.a.rows("SELECT block_id FROM block WHERE ready = 1")
        assert kme.actions().count("block_damaged") == 1
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[other][:32]
        assert not net.a.failures
        assert not any(one.store.committer.failed.done() for one in (net.a, net.b))


@in_loop
async def test_a_slave_that_finds_its_block_damaged_refuses(tmp_path: Path) -> None:
    """The order is burned, the block is destroyed, and the next order takes the next block."""
    async with running(tmp_path) as net:
        block_id = await net.fill(64)
        net.b.store.pools.forget(block_id)
        await damage(net.b, block_id)
        with pytest.raises(KeystrandError):
            await net.a.issue("sae-b")
        assert net.b.actions().count("block_damaged") == 1
        other = await net.fill(64)
        assert (await net.a.issue("sae-b")).keys.reveal() == net.material[other][:32]


@in_loop
async def test_confirmation_outlives_a_moment_of_the_keyring(tmp_path: Path) -> None:
    """A keyring that is away for a moment, or refuses, is asked again: the block is confirmed."""
    async with running(tmp_path) as net:
        real, faults = net.a.store.pools.content, [StoreFailure("it is away"), KeyringFault("there is no token")]

        async def content(session: Session, block_id: str) -> Secret:
            if faults:
                raise faults.pop()
            return await real(session, block_id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(net.a.store.pools, "content", content)
            await net.fill(64)
        assert not net.a.failures


@pytest.mark.parametrize("step", ["_greet_once", "_confirm_some", "_inform_once"])
@in_loop
async def test_no_work_of_a_link_ends_in_silence(tmp_path: Path, step: str) -> None:
    """A defect stops the process, which says so."""
    async with running(tmp_path) as net:
        peering = net.a.peerings["ab"]

        async def defect() -> bool:
            raise KeyError("x")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(peering, step, defect)
            peering.doubt("to have it greet")
            peering.link.trusted = step != "_greet_once"
            peering.block_came()
            peering.news()

            async def told() -> bool:
                return bool(net.a.failures)

            await until(told)
        assert "ended: KeyError" in net.a.failures[0].message


@in_loop
async def test_the_watch_over_stocks_outlives_a_change_of_policy(tmp_path: Path) -> None:
    """A profile that goes while its stock is counted ends nothing."""
    async with running(tmp_path) as net:
        grants, real, seen = net.a.entity.grants, net.a.store.reader, list[int]()
        grants.revisions = staging.begin(PolicyRules(BUILT_IN.policy, file="", revision=1))
        grants.fallbacks.handle("ab", next(iter(grants.rules.profiles)), Exhausted(0), net.clock())

        async def reader() -> Session:
            seen.append(1)
            grants.rules.profiles.clear()
            return await real()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(granting, "_WATCH_S", 0.01)
            patch.setattr(net.a.store, "reader", reader)
            watch = asyncio.create_task(grants.watch({"ab": net.a.links["ab"]}))
            await asyncio.sleep(0.1)
            assert seen
            assert not watch.done()
            watch.cancel()
