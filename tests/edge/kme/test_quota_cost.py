"""What a quota in bits counts: what was cut of the pools, whatever became of it, and nothing that was given back."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.edge.kme.faulty_wire import Fault, Wire
from tests.edge.kme.two_kmes import Kme, Network, in_loop, running

from keystrand.edge.kme import granting
from keystrand.edge.kme.messages import ASSIGN_URL
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.session import Session
from keystrand.keys.fallback import Exhausted
from keystrand.keys.making import PAD_TAG_OCTETS
from keystrand.keys.rules import BUILT_IN
from keystrand.model.key import SourceKind, Strand, Strength
from keystrand.model.key_policy import CryptoProfile, KeyPolicy, Quota

BLOCK = 512
KEY = 256
PAD = KEY + 8 * PAD_TAG_OCTETS
BOTH: dict[str, Any] = {"additional_slave_SAE_IDs": ["sae-c"]}
HYBRID = CryptoProfile(
    name="hybrid", result=Strength.SIMULATED,
    strands=tuple(Strand(source=one, strength=Strength.SIMULATED) for one in (SourceKind.QKD, SourceKind.PQC)),
)  # fmt: skip
HYBRIDS = msgspec.structs.replace(BUILT_IN.policy, profiles=(HYBRID,), default_profiles=("hybrid",))


def adopt(net: Network, policy: KeyPolicy) -> None:
    """Put a policy in force at the first KME."""
    net.a.entity.grants.stage(policy, "policy.toml")
    net.a.entity.grants.activate()


def limit(net: Network, bits: int, policy: KeyPolicy = BUILT_IN.policy) -> None:
    """Let every SAE of the first KME have `bits`, once."""
    quota = Quota(id="q", sae="*", burst_bits=bits, bits_per_s=0.001)
    adopt(net, msgspec.structs.replace(policy, quotas=(quota,)))


async def get(net: Network, number: int = 1, **asked: Any) -> str:
    """Return what a Get key of the first SAE comes to: nothing, or why not."""
    status, answer = await net.a.served("sae-a", "sae-b/enc_keys", {"number": number, "size": KEY, **asked})
    return "" if status == 200 else json.dumps(answer)


def says_used(wire: Wire, times: int) -> None:
    """Let the other end say of the next orders that it has used their bytes."""
    exchange, left = wire.exchange, [b'"verdicts":[{"used":[["qkd",1,32]]}]'] * times

    async def used(_method: str, url: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        status, answer = await exchange(_method, url, body, timeout_s=timeout_s)
        if url == ASSIGN_URL and left:
            answer = answer.replace(b'"verdicts":[{}]', left.pop())
        return status, answer

    wire.exchange = used  # type: ignore[method-assign]  # a KME that is behind, or lies


async def destroy_blocks(kme: Kme) -> None:
    """Destroy all blocks of `kme`."""

    async def destroy(tx: Transaction) -> None:
        await kme.store.pools.destroy(tx, [one for (one,) in await tx.rows("SELECT block_id FROM block")])

    await kme.store.committer.do(destroy)


# What counts


@in_loop
async def test_a_combined_key_counts_every_strand(tmp_path: Path) -> None:
    """A key of 64 bits takes 256 of each of its two pools."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        await net.fill(BLOCK, source=SourceKind.PQC)
        limit(net, 3 * 512 + 511, HYBRIDS)
        assert not await get(net, 2, size=64)
        assert "asks for 1024" in await get(net, 2, size=64)
        assert not await get(net, size=64)
        assert "511 bits left" in await get(net, size=64)


@in_loop
async def test_pads_and_their_tags_count(tmp_path: Path) -> None:
    """Each further link gives as many bytes as the keys have, and the tag's."""
    async with running(tmp_path, names="abc") as net:
        await net.fill(BLOCK)
        await net.fill(BLOCK, link="ac")
        limit(net, KEY + PAD + 255)
        assert "asks for 1280" in await get(net, 2, **BOTH)
        assert not await get(net, **BOTH)
        assert "255 bits left" in await get(net)


