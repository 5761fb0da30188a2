"""What fills the pools of a KME from within: sources that take one step after the other, and say why one failed.

A source is the master's side of something that makes the same block at both ends of a link. The slave's side answers
the master's questions. Every block is confirmed between the ends before a bit of it is used (`kme.confirming`), so a
source that makes two different blocks, or one at one end only, costs those blocks and nothing else.
"""

import asyncio
import logging
from typing import Protocol, TypeVar

from msgspec import Struct

from keystrand.edge.kme import wire
from keystrand.edge.kme.config import LinkEnd
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.messages import Block
from keystrand.edge.kme.ways import PeerWays
from keystrand.formats import etsi014
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable
from keystrand.model.key import SourceKind
from keystrand.model.words import shown

_log = logging.getLogger(__name__)
T = TypeVar("T")

WAIT_S = 0.5
"""How soon a source looks again whether its pool has room, or its link is trusted."""
RETRY_S = 2.0
"""How long a source that failed waits: what is wrong is seldom mended sooner."""
CONFIRM_S = 60.0
"""How long a block that the ends made together may wait for its confirmation. One end that stopped in between leaves
the other with a block that nobody will confirm; it must not fill the pool for long."""


class Source(Protocol):
    """One source of one link. `name` says which in the log."""

    name: str

    async def step(self) -> float:
        """Make a block where one is wanted; return after how many seconds to come again. Raises `KeystrandError`."""

    def close(self) -> None:
        """Let go of everything."""


class Feed:
    """One link as a source sees it: this end's pools, and the KME at the other end by a connection of its own."""

    def __init__(self, entity: KeyManagementEntity, end: LinkEnd, peer: PeerWays) -> None:
        self._entity, self._peer = entity, peer
        self.link, self.own_kme, self.other_kme = end.id, entity.network.config.kme_id, end.peer_kme

    @property
    def trusted(self) -> bool:
        """Return whether both ends know that neither store went back in time: before that no block is worth making."""
        return self._entity.links[self.link].trusted

    async def room(self, source: SourceKind, master_kme: str, octets: int) -> bool:
        """Return whether the pool of `source` from which `master_kme` cuts has room for a block of `octets`."""
        store, limit = self._entity.store, self._entity.network.config.keys.pool_bits // 8
        session = await store.reader()
        pool = await store.pools.find(session, self.link, source, master_kme)
        held = await store.pools.held_octets(session, pool) if pool else 0
        return held + octets <= limit

    async def add(self, block: Block, *, confirm_s: float | None = CONFIRM_S) -> bool:
        """Store `block` durably and clear its bytes; return false where the pool is full. Raises `StoreFailure`."""
        with block.key_bits:
            return await self._entity.add_block(block, None, confirm_s=confirm_s)

    async def ask(self, url: str, message: Struct, kind: type[T], *, timeout_s: float) -> T:
        """Return the other KME's answer. Raises `PeerUnavailable` where there is none, or it is a refusal."""
        status, answer = await self._peer.exchange("POST", url, etsi014.encode(message), timeout_s=timeout_s)
        if status != 200:
            raise PeerUnavailable(f"{self.other_kme}: {wire.error_of(answer).message}")
        try:
            return etsi014.decode(answer, kind)
        except InvalidInput as error:
            raise PeerUnavailable(f"{self.other_kme} answered what cannot be read") from error

    def close(self) -> None:
        """Close the connection."""
        self._peer.close()


async def run(source: Source) -> None:
    """Have `source` take its steps for ever. A trouble is told when it begins and when it is over."""
    told = ""
    while True:
        trouble = ""
        try:
            pause_s = await source.step()
        except KeystrandError as error:
            pause_s, trouble = RETRY_S, error.message
        except Exception as error:  # one source's defect must not end it in silence
            _log.exception("%s failed", source.name)
            pause_s, trouble = RETRY_S, f"{type(error).__name__}: {shown(str(error))}"
        if trouble != told:
            _log.log(logging.WARNING if trouble else logging.INFO, "%s: %s", source.name, trouble or "goes on")
            told = trouble
        await asyncio.sleep(pause_s)
