"""Small questions of the matching that need no state."""

import re
from functools import lru_cache

from keystrand.formats.source.parts import Parts, named
from keystrand.formats.source.rules import Match, RuleSet
from keystrand.formats.source.tree import (
    Call,
    Choice,
    Expr,
    Generic,
    Item,
    Member,
    Module,
    Ref,
    Scope,
    Sequence,
    Source,
    Table,
)
from keystrand.formats.source.value_kinds import Place
from keystrand.model.algorithm import Function


def place_of(call: Call) -> Place:
    """Return where `call` stands."""
    return Place(call.scope, call.at, call.branch)


def bound(source: Source, rules: RuleSet) -> set[str]:
    """Return the names that the imports of interest bind in a file."""
    return {one.alias or one.name.partition(".")[0] for one in source.imports if rules.imported(one.name)}


def leads(value: Expr, names: set[str]) -> bool:
    """Return whether a value leads to a library by what it is made of: then the words that stand for it do too."""
    if isinstance(value, Call):
        return any(leads(one, names) for one in (value.function, *value.items, *value.named.values()))
    if isinstance(value, Sequence | Choice):
        return any(leads(one, names) for one in (value.items if isinstance(value, Sequence) else value.options))
    if isinstance(value, Table):
        return any(leads(one, names) for _, one in value.pairs)
    while isinstance(value, Member | Item):
        value = value.base
    return isinstance(value, Module | Generic) or (isinstance(value, Ref) and value.name in names)


def at_place(call: Call, place: Place) -> Place:
    """Return the place of `call`'s own arguments, entered as `place` was."""
    return Place(call.scope, call.at, call.branch, place.entered)


def declared(name: str, scope: Scope | None) -> Expr | None:
    """Return the type that `name` is declared with, seen from `scope`."""
    while scope:
        if kind := scope.kinds.get(name):
            return kind
        scope = scope.parent
    return None


def looked_up(table: dict[str, str], text: str) -> str | None:
    """Return what `table` has for a name, in whatever case it is written."""
    for key in (text, text.lower(), text.upper(), text.rpartition(".")[2]):
        if key in table:
            return table[key]
    return None


def generic_numbers(match: Match) -> range:
    """Return which type arguments of a call may tell something: of a rule that says nothing else of its own."""
    return range(2) if match.rule.table == "" and not match.rule.args else range(0)


def told_as(parts: Parts, gives: str) -> Parts:
    """Return of `parts` what an argument that gives `gives` can tell."""
    if gives == "hash":
        return Parts(hash=named(parts._replace(family=""), Function.DIGEST) if parts.hash else parts.family)
    if gives == "curve":
        return Parts(curve=parts.curve or parts.family)
    if gives == "mode":
        return Parts(mode=parts.mode)
    if gives == "padding":
        return Parts(padding=parts.padding, hash=parts.hash)
    return parts


def merged(base: Parts, pieces: tuple[Parts, ...]) -> Parts:
    """Return all that was told, the call's own name first. What stands in a block mode's argument is the family."""
    known = base
    for piece in pieces:
        if known.mode and piece.mode and known.mode != piece.mode and known.family and not piece.family:
            continue
        known = known.over(piece)
    return known


@lru_cache
def mixed_ends(ends: frozenset[str]) -> re.Pattern[str]:
    """Return what fits those `ends` of names that have a `*` and something beside it."""
    mixed = sorted(name for name in ends if "*" in name and len(name) > 2)
    return re.compile("|".join(re.escape(name).replace(r"\*", r"\w+") for name in mixed) or r"(?!)")
