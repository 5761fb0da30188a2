"""Telemetry as text: what spreadsheets do to it, and rows that do not fit their header."""

import pytest

from keystrand.formats.telemetry_text import read_telemetry
from keystrand.model.errors import InvalidInput

CSV = "link,at_s,interval_s\na-b,60,60\n"
LINE = '{"link": "a-b", "at_s": 60, "interval_s": 60}\n'


@pytest.mark.parametrize("text", [CSV, LINE])
def test_a_byte_order_mark_is_no_part_of_the_first_field(text: str) -> None:
    """A table saved by a spreadsheet is read like any other."""
    assert read_telemetry("\ufeff" + text, file="x") == read_telemetry(text, file="x")


def test_more_cells_than_the_header_names_are_told_with_their_line() -> None:
    """It says which cells they are."""
    with pytest.raises(InvalidInput, match="not valid CSV") as caught:
        read_telemetry(CSV + "a-b,120,60,7,8\n", file="x")
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert "'7', '8'" in problem.message
