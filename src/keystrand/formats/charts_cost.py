"""Charts of a cost: what moves it most, and what each step saves for its effort. SVG files of their own."""

from html import escape

from keystrand.formats.charts_curves import FONT
from keystrand.formats.svg import fitting, line, nice_step, rect, text
from keystrand.formats.wording import estimate_text, two_figures
from keystrand.model.stages.costed import CostReport, FrontierStep, Swing

WIDTH = 1040.0
_LEFT, _RIGHT, _TOP, _STEP = 420.0, 24.0, 84.0, 46.0
_FRONTIER_HEIGHT, _FRONTIER_LEFT = 420.0, 96.0
MOST_BARS, MOST_NAMES = 15, 8
_STYLE = (
    f"text{{font:{FONT}}}text{{fill:#1b1f24}}.muted{{fill:#57606a}}.strong{{font-weight:600;font-size:17px}}"
    ".grid{stroke:#d8dee4}.alone{fill:#0b5cad}.together{fill:none;stroke:#b3420f;stroke-width:2}"
    ".middle{stroke:#1b1f24;stroke-width:1.6;stroke-dasharray:4 4}.path{fill:none;stroke:#0b5cad;stroke-width:2.4}"
    ".dot{fill:#0b5cad}.link{fill:#ffffff;stroke:#b3420f;stroke-width:2.4}"
)


def _file(width: float, height: float, title: str, body: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -4 {width + 32:.0f} {height:.0f}" '
        f'width="{width + 32:.0f}" height="{height:.0f}" role="img"><title>{escape(title)}</title>'
        f'<style>{_STYLE}</style><rect x="-16" y="-4" width="100%" height="100%" fill="#ffffff"/>'
        f"{''.join(body)}</svg>\n"
    )


def tornado_chart(report: CostReport) -> str:
    """Return the inputs that move the plan's cost most: full bars alone, open bars with what moves with them."""
    shown = report.swings[:MOST_BARS]
    ends = [value for one in shown for value in (*one.alone, *one.together)] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    scale = (WIDTH - _LEFT - _RIGHT) / ((high - low) or 1.0)
    bottom = _TOP + len(shown) * _STEP
    title = "What moves the cost of the plan"
    body = [
        text(0, 24, title, "strong"),
        text(
            0, 48, f"Present value, {report.currency}. Each input goes from its 10th to its 90th percentile.", "muted"
        ),
        text(0, 68, "Full bar: alone. Open bar: with all that moves with it.", "muted"),
        *_axis(low, high, scale, bottom),
    ]
    for n, one in enumerate(shown):
        body += _swing(one, _TOP + n * _STEP, low, scale)
    return _file(WIDTH, bottom + 44, title, body)


def _axis(low: float, high: float, scale: float, bottom: float) -> list[str]:
    step = nice_step((high - low) or 1.0)
    first = int(low // step) + (low % step > 0)
    made = []
    for n in range(first, int(high // step) + 1):
        x = _LEFT + (n * step - low) * scale
        made += [line(x, _TOP - 6, x, bottom, "grid"), text(x, bottom + 20, two_figures(n * step), "muted", "middle")]
    return made


def _swing(one: Swing, y: float, low: float, scale: float) -> list[str]:
    (a, b), (c, d) = sorted(one.alone), sorted(one.together)
    hint = f"{one.name}: {two_figures(one.alone[0])} to {two_figures(one.alone[1])}"
    return [
        text(0, y + 17, fitting(one.name, _LEFT - 16)),
        text(0, y + 34, fitting(f"{two_figures(one.low_at)} to {two_figures(one.high_at)} {one.unit}", _LEFT - 16),
             "muted"),
        rect(_LEFT + (a - low) * scale, y + 8, max((b - a) * scale, 1.5), 18, "alone", hint),
        rect(_LEFT + (c - low) * scale, y + 4, max((d - c) * scale, 1.5), 26, "together"),
    ]  # fmt: skip


def frontier_chart(report: CostReport) -> str:
    """Return the path of the steps: effort to the right, what is saved upward. Dots are systems, rings are links."""
    title = "Data-years saved for operating hours a year"
    most_hours = max([one.operation.value for one in report.steps], default=1.0) or 1.0
    most_saved = max([one.saved.value for one in report.steps], default=1.0) or 1.0
    across = (WIDTH - _FRONTIER_LEFT - 220) / most_hours
    up = _FRONTIER_HEIGHT / most_saved
    bottom = _TOP + _FRONTIER_HEIGHT
    body = [
        text(0, 24, title, "strong"),
        text(
            0,
            48,
            "Medians, the best step first; ranges are in the table. Dot: a system that migrates. Ring: a quantum link.",
            "muted",
        ),
        *_grid(most_hours, most_saved, across, up, bottom),
        *_path(report.steps, across, up, bottom),
    ]
    return _file(WIDTH, bottom + 64, title, body)


def _grid(hours: float, saved: float, across: float, up: float, bottom: float) -> list[str]:
    made = [
        text(_FRONTIER_LEFT, bottom + 46, "person-hours a year", "muted"),
        text(0, _TOP - 12, "data-years", "muted"),
    ]
    for n in range(int(hours / nice_step(hours)) + 1):
        x = _FRONTIER_LEFT + n * nice_step(hours) * across
        made += [
            line(x, _TOP, x, bottom, "grid"),
            text(x, bottom + 22, two_figures(n * nice_step(hours)), "muted", "middle"),
        ]
    for n in range(int(saved / nice_step(saved)) + 1):
        y = bottom - n * nice_step(saved) * up
        made += [line(_FRONTIER_LEFT, y, WIDTH - 220, y, "grid"),
                 text(_FRONTIER_LEFT - 8, y + 5, two_figures(n * nice_step(saved)), "muted", "end")]  # fmt: skip
    return made


def _path(steps: tuple[FrontierStep, ...], across: float, up: float, bottom: float) -> list[str]:
    places = [(_FRONTIER_LEFT + one.operation.value * across, bottom - one.saved.value * up) for one in steps]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(_FRONTIER_LEFT, bottom), *places])
    made = [f'<polyline points="{points}" class="path"/>']
    rises = [b.saved.value - a for a, b in zip([0.0, *(one.saved.value for one in steps)], steps, strict=False)]
    named = sorted(range(len(steps)), key=lambda n: -rises[n])[:MOST_NAMES]
    for n, (one, (x, y)) in enumerate(zip(steps, places, strict=True)):
        kind = "dot" if one.what.startswith("post-quantum") else "link"
        hint = f"{one.step}. {one.subject}, {one.what}: {estimate_text(one.saved)} so far"
        made.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"><title>{escape(hint)}</title></circle>')
        if n in named or kind == "link":
            made.append(text(x + 8, y + 15, fitting(one.subject, 200), "muted"))
    return made
