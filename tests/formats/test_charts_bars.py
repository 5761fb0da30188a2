"""Bars as an SVG file: to scale, with their words, and a limit where it is."""

from xml.etree import ElementTree as ET

import pytest

from keystrand.formats.charts_bars import Bar, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def widths(root: ET.Element) -> list[float]:
    """Return the widths of the bars, in order."""
    kinds = ("good", "bad", "taken")
    return [float(one.attrib["width"]) for one in root.iter(f"{SVG}rect") if one.get("class") in kinds]


def test_bars_are_to_scale_and_say_what_they_are() -> None:
    """Twice the value, twice as long; words and limit are there."""
    bars = (Bar("one", 0, 5, "5 dB"), Bar("two <b>", 0, 10, "10 dB", "bad"), Bar("part", 5, 10, "-5", "taken"))
    svg = bar_chart(bars, title="T", axis="dB", limit=(8.0, "reach"), notes=("note",))
    root = ET.fromstring(svg)  # noqa: S314  # our own drawing
    one, two, part = widths(root)
    assert two == pytest.approx(2 * one, abs=0.2)
    assert part == pytest.approx(one, abs=0.2)
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert {"one", "two <b>", "10 dB", "reach", "note", "dB"} <= words


def test_nothing_to_draw() -> None:
    """Is an error, not an empty picture."""
    with pytest.raises(ValueError, match="nothing to draw"):
        bar_chart([Bar("zero", 0, 0, "0")], title="T", axis="dB")
