"""A key policy from TOML, every problem at once with its file, line, field and hint.

Shape and meaning are judged together, on builtins, so that one faulty entry does not hide what is wrong with another.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from keystrand.formats.decode import Fault, Path, near_name
from keystrand.formats.estate_references import rows
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.key_policy import KeyPolicy

Raw = dict[str, Any]

_GUIDE = "the guide 'Write a key policy' shows every table with an example"
_NAMES = {
    "profile": "name", "allow": "id", "deny": "id", "region_exception": "id", "quota": "id", "transport": "id",
    "rotation": "id", "test": "name",
}  # fmt: skip
"""Each kind of entry and what it is called by."""


def key_policy_from_toml(text: str, file: str) -> KeyPolicy:
    """Return the key policy in `text`; `file` names it in problems. Raises `InvalidInput` with every problem."""
    try:
        return read_toml(text, KeyPolicy, file=file, what=f"the key policy {file}", further=_meaning)
    except InvalidInput as error:
        problems = tuple(_hinted(problem) for problem in error.problems)
        raise InvalidInput(error.message, hint=error.hint, problems=problems) from None


def _hinted(problem: Problem) -> Problem:
    return problem if problem.hint else replace(problem, hint=_GUIDE)


def _meaning(raw: Raw) -> Iterator[Fault]:
    yield from _repeated_names(raw)
    yield from _unknown_profiles(raw)
    yield from _default_faults(raw)
    yield from _circles(raw)
    yield from _repeated_patterns(raw, "allow", partial(_pairs, both_ways=False))
    yield from _repeated_patterns(raw, "rotation", partial(_pairs, both_ways=True))
    yield from _repeated_patterns(raw, "quota", _single)
    yield from _repeated_patterns(raw, "transport", _single)


def _repeated_names(raw: Raw) -> Iterator[Fault]:
    for kind, key in _NAMES.items():
        seen: set[str] = set()
        for n, row in rows(raw, kind):
            name = row.get(key)
            if isinstance(name, str) and name in seen:
                yield Fault(
                    (kind, n, key), f"there is already a [[{kind}]] called {name!r}", f"give each its own {key}"
                )
            elif isinstance(name, str):
                seen.add(name)


def _profile_names(raw: Raw) -> Iterator[tuple[Path, str]]:
    """Yield every place of `raw` that names a profile."""
    yield from _texts(raw.get("default_profiles"), ("default_profiles",))
    for kind, keys in (("allow", ("profiles",)), ("deny", ("profiles",)), ("region_exception", ("profile",)),
                       ("test", ("profile", "fallback", "wants"))):  # fmt: skip
        for n, row in rows(raw, kind):
            for key in keys:
                yield from _texts(row.get(key), (kind, n, key))
    for n, row in rows(raw, "profile"):
        if isinstance(told := row.get("exhaustion"), dict):
            yield from _texts(told.get("degrade_to"), ("profile", n, "exhaustion", "degrade_to"))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (((*path, n), item) for n, item in enumerate(value) if isinstance(item, str))


def _unknown_profiles(raw: Raw) -> Iterator[Fault]:
    known = [row["name"] for _, row in rows(raw, "profile") if isinstance(row.get("name"), str)]
    if not known:
        return  # reported once, where the profiles are missing
    for path, name in _profile_names(raw):
        if name not in known:
            near = near_name(name, known)
            hint = f"did you mean {near!r}?" if near else f"profiles here: {', '.join(known[:8])}"
            yield Fault(path, f"no profile is called {name!r}", hint)


def _default_faults(raw: Raw) -> Iterator[Fault]:
    default, profiles = raw.get("default"), raw.get("default_profiles")
    if default == "allow" and not profiles:
        hint = 'add default_profiles = ["..."], the preferred one first, or write default = "deny"'
        yield Fault(("default",), "nothing says which profiles the default allows", hint)
    if default == "deny" and profiles:
        yield Fault(
            ("default_profiles",), 'default = "deny" allows no profile', "remove it, or name it in an [[allow]]"
        )


def _circles(raw: Raw) -> Iterator[Fault]:
    """Yield each profile that degrades, by way of others, to itself."""
    leads = {}
    for _, row in rows(raw, "profile"):
        match row:
            case {"name": str(name), "exhaustion": {"degrade_to": str(other)}}:
                leads[name] = other
    for n, row in rows(raw, "profile"):
        start = row.get("name")
        way = [start] if isinstance(start, str) else []
        while way and way[-1] in leads and way.count(way[-1]) == 1:
            way.append(leads[way[-1]])
        if len(way) > 1 and way[-1] == way[0]:
            text = f"degrades to itself: {' -> '.join(way)}"
            yield Fault(("profile", n, "exhaustion", "degrade_to"), text, 'end the chain with mode = "fail" or "wait"')


def _pairs(row: Raw, *, both_ways: bool) -> Sequence[tuple[str, ...]]:
    """Return the pairs that an entry decides for, each with a link; `both_ways` holds where the entry is silent."""
    match row:
        case {"master": str(master), "slave": str(slave)}:
            links = row.get("links") or [""]
            names = [link for link in links if isinstance(link, str)] if isinstance(links, list) else []
            ways = [(master, slave), (slave, master)] if row.get("both_ways", both_ways) is True else [(master, slave)]
            return [(*way, link) for way in ways for link in names]
    return []


def _single(row: Raw) -> Sequence[tuple[str, ...]]:
    return [(row["sae"],)] if isinstance(row.get("sae"), str) else []


def _repeated_patterns(raw: Raw, kind: str, keys_of: Callable[[Raw], Sequence[tuple[str, ...]]]) -> Iterator[Fault]:
    """Yield the entries that an earlier one with the same patterns leaves nothing to decide."""
    seen: dict[tuple[str, ...], Any] = {}
    for n, row in rows(raw, kind):
        keys = keys_of(row)
        if taken := next((key for key in keys if key in seen), None):
            other = seen[taken]
            patterns = " and ".join(part for part in taken if part)
            hint = f"join it with {other!r}, or make one of the two more specific"
            yield Fault((kind, n), f"[[{kind}]] {other!r} already decides for {patterns}", hint)
        for key in keys:
            seen.setdefault(key, row.get("id"))
