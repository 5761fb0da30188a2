"""Key management entities in one event loop: real stores, issuers and assigners, and a wire that loses and delays."""

import asyncio
import functools
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, cast

from tests.edge.kme.faulty_wire import Wire

from keystrand.crypto.secret import Secret
from keystrand.edge.kme.assigning import Assigner
from keystrand.edge.kme.config import KmeConfig, LinkEnd, SaeHome, TlsFiles
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.granting import Grants
from keystrand.edge.kme.issuing import Issuer
from keystrand.edge.kme.judging import network_of
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.messages import ASSIGN_URL, Order
from keystrand.edge.kme.multicast import Multicast
from keystrand.edge.kme.ordering import Ask, Issued, StrandNeed
from keystrand.edge.kme.peering import Peering
from keystrand.edge.kme.server import Request as HttpRequest
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.edge.store.audit_signer import open_signer
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Limits, Request, Taken
from keystrand.edge.store.keyring import FileKeyring
from keystrand.edge.store.keystore import KeyStore, Terms, identity, open_store
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, NewBlock
from keystrand.edge.store.sqlite import SqliteBackend
from keystrand.edge.telemetry.metrics import Metrics
from keystrand.edge.tls import Peer
from keystrand.keys.allocation import Demand
from keystrand.keys.rules import BUILT_IN
from keystrand.model.key import SourceKind, Strength

P = ParamSpec("P")
NEVER_S = 86_400.0
WAIT_S, REPLAY_S, RETENTION_S, LIFE_S = 3600.0, 10.0, 86_400.0, 604_800.0
LABEL = Strength.SIMULATED
_PATIENCE_S = 10.0
_FOR_EVER_S = 120.0


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Return a test that runs in an event loop of its own, and fails where it goes on for ever."""

    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(_FOR_EVER_S):
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(bounded(*args, **kwargs))

    return run


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `true` is; fail after a while."""
    async with asyncio.timeout(_PATIENCE_S):
        while not await true():  # noqa: ASYNC110  # what is waited for is in a database
            await asyncio.sleep(0.005)


