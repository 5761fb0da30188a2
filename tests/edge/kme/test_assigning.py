"""The slave's side of the contract: what it assigns, what it refuses whoever asks, and what it hears of later."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.edge.kme.two_kmes import RETENTION_S, WAIT_S, Kme, Network, in_loop, peer, running, until

from keystrand.edge.kme import assigning, entity
from keystrand.edge.kme.messages import Assign, Notice, Notices, Order, StrandPieces, Verdict
from keystrand.edge.kme.ordering import Issued, new_order_id
from keystrand.edge.kme.transport import Sent
from keystrand.edge.pki import Kind
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Holding
from keystrand.edge.store.pools import CONFIRMATION_OCTETS as C
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.making import STRAND_OCTETS, Origin
from keystrand.keys.witness import StoreMark
from keystrand.model.errors import InvalidInput, PolicyDenied
from keystrand.model.key import SourceKind, Strength

BLOCK = 256
QKD = SourceKind.QKD
TOLD = Origin(label=Strength.SIMULATED, sources=(QKD,), qber=0, received=0, profile="p", hops=("a",))


def order(*pieces: tuple[int, int, int], **changed: Any) -> Order:
    """Return an order of `sae-a` for one key of 256 bits from `pieces` of the QKD pool."""
    asked = Order(
        order_id=new_order_id(1.8e9), master_sae="sae-a", slave_saes=("sae-b",), size=256, count=1, profile="p",
        strands=(StrandPieces(source=QKD, pieces=pieces),),
    )  # fmt: skip
    return msgspec.structs.replace(asked, **changed)


async def verdicts(net: Network, *orders: Order, kme: str = "a", link: str = "ab") -> tuple[Verdict, ...]:
    """Return what KME `b` says of orders that KME `a` sends, without KME `a`'s own bookkeeping."""
    message = Assign(link=link, mark=net.a.store.mark, orders=orders)
    return (await net.b.assigner.assign(message, peer(Kind.KME, kme))).verdicts


async def happen(kme: Kme, order_id: str, event: KeyEvent) -> tuple[Holding, ...]:
    """Let an operator's event happen to an order at `kme`."""

    async def happen(tx: Transaction) -> tuple[Holding, ...]:
        return await kme.store.holdings.happen(tx, order_id, event)

    return await kme.store.committer.do(happen)


# What is assigned


@in_loop
async def test_what_was_assigned_is_durable_and_its_own(tmp_path: Path) -> None:
    """Before the answer: holding, cursor, audit. Its label is that of this end's blocks, whatever was told."""
    async with running(tmp_path) as net:
        block_id = await net.fill(BLOCK)
        one = order((1, C, 32), told={"label": "information-theoretic", "hops": ["x"]})
        assert await verdicts(net, one) == (Verdict(),)
        await net.b.kill()
        await net.b.start()
        await net.trusted()
        (taken,) = await net.b.take("sae-b", "sae-a", [f"{one.order_id}000"])
        assert bytes(taken.key) == net.material[block_id][:32]
        told = msgspec.json.decode(taken.told)
        assert (told["label"], told["hops"]) == ("simulated", ["a", "b"])
        assert net.b.actions() == ["assign"]


@in_loop
async def test_a_gap_is_burned(tmp_path: Path) -> None:
    """An order that leaves bytes out moves the cursor behind itself: what lies before serves nobody any more."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        assert await verdicts(net, order((1, C + 64, 32))) == (Verdict(),)
        assert await verdicts(net, order((1, C, 32))) == (Verdict(used=((QKD, 1, C + 96),)),)


@in_loop
async def test_orders_of_one_message_stand_alone(tmp_path: Path) -> None:
    """Of three, the second wants what the first has: it alone is refused."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        first, second, third = order((1, C, 32)), order((1, C + 16, 32)), order((1, C + 48, 32))
        assert await verdicts(net, first, second, third) == (Verdict(), Verdict(used=((QKD, 1, C + 32),)), Verdict())
        assert await net.b.states(second.order_id) == {}
        assert await net.b.cursors("a") == [(1, C + 80)]


# What is not


