"""Policies, positions and threat curves from TOML, one record a file, every problem at once with its line."""

import re
import tomllib
from collections import Counter
from typing import Any, TypeVar

import msgspec

from keystrand.formats.decode import Fault, Path, dotted, faults_of
from keystrand.formats.toml_lines import line_index, line_of
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.policy import Policy, Position, ThreatCurve

T = TypeVar("T")


def policy_from_toml(text: str, file: str) -> Policy:
    """Return the policy in `text`. Raises `InvalidInput` with every problem, each with its line in `file`."""
    return _decode(text, file, Policy, "policy")


def position_from_toml(text: str, file: str) -> Position:
    """Return the position on quantum key distribution in `text`. Raises `InvalidInput` as above."""
    return _decode(text, file, Position, "position")


def curve_from_toml(text: str, file: str) -> ThreatCurve:
    """Return the threat curve in `text`. Raises `InvalidInput` as above, also where it is no distribution."""
    return _decode(text, file, ThreatCurve, "threat curve")


def _decode(text: str, file: str, kind: type[T], what: str) -> T:
    raw = _parse(text, file)
    if faults := [*faults_of(raw, kind), *_repeated_rules(raw)]:
        lines = line_index(text)
        problems = tuple(_problem(fault, file, lines) for fault in faults)
        raise InvalidInput(f"{what} {file} has {len(faults)} problem(s)", problems=problems)
    return msgspec.convert(raw, kind)


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # Python's own limits on digits and on nesting included
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else len(text.rstrip().splitlines())
        problem = Problem(message=str(error), file=file, line=line, hint="the file must be valid TOML")
        raise InvalidInput(f"{file} is not valid TOML", problems=(problem,)) from error


def _repeated_rules(raw: dict[str, Any]) -> list[Fault]:
    rules = raw.get("rules", [])
    ids = [rule.get("id") for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    repeated = {name for name, count in Counter(map(str, ids)).items() if count > 1}
    return [
        Fault(("rules", n, "id"), f"rule {name!r} stands here more than once", "give each rule its own id")
        for n, name in enumerate(map(str, ids))
        if name in repeated
    ]


def _problem(fault: Fault, file: str, lines: dict[Path, int]) -> Problem:
    return Problem(
        message=fault.message, hint=fault.hint, file=file, line=line_of(lines, fault.path), field=dotted(fault.path)
    )
