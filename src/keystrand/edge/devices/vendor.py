"""Keys of a vendor's KMEs, taken by ETSI GS QKD 014 at both ends: this KME is an SAE of the vendor's network.

The master's end takes fresh keys and tells the other end their IDs; that one takes the same keys from the vendor's KME
beside it, and both store them, joined, as one block. Where anything goes wrong the keys are dropped at both ends: the
vendor has given them out, and they come back no more.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from keystrand.crypto.secret import Secret
from keystrand.edge.devices.source import WAIT_S, Feed
from keystrand.edge.kme import judging
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.config import VendorSource
from keystrand.edge.kme.entity import ok
from keystrand.edge.kme.judging import Network
from keystrand.edge.kme.messages import FETCH_URL, NO_QBER, Block, Done, Fetch
from keystrand.edge.kme.server import Request, Response, refuse
from keystrand.edge.kme.wire import SecretKey
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import bad_request
from keystrand.model.errors import NoKeyAvailable, PolicyDenied
from keystrand.model.key import SourceKind

T = TypeVar("T")

_VENDOR_S = 5.0
"""How long a vendor's KME may take for its answer."""
_FETCH_S = 2 * _VENDOR_S
"""How long the other end may take: its vendor's KME answers it meanwhile."""


class VendorKme:
    """The vendor's KME at this end. Its client blocks, so it is asked in threads of its own."""

    def __init__(self, config: VendorSource) -> None:
        """Prepare; nothing is connected yet. Raises `InvalidInput` for files or a URL that cannot be used."""
        self._config = config
        self._client = Client014(
            config.url, Path(config.ca), Path(config.certificate), Path(config.key), require_post_quantum=False,
            foreign=True, timeout_s=_VENDOR_S,
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="vendor")

    async def fresh(self) -> tuple[SecretKey, ...]:
        """Return fresh keys for one block. Raises what `Client014.enc_keys` does."""
        config = self._config
        return await self._do(
            lambda: self._client.enc_keys(config.partner, number=config.keys_per_block, size=config.key_bits)
        )

    async def same(self, key_ids: Sequence[str]) -> tuple[SecretKey, ...]:
        """Return the keys that the other end took. Raises what `Client014.dec_keys` does."""
        return await self._do(lambda: self._client.dec_keys(self._config.partner, key_ids))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """End the connection; who waits for an answer is told that there is none."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _joined(keys: Sequence[SecretKey]) -> Secret:
    """Return the bytes of `keys` one after the other, and clear the keys."""
    whole = bytearray()
    for one in keys:
        whole += one.key.view()
        one.key.zeroise()
    try:
        return Secret(whole)
    finally:
        whole[:] = bytes(len(whole))


class VendorLink:
    """Both sides of one link that a vendor's network feeds."""

    def __init__(self, feed: Feed, config: VendorSource) -> None:
        self._feed, self._octets, self._label = feed, config.octets, config.label
        self._vendor = VendorKme(config)
        self.name = f"vendor's keys of link {feed.link}"

    async def step(self) -> float:
        """Take keys for a block of which this end is the master, have the other end take the same, and store them."""
        feed = self._feed
        if not feed.trusted or not await feed.room(SourceKind.QKD, feed.own_kme, self._octets):
            return WAIT_S
        try:
            keys = await self._vendor.fresh()
        except NoKeyAvailable:
            return WAIT_S  # we take them faster than the vendor makes them
        asked = Fetch(link=feed.link, block_id=str(uuid.uuid4()), key_ids=tuple(key.key_id for key in keys))
        block = self._block(asked.block_id, feed.own_kme, keys)
        try:
            await feed.ask(FETCH_URL, asked, Done, timeout_s=_FETCH_S)
        except BaseException:
            block.key_bits.zeroise()
            raise
        await feed.add(block)
        return 0.0

    async def answer(self, asked: Fetch) -> Response:
        """Take the keys that the other end has taken, and store them as the block of its name."""
        feed = self._feed
        if len(set(asked.key_ids)) != len(asked.key_ids):
            raise bad_request("a key ID is named twice", "key_ids")
        if not await feed.room(SourceKind.QKD, feed.other_kme, self._octets):
            return refuse(503, "the pool at this end is full")
        block = self._block(asked.block_id, feed.other_kme, await self._vendor.same(asked.key_ids))
        if not await feed.add(block):
            return refuse(503, "the pool at this end is full")
        return ok(etsi014.encode(Done()))

    def _block(self, block_id: str, master_kme: str, keys: Sequence[SecretKey]) -> Block:
        return Block(
            link=self._feed.link, block_id=block_id, master_kme=master_kme, key_bits=_joined(keys), qber=NO_QBER,
            label=self._label,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of both connections."""
        self._feed.close()
        self._vendor.close()


class Fetching:
    """Answers the other ends of `links`, by link, and of no other."""

    def __init__(self, network: Network, links: Mapping[str, VendorLink]) -> None:
        self._network, self._links = network, links

    async def answer(self, peer: Peer, request: Request) -> Response:
        """Answer one request to fetch. Raises `PolicyDenied` where no vendor feeds this end of the link."""
        asked = etsi014.decode(request.body, Fetch)
        judging.link_of_peer(self._network, peer, asked.link)
        link = self._links.get(asked.link)
        if link is None:
            raise PolicyDenied("this end has no [[vendor_source]] on that link")
        return await link.answer(asked)
