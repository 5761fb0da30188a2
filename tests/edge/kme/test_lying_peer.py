"""A KME with a valid certificate that lies, floods or was put back from a copy: it costs its own link, nothing else."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import Kme, Network, add_block, in_loop, running, until

from keystrand.edge.devices.pqc import Agreeing, allowance
from keystrand.edge.devices.source import Feed
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.denials import Allowance
from keystrand.edge.kme.messages import (
    AGREE_URL,
    ASSIGN_URL,
    CONFIRM_URL,
    HELLO_URL,
    NOTICES_URL,
    PIECES,
    ROTATE_URL,
    USED,
    Rotate,
    Rotated,
)
from keystrand.edge.kme.ordering import new_order_id
from keystrand.edge.kme.pair import Pair
from keystrand.edge.kme.rotating import Rotating
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.pki import Kind
from keystrand.edge.store import peers
from keystrand.edge.store.pools import CONFIRMATION_OCTETS as C
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.witness import WRITERS
from keystrand.model.errors import NoKeyAvailable, PeerUnavailable, StoreFailure
from keystrand.model.key import SourceKind

BLOCK = 512
TOLD = {"label": "simulated", "sources": ["qkd"], "qber": 0, "received": 0, "profile": "p", "hops": ["kme-b"]}
Answer = Callable[[Any], Any]


class Liar:
    """A KME of our own making at the far end of a wire: it answers by URL what it wants."""

    def __init__(self, name: str, **answers: Answer) -> None:
        self.name, self.ended = name, asyncio.Event()
        self.answers: dict[str, Answer] = {HELLO_URL: lambda _: {"mark": mark()}, **answers}

    async def answer(self, _caller: str, url: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        answer = self.answers.get(url)
        return (200, json.dumps(answer(json.loads(body))).encode()) if answer else (503, b"{}")


def mark(**changed: Any) -> dict[str, Any]:
    """Return a mark of the liar's store."""
    return {"store": "evil", "writer": "only", "start": "s1", "begun": 0, "generation": 1} | changed


def order(order_id: str = "", **changed: Any) -> dict[str, Any]:
    """Return an order of `sae-b` for one key of 256 bits."""
    strands = [{"source": "qkd", "pieces": [[1, C, 32]]}]
    asked = {"order_id": order_id or new_order_id(1.8e9), "master_sae": "sae-b", "slave_saes": ["sae-a"], "size": 256}
    return asked | {"count": 1, "profile": "p", "strands": strands} | changed


async def say(net: Network, url: str, body: Any, *, name: str = "b") -> tuple[int, Any]:
    """Have KME `b` say something to KME `a`, whatever its own software would say."""
    status, answer = await net.a.answer(name, url, json.dumps(body).encode())
    return status, json.loads(answer)


async def assign(net: Network, *orders: dict[str, Any], **changed: Any) -> tuple[int, Any]:
    """Have KME `b` send orders with the mark of its real store, or another."""
    shown = mark(**changed) if changed else json.loads(_encoded(net.b))
    return await say(net, ASSIGN_URL, {"link": "ab", "mark": shown, "orders": list(orders)})


def _encoded(kme: Kme) -> bytes:
    shown = kme.store.mark
    return json.dumps({name: getattr(shown, name) for name in shown.__struct_fields__}).encode()


def unharmed(kme: Kme) -> bool:
    """Return whether the process would go on."""
    return not kme.failures and not kme.store.committer.failed.done()


async def issues(net: Network, link: str, slave: str) -> None:
    """Get a key over a link and fetch it at its other end."""
    issued = await net.a.issue(slave, link=link)
    other = net.c if link == "ac" else net.b
    (taken,) = await other.take(slave, "sae-a", issued.key_ids)
    assert bytes(taken.key) == issued.keys.reveal()


# A store that was put back


