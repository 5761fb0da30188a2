"""A vendor's sheet as the rows of a questionnaire, and the rows that came back as a sheet.

Only what a vendor can say goes out and comes in: claims and documents. What the organisation has seen for itself, what
it makes of an answer, and what it weighs, stays in its own files. Nothing that comes back is evaluated: it is text.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from msgspec import convert
from msgspec.structs import replace

from keystrand.formats.decode import faults_of, near_name
from keystrand.formats.vendor_answers import answer_faults, number_text, repeated
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.noun import Noun
from keystrand.model.vendor import AnswerKind, EvidenceLevel, Line, Requirement, VendorAnswer, VendorSheet

FIELDS = ("answer", "up to", "unit", "holds at", "evidence", "date", "source")
"""What a vendor fills in, in this order."""
LEVELS = tuple(level.value for level in EvidenceLevel if level.from_vendor)
_NAMES = {"answer": "value", "up to": "up_to", "unit": "unit", "holds at": "at", "evidence": "level", "date": "date",
          "source": "source"}  # fmt: skip
_NUMBERS = ("up to", "holds at")
_ROWS_WITH_CONDITION = 3
"""Rows for a figure that depends on a condition: fewer than three points show no course."""


class Row(NamedTuple):
    """One answer as text; an empty text was not filled in. `said` has the texts by the names in `FIELDS`."""

    requirement: str
    said: Mapping[str, str]

    @property
    def blank(self) -> bool:
        """Return whether nothing was filled in."""
        return not any(self.said.values())


class Returned(NamedTuple):
    """What a filled questionnaire says. `place` names where a field of a row stands, for messages."""

    vendor: str
    name: str
    offer: str
    rows: Sequence[Row]
    place: Callable[[int, str], Mapping[str, Any]]


class Changes(NamedTuple):
    """A sheet after its questionnaire came back. `kept`: requirements that the file did not have, left as they were."""

    sheet: VendorSheet
    new: int
    withdrawn: int
    kept: tuple[str, ...]


class _OneLine(Noun, frozen=True, kw_only=True):
    value: Line


def rows_of(sheet: VendorSheet, requirements: Sequence[Requirement]) -> list[tuple[Requirement, Row]]:
    """Return the rows of the questionnaire: each answer of the vendor's own, and empty ones for what is open."""
    given: dict[str, list[VendorAnswer]] = defaultdict(list)
    for answer in sheet.answer:
        if answer.level.from_vendor:
            given[answer.requirement].append(answer)
    made = []
    for asked in requirements:
        rows = [_row(answer) for answer in given[asked.id]]
        least = _ROWS_WITH_CONDITION if asked.condition else 1
        rows += [Row(asked.id, dict.fromkeys(FIELDS, ""))] * (least - len(rows))
        made += [(asked, row) for row in rows]
    return made


def _row(answer: VendorAnswer) -> Row:
    values = (
        answer.value,
        answer.up_to,
        answer.unit,
        answer.at,
        answer.level.value,
        answer.day.isoformat(),
        answer.source,
    )
    return Row(answer.requirement, {name: _text(value) for name, value in zip(FIELDS, values, strict=True)})


