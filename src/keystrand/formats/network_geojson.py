"""GeoJSON networks and designs: points are places, lines fibres or links. RFC 7946: degrees, longitude first."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from keystrand.formats.network_raw import RawLine, RawNetwork, RawPlace, length_of
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.stages.designed import TopologyDesign

_NEAR_KM = 1.0
_LEAST_KM = 0.01
Point = tuple[float, float]


def geojson_network(content: Any, file: str) -> RawNetwork:
    """Return what a FeatureCollection says. A line names its ends as `a` and `b`, or begins and ends at its places."""
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise InvalidInput(f"{file} is no FeatureCollection", hint="give GeoJSON with points and lines (RFC 7946)")
    places, lines = list[RawPlace](), list[RawLine]()
    told = [(n, *_parts(feature, n, file)) for n, feature in enumerate(features)]
    for n, kind, points, said in told:
        if kind == "Point":
            places.append(RawPlace(_word(said, "id", "name") or f"place-{n}", *points[0]))
    for n, kind, points, said in told:
        if kind == "LineString":
            a, b = (_word(said, *names) or _at(places, point) for names, point in
                    ((("a", "source"), points[0]), (("b", "target"), points[-1])))  # fmt: skip
            length = said.get("length_km")
            if length is not None and (isinstance(length, bool) or not isinstance(length, int | float)):
                _refuse(file, n, f"length_km {length!r} is not a number")
            km = max(length_of(points), _LEAST_KM) if length is None else float(length)
            lines.append(RawLine(_word(said, "id", "name") or f"line-{n}", a, b, km))
    return RawNetwork(str(content.get("name") or file), places, lines)


def _parts(feature: Any, n: int, file: str) -> tuple[str, list[Point], Mapping[str, Any]]:
    shape = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(feature, dict) or not isinstance(shape, dict):
        _refuse(file, n, "it has no geometry")
    kind, at = shape.get("type"), shape.get("coordinates")
    said = feature.get("properties") or {}
    said = dict(said) if isinstance(said, dict) else {}
    if "id" in feature:
        said.setdefault("id", feature["id"])
    if kind not in ("Point", "LineString"):
        return "", [], said
    points = [at] if kind == "Point" else at
    if not isinstance(points, list) or len(points) < (1 if kind == "Point" else 2):
        _refuse(file, n, "it has no coordinates")
    return kind, [_point(point, n, file) for point in points], said


def _point(point: Any, n: int, file: str) -> Point:
    if not (isinstance(point, list) and len(point) >= 2 and all(type(v) in (int, float) for v in point[:2])):
        _refuse(file, n, "its coordinates are no numbers")
    longitude, latitude = float(point[0]), float(point[1])
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        _refuse(file, n, f"{longitude:g}, {latitude:g} is no place on Earth; longitude comes first")
    return longitude, latitude


def _refuse(file: str, n: int, message: str) -> NoReturn:
    raise InvalidInput(
        f"{file} cannot be used", problems=(Problem(message=message, file=file, field=f"features[{n}]"),)
    )


def _word(said: Mapping[str, Any], *names: str) -> str:
    return next((str(said[name]) for name in names if said.get(name) not in (None, "")), "")


def _at(places: list[RawPlace], point: Point) -> str:
    """Return the place within a kilometre of `point`; a name that no place has where there is none."""
    near = [(length_of([point, (p.longitude or 0.0, p.latitude or 0.0)]), p.id) for p in places]
    best = min(near, default=(_NEAR_KM + 1, ""))
    return best[1] if best[0] <= _NEAR_KM else f"at {point[0]:g}, {point[1]:g}"


def geojson_of(design: TopologyDesign, roles: Mapping[str, str]) -> str:
    """Return the design: a point for each place with its role, a line for the systems of each link."""
    at = {n.id: [n.longitude, n.latitude] for n in design.network.nodes}
    points = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": at[name]},
            "properties": {"id": name, "role": role},
        }
        for name, role in roles.items()
    ]
    lines = [
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [at[name] for name in (k.a, *k.bypassed, k.b)]},
            "properties": {
                "a": k.a, "b": k.b, "fibres": k.fibres, "bypassed": k.bypassed, "spans": k.spans, "systems": k.systems,
                "span_loss_db": k.span_loss_db, "rate_bits_per_s": k.rate_bits_per_s,
            },
        }
        for k in design.links
    ]  # fmt: skip
    collection = {"type": "FeatureCollection", "name": design.network.name, "features": [*points, *lines]}
    return json.dumps(collection, indent=1, ensure_ascii=False) + "\n"
