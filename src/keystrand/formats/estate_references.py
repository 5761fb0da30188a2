"""What holds between the nouns of an estate: ids are unique, references lead somewhere, dependencies end.

Read from builtins, so that one faulty field does not hide the rest.
"""

from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import msgspec

from keystrand.formats.decode import Fault, Path, faults_of, near_name
from keystrand.model.estate import Estate, Layer
from keystrand.model.units import Identifier


class Reference(NamedTuple):
    """A field of one noun that holds the id (or ids) of another."""

    noun: str
    keys: tuple[str, ...]
    names: str


_OWNERS = tuple(Reference(noun, ("owners", layer.value), "owner") for noun in ("system", "segment") for layer in Layer)
REFERENCES: tuple[Reference, ...] = (
    Reference("site", ("region",), "region"),
    Reference("site", ("trust_zone",), "trust_zone"),
    Reference("system", ("site",), "site"),
    Reference("system", ("data_classes",), "data_class"),
    Reference("system", ("segments",), "segment"),
    Reference("system", ("depends_on",), "system"),
    Reference("segment", ("a",), "site"),
    Reference("segment", ("b",), "site"),
    Reference("segment", ("via",), "site"),
    Reference("segment", ("quantum", "accepted_by"), "owner"),
    Reference("target", ("system",), "system"),
    Reference("rule", ("system",), "system"),
    Reference("pilot", ("segment",), "segment"),
    Reference("freeze", ("owners",), "owner"),
    Reference("waiver", ("systems",), "system"),
    Reference("waiver", ("regions",), "region"),
    Reference("waiver", ("owner",), "owner"),
    Reference("demand", ("a",), "site"),
    Reference("demand", ("b",), "site"),
    Reference("demand", ("zones",), "trust_zone"),
    Reference("demand", ("regions",), "region"),
    *_OWNERS,
)

_REQUIRED = tuple(spec.name for spec in msgspec.structs.fields(Estate) if spec.required)
_NOUNS = ("region", "trust_zone", "owner", "site", "data_class", "system", "segment", "target", "rule", "pilot",
          "freeze", "waiver", "demand")  # fmt: skip


def reference_faults(raw: dict[str, Any], policies: Collection[str]) -> list[Fault]:
    """Return what is wrong between the nouns of `raw` (an estate as builtins), and the `policies` (ids) it names.

    Where `policies` are given with the ids of their rules, the rules that a waiver names are judged too.
    """
    rules = _unknown_rules(raw, policies) if isinstance(policies, Mapping) else ()
    return [*_duplicates(raw), *_dangling(raw), *_unknown_policies(raw, policies), *rules, *_cycles(raw)]


def rows(raw: dict[str, Any], noun: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the tables of `noun` in `raw`, each with its number.

    A single table, written where there may be several, counts as the first; what is not a table is left out.
    """
    tables = raw.get(noun)
    if isinstance(tables, dict):
        return [(0, tables)]
    return (
        [(n, row) for n, row in enumerate(tables) if isinstance(row, dict)] if isinstance(tables, list | tuple) else []
    )


def _ids(raw: dict[str, Any], noun: str) -> list[str]:
    return [row["id"] for _, row in rows(raw, noun) if isinstance(row.get("id"), str)]


def _names_at(row: Any, keys: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Return the ids in the field `keys` of `row`, each with its path below `row`."""
    for key in keys:
        row = row.get(key) if isinstance(row, dict) else None
    if isinstance(row, list | tuple):
        return [((*keys, n), name) for n, name in enumerate(row) if isinstance(name, str)]
    return [(keys, row)] if isinstance(row, str) else []


def _duplicates(raw: dict[str, Any]) -> Iterator[Fault]:
    for noun in _NOUNS:
        seen: set[str] = set()
        for n, row in rows(raw, noun):
            name = row.get("id")
            if isinstance(name, str) and name in seen:
                yield Fault((noun, n, "id"), f"there is already a {noun} called {name!r}", "give each its own id")
            elif isinstance(name, str):
                seen.add(name)


def _dangling(raw: dict[str, Any]) -> Iterator[Fault]:
    for reference in REFERENCES:
        if not _all_named(raw, reference.names):
            continue  # reported once, where the id or the noun is faulty
        known = dict.fromkeys(_ids(raw, reference.names))
        for n, row in rows(raw, reference.noun):
            for path, name in _names_at(row, reference.keys):
                if name not in known:
                    message = f"no {reference.names} is called {name!r}"
                    hint = _what_is_there(name, reference.names, list(known))
                    yield Fault((reference.noun, n, *path), message, hint)


def _all_named(raw: dict[str, Any], noun: str) -> bool:
    """Return whether the ids of `noun` are all there and sound: if not, a reference to one may only look wrong."""
    if noun not in raw:
        return noun not in _REQUIRED and raw.keys() <= set(Estate.__struct_fields__)
    tables = raw[noun] if isinstance(raw[noun], list | tuple) else [raw[noun]]
    return all(isinstance(row, dict) and "id" in row and not faults_of(row["id"], Identifier) for row in tables)


def _unknown_policies(raw: dict[str, Any], policies: Collection[str]) -> Iterator[Fault]:
    waived = [
        (("waiver", n, *path), name) for n, row in rows(raw, "waiver") for path, name in _names_at(row, ("policy",))
    ]
    for path, name in [*_names_at(raw, ("organisation", "obligations")), *waived]:
        if name not in policies:
            near = near_name(name, policies)
            hint = f"did you mean {near!r}?" if near else f"known policies: {', '.join(sorted(policies))}"
            yield Fault(path, f"no policy is called {name!r}", hint)


def _unknown_rules(raw: dict[str, Any], policies: Mapping[str, Collection[str]]) -> Iterator[Fault]:
    for n, row in rows(raw, "waiver"):
        policy = row.get("policy")
        if not isinstance(policy, str) or policy not in policies:
            continue  # reported once, where the policy is named
        known = sorted(policies[policy])
        for path, name in _names_at(row, ("rules",)):
            if name not in known:
                near = near_name(name, known)
                hint = f"did you mean {near!r}?" if near else f"its rules: {', '.join(known) or 'none'}"
                yield Fault(("waiver", n, *path), f"policy {policy!r} has no rule {name!r}", hint)


def _what_is_there(name: str, noun: str, known: list[str]) -> str:
    if near := near_name(name, known):
        return f"did you mean {near!r}?"
    listed = f"known: {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}; or " if known else ""
    return f"{listed}add a [[{noun}]] with this id"


def _cycles(raw: dict[str, Any]) -> Iterator[Fault]:
    """Yield each cycle of dependencies once: a cycle found is cut at one edge, and the search goes on."""
    graph = {
        row["id"]: {name for _, name in _names_at(row, ("depends_on",))}
        for _, row in rows(raw, "system")
        if isinstance(row.get("id"), str)
    }
    places = {row.get("id"): n for n, row in rows(raw, "system") if isinstance(row.get("id"), str)}
    while cycle := _one_cycle(graph):
        start, then = cycle[0], cycle[1]
        graph[start].discard(then)
        chain = " -> ".join(cycle)
        yield Fault(
            ("system", places[start], "depends_on"), f"depends on itself: {chain}", "cut the circle at one place"
        )


def _one_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle as a list of ids, each depending on the next, the first again at the end; empty if none."""
    try:
        TopologicalSorter({name: sorted(graph[name]) for name in graph}).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][:0:-1]  # graphlib lists dependencies first, and the first one twice
        at = ring.index(min(ring))
        return [*ring[at:], *ring[:at], ring[at]]
    return []
