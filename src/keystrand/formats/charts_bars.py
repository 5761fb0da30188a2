"""Bars with their words in a column, as an SVG file of its own: losses against a reach, a sum and its deductions."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from keystrand.formats.charts_curves import FONT
from keystrand.formats.svg import fitting, line, nice_step, rect, text

WIDTH = 960.0
_LEFT, _RIGHT, _TOP, _STEP, _BAR = 190.0, 290.0, 76.0, 40.0, 22.0
_STYLE = (
    f"text{{font:{FONT}}}text{{fill:#1b1f24}}.muted{{fill:#57606a}}.strong{{font-weight:600;font-size:17px}}"
    ".grid{stroke:#d8dee4}.good{fill:#0b5cad}.bad{fill:#b3420f}.taken{fill:#9aa4ae}.limit{stroke:#1b1f24;"
    "stroke-width:1.6;stroke-dasharray:4 4}"
)


class Bar(NamedTuple):
    """A bar from `start` to `end` on the axis, with its words. `kind`: good, bad or taken (away)."""

    label: str
    start: float
    end: float
    words: str
    kind: str = "good"


def bar_chart(
    bars: Sequence[Bar], *, title: str, axis: str, limit: tuple[float, str] | None = None, notes: Sequence[str] = ()
) -> str:
    """Return the SVG file; `limit` is a place on the axis and its name. Raises `ValueError` where nothing has a length.

    Kinds are told by their words too, never by colour alone.
    """
    most = max([*(max(one.start, one.end) for one in bars), limit[0] if limit else 0.0], default=0.0)
    if most <= 0:
        raise ValueError("there is nothing to draw")
    scale = (WIDTH - _LEFT - _RIGHT) / most
    bottom = _TOP + len(bars) * _STEP
    body = [text(0, 24, title, "strong"), *_ruler(most, scale, bottom, axis)]
    for n, one in enumerate(bars):
        body += _bar(one, _TOP + n * _STEP, scale)
    if limit:
        x = _LEFT + limit[0] * scale
        body += [line(x, _TOP - 12, x, bottom, "limit"), text(x, _TOP - 18, limit[1], "muted", "middle")]
    body += [text(0, bottom + 66 + 20 * n, note, "muted") for n, note in enumerate(notes)]
    height = bottom + 56 + 20 * len(notes) + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -4 {WIDTH + 32:.0f} {height:.0f}" '
        f'width="{WIDTH + 32:.0f}" height="{height:.0f}" role="img"><title>{escape(title)}</title>'
        f'<style>{_STYLE}</style><rect x="-16" y="-4" width="100%" height="100%" fill="#ffffff"/>'
        f"{''.join(body)}</svg>\n"
    )


def _ruler(most: float, scale: float, bottom: float, axis: str) -> list[str]:
    made, step, n = [], nice_step(most), 0
    while n * step <= most * 1.0001:
        x = _LEFT + n * step * scale
        made += [
            line(x, _TOP - 8, x, bottom, "grid"),
            text(x, bottom + 18, f"{n * step:,g}" if most < 1e4 else f"{n * step:,.0f}", "muted", "middle"),
        ]
        n += 1
    return [*made, text(_LEFT, bottom + 40, axis, "muted")]


def _bar(one: Bar, y: float, scale: float) -> list[str]:
    low, high = sorted((one.start, one.end))
    return [
        text(0, y + 16, fitting(one.label, _LEFT - 16)),
        rect(_LEFT + low * scale, y, max((high - low) * scale, 1.5), _BAR, one.kind, f"{one.label}: {one.words}"),
        text(WIDTH - _RIGHT + 20, y + 16, fitting(one.words, _RIGHT - 20)),
    ]
