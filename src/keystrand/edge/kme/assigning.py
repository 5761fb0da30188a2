"""The slave's side of the contract: judge orders of a peer KME, assign them durably, follow its notices.

A whole assignment is one operation of the store; each order in it stands or falls alone. Nothing is taken on trust: the
bytes must be unused here whatever the master believes, and the label is that of this end's own blocks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from keystrand.crypto.combiner import COMBINED_BITS_MOST
from keystrand.crypto.labels import SEALED_ORDER, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.kme.config import KeyLimits
from keystrand.edge.kme.denials import Allowance, Sparing
from keystrand.edge.kme.messages import PIECES, USED, Assign, AssignAnswer, Notice, Notices, Order, Verdict
from keystrand.edge.store import peers
from keystrand.edge.store.blocks import BlockDamaged, give_up
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import NewHolding
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import BlockGone, OpenBlock, Pool
from keystrand.edge.tls import Peer
from keystrand.formats.etsi014 import bad_request, base64_of, octets_of
from keystrand.keys.allocation import Piece
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.making import PAD_TAG_OCTETS, Material, Origin, make, octets_needed, origin_of, pad_octets
from keystrand.keys.witness import Standing, StoreMark
from keystrand.model.errors import PeerUnavailable, PolicyDenied
from keystrand.model.key import SourceKind, Strength

_MAY_TELL = frozenset((
    KeyEvent.VOID, KeyEvent.REVOKE, KeyEvent.COMPROMISE, KeyEvent.DESTROY, KeyEvent.SUSPEND, KeyEvent.RESUME,
))  # fmt: skip
"""What another KME may let happen to keys here; that they are fetched or grow old is this end's own to say."""
_UNKNOWN, _UNKNOWN_S = 4096, 600.0
"""How many void orders that have not come are remembered of one KME, in so long; the rest it must tell again later."""

_WHY = 512
_LIMITS = KeyLimits()

HomeOf = Callable[[str], str]
Judge = Callable[[Order, str], str]


