"""The measures of a roadmap as a picture that stands alone: the timeline of the report with its own colours."""

from collections.abc import Sequence
from datetime import date
from html import escape

from keystrand.formats.charts import WIDTH
from keystrand.formats.charts_curves import FONT
from keystrand.formats.charts_time import TimeRow, timeline, years_of

_MARGIN = 16
_STYLE = (
    f"text{{font:{FONT};fill:#1b1f24}}.muted{{fill:#57606a}}.strong{{font-weight:600}}.grid{{stroke:#d0d7de}}"
    ".bar{fill:#0b5cad}.late{fill:#fff;stroke:#a40e26;stroke-width:2.5;stroke-dasharray:5 3}"
    ".deadline{stroke:#8a4600;stroke-width:1.5;stroke-dasharray:5 4}.due{fill:#8a4600;font-weight:600}"
    ".today{stroke:#1b1f24;stroke-width:1.5}.own{fill:#8a4600;stroke:#fff;stroke-width:1.5}"
    ".halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
)


def gantt(rows: Sequence[TimeRow], deadlines: Sequence[date], as_of: date) -> str:
    """Return the chart of `rows` in their order. A measure that is late is drawn dashed and says so in words."""
    days = [day for row in rows for day in (row.finish, row.deadline) if day is not None]
    words = [f"{r.label}: {r.start} to {r.finish}" + (", late" if r.late else "") for r in rows]
    drawn = timeline(rows, deadlines, as_of, years_of(as_of, [*days, *deadlines]), "gantt", "")
    head, _, body = drawn.partition(">")
    height = float(head.partition('viewBox="0 0 ')[2].split('"')[0].split()[1])
    wide, high = WIDTH + 2 * _MARGIN, height + 2 * _MARGIN
    title, end, shapes = body.partition("</title>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-_MARGIN} {-_MARGIN} {wide:.0f} {high:.0f}" '
        f'width="{wide:.0f}" height="{high:.0f}" role="img" aria-labelledby="gantt-title gantt-text">'
        f'{title}{end}<desc id="gantt-text">{escape("; ".join(words))}</desc><style>{_STYLE}</style>'
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" fill="#ffffff"/>{shapes}'
    )
