"""The chart of a roadmap that stands alone: sound XML, with the dates in words for who does not see it."""

from datetime import date
from xml.etree import ElementTree as ET

from keystrand.formats.charts_gantt import gantt
from keystrand.formats.charts_time import TimeRow

ROWS = [
    TimeRow("Move <keys> & more", date(2027, 1, 1), date(2028, 1, 1), date(2030, 12, 31), late=False),
    TimeRow("Move signatures", date(2027, 1, 1), date(2031, 6, 30), date(2030, 12, 31), late=True),
]
SVG = "{http://www.w3.org/2000/svg}"


def test_it_is_sound_and_tells_by_more_than_colour() -> None:
    """Title and description are named by the drawing; late is dashed and written."""
    drawn = gantt(ROWS, [date(2030, 12, 31)], date(2026, 11, 26))
    root = ET.fromstring(drawn)  # noqa: S314 - our own drawing
    assert root.get("role") == "img"
    named = [root.find(f".//*[@id='{name}']") for name in (root.get("aria-labelledby") or "").split()]
    assert all(one is not None and one.text for one in named)
    described = root.find(f"{SVG}desc")
    assert described is not None
    assert described.text == (
        "Move <keys> & more: 2027-01-01 to 2028-01-01; Move signatures: 2027-01-01 to 2031-06-30, late"
    )
    assert "Jun 2031, late" in drawn
    assert "stroke-dasharray" in drawn


def test_a_roadmap_without_measures_is_drawn_too() -> None:
    """An estate with nothing to do has an empty chart."""
    assert ET.fromstring(gantt([], [], date(2026, 11, 26))).tag == f"{SVG}svg"  # noqa: S314 - our own drawing
