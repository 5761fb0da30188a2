"""A network file as it stands, whatever its form: places, lines and traffic, each with its line in the file."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from keystrand.formats.decode import near_name
from keystrand.formats.estate_checks import great_circle_km
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.network import FibreNetwork, NetworkFibre, NetworkNode

ROUTE_FACTOR = 1.3
"""Ducts follow roads and rails: so much longer than the straight line, where a file gives no length. Assumed."""
_LEAST_KM = 1.0
_MOST_NAME, _MOST_KM = 128, 20_000


class RawPlace(NamedTuple):
    """A place. `longitude` and `latitude` in degrees; None where the file gives none."""

    id: str
    longitude: float | None
    latitude: float | None
    line: int = 0


class RawLine(NamedTuple):
    """A line between two places; `length_km` None where the file gives none."""

    id: str
    a: str
    b: str
    length_km: float | None = None
    line: int = 0


class Traffic(NamedTuple):
    """What flows between two places, in whatever unit the file has."""

    a: str
    b: str
    value: float
    line: int = 0


class RawNetwork(NamedTuple):
    """What a file says."""

    name: str
    places: Sequence[RawPlace]
    lines: Sequence[RawLine]
    traffic: Sequence[Traffic] = ()


def judged(raw: RawNetwork, file: str, db_per_km: float) -> FibreNetwork:
    """Return the network that `raw` says, without needs. Raises `InvalidInput` with every problem.

    A place without coordinates, a line to one, and a line from a place to itself are left out and told.
    """
    problems = tuple(_problem(file, *one) for one in _faults(raw))
    if problems:
        raise InvalidInput(f"{file} is no network that can be used", problems=problems)
    found = {p.id: p for p in raw.places}
    nodes = {
        p.id: NetworkNode(id=p.id, longitude=p.longitude, latitude=p.latitude)
        for p in raw.places
        if p.longitude is not None and p.latitude is not None
    }
    left_out = [f"place {name}: it has no coordinates" for name in found if name not in nodes]
    fibres = []
    for one in raw.lines:
        if one.a == one.b or one.a not in nodes or one.b not in nodes:
            why = "from a place to itself" if one.a == one.b else "to a place without coordinates"
            left_out.append(f"line {one.id}: it leads {why}")
            continue
        km = one.length_km or max(_LEAST_KM, ROUTE_FACTOR * great_circle_km(nodes[one.a], nodes[one.b]))
        fibres.append(NetworkFibre(id=one.id, a=one.a, b=one.b, length_km=km, loss_db=db_per_km * km))
    if not fibres:
        raise InvalidInput(f"{file} has no line between two places", hint="give a file with nodes and links")
    return FibreNetwork(name=raw.name, nodes=tuple(nodes.values()), fibres=tuple(fibres), left_out=tuple(left_out))


def _problem(file: str, line: int, field: str, message: str, hint: str) -> Problem:
    return Problem(message=message, hint=hint, file=file, line=line, field=field)


Complaint = tuple[int, str, str, str]


def _faults(raw: RawNetwork) -> Iterator[Complaint]:
    known = {place.id for place in raw.places}
    yield from _name_faults("node", raw.places)
    yield from _name_faults("link", raw.lines)
    for place in raw.places:
        yield from _place_faults(place)
    for line in raw.lines:
        yield from _unknown(f"link {line.id}", line, known)
        if line.length_km is not None and not (isfinite(line.length_km) and 0 < line.length_km <= _MOST_KM):
            yield line.line, f"link {line.id}", f"a length of {line.length_km:g} km", "give a length above 0, in km"
    for one in raw.traffic:
        yield from _unknown(f"demand {one.a} - {one.b}", one, known)
        if not (isfinite(one.value) and one.value >= 0):
            yield one.line, f"demand {one.a} - {one.b}", f"a demand of {one.value:g}", "give a number of 0 or more"


def _name_faults(noun: str, some: Sequence[RawPlace | RawLine]) -> Iterator[Complaint]:
    seen: set[str] = set()
    for one in some:
        if not 0 < len(one.id) <= _MOST_NAME:
            yield one.line, noun, f"its name has {len(one.id)} letters", f"give it a name of 1 to {_MOST_NAME}"
        if one.id in seen:
            yield one.line, f"{noun} {one.id}", f"there is already a {noun} called {one.id!r}", "give each its own id"
        seen.add(one.id)


def _unknown(field: str, joining: RawLine | Traffic, known: set[str]) -> Iterator[Complaint]:
    for name in (joining.a, joining.b):
        if name not in known:
            near = near_name(name, sorted(known))
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known)[:8])}"
            yield joining.line, field, f"no node is called {name!r}", hint


def _place_faults(place: RawPlace) -> Iterator[Complaint]:
    for what, value, most in (("longitude", place.longitude, 180), ("latitude", place.latitude, 90)):
        if value is not None and not -most <= value <= most:
            yield (place.line, f"node {place.id}", f"a {what} of {value:g} is no place on Earth",
                   "give degrees, longitude first; a file with coordinates of a drawing cannot be used")  # fmt: skip


def length_of(points: Sequence[tuple[float, float]]) -> float:
    """Return the length in km along points of (longitude, latitude) in degrees."""
    nodes = [NetworkNode(id="point", longitude=x, latitude=y) for x, y in points]
    return sum(great_circle_km(a, b) for a, b in pairwise(nodes))
