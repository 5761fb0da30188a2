"""Key confirmation and the one-time pad: what passes is the same, and what confirms it is never handed out."""

import hashlib
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import LABEL, Network, add_block, in_loop, peer, running, until

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import confirming
from keystrand.edge.kme.assigning import seal_with_pad, unseal
from keystrand.edge.kme.denials import Sparing
from keystrand.edge.kme.messages import CONFIRM_URL, BlockTag, Confirm, Order, StrandPieces
from keystrand.edge.kme.ordering import new_order_id
from keystrand.edge.pki import Kind
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, Fresh
from keystrand.formats import etsi014
from keystrand.keys.making import PAD_TAG_OCTETS, Origin
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key import SourceKind, Strength

ONE_TIME_KEYS = st.binary(min_size=8, max_size=8).map(lambda seed: hashlib.sha256(seed).digest())
"""Keys as a source gives them: a Poly1305 key of zeros, one in 2**106, would let anything pass."""
CONTENTS = st.builds(lambda key, rest: key + rest, ONE_TIME_KEYS, st.binary(min_size=1, max_size=170))


def fresh(
    content: bytes, *, no: int = 1, block_id: str = "b", source: SourceKind = SourceKind.QKD, label: Strength = LABEL
) -> Fresh:
    """Return a block as its master KME numbered it."""
    return Fresh(block_id, source, no, len(content), label.value)


def tagged(content: bytes, **how: object) -> BlockTag:
    """Return the tag of a block."""
    return confirming.tag_of("ab", fresh(content, **how), Secret(content))  # type: ignore[arg-type]  # as above


@settings(deadline=None)
@given(CONTENTS)
def test_the_same_block_passes(content: bytes) -> None:
    """Two ends that hold the same bytes agree."""
    assert confirming.agrees("ab", tagged(content), Secret(content))


@settings(deadline=None)
@given(CONTENTS, st.data())
def test_any_other_bit_fails(content: bytes, data: st.DataObject) -> None:
    """In what becomes keys, and in what confirms them."""
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    # Poly1305 clears 22 bits of its key: they are no part of it (RFC 8439, 2.5)
    clamped = {3: 0xF0, 7: 0xF0, 11: 0xF0, 15: 0xF0, 4: 0x03, 8: 0x03, 12: 0x03}
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    ignored = bit // 8 in clamped and clamped[bit // 8] >> bit % 8 & 1
    assert confirming.agrees("ab", tagged(content), Secret(changed)) == bool(ignored)


@settings(deadline=None)
@given(CONTENTS)
def test_a_tag_is_for_one_block_under_one_name(content: bytes) -> None:
    """Of another link, ID, source, number or label it says nothing."""
    tag = tagged(content)
    assert not confirming.agrees("ba", tag, Secret(content))
    for other in ({"no": 2}, {"block_id": "c"}, {"source": SourceKind.PQC}, {"label": Strength.INFORMATION_THEORETIC}):
        assert tagged(content, **other).tag != tag.tag


@in_loop
async def test_what_confirms_a_block_is_never_handed_out(tmp_path: Path) -> None:
    """A block gives all of its bytes but the first 32, and not one more."""
    async with running(tmp_path) as net:
        block_id = await net.fill(64)
        got = [await net.a.issue("sae-b") for _ in range(2)]
        assert b"".join(one.keys.reveal() for one in got) == net.material[block_id]
        assert bytes(CONFIRMATION_OCTETS) not in (one.keys.reveal() for one in got)
        with pytest.raises(NoKeyAvailable, match="not enough keys are stored"):
            await net.a.issue("sae-b", size=8)


async def bring(net: Network, here: bytes, there: bytes | None) -> str:
    """Bring a block to the master, and another or none to the slave KME, under one ID."""
    block_id = str(uuid.uuid4())
    if there is not None:
        assert await add_block(net.b, "ab", "a", there, block_id)
    assert await add_block(net.a, "ab", "a", here, block_id)
    net.a.peerings["ab"].block_came()
    return block_id


