"""A KME that comes with a new store: what was shared with the old one ends, in parts, and the audit names it all."""

import asyncio
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.edge.kme.two_kmes import Kme, add_block, in_loop, running, until

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import losing
from keystrand.edge.kme.losing import lose_rest, lose_shared
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.edge.store.holdings import NewHolding
from keystrand.model.errors import KeystrandError


def told(kme: Kme, action: str, member: str) -> list[str]:
    """Return all that a KME's audit names in `member` of its records of `action`."""
    lines = [json.loads(line) for file in segments(kme.stores / "audit") for line in whole_lines(file)]
    return [one for line in lines if line["action"] == action for one in line["detail"].get(member, ())]


async def hold(kme: Kme, peer: str, number: int) -> list[str]:
    """Have a KME hold orders of another for its SAE; return their IDs."""
    ids = [f"00000000-0000-7000-8000-{n:09d}" for n in range(number)]
    until_s = kme.clock.now + 3600
    new = [
        NewHolding(one, f"sae-{kme.name}", "slave", "sae-b", peer, "ab", 256, 1, Secret(os.urandom(32)), "{}", until_s)
        for one in ids
    ]
    await kme.store.committer.do(lambda tx: kme.store.holdings.write(tx, new, kme.store.epoch))
    return ids


@in_loop
async def test_what_a_lost_store_shared_is_named_in_the_audit(tmp_path: Path) -> None:
    """Each order that is void and each block that is destroyed; then the link goes on with the new store."""
    async with running(tmp_path) as net:
        orders = await hold(net.a, "b", 3)
        blocks = [await net.fill(64), await net.fill(64, master="b")]
        await net.b.stop()
        shutil.rmtree(net.b.stores)
        await net.b.start()

        async def known() -> bool:
            return "peer_has_new_store" in net.a.actions()

        await until(known)
        assert sorted(told(net.a, "void", "orders")) == orders
        assert sorted(told(net.a, "destroy_blocks", "blocks")) == sorted(blocks)
        assert await net.a.rows("SELECT 1 FROM block") == []
        assert set(await net.a.rows("SELECT state, sealed FROM holding")) == {("destroyed", None)}
        await net.trusted()
        await net.fill(64)
        await net.a.issue("sae-b")
        assert not net.a.failures


@in_loop
async def test_it_ends_in_parts_and_nothing_is_cut_in_between(tmp_path: Path) -> None:
    """Others are served meanwhile; of what is about to be destroyed no key is made."""
    async with running(tmp_path) as net:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losing, "_AT_ONCE", 10)
            orders = await hold(net.a, "b", 35)
            blocks = [await net.fill(64) for _ in range(3)]
            for _ in range(30):
                blocks.append(str(uuid.uuid4()))
                assert await add_block(net.a, "ab", "a", os.urandom(96), blocks[-1])
            link, store = net.a.links["ab"], net.a.store
            ended: list[Any] = []
            losing_it = asyncio.create_task(lose_shared(store, link))
            await asyncio.sleep(0)
            assert not link.trusted
            asked = net.a.issuers["ab"].submit(net.a.ask("sae-b"))  # as if it had waited in line
            while not losing_it.done():
                await store.committer.do(lambda tx: tx.rows("SELECT 1"))
                ended.append(len(told(net.a, "void", "orders")) + len(told(net.a, "destroy_blocks", "blocks")))
            await losing_it
            with pytest.raises(KeystrandError):
                await asked
            assert len(set(ended)) > 3
            await store.committer.do(lambda tx: lose_rest(tx, store, link))
        assert sorted(told(net.a, "void", "orders")) == orders
        assert sorted(told(net.a, "destroy_blocks", "blocks")) == sorted(blocks)
        assert net.a.orders() == []
