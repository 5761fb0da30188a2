"""Whose turn it is where one order needs several links: no link is held up because another is slow.

An order for several KMEs waits for its links in a queue of its own, where one such order at a time has a link until its
answers are there: what one of them leaves in doubt the next one knows of before it cuts anything. The links' `turn`,
which the orders of one link need as well, it holds only while it cuts, burns and puts its requests on their way.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from keystrand.edge.kme.links import Link
from keystrand.model.errors import PeerUnavailable

_WAITING = 16
"""How many orders for several KMEs may want one link at once before further ones are refused."""
_PATIENCE_S = 5.0
"""How long such an order waits for its links: longer than one assignment takes to fail."""
_HOLD_S = 0.1
"""How long the turn of one link is held while that of another does not come."""


class Queues:
    """The queues of orders for several KMEs, one for each link."""

    def __init__(self) -> None:
        self._heads: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: Counter[str] = Counter()

    @asynccontextmanager
    async def first(self, links: Sequence[Link]) -> AsyncIterator[None]:
        """Be the only such order of `links`. Raises `PeerUnavailable` where too many wait, or it takes too long."""
        # always in the same order: two never wait for each other
        names = sorted(link.id for link in links)
        if any(self._wanted[name] >= _WAITING for name in names):
            raise PeerUnavailable("too many requests wait for keys that several KMEs share")
        self._wanted.update(names)
        try:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(_PATIENCE_S):
                        for name in names:
                            await held.enter_async_context(self._heads[name])
                except TimeoutError:
                    raise PeerUnavailable("other requests for these KMEs take too long") from None
                yield
        finally:
            self._wanted.subtract(names)


@asynccontextmanager
async def turns_of(links: Sequence[Link]) -> AsyncIterator[None]:
    """Hold the turns of all `links`. Raises `PeerUnavailable` where they do not come together in time."""
    order = sorted(links, key=lambda link: link.id)
    async with AsyncExitStack() as held:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while slow := await _missing(held, order):
                    order = [slow, *(link for link in order if link is not slow)]
        except TimeoutError:
            raise PeerUnavailable("the links of these KMEs are busy") from None
        yield


async def _missing(held: AsyncExitStack, order: Sequence[Link]) -> Link | None:
    """Enter all turns; where one does not come soon, return its link and hold none: who waits for it holds no other."""
    for at, link in enumerate(order):
        try:
            async with asyncio.timeout(_HOLD_S if at else None):
                await held.enter_async_context(link.turn)
        except TimeoutError:
            await held.aclose()
            return link
    return None
