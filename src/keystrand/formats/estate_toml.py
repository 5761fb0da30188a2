"""`estate.toml` to an estate, with every problem at once: file, line, field and hint."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

import msgspec

from keystrand.formats.decode import Fault, dotted, faults_of
from keystrand.formats.estate_checks import row_faults
from keystrand.formats.estate_doubts import doubts_of
from keystrand.formats.estate_references import reference_faults
from keystrand.formats.toml_lines import Path, line_index, line_of
from keystrand.model.errors import InvalidInput, Problem, UnsupportedFormat
from keystrand.model.estate import Estate

__all__ = ["judge_estate", "question_estate", "read_estate"]

_MAJOR = "1"
"""The major version of the estate's format that this release reads."""
_SYNTAX_HINT = "values need quotes unless they are numbers, dates, true or false; see https://toml.io"


def read_estate(text: str, file: str) -> Estate:
    """Return the estate that `text` declares; `file` names it in problems.

    Raises `InvalidInput` with every problem of shape and meaning in the order of the lines, and `UnsupportedFormat`
    where the text is of another major version.
    """
    raw = _parse(text, file)
    _check_version(raw, file)
    if problems := judge_estate(raw, line_index(text), file):
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise InvalidInput(f"the estate has {count}", problems=problems)
    return msgspec.convert(raw, Estate)


def judge_estate(raw: dict[str, Any], index: dict[Path, int], file: str) -> tuple[Problem, ...]:
    """Return all that keeps `raw` (an estate as builtins) from being a sound estate.

    Shape and meaning are judged together: what can be understood is judged though other parts are wrong.
    """
    return _problems([*faults_of(raw, Estate), *reference_faults(raw), *row_faults(raw)], index, file)


def question_estate(estate: Estate, index: dict[Path, int], file: str) -> tuple[Problem, ...]:
    """Return what is possible but unlikely in a sound `estate`: worth a look, no reason to stop."""
    return _problems(doubts_of(estate), index, file)


def _problems(faults: Iterable[Fault], index: dict[Path, int], file: str) -> tuple[Problem, ...]:
    made = (
        Problem(message=f.message, hint=f.hint, file=file, line=line_of(index, f.path), field=dotted(f.path))
        for f in faults
    )
    return tuple(sorted(dict.fromkeys(made), key=lambda problem: problem.line))


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(message="brackets are nested too deeply", file=file, hint=_SYNTAX_HINT)
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of a number
        message, line = _place(str(error), text)
        problem = Problem(message=message, file=file, line=line, hint=_SYNTAX_HINT)
    raise InvalidInput("the estate is not valid TOML", problems=(problem,))


def _place(message: str, text: str) -> tuple[str, int]:
    """Split the parser's message into what is wrong and the line it stands on."""
    if match := re.search(r" \(at line (\d+), column \d+\)$", message):
        return message[: match.start()], int(match[1])
    if message.endswith(" (at end of document)"):
        return message.removesuffix(" (at end of document)"), len(text.rstrip().splitlines()) or 1
    return message, 0


def _check_version(raw: dict[str, Any], file: str) -> None:
    version = raw.get("format_version")
    if isinstance(version, str) and version.partition(".")[0] != _MAJOR:
        raise UnsupportedFormat(
            f"{file} has format version {version!r}; this release reads {_MAJOR}",
            hint=f'write format_version = "{_MAJOR}", or use the release of keystrand that the estate was written for',
        )