@pytest.mark.parametrize("restarts", [0, 3])
@pytest.mark.parametrize("says_hello", ["copy", "peer"])
@in_loop
async def test_a_copy_that_catches_up_is_found(tmp_path: Path, restarts: int, says_hello: str) -> None:
    """Store, keyring and audit are put back, and commit more than was ever seen before the other end is heard of.

    They may be started again meanwhile, any number of times; whoever greets the other first, the copy ends for good.
    """
    async with running(tmp_path) as net:
        await net.a.stop()
        shutil.copytree(net.a.stores, tmp_path / "copy")
        await net.a.start()
        await net.trusted()
        for no in range(4):
            await net.fill(BLOCK)
            assert no + 1 == len(net.material)

        async def shown() -> bool:
            rows = await net.b.rows("SELECT generation FROM witness WHERE kme = 'a'")
            return rows == [(net.a.store.mark.generation,)]

        await until(shown)
        seen = net.a.store.mark
        await net.a.stop()
        shutil.rmtree(net.a.stores)
        shutil.copytree(tmp_path / "copy", net.a.stores)
        net.a.wires["ab"].faults[HELLO_URL] = [Fault.UNREACHED] * 1000
        net.b.wires["ab"].faults[HELLO_URL] = [Fault.UNREACHED] * 1000
        await net.a.start()
        while net.a.store.mark.generation <= seen.generation + 5:
            await add_block(
                net.a, "ab", "a", bytes(BLOCK), f"00000000-0000-4000-8000-{net.a.store.mark.generation:012}"
            )
        for _ in range(restarts):
            await net.a.stop()
            await net.a.start()
        greeter = net.a if says_hello == "copy" else net.b
        greeter.wires["ab"].faults.clear()
        if says_hello == "peer":
            net.b.peerings["ab"].doubt("a test")
        async with asyncio.timeout(10):
            failure = await asyncio.shield(net.a.store.committer.failed)
        assert "put back from a copy" in failure.message
        assert not net.a.links["ab"].trusted
        with pytest.raises(StoreFailure):
            await net.a.take("sae-a", "sae-b", [])
        assert await net.b.rows("SELECT start, generation FROM witness") == [(seen.start, seen.generation)]
        assert net.a.actions()[-1] == "put_back"
        await net.a.stop()
        for _ in range(3):
            with pytest.raises(StoreFailure, match="put back from a copy"):
                await net.a.start()


@in_loop
async def test_a_store_that_only_starts_again_is_trusted(tmp_path: Path) -> None:
    """However often, at either end or both, by stop or crash; both remember the run that is."""
    async with running(tmp_path) as net:
        for no in range(4):
            for kme in (net.a, net.b)[no % 2 :]:
                await (kme.stop() if no < 2 else kme.kill())
            for kme in (net.b, net.a):
                if not kme.up:
                    await kme.start()
            await net.trusted()
            await net.fill(BLOCK)
            await issues(net, "ab", "sae-b")

            async def seen() -> bool:
                shown = [await one.rows("SELECT start FROM witness WHERE kme <> 'c'") for one in (net.b, net.a)]
                return shown == [[(one.store.mark.start,)] for one in (net.a, net.b)]

            await until(seen)
        assert unharmed(net.a)
        assert unharmed(net.b)
        assert "peer_rolled_back" not in (*net.a.actions(), *net.b.actions())


