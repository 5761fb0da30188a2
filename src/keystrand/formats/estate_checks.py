"""What holds within a noun of an estate: distances, losses, functions, targets.

Judged on the fields that are sound, so that one faulty field of a row does not hide the rest.
"""

import ipaddress
import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from math import asin, cos, hypot, radians, sin, sqrt
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from keystrand.formats.decode import Fault, sound_fields
from keystrand.formats.estate_references import rows
from keystrand.formats.host_names import a_labels
from keystrand.model.algorithm import Function
from keystrand.model.estate import DataClass, ProbeKind, Rule, Scan, Segment, Site, SiteKind, System, Target
from keystrand.model.planning import Demand, Freeze, Price, Waiver
from keystrand.model.units import Answer

FIBRE_LOSS_LEAST_DB_PER_KM = 0.09
"""Below any fibre made: 0.091 dB/km, hollow core (Petrovich et al., Nature Photonics 2025)."""
COORDINATE_SLACK_KM = 1.0
"""Coordinates with two decimals are good to about a kilometre."""
DETOUR_MOST = 5.0
"""Ducts follow roads and rails, 1.2 to 2 times the straight line; five times it is a wrong unit or a wrong site."""
DETOUR_SLACK_KM = 10.0
"""Between near sites a route may first lead to a carrier's exchange and back."""
EARTH_RADIUS_KM = 6371.0
"""Mean radius R1 (IUGG), to the kilometre."""


Fields = dict[str, Any]
"""The sound fields of a row by name, defaults included; a faulty field is not in it."""


class OnGround(Protocol):
    """Anything with coordinates in degrees, WGS 84."""

    @property
    def latitude(self) -> float:
        """Degrees north."""

    @property
    def longitude(self) -> float:
        """Degrees east."""


class _Spot(NamedTuple):
    """Where a site is. `kind`: None where its row does not say it soundly."""

    latitude: float
    longitude: float
    kind: SiteKind | None


def great_circle_km(a: OnGround, b: OnGround) -> float:
    """Return the shortest distance over the ground in km (haversine formula, mean Earth radius)."""
    north = sin(radians(b.latitude - a.latitude) / 2)
    east = sin(radians(b.longitude - a.longitude) / 2)
    across = sqrt(cos(radians(a.latitude)) * cos(radians(b.latitude))) * east
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, hypot(north, across)))


