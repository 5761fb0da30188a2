"""A TOML text to a typed value, with every problem at once: file, line, field and hint."""

import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from keystrand.formats.decode import Fault, dotted, faults_of
from keystrand.formats.toml_lines import Path, line_index, line_of
from keystrand.model.errors import InvalidInput, Problem

T = TypeVar("T")

_SYNTAX_HINT = "values need quotes unless they are numbers, dates, true or false; see https://toml.io"


def read_toml(
    text: str,
    kind: type[T],
    *,
    file: str,
    what: str,
    further: Callable[[dict[str, Any]], Iterable[Fault]] = lambda _: (),
) -> T:
    """Return what `text` says as a `kind`. `further` judges what the types cannot; it is given builtins of any shape.

    Raises `InvalidInput` with every problem in the order of the lines; `what` names the input in its message.
    """
    raw = parse_toml(text, file=file, what=what)
    if problems := problems_of([*faults_of(raw, kind), *further(raw)], line_index(text), file):
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise InvalidInput(f"{what} has {count}", problems=problems)
    return msgspec.convert(raw, kind)


def parse_toml(text: str, *, file: str, what: str) -> dict[str, Any]:
    """Return the builtins that `text` spells. Raises `InvalidInput` with the line where it is not TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(message="brackets are nested too deeply", file=file, hint=_SYNTAX_HINT)
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of a number
        message, line = _place(str(error), text)
        problem = Problem(message=message, file=file, line=line, hint=_SYNTAX_HINT)
    raise InvalidInput(f"{what} is not valid TOML", problems=(problem,))


def problems_of(faults: Iterable[Fault], index: dict[Path, int], file: str) -> tuple[Problem, ...]:
    """Return `faults` as problems with their lines, each once, in the order of the lines."""
    made = (
        Problem(message=f.message, hint=f.hint, file=file, line=line_of(index, f.path), field=dotted(f.path))
        for f in faults
    )
    return tuple(sorted(dict.fromkeys(made), key=lambda problem: problem.line))


def _place(message: str, text: str) -> tuple[str, int]:
    """Split the parser's message into what is wrong and the line it stands on."""
    if match := re.search(r" \(at line (\d+), column \d+\)$", message):
        return message[: match.start()], int(match[1])
    if message.endswith(" (at end of document)"):
        return message.removesuffix(" (at end of document)"), len(text.rstrip().splitlines()) or 1
    return message, 0
