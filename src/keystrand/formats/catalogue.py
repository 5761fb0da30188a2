"""Policies, positions and threat curves from TOML, one record a file, every problem at once with its line."""

from collections import Counter
from typing import Any, TypeVar

from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import read_toml
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
    return read_toml(text, kind, file=file, what=f"{what} {file}", further=_repeated_rules)


def _repeated_rules(raw: dict[str, Any]) -> list[Fault]:
    rules = raw.get("rules", [])
    ids = [rule.get("id") for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    repeated = {name for name, count in Counter(map(str, ids)).items() if count > 1}
    return [
        Fault(("rules", n, "id"), f"rule {name!r} stands here more than once", "give each rule its own id")
        for n, name in enumerate(map(str, ids))
        if name in repeated
    ]