@pytest.mark.parametrize(
    "pieces",
    [
        ((1, C - 1, 32),), ((1, 0, 32),), ((1, C + BLOCK - 31, 32),), ((2, C, 32),), ((1, C, 16), (1, C + 8, 16)),
        ((1, C + 16, 16), (1, C, 16)), ((1, 1 << 24, 32),),
    ],
)  # fmt: skip
@in_loop
async def test_bytes_that_are_not_there_to_use(tmp_path: Path, pieces: tuple[tuple[int, int, int], ...]) -> None:
    """What confirms a block, beyond its end, of no block, twice in one order, or backwards: named as used."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        (verdict,) = await verdicts(net, order(*pieces))
        assert verdict.used
        assert all(cursor in (-1, C) for _, _, cursor in verdict.used)
        assert await net.b.cursors("a") == [(1, C)]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"slave_saes": ("sae-c",)}, "no slave SAE"),
        ({"slave_saes": ("sae-a",)}, "no slave SAE"),
        ({"master_sae": "sae-b"}, "its master SAE is not at home"),
        ({"master_sae": "sae-c"}, "its master SAE is not at home"),
        ({"master_sae": "nobody\x00"}, "its master SAE is not at home"),
        ({"count": 2}, "more or fewer bytes"),
        ({"size": 128}, "more or fewer bytes"),
        ({"sealed": "AAAA"}, "more or fewer bytes"),
        ({"strands": (StrandPieces(source=QKD, pieces=((1, C, 32),)),) * 2}, "twice"),
    ],
)
@in_loop
async def test_orders_that_can_never_be_assigned(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    """They are denied with the reason, audited, and nothing is consumed."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        one = order((1, C, 32), **changed)
        (verdict,) = await verdicts(net, one)
        assert why in verdict.denied
        assert await net.b.cursors("a") == [(1, C)]
        assert await net.b.states(one.order_id) == {}
        assert net.b.actions() == ["assign_denied"]


@in_loop
async def test_sealed_and_combined_keys_have_their_limits(tmp_path: Path) -> None:
    """Keys under a pad have one pad; a combined key has a longest size."""
    async with running(tmp_path) as net:
        two = tuple(
            StrandPieces(source=source, pieces=((1, C, STRAND_OCTETS),)) for source in (QKD, SourceKind.PQC)
        )  # fmt: skip
        padded = tuple(StrandPieces(source=each.source, pieces=((1, C, 64),)) for each in two)
        (sealed, long) = await verdicts(net, order(strands=padded, sealed="AAAA"), order(strands=two, size=1 << 18))
        assert sealed.denied.startswith("sealed keys need one pad")
        for changed in ({"profile": "another"}, {"sources": ()}):
            (lied,) = await verdicts(
                net, order(strands=padded[:1], sealed="AAAA", told=msgspec.structs.replace(TOLD, **changed))
            )
            assert lied.denied.startswith("sealed keys need one pad"), changed
        assert long.denied.startswith("a combined key has at most")


@in_loop
async def test_blocks_of_two_labels_make_no_key(tmp_path: Path) -> None:
    """An order across both is denied and its bytes are burned: a label that is half true is none."""
    async with running(tmp_path) as net:
        await net.fill(32)
        await net.fill(BLOCK, label=Strength.INFORMATION_THEORETIC)
        (verdict,) = await verdicts(net, order((1, C, 32), (2, C, 32), count=2))
        assert "not of one label" in verdict.denied
        assert await net.b.cursors("a") == [(2, C + 32)]
        assert not await net.b.rows("SELECT 1 FROM holding")


@in_loop
async def test_this_end_s_own_policy_has_a_say(tmp_path: Path) -> None:
    """What it denies is denied, whatever the master's policy allows."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        net.b.judge = lambda _: "the key policy of this end denies it"
        assert await verdicts(net, order((1, C, 32))) == (Verdict(denied="the key policy of this end denies it"),)
        assert await net.b.cursors("a") == [(1, C)]


@in_loop
async def test_an_order_id_serves_once(tmp_path: Path) -> None:
    """While the order is there, after it was fetched, and after it ended; also where it only was void."""
    async with running(tmp_path, replay_s=0.0) as net:
        await net.fill(BLOCK)
        one, never = order((1, C, 32)), order((1, C + 64, 32))
        assert await verdicts(net, one) == (Verdict(),)
        again = msgspec.structs.replace(order((1, C + 32, 32)), order_id=one.order_id)
        assert (await verdicts(net, again))[0].denied == "its ID was used before"
        await net.b.take("sae-b", "sae-a", [f"{one.order_id}000"])
        assert (await verdicts(net, again))[0].denied == "its ID was used before"
        await tell(net, Notice(order_id=never.order_id, event=KeyEvent.VOID))
        assert (await verdicts(net, never))[0].denied == "its ID was used before"
        net.clock.now += RETENTION_S
        await net.b.store.sweep()
        assert await verdicts(net, never) == (Verdict(),)


@in_loop
async def test_another_kme_cannot_use_this_link(tmp_path: Path) -> None:
    """Its SAEs are not this link's, and the pool of this link's master is not its own."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        (verdict,) = await verdicts(net, order((1, C, 32)), kme="c")
        assert "not at home" in verdict.denied
        (verdict,) = await verdicts(net, order((1, C, 32), master_sae="sae-c"), kme="c")
        assert verdict.used == ((QKD, 1, -1),)
        (verdict,) = await verdicts(net, order((1, C, 32)), link="ac")
        assert verdict.used == ((QKD, 1, -1),)


