"""The workbook as openpyxl and a hostile sender see it."""

import contextlib
import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from tests.formats.vendor_strategies import ASKED

from keystrand.formats.questionnaire import sheet_of
from keystrand.formats.questionnaire_workbook import FIRST, SHEET, read_xlsx
from keystrand.formats.questionnaire_xlsx import questionnaire_xlsx
from keystrand.formats.xlsx_cells import MAX_BYTES, column_name, sheet_cells
from keystrand.model.errors import InvalidInput
from keystrand.model.vendor import EvidenceLevel, VendorAnswer, VendorSheet

DAY = date(2026, 11, 1)
FORMULA = '=HYPERLINK("http://example.com")'
EVIL = VendorAnswer(requirement="v08", value=FORMULA, level=EvidenceLevel.CLAIMED, day=DAY, source="@SUM(1)")
SHEET_OF = VendorSheet(id="acme", name="=1+1", offer="-x", as_of=DAY, answer=(EVIL,))
EMPTY = VendorSheet(id="acme", name="Acme", offer="X1", as_of=DAY)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), min_size=1, max_size=9)
WRITTEN = questionnaire_xlsx(EMPTY, list(ASKED.values()))


def _edited(change: Callable[[Any], None], content: bytes = WRITTEN) -> bytes:
    """Return the workbook as a vendor with openpyxl would send it back."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    change(book)
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def _row_of(page: Any, requirement: str) -> int:
    return next(row for row in range(FIRST, page.max_row + 1) if page.cell(row, 1).value == requirement)


def _fill(requirement: str, *values: object) -> Callable[[Any], None]:
    def change(book: Any) -> None:
        page = book[SHEET]
        row = _row_of(page, requirement)
        for column, value in enumerate(values, start=5):
            page.cell(row, column).value = value

    return change


def _taken(content: bytes) -> tuple[VendorAnswer, ...]:
    return sheet_of(read_xlsx(content, "q.xlsx"), EMPTY, ASKED, as_of=DAY).sheet.answer


def _told(content: bytes) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        _taken(content)
    return [str(problem) for problem in error.value.problems] or [str(error.value)]


def test_nothing_that_goes_out_is_a_formula() -> None:
    """Text that begins with = + - @ is text for openpyxl, and marked so that a spreadsheet keeps it text."""
    book = openpyxl.load_workbook(io.BytesIO(questionnaire_xlsx(SHEET_OF, list(ASKED.values()))))
    cells = [cell for page in book for row in page.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    risky = [cell for cell in cells if str(cell.value)[0] in "=+-@"]
    assert {str(cell.value) for cell in risky} == {"=1+1", "-x", FORMULA, "@SUM(1)"}
    assert all(cell.quotePrefix for cell in risky)


def test_only_the_answers_can_be_changed_and_lists_offer_them() -> None:
    """The page is locked; a cell is open where something is to be filled in; words, units and levels are lists."""
    page = openpyxl.load_workbook(io.BytesIO(WRITTEN))[SHEET]
    assert page.protection.sheet
    row = _row_of(page, "v02")
    assert [page.cell(row, column).protection.locked for column in range(1, 12)] == [True] * 4 + [False] * 7
    lists = openpyxl.load_workbook(io.BytesIO(WRITTEN))["Lists"]
    offered = {f"E{row}": ["no", "partly", "yes"], f"I{row}": ["claimed", "documented"]}
    for place, words in offered.items():
        (rule,) = (one for one in page.data_validations.dataValidation if place in one.sqref)
        column = rule.formula1.partition("$")[2][0]
        assert [cell.value for cell in lists[column] if cell.value] == words


def test_numbers_days_and_words_typed_in_a_spreadsheet_are_read() -> None:
    """A number, a day kept as a number, `Yes` in capitals, a line break within a text."""
    filled = _edited(_fill("v01", 80, None, "km", None, "documented", datetime(2026, 10, 1), "data sheet\npage 2"))  # noqa: DTZ001 - a spreadsheet's days have no zone
    (answer,) = _taken(filled)
    assert (answer.value, answer.unit, answer.day, answer.source) == (
        80.0,
        "km",
        date(2026, 10, 1),
        "data sheet page 2",
    )
    assert _taken(_edited(_fill("v02", "Yes", None, None, None, "claimed", "2026-10-01", "mail")))[0].value == "yes"


def test_days_counted_from_1904_are_read() -> None:
    """As some spreadsheets of old keep them."""

    def change(book: Any) -> None:
        book.epoch = CALENDAR_MAC_1904
        _fill("v02", "yes", None, None, None, "claimed", datetime(2026, 10, 1), "mail")(book)  # noqa: DTZ001 - as above

    assert _taken(_edited(change))[0].day == date(2026, 10, 1)


def test_what_is_wrong_is_told_with_its_cell() -> None:
    """The cell of the field, as the spreadsheet calls it."""
    row = _row_of(openpyxl.load_workbook(io.BytesIO(WRITTEN))[SHEET], "v01")
    filled = _edited(_fill("v01", 80, None, None, None, "claimed", "2026-10-01", "mail"))
    assert _told(filled) == [f"q.xlsx: cell G{row}: a quantity without its unit"]
    assert "no number" in _told(_edited(_fill("v01", "1e99999", None, "km", None, "claimed", "2026-10-01", "x")))[0]


def test_a_formula_that_comes_back_is_refused() -> None:
    """Also one whose last shown value would be an answer."""
    row = _row_of(openpyxl.load_workbook(io.BytesIO(WRITTEN))[SHEET], "v02")
    filled = _edited(_fill("v02", '="yes"', None, None, None, "claimed", "2026-10-01", "mail"))
    assert _told(filled) == [f"q.xlsx: cell E{row}: a formula: only what is typed is read"]


def test_a_row_that_is_added_below_counts() -> None:
    """One more figure to a question, with its id; without the id, or with a wrong one, it is told."""

    def add(name: str | None) -> Callable[[Any], None]:
        def change(book: Any) -> None:
            page = book[SHEET]
            at = _row_of(page, "v34") + 1
            for column, value in (
                (1, name),
                (5, 5),
                (7, "kbit/s"),
                (8, 20),
                (9, "claimed"),
                (10, "2026-10-01"),
                (11, "x"),
            ):
                page.cell(at, column).value = value

        return change

    (answer,) = _taken(_edited(add("v03")))
    assert (answer.requirement, answer.value, answer.at) == ("v03", 5.0, 20.0)
    assert "no requirement has the id ''" in _told(_edited(add(None)))[0]
    assert "no requirement has the id 'v3'" in _told(_edited(add("v3")))[0]


def test_another_workbook_is_refused() -> None:
    """One without the page, or with other headings."""

    def rename(book: Any) -> None:
        book[SHEET].title = "Sheet1"

    def retitle(book: Any) -> None:
        book[SHEET].cell(FIRST, 5).value = "reply"

    assert "no sheet 'Questions'" in _told(_edited(rename))[0]
    assert "headings are not those that were sent" in _told(_edited(retitle))[0]


def _archive(parts: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_a_file_that_would_fill_memory_is_refused() -> None:
    """A bomb is known by what it unpacks to, many parts by their number, a large file by its size."""
    bomb = _archive({"xl/workbook.xml": b" " * 40_000_000})
    assert len(bomb) < 100_000
    for content in (bomb, _archive({f"{n}.xml": b"" for n in range(300)})):
        assert "unpacks to more than any questionnaire" in _told(content)[0]
    assert "larger than any questionnaire" in _told(b"PK" + b"0" * MAX_BYTES)[0]


def test_xml_that_declares_entities_is_refused() -> None:
    """A billion laughs, and a file of ours read from outside, end before they begin."""
    laughs = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><workbook>&y;</workbook>'
    outside = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><workbook>&x;</workbook>'
    for text in (laughs, outside):
        parts = {"xl/workbook.xml": text, "xl/_rels/workbook.xml.rels": b"<Relationships/>"}
        assert "declares entities" in _told(_archive(parts))[0]


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_workbook_is_read_or_refused(data: st.DataObject) -> None:
    """Any byte changed, any piece cut off: an answer or a clear refusal, never a traceback."""
    at = data.draw(st.integers(0, len(WRITTEN) - 1))
    cut = data.draw(st.booleans())
    damaged = WRITTEN[:at] if cut else WRITTEN[:at] + bytes([data.draw(st.integers(0, 255))]) + WRITTEN[at + 1 :]
    with contextlib.suppress(InvalidInput):
        _taken(damaged)


@settings(max_examples=30)
@given(st.lists(st.lists(TEXTS | st.integers(-9, 10**9) | st.floats(-1e9, 1e9) | st.none(), max_size=4), max_size=4))
def test_cells_read_are_those_that_openpyxl_reads(table: list[list[str | float | None]]) -> None:
    """An independent reader sees the same texts and numbers in the same places."""
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row, values in enumerate(table, start=1):
        for column, value in enumerate(values, start=1):
            cell: Any = page.cell(row, column)
            cell.value = value
            cell.data_type = "s" if isinstance(value, str) else "n"
    saved = io.BytesIO()
    book.save(saved)
    read = sheet_cells(saved.getvalue(), "Sheet")
    theirs: Any = openpyxl.load_workbook(io.BytesIO(saved.getvalue())).active
    for row in range(1, 5):
        for column in range(1, 5):
            value = theirs.cell(row, column).value
            ours = read.text(row, column)
            assert (float(ours) == value) if isinstance(value, int | float) else ours == (value or "")


def test_cells_that_do_not_say_their_place_stand_in_order() -> None:
    """As ECMA-376 allows, and some writers do."""
    rows = b"<row><c><v>1</v></c><c><v>2</v></c></row><row r='5'><c r='C5'><v>3</v></c><c><v>4</v></c></row>"
    parts = {
        "xl/workbook.xml": b"<workbook xmlns:r='u'><sheets><sheet name='Q' r:id='a'/></sheets></workbook>",
        "xl/_rels/workbook.xml.rels": b"<Relationships><Relationship Id='a' Type='t' Target='s.xml'/></Relationships>",
        "xl/s.xml": b"<worksheet><sheetData>" + rows + b"</sheetData></worksheet>",
    }
    found = {place: cell.text for place, cell in sheet_cells(_archive(parts), "Q").cells.items()}
    assert found == {(1, 1): "1", (1, 2): "2", (5, 3): "3", (5, 4): "4"}


def test_columns_are_called_as_spreadsheets_call_them() -> None:
    """Up to the last that there is."""
    assert [column_name(n) for n in (1, 26, 27, 702, 703, 16384)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
