"""A schematic map of sites and segments: north is up and east is right, distances are not to scale."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from keystrand.formats.charts import WIDTH
from keystrand.formats.svg import drawing, fitting, text

HEIGHT, MARGIN = 420.0, 100.0
_EVEN = 0.65
"""How far each axis is drawn towards even steps: 0 is true to scale, 1 keeps only the order of the sites.

Metro sites lie a few km apart and recovery sites hundreds: to scale, the metro would be one dot.
"""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class SiteMark(NamedTuple):
    """A site. Degrees, WGS 84."""

    id: str
    name: str
    kind: str
    latitude: float
    longitude: float


class LinkMark(NamedTuple):
    """A segment by the sites it passes, with the number it has in the table and the approach that styles it."""

    number: int
    name: str
    path: tuple[str, ...]
    approach: str
    words: str


def _axis(values: Sequence[float], low: float, high: float) -> list[float]:
    """Return `values` between `low` and `high`, in the same order, drawn towards even steps."""
    order = sorted(range(len(values)), key=lambda n: (values[n], n))
    least, span = min(values), max(values) - min(values)
    rank = {n: place / max(len(values) - 1, 1) for place, n in enumerate(order)}
    shares = [_EVEN * rank[n] + (1 - _EVEN) * ((v - least) / span if span else rank[n]) for n, v in enumerate(values)]
    return [low + share * (high - low) for share in shares]


def _placed(sites: Sequence[SiteMark]) -> dict[str, Point]:
    """Return the place of every site in user units."""
    xs = _axis([s.longitude for s in sites], MARGIN, WIDTH - MARGIN)
    ys = _axis([-s.latitude for s in sites], 48.0, HEIGHT - 48.0)
    return {site.id: (x, y) for site, x, y in zip(sites, xs, ys, strict=True)}


def _overlap(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


def _label(point: Point, words: str, taken: list[Box]) -> str:
    """Return the label where it covers the least of what is there already, and note the place as taken."""
    x, y = point
    width = len(words) * 7.8
    spots = (
        (x + 14, y + 5, "start", (x + 12, y - 9, x + 16 + width, y + 10)),
        (x - 14, y + 5, "end", (x - 16 - width, y - 9, x - 12, y + 10)),
        (x, y - 16, "middle", (x - width / 2, y - 30, x + width / 2, y - 12)),
        (x, y + 28, "middle", (x - width / 2, y + 14, x + width / 2, y + 32)),
    )

    def cost(spot: tuple[float, float, str, Box]) -> float:
        box = spot[3]
        outside = max(-box[0], 0) + max(box[2] - WIDTH, 0)
        return sum(_overlap(box, other) for other in taken) + 100 * outside

    best = min(spots, key=cost)
    taken.append(best[3])
    return text(best[0], best[1], words, "halo strong", best[2])


def _bend(a: Point, b: Point, amount: float) -> Point:
    """Return the control point of a curve from `a` to `b` that leaves the straight line by `amount`."""
    length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
    across = ((a[1] - b[1]) / length, (b[0] - a[0]) / length)
    return (a[0] + b[0]) / 2 + across[0] * amount, (a[1] + b[1]) / 2 + across[1] * amount


class _Curve(NamedTuple):
    d: str
    points: list[Point]


def _curve(link: LinkMark, places: dict[str, Point], amount: float) -> _Curve:
    """Return the link as one curve a span, with points along it for what has to keep clear of it."""
    stops = [places[site] for site in link.path]
    d, points = f"M{stops[0][0]:.1f} {stops[0][1]:.1f}", []
    for a, b in pairwise(stops):
        c = _bend(a, b, amount)
        d += f"Q{c[0]:.1f} {c[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
        for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            u = 1 - t
            points.append(
                (u * u * a[0] + 2 * u * t * c[0] + t * t * b[0], u * u * a[1] + 2 * u * t * c[1] + t * t * b[1])
            )
    return _Curve(d, points)


def _around(point: Point, half: float) -> Box:
    return point[0] - half, point[1] - half, point[0] + half, point[1] + half


def _badge_place(points: list[Point], taken: list[Box]) -> Point:
    """Return the point nearest to the middle of the middle span where a badge covers the least; it is then taken."""
    spans = len(points) // 9
    middle = 4 + 9 * ((spans - 1) // 2)

    def cost(n: int) -> tuple[float, int]:
        return sum(_overlap(_around(points[n], 13), box) for box in taken), abs(n - middle)

    best = points[min(range(len(points)), key=cost)]
    taken.append(_around(best, 13))
    return best


def _drawn(links: Sequence[LinkMark], places: dict[str, Point]) -> list[tuple[LinkMark, _Curve]]:
    """Return the curve of every link; those between the same two ends are bent apart."""
    seen: dict[frozenset[str], int] = {}
    made = []
    for link in links:
        ends = frozenset((link.path[0], link.path[-1]))
        n = seen[ends] = seen.get(ends, -1) + 1
        straight = 0.0 if len(link.path) > 2 else 12.0
        made.append((link, _curve(link, places, straight + 34.0 * n)))
    return made


def site_map(sites: Sequence[SiteMark], links: Sequence[LinkMark], key: str = "chart-map") -> str:
    """Return the map. A link has the colour and dash of its approach and the number it has in the table."""
    if not sites:
        return ""
    places = _placed(sites)
    curves = _drawn([k for k in links if len(k.path) > 1 and all(p in places for p in k.path)], places)
    taken: list[Box] = [_around(place, 12) for place in places.values()]
    body = [_path(link, curve) for link, curve in curves]
    body += [_badge(link, _badge_place(curve.points, taken)) for link, curve in curves]
    taken += [_around(point, 7) for _, curve in curves for point in curve.points]
    for site in sites:
        x, y = places[site.id]
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" class="site"><title>{escape(site.kind)}</title></circle>')
        body.append(_label((x, y), fitting(site.name, 300), taken))
    body += _legend(links)
    words = "; ".join(f"{k.number} {k.name}: {k.words}" for k in links) or "no segments"
    rows = len({k.approach for k in links})
    return drawing(key, WIDTH, HEIGHT + 26 * ((rows + 1) // 2), f"Schematic map of {len(sites)} sites. {words}", body)


def _path(link: LinkMark, curve: _Curve) -> str:
    hint = escape(f"{link.name}: {link.words}")
    return f'<path d="{curve.d}" class="link a-{link.approach}"><title>{hint}</title></path>'


def _badge(link: LinkMark, at: Point) -> str:
    circle = f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="12" class="badge a-{link.approach}"/>'
    return circle + text(at[0], at[1] + 5, str(link.number), "strong", "middle")


def _legend(links: Sequence[LinkMark]) -> list[str]:
    made = []
    for n, (approach, words) in enumerate(dict.fromkeys((k.approach, k.words) for k in links)):
        x, y = (n % 2) * WIDTH / 2, HEIGHT + 14 + 26 * (n // 2)
        numbers = ", ".join(str(k.number) for k in links if k.approach == approach)
        made.append(f'<path d="M{x:.1f} {y - 5:.1f}h48" class="link a-{approach}"/>')
        made.append(text(x + 58, y, fitting(f"{words} ({numbers})", WIDTH / 2 - 70)))
    return made