def _text(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else number_text(value)


def kind_text(asked: Requirement) -> str:
    """Return how a question is to be answered, in words."""
    if asked.kind is AnswerKind.QUANTITY:
        at = f", and what it holds at in {asked.condition}" if asked.condition else ""
        return f"a number in {' or '.join(asked.units)}{at}"
    return f"one of: {'; '.join(asked.words)}" if asked.words else "a sentence, at most 400 characters"


def sheet_of(
    returned: Returned, before: VendorSheet | None, requirements: Mapping[str, Requirement], *, as_of: date
) -> Changes:
    """Return the sheet that `returned` makes of `before`. The organisation's own evidence and judgements stay.

    A judgement stays as long as the answer does. Raises `InvalidInput` with every problem, each with its row and cell.
    """
    answers, problems = [], []
    for n, row in enumerate(returned.rows):
        found = list(_row_problems(n, row, returned, requirements, as_of))
        problems += found
        if not found and not row.blank:
            answers.append((n, _answer(row, requirements[row.requirement])))
    for at in repeated([answer for _, answer in answers]):
        hint = "keep one of the two rows, or say what each holds at"
        problems.append(_problem(returned, answers[at][0], "answer", "an earlier row says this already", hint))
    sheet, more = _opened(returned, before, as_of)
    problems += more
    if problems or sheet is None:
        raise InvalidInput(f"the questionnaire has {counted(len(problems), 'problem')}", problems=tuple(problems))
    return _changed(sheet, before, [answer for _, answer in answers], returned, requirements)


def _opened(returned: Returned, before: VendorSheet | None, as_of: date) -> tuple[VendorSheet | None, list[Problem]]:
    """Return the sheet to put answers in, or what is wrong with the head of the file."""
    raw: dict[str, Any] = {"id": returned.vendor, "name": returned.name, "offer": returned.offer, "as_of": as_of}
    faults = faults_of(raw, VendorSheet)
    hint = "the head of the questionnaire must stay as it was sent: vendor, name and offer"
    if faults:
        where = returned.place(-1, "")
        return None, [
            Problem(**{**where, "field": f"{where['field']} {f.path[0]}".strip()}, message=f.message, hint=hint)
            for f in faults
        ]
    if before is None:
        return convert(raw, VendorSheet), []
    return replace(before, as_of=as_of), []


def _changed(
    sheet: VendorSheet, before: VendorSheet | None, answers: Sequence[VendorAnswer], returned: Returned,
    requirements: Mapping[str, Requirement],
) -> Changes:  # fmt: skip
    asked = {row.requirement for row in returned.rows}
    old = before.answer if before else ()
    ours = [a for a in old if not a.level.from_vendor or a.requirement not in asked]
    judged = {replace(a, judged=None): a for a in old}
    merged = [*ours, *(judged.get(a, a) for a in answers)]
    order = list(requirements)
    merged.sort(key=lambda a: (order.index(a.requirement), a.level.rank, a.at or 0.0))
    now, was = set(merged), set(old)
    kept = tuple(sorted({a.requirement for a in ours if a.level.from_vendor}))
    if before is not None and now == was:
        return Changes(before, 0, 0, kept)
    return Changes(replace(sheet, answer=tuple(merged)), len(now - was), len(was - now), kept)


def _problem(returned: Returned, n: int, name: str, message: str, hint: str = "") -> Problem:
    return Problem(**returned.place(n, name), message=message, hint=hint)


def _row_problems(
    n: int, row: Row, returned: Returned, requirements: Mapping[str, Requirement], as_of: date
) -> Iterator[Problem]:
    asked = requirements.get(row.requirement)
    if asked is None:
        near = near_name(row.requirement, requirements)
        hint = f"did you mean {near!r}?" if near else "send the vendor a questionnaire made with your requirements"
        yield _problem(returned, n, "", f"no requirement has the id {row.requirement!r}", hint)
    elif not row.blank:
        found = [*_form(n, row, asked, returned)]
        yield from found
        if not found:
            answer = _answer(row, asked)
            if answer.day > as_of:
                yield _problem(
                    returned, n, "date", f"{answer.day} is still to come", "write the day it was said or read"
                )
            for fault in answer_faults(answer, asked):
                name = next(shown for shown, field in _NAMES.items() if field == fault.field)
                yield _problem(returned, n, name, fault.message, fault.hint)


def _form(n: int, row: Row, asked: Requirement, returned: Returned) -> Iterator[Problem]:
    """Yield what keeps the texts of a row from being an answer at all."""
    for name in ("answer", "evidence", "date", "source"):
        if not row.said[name]:
            yield _problem(returned, n, name, f"{row.requirement} has no {name}", _MISSING[name])
    numbers = (*_NUMBERS, "answer") if asked.kind is AnswerKind.QUANTITY else _NUMBERS
    for name in numbers:
        if row.said[name] and _number(row.said[name]) is None:
            hint = "write it without a unit, spaces or separators of thousands, such as 1000 or 10.5"
            yield _problem(returned, n, name, f"{row.said[name]!r} is no number", hint)
    level = row.said["evidence"]
    if level and level not in LEVELS:
        ours = level in set(EvidenceLevel)
        hint = "once checked, the organisation sets it in the vendor's sheet" if ours else ""
        said = f"a vendor can claim or document, not say {level!r}" if ours else f"{level!r} is no evidence"
        yield _problem(returned, n, "evidence", said, hint or f"write {' or '.join(LEVELS)}")
    if row.said["date"] and not _is_date(row.said["date"]):
        yield _problem(returned, n, "date", f"{row.said['date']!r} is no date", "write it as YYYY-MM-DD")
    for name in ("answer", "unit", "source"):
        if faults := faults_of({"value": row.said[name]}, _OneLine) if row.said[name] else []:
            yield _problem(returned, n, name, faults[0].message, "write one line of at most 400 characters")


_MISSING = {
    "answer": "fill it in, or empty the row: an open question is no fault",
    "evidence": f"write {' or '.join(LEVELS)}",
    "date": "write the day of the statement or document as YYYY-MM-DD",
    "source": "name the document and page, or who said it",
}


def _number(text: str) -> float | None:
    """Return a plain decimal number; None for anything else, also what Python alone would take (1_000, nan)."""
    try:
        value = float(text)
    except ValueError:
        return None
    plain = set(text) <= set("0123456789.+-eE")
    return value if plain and abs(value) <= 1e15 else None


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _answer(row: Row, asked: Requirement) -> VendorAnswer:
    """Return a row whose form is sound as an answer. Words of a list may be in capitals: `Yes` is `yes`."""
    raw: dict[str, Any] = {_NAMES[name]: text for name, text in row.said.items() if text}
    raw |= {_NAMES[name]: _number(row.said[name]) for name in _NUMBERS if row.said[name]}
    if asked.kind is AnswerKind.QUANTITY:
        raw["value"] = _number(row.said["answer"])
    elif row.said["answer"].casefold() in (word.casefold() for word in asked.words):
        raw["value"] = next(word for word in asked.words if word.casefold() == row.said["answer"].casefold())
    return convert({"requirement": row.requirement, **raw}, VendorAnswer)


def one_line(text: str) -> str:
    """Return what somebody typed as one line: no space at its ends, and one in place of each break."""
    return re.sub(r"\s*[\r\n\t\v\f\x1c-\x1f\x85\u2028\u2029]+\s*", " ", text.strip()).strip()
