"""Changes to an estate that somebody only thinks of: `system.NAME.vendor_ready=2029-01-01`."""

import tomllib
from typing import Any

from keystrand.model.errors import InvalidInput, Problem

_FORM = (
    "write it as NOUN.ID.FIELD=VALUE, such as system.payments.vendor_ready=2029-01-01; no value takes the field away"
)


def changed(raw: dict[str, Any], changes: tuple[str, ...]) -> dict[str, Any]:
    """Return `raw` (an estate as builtins) with every change made in place.

    Raises `InvalidInput` for a change of another form, and for one whose row is not there.
    """
    for change in changes:
        place, equals, value = change.partition("=")
        words = place.strip().split(".")
        if not equals or len(words) < 2:
            raise InvalidInput(f"--set {change!r} is no change of an estate", hint=_FORM)
        row = _row(raw, words[:-1], change)
        if value.strip():
            row[words[-1]] = _value(value.strip())
        else:
            row.pop(words[-1], None)
    return raw


def _row(raw: dict[str, Any], words: list[str], change: str) -> dict[str, Any]:
    """Return the table that `words` lead to: of a list of tables, the one of that id."""
    here: Any = raw
    for n, word in enumerate(words):
        if isinstance(here, list):
            found = next((row for row in here if isinstance(row, dict) and row.get("id") == word), None)
        else:
            found = here.get(word) if isinstance(here, dict) else None
        if not isinstance(found, dict | list):
            known = sorted(str(row.get("id")) for row in here) if isinstance(here, list) else []
            hint = f"there are {', '.join(known[:12])}" if known else _FORM
            problem = Problem(message=f"the estate has no {'.'.join(words[: n + 1])}", hint=hint, field=change)
            raise InvalidInput(problem.message, hint=hint, problems=(problem,))
        here = found
    if not isinstance(here, dict):
        raise InvalidInput(f"--set {change!r} does not name one row", hint=_FORM)
    return here


def _value(text: str) -> Any:
    """Return the TOML value that `text` is, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
