"""The master's side of the contract: orders of one link, in batches, one assignment under way at a time.

While a batch's delivery is committed the next is being assigned; within a link everything happens in order, so cursors
move forward at both ends. What the table of `keys.contract` demands is carried out here and nowhere else.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import ORDERS, PIECES, Assign, AssignAnswer, Verdict
from keystrand.edge.kme.ordering import Ask, Issued, KeysBurned, Pending, new_order_id
from keystrand.edge.lasting import lasting
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import NewHolding
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import Pool
from keystrand.keys.allocation import Cut, Piece
from keystrand.keys.contract import OrderAction, OrderEvent
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.making import Material, make, origin_of
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PeerUnavailable
from keystrand.model.key import SourceKind
from keystrand.model.words import shown

_log = logging.getLogger(__name__)

_WAITING = 1024
"""How many orders may wait for one link before new ones are refused."""
_TRIES = 16
"""How many times an order is planned anew where the other end has used what was planned."""

SendAssign = Callable[[Assign], Any]


class Issuer:
    """Takes orders for `link` and sees them through. `send` asks the KME at its other end."""

    def __init__(
        self, store: KeyStore, link: Link, send: SendAssign, clock: Callable[[], float], retention_s: float
    ) -> None:
        self._store, self._link, self._send, self._clock = store, link, send, clock
        self._retention_s = retention_s
        self._waiting: list[Pending] = []
        self._wake = asyncio.Event()
        self._ends: set[asyncio.Task[None]] = set()
        self.voided: Callable[[], None] = lambda: None
        """Called when the other end must be told of a void order."""
        self._task = lasting(self._run(), f"the orders of link {link.id}", store.committer.fail)

    def submit(self, ask: Ask) -> "asyncio.Future[Issued]":
        """Return the keys when they may leave. Raises `PoolTooSmall`, `PeerUnavailable` or `StoreFailure`."""
        future: asyncio.Future[Issued] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= _WAITING:
            future.set_exception(PeerUnavailable("too many requests wait for keys of this link"))
        else:
            self._waiting.append(Pending(ask=ask, order_id=new_order_id(self._clock()), future=future))
            self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            async with self._link.turn:
                batch, self._waiting = self._waiting[:ORDERS], self._waiting[ORDERS:]
                if not self._waiting:
                    self._wake.clear()
                try:
                    await self._see_through(batch)
                except Exception as error:  # one batch's fault must not end the link
                    if not isinstance(error, KeystrandError):
                        _log.exception("orders of link %s failed", self._link.id)
                    refuse(batch, error)

    async def _see_through(self, batch: Sequence[Pending]) -> None:
        await self._link.demand_trusted()
        planned = await self._plan([one for one in batch if not one.future.done()])
        if not planned:
            return
        message = Assign(link=self._link.id, mark=self._store.mark, orders=tuple(one.message() for one in planned))
        judged = list(zip(planned, await self._asked(planned, message), strict=False))
        assigned = [one for one, verdict in judged if verdict.assigned and _may_commit(one)]
        if assigned:
            task = asyncio.get_running_loop().create_task(
                self._deliver(assigned, self._store.committer.do(delivery(self._store, assigned, self._retention_s)))
            )
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
        # behind the delivery: to burn moves a block's cursor beyond all that was cut of it before
        for one, verdict in judged:
            if not verdict.assigned:
                self._turned_down(one, verdict)

    # Planning

    async def _plan(self, batch: Sequence[Pending]) -> list[Pending]:
        """Cut the bytes of every order that can have them and refuse the others; what is too much waits."""
        planned, pieces = [], 0
        for at, one in enumerate(batch):
            if pieces >= PIECES // 2:
                self._waiting[:0] = batch[at:]
                self._wake.set()
                break
            try:
                await cut_order(self._link, one)
            except KeystrandError as error:
                refuse([one], error)
                continue
            pieces += sum(map(len, one.cuts.values()))
            planned.append(one)
        return planned

    # Asking

    async def _asked(self, planned: Sequence[Pending], message: Assign) -> Sequence[Verdict]:
        """Return the slave KME's verdicts. Where there are none the orders are refused, and none is returned."""
        try:
            answer: AssignAnswer = await self._send(message)
            if len(answer.verdicts) != len(planned):
                raise InDoubt("the other KME answered for other orders")  # noqa: TRY301  # doubt like any other
        except NotSent as error:
            # backwards: the last cut is given back first
            for one in reversed(planned):
                self._carry_out(one, one.happen(OrderEvent.NOT_SENT), error)
            return ()
        except InDoubt as error:
            for one in planned:
                one.happen(OrderEvent.SENT)
                self._carry_out(one, one.happen(OrderEvent.DOUBT), error)
            return ()
        for one in planned:
            one.happen(OrderEvent.SENT)
        return answer.verdicts

    def _turned_down(self, one: Pending, verdict: Verdict) -> None:
        """Carry out what follows for an order that was not assigned."""
        if verdict.denied:
            error = KeysBurned(f"the KME at the other end refused: {shown(verdict.denied)}")
            self._carry_out(one, one.happen(OrderEvent.DENIED), error)
        elif OrderAction.SKIP in one.happen(OrderEvent.USED):
            self._skip(one, verdict)

    def _skip(self, one: Pending, verdict: Verdict) -> None:
        """Pass over what the other end has used, durably, and plan the order anew: its bytes never come again."""
        skipped = one.taken
        for source, no, cursor in verdict.used:
            if pool := one.pools.get(source):
                skipped.append((pool, tuple(self._link.stock(source).skip(no, cursor))))
        self._store.committer.do(burning(self._store, one, skipped, "the other end has used them")).add_done_callback(
            swallow
        )
        one.tries += 1
        one.cuts, one.told = {}, None
        if one.keys:
            one.keys.zeroise()
        if one.tries >= _TRIES:
            refuse([one], PeerUnavailable("both ends of the link hold different blocks"))
            return
        one.order_id = new_order_id(self._clock())
        self._waiting.insert(0, one)
        self._wake.set()

    # Carrying out

    def _carry_out(self, one: Pending, actions: Sequence[OrderAction], error: KeystrandError) -> None:
        if OrderAction.GIVE_BACK in actions:
            give_back(self._link, one)
        if OrderAction.BURN in actions:
            void = (self._link.peer_kme,) if OrderAction.VOID in actions else ()
            burn = burning(self._store, one, one.taken, error.message, void=void, until_s=self._retention_s)
            self._store.committer.do(burn).add_done_callback(self._burned)
        if OrderAction.REFUSE in actions:
            refuse([one], error)

    def _burned(self, done: "asyncio.Future[None]") -> None:
        # only now is there something to tell the other end
        swallow(done)
        self.voided()

    async def _deliver(self, orders: Sequence[Pending], committed: "asyncio.Future[None]") -> None:
        """Answer once the delivery is durable; where it failed nothing leaves."""
        try:
            await committed
        except KeystrandError as error:
            burned = KeysBurned(error.message) if isinstance(error, NoKeyAvailable) else error
            for one in orders:
                self._carry_out(one, one.happen(OrderEvent.FAILED), burned)
            return
        for one in orders:
            answer = OrderAction.ANSWER in one.happen(OrderEvent.COMMITTED)
            if answer and one.keys and not one.future.done():
                one.future.set_result(one.issued(one.keys))

    async def close(self) -> None:
        """Take no more; what is being committed goes on to its end."""
        self._task.cancel()
        refuse(self._waiting, PeerUnavailable("the key management entity is stopping"))
        if self._ends:
            await asyncio.wait(self._ends, timeout=5)


