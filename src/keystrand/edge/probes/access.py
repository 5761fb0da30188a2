"""Who may be contacted now: addresses of names, the allow-list, caps by host and in all, pace and time of day."""

import asyncio
import errno
import resource
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from keystrand.edge.probes.base import Answer, Ending, Job
from keystrand.edge.probes.exchange import Address, Exchange, why
from keystrand.edge.probes.watch import Watch
from keystrand.inventory.scope import Allowed, a_label_name, address_of, refuse, window_of
from keystrand.model.errors import Problem
from keystrand.model.estate import Scan, Target

RESERVED_DOMAINS = ("example", "invalid", "test")
"""Top-level names that never resolve (RFC 6761, section 6): asking would only tell others."""
GRAIN_S = 0.002
"""Waits shorter than this are not worth a timer: a few connections begin together, the average stays."""
LOOK_UPS_AT_ONCE = 64
"""Names looked up together: more would only wait in the resolver's threads."""
FILES_BESIDE = 128
"""File descriptors kept for everything that is no connection of a scan: libraries, the store, readers of files."""
LOOK_AT_CLOCK_S = 60.0
"""How long a closed window is waited for before the clock is read again: it may be set, or the machine may sleep."""

HostPort = tuple[str, int]


def sockets_for(wanted: int) -> int:
    """Return how many connections may be open at once, at most `wanted`, and let this program open as many files.

    A scan that runs out of file descriptors would take its own limit for hosts that cannot be reached.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + FILES_BESIDE
    most = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, min(wanted, most - FILES_BESIDE))


class NotContacted(Exception):
    """A target that is not contacted; the message says why. `by_policy`: it could be, but may not."""

    def __init__(self, message: str, *, by_policy: bool = False) -> None:
        super().__init__(message)
        self.by_policy = by_policy


class _Pace:
    """Leaves `1/rate` seconds between the beginnings of connections, on average."""

    def __init__(self, connections_per_s: float) -> None:
        self._gap_s = 1.0 / connections_per_s
        self._next = 0.0

    def delay_s(self) -> float:
        """Return how long to wait before the next connection, which is counted from then on; 0 for not at all."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._gap_s
        return begin - now if begin - now > min(GRAIN_S, self._gap_s / 2) else 0.0


class _Host:
    def __init__(self, turns: asyncio.Semaphore) -> None:
        self.turns, self.users = turns, 0


class _Hosts:
    """So many connections to one address at the same time; forgets an address as soon as nobody uses it."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._hosts: dict[str, _Host] = {}

    def turns(self, ip: str) -> asyncio.Semaphore:
        """Return whose turn it is at `ip`. Each call needs one of `leave`."""
        host = self._hosts.get(ip)
        if host is None:
            host = self._hosts[ip] = _Host(asyncio.Semaphore(self._at_once))
        host.users += 1
        return host.turns

    def leave(self, ip: str) -> None:
        host = self._hosts[ip]
        host.users -= 1
        if not host.users:
            del self._hosts[ip]


class Clock(NamedTuple):
    """What time it is, in UTC, and whom to tell that nothing happens until the window opens."""

    now: Callable[[], datetime]
    tell: Callable[[str], None]


class _Gate:
    """Holds connections back outside the scan's window, and says so once each time it closes."""

    def __init__(self, scan: Scan, clock: Clock) -> None:
        self._window, self._text, self._clock = window_of(scan), scan.window, clock
        self._told = False

    @property
    def always_open(self) -> bool:
        """Return whether there is no window."""
        return self._window is None

    async def wait(self) -> None:
        """Return once the window is open."""
        while self._window and (left := self._window.opens_in(now := self._clock.now())):
            if not self._told:
                self._clock.tell(
                    f"outside the window {self._text} UTC; the scan goes on at {now + left:%Y-%m-%d %H:%M}"
                )
                self._told = True
            await asyncio.sleep(min(left.total_seconds(), LOOK_AT_CLOCK_S))
        self._told = False


