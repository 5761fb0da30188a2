"""The only place that opens connections for a scan: how many at once, to whom, how fast, for how long.

Nothing is contacted that the estate does not name. Probes say what to ask and judge what came back.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand.edge.probes.base import (
    MAX_RECEIVED,
    Answer,
    Conversation,
    Ending,
    FileProbe,
    Job,
    NetworkProbe,
    attempt,
    place_of,
)
from keystrand.edge.probes.ssh import SshProbe
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.x509 import X509Probe
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate, ProbeKind, Scan, Target
from keystrand.model.observation import Outcome, Record

NETWORK_PROBES: Mapping[ProbeKind, NetworkProbe] = {ProbeKind.TLS: TlsProbe(), ProbeKind.SSH: SshProbe()}
FILE_PROBES: Mapping[ProbeKind, FileProbe] = {ProbeKind.X509: X509Probe()}

RESERVED_DOMAINS = ("example", "invalid", "test")
"""Top-level names that never resolve (RFC 6761, section 6): asking would only tell others."""

Address = tuple[str, int]
Sink = Callable[[Record], None]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Contact(NamedTuple):
    """What a scan would contact or read for one target."""

    target: str
    probe: str
    place: str


def planned(estate: Estate) -> tuple[Contact, ...]:
    """Return what a scan of `estate` would contact or read, in the order of the estate."""
    return tuple(Contact(target.id, target.probe.value, place_of(target)) for target in estate.target)


class _Pace:
    """Leaves `1/rate` seconds between the beginnings of any two connections."""

    def __init__(self, connections_per_s: float) -> None:
        self._gap_s = 1.0 / connections_per_s
        self._next = 0.0

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        begin = max(loop.time(), self._next)
        self._next = begin + self._gap_s
        await asyncio.sleep(begin - loop.time())


class _Ports:
    """Opens connections within the limits of `scan`, and only to addresses that the estate names."""

    def __init__(self, scan: Scan, named: frozenset[Address], connect_to: Mapping[Address, Address]) -> None:
        if strangers := sorted(set(connect_to) - named):
            raise InvalidInput(f"the estate does not name {strangers[0][0]}:{strangers[0][1]}; it is not contacted")
        self._scan, self._named, self._connect_to = scan, named, connect_to
        self._all = asyncio.Semaphore(scan.connections_at_once)
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._pace = _Pace(scan.connections_per_s)

    async def ask(self, job: Job) -> Answer:
        """Have the job's conversation and return how it went. Of several addresses the first that connects counts."""
        if (job.host, job.port) not in self._named:
            return Answer(job, job.start(), Ending.UNREACHABLE, "the estate does not name this address")
        try:
            addresses = await self._addresses(job)
        except OSError as error:
            return Answer(job, job.start(), Ending.UNREACHABLE, _why(error))
        except UnicodeError:
            return Answer(job, job.start(), Ending.UNREACHABLE, "no name that can be looked up")
        for address in addresses:
            answer = await self._ask_at(job, address)
            if answer.connected:
                break
        return answer

    async def _ask_at(self, job: Job, address: Address) -> Answer:
        host = self._hosts.setdefault(address[0], asyncio.Semaphore(self._scan.connections_per_host))
        async with host, self._all:
            await self._pace.wait()
            return await self._converse(job, job.start(), address)

    async def _addresses(self, job: Job) -> tuple[Address, ...]:
        """Return where to connect: as mapped, else as resolved.

        Raises `OSError` where there is nothing, `UnicodeError` where the host is no name that DNS could hold.
        """
        if (job.host, job.port) in self._connect_to:
            return (self._connect_to[job.host, job.port],)
        if job.host.rstrip(".").rpartition(".")[2].lower() in RESERVED_DOMAINS:
            raise OSError(errno.EADDRNOTAVAIL, "a reserved name that never resolves (RFC 6761); it was not looked up")
        try:
            async with asyncio.timeout(self._scan.timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(job.host, job.port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the name was not resolved in time") from None
        return tuple(dict.fromkeys((str(entry[4][0]), job.port) for entry in found))

    async def _converse(self, job: Job, talk: Conversation, address: Address) -> Answer:
        """Connect and talk; both together may take `timeout_s`."""
        late, what = Ending.NO_CONNECTION, "connection"
        try:
            async with asyncio.timeout(self._scan.timeout_s):
                streams = await asyncio.open_connection(*address)
                late, what = Ending.TIMED_OUT, "answer"
                return await _exchange(job, talk, streams)
        except TimeoutError:
            return Answer(job, talk, late, f"no {what} within {self._scan.timeout_s:g} s")
        except ConnectionRefusedError:
            return Answer(job, talk, Ending.REFUSED, "connection refused")
        except ConnectionResetError:
            return Answer(job, talk, Ending.RESET, "connection reset")
        except OSError as error:
            return Answer(job, talk, Ending.UNREACHABLE, _why(error))


def _why(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


async def _exchange(job: Job, talk: Conversation, streams: Streams) -> Answer:
    """Talk until the conversation is done or the other side leaves. Raises `OSError` where the connection fails."""
    reader, writer = streams
    received = 0
    try:
        writer.write(talk.begin())
        while octets := await reader.read(16 * 1024):
            received += len(octets)
            if received > MAX_RECEIVED:
                return Answer(job, talk, Ending.TOO_MUCH, f"more than {MAX_RECEIVED} octets came")
            if reply := talk.receive(octets):
                writer.write(reply)
            if talk.done:
                return Answer(job, talk, Ending.DONE)
        return Answer(job, talk, Ending.CLOSED, "the other side closed the connection")
    finally:
        writer.transport.abort()


async def _network(probe: NetworkProbe, target: Target, ports: _Ports) -> tuple[Record, ...]:
    answers: tuple[Answer, ...] = ()
    while jobs := probe.plan(target, answers):
        answers += tuple(await asyncio.gather(*(ports.ask(job) for job in jobs)))
    return probe.judge(target, answers)


async def _look(target: Target, folder: Path, ports: _Ports) -> tuple[Record, ...]:
    if target.probe in FILE_PROBES:
        return await asyncio.to_thread(FILE_PROBES[target.probe].read, target, folder)
    if target.probe in NETWORK_PROBES:
        return await _network(NETWORK_PROBES[target.probe], target, ports)
    return (attempt(target, Outcome.SKIPPED, f"this release has no probe for {target.probe.value}"),)


def _order(record: Record) -> tuple[str, str, bytes]:
    return record.target, record.place, msgspec.json.encode(record)


async def scan(
    estate: Estate,
    folder: Path,
    *,
    sink: Sink,
    connect_to: Mapping[Address, Address] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Record, ...]:
    """Probe every target of `estate` (files relative to `folder`) and return all records in a fixed order.

    `sink` gets each target's records as soon as they are there. `connect_to` says where a named host and port really
    listens; it cannot add an address that the estate does not name (`InvalidInput`). `progress` is told (done, total).
    """
    records: list[Record] = []

    def deliver(found: tuple[Record, ...]) -> None:
        records.extend(found)
        for record in found:
            sink(record)

    await survey(estate, folder, deliver=deliver, connect_to=connect_to, progress=progress)
    return tuple(sorted(records, key=_order))


async def survey(
    estate: Estate,
    folder: Path,
    *,
    deliver: Callable[[tuple[Record, ...]], None],
    connect_to: Mapping[Address, Address] | None = None,
    progress: Callable[[int, int], None] | None = None,
    due: Callable[[Target], bool] = lambda _: True,
) -> None:
    """Look at every target of `estate` that is `due`, and deliver the records of each as soon as it is done."""
    named = frozenset((t.host, t.port) for t in estate.target if t.host is not None and t.port is not None)
    ports = _Ports(estate.scan, named, connect_to or {})

    async def one(target: Target) -> None:
        found: tuple[Record, ...]
        try:
            found = await _look(target, folder, ports)
        except Exception as error:  # a probe that fails on one target must not cost the records of all the others
            found = (attempt(target, Outcome.UNPARSABLE, f"the probe failed on what it found: {type(error).__name__}"),)
        deliver(found)

    tasks = [asyncio.create_task(one(target)) for target in estate.target if due(target)]
    try:
        for done, task in enumerate(asyncio.as_completed(tasks), start=1):
            await task
            if progress:
                progress(done, len(tasks))
    finally:
        for task in tasks:
            task.cancel()