def _may_commit(one: Pending) -> bool:
    return OrderAction.COMMIT in one.happen(OrderEvent.ASSIGNED)


def burning(
    store: KeyStore, one: Pending, taken: Sequence[tuple[Pool, tuple[Cut, ...]]], why: str, *,
    void: Sequence[str] = (), until_s: float = 0.0,
) -> Callable[[Transaction], Any]:  # fmt: skip
    """Return the operation that burns what was cut, and has the KMEs of `void` told that the order is void."""
    order_id, ask = one.order_id, one.ask

    async def burn(tx: Transaction) -> None:
        for pool, cuts in taken:
            await store.pools.burn(tx, pool, [each.piece for each in cuts])
        for kme in void:
            await peers.tell(tx, order_id, kme, KeyEvent.VOID, tx.now + until_s)
        bits = 8 * sum(each.piece.length for _, cuts in taken for each in cuts)
        tx.note("burn", ask.peer, link=ask.link, order=order_id, bits=bits, why=why, void=list(void))

    return burn


def delivery(store: KeyStore, orders: Sequence[Pending], retention_s: float) -> Callable[[Transaction], Any]:
    """Return the operation that makes `orders` delivered to their masters: cursors, holdings, audit, in one commit."""

    async def deliver(tx: Transaction) -> None:
        await _demand_unused(tx, store, orders)
        holdings, pairs = [], dict[tuple[str, str], int]()
        for one in orders:
            for pool, cuts in one.drawn:
                await store.pools.use(tx, pool, [each.piece for each in cuts])
            ask, link = one.ask, one.ask.link
            told = msgspec.json.encode(one.origin).decode()
            (first, kme), until = ask.slaves[0], tx.now + retention_s
            holdings.append(
                NewHolding(one.order_id, ask.master, "master", first, kme, link, ask.size, ask.count, None, told, until)
            )
            for sae, _ in ask.slaves:
                pairs[ask.master, sae] = pairs.get((ask.master, sae), 0) + ask.count
            tx.note(
                "enc_keys", ask.peer, link=link, order=one.order_id, count=ask.count, size=ask.size,
                slaves=[sae for sae, _ in ask.slaves], profile=ask.profile, label=one.origin.label.value,
            )  # fmt: skip
        await store.holdings.write(tx, holdings, store.epoch)
        await tx.run_many(_PAIR, [(master, slave, tx.now, keys) for (master, slave), keys in pairs.items()])

    return deliver