@pytest.mark.parametrize(("tries", "end"), [(1, ""), (16, "cannot be reached")])
@in_loop
async def test_every_try_counts(tmp_path: Path, tries: int, end: str) -> None:
    """What an order was cut from is gone where the other end had used it, whether it comes to an end or not.

    The bucket may then stand below zero.
    """
    async with running(tmp_path) as net:
        await net.fill(2 * BLOCK)
        limit(net, 2 * KEY)
        says_used(net.a.wires["ab"], tries)
        assert end in await get(net)
        refused = await get(net)
        assert " has 0 bits left" in refused
        owed = (max(tries, 2) - 2) * KEY
        assert f"try again in {(KEY + owed) / 0.001:.1f} s" in refused


# What became of it


@in_loop
async def test_what_was_burned_is_not_given_back(tmp_path: Path) -> None:
    """An order for two KMEs of which one is in doubt costs its keys and its pad."""
    async with running(tmp_path, names="abc") as net:
        await net.fill(BLOCK)
        await net.fill(BLOCK, link="ac")
        limit(net, KEY + PAD + KEY)
        net.a.wires["ac"].faults[ASSIGN_URL] = [Fault.REQUEST_LOST]
        assert "cannot be reached" in await get(net, **BOTH)
        assert "256 bits left" in await get(net, 2)
        assert not await get(net)


@in_loop
async def test_what_the_other_end_refuses_is_not_given_back(tmp_path: Path) -> None:
    """A denial burns what was cut, so it counts."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        limit(net, KEY)
        net.b.judge = lambda _: "not for this pair"
        assert await get(net)
        net.b.judge = lambda _: ""
        assert "try again" in await get(net)


@in_loop
async def test_a_delivery_that_fails_is_not_given_back(tmp_path: Path) -> None:
    """The blocks were destroyed while the order was under way: it is burned."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        limit(net, KEY)
        left = [destroy_blocks]

        async def once(url: str) -> None:
            if url == ASSIGN_URL and left:
                await left.pop()(net.a)

        net.a.wires["ab"].before = once
        assert "error on server side" in await get(net)
        await net.fill(BLOCK)
        assert "try again" in await get(net)


@in_loop
async def test_what_was_not_sent_is_given_back(tmp_path: Path) -> None:
    """So is what a pool had too little for: nothing was cut in the end."""
    async with running(tmp_path, names="abc") as net:
        await net.fill(BLOCK)
        limit(net, KEY + PAD)
        net.a.wires["ab"].faults[ASSIGN_URL] = [Fault.UNREACHED]
        assert "cannot be reached" in await get(net, 3)
        await net.trusted()
        assert "error on server side" in await get(net, **BOTH)  # there are no pads
        assert not await get(net, 3)
        assert "try again" in await get(net)


@in_loop
async def test_who_gives_up_has_taken_what_he_asked_for(tmp_path: Path) -> None:
    """It may be cut after all: nobody gets keys for nothing by breaking off in time."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        limit(net, KEY)
        async with net.a.links["ab"].turn:
            asked = asyncio.ensure_future(get(net))
            await asyncio.sleep(0.01)
            asked.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asked
        assert "try again" in await get(net)


# What ran out, when a policy changes


@in_loop
async def test_a_profile_that_a_new_policy_has_no_more_ends_nothing(tmp_path: Path) -> None:
    """It goes while its stock is looked at: what watches goes on."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        grants, reader, looked = net.a.entity.grants, net.a.store.reader, list[Sequence[str]]()
        grants.fallbacks.handle("ab", "qkd-simulated", Exhausted(0), net.clock())

        async def change() -> Session:
            adopt(net, HYBRIDS)
            looked.append(tuple(grants.rules.profiles))
            return await reader()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(granting, "_WATCH_S", 0.001)
            patch.setattr(net.a.store, "reader", change)
            watch = asyncio.ensure_future(grants.watch(net.a.links))
            await asyncio.sleep(0.1)
        assert looked[0] == ("hybrid",)
        assert not watch.done()
        watch.cancel()