@pytest.mark.parametrize("speaks", ["it", "the other"])
@in_loop
async def test_a_snapshot_that_goes_on_in_its_run_is_found(tmp_path: Path, speaks: str) -> None:
    """A machine that is resumed at an earlier moment hears of it with the next hello of either end."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        ahead = net.a.store.mark
        ahead = net.a.store.own_marks.marked(ahead.writer, ahead.start, ahead.begun, ahead.generation + 1000)
        await net.b.store.committer.do(lambda tx: peers.witness(tx, "a", ahead))
        (net.a if speaks == "it" else net.b).peerings["ab"].doubt("a test")
        async with asyncio.timeout(10):
            failure = await asyncio.shield(net.a.store.committer.failed)
        assert "put back from a copy" in failure.message


@in_loop
async def test_a_retired_store_that_comes_back_is_found(tmp_path: Path) -> None:
    """X, then a new store Y, then an old copy of X: it is no new store, and is shown how far X had come."""
    async with running(tmp_path) as net:
        await net.a.stop()
        shutil.copytree(net.a.stores, tmp_path / "copy")
        await net.a.start()
        await net.trusted()
        await net.fill(BLOCK)
        await issues(net, "ab", "sae-b")

        async def shown(number: int) -> bool:
            rows = await net.b.rows("SELECT generation FROM witness WHERE store = ?", net.a.store.id)
            return bool(rows) and rows[0][0] >= number

        await until(lambda: shown(net.a.store.mark.generation))
        await net.a.stop()
        shutil.rmtree(net.a.stores)
        await net.a.start()
        await until(lambda: shown(1))
        await net.a.stop()
        new = await net.b.rows("SELECT store, start, generation FROM witness")
        shutil.rmtree(net.a.stores)
        shutil.copytree(tmp_path / "copy", net.a.stores)
        await net.a.start()
        async with asyncio.timeout(10):
            failure = await asyncio.shield(net.a.store.committer.failed)
        assert "put back from a copy" in failure.message
        assert not net.a.links["ab"].trusted
        assert await net.b.rows("SELECT store, start, generation FROM witness") == new
        assert net.b.actions().count("peer_has_new_store") == 1
        assert "peer_rolled_back" in net.b.actions()


@pytest.mark.parametrize("proof", ["", "0" * 64, "true", "none"])
@in_loop
async def test_an_accusation_without_proof_costs_one_link(tmp_path: Path, proof: str) -> None:
    """What this store never said, and what it said and has not gone behind, accuses nobody: other links go on."""
    net = Network(tmp_path)
    try:
        await net.c.start()
        liar = Liar("b")

        def accuse(hello: Any) -> Any:
            seen = hello["mark"] if proof == "true" else hello["mark"] | {"generation": 1 << 50, "proof": proof}
            return {"mark": mark(), "seen": [] if proof == "none" else [seen], "doubted": True}

        liar.answers[HELLO_URL] = accuse
        net.a.wires["ab"].there = liar
        await net.a.start()

        async def accused() -> bool:
            return "without proof" in net.a.links["ab"].trouble and net.a.links["ac"].trusted

        await until(accused)
        assert unharmed(net.a)
        assert not net.a.links["ab"].trusted
        await net.fill(BLOCK, link="ac")
        await issues(net, "ac", "sae-c")
    finally:
        await net.a.stop()
        await net.c.stop()


@in_loop
async def test_writers_that_a_peer_invents_are_few(tmp_path: Path) -> None:
    """However many it shows; marks of two stores, or of one writer twice, are no answer at all."""
    async with running(tmp_path, names="a") as net:
        for turn in range(6):
            first, *others = [mark(writer=f"w{turn}-{n}", generation=turn + n) for n in range(WRITERS)]
            status, _ = await say(net, HELLO_URL, {"mark": first, "others": others})
            assert status == 200
        assert await net.a.rows("SELECT count(*) FROM witness") == [(WRITERS,)]
        for wrong in (mark(store="two", writer="x"), mark(generation=7)):
            assert (await say(net, HELLO_URL, {"mark": mark(), "others": [wrong]}))[0] == 503
        assert unharmed(net.a)


@in_loop
async def test_a_writer_that_a_copy_does_not_know(tmp_path: Path) -> None:
    """A process of a new name tells of its neighbours: the one that was seen and is not there tells of the copy."""
    async with running(tmp_path, names="a") as net:
        one, two = mark(writer="one", generation=50), mark(writer="two", generation=30)
        assert not (await say(net, HELLO_URL, {"mark": one, "others": [two]}))[1]["doubted"]
        new = mark(writer="new", start="s9", begun=0, generation=900)
        answer = (await say(net, HELLO_URL, {"mark": new, "others": [one, two]}))[1]
        assert not answer["doubted"]
        for others in ([], [one], [one, two | {"start": "s0", "begun": 20, "generation": 25}]):
            answer = (await say(net, HELLO_URL, {"mark": new, "others": others}))[1]
            assert answer["doubted"]
            assert {seen["writer"] for seen in answer["seen"]} == {"one", "two", "new"}


@in_loop
async def test_a_peer_changes_its_store_seldom(tmp_path: Path) -> None:
    """Each change destroys what was shared, in parts; after a few it must wait, and the audit has few lines of it."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK, master="b")
        await net.fill(BLOCK)
        assert (await assign(net, order()))[1]["verdicts"] == [{}]
        await net.b.stop()
        answers = [(await say(net, HELLO_URL, {"mark": mark(store=f"s{n}")}))[0] for n in range(40)]
        assert answers[:3] == [200] * 3
        assert set(answers[4:]) == {503}
        assert await net.a.rows("SELECT 1 FROM block") == []
        assert await net.a.rows("SELECT state, sealed FROM holding") == [("destroyed", None)]
        assert 1 <= net.a.actions().count("peer_has_new_store") <= 3
        assert unharmed(net.a)


