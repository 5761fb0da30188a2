"""A questionnaire as Markdown: one heading a question, one list an answer. Text is escaped as CommonMark 2.4 says."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from keystrand.formats.questionnaire import FIELDS, LEVELS, Returned, Row, kind_text, one_line, rows_of
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.vendor import Requirement, VendorSheet

MAX_BYTES = 1_000_000
"""Some thirty times what the questions of the catalogue take with every answer at its longest."""
_HEAD = ("vendor", "name", "offer")
_SPECIAL = re.compile(r"([\\`*_\[\]<>&!#|~])")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_ITEM = re.compile(rf"[-*+] ({'|'.join((*_HEAD, *FIELDS))}):(.*)")
_HEADING = re.compile(r"## (\S+)(?: .*)?")


def questionnaire_markdown(sheet: VendorSheet, requirements: Sequence[Requirement]) -> str:
    """Return the questions to a vendor, with what it has said so far."""
    head = zip(_HEAD, (sheet.id, sheet.name, sheet.offer), strict=True)
    lines = [
        f"# Questions to {_escaped(sheet.name)}", "",
        *(f"- {name}: {_escaped(text)}" for name, text in head), "",
        f"> Fill in after the colons, one line each, and nothing else. Evidence is {' or '.join(LEVELS)}; the date is",
        "> that of the statement or document, as YYYY-MM-DD; the source names the document and page, or who said it.",
        "> Leave open what you cannot answer. Repeat the seven lines to give one more figure. Lines that begin with >",
        "> are ours and are not read.", "",
    ]  # fmt: skip
    for asked, pairs in groupby(rows_of(sheet, requirements), key=lambda pair: pair[0]):
        lines += [f"## {asked.id} {_escaped(asked.question)}", "", f"> {_escaped(asked.why)}",
                  f"> Answer with {_escaped(kind_text(asked))}.", ""]  # fmt: skip
        for _, row in pairs:
            lines += [*(f"- {name}: {_escaped(row.said[name])}".rstrip() for name in FIELDS), ""]
    return "\n".join(lines)


def read_markdown(content: bytes, file: str) -> Returned:
    """Return what a questionnaire in Markdown says. Raises `InvalidInput` with the lines that cannot be read."""
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"{file} is larger than any questionnaire", hint=f"at most {MAX_BYTES:,} bytes are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(message="not UTF-8", file=file, line=line, hint="save the file as UTF-8")
        raise InvalidInput(f"the questionnaire {file} is no text", problems=(problem,)) from None
    return _Reader(file).read(text)


class _Reader:
    """Reads line by line, and remembers where each field stood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.head: dict[str, str] = {}
        self.question = ""
        self.rows: list[Row] = []
        self.lines: list[dict[str, int]] = []
        self.problems: list[Problem] = []

    def read(self, text: str) -> Returned:
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
            self.line(number, line.strip())
        if missing := [name for name in _HEAD if name not in self.head]:
            hint = "the file must begin with the lines it was sent with"
            self.problems.append(
                Problem(message=f"no line says {' or '.join(missing)}", file=self.file, line=1, hint=hint)
            )
        if self.problems:
            raise InvalidInput(
                f"the questionnaire has {counted(len(self.problems), 'problem')}", problems=tuple(self.problems)
            )
        return Returned(self.head["vendor"], self.head["name"], self.head["offer"], self.rows, self.place)

    def line(self, number: int, line: str) -> None:
        if heading := _HEADING.fullmatch(line):
            self.question = heading[1]
        elif item := _ITEM.fullmatch(line):
            self.item(number, item[1], one_line(_ESCAPED.sub(r"\1", item[2])))
        elif line and not line.startswith(">") and (self.question or not line.startswith("# ")):
            hint = "put what you want to say on the line of its field, such as `- answer: yes`"
            self.wrong(number, "a line that belongs to no field", hint)

    def item(self, number: int, name: str, text: str) -> None:
        if name in _HEAD and not self.question:
            self.head[name] = text
        elif name in _HEAD or not self.question:
            self.wrong(number, f"{name!r} stands under no question of its own", "leave the lines where they were")
        else:
            if name == FIELDS[0]:
                self.rows.append(Row(self.question, dict.fromkeys(FIELDS, "")))
                self.lines.append({"": number})
            self.field(number, name, text)

    def field(self, number: int, name: str, text: str) -> None:
        if not self.rows or self.rows[-1].requirement != self.question or (name in self.lines[-1]):
            self.wrong(number, f"{name!r} without its answer before it", f"begin each answer with `- {FIELDS[0]}:`")
            return
        self.rows[-1] = Row(self.question, {**self.rows[-1].said, name: text})
        self.lines[-1][name] = number

    def wrong(self, number: int, message: str, hint: str) -> None:
        self.problems.append(Problem(message=message, file=self.file, line=number, hint=hint))

    def place(self, n: int, name: str) -> Mapping[str, Any]:
        if n < 0:
            return {"file": self.file, "line": 1, "field": name}
        return {"file": self.file, "line": self.lines[n].get(name, self.lines[n][""]), "field": name}


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
