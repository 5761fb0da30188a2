"""What one KME holds ready for each of its links: the blocks it may cut, in memory, and whose turn it is.

The durable cursor is the store's. Here it runs ahead by what is under way, so a byte that was planned is not planned
again; after a restart it begins where the store stands, and the other end refuses what was assigned beyond that.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence

from keystrand.crypto.secret import Secret
from keystrand.edge.store.blocks import BlockDamaged, give_up
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import BlockGone, Pool
from keystrand.keys.allocation import Cut, Demand, Lane, Piece, PoolTooSmall, advance, cut, give_back
from keystrand.model.errors import NoKeyAvailable, PeerUnavailable
from keystrand.model.key import SourceKind, Strength

_AHEAD = 1 << 14
"""How many bytes are taken over at once at least, where there are so many: each time costs a commit."""
_TOO_SMALL = "the stored blocks are too small for so many bits at once"
_TOO_SMALL_HINT = "ask for fewer or shorter keys at once"

_GREETING_S = 3.0
"""How long after a start requests wait for the first word with the other end: milliseconds, if it is there."""
_DOUBT_S = 0.5
"""How long requests wait for the next word with another end that has left something unanswered."""
_ONCE_MORE_S = 0.3
"""How long each waits later on: the other end is greeted five times a second, so one that is back serves the first."""


class Stock:
    """The blocks of one pool that this process may cut, and the way to get more."""

    def __init__(self, store: KeyStore, link: str, source: SourceKind, master: str) -> None:
        self._store, self._key = store, (link, source, master)
        self._pool: Pool | None = None
        self._lanes: list[Lane] = []
        self._passed_over = False

    async def pool(self) -> Pool | None:
        """Return the pool, None where nothing has come for it yet."""
        if self._pool is None:
            session = await self._store.reader()
            pool = await self._store.pools.find(session, *self._key)
            lanes = await self._store.pools.owned(session, pool, self._store.writer) if pool else []
            if self._pool is None:  # nobody else was faster, who may have cut already
                self._pool, self._lanes = pool, lanes
        return self._pool

    async def known_pool(self) -> Pool:
        """Return the pool of what was planned. Raises `NoKeyAvailable` where it is gone meanwhile."""
        pool = await self.pool()
        if pool is None:
            raise NoKeyAvailable("the blocks of this link are gone")
        return pool

    async def plan(self, octets: int, demand: Demand, *, at_most: int) -> tuple[Cut, ...]:
        """Return cuts that give `octets` bytes.

        Raises `PoolTooSmall` where the pool has not so many of one label, and `NoKeyAvailable` where they lie in more
        than `at_most` blocks: then this process has taken over nothing for them.
        """
        await self.pool()  # with the first look come the blocks that were this process's own before a restart
        if self._passed_over and not demand.since:
            await self._own_passed_over(octets, demand, at_most)
        while True:
            try:
                return cut(self._lanes, octets, demand)
            except PoolTooSmall:
                await self._own_more(octets, demand, at_most)

    async def _own_more(self, octets: int, demand: Demand, at_most: int) -> None:
        """Take over what is missing of `octets` bytes, all of one label. See `plan`."""
        pool = await self.pool()
        self._lanes = [lane for lane in self._lanes if lane.unused]
        owned, stored = Counter[str](), Counter[str]()
        for lane in self._lanes:
            owned[lane.label] += lane.unused if demand.allows(lane) else 0
        if pool:
            stored.update(await self._store.pools.free_octets(await self._store.reader(), pool, demand))
        stored.update(owned)
        label, most = next(iter(stored.most_common(1)), ("", 0))
        if pool is None or most < octets:
            raise PoolTooSmall(most)
        wanted = max(octets - owned[label], min(_AHEAD, most - owned[label]))
        await self._own(pool, Demand(labels=frozenset((label,)), since=demand.since), wanted, at_most)
        self._passed_over = self._passed_over or demand.since > 0

    async def _own_passed_over(self, octets: int, demand: Demand, at_most: int) -> None:
        """Take over older blocks that a demand for young ones passed over, so that the oldest go first again."""
        self._passed_over = False
        if pool := await self.pool():
            with contextlib.suppress(NoKeyAvailable):
                await self._own(pool, demand, octets, at_most)

    async def _own(self, pool: Pool, demand: Demand, octets: int, at_most: int) -> None:
        async def own(tx: Transaction) -> list[Lane]:
            return await self._store.pools.own(
                tx, pool, self._store.writer, demand, octets=octets, at_most=at_most
            )  # fmt: skip

        more = await self._store.committer.do(own)
        if not more:  # or another process was faster
            raise NoKeyAvailable(_TOO_SMALL, hint=_TOO_SMALL_HINT)
        self._add(more)

    def _add(self, lanes: Iterable[Lane]) -> None:
        self._lanes = sorted((*self._lanes, *lanes), key=lambda lane: lane.no)

    async def take(self, octets: int, demand: Demand, *, at_most: int) -> tuple[tuple[Cut, ...], Secret]:
        """Cut `octets` bytes in `at_most` pieces, and return the cuts with the bytes.

        Raises `PoolTooSmall` where there are not so many, `NoKeyAvailable` where they lie in more pieces.
        """
        while True:
            cuts = await self.plan(octets, demand, at_most=at_most)
            if len(cuts) > at_most:
                raise NoKeyAvailable(_TOO_SMALL, hint=_TOO_SMALL_HINT)
            try:
                content = await self._content(cuts)
            except BlockGone as gone:
                # others end blocks too: the sweep when they are old, a peer that has a new store
                self._lanes = [lane for lane in self._lanes if lane.block_id != gone.block_id]
                if isinstance(gone, BlockDamaged):
                    await self._give_up(gone.block_id)
                continue
            advance(cuts)
            return cuts, content

    async def _give_up(self, name: str) -> None:
        await self._store.committer.do(lambda tx: give_up(tx, self._store.pools.destroy, [name]))

    async def _content(self, cuts: Sequence[Cut]) -> Secret:
        session = await self._store.reader()
        if len(cuts) == 1:
            lane, piece = cuts[0]
            return Secret(await self._store.pools.piece(session, lane.block_id, piece))
        joined = bytearray()
        for lane, piece in cuts:
            joined += await self._store.pools.piece(session, lane.block_id, piece)
        try:
            return Secret(joined)
        finally:
            joined[:] = bytes(len(joined))

    def give_back(self, cuts: Sequence[Cut]) -> None:
        """Undo a `take` whose bytes never left this process, the last one first.

        A lane that was used up meanwhile is none of those held ready any more: it comes back in its place. Where the
        blocks of this link were destroyed it stays away.
        """
        give_back(cuts)
        held = {lane.block_id for lane in self._lanes}
        if self._pool:
            self._add(lane for lane, _ in cuts if lane.block_id not in held)

    def skip(self, no: int, cursor: int) -> list[Cut]:
        """Pass over what the other end has used of block `no` (all of it for -1); return what that leaves behind."""
        skipped = []
        for lane in self._lanes:
            if lane.no == no:
                to = lane.length if cursor < 0 else min(max(cursor, lane.cursor), lane.length)
                skipped.append(_behind(lane, to))
                lane.cursor = to
        return skipped

    def drop(self) -> None:
        """Forget everything: the blocks of this link were destroyed."""
        self._lanes, self._pool = [], None


def _behind(lane: Lane, to: int) -> Cut:
    return Cut(lane, Piece(lane.no, lane.cursor, to - lane.cursor))


class Link:
    """A link as its KME uses it. Whoever holds `turn` plans and asks; nobody else cuts of this link meanwhile."""

    def __init__(self, store: KeyStore, link: str, kme: str, peer_kme: str) -> None:
        self.id, self.kme, self.peer_kme = link, kme, peer_kme
        self.turn = asyncio.Lock()
        self.trusted = False
        """Whether the other end has shown that neither store went back in time. Nothing moves before."""
        self.greeted = asyncio.Event()
        """Set with the first trust since the start, or since a doubt."""
        self.trouble = "the KME at the other end has not been reached since the start"
        self.offered: dict[SourceKind, Strength] = {}
        """What label each source gives here now."""
        self.stocked = asyncio.Event()
        """Set when blocks have come; who waits for some clears it first."""
        self._patient_until_s = asyncio.get_running_loop().time() + _GREETING_S
        self._store = store
        self._stocks: dict[SourceKind, Stock] = {}

    def stock(self, source: SourceKind) -> Stock:
        """Return the stock of which this KME is the master."""
        if source not in self._stocks:
            self._stocks[source] = Stock(self._store, self.id, source, self.kme)
        return self._stocks[source]

    async def demand_trusted(self) -> None:
        """Return once the link may be used: that takes a moment after a start, or a doubt. Raises `PeerUnavailable`."""
        if not self.trusted and not self.greeted.is_set():
            with contextlib.suppress(TimeoutError):
                once_more_s = asyncio.get_running_loop().time() + _ONCE_MORE_S
                async with asyncio.timeout_at(max(self._patient_until_s, once_more_s)):
                    await self.greeted.wait()
        if not self.trusted:
            raise PeerUnavailable(self.trouble)

    def distrust(self, why: str) -> None:
        """Use the link no more until the other end is heard of again."""
        self.trusted, self.trouble = False, why
        self.greeted.clear()
        self._patient_until_s = asyncio.get_running_loop().time() + _DOUBT_S

    async def look(self) -> None:
        """See what the sources of this link offer, and wake who waits for it."""
        self.offered = await self._store.pools.offered(await self._store.reader(), self.id, self.kme)
        self.stocked.set()

    def drop(self) -> None:
        """Forget what was held ready."""
        self.offered = {}
        for stock in self._stocks.values():
            stock.drop()
