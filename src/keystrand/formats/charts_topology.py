"""The map of a quantum network: places where they are, fibres, and the systems on them. Nothing by colour alone."""

import math
from collections.abc import Mapping
from html import escape
from itertools import pairwise

from keystrand.formats.charts_curves import FONT
from keystrand.formats.svg import fitting, text
from keystrand.formats.wording import counted
from keystrand.model.stages.designed import BuiltLink, TopologyDesign

_WIDTH, _MARGIN, _LEGEND = 1000.0, 90.0, 150.0
_MOST_HEIGHT, _LEAST_HEIGHT = 1100.0, 320.0
_STYLE = (
    f"text{{font:{FONT};fill:#1b1f24}}.small{{font-size:11px}}"
    ".halo{paint-order:stroke;stroke:#fff;stroke-width:4px}"
    ".fibre{stroke:#8c959f;stroke-width:1;stroke-dasharray:2 4;fill:none}"
    ".link{stroke:#0b5cad;stroke-width:4;fill:none}"
    ".bypass{stroke:#b3420f;stroke-width:4;stroke-dasharray:10 5;fill:none}"
    ".end{fill:#0b5cad}.relay{fill:#fff;stroke:#1b1f24;stroke-width:3}.both{fill:#0b5cad;stroke:#1b1f24;stroke-width:3}"
    ".plain{fill:#8c959f}.paper{fill:#fff}"
)
Point = tuple[float, float]
_ROLES = {
    "end": "needs keys",
    "trusted node": "trusted node: sees the keys it passes on",
    "end and trusted node": "needs keys, and is a trusted node",
    "bypassed": "bypassed: light passes, no key is seen",
    "not used": "not used",
}


def topology_map(design: TopologyDesign, roles: Mapping[str, str]) -> str:
    """Return the map as an SVG file: north is up; a link is numbered with its systems and huts in its title."""
    at, height = _placed(design)
    body = [_line("fibre", (at[f.a], at[f.b]), f"fibre {f.id}") for f in design.network.fibres]
    body += [_link(link, at) for link in design.links]
    body += [_badge(link, at) for link in design.links]
    for name, role in sorted(roles.items()):
        body += [_mark(at[name], role, name)]
        if role != "not used" or len(roles) <= 30:
            body.append(text(at[name][0] + 9, at[name][1] - 7, fitting(name, 160), "halo small"))
    body += _legend(height)
    title = (
        f"Map of the quantum network on {design.network.name}: {counted(len(design.links), 'link')}, "
        f"{counted(len(design.relays), 'trusted node')}, {counted(len(design.unserved), 'need')} not served"
    )
    whole = height + _LEGEND
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {whole:.0f}" width="{_WIDTH:.0f}" '
        f'height="{whole:.0f}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" class="paper"/>{"".join(body)}</svg>\n'
    )


def _placed(design: TopologyDesign) -> tuple[dict[str, Point], float]:
    """Return where each place is drawn, and the height. A degree east shrinks with the cosine of the latitude."""
    nodes = design.network.nodes
    middle = sum(node.latitude for node in nodes) / len(nodes)
    shrink = max(math.cos(math.radians(middle)), 0.01)
    xs, ys = [node.longitude * shrink for node in nodes], [-node.latitude for node in nodes]
    wide, high = (max(xs) - min(xs)) or 1e-9, (max(ys) - min(ys)) or 1e-9
    scale = min((_WIDTH - 2 * _MARGIN) / wide, (_MOST_HEIGHT - 2 * _MARGIN) / high)
    height = max(high * scale + 2 * _MARGIN, _LEAST_HEIGHT)
    left, top = (_WIDTH - wide * scale) / 2, (height - high * scale) / 2
    return {
        node.id: (left + (x - min(xs)) * scale, top + (y - min(ys)) * scale)
        for node, x, y in zip(nodes, xs, ys, strict=True)
    }, height


def _line(kind: str, points: tuple[Point, ...], hint: str) -> str:
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="{d}" class="{kind}"><title>{escape(hint)}</title></path>'


def _stops(link: BuiltLink, at: Mapping[str, Point]) -> tuple[Point, ...]:
    return tuple(at[name] for name in (link.a, *link.bypassed, link.b))


def _link(link: BuiltLink, at: Mapping[str, Point]) -> str:
    kind = "bypass" if link.bypassed else "link"
    hint = f"{link.a} - {link.b}: {counted(link.systems, 'system')}, {counted(link.spans - 1, 'hut')}"
    return _line(kind, _stops(link, at), hint + (f", past {', '.join(link.bypassed)}" if link.bypassed else ""))


def _badge(link: BuiltLink, at: Mapping[str, Point]) -> str:
    """Return the number of systems, and after a plus the huts, on the middle of the link."""
    (x1, y1), (x2, y2) = next(pairwise(_stops(link, at)))
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    words = f"{link.systems}" + (f"+{link.spans - 1}h" if link.spans > 1 else "")
    half = 5 + 4 * len(words)
    return f'<rect x="{x - half:.1f}" y="{y - 9:.1f}" width="{2 * half}" height="18" rx="4" class="paper"/>' + text(
        x, y + 4, words, "small", "middle"
    )


def _mark(at: Point, role: str, hint: str) -> str:
    x, y = at
    shape = {
        "end": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" class="end">',
        "trusted node": f'<rect x="{x - 7:.1f}" y="{y - 7:.1f}" width="14" height="14" class="relay">',
        "end and trusted node": f'<rect x="{x - 7:.1f}" y="{y - 7:.1f}" width="14" height="14" class="both">',
        "bypassed": f'<path d="M{x:.1f} {y - 8:.1f}l8 14h-16z" class="relay">',
        "not used": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="plain">',
    }[role]
    return f"{shape}<title>{escape(f'{hint}: {_ROLES[role]}')}</title></{shape[1:].split()[0]}>"


def _legend(top: float) -> list[str]:
    made = []
    for n, (role, words) in enumerate(_ROLES.items()):
        y = top + 16 + 24 * n
        made += [_mark((40.0, y - 4), role, "legend"), text(62, y, words)]
    lines = (("link", "systems, then +h: huts on the way"), ("bypass", "systems past a place, without a stop there"),
             ("fibre", "fibre there is"))  # fmt: skip
    for n, (kind, words) in enumerate(lines):
        y = top + 16 + 24 * n
        made += [_line(kind, ((520.0, y - 4), (580.0, y - 4)), words), text(592, y, words)]
    return made
