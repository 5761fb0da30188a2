"""A stock under any sequence of what can happen: every byte is cut at most once unless given back, and none is lost."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.store.place import Clock, SqlitePlace, add_ready, block, opened, pool_of

from keystrand.edge.kme import links
from keystrand.edge.kme.links import Stock
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, Pool
from keystrand.keys.allocation import Cut, Demand, PoolTooSmall
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key import SourceKind

Place = tuple[int, int]
PIECES = 4
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 90)),
        st.tuples(st.just("young"), st.integers(1, 40)),
        st.tuples(st.just("block"), st.integers(32, 80)),
        st.tuples(st.just("skip"), st.integers(-1, 80)),
        st.tuples(st.sampled_from(("not_sent", "sent", "deliver", "burn", "turn", "forget", "restart")), st.just(0)),
    ),
    max_size=40,
)


class Model:
    """A stock beside a simple account of its bytes: what there ever was, what is under way, and what is used."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.bytes: dict[Place, int] = {}
        self.batch: list[tuple[Cut, ...]] = []
        self.told: list[tuple[Cut, ...]] = []
        self.used: set[Place] = set()
        self.numbers: list[int] = []
        self.young_since = 0.0
        self.pool: Pool
        self.stock = Stock(store, "corridor", SourceKind.QKD, "kme-a")

    async def block(self, octets: int) -> None:
        """A block comes."""
        self.clock.now += 1
        new = block(CONFIRMATION_OCTETS + octets, now=self.clock.now)
        no = await add_ready(self.store, new)
        self.young_since, self.pool = self.clock.now, await pool_of(self.store, new)
        self.numbers.append(no)
        self.bytes |= {(no, at): one for at, one in enumerate(new.key_bits.reveal()) if at >= CONFIRMATION_OCTETS}

    async def take(self, octets: int, since: float = 0.0) -> bool:
        """An order is cut: bytes that no other has, and the very ones that the source gave."""
        try:
            cuts, content = await self.stock.take(octets, Demand(since=since), at_most=PIECES)
        except NoKeyAvailable:
            return False
        cut = [place for _, piece in cuts for place in ((piece.no, at) for at in range(piece.offset, piece.end))]
        assert not set(cut) & (self.used | places(self.batch) | places(self.told))
        assert content.reveal() == bytes(self.bytes[place] for place in cut)
        self.batch.append(cuts)
        return True

    async def young(self, octets: int) -> None:
        """The same of the latest block alone."""
        await self.take(octets, self.young_since)

    async def not_sent(self, _: int = 0) -> None:
        """Nothing of the batch was sent."""
        for cuts in reversed(self.batch):
            self.stock.give_back(cuts)
        self.batch.clear()

    async def sent(self, _: int = 0) -> None:
        """The batch is with the other end."""
        self.told += self.batch
        self.batch.clear()

    async def deliver(self, _: int = 0) -> None:
        """All that was sent is delivered."""
        await self._commit(self.told, burn=False)
        self.told.clear()

    async def burn(self, _: int = 0) -> None:
        """All that was sent is in doubt."""
        await self._commit(self.told, burn=True)
        self.told.clear()

    async def skip(self, cursor: int) -> None:
        """The other end has used more of the latest block than this one knows."""
        await self.sent()
        await self.deliver()
        to = cursor if cursor < 0 else CONFIRMATION_OCTETS + cursor
        await self._commit([tuple(self.stock.skip(self.numbers[-1], to))], burn=True)

    async def turn(self, _: int = 0) -> None:
        """An epoch ends: what was used goes from the disk too."""
        await self.store.next_epoch()
        while (await self.store.sweep()).more:
            pass

    async def forget(self, _: int = 0) -> None:
        """Blocks that lie open are closed."""
        for name in tuple(self.store.pools._opened):
            self.store.pools.forget(name)

    async def restart(self, _: int = 0) -> None:
        """The process begins anew where the store stands, when nothing is under way."""
        await self.not_sent()
        await self.burn()
        self.stock = Stock(self.store, "corridor", SourceKind.QKD, "kme-a")

    async def _commit(self, orders: Sequence[tuple[Cut, ...]], *, burn: bool) -> None:
        pieces = [piece for cuts in orders for _, piece in cuts]

        async def commit(tx: Transaction) -> None:
            await (self.store.pools.burn if burn else self.store.pools.use)(tx, self.pool, pieces)

        await self.store.committer.do(commit)
        self.used |= places(orders)

    async def all_that_is_left(self) -> None:
        """With nothing under way any more, every byte that was not used can still be cut, and no other."""
        await self.not_sent()
        await self.burn()
        left = set(self.bytes) - self.used
        pool = await self.stock.known_pool()
        assert await self.store.pools.stored_octets(await self.store.reader(), pool) == len(left)
        while left - places(self.batch):
            assert await self.take(1)
        with pytest.raises(PoolTooSmall):
            await self.stock.take(1, Demand(), at_most=PIECES)


def places(orders: Sequence[tuple[Cut, ...]]) -> set[Place]:
    """Return every byte of orders by block and offset."""
    return {(p.no, at) for cuts in orders for _, p in cuts for at in range(p.offset, p.end)}


async def _follow(steps: Sequence[tuple[str, int]], folder: Path) -> None:
    clock = Clock()
    async with opened(SqlitePlace(folder), clock) as store:
        model = Model(store, clock)
        for octets in (48, 64, 33):
            await model.block(octets)
        for name, value in steps:
            await getattr(model, name)(value)
        await model.all_that_is_left()


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_every_byte_is_cut_at_most_once_and_none_is_lost(steps: list[tuple[str, int]]) -> None:
    """Takes, batches that were not sent, skips, blocks taken over one by one, epochs that end, closed blocks."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(links, "_AHEAD", 1)
        asyncio.run(_follow(steps, Path(folder)))