class Assigner:
    """Assigns orders of peers at the KME `kme_id`. `home_of`: which KME serves an SAE? `judge`: why not."""

    def __init__(
        self, store: KeyStore, kme_id: str, home_of: HomeOf, judge: Judge, wait_s: float,
        limits: KeyLimits = _LIMITS,
    ) -> None:  # fmt: skip
        self._store, self._kme_id, self._home_of, self._judge, self._wait_s = store, kme_id, home_of, judge, wait_s
        self._limits = limits
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sparing, self._unknown = Sparing(), Allowance(_UNKNOWN, _UNKNOWN_S)

    async def assign(self, message: Assign, peer: Peer) -> AssignAnswer:
        """Assign what can be, durably, one message of a peer after the other.

        Raises `PolicyDenied` where the peer's store went back, `InvalidInput` where it is more than one message may be.
        """
        if sum(len(strand.pieces) for order in message.orders for strand in order.strands) > PIECES:
            raise bad_request(f"more than {PIECES} pieces", "orders")

        async def assign(tx: Transaction) -> tuple[Verdict, ...]:
            await self._witness(tx, peer.identity.id, message.mark)
            return tuple([await self._one(tx, message.link, order, peer) for order in message.orders])

        async with self._turns[peer.identity.id]:
            verdicts = await self._store.committer.do_undoable(assign)
        return AssignAnswer(mark=self._store.mark, verdicts=verdicts)

    async def _witness(self, tx: Transaction, kme: str, mark: StoreMark) -> None:
        """Remember how far the peer's store has come. Raises `PolicyDenied` where it is another, or went back."""
        if self._store.shown.goes_on(kme, mark, tx.now):
            return
        if await peers.standing_of(tx.session, kme, (mark,), all_writers=False) is not Standing.CONTINUES:
            raise PolicyDenied("your store is not the one that was seen before: say hello first")
        await peers.witness(tx, kme, mark)
        self._store.shown.witnessed(kme, mark, tx.now)

    async def _one(self, tx: Transaction, link: str, order: Order, peer: Peer) -> Verdict:
        here = tuple(dict.fromkeys(sae for sae in order.slave_saes if self._home_of(sae) == self._kme_id))
        if denied := await self._denied(tx, link, order, here, peer):
            return self._refused(tx, link, order, peer, denied)
        pools: dict[SourceKind, Pool] = {}
        used: list[tuple[SourceKind, int, int]] = []
        for strand in order.strands:
            pieces = [Piece(*numbers) for numbers in strand.pieces]
            pool = await self._store.pools.find(tx.session, link, strand.source, peer.identity.id)
            used += [(strand.source, no, at) for no, at in await self._store.pools.unusable(tx, pool, pieces)]
            if pool:
                pools[strand.source] = pool
        if used:
            return Verdict(used=tuple(used[:USED]))
        try:
            keys, told = await self._keys(tx, link, order, peer, pools)
        except BlockGone as gone:
            if isinstance(gone, BlockDamaged):
                await give_up(tx, self._store.pools.destroy, [gone.block_id])
            return self._refused(tx, link, order, peer, "a block was destroyed meanwhile")
        if keys is None or told is None:
            why = "the blocks are not of one label, or the sealed keys do not open"
            return self._refused(tx, link, order, peer, why)
        with keys:
            await self._write(tx, link, order, peer, here, keys, msgspec.json.encode(told).decode())
        return Verdict()

    def _refused(self, tx: Transaction, link: str, order: Order, peer: Peer, why: str) -> Verdict:
        self._sparing.note(
            tx, "assign_denied", peer.identity.id, peer, link=link, order=order.order_id, why=why
        )  # fmt: skip
        return Verdict(denied=why[:_WHY])

    async def _denied(self, tx: Transaction, link: str, order: Order, here: tuple[str, ...], peer: Peer) -> str:
        """Return why the order can never be assigned; empty where it can."""
        if self._home_of(order.master_sae) != peer.identity.id:
            return "its master SAE is not at home at your end"
        if fault := _fault_of(order, here) or _fault_by(self._limits, order):
            return fault
        if await self._store.holdings.known(tx, order.order_id):
            return "its ID was used before"
        return self._judge(order, link)

    async def _keys(
        self, tx: Transaction, link: str, order: Order, peer: Peer, pools: dict[SourceKind, Pool]
    ) -> tuple[Secret | None, Origin | None]:
        """Move the cursors and return the order's keys with what is told of them; no keys where it cannot be done."""
        materials = [
            await self._material(tx, pools[strand.source], [Piece(*numbers) for numbers in strand.pieces])
            for strand in order.strands
        ]
        found = [one for one in materials if one]
        if len(found) != len(materials):
            return None, None
        if order.sealed and order.told:
            pad = found[0]
            with pad.content:
                # what travelled under a pad is no stronger than the pad, whatever the other end says
                if not Strength(pad.label).at_least(order.told.label):
                    return None, None
                return unseal(order, pad.content), order.told
        keys = make(
            found, order_id=order.order_id, count=order.count, size=order.size, profile=order.profile, link=link,
            master=order.master_sae, slaves=order.slave_saes,
        )  # fmt: skip
        for one in found:
            one.content.zeroise()
        return keys, origin_of(found, profile=order.profile, hops=(peer.identity.id, self._kme_id))

    async def _material(self, tx: Transaction, pool: Pool, pieces: list[Piece]) -> Material | None:
        joined = bytearray()
        blocks: list[OpenBlock] = await self._store.pools.use(tx, pool, pieces)
        for block, piece in zip(blocks, pieces, strict=True):
            joined += await self._store.pools.piece(tx.session, block.block_id, piece)
        if len({block.label for block in blocks}) != 1:
            return None
        try:
            return Material(
                source=pool.source, content=Secret(joined), label=blocks[0].label, epoch=pieces[-1].no,
                qber=max(block.qber for block in blocks), received=min(block.received for block in blocks),
            )  # fmt: skip
        finally:
            joined[:] = bytes(len(joined))

    async def _write(
        self, tx: Transaction, link: str, order: Order, peer: Peer, here: tuple[str, ...], keys: Secret, told: str
    ) -> None:  # fmt: skip
        until = tx.now + self._wait_s
        await self._store.holdings.write(
            tx,
            [
                NewHolding(
                    order.order_id, sae, "slave", order.master_sae, peer.identity.id, link, order.size, order.count,
                    keys,
                    told, until,
                )
                for sae in here
            ],
            self._store.epoch,
        )  # fmt: skip
        tx.note(
            "assign", peer, link=link, order=order.order_id, count=order.count, size=order.size,
            master=order.master_sae, slaves=list(here),
        )  # fmt: skip

    async def follow(self, message: Notices, peer: Peer) -> None:
        """Let the peer's events happen to its orders here, durably. An order that has not come can come no more.

        Raises `InvalidInput` for an event that is not a peer's to tell, and `PeerUnavailable` where it tells of too
        many orders that were never here.
        """
        if not _MAY_TELL.issuperset(notice.event for notice in message.notices):
            raise bad_request(f"one of {', '.join(sorted(_MAY_TELL))}", "event")

        async def follow(tx: Transaction) -> None:
            known = [await self._store.holdings.known(tx, notice.order_id) for notice in message.notices]
            if not self._unknown.take(peer.identity.id, known.count(False)):
                raise PeerUnavailable(f"{peer.identity.urn} tells of too many orders that were never here")
            for notice in message.notices:
                await self._follow_one(tx, message.link, notice, peer)

        await self._store.committer.do_undoable(follow)

    async def _follow_one(self, tx: Transaction, link: str, notice: Notice, peer: Peer) -> None:
        store, kme = self._store, peer.identity.id
        held = await store.holdings.of_order(tx, notice.order_id)
        shared = any(kme in one.kmes for one in held)
        changed = await store.holdings.happen(tx, notice.order_id, notice.event, by=kme) if shared else ()
        told = {"order": notice.order_id, "event": notice.event.value, "changed": len(changed)}
        if changed:
            tx.note("notice", peer, **told)
            return
        if not held and not await store.holdings.known(tx, notice.order_id):
            await store.holdings.refuse_for_ever(tx, notice.order_id, kme, link)
        self._sparing.note(tx, "notice", kme, peer, **told)


