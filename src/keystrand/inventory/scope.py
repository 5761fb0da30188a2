"""What a scan may contact, and when: ranges of addresses, the allow-list, the time of day. The clock is an argument.

A name is allowed as it is written, below a domain (`*.bank.example`), or because every address that it resolves to is.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from keystrand.formats.host_names import a_labels
from keystrand.model.errors import OutsideScope, Problem
from keystrand.model.estate import Scan, Target

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ADDRESSES = 2**20
"""Addresses of one range at most: a /12. More is a slip of the pen, or a scan of the internet."""


def address_of(host: str) -> Ip | None:
    """Return the address that `host` is, zone included (RFC 4007, 11), or None where it is a name or a range."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def range_of(host: str | None) -> Network | None:
    """Return the range of addresses that `host` is, or None where it is a name or one address."""
    if host is None or "/" not in host:
        return None
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def a_label_name(host: str) -> str:
    """Return a name as it is looked up and compared: lower case, without a final dot, in A-labels.

    Raises `UnicodeError` where DNS cannot hold it.
    """
    return a_labels(host.removesuffix(".").lower())


def ports_of(target: Target) -> tuple[int, ...]:
    """Return every port that `target` names, each once, in its order."""
    alone = () if target.port is None else (target.port,)
    return tuple(dict.fromkeys((*alone, *target.ports)))


def count_of(target: Target) -> int:
    """Return how many endpoints `target` names: addresses times ports; one where it reads files."""
    if target.probe.reads_files:
        return 1
    network = range_of(target.host)
    hosts = 1 if network is None else _usable(network)
    return hosts * max(1, len(ports_of(target)))


def _usable(network: Network) -> int:
    """Return how many addresses of `network` a host can have; `hosts` yields as many."""
    spare = network.max_prefixlen - network.prefixlen
    left_out = (2 if network.version == 4 else 1) if spare > 1 else 0
    return int(network.num_addresses) - left_out


def endpoints(scan: Scan, targets: Iterable[Target]) -> Iterator[Target]:
    """Yield what is looked at one by one: each target for one host and one port, or for its files.

    A range is spelt out lazily, one port after the other, so that no host is asked twice in a row.
    """
    for target in targets:
        mode = target.mode or scan.mode
        if target.probe.reads_files:
            yield target
            continue
        network = range_of(target.host)
        for port in ports_of(target) or (None,):
            for host in (target.host,) if network is None else map(str, network.hosts()):
                yield replace(target, host=host, port=port, ports=(), mode=mode)


class Allowed:
    """The allow-list of a scan. Empty, it allows the hosts that the targets name one by one, and no range."""

    def __init__(self, allow: Iterable[str]) -> None:
        entries = tuple(allow)
        self.everything_named = not entries
        self._zoned = frozenset(ip for entry in entries if "%" in entry and (ip := address_of(entry)) is not None)
        self._networks = tuple(
            network for entry in entries if (network := range_of(entry) or _single(entry)) is not None
        )
        plain = [entry for entry in entries if range_of(entry) is None and address_of(entry) is None]
        self._names = frozenset(_spelt(entry) for entry in plain if not entry.startswith("*."))
        self._domains = tuple(f".{_spelt(entry.removeprefix('*.'))}" for entry in plain if entry.startswith("*."))

    @property
    def by_address(self) -> bool:
        """Return whether a name may be allowed by where it leads."""
        return bool(self._networks or self._zoned)

    def address(self, address: Ip) -> bool:
        """Return whether the list holds `address`; one that is written with a zone is of that link alone."""
        within = (address.version == network.version and address in network for network in self._networks)
        return address in self._zoned or any(within)

    def name(self, host: str) -> bool:
        """Return whether the list holds the name `host`, or a domain above it."""
        spelt = _spelt(host)
        return spelt in self._names or spelt.endswith(self._domains)

    def network(self, wanted: Network) -> bool:
        """Return whether one entry holds all of `wanted`."""
        first, last = wanted.network_address, wanted.broadcast_address
        return any(
            wanted.version == network.version and first in network and last in network for network in self._networks
        )

    def refused(self, target: Target) -> str:
        """Return why `target` may not be contacted; empty where it may, or where that shows once it is resolved."""
        if target.probe.reads_files or target.host is None:
            return ""
        if (network := range_of(target.host)) is not None:
            if network.num_addresses > MAX_ADDRESSES:
                return f"the range {target.host} has more than {MAX_ADDRESSES} addresses; name smaller ones"
            return "" if self.network(network) else f"the range {target.host} is not in `allow`"
        if self.everything_named:
            return ""
        if (address := address_of(target.host)) is not None:
            return "" if self.address(address) else f"{target.host} is not in `allow`"
        return "" if self.name(target.host) or self.by_address else f"{target.host} is not in `allow`"

    def check(self, targets: Iterable[Target]) -> None:
        """Raise `OutsideScope`, with every target that may not be contacted."""
        refuse(
            tuple(
                Problem(message=why, field=f"target {target.id}") for target in targets if (why := self.refused(target))
            )
        )

    def in_doubt(self, target: Target) -> bool:
        """Return whether only its addresses can say if `target` may be contacted."""
        host = target.host
        if self.everything_named or target.probe.reads_files or host is None or range_of(host) or address_of(host):
            return False
        return not self.name(host)


def refuse(problems: tuple[Problem, ...]) -> None:
    """Raise `OutsideScope` where there is any problem."""
    if problems:
        count = "1 target is" if len(problems) == 1 else f"{len(problems)} targets are"
        raise OutsideScope(f"{count} outside what may be contacted; nothing was contacted", problems=problems)


def _single(entry: str) -> Network | None:
    return None if "%" in entry or (address := address_of(entry)) is None else ipaddress.ip_network(address)


def _spelt(name: str) -> str:
    """Return `name` as names are compared; one that DNS cannot hold is compared as it is written."""
    try:
        return a_label_name(name)
    except UnicodeError:
        return name.lower()


class Window(NamedTuple):
    """The part of each day in UTC in which connections begin. Where `end` comes first it is on the next day."""

    begin: time
    end: time

    def opens_in(self, now: datetime) -> timedelta:
        """Return how long after `now` the next connection may begin: nothing within the window."""
        clock = now.time()
        within = self.begin <= clock < self.end if self.begin < self.end else not self.end <= clock < self.begin
        if within:
            return timedelta(0)
        opening = now.replace(hour=self.begin.hour, minute=self.begin.minute, second=0, microsecond=0)
        return (opening if opening > now else opening + timedelta(days=1)) - now


def window_of(scan: Scan) -> Window | None:
    """Return the window of `scan`, or None where it may work at any time."""
    if scan.window is None:
        return None
    begin, end = (time(int(text[:2]), int(text[3:])) for text in scan.window.split("-"))
    return Window(begin, end)
