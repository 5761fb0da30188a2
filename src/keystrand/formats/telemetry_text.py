"""Telemetry of links as text: JSON lines, one report a line, or CSV with a header of the same field names.

A vendor's export becomes CSV by renaming its columns. An empty cell was not reported; it is never 0.
"""

import csv
import io
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from keystrand.formats.decode import dotted, faults_of
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.telemetry import LinkTelemetry

_FIELDS = [name for name in LinkTelemetry.__struct_fields__ if name != "counts"]
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MOST_PROBLEMS = 20
"""Shown of a file; a wrong column is wrong in every line."""


def read_telemetry(text: str, *, file: str) -> tuple[LinkTelemetry, ...]:
    """Return the reports of `text`, in the order of its lines. Raises `InvalidInput` with file, line and field."""
    text = text.removeprefix("\ufeff")  # spreadsheets put it before UTF-8
    if text.lstrip().startswith("["):
        words, hint = (
            "a list in brackets is not read",
            "write one report a line: {...}, without brackets and commas between",
        )
        raise InvalidInput(f"{file} is no telemetry", problems=(_problem(file, 1, words, ""),), hint=hint)
    made: list[LinkTelemetry] = []
    problems: list[Problem] = []
    for line, raw in _json_lines(text, file) if text.lstrip().startswith("{") else _csv_lines(text, file):
        found = [_problem(file, line, f.message, dotted(f.path)) for f in faults_of(raw, LinkTelemetry)]
        found += [_problem(file, line, f"{value} is no number", name) for name, value in _not_finite(raw)]
        problems += found
        if not found:
            made.append(msgspec.convert(raw, LinkTelemetry))
    if problems:
        more = "" if len(problems) <= _MOST_PROBLEMS else f", the first {_MOST_PROBLEMS} of {len(problems)} shown"
        raise InvalidInput(f"{file} holds reports that cannot be{more}", problems=tuple(problems[:_MOST_PROBLEMS]))
    if not made:
        raise InvalidInput(f"{file} holds no report", hint="one report a line: JSON, or CSV under a header")
    return tuple(made)


def telemetry_lines(reports: Iterable[LinkTelemetry]) -> bytes:
    """Return reports as JSON lines."""
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode(one) + b"\n" for one in reports)


def _json_lines(text: str, file: str) -> Iterable[tuple[int, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise InvalidInput(
                    f"{file} is not lines of JSON", problems=(_problem(file, number, str(error), ""),)
                ) from error


def _csv_lines(text: str, file: str) -> Iterable[tuple[int, Any]]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    try:
        unknown = [name for name in rows.fieldnames or () if name not in _FIELDS]
        if unknown or not rows.fieldnames:
            words = f"unknown columns: {', '.join(map(repr, unknown))}" if unknown else "there is no header"
            raise InvalidInput(
                f"{file} is no telemetry",
                problems=(_problem(file, 1, words, ""),),
                hint=f"columns: {', '.join(_FIELDS)}",
            )
        for row in rows:
            if extra := row.pop(None, None):  # cells without a header have the name None
                words = f"more cells than the header: {', '.join(map(repr, extra))}"
                raise InvalidInput(f"{file} is not valid CSV", problems=(_problem(file, rows.line_num, words, ""),))
            yield rows.line_num, {name: _value(name, cell) for name, cell in row.items() if cell not in ("", None)}
    except csv.Error as error:
        raise InvalidInput(
            f"{file} is not valid CSV", problems=(_problem(file, rows.line_num, str(error), ""),)
        ) from error


def _value(name: str, cell: Any) -> Any:
    """Return what a cell says: text for the link, yes or no for `up`, a number else; what is neither stays as it is."""
    if name == "up":
        return _WORDS.get(str(cell).strip().lower(), cell)
    if name == "link":
        return cell
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell


def _not_finite(raw: Any) -> list[tuple[str, float]]:
    """Return fields that are NaN or infinite: the types' ranges let NaN pass where no end is given."""
    if not isinstance(raw, dict):
        return []
    return [(k, v) for k, v in raw.items() if isinstance(v, float) and not math.isfinite(v)]


def _problem(file: str, line: int, message: str, field: str) -> Problem:
    return Problem(message=message, file=file, line=line, field=field)