class Access:
    """Has conversations within the limits of `scan`, and only where it may."""

    def __init__(
        self, scan: Scan, allowed: Allowed, connect_to: Mapping[HostPort, HostPort], clock: Clock, watch: Watch
    ) -> None:
        self._scan, self._allowed, self._connect_to, self._watch = scan, allowed, connect_to, watch
        self._all = asyncio.Semaphore(sockets_for(scan.connections_at_once))
        self._hosts = _Hosts(scan.connections_per_host)
        self._pace, self._gate = _Pace(scan.connections_per_s), _Gate(scan, clock)

    async def ask(self, job: Job, addresses: list[Address]) -> Answer:
        """Have the job's conversation and return how it went. Of several addresses the first that connects counts.

        That one is then moved to the front of `addresses`, so that the next job goes there at once.
        """
        for address in tuple(addresses):
            try:
                async with self._hosts.turns(address.ip), self._all:
                    if not self._gate.always_open:
                        await self._gate.wait()
                    if delay_s := self._pace.delay_s():
                        await asyncio.sleep(delay_s)
                    answer = await Exchange(job, address, self._watch).answer()
            finally:
                self._hosts.leave(address.ip)
            if answer.connected:
                addresses.remove(address)
                addresses.insert(0, address)
                break
        return answer

    async def check_names(self, targets: Iterable[Target]) -> None:
        """Look up the names that only their addresses can allow. Raises `OutsideScope` where none of them does."""
        doubtful = [target for target in targets if self._allowed.in_doubt(target)]
        problems: list[Problem] = []
        for at in range(0, len(doubtful), LOOK_UPS_AT_ONCE):
            some = doubtful[at : at + LOOK_UPS_AT_ONCE]
            for target, refusal in zip(some, await asyncio.gather(*map(self._refusal, some)), strict=True):
                problems += [Problem(message=refusal, field=f"target {target.id}")] if refusal else []
        refuse(tuple(problems))

    async def _refusal(self, target: Target) -> str:
        try:
            await self.addresses(target)
        except NotContacted as refusal:
            return str(refusal) if refusal.by_policy else ""
        return ""

    async def addresses(self, target: Target) -> list[Address]:
        """Return where to connect for `target`: as mapped, else as resolved. Raises `NotContacted`.

        Who stands in for a target is no host that the estate names: it must be this machine, or one in `allow`.
        """
        host, port = target.host or "", target.port or 0
        if stand_in := self._connect_to.get((host, port)):
            return self._standing_in(host, await self._resolved(*stand_in))
        found = await self._resolved(host, port)
        if self._allowed.everything_named or self._allowed.name(host):
            return found
        allowed = [one for one in found if (ip := address_of(one.ip)) and self._allowed.address(ip)]
        if not allowed:
            raise NotContacted(f"{host} is at {found[0].ip}, which is not in `allow`; not contacted", by_policy=True)
        return allowed

    def _standing_in(self, host: str, found: list[Address]) -> list[Address]:
        ips = ((one, address_of(one.ip)) for one in found)
        allowed = [one for one, ip in ips if ip and (ip.is_loopback or self._allowed.address(ip))]
        if not allowed:
            reason = f"what stands in for {host} is at {found[0].ip}, which is not in `allow`; not contacted"
            raise NotContacted(reason, by_policy=True)
        return allowed

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            if (ip := address_of(host)) is not None:
                return [_literal(ip.version, host, port)]
            return await self._looked_up(a_label_name(host), port)
        except UnicodeError:
            raise NotContacted("no name that can be looked up") from None
        except OSError as error:
            raise NotContacted(why(error)) from None

    async def _looked_up(self, name: str, port: int) -> list[Address]:
        if name.rpartition(".")[2] in RESERVED_DOMAINS:
            raise NotContacted("a reserved name that never resolves (RFC 6761); it was not looked up")
        try:
            async with asyncio.timeout(self._scan.timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the name was not resolved in time") from None
        return list(dict.fromkeys(_address(entry[0], entry[4]) for entry in found))


def _address(family: int, where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> Address:
    ip, port = str(where[0]), int(where[1])
    if family == socket.AF_INET6:
        scope = where[3] if len(where) == 4 else 0
        return Address(socket.AF_INET6, (ip, port, 0, scope))
    return Address(socket.AF_INET, (ip, port))


def _literal(version: int, host: str, port: int) -> Address:
    """Return an address that is written out. Raises `OSError` where its zone is no network interface here."""
    if version == 4:
        return Address(socket.AF_INET, (host, port))
    ip, _, zone = host.partition("%")
    return Address(socket.AF_INET6, (ip, port, 0, _interface(zone) if zone else 0))


def _interface(zone: str) -> int:
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError:
        raise OSError(errno.ENODEV, f"this machine has no network interface {zone!r}") from None


def unanswered_for(job: Job, reason: str) -> Answer:
    """Return the answer to a job that nobody was asked."""
    return Answer(job, job.start(), Ending.UNREACHABLE, reason)