def row_faults(raw: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong within the systems, segments and targets of `raw` (an estate as builtins)."""
    spots = _spots(raw)
    judges: tuple[tuple[str, type[Struct], Callable[[Fields], Iterator[Fault]]], ...] = (
        ("system", System, _system_faults),
        ("segment", Segment, lambda segment: _segment_faults(segment, spots)),
        ("target", Target, _target_faults),
        ("rule", Rule, _rule_faults),
        ("data_class", DataClass, _data_class_faults),
        ("freeze", Freeze, _freeze_faults),
        ("waiver", Waiver, _waiver_faults),
        ("demand", Demand, _demand_faults),
        ("price", Price, _price_faults),
    )
    for noun, kind, judge in judges:
        for n, row in rows(raw, noun):
            yield from (fault._replace(path=(noun, n, *fault.path)) for fault in judge(sound_fields(row, kind)))
    if isinstance(scan := raw.get("scan"), dict):
        yield from (fault._replace(path=("scan", *fault.path)) for fault in _scan_faults(sound_fields(scan, Scan)))


def _spots(raw: dict[str, Any]) -> dict[str, _Spot]:
    spots = {}
    for _, row in rows(raw, "site"):
        match sound_fields(row, Site):
            case {"id": str() as name, "latitude": latitude, "longitude": longitude, **others}:
                spots[name] = _Spot(latitude, longitude, others.get("kind"))
    return spots


def _system_faults(system: Fields) -> Iterator[Fault]:
    match system:
        case {"functions": functions} if not {Function.KEY_ESTABLISHMENT, Function.SIGNATURE} & set(functions):
            yield Fault(
                ("functions",),
                "names no public-key function, and those are what a quantum computer threatens",
                'add "key-establishment" (confidentiality), "signature" (authenticity), or both',
            )
    match system:
        case {"migration_years": (shortest, longest)} if shortest > longest:
            yield Fault(("migration_years",), f"the shortest time {shortest:g} is above the longest {longest:g}",
                        f"write [{longest:g}, {shortest:g}]")  # fmt: skip
    yield from _date_faults(system)


def _date_faults(system: Fields) -> Iterator[Fault]:
    match system:
        case {"retires": date() as retires, "vendor_ready": date() as ready, "post_quantum_path": Answer.YES} if (
            ready >= retires
        ):
            yield Fault(("post_quantum_path",), f"it retires on {retires}, before its supplier is ready on {ready}",
                        'write "no" and say under compensating what protects it until then')  # fmt: skip


def _data_class_faults(data_class: Fields) -> Iterator[Fault]:
    match data_class:
        case {"retention_years": years, "retention_range_years": (low, high)} if not low <= years <= high:
            yield Fault(("retention_range_years",), f"{years:g} years do not lie between {low:g} and {high:g}",
                        "write the shortest and the longest time, around retention_years")  # fmt: skip


def _freeze_faults(freeze: Fields) -> Iterator[Fault]:
    for name in ("first", "last"):
        match freeze.get(name):
            case str() as day if int(day[3:]) > monthrange(2028, int(day[:2]))[1]:
                yield Fault((name,), f"there is no day {day} in any year", "write month and day, such as 12-15")


def _waiver_faults(waiver: Fields) -> Iterator[Fault]:
    match waiver:
        case {"granted": granted, "expires": expires} if expires <= granted:
            yield Fault(("expires",), f"it ends on {expires}, not after it was granted on {granted}",
                        "give the day on which it ends")  # fmt: skip


def _demand_faults(demand: Fields) -> Iterator[Fault]:
    match demand:
        case {"a": one, "b": other} if one == other:
            yield Fault(("b",), f"both ends are {one!r}", "a demand joins two different sites")
    match demand:
        case {"bits_per_s": mean, "peak_bits_per_s": float() as peak} if peak < mean:
            yield Fault(("peak_bits_per_s",), f"the peak {peak:g} is below the mean {mean:g}", "leave the peak out")


def _price_faults(price: Fields) -> Iterator[Fault]:
    match price:
        case {"low": low, "likely": likely, "high": high} if not low <= likely <= high:
            yield Fault(("likely",), f"{likely:g} does not lie between {low:g} and {high:g}",
                        "write low, likely and high in this order")  # fmt: skip


def _segment_faults(segment: Fields, spots: dict[str, _Spot]) -> Iterator[Fault]:
    ends = [segment[key] for key in ("a", "b") if key in segment]
    if len(set(ends)) < len(ends):
        yield Fault(("b",), f"both ends are {ends[0]!r}", "a segment joins two different sites")
    via = segment.get("via", ())
    for n, name in enumerate(via):
        if name in ends or name in via[:n]:
            yield Fault(("via", n), f"{name!r} is already on the segment", "list each site on the way once, in order")
    yield from _loss_faults(segment)
    yield from _length_faults(segment, spots)


def _loss_faults(segment: Fields) -> Iterator[Fault]:
    match segment:
        case {"loss_db": None, "loss_db_per_km": None}:
            yield Fault(
                ("loss_db",),
                "no loss is given",
                'add loss_db (end to end) or loss_db_per_km; without a measurement, 0.25 with loss_basis = "assumed"',
            )
        case {"loss_db": float(), "loss_db_per_km": float()}:
            yield Fault(("loss_db_per_km",), "the loss is given twice", "keep loss_db (end to end) or loss_db_per_km")
        case {"loss_db": float(loss_db), "length_km": length_km} if loss_db < FIBRE_LOSS_LEAST_DB_PER_KM * length_km:
            yield Fault(
                ("loss_db",),
                f"{loss_db / length_km:.2g} dB/km over {length_km:g} km is less than any fibre loses",
                "loss_db is end to end: a figure per kilometre goes in loss_db_per_km; is length_km in kilometres?",
            )


def _on_the_way(segment: Fields, spots: dict[str, _Spot]) -> list[_Spot]:
    """Return where the segment's sites are, in order; empty where one of them is not understood."""
    match segment:
        case {"a": a, "b": b, "via": via} if all(name in spots for name in (a, *via, b)):
            return [spots[name] for name in (a, *via, b)]
    return []


def _length_faults(segment: Fields, spots: dict[str, _Spot]) -> Iterator[Fault]:
    way = _on_the_way(segment, spots)
    if not way or "length_km" not in segment:
        return
    length_km = segment["length_km"]
    straight_km = sum(great_circle_km(one, two) for one, two in pairwise(way))
    if length_km < straight_km - COORDINATE_SLACK_KM:
        yield Fault(
            ("length_km",),
            f"{length_km:g} km is shorter than the straight line of {straight_km:.1f} km through its sites",
            "is the length in miles, or are the coordinates of a site wrong?",
        )
    on_reels = {SiteKind.LABORATORY, None} & {way[0].kind, way[-1].kind}
    if not on_reels and length_km > DETOUR_MOST * (straight_km + DETOUR_SLACK_KM):
        yield Fault(
            ("length_km",),
            f"{length_km:g} km is far more than the straight line of {straight_km:.1f} km through its sites",
            'is the length in metres? For fibre on reels, give one end kind = "laboratory"',
        )


_KEYS = ("host", "port", "ports", "path", "starttls", "mode", "zone", "passwords", "rules")
_NEEDS = {kind: ("path",) if kind.reads_files else ("host", "port") for kind in ProbeKind} | {
    ProbeKind.DNS: ("host", "port", "zone")
}
_MAY_HAVE = {kind: ("passwords",) if kind.reads_files else ("ports", "mode") for kind in ProbeKind} | {
    ProbeKind.SOURCE: ("rules",),
    ProbeKind.FILES: ("passwords", "rules"),
    ProbeKind.TLS: ("ports", "mode", "starttls"),
}
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")


# What resolvers read as a number and so as an address, though no name of a host ends so (RFC 3696, section 2): `127.1`
# and `0x7f.1` reach 127.0.0.1 by the C function inet_aton.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def _target_faults(target: Fields) -> Iterator[Fault]:
    if "probe" in target:
        yield from _need_faults(target, target["probe"])
    host, path = target.get("host"), target.get("path")
    if host is not None and not (_is_host(host) or _is_range(host)):
        yield Fault(("host",), f"{host!r} is neither a host name nor an IP address or range", _how_to_write(host))
    named: list[tuple[tuple[str | int, ...], str]] = [(("path",), path)] if path is not None else []
    named += [(("rules", n), rule) for n, rule in enumerate(target.get("rules") or ())]
    for key, place in named:
        if not _names_a_place(place):
            yield Fault(key, f"{place!r} leads out of the estate's folder",
                        "write it relative to the folder of estate.toml, without '..', or whole from '/'")  # fmt: skip


def _need_faults(target: Fields, probe: ProbeKind) -> Iterator[Fault]:
    needs = _NEEDS[probe]
    for key in _KEYS:
        if key not in target:
            continue  # faulty in itself, or misspelt
        given = target[key] not in (None, ())
        if key in needs and not given and not (key == "port" and target.get("ports")):
            yield Fault((key,), f"missing key: a {probe} target needs it", f"add {key} = ...")
        if given and key not in (*needs, *_MAY_HAVE[probe]):
            yield Fault((key,), f"a {probe} target has no {key}", f"it needs {' and '.join(needs)} only: remove {key}")


def _rule_faults(rule: Fields) -> Iterator[Fault]:
    conditions = ("place", "address", "name")
    if all(key in rule and rule[key] is None for key in conditions):
        yield Fault(
            ("place",), "missing key: a rule needs a condition", f"add {', '.join(conditions[:-1])} or name = ..."
        )
    if (address := rule.get("address")) is not None and not (_is_range(address) or _is_address(address)):
        yield Fault(("address",), f"{address!r} is no IP address or range", "write a range such as 192.0.2.0/24")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _scan_faults(scan: Fields) -> Iterator[Fault]:
    for entry in scan.get("allow") or ():
        if not (_is_host(entry.removeprefix("*.")) or _is_range(entry)):
            yield Fault(("allow",), f"{entry!r} is neither a host name nor an IP address or range",
                        "write a name, *. and a domain, an address, or a range such as 192.0.2.0/24")  # fmt: skip


def _is_range(host: str) -> bool:
    try:
        ipaddress.ip_network(host)
    except ValueError:
        return False
    return "/" in host


def _ends_in_number(host: str) -> bool:
    return bool(_NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]))


def _is_host(host: str) -> bool:
    if _is_address(host):
        return True
    try:
        spelt = a_labels(host)
    except UnicodeError:
        return False
    return bool(_HOST_NAME.fullmatch(spelt)) and not _ends_in_number(spelt)


def _how_to_write(host: str) -> str:
    if _HOST_NAME.fullmatch(host):
        return "write all four decimal numbers of an IPv4 address, as in 192.0.2.1, or a name that ends in letters"
    return "write the name alone; the port goes in port = ..."


def _names_a_place(path: str) -> bool:
    return ".." not in PurePosixPath(path).parts and "\\" not in path and "\0" not in path
