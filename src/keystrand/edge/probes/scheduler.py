"""The only place that opens connections for a scan: how many at once, to whom, how fast, for how long.

Nothing is contacted that the estate does not name and allow. Probes say what to ask and judge what came back. The
targets are worked through by as many workers as there may be connections, so that memory does not grow with them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand.edge.probes.access import Access, Clock, HostPort, NotContacted, unanswered_for
from keystrand.edge.probes.base import Answer, Job, NetworkProbe, attempt, place_of
from keystrand.edge.probes.dns import DnsProbe
from keystrand.edge.probes.dtls import DtlsProbe
from keystrand.edge.probes.exchange import Address
from keystrand.edge.probes.ike import IkeProbe
from keystrand.edge.probes.quic import QuicProbe
from keystrand.edge.probes.ssh import SshProbe
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tree import TreeProbe
from keystrand.edge.probes.watch import Watch
from keystrand.inventory.scope import Allowed, address_of, count_of, endpoints, ports_of, range_of
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate, ProbeKind, Target
from keystrand.model.observation import Outcome, Record

NETWORK_PROBES: Mapping[ProbeKind, NetworkProbe] = {
    probe.kind: probe for probe in (TlsProbe(), SshProbe(), QuicProbe(), DtlsProbe(), IkeProbe(), DnsProbe())
}
FILE_PROBES: Mapping[ProbeKind, TreeProbe] = {kind: TreeProbe(kind) for kind in ProbeKind if kind.reads_files}

_LOG = logging.getLogger(__name__)
Sink = Callable[[Record], None]
Records = tuple[Record, ...]


class Contact(NamedTuple):
    """What a scan would contact or read for one target."""

    target: str
    probe: str
    place: str


def planned(estate: Estate) -> tuple[Contact, ...]:
    """Return what a scan of `estate` would contact or read, in the order of the estate.

    Raises `OutsideScope` where it may not.
    """
    Allowed(estate.scan.allow).check(estate.target)
    return tuple(
        Contact(target.id, target.probe.value, place_of(target)) for target in endpoints(estate.scan, estate.target)
    )


def _order(record: Record) -> tuple[str, str, bytes]:
    return record.target, record.place, msgspec.json.encode(record)


async def scan(
    estate: Estate,
    folder: Path,
    *,
    sink: Sink,
    connect_to: Mapping[HostPort, HostPort] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Records:
    """Probe every target of `estate` (files relative to `folder`) and return all records in a fixed order.

    `sink` gets each record as soon as its endpoint is done. See `survey`, which keeps no record.
    """
    records: list[Record] = []

    def deliver(found: Records) -> None:
        records.extend(found)
        for record in found:
            sink(record)

    await survey(estate, folder, deliver=deliver, connect_to=connect_to, progress=progress)
    return tuple(sorted(records, key=_order))


async def survey(
    estate: Estate,
    folder: Path,
    *,
    deliver: Callable[[Records], None],
    connect_to: Mapping[HostPort, HostPort] | None = None,
    progress: Callable[[int, int], None] | None = None,
    due: Callable[[Target], bool] = lambda _: True,
    reader: Callable[[Target], TreeProbe] = lambda target: FILE_PROBES[target.probe],
    clock: Clock | None = None,
) -> None:
    """Look at every endpoint and file of `estate`, and deliver the records of each as soon as it is done.

    Flat in memory: neither endpoints nor records are kept. `connect_to` says where a named host and port really
    listens: on this machine, or at an address in `allow`; it cannot add one that the estate does not name
    (`InvalidInput`). `progress` is told (done, total). Endpoints that are not `due` are passed over; `reader` gives the
    probe that reads a target's files. Without a `clock` the machine's own counts, and waiting for the window is logged.
    Raises `OutsideScope` before anything is contacted.
    """
    allowed = Allowed(estate.scan.allow)
    allowed.check(estate.target)
    _only_named(connect_to or {}, estate.target)
    time_of_day = clock or Clock(lambda: datetime.now(UTC), _LOG.warning)
    total = sum(map(count_of, estate.target))
    tell = progress or (lambda _done, _total: None)
    with Watch(estate.scan.timeout_s) as watch:
        access = Access(estate.scan, allowed, connect_to or {}, time_of_day, watch)
        await access.check_names(estate.target)
        walk = _Walk(lambda t: reader(t).read(t, folder), access, deliver, tell, total)
        await _by_many(walk, endpoints(estate.scan, estate.target), due, min(total, estate.scan.connections_at_once))


async def _by_many(walk: "_Walk", work: Iterator[Target], due: Callable[[Target], bool], count: int) -> None:
    """Have `count` workers walk through `work`; what stops one of them stops all."""
    workers = [asyncio.create_task(walk.through(work, due)) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


def _only_named(connect_to: Mapping[HostPort, HostPort], targets: Iterable[Target]) -> None:
    """Raise `InvalidInput` where a map leads to what no target names."""
    strangers = set(connect_to)
    for target in targets if strangers else ():
        ports = ports_of(target)
        if (network := range_of(target.host)) is None:
            strangers.difference_update((target.host or "", port) for port in ports)
        else:
            within = {(host, port) for host, port in strangers if (ip := address_of(host)) and ip in network}
            strangers.difference_update(one for one in within if one[1] in ports)
    if strangers:
        host, port = min(strangers)
        raise InvalidInput(f"the estate does not name {host}:{port}; it is not contacted")


class _Walk:
    """Takes endpoints from one iterator, as many workers as want to, and delivers what each gave."""

    def __init__(
        self,
        read: Callable[[Target], Records],
        access: Access,
        deliver: Callable[[Records], None],
        progress: Callable[[int, int], None],
        total: int,
    ) -> None:
        self._read, self._access, self._deliver, self._progress = read, access, deliver, progress
        self._done, self._total = 0, total

    async def through(self, work: Iterator[Target], due: Callable[[Target], bool]) -> None:
        """Look at one endpoint after the other until none is left."""
        for target in work:
            if due(target):
                self._deliver(await self._records(target))
            self._done += 1
            self._progress(self._done, self._total)

    async def _records(self, target: Target) -> Records:
        try:
            return await self._look(target)
        except NotContacted as refusal:
            return (attempt(target, Outcome.SKIPPED if refusal.by_policy else Outcome.UNREACHABLE, str(refusal)),)
        except Exception as error:  # a probe that fails on one target must not cost the records of all the others
            return (attempt(target, Outcome.UNPARSABLE, f"the probe failed on what it found: {type(error).__name__}"),)

    async def _look(self, target: Target) -> Records:
        if target.probe in FILE_PROBES:
            return await asyncio.to_thread(self._read, target)
        if target.probe in NETWORK_PROBES:
            records = await self._ask(NETWORK_PROBES[target.probe], target)
            msgspec.json.encode(records)  # what no document can hold fails here, where it costs this target alone
            return records
        return (attempt(target, Outcome.SKIPPED, f"this release has no probe for {target.probe.value}"),)

    async def _ask(self, probe: NetworkProbe, target: Target) -> Records:
        """Have the jobs of a probe, round by round. Raises `NotContacted` where there is nowhere to go."""
        addresses = await self._access.addresses(target)
        answers: tuple[Answer, ...] = ()
        while jobs := probe.plan(target, answers):
            if len(jobs) == 1:
                answers += (await self._answer(jobs[0], target, addresses),)
            else:
                answers += tuple(await asyncio.gather(*(self._answer(job, target, addresses) for job in jobs)))
        return probe.judge(target, answers)

    async def _answer(self, job: Job, target: Target, addresses: list[Address]) -> Answer:
        if (job.host, job.port) != (target.host, target.port):
            return unanswered_for(job, "the estate does not name this address")
        return await self._access.ask(job, addresses)