_PAIR = (
    "INSERT INTO pair(master, slave, last, keys, due) VALUES(?, ?, ?, ?, 0) ON CONFLICT(master, slave)"
    " DO UPDATE SET last = excluded.last, keys = pair.keys + excluded.keys, due = 0"
)


async def _demand_unused(tx: Transaction, store: KeyStore, orders: Sequence[Pending]) -> None:
    """Raise `NoKeyAvailable` where blocks were destroyed since they were cut, as when the other end lost its store.

    The same where another KME, which was told an order's ID, has made it one of its own meanwhile.
    """
    pieces: dict[Pool, list[Piece]] = {}
    for one in orders:
        if await store.holdings.known(tx, one.order_id):
            raise NoKeyAvailable("the other end has used the ID of these keys")
        for pool, cuts in one.drawn:
            pieces.setdefault(pool, []).extend(each.piece for each in cuts)
    for pool, wanted in pieces.items():
        if await store.pools.unusable(tx, pool, wanted):
            raise NoKeyAvailable("the blocks of these keys are gone")


async def cut_order(link: Link, one: Pending) -> None:
    """Cut what an order needs and make its keys. Raises `PoolTooSmall` with nothing cut where there is too little."""
    ask, materials = one.ask, []
    try:
        for need in ask.needs:
            stock = link.stock(need.source)
            cuts, content = await stock.take(ask.octets, need.demand, at_most=PIECES // 2)
            one.cuts[need.source] = cuts
            ask.cost.octets += ask.octets
            one.pools[need.source] = await stock.known_pool()
            materials.append(material(need.source, cuts, content))
    except BaseException:
        give_back(link, one)
        raise
    one.keys = make(
        materials, order_id=one.order_id, count=ask.count, size=ask.size, profile=ask.profile, link=link.id,
        master=ask.master, slaves=[sae for sae, _ in ask.slaves],
    )  # fmt: skip
    one.told = origin_of(materials, profile=ask.profile, hops=(link.kme, *dict.fromkeys(kme for _, kme in ask.slaves)))
    for each in materials:
        each.content.zeroise()


def give_back(link: Link, one: Pending) -> None:
    """Give back what the keys of an order were cut from, of which nobody was told."""
    for source, cuts in one.cuts.items():
        link.stock(source).give_back(cuts)
        one.ask.cost.octets -= one.ask.octets
    one.cuts = {}


def material(source: SourceKind, cuts: Sequence[Cut], content: Any) -> Material:
    """Return the bytes of `cuts` with what their blocks say of them."""
    return Material(
        source=source, content=content, label=cuts[0].lane.label, qber=max(cut.lane.qber for cut in cuts),
        received=min(cut.lane.received for cut in cuts), epoch=cuts[-1].piece.no,
    )  # fmt: skip


def refuse(orders: Sequence[Pending], error: Exception) -> None:
    """Tell who waits for `orders` that there are no keys, and clear what was made."""
    for one in orders:
        if one.keys:
            one.keys.zeroise()
        if not one.future.done():
            one.future.set_exception(error)


def swallow(done: "asyncio.Future[None]") -> None:
    """Pass over the failure of what nobody waits for: a store that failed has said so, and stops the process."""
    if not done.cancelled():
        done.exception()
