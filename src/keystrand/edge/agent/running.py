"""The agent: its consumers at work, the channel to its peer, its journal and its audit, until it is told to stop."""

import asyncio
import contextlib
import importlib
import logging
import os
import pwd
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keystrand.edge.agent.carrying import Carrier
from keystrand.edge.agent.config import AgentConfig, ConsumerTable, exception_ends_s, host_and_port
from keystrand.edge.agent.control import Line, call, listen
from keystrand.edge.agent.installer import wait_for
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.edge.agent.kme_access import KmeAccess
from keystrand.edge.agent.route import demand_outside
from keystrand.edge.agent.words import Answered, Asked
from keystrand.edge.consumers.base import ConsumerFailure, Role
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_signer import open_signer
from keystrand.edge.tls import LiveContext
from keystrand.keys.agent_memory import Memory
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, StoreFailure
from keystrand.model.words import shown
from keystrand.operate.audit import AuditRecord, detail_of

_log = logging.getLogger(__name__)

_INSTALLER_S = 3.0
_PREPARE_AGAIN_S = 5.0
_CHECKPOINT_S = 60.0
_ACTOR = "agent"
_THREADS_EACH = 3
"""The KME's answer, the installer's, and one to spare."""


class Agent:
    """Everything one agent has open. Everything runs in the loop's thread but what blocks."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        place = config.agent
        self._server_tls = LiveContext(config.credentials, server=True, own=config.identity)
        self._client_tls = LiveContext(config.credentials, server=False, own=config.identity)
        self._journal = Journal(Path(place.journal))
        self._carriers: dict[str, Carrier] = {}
        self._calling = asyncio.Lock()
        self._out: Line | None = None
        self._in: Line | None = None
        self._listener: asyncio.Server | None = None
        self._audit: AuditFile | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[KeystrandError] = asyncio.get_running_loop().create_future()
        """Done where the agent must stop: what must be written could not be."""

    async def start(self) -> str:
        """Open everything, put up every guard that can be, and return where it listens. Raises `KeystrandError`."""
        place = self.config.agent
        # a KME or consumer that hangs must not keep another's key from being retired
        threads = ThreadPoolExecutor(_THREADS_EACH * len(self.config.consumers) + _THREADS_EACH)
        asyncio.get_running_loop().set_default_executor(threads)
        host, _ = host_and_port(place.peer_address)
        with contextlib.suppress(PeerUnavailable):  # its name may be known later
            await asyncio.to_thread(demand_outside, host, self.config.devices)
        await asyncio.to_thread(wait_for, Path(place.installer), _INSTALLER_S)
        self._journal.open()
        self._audit = AuditFile(
            Path(place.audit), open_signer(Path(place.signing_key), make=True), store_id=f"agent {place.name}"
        )  # fmt: skip
        carriers = [self._carrier(table) for table in self.config.consumers]
        self._carriers = {one.table.id: one for one in carriers}
        self.tell("agent.started", {"peer": place.peer, "consumers": ", ".join(self._carriers)}, "")
        guarded = await asyncio.gather(*map(self._guarded, carriers))
        try:
            self._listener = await listen(
                self._server_tls, host_and_port(place.listen), self.config.peer_identity,
                lambda: self._line(Asked), lambda address: demand_outside(address, self.config.devices),
            )  # fmt: skip
        except OSError as error:
            raise StoreFailure(
                f"cannot listen at {place.listen}: {error.strerror}", hint="choose a free port"
            ) from error
        for one, ready in zip(carriers, guarded, strict=True):
            if ready:
                one.begin()
            else:
                self._keep(self._begin(one))
        self._keep(self._sign())
        port = self._listener.sockets[0].getsockname()[1]
        return f"{host_and_port(place.listen)[0]}:{port}"

    def _carrier(self, table: ConsumerTable) -> Carrier:
        ends_s = exception_ends_s(table, self.config.agent)
        terms = table.terms(None if ends_s is None else steady_s() + ends_s - time.time())
        memory = self._journal.read(table.id, table.role.value, steady_s(), time.time())
        return Carrier(table, terms, memory, self, KmeAccess(self.config.kme, table.wait_s))

    async def _begin(self, one: Carrier) -> None:
        """Have the guard of a consumer in place, however long that takes, and only then begin."""
        await asyncio.sleep(_PREPARE_AGAIN_S)
        if await self._guarded(one):
            one.begin()
        else:
            self._keep(self._begin(one))

    async def _guarded(self, one: Carrier) -> bool:
        """Return whether the guard of a consumer is in place now."""
        try:
            await asyncio.to_thread(one.installed.prepare)
        except ConsumerFailure as error:
            _log.error("%s is not ready and gets no key: %s", one.table.id, shown(error.message))
            self.tell("agent.not-ready", {"consumer": one.table.id, "why": shown(error.message)}, "")
            return False
        return True

    async def _sign(self) -> None:
        while True:
            await asyncio.sleep(_CHECKPOINT_S)
            try:
                if self._audit:
                    await asyncio.to_thread(self._audit.checkpoint)
            except KeystrandError as error:
                self.fail(error)

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.critical("a part of the agent ended", exc_info=error)
            self.fail(StoreFailure(f"a part of the agent ended: {error!r}"))

    async def stop(self) -> None:
        """Let go of everything. Consumers keep their keys; the installer retires them at their age."""
        for task in tuple(self._tasks):
            task.cancel()
        for one in self._carriers.values():
            await one.close()
        lines, self._out, self._in = (self._out, self._in), None, None
        for line in lines:
            if line:
                line.end("the agent stops")
        if self._listener:
            self._listener.close()
            await self._listener.wait_closed()
        if self._audit:
            if not self.failed.done():
                self.tell("agent.stopped", {}, "")
            self._audit.close()
        self._journal.close()

    # What its consumers ask for

    def save(self, consumer: str, role: Role, memory: Memory) -> None:
        """Have it in the journal."""
        self._journal.write(consumer, role.value, memory)

    def tell(self, action: str, detail: dict[str, Any], group: str) -> None:
        """Have it in the audit."""
        if self._audit is None:
            raise StoreFailure("the audit is not open")
        record = AuditRecord(at=time.time(), actor=_ACTOR, action=action, detail=detail_of(**detail), group=group)
        self._audit.append([record], self._audit.last_generation + 1)

    def fail(self, error: KeystrandError) -> None:
        """Stop: what must be written could not be."""
        if not self.failed.done():
            self.failed.set_result(error)

    @property
    def group(self) -> str:
        """The key exchange group of the connection to the peer."""
        line = self._out or self._in
        return line.peer.group if line and line.open else ""

    def say(self, word: Asked | Answered) -> bool:
        """Say it over the connection on which this end asks, or on which it answers."""
        line = self._out if isinstance(word, Asked) else self._in
        if line is None or not line.open:
            return False
        line.say(word)
        return True

    async def reach(self) -> None:
        """Have a connection to the peer. Raises `PeerUnavailable`, `PolicyDenied` where its way is one that we key."""
        async with self._calling:
            if self._out and self._out.open:
                return
            address = host_and_port(self.config.agent.peer_address)
            await asyncio.to_thread(demand_outside, address[0], self.config.devices)
            self._out = await call(
                self._client_tls.current(), address, self.config.peer_identity, lambda: self._line(Answered)
            )

    # What the peer says

    def _line(self, kind: Any) -> Line:
        return Line(kind, self._heard, self._lost, self._server_tls.refusal_of)

    def _heard(self, line: Line, word: Asked | Answered) -> None:
        if isinstance(word, Asked) and self._in is not line:
            # the newest connection is the peer's: an older one may be dead without our knowing
            before, self._in = self._in, line
            if before:
                before.end("the peer agent has a newer connection")
        carrier = self._carriers.get(word.consumer)
        if carrier is None:
            _log.warning("the peer agent speaks of the consumer %s, which is not here", word.consumer)
            return
        carrier.told(word)

    def _lost(self, line: Line, why: str) -> None:
        if line not in (self._out, self._in):
            return
        role = Role.INITIATOR if line is self._out else Role.RESPONDER
        if line is self._out:
            self._out = None
        else:
            self._in = None
        for one in self._carriers.values():
            if one.table.role is role:
                one.lost(shown(why))


def become(user: str) -> None:
    """Run as `user` from now on where we are root, for good. Raises `InvalidInput` where we are another one."""
    if not user:
        return
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise InvalidInput(f"there is no user {user!r}", hint=f"make it: useradd --system {user}") from None
    if os.geteuid() == found.pw_uid:
        return
    if os.geteuid() != 0:
        raise InvalidInput(f"only root can become {user}", hint=f"start the agent as root or as {user}")
    importlib.import_module("encodings.idna")  # Python loads it late, from a folder that the new user may not read
    os.initgroups(user, found.pw_gid)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
    os.environ["HOME"] = found.pw_dir  # what is looked for at home is not root's


async def run(config: AgentConfig, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Run the agent until `stop` is set; `ready` is told where it listens.

    Raises `KeystrandError` where it cannot begin, or cannot write what must be written.
    """
    agent = Agent(config)
    agent.failed.add_done_callback(lambda _: stop.set())
    try:
        ready(await agent.start())
        await stop.wait()
    finally:
        await agent.stop()
    if agent.failed.done():
        raise agent.failed.result()