@in_loop
async def test_blocks_that_differ_are_destroyed_at_both_ends(tmp_path: Path) -> None:
    """Neither hands out a bit of them; the audits say so."""
    async with running(tmp_path) as net:
        await bring(net, b"x" * 96, b"x" * 95 + b"y")
        await bring(net, b"x" * 96, b"x" * 95)

        async def gone() -> bool:
            return not await net.a.rows("SELECT 1 FROM block") and not await net.b.rows("SELECT 1 FROM block")

        await until(gone)
        assert net.a.actions().count("block_differs") == net.b.actions().count("block_differs") == 2
        with pytest.raises(NoKeyAvailable, match="not enough keys are stored"):
            await net.a.issue("sae-b", size=8)


@in_loop
async def test_a_flood_of_blocks_that_differ_is_counted(tmp_path: Path) -> None:
    """All of them are destroyed at both ends; each audit has some of the lines, and then their number."""
    async with running(tmp_path) as net:
        for _ in range(30):
            await bring(net, b"x" * 96, b"x" * 95 + b"y")

        async def gone() -> bool:
            return not await net.a.rows("SELECT 1 FROM block") and not await net.b.rows("SELECT 1 FROM block")

        await until(gone)
        assert net.a.actions().count("block_differs") == net.b.actions().count("block_differs") == 20


@in_loop
async def test_a_block_that_is_not_there_yet_waits(tmp_path: Path) -> None:
    """It is asked about again, and used once the other end has it."""
    async with running(tmp_path) as net:
        block_id = await bring(net, b"x" * 96, None)

        async def asked() -> bool:
            return any(url == CONFIRM_URL for url, _ in net.a.wires["ab"].said)

        await until(asked)
        with pytest.raises(NoKeyAvailable):
            await net.a.issue("sae-b")
        assert await add_block(net.b, "ab", "a", b"x" * 96, block_id)

        async def ready() -> bool:
            return bool(await net.a.rows("SELECT 1 FROM block WHERE ready = 1"))

        await until(ready)
        assert (await net.a.issue("sae-b")).keys.reveal() == b"x" * 32


@in_loop
async def test_a_confirmation_whose_answer_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    """The slave KME is ready first and says the same the second time."""
    async with running(tmp_path) as net:
        net.a.wires["ab"].faults[CONFIRM_URL] = [Fault.ANSWER_LOST, Fault.NONSENSE, Fault.TWICE]
        await net.fill(64)
        assert len(await net.b.rows("SELECT 1 FROM block WHERE ready = 1")) == 1


@in_loop
async def test_one_number_names_one_block(tmp_path: Path) -> None:
    """A second block under a number that is taken is destroyed, a confirmed one under another number stays as it is."""
    async with running(tmp_path) as net:
        await net.fill(64)
        other, content = str(uuid.uuid4()), b"z" * 96
        assert await add_block(net.b, "ab", "a", content, other)
        tags = [
            confirming.tag_of("ab", fresh(content, no=1, block_id=other), Secret(content)),
            confirming.tag_of("ab", fresh(content, no=7, block_id=next(iter(net.material))), Secret(content)),
        ]
        for tag in tags:
            answer = await confirming.confirm(
                net.b.store, Confirm(link="ab", blocks=(tag,)), peer(Kind.KME, "a"), Sparing()
            )
            assert answer.verdicts == (confirming.DIFFERENT,)
        assert await net.b.rows("SELECT block_id, no FROM block") == [(next(iter(net.material)), 1)]


@in_loop
async def test_only_its_master_confirms_a_block(tmp_path: Path) -> None:
    """For another KME, link or source it is as if it were not there."""
    async with running(tmp_path) as net:
        block_id, content = str(uuid.uuid4()), b"z" * 96
        assert await add_block(net.b, "ab", "a", content, block_id)
        tag = confirming.tag_of("ab", fresh(content, block_id=block_id), Secret(content))
        for link, who in (("ab", "c"), ("ac", "a")):
            answer = await confirming.confirm(
                net.b.store, Confirm(link=link, blocks=(tag,)), peer(Kind.KME, who), Sparing()
            )
            assert answer.verdicts == (confirming.ABSENT,)


