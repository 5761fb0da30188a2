"""What the conversations of a capture come to: facts of endpoints, clients, certificates, and one flow a pair.

Each fact is told once. What is told at the end is bounded: where it grows too large, the volumes so far are told, and
counting begins anew.
"""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from keystrand.formats.capture_file import NANOSECONDS
from keystrand.formats.capture_flows import Flow as Conversation
from keystrand.formats.capture_link import ESP, MACSEC
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.capture_tls import certificate_of
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse, Endpoint, Fact, Flow, Strength
from keystrand.model.reading import Found

MAX_TOTALS = 100_000
"""Sums of flows, endpoints, and facts already told, that are kept at most."""
MAX_VOLUME = 2**53
"""Octets or packets of one flow at most that are believed: a year of 2 Tbit/s."""
_MICROSECOND = 1000
_IPV6_OCTETS, _TWO_ADDRESSES = 16, (8, 32)

Transport = Literal["tcp", "udp", "other"]


class Ends(NamedTuple):
    """Who spoke to whom: addresses in text, and the server's port.

    Where a protocol has no ports its own number stands there: 50 for ESP (IP protocol), 35045 for MACsec (EtherType).
    """

    client: str
    server: str
    port: int


class FlowKey(NamedTuple):
    """What flows are summed by. `day` is empty where a source is summed whole."""

    ends: Ends
    transport: Transport
    protocol: str
    exchange: str
    day: str = ""


class Volume(Struct):
    """A sum: octets, packets, and first and last moment in nanoseconds since 1970."""

    to_server: int = 0
    to_client: int = 0
    packets: int = 0
    first: int = 0
    last: int = 0

    def add(self, other: "Volume") -> None:
        """Add another sum."""
        self.to_server += other.to_server
        self.to_client += other.to_client
        self.packets += other.packets
        self.first = min(self.first or other.first, other.first or self.first)
        self.last = max(self.last, other.last)


class _Server(Struct):
    """What is known of an endpoint so far. `post_quantum` is whether clients that offered it got it."""

    versions: dict[str, None]
    software: dict[str, None]
    supports: bool | None = None
    got: set[bool] = set()


