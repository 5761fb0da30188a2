"""Charts of verdicts, exposure and the pilot's scorecard: rows in, SVG text out. Nothing is told by colour alone."""

from collections.abc import Sequence
from typing import NamedTuple

from keystrand.formats.svg import SIZE, dots, drawing, fitting, hatch, line, nice_step, rect, text, wrapped
from keystrand.formats.wording import interval_text, two_figures
from keystrand.model.units import Interval

WIDTH = 880.0
"""Width of every chart in user units; the page scales it to the column."""

VERDICTS = (
    ("vulnerable", "Broken by a quantum computer"),
    ("unknown", "Not known"),
    ("mixed", "Quantum-safe, old way not ruled out"),
    ("safe", "Quantum-safe"),
)


class VerdictRow(NamedTuple):
    """How many systems stand where for one function; the counts in the order of `VERDICTS`."""

    label: str
    counts: tuple[int, int, int, int]


class ExposureRow(NamedTuple):
    """One data class in one system. Intervals in data-years."""

    system: str
    detail: str
    sunk: Interval
    avoidable: Interval
    judged: bool = True


class ScoreRow(NamedTuple):
    """One criterion. `value`, `low`, `high` and `bound` share a unit; None where there is none to show."""

    name: str
    goal: str
    state: str
    value: float | None
    low: float | None
    high: float | None
    bound: float | None
    shown: tuple[str, ...]


def _swatches(items: Sequence[tuple[str, str]], y: float) -> list[str]:
    """Return a legend on one line: a swatch of each class with its words."""
    made, x = [], 0.0
    for kind, words in items:
        made += [rect(x, y - 12, 22, 14, kind), text(x + 29, y, words, "muted")]
        x += 29 + len(words) * SIZE * 0.56 + 22
    return made


def verdict_bars(rows: Sequence[VerdictRow], key: str = "chart-verdicts") -> str:
    """Return one stacked bar a function: systems by verdict, each part with its count."""
    left, top, step, height = 130.0, 44.0, 52.0, 34.0
    body = _swatches([(f"v-{name}", words) for name, words in VERDICTS], 16)
    most = max([sum(row.counts) for row in rows] + [1])
    for n, row in enumerate(rows):
        y = top + n * step
        total = sum(row.counts)
        body += [text(0, y + 15, row.label, "strong"), text(0, y + 32, f"{total} systems", "muted")]
        body += _parts(row, left, y, height, (WIDTH - left) / most)
    words = "; ".join(f"{r.label}: " + ", ".join(f"{c} {w}" for c, (_, w) in zip(r.counts, VERDICTS, strict=True))
                      for r in rows)  # fmt: skip
    patterns = (dots("p-unknown", "ink-unknown"), hatch("p-mixed", "ink-safe"))
    return drawing(key, WIDTH, top + len(rows) * step, f"Systems by verdict. {words}", body, patterns)


def _parts(row: VerdictRow, x: float, y: float, height: float, scale: float) -> list[str]:
    made: list[str] = []
    for count, (name, words) in zip(row.counts, VERDICTS, strict=True):
        if count:
            width, label = count * scale - 2, str(count)
            made.append(rect(x, y, width, height, f"v-{name}", f"{row.label}, {words}: {count}"))
            if name in ("unknown", "mixed"):  # a plate keeps the number readable on a pattern
                made.append(rect(x + width / 2 - 6 - 5 * len(label), y + 6, 12 + 10 * len(label), height - 12, "paper"))
            made.append(text(x + width / 2, y + height / 2 + 6, label, f"count on-{name}", "middle"))
            x += count * scale
    return made


