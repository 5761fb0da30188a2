"""A questionnaire as a workbook: locked but for the answers, with lists to choose from. Equal sheets: equal bytes."""

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill, Protection
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.xml.functions import tostring

from keystrand.formats.questionnaire import FIELDS, LEVELS, kind_text, rows_of
from keystrand.formats.questionnaire_workbook import COLUMNS, FIRST, HEAD, SHEET
from keystrand.formats.xlsx_cells import column_name
from keystrand.model.vendor import Requirement, VendorSheet

_LISTS = "Lists"
_WRAPPED, _BOLD = Alignment(wrap_text=True, vertical="top"), Font(bold=True)
_OPEN, _LIGHT, _AS_TEXT = Protection(locked=False), PatternFill("solid", fgColor="FFF8DC"), "@"
_WIDTHS = (7, 48, 40, 30, 32, 10, 12, 10, 14, 13, 40)
_SPARE_ROWS = 100
"""Lines that a vendor may add below, for one more figure: they are open, and the lists hold there too."""
_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""The earliest moment a ZIP archive can say: the time of writing is no part of what is said."""
_HOW = (
    f"Fill in the open cells, one line each. Evidence: {' or '.join(LEVELS)}. Date of the statement or document as "
    "YYYY-MM-DD. Source: document and page, or who said it. Leave open what you cannot answer. For one more figure to "
    "a question, repeat its id in a row below the last."
)


def questionnaire_xlsx(sheet: VendorSheet, requirements: Sequence[Requirement]) -> bytes:
    """Return the workbook with the questions to a vendor, and what it has said so far."""
    book = Workbook()
    del book["Sheet"]
    page = book.create_sheet(SHEET)
    lists = book.create_sheet(_LISTS)
    lists.sheet_state = "hidden"
    _head(page, sheet)
    _rows(page, lists, sheet, requirements)
    for one in (page, lists):
        one.protection.sheet = True
    page.protection.formatColumns = page.protection.formatRows = False  # widths may be changed
    return _packed(book)


def _write(page: Worksheet, row: int, column: int, text: str, *, open_cell: bool = False, bold: bool = False) -> None:
    """Put a text where it stays a text, also where a spreadsheet would take it for a formula (CWE-1236)."""
    cell = page.cell(row, column)
    if text:
        cell.value = text
        cell.data_type = "s"
    cell.quotePrefix = text.startswith(("=", "+", "-", "@"))
    cell.alignment = _WRAPPED
    if open_cell:
        cell.protection, cell.fill, cell.number_format = _OPEN, _LIGHT, _AS_TEXT
    if bold:
        cell.font = _BOLD


def _head(page: Worksheet, sheet: VendorSheet) -> None:
    _write(page, 1, 1, f"Questions to {sheet.name}", bold=True)
    for n, (name, text) in enumerate(zip(HEAD, (sheet.id, sheet.name, sheet.offer), strict=True), start=2):
        _write(page, n, 1, name, bold=True)
        _write(page, n, 2, text)
    _write(page, len(HEAD) + 2, 1, "how")
    _write(page, len(HEAD) + 2, 2, _HOW)
    for column, (name, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True), start=1):
        _write(page, FIRST, column, name, bold=True)
        page.column_dimensions[column_name(column)].width = width
    page.freeze_panes = f"C{FIRST + 1}"


def _rows(page: Worksheet, lists: Worksheet, sheet: VendorSheet, requirements: Sequence[Requirement]) -> None:
    told = _Choices(page, lists)
    row = FIRST
    for row, (asked, said) in enumerate(rows_of(sheet, requirements), start=FIRST + 1):
        for column, text in enumerate((asked.id, asked.question, asked.why, kind_text(asked)), start=1):
            _write(page, row, column, text)
        for column, name in enumerate(FIELDS, start=5):
            _write(page, row, column, said.said[name], open_cell=True)
        told.offer(row, 5, asked.words)
        told.offer(row, 7, tuple(asked.units))
        told.offer(row, 9, LEVELS)
    for spare in range(row + 1, row + 1 + _SPARE_ROWS):
        for column in (1, *range(5, 5 + len(FIELDS))):
            _write(page, spare, column, "", open_cell=True)
        told.offer(spare, 9, LEVELS)


class _Choices:
    """Lists to choose from, each written once on the hidden sheet: a list in place may hold no commas."""

    def __init__(self, page: Worksheet, lists: Worksheet) -> None:
        self.page, self.lists = page, lists
        self.made: dict[tuple[str, ...], DataValidation] = {}

    def offer(self, row: int, column: int, words: tuple[str, ...]) -> None:
        if not words:
            return
        if words not in self.made:
            at = len(self.made) + 1
            for n, word in enumerate(words, start=1):
                _write(self.lists, n, at, word)
            name = column_name(at)
            found = DataValidation(type="list", formula1=f"{_LISTS}!${name}$1:${name}${len(words)}", allow_blank=True)
            self.page.add_data_validation(found)
            self.made[words] = found
        self.made[words].add(self.page.cell(row, column))


def _packed(book: Workbook) -> bytes:
    """Return the workbook's bytes without the moment they were written."""
    plain = _EPOCH.replace(tzinfo=None)
    book.properties.creator, book.properties.created = "keystrand", plain
    written, packed = io.BytesIO(), io.BytesIO()
    book.save(written)
    book.properties.modified = plain  # saving sets it to now
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            core = entry.filename == "docProps/core.xml"
            content = tostring(book.properties.to_tree()) if core else source.read(entry)
            made = zipfile.ZipInfo(entry.filename, date_time=_EPOCH.timetuple()[:6])
            made.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(made, content)
    return packed.getvalue()