def instant(nanoseconds: int) -> str:
    """Return a moment as ISO 8601 in UTC; empty for none, or for one that no calendar has."""
    if not nanoseconds:
        return ""
    second = _second(nanoseconds // NANOSECONDS)
    # always six digits, so that text compares as time does
    return f"{second}.{nanoseconds % NANOSECONDS // 1000:06}Z" if second else ""


@lru_cache(maxsize=65536)
def _second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


@lru_cache(maxsize=1024)
def _resists(exchange: str) -> bool | None:
    """Return whether a key establishment resists a quantum computer; None where that is not known."""
    verdict = classify(exchange, Function.KEY_ESTABLISHMENT).verdict
    return {Verdict.QUANTUM_SAFE: True, Verdict.QUANTUM_VULNERABLE: False}.get(verdict)


def place_of(protocol: str, host: str, port: int) -> str:
    """Return where in a capture or log a server's facts are: `!tls://192.0.2.1:443`."""
    return f"!{protocol}://{f'[{host}]' if ':' in host else host}:{port}"


class Tally:
    """Takes sessions and volumes; `ready` are the facts to tell now."""

    def __init__(self, *, limit: int = MAX_TOTALS) -> None:
        self._limit = limit
        self.ready: list[Found] = []
        self.sessions = self.flows = self.parts = self._parted = 0
        self._told: set[int] = set()  # hashes: a third of the memory, and two of 64 bits hardly ever meet
        self._servers: dict[tuple[str, str, int], _Server] = {}
        self._volumes: dict[FlowKey, Volume] = {}
        self._tunnels: dict[frozenset[str], str] = {}

    def session(self, ends: Ends, seen: Session) -> None:
        """Take what a handshake told. A server's port of 0 is a forgery: nothing can listen there."""
        if not ends.port:
            return
        self.sessions += 1
        if len(self._told) >= self._limit:
            self._told.clear()
        place, client = place_of(seen.protocol, ends.server, ends.port), f"!client://{ends.client}"
        self.uses(place, Strength.NEGOTIATED, seen.uses)
        self.uses(client, Strength.OFFERED, seen.offers)
        for where, chain in ((place, seen.certificates), (client, seen.client_certificates)):
            if chain and self._is_new((where, chain)):
                certificates = (certificate_of(der) for der in chain)
                self._tell(where, Strength.NEGOTIATED, *(one for one in certificates if one))
        if seen.keys and self._is_new((place, seen.keys)):
            self._tell(place, Strength.NEGOTIATED, *seen.keys)
        if seen.protocol == "ike" and seen.exchange:
            if len(self._tunnels) >= self._limit:
                self._tunnels.clear()
            self._tunnels[frozenset((ends.client, ends.server))] = seen.exchange.algorithm
        if seen.version and (seen.uses or seen.software):
            self._server(ends, seen)

    def _is_new(self, key: tuple[object, ...]) -> bool:
        before = len(self._told)
        self._told.add(hash(key))
        return len(self._told) > before

    def _tell(self, where: str, strength: Strength, *facts: Fact) -> None:
        self.ready += (Found(where, strength, fact) for fact in facts)

    def certificate(self, where: str, der: bytes) -> bool:
        """Tell a certificate by itself; return whether it is one."""
        if (found := certificate_of(der)) is not None and self._is_new((where, der)):
            self._tell(where, Strength.NEGOTIATED, found)
        return found is not None

    def uses(self, where: str, strength: Strength, uses: tuple[Use, ...]) -> None:
        """Tell the algorithms used at one place."""
        if not uses or not self._is_new((where, uses)):
            return
        for use in uses:
            # places tell algorithms apart, code points do not: CBC suites of one cipher are one use
            if self._is_new((where, use.function, use.algorithm)):
                fact = AlgorithmUse(algorithm=use.algorithm, function=use.function, code_point=use.code_point)
                self._tell(where, strength, fact)

    def _server(self, ends: Ends, seen: Session) -> None:
        key = seen.protocol, ends.server, ends.port
        if (server := self._servers.get(key)) is None:
            if len(self._servers) >= self._limit:
                self.ready += self._endpoints()
                self._servers.clear()
            server = self._servers[key] = _Server({}, {}, None, set())
        server.versions[seen.version] = None
        if seen.software and len(server.software) < 8:
            server.software[seen.software] = None
        if seen.exchange is not None:
            safe = _resists(seen.exchange.algorithm)
            server.supports = safe or server.supports
            if seen.offered_post_quantum and safe is not None:
                server.got.add(safe)

    def conversation(self, key: FlowKey, volume: Volume) -> None:
        """Add the volume of one conversation to the sum of its kind."""
        if not key.ends.port:
            return
        self.flows += 1
        if self._parted:  # a later part begins after the earlier one: sightings that overlap do not add up
            volume.first = max(volume.first, self._parted + _MICROSECOND)
            volume.last = max(volume.last, volume.first)
        found = self._volumes.get(key)
        if found is not None:
            found.add(volume)
            return
        if len(self._volumes) >= self._limit:
            self.parts += 1
            self._parted = max(one.last for one in self._volumes.values())
            self.ready += self._flows()
            self._volumes.clear()
        self._volumes[key] = volume

    def end(self) -> None:
        """Make ready what waits for the end: endpoints and flows."""
        self.ready += self._endpoints()
        self.ready += self._flows()
        self._servers.clear()
        self._volumes.clear()

    def _endpoints(self) -> Iterator[Found]:
        for (protocol, host, port), server in self._servers.items():
            endpoint = Endpoint(
                protocol=protocol,
                host=host,
                port=port,
                versions=tuple(sorted(server.versions, reverse=True)),
                software=", ".join(server.software),
                supports_post_quantum=server.supports,
                negotiates_post_quantum=next(iter(server.got)) if len(server.got) == 1 else None,
            )
            yield Found(place_of(protocol, host, port), Strength.NEGOTIATED, endpoint)

    def _flows(self) -> Iterator[Found]:
        for (ends, transport, protocol, exchange, _), volume in self._volumes.items():
            tunnel = self._tunnels.get(frozenset(ends[:2]), "") if protocol in ("esp", "ike") else ""
            flow = Flow(
                client=ends.client,
                server=ends.server,
                port=ends.port,
                transport=transport,
                protocol=protocol,
                key_establishment=exchange or tunnel,
                octets_to_server=volume.to_server,
                octets_to_client=volume.to_client,
                packets=volume.packets,
                first=instant(volume.first),
                last=instant(volume.last),
            )
            yield Found(place_of(protocol, ends.server, ends.port), Strength.NEGOTIATED, flow)


def ends_of(flow: Conversation) -> tuple[Ends, bool]:
    """Return the ends of a conversation in a capture, and whether the side seen first is the client.

    Where nothing says who the client is, the lower port serves.
    """
    if flow.transport == "other":
        (one, _), (other, _) = _sides(flow.first_key + bytes(4))
        return Ends(one, other, ESP if len(flow.first_key) in _TWO_ADDRESSES else MACSEC), True
    first, second = _sides(flow.first_key)
    client_first = flow.client_first if flow.client_first is not None else second[1] <= first[1]
    client, server = (first, second) if client_first else (second, first)
    return Ends(client[0], server[0], server[1]), client_first


def _sides(key: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    ends, ports = key[:-4], key[-4:]
    half = len(ends) // 2
    return (
        (_address(ends[:half]), int.from_bytes(ports[:2], "big")),
        (_address(ends[half:]), int.from_bytes(ports[2:], "big")),
    )


def _address(octets: bytes) -> str:
    if len(octets) == 4:
        return ".".join(map(str, octets))  # as `ipaddress` writes it, in a third of the time
    return str(ipaddress.ip_address(octets)) if len(octets) == _IPV6_OCTETS else octets.hex(":")
