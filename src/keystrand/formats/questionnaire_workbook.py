"""What a workbook says that came back filled in. Needs no package beside ours: it is somebody else's file."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from keystrand.formats.questionnaire import FIELDS, Returned, Row, one_line
from keystrand.formats.wording import counted
from keystrand.formats.xlsx_cells import Cells, column_name, sheet_cells
from keystrand.model.errors import InvalidInput, Problem

SHEET = "Questions"
HEAD = ("vendor", "name", "offer")
COLUMNS = ("id", "question", "why we ask", "how to answer", *FIELDS)
FIRST = len(HEAD) + 4
"""Row of the column headings: after title, head, the line that says what to do, and an empty one."""


def read_xlsx(content: bytes, file: str) -> Returned:
    """Return what a filled workbook says. Raises `InvalidInput` where it is none, or a cell holds a formula."""
    try:
        cells = sheet_cells(content, SHEET)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}", hint=error.hint) from error
    head = {cells.text(row, 1): one_line(cells.text(row, 2)) for row in range(2, 2 + len(HEAD))}
    headings = tuple(cells.text(FIRST, column) for column in range(1, len(COLUMNS) + 1))
    if headings != COLUMNS or set(head) != set(HEAD):
        problem = Problem(message="the headings are not those that were sent", file=file, field=f"row {FIRST}",
                          hint="send back the workbook that was sent, with answers in its open cells")  # fmt: skip
        raise InvalidInput("the workbook is no questionnaire of keystrand", problems=(problem,))
    if problems := _formulas(cells, file):
        raise InvalidInput(f"the workbook has {counted(len(problems), 'formula')}", problems=problems)
    last = max((row for row, _ in cells.cells), default=FIRST)
    rows = [(row, _row(cells, row)) for row in range(FIRST + 1, last + 1)]
    kept = [(row, said) for row, said in rows if said.requirement or not said.blank]
    places = [row for row, _ in kept]

    def place(n: int, name: str) -> Mapping[str, Any]:
        if n < 0:
            return {"file": file, "field": "head"}
        where = f"cell {column_name(5 + FIELDS.index(name))}{places[n]}" if name else f"cell A{places[n]}"
        return {"file": file, "field": where}

    return Returned(head["vendor"], head["name"], head["offer"], [said for _, said in kept], place)


def _formulas(cells: Cells, file: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(message="a formula: only what is typed is read", file=file, field=f"cell {column_name(column)}{row}",
                hint="put its value there as text")
        for (row, column), cell in sorted(cells.cells.items())
        if cell.formula
    )  # fmt: skip


def _row(cells: Cells, row: int) -> Row:
    said = {name: one_line(cells.text(row, column)) for column, name in enumerate(FIELDS, start=5)}
    day = cells.cells.get((row, 5 + FIELDS.index("date")))
    if day is not None and day.number:
        said["date"] = _day(day.text, from_1904=cells.from_1904) or day.text
    return Row(one_line(cells.text(row, 1)), said)


def _day(text: str, *, from_1904: bool) -> str:
    """Return a day that a spreadsheet keeps as a number (ECMA-376 part 1, 18.17.4.1); empty where it is none."""
    first = date(1904, 1, 1) if from_1904 else date(1899, 12, 30)
    try:
        return (first + timedelta(days=float(text))).isoformat()
    except (ValueError, OverflowError):
        return ""