def _fault_of(order: Order, here: tuple[str, ...]) -> str:
    """Return what is wrong with an order in itself; empty where nothing is."""
    sources = {strand.source for strand in order.strands}
    if order.sealed:
        octets = pad_octets(order.count, order.size)
    else:
        octets = octets_needed(order.count, order.size, len(order.strands))
    lengths = [sum(length for _, _, length in strand.pieces) for strand in order.strands]
    faults = {
        "no slave SAE of it is at home here": not here,
        "a source appears twice": len(sources) != len(order.strands),
        "its strands hold more or fewer bytes than its keys need": any(length != octets for length in lengths),
        "sealed keys need one pad, and an origin of the order's own profile": bool(order.sealed)
        and not (len(order.strands) == 1 and order.told and order.told.sources and order.told.profile == order.profile),
        f"a combined key has at most {COMBINED_BITS_MOST} bits": len(sources) > 1 and order.size > COMBINED_BITS_MOST,
    }
    return next((fault for fault, holds in faults.items() if holds), "")


def _fault_by(limits: KeyLimits, order: Order) -> str:
    """Return what makes an order other than a request may ask of this end; empty where nothing does.

    A shortest key is also what bounds the orders: each costs a row and a line of the audit, and so much of a block.
    """
    faults = {
        f"a key has at least {limits.min_key_size} bits here": order.size < limits.min_key_size,
        f"a key has at most {limits.max_key_size} bits here": order.size > limits.max_key_size,
        f"an order has at most {limits.max_key_per_request} keys here": order.count > limits.max_key_per_request,
        "it has too many slave SAEs": len(order.slave_saes) > 1 + limits.max_additional_saes,
    }
    return next((fault for fault, holds in faults.items() if holds), "")


def _said(order: Order) -> bytes:
    """Return what the tag of an order's sealed keys binds beside them."""
    told = msgspec.json.encode(order.told).decode()
    numbers = (str(order.size), str(order.count))
    return bound(
        SEALED_ORDER, order.order_id, *numbers, order.profile, order.master_sae, told, *order.slave_saes
    )  # fmt: skip


def seal_with_pad(keys: Secret, pad: Secret, order: Order) -> Order:
    """Return `order` with `keys` under the first bytes of `pad`, and a one-time tag by the rest.

    That is secure against any computer. The tag is over all that is said of the keys, too.
    """
    size = len(keys)
    hidden = bytes(a ^ b for a, b in zip(keys.view(), pad.view()[:size], strict=True))
    tag = Poly1305.generate_tag(pad.view()[size:], _said(order) + hidden)
    return msgspec.structs.replace(order, sealed=base64_of(hidden + tag))


def unseal(order: Order, pad: Secret) -> Secret | None:
    """Return what `seal_with_pad` sealed, None where it was altered."""
    try:
        content = octets_of(order.sealed)
        hidden, tag = content[:-16], content[-16:]
        size = len(pad) - PAD_TAG_OCTETS
        if len(hidden) != size:
            return None
        Poly1305.verify_tag(pad.view()[size:], _said(order) + hidden, tag)
    except (ValueError, TypeError, InvalidSignature):
        return None
    return Secret(bytes(a ^ b for a, b in zip(hidden, pad.view()[:size], strict=True)))