@pytest.mark.parametrize("store", ["", "another"])
@in_loop
async def test_a_master_whose_store_is_not_the_one_that_was_seen(tmp_path: Path, store: str) -> None:
    """Put back from a copy, or a new one that has not said hello: nothing of it is assigned, and it hears so."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        now = net.a.store.mark
        shown = StoreMark(store=store or now.store, writer=now.writer, start="another", begun=0, generation=0)
        with pytest.raises(PolicyDenied, match="say hello first"):
            await net.b.assigner.assign(
                Assign(link="ab", mark=shown, orders=(order((1, C, 32)),)), peer(Kind.KME, "a")
            )  # fmt: skip
        assert await net.b.cursors("a") == [(1, C)]


# What it hears of later


async def tell(net: Network, *notices: Notice, kme: str = "a") -> None:
    """Tell KME `b` of events as another KME does."""
    await net.b.assigner.follow(Notices(link="ab", notices=notices), peer(Kind.KME, kme))


@in_loop
async def test_a_notice_ends_an_order_and_comes_as_often_as_it_likes(tmp_path: Path) -> None:
    """The second time changes nothing."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        one = order((1, C, 32))
        await verdicts(net, one)
        for _ in range(2):
            await tell(net, Notice(order_id=one.order_id, event=KeyEvent.VOID))
            assert await net.b.states(one.order_id) == {"sae-b": "destroyed"}
        assert not await net.b.rows("SELECT 1 FROM holding WHERE sealed IS NOT NULL")


@in_loop
async def test_a_void_takes_nothing_back(tmp_path: Path) -> None:
    """What its SAE has fetched stays fetched, and may be repeated as before."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        one = order((1, C, 32))
        await verdicts(net, one)
        before = await net.b.take("sae-b", "sae-a", [f"{one.order_id}000"])
        await tell(net, Notice(order_id=one.order_id, event=KeyEvent.VOID))
        assert await net.b.take("sae-b", "sae-a", [f"{one.order_id}000"]) == before


@in_loop
async def test_only_a_kme_that_holds_an_order_may_end_it(tmp_path: Path) -> None:
    """A third KME that learns of an order's ID changes nothing."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        one = order((1, C, 32))
        await verdicts(net, one)
        await tell(net, Notice(order_id=one.order_id, event=KeyEvent.REVOKE), kme="c")
        assert await net.b.states(one.order_id) == {"sae-b": "active"}


@in_loop
async def test_voids_without_end_hold_up_no_revocation(tmp_path: Path) -> None:
    """The slave KME has heard of so many orders that never came that it hears of no more: a revocation it hears."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assigning, "_UNKNOWN", 3)
        async with running(tmp_path) as net:
            await net.fill(BLOCK)
            got = await net.a.issue("sae-b")
            revoked = got.key_ids[0][:-INDEX_DIGITS]

            async def tell(tx: Transaction) -> None:
                for _ in range(5):
                    await peers.tell(tx, new_order_id(0), "b", KeyEvent.VOID, tx.now + RETENTION_S)

            await net.a.store.committer.do(tell)
            net.a.peerings["ab"].news()

            async def refused() -> bool:
                return any(len(body.get("notices", ())) == 5 for _, body in net.a.wires["ab"].said)

            await until(refused)
            await net.a.store.committer.do(
                lambda tx: peers.tell(tx, revoked, "b", KeyEvent.REVOKE, tx.now + RETENTION_S)
            )  # fmt: skip
            net.a.peerings["ab"].news()
            await net.b.void(revoked)
            assert len(await net.a.rows("SELECT 1 FROM outbox WHERE event = 'void'")) == 5


@in_loop
async def test_an_end_is_told_though_something_else_was_asked_for_after_it(tmp_path: Path) -> None:
    """A revocation that the other end has not heard of is not forgotten for a later resume; a suspension is."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        ended, resumed = await net.a.issue("sae-b"), await net.a.issue("sae-b")
        ids = [one.key_ids[0][:-INDEX_DIGITS] for one in (ended, resumed)]
        paused = (KeyEvent.SUSPEND, KeyEvent.RESUME)
        for order_id, events in ((ids[0], (KeyEvent.REVOKE, *paused)), (ids[1], paused)):
            for event in events:
                until_s = net.clock.now + RETENTION_S
                await net.a.store.committer.do(
                    lambda tx, order_id=order_id, event=event, until_s=until_s: peers.tell(  # type: ignore[misc]
                        tx, order_id, "b", event, until_s
                    )
                )
        net.a.peerings["ab"].news()

        async def told() -> bool:
            return not await net.a.rows("SELECT 1 FROM outbox")

        await until(told)
        assert await net.b.states(ids[0]) == {"sae-b": "destroyed"}
        assert await net.b.states(ids[1]) == {"sae-b": "active"}


