"""The kinds of values that an expression may have, and the places where expressions stand."""

from typing import NamedTuple

from keystrand.formats.source.tree import Assignment, Branch, Call, Expr, Generic, Member, Ref, Scope


class Place(NamedTuple):
    """Where an expression stands, and the calls that its functions were entered by, innermost last."""

    scope: Scope
    at: int
    branch: Branch = ()
    entered: tuple[tuple[Scope, Call, "Place"], ...] = ()


class Constant(NamedTuple):
    """A value that stands in the source. `HOLE` in a text is what could not be resolved."""

    value: str | bytes | int | bool | None


class Named(NamedTuple):
    """Something of a library: the qualified names it may have."""

    names: tuple[str, ...]


class Made(NamedTuple):
    """What a call gives."""

    call: Call
    place: Place


class Listed(NamedTuple):
    """A list or array: its items, or its length alone."""

    items: tuple[Expr, ...]
    length: int | None
    place: Place


class Paired(NamedTuple):
    """A dictionary or an object."""

    pairs: tuple[tuple[Expr, Expr], ...]
    place: Place


class Local(NamedTuple):
    """A function or class of this file."""

    scope: Scope


class Instance(NamedTuple):
    """An object of which only the declared type is known."""

    kind: Expr
    place: Place


Value = Constant | Named | Made | Listed | Paired | Local | Instance


def reaching(assigned: list[Assignment], scope: Scope, place: Place) -> tuple[list[Assignment], bool]:
    """Return the assignments whose value may be the one at `place`, and whether one of them must have happened."""
    here = scope is place.scope
    before = [a for a in assigned if a.at <= place.at and _compatible(a.branch, place.branch)] if here else assigned
    found: list[Assignment] = []
    for one in reversed(before):
        found.append(one)
        certain = one.branch == place.branch[: len(one.branch)] if here else not one.branch
        if certain:
            return found, True
    return (found, False) if found or not here else (list(assigned), False)


def _compatible(one: Branch, other: Branch) -> bool:
    """Return whether both places can be passed in one run: they are not two arms of one condition."""
    arms = dict(one)
    return all(arms.get(node, arm) == arm for node, arm in other)


def argument_for(scope: Scope, number: int, call: Call) -> Expr | None:
    """Return what `call` gives for the parameter, or None."""
    name = scope.parameters[number].name
    if name in call.named:
        return call.named[name]
    own = bool(scope.parameters) and scope.parameters[0].name in ("self", "cls")
    at = number - (1 if own else 0)
    return call.items[at] if 0 <= at < len(call.items) else None


def last_name(function: Expr) -> str:
    """Return the last part of a function's name, or an empty text."""
    while isinstance(function, Generic):
        function = function.base
    return function.name if isinstance(function, Ref | Member) else ""
