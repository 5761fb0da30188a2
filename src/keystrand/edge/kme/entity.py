"""The key management entity: requests in, decisions by `judging` and `keys`, memory in the store, links to the others.

The three methods of ETSI GS QKD 014 are here, and the way to what peers, modules and operators say. A request is
answered only when what it did is durable and audited. Every refusal of identity or by policy is audited too.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from keystrand.crypto.labels import REPETITION, bound
from keystrand.edge.kme import judging, messages, wire
from keystrand.edge.kme.assigning import Assigner
from keystrand.edge.kme.confirming import confirm
from keystrand.edge.kme.denials import Denials, Sparing
from keystrand.edge.kme.granting import Grants, Wanted
from keystrand.edge.kme.judging import Network
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import NO_QBER, Assign, Block, BlockAnswer, Confirm, Done, Hello, Notices
from keystrand.edge.kme.peering import Peering
from keystrand.edge.kme.server import Request, Response, refuse
from keystrand.edge.kme.transport import Sent
from keystrand.edge.pki import Kind
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Request as TakeRequest
from keystrand.edge.store.holdings import Taken
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import NewBlock
from keystrand.edge.telemetry.metrics import Metrics
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Call, Method
from keystrand.formats.etsi014_extensions import Provenance, extension_of
from keystrand.keys.making import Origin
from keystrand.model.errors import KeystrandError, PeerUnavailable, PolicyDenied, StoreFailure
from keystrand.model.key import RouteType, SourceKind

_log = logging.getLogger(__name__)

_CARRIED = 65_536
"""For so many of the latest answers it is known which connection carried them: who still has it has the answer."""

_ACKNOWLEDGED_S = 1.0
"""By then a client's machine that is there has acknowledged them; TCP delays that by 0.5 s at most (RFC 9293)."""

_REPEATS = 4
"""So often a lost answer is repeated. Each time is a line of the audit, and costs the caller one handshake."""


class _Carried(NamedTuple):
    """Which connection carried the latest answer to a request, when, and how often it was repeated before."""

    connection: int
    at: float
    repeats: int


_NOT_CARRIED = _Carried(0, 0.0, 0)

Serve = Callable[[Peer, Request], Awaitable[Response]]


