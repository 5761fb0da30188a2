"""A KME put together from its configuration, listening, and taken apart in good order."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand import __version__
from keystrand.edge.devices.feeding import Sources
from keystrand.edge.files import read_bytes
from keystrand.edge.kme import judging
from keystrand.edge.kme.assigning import Assigner
from keystrand.edge.kme.config import KmeConfig
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.granting import Grants
from keystrand.edge.kme.issuing import Issuer, swallow
from keystrand.edge.kme.judging import Network, network_of
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import Order
from keystrand.edge.kme.multicast import Multicast
from keystrand.edge.kme.operating import Operating, told_of
from keystrand.edge.kme.peering import Peering
from keystrand.edge.kme.plain import PlainListener, serve_plain
from keystrand.edge.kme.server import HttpProtocol, Request, Response, refuse
from keystrand.edge.kme.transport import Connections, Limits, TlsServerProtocol
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.lasting import lasting
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_signer import open_signer, read_public_key
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Limits as HoldingLimits
from keystrand.edge.store.keyring import Keyring
from keystrand.edge.store.keystore import KeyStore, Terms, identity, open_store
from keystrand.edge.store.master_key import open_keyring
from keystrand.edge.store.session import Backend
from keystrand.edge.store.sqlite import SqliteBackend
from keystrand.edge.telemetry.audit_sinks import AuditSinks
from keystrand.edge.telemetry.metrics import CONTENT_TYPE, Metrics
from keystrand.edge.tls import LiveContext, Peer
from keystrand.formats.key_policy_toml import key_policy_from_toml
from keystrand.keys.fallback import Change
from keystrand.keys.rules import BUILT_IN, PolicyRules
from keystrand.model.errors import MissingInput, StoreFailure
from keystrand.model.key import SourceKind
from keystrand.operate.audit import Own, detail_of
from keystrand.operate.audit_render import Origin

_log = logging.getLogger(__name__)

_GOODBYE_S = 0.05
"""How long open connections may take the goodbye at the end."""


def _boot_s() -> float:
    """Return the seconds since the machine's start, those of its sleep included: keys grow old then too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Seconds since the epoch as of the start, going on with the machine's own steady clock.

    A wall clock that jumps while we run moves no deadline: keys neither expire an hour early nor wait an hour longer.
    It starts at `now`, but not before `at_least`, which has been: after a restart too no deadline is passed twice.
    """

    def __init__(self, now: float, at_least: float = 0.0) -> None:
        self._base = max(now, at_least) - _boot_s()

    def __call__(self) -> float:
        """Return the time."""
        return self._base + _boot_s()


def read_policy(config: KmeConfig) -> PolicyRules:
    """Return the policy that `config` names, or the built-in one. Raises `MissingInput` or `InvalidInput`."""
    if not config.policy:
        return BUILT_IN
    file = Path(config.policy)
    content = read_bytes(file, hint="name the TOML file of the key policy, or none")
    policy = key_policy_from_toml(content.decode(errors="replace"), file.name)
    return PolicyRules(policy, file=file.name, revision=1, digest=hashlib.sha256(content).hexdigest())


class Kept(NamedTuple):
    """What a store is made of, and the store."""

    store: KeyStore
    clock: SteadyClock


async def open_kept(config: KmeConfig, replay_s: float, sinks: AuditSinks) -> Kept:
    """Open everything durable that `config` names.

    Raises `StoreFailure`, `KeyringFault`, `MissingInput` or `InvalidInput`.
    """
    backend = await open_backend(config)
    keyring: Keyring | None = None
    audit: AuditFile | None = None
    try:
        store_id, new, new_writer = await identity(backend)
        keyring = open_keyring(
            config.master_key_source, Path(config.keyring), store_id, home=Path(config.home), new=new
        )
        clock = SteadyClock(await backend.time(), await latest_beat(backend))
        former = [read_public_key(Path(file)) for file in config.audit.former_keys]
        signer = open_signer(Path(config.audit.signing_key), make=new_writer or bool(former))
        audit = AuditFile(
            Path(config.audit.folder), signer, store_id=store_id, former=former, tell=sinks.tell
        )  # fmt: skip
        keys = config.keys
        limits = HoldingLimits(replay_s=replay_s, retention_s=float(keys.retention_s))
        terms = Terms(epoch_s=float(keys.epoch_s), limits=limits)
        return Kept(await open_store(backend, keyring, audit, store_id, clock, terms), clock)
    except BaseException:
        if audit:
            audit.close()
        if keyring:
            keyring.close()
        await backend.close()
        raise


async def open_backend(config: KmeConfig) -> Backend:
    """Open the database that `config` names. Raises `StoreFailure`, `MissingInput` or `InvalidInput`."""
    if config.postgres is None:
        return SqliteBackend(Path(config.store))
    try:
        from keystrand.edge.store.postgres import open_postgres, read_dsn  # noqa: PLC0415  # an extra that may be absent
    except ImportError as error:
        raise MissingInput(
            "a store in PostgreSQL needs asyncpg", hint="install keystrand with the extra postgres"
        ) from error
    dsn = read_dsn(Path(config.postgres.dsn_file))
    return await open_postgres(dsn, config.postgres.writer, config.postgres.lease_s)


async def latest_beat(backend: Backend) -> float:
    """Return the latest time that any commit of the store was made at."""
    row = await (await backend.reader()).row("SELECT max(beat) FROM head")
    return float(row[0]) if row and row[0] is not None else 0.0


class Server:
    """A KME's listening sockets and everything behind them."""

    def __init__(self, config: KmeConfig, limits: Limits) -> None:
        self._config, self._limits = config, limits
        self._open = Connections(limits)
        self._running: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[StoreFailure] = asyncio.get_running_loop().create_future()
        """Done where the process must stop: the store, or what a peer remembers of it."""
        self._watch: asyncio.Task[None] | None = None
        self._plain: PlainListener | None = None

    async def start(self) -> str:
        """Open store and sockets and return the URL. Raises `StoreFailure` and `InvalidInput`."""
        config = self._config
        self._tls = LiveContext(
            config.credentials, server=True, common_name_saes=config.tls.common_name_saes, own=config.identity
        )
        rules = read_policy(config)
        self._metrics = Metrics()
        self._sinks = AuditSinks(config.audit.sinks, Origin(host=config.kme_id, version=__version__), self._lost)
        try:
            kept = await open_kept(config, rules.replay_window_s, self._sinks)
        except BaseException:
            self._sinks.close()
            raise
        self._store = kept.store
        self._assemble(network_of(config), rules, kept.clock)
        try:
            await self._say_policy(rules)
            url = await self._listen()
        except StoreFailure:
            await self._take_apart()
            raise
        except OSError as error:
            await self._take_apart()
            raise StoreFailure(
                f"cannot listen on {config.host}:{config.port}: {error.strerror}", hint="choose a free port"
            ) from error
        self._sources.start()
        return url

    def _assemble(self, network: Network, rules: PolicyRules, clock: Callable[[], float]) -> None:
        config, store = self._config, self._store
        keys = config.keys
        retention_s, wait_s = float(keys.retention_s), float(keys.wait_for_slave_s)
        links = {end.id: Link(store, end.id, config.kme_id, end.peer_kme) for end in config.links}
        client = LiveContext(config.credentials, server=False)
        self._peerings = {
            end.id: Peering(
                store, links[end.id], PeerWays(end.peer_urls, client.current, kme_id=end.peer_kme),
                PeerWays(end.peer_urls, client.current, kme_id=end.peer_kme), self._fail,
            )
            for end in config.links
        }  # fmt: skip
        self._issuers = {
            link_id: Issuer(store, links[link_id], peering.assign, clock, retention_s)
            for link_id, peering in self._peerings.items()
        }
        for link_id, issuer in self._issuers.items():
            issuer.voided = self._peerings[link_id].news
        multicast = Multicast(store, self._peerings, self._issuers, clock, retention_s=retention_s, wait_s=wait_s)
        self._grants = Grants(rules, store, clock, multicast.issue, self._changed, network.by_peer)
        homes = network.homes
        assigner = Assigner(store, config.kme_id, lambda sae: homes.get(sae, ""), self._judge_order, wait_s, keys)
        self.entity = KeyManagementEntity(
            network, store, links, self._peerings, self._grants, assigner, self._metrics, clock
        )
        self._open.came = self._count
        self.entity.sent_over = self._open.sent_over
        self.entity.operator = Operating(self.entity, self._reload).answer
        self._sources = Sources(config, self.entity, client.current)
        self._watch = lasting(self._grants.watch(links), "the watch over the stocks", store.committer.fail)
        store.committer.failed.add_done_callback(lambda failed: self._fail(failed.result()))
        store.swept = lambda swept: self._metrics.expired.inc(len(swept.expired))
        store.looked_around = self._follow_others

    def _count(self, peer: Peer) -> None:
        quantum = "yes" if peer.post_quantum else "no"
        self._metrics.connections.labels(peer.identity.kind.value, peer.group, quantum).inc()

    def _lost(self, sink: str, records: int) -> None:
        """Say in the audit itself what a network sink did not take."""
        self._metrics.audit_lost.labels(sink).inc(records)
        self._store.audit.note(Own.SINK_LOST, detail_of(sink=sink, lost=records))

    async def _follow_others(self) -> None:
        """See what the other processes of this KME changed, and do what one that is lost cannot do any more."""
        for peering in self._peerings.values():
            await peering.link.look()
            peering.block_came()
            peering.news()

    def _judge_order(self, order: Order, link: str) -> str:
        return judging.denial_of(self._grants.rules, order, link)

    def _changed(self, change: Change) -> None:
        self._metrics.fallbacks.labels(change.link, change.profile, change.degrade_to).inc()

        async def note(tx: Transaction) -> None:
            tx.note(
                "supply", link=change.link, profile=change.profile, state=change.after.value, cause=change.cause.value,
                instead=change.degrade_to,
            )  # fmt: skip

        self._store.committer.do(note).add_done_callback(swallow)

    async def _say_policy(self, rules: PolicyRules) -> None:
        """Have it in the audit which policy this start puts in force, before it decides anything."""

        async def note(tx: Transaction) -> None:
            tx.note("policy", active=told_of(rules))

        await self._store.committer.do(note)

    async def _listen(self) -> str:
        config, loop = self._config, asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: TlsServerProtocol(self._tls.current(), self._application, self._limits, self._open),
            config.host, config.port, backlog=1024,
        )  # fmt: skip
        if config.metrics.port:
            self._plain = await serve_plain(self._observe, self._limits, port=config.metrics.port)
        return f"https://{config.host}:{self._listener.sockets[0].getsockname()[1]}"

    def _application(self) -> HttpProtocol:
        return HttpProtocol(self.entity.answer, self._limits, self._running, self._denied)

    def _denied(self, peer: Peer) -> str:
        """Return why an open connection may not go on; empty where it may."""
        why = self._tls.refusal_of(peer)
        if why:

            async def note(tx: Transaction) -> None:
                tx.note("denied", peer, why=why)

            self._store.committer.do(note).add_done_callback(swallow)
        return why

    def _fail(self, failure: StoreFailure) -> None:
        if not self.failed.done():
            self.failed.set_result(failure)

    def _reload(self) -> None:
        self._tls.refresh()

    async def _observe(self, request: Request) -> Response:
        if request.target == b"/health":
            healthy = not self.failed.done()
            links = {link_id: link.trusted for link_id, link in self.entity.links.items()}
            body = msgspec.json.encode({"healthy": healthy, "links": links})
            return Response(status=200 if healthy else 503, body=body)
        if request.target == b"/metrics":
            await self._measure()
            return Response(status=200, body=self._metrics.text(), content_type=CONTENT_TYPE)
        return refuse(404, "no such resource")

    async def _measure(self) -> None:
        """Read what is only known when somebody looks."""
        self._metrics.audit_free.set(self._store.audit.free_bytes())
        for link_id, link in self.entity.links.items():
            self._metrics.peer_trusted.labels(link.peer_kme).set(link.trusted)
            for source in SourceKind:
                bits = await self.entity.stored_bits(link_id, source)
                self._metrics.stored_bits.labels(link_id, source.value).set(bits)

    async def stop(self) -> None:
        """Take no more, finish what was begun, and close."""
        self._listener.close()
        if self._plain:
            self._plain.close()
        if self._running:
            await asyncio.wait(set(self._running), timeout=self._limits.request_s)
        for connection in self._open:
            connection.close()
        await asyncio.sleep(_GOODBYE_S)
        for connection in self._open:
            connection.abort()
        await self._listener.wait_closed()
        await self._take_apart()

    async def _take_apart(self) -> None:
        await self._sources.close()
        if self._watch:
            self._watch.cancel()
        for issuer in self._issuers.values():
            await issuer.close()
        for peering in self._peerings.values():
            await peering.close()
        await self._store.close()
        self._sinks.close()