def peer(kind: Kind, name: str, *, connection: int = 1) -> Peer:
    """Return who a handshake would have established."""
    return Peer(
        identity=Identity(kind=kind, id=name), group="X25519MLKEM768", cipher="TLS_AES_256_GCM_SHA384",
        valid_until_s=4e9, fingerprint=name.encode(), connection=connection,
    )  # fmt: skip


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Kme:
    """One KME: its folder, and while it is `up` everything that runs."""

    def __init__(self, name: str, folder: Path, clock: Clock, homes: dict[str, str], replay_s: float) -> None:
        self.name, self.folder, self.clock, self.homes, self._replay_s = name, folder, clock, homes, replay_s
        self.ended = asyncio.Event()
        self.ended.set()
        self.wires: dict[str, Wire] = {}
        """The ways to the other KMEs, by link."""
        self.judge: Callable[[Order], str] = lambda _: ""
        self.failures: list[Any] = []

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return not self.ended.is_set()

    @property
    def stores(self) -> Path:
        """The folder of what it keeps."""
        return self.folder / self.name

    async def start(self) -> None:
        """Open the store and begin."""
        backend = SqliteBackend(self.stores / "store")
        try:
            store_id, new, _ = await identity(backend)
        except BaseException:
            await backend.close()
            raise
        master = Secret(self.name.encode().ljust(32, b"."))
        keyring = FileKeyring(self.stores / "keys" / "ring", master, store_id, new=new)
        signer = open_signer(self.stores / "audit.pem", make=True)
        audit = AuditFile(self.stores / "audit", signer, store_id=store_id, clock=self.clock)
        limits = Limits(replay_s=self._replay_s, retention_s=RETENTION_S)
        terms = Terms(epoch_s=NEVER_S, sweep_s=NEVER_S, checkpoint_s=NEVER_S, limits=limits)
        self.store: KeyStore = await open_store(backend, keyring, audit, store_id, self.clock, terms)
        self._assemble()
        self.ended.clear()

    def _assemble(self) -> None:
        store, homes = self.store, tuple(SaeHome(id=sae, kme=kme) for sae, kme in self.homes.items())
        ends = {name: wire.there.name for name, wire in self.wires.items()}
        config = KmeConfig(
            kme_id=self.name, store="", master_key="", tls=TlsFiles(ca="", certificate="", key=""), saes=homes,
            links=tuple(LinkEnd(id=link, peer_kme=kme, peer_url="") for link, kme in ends.items()),
        )  # fmt: skip
        self.links = {link: Link(store, link, self.name, kme) for link, kme in ends.items()}
        self.peerings, self.issuers = {}, {}
        for name, wire in self.wires.items():
            way = cast("PeerWays", wire)  # the one thing here that stands for another: it carries bytes
            peering = Peering(store, self.links[name], way, way, self.failures.append)
            issuer = Issuer(store, self.links[name], peering.assign, self.clock, RETENTION_S)
            issuer.voided = peering.news
            self.peerings[name], self.issuers[name] = peering, issuer
        self.multicast = Multicast(
            store, self.peerings, self.issuers, self.clock, retention_s=RETENTION_S, wait_s=WAIT_S
        )  # fmt: skip
        self.assigner = Assigner(store, self.name, lambda sae: self.homes.get(sae, ""), self._judged, WAIT_S)
        network = network_of(config)
        grants = Grants(BUILT_IN, store, self.clock, self.multicast.issue, lambda _: None, network.by_peer)
        self.entity = KeyManagementEntity(
            network, store, self.links, self.peerings, grants, self.assigner, Metrics(), self.clock
        )

    def _judged(self, order: Order, _link: str) -> str:
        return self.judge(order)

    async def answer(self, caller: str, url: str, body: bytes) -> tuple[int, bytes]:
        """Answer another KME."""
        return await self._served(peer(Kind.KME, caller), "POST", url, body)

    async def served(self, sae: str, url: str, body: Any = None, *, connection: int = 1) -> tuple[int, Any]:
        """Answer an SAE's GET, or its POST where there is a body, by ETSI GS QKD 014."""
        method, encoded = ("POST", json.dumps(body).encode()) if body is not None else ("GET", b"")
        caller = peer(Kind.SAE, sae, connection=connection)
        status, answer = await self._served(caller, method, f"/api/v1/keys/{url}", encoded)
        return status, json.loads(answer)

    async def _served(self, caller: Peer, method: str, url: str, body: bytes) -> tuple[int, bytes]:
        response = await self.entity.answer(caller, HttpRequest(method=method, target=url.encode(), body=body))
        return response.status, response.body

    async def stop(self) -> None:
        """End in good order."""
        if self.up:
            self.ended.set()
            await self._end_tasks()
            await self.store.close()

    async def kill(self) -> None:
        """End at once: what was not committed is gone."""
        self.ended.set()
        await self._end_tasks()
        store = self.store
        tasks = [*store._tasks, store.committer._task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.committer.audit_thread.close()
        await store._backend.close()
        store.audit.close()
        store._keyring.close()

    async def _end_tasks(self) -> None:
        tasks = [task for one in self.issuers.values() for task in (one._task, *one._ends)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peering in self.peerings.values():
            await peering.close()

    # What tests look at

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return rows of what is committed."""
        return await (await self.store.reader()).rows(sql, *values)

    async def cursors(self, master: str) -> list[tuple[int, int]]:
        """Return number and cursor of the blocks that `master` may cut."""
        sql = "SELECT b.no, b.cursor FROM block b JOIN pool p ON p.id = b.pool WHERE p.master = ? ORDER BY b.no"
        return [(no, cursor) for no, cursor in await self.rows(sql, master)]

    async def states(self, order_id: str) -> dict[str, str]:
        """Return the state of an order by SAE; a void one that has not come is that of the SAE ``."""
        return dict(await self.rows("SELECT sae, state FROM holding WHERE order_id = ?", order_id))

    def orders(self, link: str = "ab") -> list[str]:
        """Return the orders that it asked the other end to assign, in turn."""
        said = (body for url, body in self.wires[link].said if url == ASSIGN_URL)
        return [order["order_id"] for body in said for order in body["orders"]]

    async def void(self, order_id: str) -> None:
        """Wait until an order is destroyed here."""

        async def destroyed() -> bool:
            return set((await self.states(order_id)).values()) == {"destroyed"}

        await until(destroyed)

    def actions(self) -> list[str]:
        """Return what its audit says was done, in order."""
        lines = [json.loads(line) for file in segments(self.stores / "audit") for line in whole_lines(file)]
        return [line["action"] for line in lines if not line["action"].startswith("audit.")]

    # What tests do

    def ask(self, *slaves: str, link: str = "ab", count: int = 1, size: int = 256, master: str = "") -> Ask:
        """Return a Get key of the SAE of this KME."""
        sae = master or next(sae for sae, kme in self.homes.items() if kme == self.name)
        return Ask(
            peer=peer(Kind.SAE, sae), link=link, slaves=tuple((one, self.homes[one]) for one in slaves), count=count,
            size=size, needs=(StrandNeed(source=SourceKind.QKD, demand=Demand()),), profile="qkd-simulated",
        )  # fmt: skip

    async def issue(self, *slaves: str, link: str = "ab", **how: Any) -> Issued:
        """Get keys for `slaves` over `link`."""
        await self.links[link].demand_trusted()
        return await self.multicast.issue(self.links[link], self.ask(*slaves, link=link, **how))

    async def take(self, slave: str, master: str, key_ids: Sequence[str], **how: Any) -> tuple[Taken, ...]:
        """Get keys with key IDs."""
        digest = f"{slave} {master} {','.join(key_ids)}".encode()
        asked = Request(slave_sae=slave, master_sae=master, key_ids=tuple(key_ids), digest=digest, **how)

        async def take(tx: Transaction) -> tuple[Taken, ...]:
            return (await self.store.holdings.take(tx, asked))[0]

        return await self.store.committer.do(take)


async def add_block(
    kme: Kme, link: str, master: str, content: bytes, block_id: str, label: Strength = LABEL,
    source: SourceKind = SourceKind.QKD,
) -> bool:  # fmt: skip
    """Bring raw key to one end of a link."""
    new = NewBlock(
        block_id=block_id, link=link, source=source, master=master, key_bits=Secret(content), qber=0.01,
        label=label, confirm_by=kme.clock.now + LIFE_S, until=kme.clock.now + LIFE_S,
    )  # fmt: skip

    async def add(tx: Transaction) -> bool:
        return await kme.store.pools.add(
            tx, new, epoch=kme.store.epoch, is_master=kme.name == master, pool_octets=1 << 20
        )

    return await kme.store.committer.do(add)


class Network:
    """KMEs `a`, `b` and `c` with an SAE each, `sae-a` and so on, and links `ab` and `ac`."""

    def __init__(self, folder: Path, *, replay_s: float = REPLAY_S) -> None:
        self.clock = Clock()
        homes = {f"sae-{name}": name for name in "abc"} | {"sae-a2": "a", "sae-b2": "b"}
        self.a, self.b, self.c = (Kme(name, folder, self.clock, homes, replay_s) for name in "abc")
        for link, one, other in (("ab", self.a, self.b), ("ac", self.a, self.c)):
            one.wires[link], other.wires[link] = Wire(other, one.name), Wire(one, other.name)
        self.kmes = (self.a, self.b, self.c)
        self.material: dict[str, bytes] = {}
        """The bytes that may become keys, by block."""

    async def trusted(self) -> None:
        """Wait until every link between KMEs that are up may be used."""

        async def all_trust() -> bool:
            return all(
                link.trusted
                for kme in self.kmes
                if kme.up
                for name, link in kme.links.items()
                if not kme.wires[name].there.ended.is_set()
            )

        await until(all_trust)

    async def fill(
        self, octets: int, *, link: str = "ab", master: str = "a", label: Strength = LABEL,
        source: SourceKind = SourceKind.QKD,
    ) -> str:  # fmt: skip
        """Bring a block of `octets` usable bytes to both ends, confirmed; return its ID."""
        content = os.urandom(CONFIRMATION_OCTETS + octets)
        block_id = str(uuid.uuid4())
        self.material[block_id] = content[CONFIRMATION_OCTETS:]
        other = self.c if link == "ac" else self.b
        assert await add_block(other, link, master, content, block_id, label, source)
        assert await add_block(self.a, link, master, content, block_id, label, source)
        owner = self.a if master == "a" else other
        owner.peerings[link].block_came()

        async def ready() -> bool:
            rows = await owner.rows("SELECT 1 FROM block WHERE block_id = ? AND ready = 1", block_id)
            return bool(rows) and source in owner.links[link].offered

        await until(ready)
        return block_id


@asynccontextmanager
async def running(folder: Path, *, replay_s: float = REPLAY_S, names: str = "ab") -> AsyncIterator[Network]:
    """Run the KMEs `names` and stop them whatever happens."""
    network = Network(folder, replay_s=replay_s)
    wanted = [kme for kme in network.kmes if kme.name in names]
    try:
        for kme in wanted:
            await kme.start()
        await network.trusted()
        yield network
    finally:
        for kme in network.kmes:
            await kme.stop()
