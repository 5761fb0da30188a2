"""The cells of a workbook that somebody else wrote (ECMA-376, SpreadsheetML), as text. Nothing in it is evaluated.

A workbook is a ZIP archive of XML parts. Both are bounded before they are opened, and the XML is read without entities.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from keystrand.formats.safe_xml import XmlElement, parsed_xml
from keystrand.model.errors import InvalidInput

MAX_BYTES = 5_000_000
MAX_PARTS = 200
MAX_UNPACKED = 30_000_000
"""A filled questionnaire takes 20 kB and unpacks to 200 kB; these leave room for an office suite's own additions."""
MAX_ROWS = 10_000
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})\Z")


class Cell(NamedTuple):
    """A cell: its text, whether it holds a formula (the text is then what was shown last), whether it is a number."""

    text: str
    formula: bool = False
    number: bool = False


class Cells(NamedTuple):
    """A sheet's cells by row and column, both from 1. `from_1904`: its days are counted from that year."""

    cells: dict[tuple[int, int], Cell]
    from_1904: bool = False

    def text(self, row: int, column: int) -> str:
        """Return the text of a cell; empty where there is none."""
        return self.cells[row, column].text if (row, column) in self.cells else ""


def column_name(column: int) -> str:
    """Return a column as spreadsheets call it: 1 is A, 27 is AA."""
    name = ""
    while column:
        column, letter = divmod(column - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def sheet_cells(content: bytes, sheet: str) -> Cells:
    """Return the cells of the sheet called `sheet`. Raises `InvalidInput` where `content` is no such workbook."""
    if len(content) > MAX_BYTES:
        raise InvalidInput("larger than any questionnaire", hint=f"at most {MAX_BYTES:,} bytes are read")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Workbook(archive).read(sheet)
    except _BROKEN as error:
        raise InvalidInput("no workbook (.xlsx) that can be read", hint="save it as Excel workbook, .xlsx") from error


class _Workbook:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        if len(entries) > MAX_PARTS or sum(entry.file_size for entry in entries) > MAX_UNPACKED:
            raise InvalidInput(
                "it unpacks to more than any questionnaire", hint="ask for the file again, unpacked by hand"
            )
        self.archive, self.names = archive, {entry.filename for entry in entries}

    def part(self, name: str) -> XmlElement:
        if name not in self.names:
            raise InvalidInput(f"the workbook has no part {name[:80]!r}", hint="save it as Excel workbook, .xlsx")
        return parsed_xml(self.archive.read(name))

    def read(self, sheet: str) -> Cells:
        book = self.part("xl/workbook.xml")
        targets = {
            one.attributes.get("Id", ""): one.attributes
            for one in self.part("xl/_rels/workbook.xml.rels").all("Relationship")
        }
        entry = next((one for one in _under(book, "sheets") if one.attributes.get("name") == sheet), None)
        if entry is None:
            raise InvalidInput(f"the workbook has no sheet {sheet!r}", hint="send back the workbook that was sent")
        link = next((value for key, value in entry.attributes.items() if key.rpartition(" ")[2] == "id"), "")
        shared = next((_path(one) for one in targets.values() if one.get("Type", "").endswith("/sharedStrings")), "")
        strings = [_string(one) for one in self.part(shared).all("si")] if shared in self.names else []
        properties = book.first("workbookPr")
        from_1904 = properties is not None and properties.attributes.get("date1904") in ("1", "true")
        return Cells(dict(_cells(self.part(_path(targets.get(link, {}))), strings)), from_1904)


def _path(relation: dict[str, str]) -> str:
    target = relation.get("Target", "")
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _under(element: XmlElement, *path: str) -> Iterator[XmlElement]:
    found = element.first(*path)
    return iter(found.children if found else ())


def _string(element: XmlElement) -> str:
    """Return a text: plain, or in runs with formats of their own; readings in another script are no part of it."""
    runs = [element, *element.all("r")]
    return "".join(one.text for run in runs for one in run.all("t"))


def _cells(root: XmlElement, strings: list[str]) -> Iterator[tuple[tuple[int, int], Cell]]:
    """Yield the cells with their places. One that does not say its place stands right of the one before it."""
    at = 0
    for row in _under(root, "sheetData"):
        said = row.attributes.get("r", "")
        at, column = int(said) if said.isdecimal() else at + 1, 0
        for element in row.all("c"):
            if found := _REFERENCE.match(element.attributes.get("r", "")):
                at, column = int(found[2]), _column(found[1])
            else:
                column += 1
            if at > MAX_ROWS:
                raise InvalidInput(f"a cell beyond row {MAX_ROWS:,}")
            yield (at, column), _cell(element, strings)


def _column(name: str) -> int:
    number = 0
    for letter in name:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _cell(element: XmlElement, strings: list[str]) -> Cell:
    kind, value = element.attributes.get("t", "n"), element.said("v")
    formula = element.first("f") is not None
    if kind == "inlineStr":
        inline = element.first("is")
        return Cell(_string(inline) if inline else "", formula)
    if kind == "s":
        if not value.isdecimal() or int(value) >= len(strings):
            raise InvalidInput("a cell refers to a text that is not there")
        return Cell(strings[int(value)], formula)
    if kind == "b":
        return Cell({"1": "TRUE", "0": "FALSE"}.get(value, value), formula)
    return Cell(value, formula, number=kind == "n" and bool(value))
