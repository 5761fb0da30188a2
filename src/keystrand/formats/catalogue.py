"""Policies, positions and threat curves from TOML, one record a file, every problem at once with its line."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TypeVar

from keystrand.formats.decode import Fault, near_name, sound_fields
from keystrand.formats.estate_references import rows
from keystrand.formats.toml_input import parse_toml, read_toml
from keystrand.model.control import Control
from keystrand.model.likelihood import HarvestSet
from keystrand.model.policy import Policy, Position, Source, Status, ThreatCurve

T = TypeVar("T")
Raw = dict[str, Any]
CatalogueRecord = Policy | Position | ThreatCurve


def policy_from_toml(text: str, file: str) -> Policy:
    """Return the policy in `text`. Raises `InvalidInput` with every problem, each with its line in `file`."""
    return _decode(text, file, Policy, "policy")


def position_from_toml(text: str, file: str) -> Position:
    """Return the position on quantum key distribution in `text`. Raises `InvalidInput` as above."""
    return _decode(text, file, Position, "position")


def curve_from_toml(text: str, file: str) -> ThreatCurve:
    """Return the threat curve in `text`. Raises `InvalidInput` as above, also where it is no distribution."""
    return _decode(text, file, ThreatCurve, "threat curve")


def harvest_from_toml(text: str, file: str) -> HarvestSet:
    """Return the set of likelihoods in `text`. Raises `InvalidInput` as above, also where a network stands twice."""
    return read_toml(text, HarvestSet, file=file, what=f"set of likelihoods {file}", further=_repeated_networks)


def _repeated_networks(raw: Raw) -> Iterator[Fault]:
    seen: set[str] = set()
    for n, row in rows(raw, "likelihoods"):
        if (network := str(row.get("network"))) in seen:
            yield Fault(
                ("likelihoods", n, "network"), f"network {network!r} stands here twice", "leave one of them out"
            )
        seen.add(network)


def control_from_toml(text: str, file: str) -> Control:
    """Return the control in `text`. Raises `InvalidInput` as above."""
    return read_toml(text, Control, file=file, what=f"control {file}")


def record_from_toml(text: str, file: str) -> CatalogueRecord | None:
    """Return the record in `text`, whichever kind it is by what it says; None where it is none of them.

    Raises `InvalidInput` as above, also where it is not TOML.
    """
    raw = parse_toml(text, file=file, what=file)
    for marks, read in _MARKS:
        if marks & raw.keys():
            return read(text, file)
    return None


def _decode(text: str, file: str, kind: type[T], what: str) -> T:
    return read_toml(text, kind, file=file, what=f"{what} {file}", further=_meaning)


_MARKS: tuple[tuple[frozenset[str], Callable[[str, str], CatalogueRecord]], ...] = (
    (frozenset({"anchors", "origin"}), curve_from_toml),
    (frozenset({"stance", "authority", "applies_to"}), position_from_toml),
    (frozenset({"rules", "undated", "addressees", "force", "jurisdictions"}), policy_from_toml),
)
"""Keys that only one kind of record has. A key policy has none of them."""


def _meaning(raw: Raw) -> Iterator[Fault]:
    """Yield what the types cannot tell: of dates that contradict each other, of rules and tests, of what follows."""
    yield from _repeated_rules(raw)
    yield from _source_dates(raw.get("source"))
    if "status" in raw:  # a policy; positions and curves have none
        yield from _dated_or_not(raw)
        yield from _successor(raw)
        yield from _tests(raw)


def _repeated_rules(raw: Raw) -> Iterator[Fault]:
    ids = [(n, str(rule.get("id"))) for n, rule in rows(raw, "rules")]
    count = Counter(name for _, name in ids)
    for n, name in ids:
        if count[name] > 1:
            yield Fault(("rules", n, "id"), f"rule {name!r} stands here more than once", "give each rule its own id")


def _source_dates(source: Any) -> Iterator[Fault]:
    given = sound_fields(source, Source) if isinstance(source, dict) else {}
    match given:
        case {"published": published, "as_of": as_of} if as_of < published:
            yield Fault(("source", "as_of"), f"read on {as_of}, before it was published on {published}",
                        "as_of is the day on which you read it")  # fmt: skip
    match given:
        case {"as_of": as_of, "expires": date() as expires} if expires < as_of:
            yield Fault(("source", "expires"), f"the reading of {as_of} ends on {expires}, before it began",
                        "expires is the last day on which it counts without being read again")  # fmt: skip
    match given:
        case {"published": day, "precision": precision} if not precision.ends(day):
            yield Fault(("source", "published"), f"{day} is not the last day of its {precision}",
                        f"where only the {precision} is known, write its last day")  # fmt: skip


def _dated_or_not(raw: Raw) -> Iterator[Fault]:
    if not raw.get("rules") and not raw.get("undated"):
        yield Fault(("rules",), "no rule is here", "add at least one [[rules]], or undated = ... to say why none is")
    if raw.get("rules") and raw.get("undated"):
        yield Fault(("undated",), "says why there is no rule, and there are rules", "remove undated, or the rules")


def _successor(raw: Raw) -> Iterator[Fault]:
    if raw["status"] == Status.SUPERSEDED and "superseded_by" not in raw:
        yield Fault(("status",), "superseded, and nothing says by what", "add superseded_by = ..., an id")
    if raw["status"] != Status.SUPERSEDED and "superseded_by" in raw:
        yield Fault(("superseded_by",), f"the status is {raw['status']!r}", 'write status = "superseded", or remove it')


def _tests(raw: Raw) -> Iterator[Fault]:
    known = [str(rule.get("id")) for _, rule in rows(raw, "rules")]
    for n, case in rows(raw, "test"):
        name = case.get("rule")
        if isinstance(name, str) and name not in known:
            near = near_name(name, known)
            hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(known) or 'none'}"
            yield Fault(("test", n, "rule"), f"no rule is called {name!r}", hint)