# What cannot be said


@pytest.mark.parametrize(
    ("url", "body"),
    [
        *[(HELLO_URL, {"mark": mark(**{name: value})}) for name, value in (
            ("generation", 1 << 63), ("begun", 1 << 53 | 1), ("start", "\0"), ("store", "x" * 65),
            ("writer", "w" * 900_000),
        )],
        (HELLO_URL, {"mark": mark(), "others": [mark(writer=f"w{n}") for n in range(WRITERS)]}),
        *[(ASSIGN_URL, {"link": "ab", "mark": mark(), "orders": [order(**changed)]}) for changed in (
            {"master_sae": "sae-b\0"}, {"slave_saes": ["sae-a", "\x07"]}, {"profile": "p" * 129}, {"profile": "\0"},
            {"strands": [{"source": "qkd", "pieces": [[1, C, 0]]}]},
            {"strands": [{"source": "qkd", "pieces": [[1 << 60, C, 32]]}]},
            {"told": {"hops": 5}},
            {"told": TOLD | {"hops": ["x"] * 65}}, {"told": TOLD | {"hops": [""]}}, {"told": TOLD | {"qber": 2}},
        )],
        (ASSIGN_URL, {"link": "ab", "mark": mark(), "orders": [
            order(strands=[{"source": "qkd", "pieces": [[1, C, 32]] * (PIECES // 2 + 1)}]) for _ in range(2)
        ]}),
        *[(NOTICES_URL, {"link": "ab", "notices": [{"order_id": new_order_id(1.8e9), "event": event}]}) for event in (
            KeyEvent.ASSIGN, KeyEvent.DELIVER, KeyEvent.REPLAY, KeyEvent.EXPIRE,
        )],
        (CONFIRM_URL, {"link": "ab", "blocks": [
            {"block_id": "0" * 36, "source": "qkd", "no": 1, "length": 9, "tag": "0" * 32}
        ]}),
    ],
)  # fmt: skip
@in_loop
async def test_what_no_kme_says(tmp_path: Path, url: str, body: Any) -> None:
    """Numbers, names and lengths out of their bounds, and events that are not a peer's: 400, and nothing is written."""
    async with running(tmp_path, names="a") as net:
        before = net.a.store.mark.generation
        assert (await say(net, url, body))[0] == 400
        assert net.a.store.mark.generation == before
        assert unharmed(net.a)


# Orders


@in_loop
async def test_a_slave_uses_the_id_of_our_order_for_its_own(tmp_path: Path) -> None:
    """While ours is under way it becomes one of the other end's: ours is void, and the link goes on."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        await net.fill(BLOCK, master="b")
        wire = net.a.wires["ab"]

        async def collide(url: str) -> None:
            if url == ASSIGN_URL:
                assert (await assign(net, order(net.a.orders()[-1])))[1]["verdicts"] == [{}]

        wire.before = collide
        with pytest.raises(NoKeyAvailable):
            await net.a.issue("sae-b")
        wire.before = None
        assert unharmed(net.a)
        await net.b.void(net.a.orders()[-1])
        await issues(net, "ab", "sae-b")


@pytest.mark.parametrize(
    "used",
    [
        [["qkd", 7, 40]], [["pqc", 1, 40]], [["qkd", 1, 40]] * 2, [["qkd", 1, -2]],
        [["qkd", n, -1] for n in range(USED + 1)],
    ],
)  # fmt: skip
@in_loop
async def test_verdicts_about_other_blocks(tmp_path: Path, used: Any) -> None:
    """Blocks that were not asked for, one twice, or more than fit: the order is in doubt, and the next one goes on."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        real = net.b

        async def lie(_caller: str, url: str, body: bytes) -> tuple[int, bytes]:
            status, answer = await real.answer("a", url, body)
            if url == ASSIGN_URL:
                answer = json.dumps(json.loads(answer) | {"verdicts": [{"used": used}]}).encode()
            return status, answer

        liar = Liar("b")
        liar.answer = lie  # type: ignore[method-assign]  # what this one says of its orders
        net.a.wires["ab"].there = liar
        with pytest.raises(PeerUnavailable):
            await net.a.issue("sae-b")
        net.a.wires["ab"].there = real
        assert unharmed(net.a)
        await net.b.void(net.a.orders()[-1])
        await net.trusted()
        await issues(net, "ab", "sae-b")


LONG = "why\n\x1b[2J" + "x" * 100_000
"""What a peer may want to see in somebody's log."""


@in_loop
async def test_what_a_refusal_says_fills_no_log(tmp_path: Path) -> None:
    """Of the other end's words the first 200 characters are told, on one line."""
    async with running(tmp_path) as net:
        liar = Liar("b")

        async def refuse(_caller: str, url: str, body: bytes) -> tuple[int, bytes]:
            if url != ROTATE_URL:
                return await net.b.answer("a", url, body)
            return 400, json.dumps({"message": LONG, "details": [{LONG: LONG}]}).encode()

        liar.answer = refuse  # type: ignore[method-assign]  # what this one says of a rotation
        net.a.wires["ab"].there = liar
        feed = Feed(net.a.entity, net.a.entity.network.links["ab"], cast("PeerWays", net.a.wires["ab"]))
        asked = Rotate(link="ab", master_sae="sae-a", slave_sae="sae-b")
        with pytest.raises(PeerUnavailable) as caught:
            await feed.ask(ROTATE_URL, asked, Rotated, timeout_s=1)
        assert caught.value.message == f"b: why??[2J{'x' * 192}"


@in_loop
async def test_what_a_verdict_says_stands_in_the_audit_on_one_line(tmp_path: Path) -> None:
    """A refusal of the other end is told with its reason, as far as that can be printed."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        real = net.b

        async def lie(_caller: str, url: str, body: bytes) -> tuple[int, bytes]:
            status, answer = await real.answer("a", url, body)
            if url == ASSIGN_URL:
                answer = json.dumps(json.loads(answer) | {"verdicts": [{"denied": LONG[:512]}]}).encode()
            return status, answer

        liar = Liar("b")
        liar.answer = lie  # type: ignore[method-assign]  # what this one says of its orders
        net.a.wires["ab"].there = liar
        with pytest.raises(NoKeyAvailable) as caught:
            await net.a.issue("sae-b")
        assert caught.value.message.endswith(f": why??[2J{'x' * 192}")


@in_loop
async def test_orders_beyond_this_end_s_limits(tmp_path: Path) -> None:
    """Too long, too short, too many, too many slaves: denied; of a flood of them the audit has the number.

    What status calls the shortest key holds for a peer's orders too: no SAE here gets a shorter one, and the rows and
    lines that a block can cost are no more than its bits allow.
    """
    async with running(tmp_path) as net:
        await net.fill(BLOCK, master="b")
        long = order(size=8192, strands=[{"source": "qkd", "pieces": [[1, C, 1024]]}])
        short = order(size=56, strands=[{"source": "qkd", "pieces": [[1, C, 7]]}])
        many = order(size=64, count=129, strands=[{"source": "qkd", "pieces": [[1, C, 129 * 8]]}])
        crowd = order(slave_saes=["sae-a", *[f"sae-{n}" for n in range(9)]])
        _, answer = await assign(net, long, short, many, crowd)
        whys = ("at most 4096 bits", "at least 64 bits", "128 keys", "slave SAEs")
        for verdict, why in zip(answer["verdicts"], whys, strict=True):
            assert why in verdict["denied"]
        for _ in range(4):
            await assign(net, *[order(slave_saes=["sae-c"]) for _ in range(100)])
        assert net.a.actions().count("assign_denied") <= 20
        assert unharmed(net.a)


@in_loop
async def test_a_peer_has_so_much_key_made_here_and_no_more(tmp_path: Path) -> None:
    """Agreed key is the one kind that comes whenever a peer wants it, and rows and lines with every few bytes of it."""
    async with running(tmp_path) as net:
        entity = net.a.entity
        feed = Feed(entity, entity.network.links["ab"], cast("PeerWays", net.a.wires["ab"]))
        agreeing = Agreeing(entity.network, {("ab", SourceKind.PQC): (feed, Allowance(3, 60.0))})
        entity.posts[AGREE_URL.encode()] = agreeing.answer
        share = MLKEM768PrivateKey.generate().public_key().public_bytes_raw().hex()
        asked = [{"link": "ab", "block_id": str(uuid.uuid4()), "source": "pqc", "share": share} for _ in range(5)]
        assert [(await say(net, AGREE_URL, one))[0] for one in asked] == [200] * 3 + [503] * 2
        assert net.a.actions().count("block") == 3
        assert unharmed(net.a)


@pytest.mark.parametrize(("bits_per_s", "blocks"), [(8, 60), (8192, 60), (10 * 8192, 600)])
def test_an_honest_peer_never_meets_it(bits_per_s: int, blocks: int) -> None:
    """In a minute one block a second, or four times what this end makes, whichever is more."""
    assert allowance(bits_per_s).take("b", blocks)
    assert not allowance(bits_per_s).take("b", blocks + 1)


@in_loop
async def test_blocks_that_go_within_a_batch(tmp_path: Path) -> None:
    """Assign, a new store, assign again, all in one commit: verdicts, and the process goes on."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK, master="b")
        await net.b.stop()
        answers = await asyncio.gather(
            assign(net, order()),
            say(net, HELLO_URL, {"mark": mark()}),
            assign(net, order(strands=[{"source": "qkd", "pieces": [[1, C + 32, 32]]}]), start="s1"),
        )
        assert {status for status, _ in answers} <= {200, 401}
        assert unharmed(net.a)
        status, answer = await assign(net, order(), start="s1")
        assert (status, answer["verdicts"]) == (200, [{"used": [["qkd", 1, -1]]}])


# Notices


@in_loop
async def test_who_suspended_resumes(tmp_path: Path) -> None:
    """What this end's operator suspended no other KME resumes; what that KME suspended it does."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK, master="b")
        one = order()
        await assign(net, one)

        async def tell(event: str) -> str:
            body = {"link": "ab", "notices": [{"order_id": one["order_id"], "event": event}]}
            assert (await say(net, NOTICES_URL, body))[0] == 200
            return (await net.a.states(one["order_id"]))["sae-a"]

        def here(event: KeyEvent) -> Any:
            return net.a.store.committer.do(lambda tx: net.a.store.holdings.happen(tx, one["order_id"], event))

        assert await tell("suspend") == "suspended"
        assert await tell("resume") == "active"
        await here(KeyEvent.SUSPEND)
        assert await tell("resume") == "suspended"
        assert await tell("suspend") == "suspended"
        assert await tell("resume") == "suspended"
        await here(KeyEvent.RESUME)
        assert await tell("suspend") == "suspended"
        await here(KeyEvent.SUSPEND)
        assert await tell("resume") == "suspended"
        await here(KeyEvent.RESUME)
        assert (await net.a.states(one["order_id"]))["sae-a"] == "active"


@in_loop
async def test_void_orders_that_never_came(tmp_path: Path) -> None:
    """A flood of them neither fills the store nor the audit: after some thousands it must tell them again later."""
    async with running(tmp_path, names="a") as net:

        async def flood() -> int:
            notices = [{"order_id": new_order_id(1.8e9), "event": "void"} for _ in range(256)]
            return (await say(net, NOTICES_URL, {"link": "ab", "notices": notices}))[0]

        answers = [await flood() for _ in range(20)]
        assert answers == [200] * 16 + [503] * 4
        assert await net.a.rows("SELECT count(*) FROM holding") == [(4096,)]
        assert net.a.actions().count("notice") <= 20
        assert unharmed(net.a)


@in_loop
async def test_a_peer_rotates_as_often_as_it_likes(tmp_path: Path) -> None:
    """What ends by it is in the audit each time; of the times when nothing waits there are few lines."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK, master="b")
        Rotating(net.a.entity)
        asked = {"link": "ab", "master_sae": "sae-b", "slave_sae": "sae-a"}
        for turn in range(30):
            if turn > 25:
                strands = [{"source": "qkd", "pieces": [[1, C + 32 * (turn - 26), 32]]}]
                assert (await assign(net, order(strands=strands)))[1]["verdicts"] == [{}]
            assert await say(net, ROTATE_URL, asked) == (200, {"orders_voided": int(turn > 25)})
        assert net.a.actions().count("rotate") == 20 + 4
        assert await net.a.rows("SELECT DISTINCT state FROM holding") == [("destroyed",)]


# A real process


def test_a_certificate_is_no_power_over_the_process(pair: Pair) -> None:
    """A liar with the certificate of a KME says all of it over TLS to a running KME, which goes on serving its SAEs."""
    pair.kme("kme-b").stop()
    channel = Channel(pair.urls[0], pair.credentials(Kind.KME, "kme-b"), kme_id="kme-a")
    orders = [order(master_sae=pair.saes[1], slave_saes=[pair.saes[0]]) for _ in range(100)]
    shown = mark(store="liar", generation=1 << 53)
    notices = [{"order_id": new_order_id(1.8e9), "event": event} for event in ("void", "suspend", "resume", "expire")]
    said = [
        (HELLO_URL, {"mark": shown}), (HELLO_URL, {"mark": mark(generation=1 << 63)}),
        (HELLO_URL, {"mark": mark(store="third", start="\0")}), (HELLO_URL, {"mark": shown | {"start": "s2"}}),
        (ASSIGN_URL, {"link": pair.link, "mark": shown, "orders": orders}),
        *[(NOTICES_URL, {"link": pair.link, "notices": [one]}) for one in notices],
    ]  # fmt: skip
    try:
        answers = [channel.exchange("POST", url, json.dumps(body).encode())[0] for url, body in said]
    finally:
        channel.close()
    assert answers == [200, 400, 400, 200, 200, 200, 200, 200, 400]
    assert pair.kme("kme-a").running
    with pair.client(pair.saes[0]) as client:
        assert client.status(pair.saes[1]).source_kme_id == "kme-a"