class KeyManagementEntity:
    """One KME, put together by `kme.running`."""

    def __init__(
        self, network: Network, store: KeyStore, links: dict[str, Link], peerings: dict[str, Peering], grants: Grants,
        assigner: Assigner, metrics: Metrics, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.network, self.store, self.links, self.peerings, self.grants = network, store, links, peerings, grants
        self.metrics, self._assigner, self.clock = metrics, assigner, clock
        self.sent_over: Callable[[int], Sent] = lambda _: Sent.GONE
        """What became of what was sent over a connection."""
        self._denials, self._sparing = Denials(store, clock), Sparing()
        self._carried: dict[bytes, _Carried] = {}
        self._methods = {
            Method.STATUS: self._status,
            Method.ENC_KEYS: self._enc_keys,
            Method.DEC_KEYS: self._dec_keys,
        }
        self.posts: dict[bytes, Serve] = {
            messages.ASSIGN_URL.encode(): self._assign,
            messages.BLOCKS_URL.encode(): self._block,
            messages.CONFIRM_URL.encode(): self._confirm,
            messages.HELLO_URL.encode(): self._hello,
            messages.NOTICES_URL.encode(): self._notices,
        }
        """What is answered beside the standard, by URL; sources and operators add theirs."""
        self.operator: Serve | None = None

    async def answer(self, peer: Peer, request: Request) -> Response:
        """Return the answer to one request of the authenticated `peer`."""
        begin = time.perf_counter()
        method = "other"
        try:
            self._demand_valid(peer)
            call = etsi014.parse_target(request.target)
            if call is not None:
                method = call.method.value
                response = await self._call(peer, call, request)
            else:
                response = await self._beside(peer, request)
        except KeystrandError as error:
            response = await self._refused(peer, request, error)
        self.metrics.answered(method, response.status, time.perf_counter() - begin)
        return response

    def _demand_valid(self, peer: Peer) -> None:
        judging.demand_valid(peer, time.time())

    async def _call(self, peer: Peer, call: Call, request: Request) -> Response:
        if request.method == "POST" and call.method is Method.STATUS:
            return refuse(405, "status is asked for by GET", (("Allow", "GET"),))
        if request.method == "POST" and call.query:
            raise etsi014.bad_request("POST takes its parameters in the body", "query")
        return await self._methods[call.method](peer, call, request)

    async def _beside(self, peer: Peer, request: Request) -> Response:
        path, _, query = request.target.partition(b"?")
        if serve := self.posts.get(path):
            if request.method != "POST" or query:
                return refuse(405, "POST only", (("Allow", "POST"),))
            return await serve(peer, request)
        if self.operator and path.startswith(b"/keystrand/v1/operator/"):
            return await self.operator(peer, request)
        return refuse(404, "no such resource")

    async def _refused(self, peer: Peer, request: Request, error: KeystrandError) -> Response:
        if isinstance(error, PolicyDenied):
            try:
                await self._denials.note(peer, request.target, error.message)
            except StoreFailure as failure:
                error = failure
        elif isinstance(error, (PeerUnavailable, StoreFailure)):
            _log.warning("a request of %s was not served: %s", peer.identity.urn, error.message)
        status, body = judging.refusal(error, self.network.config.keys.key_size)
        headers = (("Retry-After", str(judging.retry_after_s(error))),) if status == 503 else ()
        return Response(status=status, body=etsi014.encode(body), headers=headers)

    # The three methods of ETSI GS QKD 014

    def _requires_post_quantum(self, peer: Peer) -> bool:
        required = self.network.config.tls.post_quantum_saes == "require"
        return required or self.grants.rules.requires_post_quantum_group(peer.identity.id)

    async def _status(self, peer: Peer, call: Call, _: Request) -> Response:
        link = judging.link_between(self.network, peer, call.sae_id, post_quantum=self._requires_post_quantum(peer))
        if call.query:
            raise etsi014.bad_request("status takes none", "query")
        bits = await self.stored_bits(link.id, SourceKind.QKD)
        return ok(etsi014.encode(judging.status_of(self.network, peer, link, call.sae_id, bits)))

    async def stored_bits(self, link: str, source: SourceKind) -> int:
        """Return how many bits this KME may still cut from the pool of a link's source."""
        session = await self.store.reader()
        pool = await self.store.pools.find(session, link, source, self.network.config.kme_id)
        return 8 * await self.store.pools.stored_octets(session, pool) if pool else 0

    async def _enc_keys(self, peer: Peer, call: Call, request: Request) -> Response:
        end = judging.link_between(self.network, peer, call.sae_id, post_quantum=self._requires_post_quantum(peer))
        if request.method == "GET":
            asked = etsi014.parse_key_request_query(call.query)
        else:
            asked = etsi014.parse_key_request(request.body)
        size = judging.check_size(self.network.config.keys, asked)
        slaves = judging.slaves_of(self.network, peer.identity.id, call.sae_id, asked.additional_slave_sae_ids)
        wanted = Wanted(peer=peer, slaves=slaves, size=size, request=asked)
        await self.links[end.id].demand_trusted()
        issued, instead_of = await self.grants.grant(self.links[end.id], wanted)
        with issued.keys as keys:
            octets, view = size // 8, keys.view()
            pieces = [view[at : at + octets] for at in range(0, len(view), octets)]
            body = etsi014.render_keys(issued.key_ids, pieces, _extension(issued.told, self.clock(), instead_of))
        self._count("master", issued.told.label.value, asked.number, size)
        return ok(body)

    async def _dec_keys(self, peer: Peer, call: Call, request: Request) -> Response:
        if self.network.homes.get(call.sae_id) != self.network.config.kme_id:
            end = judging.link_between(self.network, peer, call.sae_id, post_quantum=self._requires_post_quantum(peer))
            await self.links[end.id].demand_trusted()
        else:
            judging.demand_served(self.network, peer, post_quantum=self._requires_post_quantum(peer))
            await self._demand_seen()
        if request.method == "GET":
            key_ids = etsi014.parse_key_ids_query(call.query)
        else:
            key_ids = etsi014.parse_key_ids(request.body)
        judging.judge_ids(self.network.config.keys, key_ids)
        digest = hashlib.sha256(peer.fingerprint + bound(REPETITION, call.sae_id, *key_ids)).digest()
        taken = await self.store.committer.do(self._taking(peer, call.sae_id, key_ids, digest))
        return self._container(taken)

    async def _demand_seen(self) -> None:
        """Return once any other KME has seen how far this store has come. Raises `PeerUnavailable`.

        Both SAEs are at home here, so no other end stands for these keys; a store that was put back from a copy would
        hand them out again all the same.
        """
        if not any(link.trusted for link in self.links.values()):
            asked = (link.demand_trusted() for link in self.links.values())
            if all(troubles := await asyncio.gather(*asked, return_exceptions=True)):
                raise PeerUnavailable(str(troubles[0]) if troubles else "no other KME knows this store")

    def _taking(
        self, peer: Peer, master: str, key_ids: tuple[str, ...], digest: bytes
    ) -> Callable[[Transaction], Awaitable[tuple[Taken, ...]]]:
        async def take(tx: Transaction) -> tuple[Taken, ...]:
            # judged here, one after the other: who asks twice at once has not lost the first answer
            before = self._carried.get(digest, _NOT_CARRIED)
            asked = TakeRequest(
                slave_sae=peer.identity.id, master_sae=master, key_ids=key_ids, digest=digest,
                repeatable=before.repeats < _REPEATS and self._lost(before, tx.now),
            )  # fmt: skip
            taken, repeated = await self.store.holdings.take(tx, asked)
            action = "dec_keys_repeated" if repeated else "dec_keys"
            tx.note(action, peer, master=master, key_ids=list(key_ids))
            if repeated:
                self.metrics.repeats.inc()
            # from now on, not from the answer on: a second request of the same moment is no repetition
            self._carried.pop(digest, None)  # the place of the latest answer, not of the first
            self._carried[digest] = _Carried(peer.connection, tx.now, before.repeats + repeated)
            if len(self._carried) > _CARRIED:
                del self._carried[next(iter(self._carried))]
            return taken

        return take

    def _lost(self, carried: _Carried, now: float) -> bool:
        """Return whether an answer may not have arrived: its connection has ended, or its bytes lie unacknowledged."""
        state = self.sent_over(carried.connection)
        return state is Sent.GONE or (state is Sent.WAITING and now - carried.at > _ACKNOWLEDGED_S)

    def _container(self, taken: tuple[Taken, ...]) -> Response:
        now, extensions, parts = self.clock(), dict[str, bytes](), []
        for one in taken:
            if one.told not in extensions:
                extensions[one.told] = _extension(_origin(one.told), now, ())
        for told, extension in extensions.items():
            same = [one for one in taken if one.told == told]
            self._count("slave", _origin(told).label.value, len(same), 8 * len(same[0].key))
            if len(extensions) == 1:
                parts = [etsi014.rendered_keys([one.key_id for one in same], [one.key for one in same], extension)]
        if not parts:
            parts = [etsi014.rendered_keys([one.key_id], [one.key], extensions[one.told]) for one in taken]
        return ok(etsi014.container_of(*parts))

    def _count(self, role: str, label: str, number: int, size: int) -> None:
        self.metrics.keys.labels(role, label).inc(number)
        self.metrics.bits.labels(role, label).inc(number * size)

    # What modules and the other KMEs say

    async def _block(self, peer: Peer, request: Request) -> Response:
        judging.demand(peer, Kind.MODULE)
        block = wire.decode(request.body, Block)
        with block.key_bits:
            judging.judge_block(self.network, peer, block)
            accepted = await self.add_block(block, peer)
        return ok(etsi014.encode(BlockAnswer(accepted=accepted)))

    async def add_block(self, block: Block, peer: Peer | None, *, confirm_s: float | None = None) -> bool:
        """Store raw key of a source; return false where the pool is full.

        It is confirmed with the other end, then used. Where that takes longer than `confirm_s` (None: than any block's
        life) it is destroyed.
        """
        keys, bits, now = self.network.config.keys, 8 * len(block.key_bits), self.clock()
        is_master = block.master_kme == self.network.config.kme_id
        new = NewBlock(
            block_id=block.block_id, link=block.link, source=block.source, master=block.master_kme, qber=block.qber,
            key_bits=block.key_bits, label=block.label, until=now + keys.block_life_s,
            confirm_by=now + min(keys.block_life_s, keys.block_life_s if confirm_s is None else confirm_s),
        )  # fmt: skip

        async def add(tx: Transaction) -> bool:
            limit = keys.pool_bits // 8
            accepted = await self.store.pools.add(
                tx, new, epoch=self.store.epoch, is_master=is_master, pool_octets=limit
            )
            if accepted:
                tx.note(
                    "block", peer, link=block.link, block=block.block_id, master=block.master_kme, bits=bits,
                    qber=None if block.qber == NO_QBER else block.qber, label=block.label.value,
                    source=block.source.value,
                )  # fmt: skip
            return accepted

        accepted = await self.store.committer.do(add)
        self.metrics.blocks.labels(block.link, block.source.value, "accepted" if accepted else "full").inc()
        if block.qber != NO_QBER:
            self.metrics.qber.labels(block.link).set(block.qber)
        if accepted:
            self.metrics.secret_bits.labels(block.link, block.source.value).inc(bits)
            if is_master:
                self.peerings[block.link].block_came()
        return accepted

    async def _assign(self, peer: Peer, request: Request) -> Response:
        message = etsi014.decode(request.body, Assign)
        judging.link_of_peer(self.network, peer, message.link)
        return ok(etsi014.encode(await self._assigner.assign(message, peer)))

    async def _confirm(self, peer: Peer, request: Request) -> Response:
        message = etsi014.decode(request.body, Confirm)
        judging.link_of_peer(self.network, peer, message.link)
        return ok(etsi014.encode(await confirm(self.store, message, peer, self._sparing)))

    async def _hello(self, peer: Peer, request: Request) -> Response:
        link = judging.link_of_peer(self.network, peer)
        message = etsi014.decode(request.body, Hello)
        return ok(etsi014.encode(await self.peerings[link.id].hello(message)))

    async def _notices(self, peer: Peer, request: Request) -> Response:
        message = etsi014.decode(request.body, Notices)
        judging.link_of_peer(self.network, peer, message.link)
        await self._assigner.follow(message, peer)
        return ok(etsi014.encode(Done()))


_origin = msgspec.json.Decoder(Origin).decode


def _extension(told: Origin, now: float, instead_of: tuple[str, ...]) -> bytes:
    """Return the `key_extension` that says where keys came from."""
    return extension_of(
        Provenance(
            label=told.label, sources=told.sources, hops=told.hops,
            route_type=RouteType.DIRECT, age_s=max(0, int(now - told.received)),
            qber_max=UNSET if told.qber < 0 else told.qber,
            profile=told.profile, instead_of=instead_of,
        )
    )  # fmt: skip


def ok(body: bytes) -> Response:
    """Return a 200 with `body`."""
    return Response(status=200, body=body)
