"""The records that the page on exposure prints are complete as printed."""

import re
from pathlib import Path

from keystrand.formats.catalogue import curve_from_toml, harvest_from_toml

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "measure-exposure.md"


def test_the_curve_and_the_likelihoods_of_the_page_are_ones() -> None:
    """A reader may copy them."""
    curve, likelihoods = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert curve_from_toml(curve, PAGE.name).id == "house-2026"
    assert harvest_from_toml(likelihoods, PAGE.name).id == "house"
