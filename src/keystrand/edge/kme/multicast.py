"""One key for SAEs at several KMEs (ETSI GS QKD 014, `additional_slave_SAE_IDs`; Annex B).

The keys are cut from the link to the first slave's KME, as ever. To every other KME they travel under a one-time pad
from that link's own pool, with a one-time tag: no weaker than the pad's label. All KMEs assign, or the order is void
everywhere and its bytes are burned.

Of several KMEs one may hold the key while another was never asked, so nobody's refusal tells whether bytes are still
unused. Therefore everything that was cut, keys and pads, is burned durably before any KME is asked; in the same commit
the order is marked as under way, and in that of its delivery the mark goes. Whatever comes between, a crash included,
the mark is what has every KME told that the order is void.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from keystrand.edge.kme.assigning import seal_with_pad
from keystrand.edge.kme.issuing import Issuer, cut_order, delivery, give_back, swallow
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import PIECES, Assign, AssignAnswer, Order, Verdict
from keystrand.edge.kme.ordering import Ask, Issued, KeysBurned, Pending, new_order_id
from keystrand.edge.kme.peering import Peering
from keystrand.edge.kme.turns import Queues, turns_of
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import NewHolding
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import Pool
from keystrand.keys.allocation import Cut, Demand
from keystrand.keys.contract import OrderEvent, OrderState
from keystrand.keys.policy import at_least
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PeerUnavailable, StoreFailure
from keystrand.model.key import SourceKind

_TRIES = 2
"""How often an order is cut where other ends have used what was cut: every try costs bytes of all its links."""

Taken = Sequence[tuple[Pool, Sequence[Cut]]]


class NotEverywhere(KeysBurned, PeerUnavailable):
    """Not every KME could assign the order: it is void at all of them, and what was cut for it is burned."""

    id = "not-everywhere"


class _Course(Struct, frozen=True, kw_only=True):
    """Where an order goes: `first` is the link that its keys are cut from, `others` those it travels on under a pad."""

    first: Peering
    others: tuple[Peering, ...]

    @property
    def all(self) -> tuple[Peering, ...]:
        """All links of it."""
        return (self.first, *self.others)

    @property
    def links(self) -> tuple[Link, ...]:
        """The same as this KME's ends of them."""
        return tuple(each.link for each in self.all)

    @property
    def kmes(self) -> tuple[str, ...]:
        """The KMEs that are asked."""
        return tuple(link.peer_kme for link in self.links)


