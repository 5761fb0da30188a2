"""Curves on a logarithmic scale, as an SVG file of its own. Lines differ by dashes, not by colour alone."""

from collections.abc import Sequence
from html import escape
from itertools import cycle
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from keystrand.formats.svg import line, nice_step, text

WIDTH, HEIGHT = 1040.0, 636.0
_LEFT, _TOP, _BOTTOM, _RIGHT = 84.0, 64.0, 528.0, 664.0
_LEGEND_STEP = 30.0
_DECADES = 12
"""Shown at most below the largest value: smaller rates are of no use to anybody."""

_INKS = ("#0b5cad", "#b3420f", "#1c7a3f", "#7a2a9a", "#8a6d00", "#00717a", "#a3195b", "#444f5a")
_LIMIT_DASHES = ("4 4", "12 5", "2 3", "12 4 2 4")
_DASHES = ("", "9 4", "2 4", "12 4 2 4", "5 3", "16 5", "2 2 8 2", "6 2 2 2 2 2")
FONT = "14px system-ui,'DejaVu Sans','Liberation Sans','Noto Sans',Arial,Helvetica,sans-serif"
"""Faces by name, since not every program that draws SVG knows which one the last word means."""
_STYLE = (
    f"text{{font:{FONT}}}text{{fill:#1b1f24}}"
    ".muted{fill:#57606a}.strong{font-weight:600;"
    "font-size:17px}.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#57606a;stroke-width:1.2}"
    ".curve{fill:none;stroke-width:2.4;stroke-linejoin:round}.limit{fill:none;stroke-width:1.6}"
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Line(NamedTuple):
    """A curve: places on the axes, of one length; a `limit` is drawn thin and black, for nothing lies above it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    limit: bool = False


class _Scale(NamedTuple):
    x_low: float
    x_high: float
    low: int
    high: int

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (_RIGHT - _LEFT)

    def y(self, value: float) -> float:
        share = (log10(value) - self.low) / (self.high - self.low)
        return _BOTTOM - min(max(share, 0.0), 1.0) * (_BOTTOM - _TOP)


def curve_chart(lines: Sequence[Line], *, title: str, x_label: str, y_label: str, notes: Sequence[str] = ()) -> str:
    """Return the SVG file. A curve ends where its value is 0 or below the lowest decade; such a place has no point.

    Raises `ValueError` where no line has a value above 0, or the axis has no length.
    """
    scale = _scale(lines)
    body = [text(_LEFT, 26, title, "strong"), text(_LEFT, 48, y_label, "muted"), *_axes(scale, x_label)]
    styles, limits = cycle(zip(_INKS, _DASHES, strict=True)), cycle(_LIMIT_DASHES)
    legend_y = _TOP + 8
    for one in lines:
        ink, dash = ("#1b1f24", next(limits)) if one.limit else next(styles)
        body += _curve(one, scale, ink, dash, legend_y)
        legend_y += _LEGEND_STEP
    body += [text(_LEFT, HEIGHT - 16 + 20 * (n - len(notes) + 1), note, "muted") for n, note in enumerate(notes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" width="{WIDTH:.0f}" '
        f'height="{HEIGHT:.0f}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


def _scale(lines: Sequence[Line]) -> _Scale:
    shown = [value for one in lines for value in one.y if value > 0 and isfinite(value)]
    places = [value for one in lines for value in one.x]
    if not shown or min(places) == max(places):
        raise ValueError("there is nothing to draw")
    high = ceil(log10(max(shown)) - 1e-9)
    low = max(floor(log10(min(shown))), high - _DECADES)
    return _Scale(min(places), max(places), low, max(high, low + 1))


def _axes(scale: _Scale, x_label: str) -> list[str]:
    made = []
    for decade in range(scale.low, scale.high + 1):
        y = scale.y(10.0**decade)
        made += [line(_LEFT, y, _RIGHT, y, "grid"),
                 text(_LEFT - 10, y + 5, f"10{str(decade).translate(_SUPERSCRIPTS)}", "muted", "end")]  # fmt: skip
    step = nice_step(scale.x_high - scale.x_low, 8)
    for n in range(ceil(scale.x_low / step - 1e-9), floor(scale.x_high / step + 1e-9) + 1):
        x = scale.x(n * step)
        made += [line(x, _TOP, x, _BOTTOM, "grid"), text(x, _BOTTOM + 20, f"{n * step:g}", "muted", "middle")]
    made.append(line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"))
    return [*made, text((_LEFT + _RIGHT) / 2, _BOTTOM + 42, x_label, "muted", "middle")]


def _curve(one: Line, scale: _Scale, ink: str, dash: str, legend_y: float) -> list[str]:
    kind = "limit" if one.limit else "curve"
    look = f'class="{kind}" stroke="{ink}"' + (f' stroke-dasharray="{dash}"' if dash else "")
    floor_value = 10.0**scale.low
    parts: list[list[str]] = [[]]
    for x, y in zip(one.x, one.y, strict=True):
        if y >= floor_value and isfinite(y):
            parts[-1].append(f"{scale.x(x):.1f},{scale.y(y):.1f}")
        elif parts[-1]:
            parts.append([])
    made = [f'<polyline points="{" ".join(part)}" {look}/>' for part in parts if len(part) > 1]
    alone = [part[0].split(",") for part in parts if len(part) == 1]
    made += [f'<circle cx="{x}" cy="{y}" r="3" fill="{ink}"/>' for x, y in alone]
    at = _RIGHT + 24
    swatch = f'<line x1="{at}" y1="{legend_y}" x2="{at + 36}" y2="{legend_y}" {look}/>'
    words = one.label if made else f"{one.label}: no key"
    return [*made, swatch, text(at + 46, legend_y + 5, words)]