@in_loop
async def test_a_block_under_another_label_is_destroyed(tmp_path: Path) -> None:
    """The same bytes that one end calls simulated and the other measured are keys of neither."""
    async with running(tmp_path) as net:
        block_id, content = str(uuid.uuid4()), b"z" * 96
        assert await add_block(net.b, "ab", "a", content, block_id)
        tag = confirming.tag_of(
            "ab", fresh(content, block_id=block_id, label=Strength.INFORMATION_THEORETIC), Secret(content)
        )
        answer = await confirming.confirm(
            net.b.store, Confirm(link="ab", blocks=(tag,)), peer(Kind.KME, "a"), Sparing()
        )
        assert answer.verdicts == (confirming.DIFFERENT,)
        assert await net.b.rows("SELECT block_id FROM block") == []


# Keys under a one-time pad


TOLD = Origin(
    label=Strength.SIMULATED, sources=(SourceKind.QKD,), qber=0.01, received=1.8e9, profile="p", hops=("a", "b")
)  # fmt: skip


def sealable(count: int = 1) -> Order:
    """Return an order whose keys can travel under a pad."""
    return Order(
        order_id=new_order_id(1.8e9), master_sae="sae-a", slave_saes=("sae-b", "sae-c"), size=8, count=count,
        profile="p", strands=(StrandPieces(source=SourceKind.QKD, pieces=((1, 32, 64),)),), told=TOLD,
    )  # fmt: skip


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100), ONE_TIME_KEYS)
def test_what_was_sealed_opens(keys: bytes, one_time_key: bytes) -> None:
    """With the same pad and for the same order; the hidden bytes are the keys and the pad, added."""
    pad = hashlib.shake_256(one_time_key).digest(len(keys)) + one_time_key
    order = seal_with_pad(Secret(keys), Secret(pad), sealable())
    opened = unseal(order, Secret(pad))
    assert opened is not None
    assert opened.reveal() == keys
    assert bytes(a ^ b for a, b in zip(etsi014.octets_of(order.sealed), pad, strict=False))[: len(keys)] == keys


@pytest.mark.parametrize(
    "changed",
    [
        {"order_id": new_order_id(1.9e9)}, {"size": 16}, {"count": 2}, {"profile": "q"}, {"master_sae": "sae-x"},
        {"slave_saes": ("sae-b",)}, {"told": None},
        {"told": msgspec.structs.replace(TOLD, label=Strength.INFORMATION_THEORETIC)},
    ],
)  # fmt: skip
def test_the_tag_binds_all_that_is_said_of_the_keys(changed: dict[str, Any]) -> None:
    """For another order, or other words about it, nothing opens."""
    pad = Secret(bytes(range(1 + PAD_TAG_OCTETS)))
    order = seal_with_pad(Secret(b"k"), pad, sealable())
    assert unseal(order, pad) is not None
    assert unseal(msgspec.structs.replace(order, **changed), pad) is None


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.data())
def test_what_was_altered_does_not_open(keys: bytes, data: st.DataObject) -> None:
    """Any bit of it, cut or longer, or no base64 at all."""
    pad = Secret(bytes(range(len(keys) + PAD_TAG_OCTETS)))
    order = seal_with_pad(Secret(keys), pad, sealable())
    sealed = etsi014.octets_of(order.sealed)
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    for wrong in (bytes(changed), sealed[:-1], sealed + b"x", sealed[:10], b""):
        assert unseal(msgspec.structs.replace(order, sealed=etsi014.base64_of(wrong)), pad) is None
    assert unseal(msgspec.structs.replace(order, sealed="not base64!"), pad) is None
