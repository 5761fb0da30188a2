"""The check that JSON decoders leave out: no member appears twice in one object, mostly at the price of a count.

Every member has its colon, so a body has at most as many members as colons. Where decoding found as many different ones
as there are colons, none was lost, and none appears twice. Where the count says nothing (a text holds a colon, objects
stand in objects) an exact second parse decides.
"""

import json
from functools import cache
from typing import Any, NoReturn

import msgspec
from msgspec import Struct, inspect


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice in one object")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def demand_unique_exactly(body: bytes) -> None:
    """Raise `ValueError` unless `body` is UTF-8 and JSON (RFC 8259) whose objects name each member once."""
    json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)


def demand_unique(body: bytes, made: object) -> None:
    """Raise `ValueError` as `demand_unique_exactly` does. `made` is what msgspec decoded `body` as."""
    if isinstance(made, Struct) and body.isascii():
        colons = body.count(b":")
        if colons <= 1 or colons == _certain_members(made) or colons == _outer_members(body):
            return
    demand_unique_exactly(body)


_OUTER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _outer_members(body: bytes) -> int:
    return len(_OUTER.decode(body))


def _certain_members(made: Struct) -> int:
    """Return how many different members `made` must have come from, at the least."""
    own, lists = _required(type(made))
    return own + sum(each * len(getattr(made, name)) for name, each in lists)


@cache
def _required(kind: type[Struct]) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Return how many members `kind` requires, and its required lists with how many each of their entries requires."""
    described = inspect.type_info(kind)
    if not isinstance(described, inspect.StructType):
        return 0, ()
    fields = [one for one in described.fields if one.required]
    lists = [
        (one.name, sum(member.required for member in one.type.item_type.fields))
        for one in fields
        if isinstance(one.type, inspect.VarTupleType | inspect.ListType)
        and isinstance(one.type.item_type, inspect.StructType)
    ]
    return len(fields), tuple(lists)