class Multicast:
    """Issues keys for slaves at several KMEs; `issuers` do it for one."""

    def __init__(
        self, store: KeyStore, peerings: Mapping[str, Peering], issuers: Mapping[str, Issuer],
        clock: Callable[[], float], *, retention_s: float, wait_s: float,
    ) -> None:  # fmt: skip
        self._store, self._peerings, self._issuers, self._clock = store, peerings, issuers, clock
        self._retention_s, self._wait_s = retention_s, wait_s
        self._by_kme = {one.link.peer_kme: one for one in peerings.values()}
        self._queues = Queues()

    async def issue(self, link: Link, ask: Ask) -> Issued:
        """Return the keys of `ask`, over `link` alone where all slaves are at its other end.

        Raises `KeysBurned` where that cost bytes, and other errors of `Issuer.submit` where it did not.
        """
        if all(kme == link.peer_kme for _, kme in ask.slaves):
            return await self._issuers[link.id].submit(ask)
        kmes = dict.fromkeys(kme for _, kme in ask.slaves if kme in self._by_kme and kme != link.peer_kme)
        course = _Course(first=self._peerings[link.id], others=tuple(self._by_kme[kme] for kme in kmes))
        used: dict[str, Verdict] = {}
        async with self._queues.first(course.links):
            for _ in range(_TRIES):
                one = Pending(ask=ask, order_id=new_order_id(self._clock()), future=asyncio.Future())
                with self._void_unless_delivered(one, course):
                    used = await self._asked(one, await self._sent(one, course, used))
                    if not used:
                        return await self._delivered(one)
        raise NotEverywhere("both ends of a link hold different blocks")

    # Cutting

    async def _sent(
        self, one: Pending, course: _Course, used: Mapping[str, Verdict]
    ) -> dict[str, "asyncio.Task[AssignAnswer]"]:
        """Cut, burn, and put the requests on their way; return their answers to be, by link.

        Meanwhile nobody else cuts of these links. When their turns end each request stands in the queue of its
        connection, so the other ends hear of orders in the order in which they were cut.
        """
        for link in course.links:
            await link.demand_trusted()
        async with turns_of(course.links):
            if doubted := next((link for link in course.links if not link.trusted), None):
                raise PeerUnavailable(doubted.trouble)
            skipped = await self._skipped(used)
            messages = await self._cut(one, course)
            await self._burned(one, course, skipped)
            asks = {link: asyncio.ensure_future(self._ask(link, order)) for link, order in messages.items()}
            one.happen(OrderEvent.SENT)
            await asyncio.sleep(0)
        return asks

    async def _ask(self, link: str, order: Order) -> AssignAnswer:
        return await self._peerings[link].assign(Assign(link=link, mark=self._store.mark, orders=(order,)))

    async def _cut(self, one: Pending, course: _Course) -> dict[str, Order]:
        """Return what each link's KME is told. Raises `NoKeyAvailable` with nothing cut."""
        try:
            await cut_order(course.first.link, one)
            messages = {course.first.link.id: one.message()}
            for peering in course.others:
                messages[peering.link.id] = await self._sealed_for(peering.link, one)
        except BaseException:
            for pool, pad in one.pads:
                self._peerings[pool.link].link.stock(pool.source).give_back(pad)
                one.ask.cost.octets -= one.ask.pad_octets
            one.pads = []
            give_back(course.first.link, one)
            raise
        return messages

    async def _sealed_for(self, link: Link, one: Pending) -> Order:
        if one.keys is None:
            raise NoKeyAvailable("the keys are gone")
        stock = link.stock(SourceKind.QKD)
        demand = Demand(labels=at_least(one.origin.label))
        pool = await stock.known_pool()
        cuts, pad = await stock.take(one.ask.pad_octets, demand, at_most=PIECES // 2)
        one.pads.append((pool, cuts))
        one.ask.cost.octets += one.ask.pad_octets
        with pad:
            return seal_with_pad(one.keys, pad, one.message({SourceKind.QKD: cuts}))

    async def _skipped(self, used: Mapping[str, Verdict]) -> Taken:
        """Pass over what other ends have said they have used; return it."""
        skipped: list[tuple[Pool, Sequence[Cut]]] = []
        for link, verdict in used.items():
            for source, no, cursor in verdict.used:
                stock = self._peerings[link].link.stock(source)
                if pool := await stock.pool():
                    skipped.append((pool, stock.skip(no, cursor)))
        return skipped

    async def _burned(self, one: Pending, course: _Course, skipped: Taken) -> None:
        """Burn what was cut, durably, and mark the order as under way. Raises `NoKeyAvailable` where it is gone."""
        ask, bits = one.ask, 8 * sum(each.piece.length for _, cuts in one.taken for each in cuts)

        async def burn(tx: Transaction) -> None:
            for pool, cuts in one.taken:
                if await self._store.pools.unusable(tx, pool, [each.piece for each in cuts]):
                    raise NoKeyAvailable("the blocks of these keys are gone")
            for each_pool, gone in (*one.taken, *skipped):
                await self._store.pools.burn(tx, each_pool, [each.piece for each in gone])
            until = tx.now + self._retention_s
            await peers.begin_order(tx, one.order_id, course.kmes, self._store.writer, until)
            tx.note("multicast", ask.peer, link=ask.link, order=one.order_id, bits=bits, kmes=list(course.kmes))

        await self._store.committer.do(burn)

    # Asking

    async def _asked(
        self, one: Pending, asks: Mapping[str, "asyncio.Task[AssignAnswer]"]
    ) -> dict[str, Verdict]:  # fmt: skip
        """Return the verdicts that name used bytes, none where all KMEs have assigned. Raises `NotEverywhere`."""
        answers = await asyncio.gather(*asks.values(), return_exceptions=True)
        used: dict[str, Verdict] = {}
        refusals: list[str] = []
        for link, answer in zip(asks, answers, strict=True):
            if isinstance(answer, BaseException):
                refusals.append(_why(answer))
            elif len(answer.verdicts) != 1 or answer.verdicts[0].denied:
                refusals.append("a KME refused it" if answer.verdicts else "a KME answered for other orders")
            elif answer.verdicts[0].used:
                used[link] = answer.verdicts[0]
        if refusals:
            raise NotEverywhere(f"not every KME could assign the key: {refusals[0]}")
        if not used:
            one.happen(OrderEvent.ASSIGNED)
        return used

    # Ends

    @contextmanager
    def _void_unless_delivered(self, one: Pending, course: _Course) -> Iterator[None]:
        """Whatever happens within, also that it is given up: have every KME told that the order is void."""
        why = "the other end has used its bytes"
        try:
            yield
        except StoreFailure:
            raise  # nothing can be written any more: the mark stays, and the next start tells of it
        except BaseException as error:
            why = error.message if isinstance(error, KeystrandError) else "the request was given up"
            if one.taken and isinstance(error, KeystrandError) and not isinstance(error, KeysBurned):
                raise NotEverywhere(why) from error
            raise
        finally:
            if one.state is not OrderState.DELIVERED:
                if one.keys:
                    one.keys.zeroise()
                if one.taken:
                    self._void(one, course, why)

    def _void(self, one: Pending, course: _Course, why: str) -> None:
        """Have the mark that the order is under way become what its KMEs are told, unless it is delivered after all."""

        async def void(tx: Transaction) -> None:
            if await peers.void_orders(tx, order_id=one.order_id):
                bits = 8 * sum(each.piece.length for _, cuts in one.taken for each in cuts)
                tx.note(
                    "burn", one.ask.peer, link=one.ask.link, order=one.order_id, bits=bits, why=why,
                    void=list(course.kmes),
                )  # fmt: skip

        def tell(done: "asyncio.Future[None]") -> None:
            swallow(done)
            for peering in course.all:
                peering.news()

        self._store.committer.do(void).add_done_callback(tell)

    async def _delivered(self, one: Pending) -> Issued:
        keys = one.keys
        if keys is None:
            raise NoKeyAvailable("the keys are gone")
        # what it was cut from is burned: there is nothing left to use
        deliver = delivery(self._store, [msgspec.structs.replace(one, cuts={}, pads=[])], self._retention_s)

        async def deliver_here_too(tx: Transaction) -> None:
            # the mark is gone where a KME's store is another one now; a tombstone is of one that has ended it
            if not await peers.is_under_way(tx, one.order_id) or await self._store.holdings.known(tx, one.order_id):
                raise NoKeyAvailable("the order was ended meanwhile")
            if keys.cleared:
                raise NoKeyAvailable("the request was given up meanwhile")
            await peers.end_order(tx, one.order_id)
            await deliver(tx)
            here = [sae for sae, kme in one.ask.slaves if kme not in self._by_kme]
            await self._store.holdings.write(tx, [self._local(one, sae, tx.now) for sae in here], self._store.epoch)

        await self._store.committer.do(deliver_here_too)
        one.happen(OrderEvent.COMMITTED)
        return one.issued(keys)

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


def _why(error: BaseException) -> str:
    """Return why there was no answer."""
    if not isinstance(error, KeystrandError):
        raise error
    return error.message
