"""What a value must be, and why one is not, in words that need no knowledge of types. For TOML, which has no null."""

import sys
from datetime import date, datetime, time
from typing import Any

from msgspec import inspect

from keystrand.model.units import MOST

SHOWN_MOST = 60
"""Characters of a wrong value that a message repeats; the line is named beside it."""

_NAMES: tuple[tuple[type[inspect.Type] | tuple[type[inspect.Type], ...], str], ...] = (
    (inspect.BoolType, "true or false"),
    (inspect.IntType, "a whole number"),
    (inspect.FloatType, "a number"),
    ((inspect.StrType, inspect.EnumType, inspect.LiteralType), "a text"),
    (inspect.DateType, "a date"),
    ((inspect.VarTupleType, inspect.ListType, inspect.TupleType), "a list"),
)


def expectation(annotation: Any) -> str:
    """Return what a value of this type is: its kind, its range or its choices, and in parentheses its unit or form."""
    return _told(inspect.type_info(annotation))


def choices(annotation: Any) -> list[str]:
    """Return the texts to choose from; empty where the type is no choice."""
    return [text for kind, _ in _members(inspect.type_info(annotation)) for text in _choices(kind)]


def complaint(raw: Any, annotation: Any) -> str:
    """Return why `raw`, a value that TOML can hold, is not what its type asks for."""
    kinds = [kind for kind, _ in _members(inspect.type_info(annotation))]
    reasons = (judge(raw, kind) for kind in kinds for judge in (_number_fault, _text_fault, _list_fault))
    names = " or ".join(dict.fromkeys(_name(kind) for kind in kinds))
    return next(filter(None, reasons), f"expected {names}, found {_found(raw)}")


def quoting(raw: Any, annotation: Any) -> str:
    """Return the advice on quotes where they alone may be the mistake."""
    names = {_name(kind) for kind, _ in _members(inspect.type_info(annotation))}
    if isinstance(raw, str) and names <= {"true or false", "a whole number", "a number"}:
        return ", without quotes"
    if isinstance(raw, bool | int | float | date | time) and names == {"a text"}:
        return ", in quotes"
    return ""


def _members(kind: inspect.Type) -> list[tuple[inspect.Type, str]]:
    """Return what a value may be, each with its description. `None` is no value: TOML cannot write it."""
    if isinstance(kind, inspect.Metadata):
        note = (kind.extra_json_schema or {}).get("description", "")
        return [(member, own or note) for member, own in _members(kind.type)]
    if isinstance(kind, inspect.UnionType):
        return [pair for member in kind.types for pair in _members(member)]
    return [] if isinstance(kind, inspect.NoneType) else [(kind, "")]


def _name(kind: inspect.Type) -> str:
    return next((name for types, name in _NAMES if isinstance(kind, types)), "a table")


def _expected(kind: inspect.Type) -> str:
    name = _name(kind)
    match kind:
        case inspect.IntType() | inspect.FloatType():
            name += _range(kind)
        case inspect.StrType():
            name += _size(kind.min_length, kind.max_length, " characters")
        case inspect.EnumType() | inspect.LiteralType():
            name = f"one of: {', '.join(_choices(kind))}"
        case inspect.DateType():
            name += " as YYYY-MM-DD"
        case inspect.VarTupleType() | inspect.ListType():
            name += f"{_size(kind.min_length, kind.max_length, '')}, each {_told(kind.item_type)}"
        case inspect.TupleType():
            each = dict.fromkeys(_told(item) for item in kind.item_types)
            name += f" of {len(kind.item_types)}, each {' or '.join(each)}"
    return name


def _told(kind: inspect.Type) -> str:
    return " or ".join(_expected(member) + (f" ({note})" if note else "") for member, note in _members(kind))


def _choices(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.EnumType(cls=members):
            return [str(member.value) for member in members]
        case inspect.LiteralType(values=values):
            return [str(value) for value in values]
    return []


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None and kind.le < MOST:
        return f" from {kind.ge} to {kind.le}"
    limits = (("above", kind.gt), ("of at least", kind.ge), ("below", kind.lt), ("of at most", kind.le))
    words = " and ".join(
        f"{word} {int(limit) if limit == MOST else limit}" for word, limit in limits if limit is not None
    )
    return f" {words}" if words else ""


def _size(least: int | None, most: int | None, unit: str) -> str:
    if least and most:
        return f" of {least} to {most}{unit}"
    words = f"at least {least}" if least else f"at most {most}" if most else ""
    return f" of {words}{unit}" if words else ""


def _number_fault(raw: Any, kind: inspect.Type) -> str:
    if not isinstance(kind, inspect.IntType | inspect.FloatType) or type(raw) not in (int, float):
        return ""
    if (kind.ge is not None and raw < kind.ge) or (kind.gt is not None and raw <= kind.gt):
        return f"{_number(raw)} is too small"
    if (kind.le is not None and raw > kind.le) or (kind.lt is not None and raw >= kind.lt):
        return f"{_number(raw)} is too large"
    if isinstance(kind, inspect.FloatType) and abs(raw) > sys.float_info.max:
        return f"{_number(raw)} has too many digits"
    if kind.multiple_of is not None and raw % kind.multiple_of:
        return f"{_number(raw)} is not a multiple of {kind.multiple_of}"
    return ""


def _text_fault(raw: Any, kind: inspect.Type) -> str:
    if not isinstance(raw, str):
        return ""
    match kind:
        case inspect.EnumType() | inspect.LiteralType():
            return f"{_short(repr(raw))} is not one of the choices"
        case inspect.DateType():
            return f"{_short(repr(raw))} is not a date"
        case inspect.StrType(min_length=least, max_length=most):
            return _form_fault(raw, least or 0, most)
    return ""


def _form_fault(raw: str, least: int, most: int | None) -> str:
    if not raw:
        return "the text is empty"
    count = f"{len(raw)} characters" if len(raw) > 1 else "1 character"
    if len(raw) < least:
        return f"the text has {count}, too few"
    if most is not None and len(raw) > most:
        return f"the text has {count}, too many"
    return f"{_short(repr(raw))} is not in the form expected here"


def _list_fault(raw: Any, kind: inspect.Type) -> str:
    if not isinstance(raw, list | tuple) or _name(kind) != "a list":
        return ""
    if isinstance(kind, inspect.TupleType):
        return f"the list holds {len(raw)}, not {len(kind.item_types)}"
    return f"the list holds {len(raw)}" if raw else "the list is empty"


def _found(raw: Any) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, int | float):
        return _number(raw)
    if isinstance(raw, str):
        return f"the text {_short(repr(raw))}" if raw else "an empty text"
    kinds: tuple[tuple[type, str], ...] = (  # a datetime is a date too: the first that fits
        (datetime, f"a date with a time, {raw}"),
        (date, f"the date {raw}"),
        (time, f"the time {raw}"),
        (dict, "a table"),
        (list, "a list"),
        (tuple, "a list"),
    )
    return next((said for kind, said in kinds if isinstance(raw, kind)), "nothing")


def _number(raw: float) -> str:
    # Python does not spell out integers of more than some thousand digits, and TOML can write them in hexadecimal
    return str(raw) if isinstance(raw, float) or abs(raw) < 1 << 64 else f"a number of {raw.bit_length()} bits"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_MOST else f"{text[: SHOWN_MOST - 3]}..."
