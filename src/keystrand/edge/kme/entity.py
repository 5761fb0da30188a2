"""The key management entity: requests in, decisions by `service`, memory in `store`, the other end by `peer`.

The store works in one thread of its own, so handshakes go on while it syncs. Each link's keys are cut by one request at
a time; a slave KME's work needs no lock that a master's holds, so two KMEs that call each other never wait in a circle.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from keystrand.edge.kme import service, wire
from keystrand.edge.kme.channel import InDoubt
from keystrand.edge.kme.config import KmeConfig
from keystrand.edge.kme.messages import ASSIGN_URL, BLOCKS_URL, Assign, AssignAnswer, Block, Slice
from keystrand.edge.kme.server import Request, Response, refuse
from keystrand.edge.kme.service import KeyOrder
from keystrand.edge.kme.store import Store, StoredKey
from keystrand.edge.kme.wire import SecretKey
from keystrand.edge.pki import Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Call, KeyContainer, KeyRequest, Method
from keystrand.model.errors import KeystrandError, PeerUnavailable, PolicyDenied, StoreFailure

_log = logging.getLogger(__name__)
T = TypeVar("T")

_IDLE_S = 1.0
"""How long the store is left alone before its log is folded: a delivered key does not stay in it for long."""
_QUEUE_S = 5.0
"""How long a Get key waits for those before it on its link."""
_PLANS = 16
"""How many plans a Get key makes before it gives up: each refused one burns at least a block."""


class SlaveKme(Protocol):
    """The other end of a link; `PeerKme` is the one over the network."""

    def assign(self, message: Assign) -> AssignAnswer:
        """Assign, or raise `NotSent` or `InDoubt`."""

    def close(self) -> None:
        """Let go."""


def _new_key_id() -> str:
    """Return a random UUID (RFC 9562, version 4): it says nothing about the key."""
    return str(uuid.uuid4())


class KeyManagementEntity:
    """One KME. `peers` by link id; `clock` gives seconds since the epoch."""

    def __init__(
        self, config: KmeConfig, store: Store, peers: Mapping[str, SlaveKme], clock: Callable[[], float]
    ) -> None:
        self._config, self._store, self._peers, self._clock = config, store, peers, clock
        self._store_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._peer_threads = ThreadPoolExecutor(max_workers=max(1, len(peers)), thread_name_prefix="peer")
        self._folding: asyncio.TimerHandle | None = None
        self._cutting = {link.id: asyncio.Lock() for link in config.links}

    async def answer(self, peer: Peer, request: Request) -> Response:
        """Return the answer to one request of the authenticated `peer`. Every refusal of identity is audited."""
        try:
            service.demand_valid(peer, self._clock())
            return await self._route(peer, request)
        except PolicyDenied as error:
            return await self._denied(peer, request, error)
        except (PeerUnavailable, StoreFailure) as error:
            _log.warning("a request of %s was not served: %s", peer.identity.urn, error.message)
            return _refusal(error)
        except KeystrandError as error:
            return _refusal(error)

    async def _route(self, peer: Peer, request: Request) -> Response:
        path, _, query = request.target.partition(b"?")
        if path in (BLOCKS_URL.encode(), ASSIGN_URL.encode()):
            if request.method != "POST" or query:
                return refuse(405, "POST only", (("Allow", "POST"),))
            return await (self._block if path == BLOCKS_URL.encode() else self._assign)(peer, request.body)
        call = etsi014.parse_target(request.target)
        if call is None:
            return refuse(404, "no such resource")
        if request.method == "POST" and call.method is Method.STATUS:
            return refuse(405, "status is asked for by GET", (("Allow", "GET"),))
        if request.method == "POST" and call.query:
            raise etsi014.bad_request("POST takes its parameters in the body", "query")
        serve = {Method.STATUS: self._status, Method.ENC_KEYS: self._enc_keys, Method.DEC_KEYS: self._dec_keys}
        return await serve[call.method](peer, call, request)

    async def _denied(self, peer: Peer, request: Request, error: PolicyDenied) -> Response:
        target = request.target[:256].decode("ascii", "replace")
        try:
            await self._stored(self._store.note, self._clock(), peer, "denied", target=target, why=error.message)
        except StoreFailure as failure:
            return _refusal(failure)
        return _refusal(error)

    async def _stored(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self._fold_later()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store_thread, partial(method, *args, **kwargs))

    def _fold_later(self) -> None:
        """Fold the store's log once nobody has asked it anything for a while, and again where that was held up."""
        if self._folding:
            self._folding.cancel()
        self._folding = asyncio.get_running_loop().call_later(_IDLE_S, self._fold)

    def _fold(self) -> None:
        folded = asyncio.get_running_loop().run_in_executor(self._store_thread, self._store.fold)
        folded.add_done_callback(lambda done: None if done.cancelled() or done.result() else self._fold_later())

    # The three methods of ETSI GS QKD 014

    async def _status(self, peer: Peer, call: Call, _: Request) -> Response:
        link = service.link_between(self._config, peer, call.sae_id)
        if call.query:
            raise etsi014.bad_request("status takes none", "query")
        stored = await self._stored(self._store.stored_bits, link.id, self._config.kme_id)
        return _ok(etsi014.encode(service.status_of(self._config, peer, link, call.sae_id, stored)))

    async def _enc_keys(self, peer: Peer, call: Call, request: Request) -> Response:
        link = service.link_between(self._config, peer, call.sae_id)
        asked = _key_request(call, request)
        order = service.order_keys(self._config, link, peer.identity.id, call.sae_id, asked)
        lock = self._cutting[order.link.id]
        try:
            async with asyncio.timeout(_QUEUE_S):
                await lock.acquire()
        except TimeoutError:
            raise PeerUnavailable("too many requests wait for keys of this link") from None
        try:
            keys = await self._cut(peer, order)
        finally:
            lock.release()
        return _container(keys)

    async def _cut(self, peer: Peer, order: KeyOrder) -> tuple[StoredKey, ...]:
        """Return the order's keys, assigned at the slave KME and then marked delivered here."""
        for _ in range(_PLANS):
            slices = await self._stored(self._store.plan, order, self._config.kme_id)
            message = Assign(
                link=order.link.id, master_sae=order.master_sae, slave_sae=order.slave_sae, size=order.size,
                key_ids=tuple(_new_key_id() for _ in range(order.number)), slices=slices,
            )  # fmt: skip
            unusable = await self._assigned(peer, message)
            if not unusable:
                return await self._stored(self._store.deliver, message, self._clock(), peer)
            await self._burn(peer, unusable, "the other end cannot use them", whole_blocks=True)
        raise PeerUnavailable("both ends of the link hold different blocks")

    async def _assigned(self, peer: Peer, message: Assign) -> tuple[Slice, ...]:
        """Return the slices that the slave KME cannot use: none means it has assigned. Doubt burns the bytes."""
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._peer_threads, self._peers[message.link].assign, message)
            unusable = tuple(piece for piece in message.slices if piece.block_id in answer.unusable)
            if answer.unusable and not unusable:
                raise InDoubt("the other KME refused blocks that were not named")  # noqa: TRY301  # doubt like any other
        except InDoubt:
            await self._burn(peer, message.slices, "the other end may have assigned them")
            raise
        return unusable

    async def _burn(self, peer: Peer, slices: tuple[Slice, ...], why: str, *, whole_blocks: bool = False) -> None:
        await self._stored(self._store.burn, slices, why, self._clock(), peer, whole_blocks=whole_blocks)

    async def _dec_keys(self, peer: Peer, call: Call, request: Request) -> Response:
        service.link_between(self._config, peer, call.sae_id)
        by_query = request.method == "GET"
        key_ids = etsi014.parse_key_ids_query(call.query) if by_query else etsi014.parse_key_ids(request.body)
        service.judge_ids(self._config, key_ids)
        return _container(
            await self._stored(self._store.take, key_ids, call.sae_id, self._clock(), peer, wait_s=self._wait_s)
        )

    @property
    def _wait_s(self) -> float:
        return self._config.keys.wait_for_slave_s

    # What modules and the other KME say

    async def _block(self, peer: Peer, body: bytes) -> Response:
        service.demand(self._config, peer, Kind.MODULE)
        block = wire.decode(body, Block)
        with block.key_bits:
            service.judge_block(self._config, peer, block)
            answer = await self._stored(self._store.add_block, block, self._clock(), peer)
        return _ok(etsi014.encode(answer))

    async def _assign(self, peer: Peer, body: bytes) -> Response:
        service.demand(self._config, peer, Kind.KME)
        message = etsi014.decode(body, Assign)
        service.judge_assign(self._config, peer, message)
        answer = await self._stored(self._store.assign, message, self._clock(), peer, wait_s=self._wait_s)
        return _ok(etsi014.encode(answer))

    def close(self) -> None:
        """Finish what the store is doing and close it. What waits for a peer is cut short and not waited for."""
        if self._folding:
            self._folding.cancel()
        self._peer_threads.shutdown(wait=False, cancel_futures=True)
        for peer in self._peers.values():
            peer.close()
        self._store_thread.shutdown(cancel_futures=True)
        self._store.close()


def _key_request(call: Call, request: Request) -> KeyRequest:
    if request.method == "GET":
        return etsi014.parse_key_request_query(call.query)
    return etsi014.parse_key_request(request.body)


def _container(stored: tuple[StoredKey, ...]) -> Response:
    keys = tuple(SecretKey(key_id=one.key_id, key=one.key, key_extension=one.provenance) for one in stored)
    body = wire.encode(KeyContainer(keys=keys))
    for key in keys:
        key.key.zeroise()
    return _ok(body)


def _ok(body: bytes) -> Response:
    return Response(status=200, body=body)


def _refusal(error: KeystrandError) -> Response:
    status, body = service.refusal(error)
    headers = (("Retry-After", str(service.RETRY_AFTER_S)),) if status == 503 else ()
    return Response(status=status, body=etsi014.encode(body), headers=headers)
