"""All sources of one KME, as its configuration names them: made, running, and what they answer the other ends."""

import asyncio
from collections.abc import Callable, Iterator

from OpenSSL import SSL

from keystrand.edge.devices.files import FolderSource
from keystrand.edge.devices.pqc import AgreedSource, Agreeing, allowance
from keystrand.edge.devices.source import Feed, Source, run
from keystrand.edge.devices.vendor import Fetching, VendorLink
from keystrand.edge.kme.config import KmeConfig
from keystrand.edge.kme.denials import Allowance
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.messages import AGREE_URL, FETCH_URL
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.lasting import lasting
from keystrand.model.key import SourceKind


class Sources:
    """The sources of `entity`. `context` gives the TLS context of now for connections to the other KMEs."""

    def __init__(self, config: KmeConfig, entity: KeyManagementEntity, context: Callable[[], SSL.Context]) -> None:
        """Make them, and have the entity answer the other ends. Raises `InvalidInput` for a vendor's TLS files."""
        self._config, self._entity, self._context = config, entity, context
        agreeing = dict[tuple[str, SourceKind], tuple[Feed, Allowance]]()
        fetching = dict[str, VendorLink]()
        self._sources: list[Source] = [*self._agreed(agreeing), *self._vendors(fetching), *self._files()]
        entity.posts[AGREE_URL.encode()] = Agreeing(entity.network, agreeing).answer
        entity.posts[FETCH_URL.encode()] = Fetching(entity.network, fetching).answer
        self._tasks: list[asyncio.Task[None]] = []

    def _feed(self, link: str) -> Feed:
        end = self._entity.network.links[link]
        return Feed(self._entity, end, PeerWays(end.peer_urls, self._context, kme_id=end.peer_kme))

    def _agreed(self, agreeing: dict[tuple[str, SourceKind], tuple[Feed, Allowance]]) -> Iterator[Source]:
        for one in self._config.pqc_sources:
            source, feed = SourceKind(one.source), self._feed(one.link)
            agreeing[one.link, source] = feed, allowance(one.bits_per_s)
            yield AgreedSource(feed, source, one.bits_per_s)

    def _vendors(self, fetching: dict[str, VendorLink]) -> Iterator[Source]:
        for one in self._config.vendor_sources:
            fetching[one.link] = link = VendorLink(self._feed(one.link), one)
            yield link

    def _files(self) -> Iterator[Source]:
        for one in self._config.file_sources:
            yield FolderSource(self._feed(one.link), one)

    def start(self) -> None:
        """Let them make blocks."""
        fail = self._entity.store.committer.fail
        self._tasks = [lasting(run(source), source.name, fail) for source in self._sources]

    async def close(self) -> None:
        """Make no more; a block under way is given up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for source in self._sources:
            source.close()
