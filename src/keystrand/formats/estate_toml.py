"""`estate.toml` to an estate, with every problem at once: file, line, field and hint."""

from collections.abc import Collection
from typing import Any

import msgspec

from keystrand.formats.decode import Fault, faults_of
from keystrand.formats.estate_checks import row_faults
from keystrand.formats.estate_doubts import doubts_of
from keystrand.formats.estate_references import reference_faults
from keystrand.formats.toml_input import parse_toml, problems_of
from keystrand.formats.toml_lines import Path, line_index
from keystrand.model.errors import InvalidInput, Problem, UnsupportedFormat
from keystrand.model.estate import Estate

__all__ = ["judge_estate", "question_estate", "read_estate"]

_MAJOR = "1"
"""The major version of the estate's format that this release reads."""


def read_estate(text: str, file: str, policies: Collection[str]) -> Estate:
    """Return the estate that `text` declares; `file` names it in problems, `policies` are the ids that may bind it.

    Raises `InvalidInput` with every problem of shape and meaning in the order of the lines, and `UnsupportedFormat`
    where the text is of another major version.
    """
    raw = parse_toml(text, file=file, what="the estate")
    index = line_index(text)
    _check_version(raw, index, file)
    if problems := judge_estate(raw, index, file, policies):
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise InvalidInput(f"the estate has {count}", problems=problems)
    return msgspec.convert(raw, Estate)


def judge_estate(
    raw: dict[str, Any], index: dict[Path, int], file: str, policies: Collection[str]
) -> tuple[Problem, ...]:
    """Return all that keeps `raw` (an estate as builtins) from being a sound estate.

    Shape and meaning are judged together: what can be understood is judged though other parts are wrong.
    """
    return problems_of([*faults_of(raw, Estate), *reference_faults(raw, policies), *row_faults(raw)], index, file)


def question_estate(estate: Estate, index: dict[Path, int], file: str) -> tuple[Problem, ...]:
    """Return what is possible but unlikely in a sound `estate`: worth a look, no reason to stop."""
    return problems_of(doubts_of(estate), index, file)


def _check_version(raw: dict[str, Any], index: dict[Path, int], file: str) -> None:
    version = raw.get("format_version")
    if type(version) in (str, int, float) and str(version).partition(".")[0] != _MAJOR:
        hint = f'write format_version = "{_MAJOR}", or use the release of keystrand that the estate was written for'
        fault = Fault(("format_version",), f"this release reads format version {_MAJOR}, not {version}", hint)
        raise UnsupportedFormat(
            f"the estate has format version {version}; this release reads {_MAJOR}",
            hint=hint,
            problems=problems_of([fault], index, file),
        )