def exposure_bars(rows: Sequence[ExposureRow], key: str = "chart-exposure") -> str:
    """Return two bars a row, sunk above avoidable: full up to the low end, light up to the high end."""
    left, right, top, step = 336.0, 120.0, 44.0, 60.0
    most = max([r.sunk.high for r in rows] + [r.avoidable.high for r in rows] + [1e-9])
    tick = nice_step(most)
    scale = (WIDTH - left - right) / max(most, tick)
    bottom = top + len(rows) * step
    body = _swatches([("x-sunk", "Sunk: may already be recorded"), ("x-avoidable", "Avoidable: still to come"),
                      ("x-range", "between the low and the high end")], 16)  # fmt: skip
    body += _ruler(left, top, bottom, tick, scale, most)
    for n, row in enumerate(rows):
        y = top + n * step
        name = wrapped(row.system, left - 16)
        first = y + (22 if len(name) == 1 else 14)
        body += [text(0, first + 17 * m, words, "strong") for m, words in enumerate(name)]
        body.append(text(0, first + 17 * len(name) + 1, fitting(row.detail, left - 20), "muted"))
        body += _range_bar(left, y + 9, row.sunk, scale, "x-sunk", f"{row.system}, sunk")
        body += _range_bar(left, y + 29, row.avoidable, scale, "x-avoidable", f"{row.system}, avoidable")
        if not row.judged:
            beside = left + row.avoidable.high * scale + 20 + len(interval_text(row.avoidable)) * SIZE * 0.56
            body.append(text(beside, y + 42, "not judged", "muted"))
    body.append(
        text(left, bottom + 40, "Expected data-years: one year’s output of this data, readable for one year", "muted")
    )
    title = f"Exposure of {len(rows)} data classes, sunk and avoidable, as ranges. The figures are in the table below."
    return drawing(key, WIDTH, bottom + 50, title, body, (hatch("p-sunk", "ink-sunk"),))


def _ruler(left: float, top: float, bottom: float, tick: float, scale: float, most: float) -> list[str]:
    made, n = [], 0
    while n * tick <= most * 1.0001:
        x = left + n * tick * scale
        made += [line(x, top, x, bottom, "grid"), text(x, bottom + 18, two_figures(n * tick), "muted", "middle")]
        n += 1
    return made


def _range_bar(x: float, y: float, value: Interval, scale: float, kind: str, hint: str) -> list[str]:
    low, high = value.low * scale, value.high * scale
    words = interval_text(value)
    return [
        rect(x, y, low, 16, kind, f"{hint}: {words} data-years"),
        rect(x + low, y, high - low, 16, f"{kind} light"),
        line(x + high, y - 1, x + high, y + 17, "end"),
        text(x + high + 8, y + 13, words),
    ]


_MARKS = {"met": "✓ Met", "missed": "✗ Missed", "not-measured": "? Not measured"}


def scorecard(rows: Sequence[ScoreRow], key: str = "chart-scorecard") -> str:
    """Return one scale a criterion: the measured value with its spread, and the goal as an upright line."""
    y, left, width = 8.0, 300.0, 290.0
    body: list[str] = []
    for row in rows:
        body.append(text(0, y + 22, fitting(row.name, left - 24), "strong"))
        body.append(text(0, y + 42, fitting(row.goal, left - 24), "muted"))
        body += _scale(row, left, y + 26, width)
        x = left + width + 24
        body.append(text(x, y + 22, _MARKS[row.state], f"strong s-{row.state}"))
        body += [text(x, y + 41 + 17 * m, fitting(part, WIDTH - x), "muted") for m, part in enumerate(row.shown)]
        y += 76 + 17 * max(len(row.shown) - 2, 0)
        body.append(line(0, y - 4, WIDTH, y - 4, "grid"))
    title = "Pilot scorecard: " + "; ".join(
        f"{r.name}, {r.goal}: {_MARKS[r.state][2:]}, {' '.join(r.shown)}" for r in rows
    )
    return drawing(key, WIDTH, y, title, body)


def _scale(row: ScoreRow, x: float, y: float, width: float) -> list[str]:
    """Return the scale of one criterion, from zero to a little beyond the largest number on it."""
    numbers = [v for v in (row.value, row.high, row.bound) if v is not None]
    if row.value is None or not max(numbers, default=0) > 0:
        return []
    scale = width / (max(numbers) * 1.15)
    made = [line(x, y, x + width, y, "track")]
    if row.bound is not None:
        at = x + row.bound * scale
        made += [line(at, y - 13, at, y + 13, "goal"), text(at, y + 27, "goal", "muted small", "middle")]
    low, high = (row.value if v is None else v for v in (row.low, row.high))
    made.append(line(x + low * scale, y, x + high * scale, y, f"spread s-{row.state}"))
    made.append(f'<circle cx="{x + row.value * scale:.1f}" cy="{y:.1f}" r="6" class="dot s-{row.state}"/>')
    return made
