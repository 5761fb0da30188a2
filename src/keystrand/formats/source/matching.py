"""Calls against rules: which algorithms a file uses, with what is known of each."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from keystrand.formats.source.matching_parts import (
    at_place,
    declared,
    generic_numbers,
    leads,
    looked_up,
    merged,
    mixed_ends,
    place_of,
    told_as,
)
from keystrand.formats.source.names import HOLE, parsed, protocol_version
from keystrand.formats.source.parts import Parts
from keystrand.formats.source.rules import Given, Later, Match, RuleSet
from keystrand.formats.source.tree import NOTHING, Call, Expr, Generic, Item, Literal, Member, Module, Ref, Scope
from keystrand.formats.source.value_kinds import (
    Constant,
    Instance,
    Listed,
    Made,
    Named,
    Paired,
    Place,
    Value,
    last_name,
)
from keystrand.formats.source.values import Resolver

MAX_ALTERNATIVES = 8
_MAX_NESTED = 6


class Use(NamedTuple):
    """One way in which a call may use an algorithm."""

    match: Match
    parts: Parts


class Afterwards(NamedTuple):
    """What is done to an object after it was made: a method is called (the value is the call), or a property set."""

    place: Place
    value: Expr
    method: str = ""
    property: str = ""


class Matcher:
    """Finds what the calls of one file use."""

    def __init__(self, rules: RuleSet, resolver: Resolver) -> None:
        self.rules, self.resolver = rules, resolver
        self.taken: set[int] = set()
        """Calls that another call took as a part."""
        self._known: dict[int, list[Use]] = {}
        self._afterwards: dict[int, list[Afterwards]] | None = None
        self._depth = 0
        self.roots = self._find_roots()
        self.ends = rules.ends(one.name for one in resolver.source.imports)
        self._mixed = mixed_ends(self.ends)

    def names(self, call: Call, place: Place | None = None) -> list[str]:
        """Return the qualified names that the function of `call` may have."""
        return self._qualified(call.function, place or place_of(call), 0)

    def _qualified(self, expr: Expr, place: Place, depth: int) -> list[str]:
        if depth > _MAX_NESTED:
            return []
        if isinstance(expr, Generic):
            return self._qualified(expr.base, place, depth + 1)
        if isinstance(expr, Module):
            return [expr.name]
        found: list[str] = []
        for value in self.resolver.ask(expr, place):
            if not (isinstance(value, Made) and value.call is expr):
                found += self._names_of(value, depth)
        if isinstance(expr, Call) and not found:
            return self._result(expr, place, depth + 1)
        if isinstance(expr, Ref) and (kind := declared(expr.name, place.scope)) is not None:
            found += self._qualified(kind, place, depth + 1)
        if isinstance(expr, Member) and not found:
            found += [f"{one}.{expr.name}" for one in self._qualified(expr.base, place, depth + 1)]
        return list(dict.fromkeys(found))

    def _names_of(self, value: Value, depth: int) -> list[str]:
        if isinstance(value, Named):
            return list(value.names)
        if isinstance(value, Made):
            return self._result(value.call, value.place, depth + 1)
        if isinstance(value, Instance):
            return self._qualified(value.kind, value.place, depth + 1)
        return []

    def _result(self, call: Call, place: Place, depth: int) -> list[str]:
        names = self._qualified(call.function, at_place(call, place), depth)
        for name in names:
            for match in self.rules.matches(name):
                if match.rule.returns:
                    return [match.rule.returns]
        return names if call.made else [f"{name}()" for name in names]

    def may(self, call: Call) -> bool:
        """Return whether it is worth asking what `call` uses: its name ends or begins as a rule's."""
        function = call.function
        if (
            last_name(function) in self.ends
            or self._mixed.fullmatch(last_name(function))
            or (isinstance(function, Ref) and _given(function.name, call.scope))
        ):
            return True
        while isinstance(function, Member | Generic | Item):
            function = function.base
        return isinstance(function, Call | Module) or (isinstance(function, Ref) and function.name in self.roots)

    def _find_roots(self) -> set[str]:
        """Return the names that lead to a library: what imports bind, what stands for it, what rules begin with."""
        source, found = self.resolver.source, set(self.rules.first_names)
        for one in source.imports:
            if one.alias and self.rules.imported(one.name):
                found |= {one.alias, one.name.partition(".")[0]}
                if one.alias == "*":
                    found |= {entry for entry in self.rules.entries(f"{one.name}.") if "*" not in entry}
        for _ in range(2):
            for scope in source.scopes:
                found |= {n for n, values in scope.assigned.items() if any(leads(v.value, found) for v in values)}
        return found

    def uses(self, call: Call, place: Place | None = None) -> list[Use]:
        """Return what `call` uses: one entry for each alternative, none where no rule is about it."""
        plain = place is None or not place.entered
        if plain and id(call) in self._known:
            return self._known[id(call)]
        if self._depth > _MAX_NESTED:
            return []
        self._depth += 1
        self._known[id(call)] = []  # a call whose argument leads back to it
        try:
            found = self._uses(call, place or place_of(call))
        finally:
            self._depth -= 1
        if plain:
            self._known[id(call)] = found
        else:
            self._known.pop(id(call), None)
        return found

    def _uses(self, call: Call, place: Place) -> list[Use]:
        found: dict[tuple[int, Parts], Use] = {}
        matched: list[str] = []
        for name in self.names(call, place):
            if any(one.endswith(f".{name}") for one in matched):
                continue  # the same symbol: what an import brings goes before what has no import
            for match in self.rules.matches(name):
                if (options := self._options(match, call, place)) is not None:
                    matched.append(name)
                    found |= {(id(match.rule), parts): Use(match, parts) for parts in options}
                    break
        return list(found.values())[:MAX_ALTERNATIVES]

    def _options(self, match: Match, call: Call, place: Place) -> list[Parts] | None:
        """Return the alternatives of what the call tells; None where the name's free part names no algorithm."""
        base = self._own(match)
        if base is None:
            return None
        told = [self._given(one, call, place) for one in match.rule.args]
        told += [self._generic(call.function, number, place) for number in generic_numbers(match)]
        told += [self._later(one, call) for one in match.rule.later]
        found = [merged(base, pieces) for pieces in product(*([one or [Parts()] for one in told]))][:MAX_ALTERNATIVES]
        return list(dict.fromkeys(found))

    def _own(self, match: Match) -> Parts | None:
        rule = match.rule
        fixed = Parts(rule.family, rule.bits, rule.mode, rule.padding, rule.curve, rule.hash)
        if not match.captured or (rule.family and not rule.table):
            return fixed
        read = self._named(match.captured, rule.table)
        if read is None:
            return None if not any(fixed) or rule.table else fixed
        return fixed.over(read)

    def _named(self, text: str, table: str) -> Parts | None:
        """Return what a name of the source says: by the rule's table, or by the notation."""
        if table and (known := looked_up(self.rules.tables[table], text)) is not None:
            return (parsed(known) or Parts(family=known)) if known else Parts()
        if (read := parsed(text)) is not None:
            return read
        for prefix in self.rules.strip:
            if text.startswith(prefix) and (read := parsed(text[len(prefix) :])) is not None:
                return read
        return None

    def _generic(self, function: Expr, number: int, place: Place) -> list[Parts]:
        """Return what type argument `number` of a call tells, such as the hash of `Hmac<Sha256>`."""
        arguments = self._type_arguments(function, place, 0)
        return self._told(arguments[number], place, "algorithm", "") if number < len(arguments) else []

    def _type_arguments(self, expr: Expr, place: Place, depth: int) -> tuple[Expr, ...]:
        while isinstance(expr, Member):
            expr = expr.base
        if isinstance(expr, Generic):
            return expr.arguments
        if isinstance(expr, Ref) and depth < _MAX_NESTED and (alias := declared(expr.name, place.scope)) is not None:
            return self._type_arguments(alias, place, depth + 1)
        return ()

    def _given(self, given: Given, call: Call, place: Place) -> list[Parts]:
        expr = call.named.get(given.name) if given.name else None
        if expr is None and given.at is not None and given.at < len(call.items):
            expr = call.items[given.at]
        there = at_place(call, place)
        if expr is not None and given.key:
            expr = self._inside(expr, given.key, there)
        if expr is None:
            return [] if given.default is None else self._told(Literal(given.default), there, given.gives, given.table)
        return self._told(expr, there, given.gives, given.table)

    def _inside(self, expr: Expr, key: str, place: Place) -> Expr | None:
        for value in self.resolver.ask(expr, place):
            if isinstance(value, Paired):
                return next((item for k, item in value.pairs if k == Literal(key)), None)
            if isinstance(value, Constant) and isinstance(value.value, str) and key == "name":
                return Literal(value.value)  # WebCrypto takes a name where it takes an object with a name
        return NOTHING

    def _later(self, later: Later, call: Call) -> list[Parts]:
        found: list[Parts] = []
        for one in self.afterwards().get(id(call), ()):
            if later.property and one.property == later.property:
                found += self._told(one.value, one.place, later.gives, later.table)
            elif later.method and one.method == later.method and isinstance(one.value, Call):
                items = one.value.items
                found += (
                    self._told(items[later.at], one.place, later.gives, later.table) if later.at < len(items) else []
                )
        return list(dict.fromkeys(found))[:MAX_ALTERNATIVES]

    def afterwards(self) -> dict[int, list[Afterwards]]:
        """Return by the call that made an object what is done to it later: methods called, properties set."""
        if self._afterwards is None:
            self._afterwards = {}
            for scope in list(self.resolver.source.scopes):
                if not scope.pending:
                    self._note_later(scope, self._afterwards)
        return self._afterwards

    def _note_later(self, scope: Scope, noted: dict[int, list[Afterwards]]) -> None:
        for call in scope.calls:
            if isinstance(call.function, Member) and call.function.name in self.rules.later_methods:
                one = Afterwards(place_of(call), call, method=call.function.name)
                self._note(call.function.base, one, noted)
        for base, name, value, at in scope.stored:
            if name in self.rules.later_properties:
                self._note(base, Afterwards(Place(scope, at), value, property=name), noted)

    def _note(self, base: Expr, one: Afterwards, noted: dict[int, list[Afterwards]]) -> None:
        for value in self.resolver.ask(base, one.place):
            if isinstance(value, Made):
                noted.setdefault(id(value.call), []).append(one)

    def _told(self, expr: Expr, place: Place, gives: str, table: str) -> list[Parts]:
        found: dict[Parts, None] = {}
        values = self.resolver.ask(expr, place)
        if isinstance(expr, Generic):
            found |= dict.fromkeys(self._generic_told(expr, place, gives))
        for value in values if not found else ():
            for parts in self._of(value, gives, table):
                if any(parts):
                    found[parts] = None
        return list(found)[:MAX_ALTERNATIVES]

    def _generic_told(self, expr: Generic, place: Place, gives: str) -> Iterator[Parts]:
        """A type with arguments, such as `cbc::Encryptor<Aes128>`: both tell something."""
        inner = [p for a in expr.arguments for p in self._told(a, place, "algorithm", "")] or [Parts()]
        outer = self._told(expr.base, place, "algorithm", "") or [Parts()]
        for one in inner:
            if any(joined := one.over(outer[0])):
                yield told_as(joined, gives)

    def _of(self, value: Value, gives: str, table: str) -> Iterator[Parts]:
        if gives in ("bits", "octets", "key"):
            yield from self._size(value, gives, table)
        elif isinstance(value, Constant):
            if isinstance(value.value, str) or (table and type(value.value) is int):
                yield from self._text(str(value.value), gives, table)
        elif isinstance(value, Named):
            yield from self._symbol(value.names, gives, table)
        elif isinstance(value, Made):
            if not value.place.entered:  # where it comes in by a parameter, the place that chose it is told too
                self.taken.add(id(value.call))
            yield from self._object(value, gives, table)
        elif isinstance(value, Listed):
            for item in value.items[:MAX_ALTERNATIVES]:
                yield from self._told(item, value.place, gives, table)
        elif isinstance(value, Paired):
            yield from self._pairs(value, gives, table)

    def _pairs(self, value: Paired, gives: str, table: str) -> Iterator[Parts]:
        """WebCrypto's and JOSE's objects: what they name, and the hash they name beside it."""
        for key, item in value.pairs:
            if key in (Literal("name"), Literal("namedCurve"), Literal("alg")):
                yield from self._told(item, value.place, gives, table)
            elif key == Literal("hash"):
                yield from self._told(item, value.place, "hash", table)

    def _text(self, text: str, gives: str, table: str) -> Iterator[Parts]:
        if gives == "version":
            if version := protocol_version(text):
                yield Parts(version=version)
        elif (read := self._named(text, table)) is not None:
            yield told_as(read, gives)
        elif gives == "algorithm" and HOLE in text and (read := self._named(text.partition(HOLE)[0], table)):
            yield read

    def _symbol(self, names: tuple[str, ...], gives: str, table: str) -> Iterator[Parts]:
        for name in names:
            for match in self.rules.matches(name):
                if (parts := self._own(match)) is not None and any(parts):
                    yield told_as(parts, gives)
                    return
        last = names[0].rpartition(".")[2]
        for text in dict.fromkeys((names[0], last)):
            found = list(self._text(text, gives, table))
            if found:
                yield from found
                return

    def _object(self, value: Made, gives: str, table: str) -> Iterator[Parts]:
        uses = self.uses(value.call, value.place if value.place.entered else None)
        for use in uses:
            yield told_as(use.parts, gives)
        if not uses:
            for name in self._qualified(value.call.function, at_place(value.call, value.place), 0)[:2]:
                if any(True for _ in self._text(name.rpartition(".")[2], gives, table)) and value.call.made:
                    yield from self._text(name.rpartition(".")[2], gives, table)
                    return

    def _size(self, value: Value, gives: str, table: str) -> Iterator[Parts]:
        if isinstance(value, Constant):
            yield from self._constant_size(value, gives, table)
        elif isinstance(value, Listed) and gives == "key" and value.length:
            yield Parts(bits=8 * value.length)
        elif isinstance(value, Made):
            yield from self._size_of_object(value, gives)
        elif isinstance(value, Named) and table:
            for name in value.names:
                known = looked_up(self.rules.tables[table], name.rpartition(".")[2])
                if known and known.isdigit():
                    yield Parts(bits=int(known))

    def _size_of_object(self, value: Made, gives: str) -> Iterator[Parts]:
        for use in self.uses(value.call, value.place if value.place.entered else None):
            if use.parts.bits and gives in ("key", "bits"):
                self.taken.add(id(value.call))
                yield Parts(bits=use.parts.bits, curve=use.parts.curve)
            elif use.parts.curve:
                self.taken.add(id(value.call))
                yield Parts(family=use.parts.family, curve=use.parts.curve)

    def _constant_size(self, value: Constant, gives: str, table: str) -> Iterator[Parts]:
        known = value.value
        if gives == "key":
            if isinstance(known, str | bytes) and known and "\\" not in repr(known):
                yield Parts(bits=8 * len(known))
        elif type(known) is int and 0 < known < 1 << 17:
            yield Parts(bits=known * 8 if gives == "octets" else known)
        elif isinstance(known, str) and known.isdigit() and len(known) < 6:
            yield Parts(bits=int(known))
        elif isinstance(known, str):
            read = self._named(known, table)
            if read and (read.bits or read.curve):
                yield Parts(bits=read.bits, curve=read.curve, family=read.family if read.curve else "")


def _given(name: str, scope: Scope | None) -> bool:
    """Return whether `name` is a parameter of a function around here: what it is given may be a library's."""
    while scope:
        if any(one.name == name for one in scope.parameters):
            return True
        scope = scope.parent
    return False
