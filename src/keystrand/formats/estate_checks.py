"""What holds within a noun of an estate: distances, losses, functions, targets. Judged on the rows that decode."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import asin, cos, hypot, radians, sin, sqrt
from pathlib import PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from keystrand.formats.decode import Fault, faults_of
from keystrand.formats.estate_references import rows
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, Segment, Site, SiteKind, System, Target

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


def great_circle_km(a: Site, b: Site) -> float:
    """Return the shortest distance over the ground in km (haversine formula, mean Earth radius)."""
    north = sin(radians(b.latitude - a.latitude) / 2)
    east = sin(radians(b.longitude - a.longitude) / 2)
    across = sqrt(cos(radians(a.latitude)) * cos(radians(b.latitude))) * east
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, hypot(north, across)))


def _decoded(raw: dict[str, Any], noun: str, kind: type[Struct]) -> Iterator[tuple[int, Any]]:
    for n, row in rows(raw, noun):
        if not faults_of(row, kind):
            yield n, msgspec.convert(row, kind)


def row_faults(raw: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong within the systems, segments and targets of `raw` (an estate as builtins)."""
    sites: dict[str, Site] = {site.id: site for _, site in _decoded(raw, "site", Site)}
    judges: tuple[tuple[str, type[Struct], Callable[[Any], Iterator[Fault]]], ...] = (
        ("system", System, _system_faults),
        ("segment", Segment, lambda segment: _segment_faults(segment, sites)),
        ("target", Target, _target_faults),
    )
    for noun, kind, judge in judges:
        for n, row in _decoded(raw, noun, kind):
            yield from (fault._replace(path=(noun, n, *fault.path)) for fault in judge(row))


def _system_faults(system: System) -> Iterator[Fault]:
    if not {Function.KEY_ESTABLISHMENT, Function.SIGNATURE} & set(system.functions):
        yield Fault(
            ("functions",),
            "names no public-key function, and those are what a quantum computer threatens",
            'add "key-establishment" (confidentiality), "signature" (authenticity), or both',
        )
    shortest, longest = system.migration_years
    if shortest > longest:
        yield Fault(("migration_years",), f"the shortest time {shortest:g} is above the longest {longest:g}",
                    f"write [{longest:g}, {shortest:g}]")  # fmt: skip


def _segment_faults(segment: Segment, sites: dict[str, Site]) -> Iterator[Fault]:
    if segment.a == segment.b:
        yield Fault(("b",), f"both ends are {segment.b!r}", "a segment joins two different sites")
    ends = {segment.a, segment.b}
    for n, name in enumerate(segment.via):
        if name in ends or name in segment.via[:n]:
            yield Fault(("via", n), f"{name!r} is already on the segment", "list each site on the way once, in order")
    yield from _loss_faults(segment)
    yield from _length_faults(segment, sites)


def _loss_faults(segment: Segment) -> Iterator[Fault]:
    if segment.loss_db is None and segment.loss_db_per_km is None:
        yield Fault(
            ("loss_db",),
            "no loss is given",
            'add loss_db (end to end) or loss_db_per_km; without a measurement, 0.25 with loss_basis = "assumed"',
        )
    elif segment.loss_db is not None and segment.loss_db_per_km is not None:
        yield Fault(("loss_db_per_km",), "the loss is given twice", "keep loss_db (end to end) or loss_db_per_km")
    elif segment.total_loss_db < FIBRE_LOSS_LEAST_DB_PER_KM * segment.length_km:
        per_km = segment.total_loss_db / segment.length_km
        yield Fault(
            ("loss_db",),
            f"{per_km:.2g} dB/km over {segment.length_km:g} km is less than any fibre loses",
            "loss_db is end to end: a figure per kilometre goes in loss_db_per_km; is length_km in kilometres?",
        )


def _straight_km(segment: Segment, sites: dict[str, Site]) -> float | None:
    """Return the straight line through the segment's sites in km; None where one of them is not understood."""
    names = (segment.a, *segment.via, segment.b)
    if any(name not in sites for name in names):
        return None
    return sum(great_circle_km(sites[one], sites[two]) for one, two in pairwise(names))


def _length_faults(segment: Segment, sites: dict[str, Site]) -> Iterator[Fault]:
    straight_km = _straight_km(segment, sites)
    if straight_km is None:
        return
    given = f"{segment.length_km:g} km"
    if segment.length_km < straight_km - COORDINATE_SLACK_KM:
        yield Fault(
            ("length_km",),
            f"{given} is shorter than the straight line of {straight_km:.1f} km through its sites",
            "is the length in miles, or are the coordinates of a site wrong?",
        )
    in_laboratory = any(sites[name].kind is SiteKind.LABORATORY for name in (segment.a, segment.b))
    if not in_laboratory and segment.length_km > DETOUR_MOST * (straight_km + DETOUR_SLACK_KM):
        yield Fault(
            ("length_km",),
            f"{given} is far more than the straight line of {straight_km:.1f} km through its sites",
            'is the length in metres? For fibre on reels, give one end kind = "laboratory"',
        )


_NEEDS = {ProbeKind.TLS: ("host", "port"), ProbeKind.SSH: ("host", "port"), ProbeKind.X509: ("path",)}
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")


def _target_faults(target: Target) -> Iterator[Fault]:
    for key in ("host", "port", "path"):
        given, needed = getattr(target, key) is not None, key in _NEEDS[target.probe]
        if needed and not given:
            yield Fault((key,), f"missing key: a {target.probe} target needs it", f"add {key} = ...")
        if given and not needed:
            needs = " and ".join(_NEEDS[target.probe])
            yield Fault((key,), f"a {target.probe} target has no {key}", f"it needs {needs} only: remove {key}")
    if target.host is not None and not _is_host(target.host):
        yield Fault(("host",), f"{target.host!r} is neither a host name nor an IP address",
                    "write the name alone; the port goes in port = ...")  # fmt: skip
    if target.path is not None and not _stays_inside(target.path):
        yield Fault(("path",), f"{target.path!r} leads out of the estate's folder",
                    "write it relative to the folder of estate.toml, without '..'")  # fmt: skip


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(_HOST_NAME.fullmatch(host)) and not host.replace(".", "").isdigit()
    return True


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and "\0" not in path