# What is fetched


@in_loop
async def test_a_key_ends_at_its_deadline(tmp_path: Path) -> None:
    """Also where nothing has swept yet, as just after a start."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b")
        net.clock.now += WAIT_S
        with pytest.raises(InvalidInput):
            await net.b.take("sae-b", "sae-a", got.key_ids)


@in_loop
async def test_nothing_suspended_is_repeated(tmp_path: Path) -> None:
    """Not even the part of an order that was handed out a moment before; resumed, it is."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b", count=2)
        first = await net.b.take("sae-b", "sae-a", got.key_ids[:1])
        await happen(net.b, got.key_ids[0][:-INDEX_DIGITS], KeyEvent.SUSPEND)
        for ids in (got.key_ids[:1], got.key_ids[1:]):
            with pytest.raises(InvalidInput):
                await net.b.take("sae-b", "sae-a", ids)
        await happen(net.b, got.key_ids[0][:-INDEX_DIGITS], KeyEvent.RESUME)
        assert await net.b.take("sae-b", "sae-a", got.key_ids[:1]) == first
        assert await net.b.take("sae-b", "sae-a", got.key_ids[1:])


@in_loop
async def test_what_an_sae_sees(tmp_path: Path) -> None:
    """The same keys by the standard's methods; a repetition over a new connection within the window, and no other."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        status, given = await net.a.served("sae-a", "sae-b/enc_keys?number=2")
        assert status == 200
        keys = {one["key_ID"]: one["key"] for one in given["keys"]}
        body = {"key_IDs": [{"key_ID": key_id} for key_id in keys]}
        for sae, expected in (("sae-b2", 401), ("sae-b", 200)):
            status, got = await net.b.served(sae, "sae-a/dec_keys", body)
            assert status == expected
        assert {one["key_ID"]: one["key"] for one in got["keys"]} == keys
        # the same keys one by one, or in another order, are another request
        for other in ({"key_IDs": body["key_IDs"][:1]}, {"key_IDs": body["key_IDs"][::-1]}):
            assert (await net.b.served("sae-b", "sae-a/dec_keys", other, connection=2))[0] == 400
        assert await net.b.served("sae-b", "sae-a/dec_keys", body, connection=2) == (200, got)
        net.clock.now += 11
        await net.b.store.sweep()
        assert (await net.b.served("sae-b", "sae-a/dec_keys", body, connection=3))[0] == 400


def body_of(got: Issued) -> dict[str, Any]:
    """Return what asks for the keys of an order."""
    return {"key_IDs": [{"key_ID": key_id} for key_id in got.key_ids]}


@in_loop
async def test_an_answer_is_lost_a_few_times_at_most(tmp_path: Path) -> None:
    """Whoever loses it again and again gets 400 as after the window; each repetition before is in the audit."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        body = body_of(await net.a.issue("sae-b", count=2))
        answers = [(await net.b.served("sae-b", "sae-a/dec_keys", body, connection=n))[0] for n in range(1, 9)]
        assert answers == [200] * 5 + [400] * 3
        assert net.b.actions().count("dec_keys_repeated") == 4


@in_loop
async def test_the_latest_answers_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more answers than are remembered the one given longest ago is forgotten, not one that was repeated."""
    monkeypatch.setattr(entity, "_CARRIED", 2)
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        first, second, third = [body_of(await net.a.issue("sae-b")) for _ in range(3)]
        for connection, body in enumerate((first, second, first, third), 1):
            assert (await net.b.served("sae-b", "sae-a/dec_keys", body, connection=connection))[0] == 200
        net.b.entity.sent_over = lambda connection: Sent.ARRIVED if connection == 3 else Sent.GONE
        assert (await net.b.served("sae-b", "sae-a/dec_keys", first, connection=5))[0] == 400


@in_loop
async def test_keys_for_an_sae_of_the_same_kme_need_a_witness_too(tmp_path: Path) -> None:
    """After a start nothing is given out before another KME has seen how far the store has come."""
    async with running(tmp_path) as net:
        await net.fill(BLOCK)
        got = await net.a.issue("sae-b", "sae-a2")
        await net.b.stop()
        await net.a.kill()
        await net.a.start()
        body = {"key_IDs": [{"key_ID": got.key_ids[0]}]}
        assert (await net.a.served("sae-a2", "sae-a/dec_keys", body))[0] == 503
        await net.b.start()
        await net.trusted()
        assert (await net.a.served("sae-a2", "sae-a/dec_keys", body))[0] == 200
