"""One key for SAEs at several KMEs (ETSI GS QKD 014, `additional_slave_SAE_IDs`; Annex B).

The keys are cut from the link to the first slave's KME, as ever. To every other KME they travel under a one-time pad
from that link's own pool, with a one-time tag: no weaker than the pad's label. All KMEs assign, or the order is void
everywhere and its bytes are burned.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import msgspec

from keystrand.edge.kme.assigning import PAD_TAG_OCTETS, seal_with_pad
from keystrand.edge.kme.issuing import Issuer, burning, cut_order, delivery, refuse
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import PIECES, Assign, Order
from keystrand.edge.kme.ordering import Ask, Issued, Pending, new_order_id
from keystrand.edge.kme.peering import Peering
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import NewHolding
from keystrand.edge.store.keystore import KeyStore
from keystrand.keys.allocation import Demand, give_back
from keystrand.keys.contract import OrderEvent
from keystrand.keys.policy import at_least
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PeerUnavailable
from keystrand.model.key import SourceKind


class Multicast:
    """Issues keys for slaves at several KMEs; `issuers` do it for one."""

    def __init__(
        self, store: KeyStore, peerings: Mapping[str, Peering], issuers: Mapping[str, Issuer],
        clock: Callable[[], float], *, retention_s: float, wait_s: float,
    ) -> None:  # fmt: skip
        self._store, self._peerings, self._issuers, self._clock = store, peerings, issuers, clock
        self._retention_s, self._wait_s = retention_s, wait_s
        self._by_kme = {one.link.peer_kme: one for one in peerings.values()}

    async def issue(self, link: Link, ask: Ask) -> Issued:
        """Return the keys of `ask`, over `link` alone where all slaves are at its other end."""
        if all(kme == link.peer_kme for _, kme in ask.slaves):
            return await self._issuers[link.id].submit(ask)
        others = [
            self._by_kme[k]
            for k in dict.fromkeys(kme for _, kme in ask.slaves)
            if k in self._by_kme and k != link.peer_kme
        ]
        for peering in (self._peerings[link.id], *others):
            await peering.link.demand_trusted()
        one = Pending(ask=ask, order_id=new_order_id(self._clock()), future=asyncio.get_running_loop().create_future())
        async with AsyncExitStack() as turns:
            # always in the same order: two orders never wait for each other's links
            for each in sorted((self._peerings[link.id], *others), key=lambda peering: peering.link.id):
                await turns.enter_async_context(each.link.turn)
            messages = await self._planned(link, one, others)
            await self._spend_pads(one)
            await self._asked(one, messages)
        return await self._delivered(one)

    async def _planned(self, link: Link, one: Pending, others: list[Peering]) -> dict[str, Order]:
        """Return what each link's KME is told, everything cut. Raises `NoKeyAvailable` with nothing cut."""
        await cut_order(link, one)
        messages = {link.id: one.message()}
        try:
            for peering in others:
                messages[peering.link.id] = await self._sealed_for(peering.link, one)
        except KeystrandError as error:
            for _, cuts in one.taken:
                give_back(cuts)
            refuse([one], error)
            one.future.exception()
            raise
        return messages

    async def _sealed_for(self, link: Link, one: Pending) -> Order:
        if one.keys is None:
            raise NoKeyAvailable("the keys are gone")
        stock = link.stock(SourceKind.QKD)
        demand = Demand(labels=at_least(one.origin.label))
        cuts, pad = await stock.take(len(one.keys) + PAD_TAG_OCTETS, demand, at_most=PIECES // 2)
        with pad:
            sealed = seal_with_pad(one.keys, pad, one.order_id)
        one.pads.append((await stock.known_pool(), cuts))
        return one.message({SourceKind.QKD: cuts}, base64.b64encode(sealed).decode())

    async def _spend_pads(self, one: Pending) -> None:
        """Burn the pads, durably, before anything is said that they hide: after a crash they would serve once more."""

        async def spend(tx: Transaction) -> None:
            for pool, cuts in one.pads:
                await self._store.pools.burn(tx, pool, [each.piece for each in cuts])

        if one.pads:
            await self._store.committer.do(spend)

    async def _asked(self, one: Pending, messages: Mapping[str, Order]) -> None:
        """Have every KME assign. Raises, with everything burned and void, where one does not."""
        one.happen(OrderEvent.SENT)
        asks = [
            self._peerings[link].assign(Assign(link=link, mark=self._store.mark, orders=(order,)))
            for link, order in messages.items()
        ]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        failed = [one for one in answers if isinstance(one, BaseException) or not all(v.assigned for v in one.verdicts)]
        if not failed:
            one.happen(OrderEvent.ASSIGNED)
            return
        one.happen(OrderEvent.DOUBT)
        error = (
            failed[0]
            if isinstance(failed[0], KeystrandError)
            else PeerUnavailable("not every KME could assign the key")
        )
        await self._void(one, error)
        raise error

    async def _void(self, one: Pending, error: KeystrandError) -> None:
        """Burn everything here and have every KME told that the order is void."""
        kmes = dict.fromkeys(kme for _, kme in one.ask.slaves if kme in self._by_kme)
        burn = burning(self._store, one, one.taken, error.message, void=tuple(kmes), until_s=self._retention_s)
        await self._store.committer.do(burn)
        for kme in kmes:
            self._by_kme[kme].news()
        refuse([one], error)
        one.future.exception()

    async def _delivered(self, one: Pending) -> Issued:
        deliver = delivery(self._store, [one], self._retention_s)

        async def deliver_here_too(tx: Transaction) -> None:
            await deliver(tx)
            here = [sae for sae, kme in one.ask.slaves if kme not in self._by_kme]
            await self._store.holdings.write(tx, [self._local(one, sae, tx.now) for sae in here], self._store.epoch)

        try:
            await self._store.committer.do(deliver_here_too)
        except KeystrandError as error:
            one.happen(OrderEvent.FAILED)
            await self._void(one, error)
            raise
        one.happen(OrderEvent.COMMITTED)
        if one.keys is None:
            raise NoKeyAvailable("the keys are gone")
        return one.issued(one.keys)

    def _local(self, one: Pending, sae: str, now: float) -> NewHolding:
        """Return what a slave SAE of this KME holds."""
        ask, told = one.ask, msgspec.json.encode(one.origin).decode()
        kme = one.origin.hops[0]
        return NewHolding(
            one.order_id,
            sae,
            "slave",
            ask.master,
            kme,
            ask.link,
            ask.size,
            ask.count,
            one.keys,
            told,
            now + self._wait_s,
        )
