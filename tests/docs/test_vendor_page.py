"""The page on vendors is true: its sheet, weights and requirement are ones that are read."""

import re
from pathlib import Path

from keystrand.edge.vendor_files import requirements
from keystrand.formats.vendor_toml import evaluation_from_toml, requirements_from_toml, sheet_from_toml
from keystrand.plan.vendor_fit import DOUBT_RATIO, MARGIN_DB
from keystrand.plan.vendor_weights import DRAWS, WEIGHT_CHANGE
from keystrand.plan.vendor_worth import DISCOUNT

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "evaluate-vendors.md").read_text()
SHEET, WEIGHTS, REQUIREMENT = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_the_page_are_complete() -> None:
    """As printed, each is read without a problem."""
    asked = requirements()
    assert len(sheet_from_toml(SHEET, "acme.toml", asked).answer) == 3
    assert len(evaluation_from_toml(WEIGHTS, "vendors.toml", asked).gate) == 2
    assert [one.id for one in requirements_from_toml(REQUIREMENT, "own.toml")] == ["noise"]


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    """The number of questions, the discounts, the margin, the factor to spare, the draws and the change of weights."""
    shares = sorted(set(DISCOUNT.values()))
    assert [share for share in shares if f"{share:g}" not in PAGE] == []
    assert (len(requirements()), MARGIN_DB, DOUBT_RATIO) == (34, 3.0, 10.0)
    assert f"{DRAWS:,} drawn" in PAGE
    assert f"{WEIGHT_CHANGE:.0%}".replace("%", " percent") in PAGE
