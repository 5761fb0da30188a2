"""Builtins to typed values with every problem found at once, where msgspec alone stops at the first."""

import difflib
import math
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from keystrand.formats.decode_words import choices, complaint, expectation, quoting

Path = tuple[str | int, ...]

_UNITS = (
    "km m mi miles metres meters feet db_per_km db_km db percent ratio years months days hours minutes seconds s ms hz "
    "bits_per_s bits bps kbps"
)
# The longest first: "_bits_per_s" ends in "_s" too.
_UNIT_SUFFIXES = tuple(sorted((f"_{unit}" for unit in _UNITS.split()), key=len, reverse=True))


class Fault(NamedTuple):
    """A problem at a path in the input."""

    path: Path
    message: str
    hint: str = ""


def dotted(path: Path) -> str:
    """Return `path` as people write it: `site[2].latitude`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _stem(key: str) -> str:
    return next((key.removesuffix(s) for s in _UNIT_SUFFIXES if key.endswith(s)), key)


def near_name(name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that `name` most likely means, or an empty string."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), "")


def _meant(key: str, known: list[str]) -> tuple[list[str], str]:
    """Return the known keys that an unknown `key` may stand for, and the hint that says so."""
    if same_stem := [name for name in known if _stem(name) == _stem(key)]:
        return same_stem, f"the unit is part of the name: use {' or '.join(same_stem)}"
    if near := near_name(key, known):
        return [near], f"did you mean {near!r}?"
    return [], f"known here: {', '.join(known)}"


def _bare(annotation: Any) -> Any:
    """Return the type without its constraints and without `None`, to see what it is made of."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [m for m in get_args(annotation) if m is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _item_type(bare: Any) -> Any:
    """Return the type of the elements of a list or tuple of any length, or None where it is not one."""
    if get_origin(bare) in (tuple, list) and get_args(bare)[1:] in ((), (Ellipsis,)):
        return get_args(bare)[0]
    return None


def _struct_faults(raw: dict[str, Any], kind: type[Struct]) -> list[Fault]:
    specs = {spec.encode_name: spec for spec in msgspec.structs.fields(kind)}
    faults: list[Fault] = []
    misspelt: set[str] = set()
    for key in (key for key in raw if key not in specs):
        meant, hint = _meant(key, list(specs))
        faults.append(Fault((key,), "unknown key", hint))
        misspelt.update(meant)
    for name, spec in specs.items():
        if name in raw:
            faults += _below(name, _faults(raw[name], spec.type))
        elif spec.required and name not in misspelt:
            faults.append(Fault((name,), "missing key", _how_to_add(name, spec.type)))
    return faults


def _how_to_add(name: str, annotation: Any) -> str:
    bare = _bare(annotation)
    if _is_struct(bare):
        return f"add a table [{name}]"
    if _is_struct(_bare(_item_type(bare))):
        return f"add at least one [[{name}]]"
    return f"add {name} = ..., {expectation(annotation)}"


def _below(part: str | int, faults: list[Fault]) -> list[Fault]:
    return [fault._replace(path=(part, *fault.path)) for fault in faults]


def _faults(raw: Any, annotation: Any) -> list[Fault]:
    bare = _bare(annotation)
    nested: list[Fault] = []
    if _is_struct(bare) and isinstance(raw, dict):
        nested = _struct_faults(raw, bare)
    elif isinstance(raw, list | tuple) and (item := _item_type(bare)) is not None:
        nested = [f for n, value in enumerate(raw) for f in _below(n, _faults(value, item))]
    elif isinstance(raw, dict) and get_origin(bare) is dict:
        named, held = get_args(bare)
        nested = [f for k, v in raw.items() for f in _below(str(k), [*_faults(k, named), *_faults(v, held)])]
    elif isinstance(raw, list | tuple) and get_origin(bare) is tuple and len(raw) == len(get_args(bare)):
        nested = [f for n, value in enumerate(raw) for f in _below(n, _faults(value, get_args(bare)[n]))]
    return nested or _own_faults(raw, annotation)


def _own_faults(raw: Any, annotation: Any) -> list[Fault]:
    if isinstance(raw, float) and not math.isfinite(raw):
        return [Fault((), f"{raw} is not a number that can be used", f"write {expectation(annotation)}")]
    try:
        msgspec.convert(raw, annotation)
    except msgspec.ValidationError as error:
        if isinstance(raw, dict) and _is_struct(_bare(annotation)):
            return [Fault((), str(error).partition(" - at `")[0])]  # the type's own words: its parts are sound
        return [Fault((), complaint(raw, annotation), _what_to_write(raw, annotation))]
    return []


def _what_to_write(raw: Any, annotation: Any) -> str:
    if brackets := _one_or_many(raw, annotation):
        return brackets
    near = near_name(raw, choices(annotation)) if isinstance(raw, str) else ""
    meant = f"did you mean {near!r}? " if near else ""
    return f"{meant}write {expectation(annotation)}{quoting(raw, annotation)}"


def _one_or_many(raw: Any, annotation: Any) -> str:
    bare = _bare(annotation)
    if isinstance(raw, dict) and _is_struct(_bare(_item_type(bare))):
        return "there may be several: write its header with two brackets, [[...]]"
    if isinstance(raw, list | tuple) and _is_struct(bare):
        return "there is one only: write its header with one bracket, [...]"
    return ""


def faults_of(raw: Any, kind: type[Any]) -> list[Fault]:
    """Return everything that keeps `raw` from being a `kind`, in the order of the types."""
    return _faults(raw, kind)


def sound_fields(raw: dict[str, Any], kind: type[Struct]) -> dict[str, Any]:
    """Return by name what `raw` says soundly of a `kind`, so that one faulty field does not hide what others mean.

    A field left out has its default, or is left out here too where it must be given or an unknown key may stand for it.
    """
    specs = {spec.encode_name: spec for spec in msgspec.structs.fields(kind)}
    misspelt = {name for key in raw if key not in specs for name in _meant(key, list(specs))[0]}
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        if name not in raw and not spec.required and name not in misspelt:
            found[spec.name] = spec.default if spec.default_factory is NODEFAULT else spec.default_factory()
        elif name in raw and not _faults(raw[name], spec.type):
            found[spec.name] = msgspec.convert(raw[name], spec.type)
    return found
