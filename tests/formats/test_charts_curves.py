"""Curves as an SVG file: well-formed, complete, to scale, and honest about what has no value."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.charts_curves import Line, curve_chart

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*lines: Line) -> ET.Element:
    """Return the parsed chart of `lines`."""
    return ET.fromstring(curve_chart(lines, title="A & B", x_label="km", y_label="bits", notes=("one", "two")))  # noqa: S314  # our own drawing


def points(root: ET.Element) -> list[list[tuple[float, float]]]:
    """Return the points of each line drawn."""
    texts = [one.attrib["points"] for one in root.iter(f"{SVG}polyline")]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", text)] for text in texts]


def test_a_decade_is_as_tall_as_the_next() -> None:
    """The scale is logarithmic, and larger values stand higher."""
    (line,) = points(drawn(Line("one", [0, 50, 100], [1e-1, 1e-2, 1e-3])))
    heights = [y for _, y in line]
    assert heights == sorted(heights)
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)


def test_a_curve_ends_where_there_is_no_key() -> None:
    """Zeros are never drawn as small values; a line without any value says so."""
    root = drawn(Line("dies", [0, 50, 100, 150], [1e-1, 1e-2, 0, 0]), Line("dead", [0, 150], [0, 0]))
    (line,) = points(root)
    assert len(line) == 2
    words = [one.text for one in root.iter(f"{SVG}text")]
    assert "dead: no key" in words
    assert {"A & B", "km", "bits", "one", "two", "dies"} <= set(words)


def test_curves_differ_without_colour() -> None:
    """Each has its own dashes."""
    root = drawn(*(Line(f"c{n}", [0, 1], [1, 0.1]) for n in range(8)))
    dashes = [one.get("stroke-dasharray", "") for one in root.iter(f"{SVG}polyline")]
    assert len(set(dashes)) == 8


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30).filter(lambda values: max(values) > 1e-300))
def test_everything_stays_inside_the_axes(values: list[float]) -> None:
    """Whatever the values."""
    for line in points(drawn(Line("any", list(range(len(values))), values))):
        assert all(84 <= x <= 664 and 64 <= y <= 528 for x, y in line)


@pytest.mark.parametrize("line", [Line("zero", [0, 1], [0, 0]), Line("point", [1, 1], [1, 1])])
def test_nothing_to_draw(line: Line) -> None:
    """Is an error, not an empty picture."""
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn(line)


def test_a_value_alone_is_a_dot_and_not_no_key() -> None:
    """A curve with key at one place only does not say that there is none."""
    root = drawn(Line("once", [0, 50], [1e-1, 0]), Line("long", [0, 50], [1e-1, 1e-2]))
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert "once" in [one.text for one in root.iter(f"{SVG}text")]
