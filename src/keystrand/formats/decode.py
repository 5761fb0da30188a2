"""Builtins to typed values with every problem found at once, where msgspec alone stops at the first."""

import difflib
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from keystrand.model.errors import InvalidInput, Problem

T = TypeVar("T")
Path = tuple[str | int, ...]

_UNIT_SUFFIXES = ("_km", "_m", "_db_per_km", "_db", "_years", "_days", "_s", "_ms", "_hz", "_bits_per_s", "_bits")


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


def _unknown_key(key: str, known: list[str]) -> Fault:
    same_stem = [name for name in known if _stem(name) == _stem(key)]
    if same_stem:
        return Fault((key,), "unknown key", f"the unit is part of the name: use {' or '.join(same_stem)}")
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return Fault((key,), "unknown key", f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}")


def _bare(annotation: Any) -> Any:
    """Return the type without its constraints and without `None`, to see what it is made of."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [m for m in get_args(annotation) if m is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _struct_faults(raw: dict[str, Any], kind: type[Struct]) -> list[Fault]:
    specs = {spec.encode_name: spec for spec in msgspec.structs.fields(kind)}
    faults = [_unknown_key(key, list(specs)) for key in raw if key not in specs]
    for name, spec in specs.items():
        if name in raw:
            faults += [f._replace(path=(name, *f.path)) for f in _faults(raw[name], spec.type)]
        elif spec.default is NODEFAULT and spec.default_factory is NODEFAULT:
            faults.append(Fault((), f"missing key {name!r}", f"add {name} = ..."))
    return faults


def _faults(raw: Any, annotation: Any) -> list[Fault]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Struct) and isinstance(raw, dict):
        nested = _struct_faults(raw, bare)
        return nested or _own_faults(raw, annotation)
    if get_origin(bare) in (tuple, list) and isinstance(raw, list) and get_args(bare)[1:] in ((), (Ellipsis,)):
        item = get_args(bare)[0]
        nested = [f._replace(path=(n, *f.path)) for n, value in enumerate(raw) for f in _faults(value, item)]
        return nested or _own_faults(raw, annotation)
    return _own_faults(raw, annotation)


def _own_faults(raw: Any, annotation: Any) -> list[Fault]:
    try:
        msgspec.convert(raw, annotation)
    except msgspec.ValidationError as error:
        return [Fault((), str(error).partition(" - at `")[0], _choices(annotation))]
    return []


def _choices(annotation: Any) -> str:
    bare = _bare(annotation)
    members = getattr(bare, "__members__", None)
    return f"one of: {', '.join(m.value for m in members.values())}" if members else ""


def faults_of(raw: Any, kind: type[Any]) -> list[Fault]:
    """Return everything that keeps `raw` from being a `kind`, in the order of the types."""
    return _faults(raw, kind)


def decode_all(raw: Any, kind: type[T], *, what: str, file: str = "") -> T:
    """Return `raw` (builtins, as `tomllib` or `json` give them) as a `kind`.

    Raises `InvalidInput` with every problem at once. `what` names the input in the message.
    """
    if faults := faults_of(raw, kind):
        problems = tuple(Problem(message=f.message, hint=f.hint, file=file, field=dotted(f.path)) for f in faults)
        raise InvalidInput(f"{what} has {len(faults)} problem(s)", problems=problems)
    return msgspec.convert(raw, kind)
