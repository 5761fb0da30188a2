"""Charts over the years: the first measures against their deadlines, and how many measures stay open."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from keystrand.formats.charts import WIDTH
from keystrand.formats.svg import drawing, line, rect, text, wrapped
from keystrand.formats.wording import day_text, month_year, short_day

LEFT, RIGHT = 300.0, 84.0
_LABEL_ROOM = 92.0
"""Width of a deadline's label; two that stand closer go on two lines."""


class TimeRow(NamedTuple):
    """One measure with its dates."""

    label: str
    start: date
    finish: date
    deadline: date | None
    late: bool


class Years(NamedTuple):
    """The axis: whole years from `first` to `last`, the second one not included."""

    first: int
    last: int

    def x(self, day: date) -> float:
        """Return the place of `day` in user units."""
        start = date(self.first, 1, 1)
        share = (day - start).days / (date(self.last, 1, 1) - start).days
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)


def years_of(as_of: date, days: Sequence[date]) -> Years:
    """Return an axis that holds `as_of` and all `days`, with a year to spare."""
    held = [as_of, *days]
    return Years(min(held).year, min(max(held).year + 1, 9999))


def _axis(years: Years, top: float, bottom: float) -> list[str]:
    made = []
    every = 1 + (years.last - years.first) // 12
    for year in range(years.first, years.last + 1, every):
        x = years.x(date(year, 1, 1))
        made += [line(x, top, x, bottom, "grid"), text(x, bottom + 18, str(year), "muted", "middle")]
    return made


def _deadlines(years: Years, days: Sequence[date], top: float, bottom: float) -> list[str]:
    made, ends = [], [0.0, 0.0]
    for day in sorted(set(days)):
        x = years.x(day)
        row = next((n for n, end in enumerate(ends) if x - _LABEL_ROOM / 2 >= end), None)
        made.append(line(x, top - 6, x, bottom, "deadline"))
        if row is not None:
            ends[row] = x + _LABEL_ROOM / 2 + 6
            made.append(text(x, top - 12 - 17 * row, short_day(day), "due", "middle"))
    return made


def _today(years: Years, as_of: date, top: float, bottom: float) -> list[str]:
    x = years.x(as_of)
    return [line(x, top - 6, x, bottom, "today")]


def timeline(
    rows: Sequence[TimeRow],
    deadlines: Sequence[date],
    as_of: date,
    years: Years,
    key: str = "chart-timeline",
    beside: str = " Dates are in the table above.",
) -> str:
    """Return one bar a measure. Upright dashed lines are `deadlines`; a diamond is a measure's own; late is hatched.

    `beside`: where the same is said in words, for who does not see the drawing.
    """
    top, step = 52.0, 46.0
    bottom = top + len(rows) * step
    body = [
        text(0, 18, "Dashed: a rule’s deadline. Solid: today", "muted"),
        text(0, 36, "Diamond: the measure’s own deadline", "muted"),
    ]
    body += _axis(years, top, bottom) + _deadlines(years, deadlines, top, bottom) + _today(years, as_of, top, bottom)
    for n, row in enumerate(rows):
        body += _measure(row, years, top + n * step)
    late = sum(row.late for row in rows)
    title = f"Timeline of {len(rows)} measures, {late} of them later than their deadline.{beside}"
    return drawing(key, WIDTH, bottom + 28, title, body)


def _measure(row: TimeRow, years: Years, y: float) -> list[str]:
    made = [text(0, y + 20 + 17 * n, words) for n, words in enumerate(wrapped(row.label, LEFT - 24))]
    x, end = years.x(row.start), years.x(row.finish)
    kind = "bar late" if row.late else "bar"
    made.append(rect(x, y + 13, max(end - x, 4), 18, kind, f"{day_text(row.start)} to {day_text(row.finish)}"))
    beside = end + 8
    if row.deadline is not None:
        at = years.x(row.deadline)
        made.append(f'<path d="M{at:.1f} {y + 13:.1f}l8 9l-8 9l-8 -9z" class="own"/>')
        beside = at + 14 if abs(at - end) < 14 or end < at < end + 70 else beside
    shown = month_year(row.finish)
    made.append(text(beside, y + 27, f"{shown}, late" if row.late else shown, "halo strong" if row.late else "halo"))
    return made


def burndown(
    finishes: Sequence[date], deadlines: Sequence[date], as_of: date, years: Years, key: str = "chart-burndown"
) -> str:
    """Return how many measures are still open over the years, if each finishes as planned."""
    top, height = 52.0, 130.0
    bottom, total = top + height, len(finishes)
    scale = height / max(total, 1)
    path, open_ = f"M{years.x(as_of):.1f} {bottom:.1f}V{bottom - total * scale:.1f}", total
    for day in sorted(finishes):
        open_ -= 1
        path += f"H{years.x(day):.1f}V{bottom - open_ * scale:.1f}"
    body = [
        text(0, top + 16, "Measures still open", "strong"),
        text(0, top + 36, f"{total} today (solid line)", "muted"),
        *_axis(years, top, bottom),
        f'<path d="{path}Z" class="area"/>',
        *_deadlines(years, deadlines, top, bottom),
        *_today(years, as_of, top, bottom),
        *_levels(total, bottom, scale),
        *_still_open(finishes, deadlines, years, bottom, scale),
    ]
    left = "; ".join(f"{sum(f > d for f in finishes)} on {day_text(d)}" for d in sorted(set(deadlines)))
    return drawing(key, WIDTH, bottom + 28, f"Measures still open: {total} today; {left}.", body)


def _still_open(
    finishes: Sequence[date], deadlines: Sequence[date], years: Years, bottom: float, scale: float
) -> list[str]:
    """Return how many are open on each deadline, beside the line."""
    made = []
    for day in sorted(set(deadlines)):
        count = sum(finish > day for finish in finishes)
        made.append(text(years.x(day) + 6, bottom - count * scale - 8, f"{count} open", "halo strong"))
    return made


def _levels(total: int, bottom: float, scale: float) -> list[str]:
    marks = sorted({0, total})
    return [text(LEFT - 8, bottom - n * scale + 5, str(n), "muted", "end") for n in marks]
