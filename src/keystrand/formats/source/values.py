"""What an expression may be at a place: a constant, a name of a library, an object made by a call, a list.

Follows variables, constants of the file and of its classes, functions of the file and their parameters, and the joining
of texts. What it cannot follow it leaves open. Everything is bounded: steps, alternatives, depth.
"""

import re
from collections.abc import Iterator

from keystrand.formats.source import texts
from keystrand.formats.source.tree import (
    Assignment,
    Call,
    Choice,
    Expr,
    Generic,
    Item,
    Join,
    Literal,
    Member,
    Module,
    Ref,
    Scope,
    Sequence,
    Source,
    Table,
    Text,
)
from keystrand.formats.source.value_kinds import (
    Constant,
    Instance,
    Listed,
    Local,
    Made,
    Named,
    Paired,
    Place,
    Value,
    argument_for,
    last_name,
    reaching,
)

MAX_ALTERNATIVES = 12
MAX_DEPTH = 24
MAX_CALLS = 3
"""Functions within functions that a value is followed through."""
MAX_STEPS = 3_000
"""Expressions that are looked at for one question."""
_THIS = frozenset({"this", "self", "cls"})
_MAKERS = ("__init__", "constructor", "new")


class Resolver:
    """Answers what expressions of one file may be."""

    def __init__(self, source: Source, content: bytes) -> None:
        self.source, self.content = source, content
        self.steps = 0
        self._known: dict[tuple[int, Place], list[Value]] = {}
        self._alive: list[Expr] = []
        self._callers: dict[str, list[Call]] = {}
        self._indexed: set[int] = set()
        self._set: set[str] = set()

    def ask(self, expr: Expr, place: Place) -> list[Value]:
        """Return all that `expr` may be at `place`. What is not known is not among them."""
        self.steps = 0
        self._known, self._alive = {}, []
        return self._values(expr, place, 0)

    def _values(self, expr: Expr, place: Place, depth: int) -> list[Value]:
        self.steps += 1
        if depth > MAX_DEPTH or self.steps > MAX_STEPS:
            return []
        key = (id(expr), place)
        if (known := self._known.get(key)) is not None:
            return known
        self._known[key] = []  # what leads back to itself adds nothing
        self._alive.append(expr)  # an identity stays good while its object lives
        found: dict[Value, None] = {}
        for value in self._each(expr, place, depth + 1):
            found[value] = None
            if len(found) >= MAX_ALTERNATIVES:
                break
        self._known[key] = list(found)
        return self._known[key]

    def _each(self, expr: Expr, place: Place, depth: int) -> Iterator[Value]:  # noqa: C901, PLR0912 - one case a node
        match expr:
            case Literal(value) if not isinstance(value, float):
                yield Constant(value)
            case Ref(name):
                yield from self._ref(name, place, depth)
            case Member(base, name):
                stored = self._stored(base, name, place, depth)
                yield from self._member(base, name, place, depth) if stored is None else stored
            case Module(name):
                yield Named((name,))
            case Call():
                yield from self._call(expr, place, depth)
            case Choice(options):
                for option in options:
                    yield from self._values(option, place, depth)
            case Generic(base, _):
                yield from self._values(base, place, depth)
            case Sequence(items, length):
                size = self._number(length, place, depth) if length is not None else len(items)
                yield Listed(items, size, place)
            case Table(pairs):
                yield Paired(pairs, place)
            case Item(base, key):
                yield from self._item(base, key, place, depth)
            case Join() | Text():
                yield from self._joined(expr, place, depth)
            case _:
                return

    def _number(self, expr: Expr, place: Place, depth: int) -> int | None:
        for value in self._values(expr, place, depth):
            if isinstance(value, Constant) and type(value.value) is int:
                return value.value
        return None

    def _joined(self, expr: Join | Text, place: Place, depth: int) -> Iterator[Value]:
        parts = expr.parts if isinstance(expr, Text) else (expr.left, expr.right)
        each = [[v.value for v in self._values(p, place, depth) if isinstance(v, Constant)] for p in parts]
        operator = "+" if isinstance(expr, Text) else expr.operator
        for value in texts.joined(operator, each):
            yield Constant(value)

    def _ref(self, name: str, place: Place, depth: int) -> Iterator[Value]:
        if name in _THIS:
            holder = place.scope.holder()
            if holder:
                yield Local(holder)
                return
        scope: Scope | None = place.scope
        while scope:
            if (found := self._in_scope(scope, name, place, depth)) is not None:
                yield from found
                return
            scope = scope.parent
        yield Named(tuple(self.names_of(name)))

    def names_of(self, name: str) -> list[str]:
        """Return the qualified names that a name nobody defines here may have: of all that is imported, or its own."""
        return [f"{one.name}.{name}" for one in self.source.imports if one.alias == "*"] + [name]

    def _in_scope(self, scope: Scope, name: str, place: Place, depth: int) -> list[Value] | None:
        """Return what `name` may be by this scope alone; None where the scope does not know it."""
        if scope.kind == "class":
            if name == scope.name:  # not its constructor, which has the same name
                return [Local(scope)]
            self._lower_methods(scope, name)
        elif scope.kind == "file" and name in scope.assigned:
            self._lower_setters(name)
        parameter = next((n for n, p in enumerate(scope.parameters) if p.name == name), None)
        if name in scope.assigned or parameter is not None:
            return self._variable(scope, name, parameter, place, depth)
        if (kind := scope.kinds.get(name)) is not None:
            return [Instance(kind, place._replace(scope=scope))]
        if qualified := scope.imports.get(name):
            return [Named((qualified,))]
        if member := scope.members.get(name):
            return [Local(member)]
        return self._inherited(scope, name, place, depth)

    def _variable(self, scope: Scope, name: str, parameter: int | None, place: Place, depth: int) -> list[Value]:
        """Return what was assigned to a name, and what it was as a parameter where no assignment is certain."""
        known: list[Value] = []
        live = [kept for one in scope.assigned.get(name, []) if (kept := self._decided(one, depth))]
        passed, certain = reaching(live, scope, place)
        for one in passed:
            known += self._assigned(one, name, place, depth)
        if parameter is not None and not certain:
            return known + self._parameter(scope, parameter, place, depth)
        if not known and (kind := scope.kinds.get(name)):
            known.append(Instance(kind, place))
        return known

    def _decided(self, one: Assignment, depth: int) -> Assignment | None:
        """Return the assignment without the conditions that are constant; None where they keep it from happening."""
        branch: list[tuple[int, int]] = []
        for node, arm in one.branch:
            condition = one.scope.conditions.get(node)
            found: list[Value] = []
            if isinstance(condition, Join | Literal):
                found = self._values(condition, Place(one.scope, node), depth + 4)
            truths = {value.value for value in found if isinstance(value, Constant)}
            if found and truths == {arm != 0}:
                return None
            if not (found and truths == {True} and arm == 0):
                branch.append((node, arm))
        return one._replace(branch=tuple(branch))

    def _lower_methods(self, scope: Scope, name: str) -> None:
        """Lower the methods that may set the field `name`."""
        word = name.encode()
        for member in list(scope.members.values()):
            if member.pending and self.content.find(word, *member.span) >= 0:
                member.ready()

    def _lower_setters(self, name: str) -> None:
        """Lower the functions that may set the variable `name` of the file."""
        if name in self._set:
            return
        self._set.add(name)
        places = [
            m.start() for m in re.finditer(rb"(?<![\w.])" + re.escape(name.encode()) + rb"\s*\+?=[^=]", self.content)
        ]
        for one in list(self.source.scopes) if len(places) > 1 else ():
            if one.pending and any(one.span[0] <= place < one.span[1] for place in places):
                one.ready()

    def _inherited(self, scope: Scope, name: str, place: Place, depth: int) -> list[Value] | None:
        for base in scope.bases if scope.kind == "class" else ():
            for value in self._values(base, place._replace(scope=scope.parent or scope), depth):
                if isinstance(value, Local) and value.scope is not scope:
                    found = self._in_scope(value.scope, name, place, depth + 1) if depth < MAX_DEPTH else None
                    if found is not None:
                        return found
        return None

    def _assigned(self, one: Assignment, name: str, place: Place, depth: int) -> list[Value]:
        there = Place(one.scope, one.at - 1, one.branch, place.entered)
        if one.adds:
            return self._values(Join("+", Ref(name), one.value), there, depth)
        found = self._values(one.value, there, depth)
        if one.part is None:
            return found
        return [part for value in found for part in self._part(value, one.part, depth)]

    def _part(self, value: Value, number: int, depth: int) -> list[Value]:
        """Return one of several values that come together. Of a call's results the first stands for the call."""
        if isinstance(value, Listed):
            return self._values(value.items[number], value.place, depth) if number < len(value.items) else []
        return [value] if number == 0 else []

    def _parameter(self, scope: Scope, number: int, place: Place, depth: int) -> list[Value]:
        for entered, call, there in reversed(place.entered):
            if entered is scope:
                given = argument_for(scope, number, call)
                if given is not None:
                    kept = there.entered
                    return self._values(given, there._replace(entered=kept), depth)
                break
        else:
            if found := self._from_callers(scope, number, place, depth):
                return found
        parameter = scope.parameters[number]
        if parameter.default is not None:
            return self._values(parameter.default, place._replace(scope=scope.parent or scope), depth)
        return [Instance(parameter.kind, place._replace(scope=scope))] if parameter.kind is not None else []

    def _from_callers(self, scope: Scope, number: int, place: Place, depth: int) -> list[Value]:
        if len(place.entered) >= MAX_CALLS:
            return []
        found: list[Value] = []
        for call in self.callers(scope)[:MAX_ALTERNATIVES]:
            given = argument_for(scope, number, call)
            if given is not None:
                there = Place(call.scope, call.at, call.branch, (*place.entered, (scope, call, place)))
                found += self._values(given, there, depth + 4)
        return found

    def callers(self, scope: Scope) -> list[Call]:
        """Return the calls of this file that enter the function `scope`."""
        name = scope.name
        if scope.parent and scope.parent.kind == "class" and (name in _MAKERS or name == scope.parent.name):
            name = scope.parent.name
        if not name:
            return []
        word = name.encode()
        for one in list(self.source.scopes):
            if one.pending and self.content.find(word, *one.span) >= 0:
                one.ready()
        self._index()
        return self._callers.get(name, [])

    def _index(self) -> None:
        """Note the calls of what has been lowered since, by the last part of their name."""
        for scope in list(self.source.scopes):
            if not scope.pending and id(scope) not in self._indexed:
                self._indexed.add(id(scope))
                for call in scope.calls:
                    self._callers.setdefault(last_name(call.function), []).append(call)

    def _member(self, base: Expr, name: str, place: Place, depth: int) -> Iterator[Value]:
        for value in self._values(base, place, depth):
            match value:
                case Local(scope):
                    found = self._in_scope(scope.ready(), name, place._replace(scope=scope), depth)
                    yield from found or ()
                case Named(names):
                    yield Named(tuple(f"{one}.{name}" for one in names))
                case Paired(pairs, there):
                    for key, item in pairs:
                        if key == Literal(name):
                            yield from self._values(item, there, depth)
                case Made(call, there):
                    yield from self._field(call, name, there, depth)
                case Constant() if name in ("value", "name"):
                    yield value
                case _:
                    pass

    def _stored(self, base: Expr, name: str, place: Place, depth: int) -> list[Value] | None:
        """Return what a property of a variable was last set to in this function; None where it was not."""
        before = [one for one in place.scope.stored if one[1] == name and one[0] == base and one[3] <= place.at]
        if not isinstance(base, Ref) or base.name in _THIS or not before:
            return None
        return self._values(before[-1][2], place._replace(at=before[-1][3] - 1), depth)

    def _field(self, call: Call, name: str, place: Place, depth: int) -> Iterator[Value]:
        """A property of an object that a call made: of a class of this file, or what the maker was given by name."""
        if name in call.named:
            yield from self._values(call.named[name], place, depth)
            return
        for target in self._targets(call, place, depth):
            if target.kind == "class":
                there = Place(target, place.at, (), (*place.entered, *self._maker(target, call, place)))
                yield from self._in_scope(target, name, there, depth) or ()

    def _maker(self, target: Scope, call: Call, place: Place) -> Iterator[tuple[Scope, Call, Place]]:
        for word in (*_MAKERS, target.name):
            if maker := target.members.get(word):
                maker.ready()
                yield maker, call, place

    def _targets(self, call: Call, place: Place, depth: int) -> list[Scope]:
        function = call.function
        if isinstance(function, Member) and isinstance(function.base, Ref | Member | Call | Generic):
            found = self._values(function, place, depth)
            made = [v for v in self._values(function.base, place, depth) if isinstance(v, Made | Instance)]
            return [v.scope for v in found if isinstance(v, Local)] + self._methods(made, function.name, depth)
        return [v.scope for v in self._values(function, place, depth) if isinstance(v, Local)]

    def _methods(self, objects: list["Made | Instance"], name: str, depth: int) -> list[Scope]:
        """Return the methods `name` of objects whose class is of this file."""
        found: list[Scope] = []
        for one in objects:
            if isinstance(one, Made):
                kinds = self._targets(one.call, one.place, depth + 2) if depth < MAX_DEPTH - 2 else []
            else:
                kinds = [v.scope for v in self._values(one.kind, one.place, depth) if isinstance(v, Local)]
            found += [kind.members[name] for kind in kinds if kind.kind == "class" and name in kind.members]
        return found

    def _call(self, call: Call, place: Place, depth: int) -> Iterator[Value]:
        if isinstance(call.function, Ref) and call.function.name == "getattr" and len(call.items) > 1:
            for name in self._values(call.items[1], place, depth):
                if isinstance(name, Constant) and isinstance(name.value, str):
                    yield from self._values(Member(call.items[0], name.value), place, depth)
            return
        if (text := texts.text_of_join(call)) is not None:
            yield from self._values(text, place, depth)
            return
        targets = [] if call.made else self._targets(call, place, depth)
        functions = [t for t in targets if t.kind == "function" and t.name not in _MAKERS[:2]]
        if functions:
            if sum(1 for entered in place.entered) < MAX_CALLS:
                for target in functions:
                    target.ready()
                    yield from self._returned(target, call, place, depth)
            return
        if (passed := texts.passed_through(call)) is not None:
            yield from self._passed(call, passed, place, depth)
            return
        yield Made(call, place)

    def _returned(self, target: Scope, call: Call, place: Place, depth: int) -> Iterator[Value]:
        entered = (*place.entered, (target, call, place))
        for expr in target.returned[:MAX_ALTERNATIVES]:
            yield from self._values(expr, Place(target, target.span[1], (), entered), depth + 2)

    def _passed(self, call: Call, passed: Expr, place: Place, depth: int) -> Iterator[Value]:
        """A call that hands its object on, perhaps as another text."""
        arguments = [self._values(item, place, depth) for item in call.items[:3]]
        constants = [[v.value for v in one if isinstance(v, Constant)] for one in arguments]
        found = self._values(passed, place, depth)
        for value in found:
            if isinstance(value, Constant):
                yield from map(Constant, texts.changed(last_name(call.function), value.value, constants))
            else:
                yield value
        if not found:
            yield Made(call, place)

    def _item(self, base: Expr, key: Expr, place: Place, depth: int) -> Iterator[Value]:
        keys = {v.value for v in self._values(key, place, depth) if isinstance(v, Constant)}
        for value in self._values(base, place, depth):
            if isinstance(value, Listed):
                chosen = [value.items[k] for k in keys if type(k) is int and -len(value.items) <= k < len(value.items)]
                for item in chosen or value.items[:MAX_ALTERNATIVES]:
                    yield from self._values(item, value.place, depth)
            elif isinstance(value, Paired):
                matching = [item for k, item in value.pairs if isinstance(k, Literal) and k.value in keys]
                for item in matching or [item for _, item in value.pairs[:MAX_ALTERNATIVES]]:
                    yield from self._values(item, value.place, depth)
