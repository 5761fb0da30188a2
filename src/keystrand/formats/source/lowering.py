"""Syntax trees of nine languages to the little language of `tree`. One table of node types serves all grammars."""

from bisect import bisect_left
from collections.abc import Callable

from tree_sitter import Node

from keystrand.formats.source import lowering_imports, lowering_literals
from keystrand.formats.source.tree import (
    NOTHING,
    Assignment,
    Branch,
    Call,
    Choice,
    Expr,
    Generic,
    Import,
    Item,
    Join,
    Literal,
    Member,
    Module,
    Parameter,
    Ref,
    Scope,
    Sequence,
    Table,
)

MAX_DEPTH = 120
"""Nodes within nodes that are followed: what is nested more deeply was written by a program."""
THIS = frozenset({"this", "self", "cls", "super"})
_TEST_MARKS = ("Test", "ParameterizedTest", "RepeatedTest", "Fact", "Theory", "TestMethod", "TestCase", "DataTestMethod",
               "TestFixture", "TestClass", "BeforeEach", "BeforeAll", "SetUp")  # fmt: skip


class Lowering:
    """Lowers one file. A function's body waits until something asks for it (`Scope.ready`)."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.top = self.scope = Scope("", None, kind="file")
        self.scopes = [self.top]
        self.imports: list[Import] = []
        self.branch: Branch = ()
        self.depth = 0
        self.too_deep = False

    def text(self, node: Node | None) -> str:
        """Return the text of `node`."""
        return self.content[node.start_byte : node.end_byte].decode("utf-8", "replace") if node else ""

    def expr(self, node: Node | None) -> Expr:
        """Lower `node`, and return what it stands for."""
        if node is None:
            return NOTHING
        if self.depth >= MAX_DEPTH:
            self.too_deep = True
            return NOTHING
        self.depth += 1
        try:
            return _HANDLERS.get(node.type, _each)(self, node)
        finally:
            self.depth -= 1

    def inside(self, branch: tuple[int, int], node: Node | None) -> Expr:
        """Lower `node` as one arm of a condition."""
        kept, self.branch = self.branch, (*self.branch, branch)
        try:
            return self.expr(node)
        finally:
            self.branch = kept

    def open(self, scope: Scope, node: Node) -> None:
        """Enter a scope into the list of all."""
        scope.span = (node.start_byte, node.end_byte)
        self.scopes.append(scope)

    def within(self, scope: Scope, work: Callable[[], None]) -> None:
        """Do `work` in `scope`."""
        kept = self.scope, self.branch, self.depth
        self.scope, self.branch, self.depth = scope, (), min(self.depth, MAX_DEPTH // 2)
        try:
            work()
        finally:
            self.scope, self.branch, self.depth = kept

    def assign(self, name: str, value: Expr, at: int, *, part: int | None = None, adds: bool = False,
               declares: bool = False) -> None:  # fmt: skip
        """Note that `name` has `value` from octet `at` on."""
        home = self.scope
        if not declares:
            outer: Scope | None = home
            while outer and outer.kind == "function" and name not in outer.assigned:
                outer = outer.parent
            if outer and outer.kind == "function":
                home = outer
        branch = self.branch if home is self.scope else (*self.branch, (at, 0))
        home.assigned.setdefault(name, []).append(Assignment(at, branch, value, self.scope, part, adds))


Handler = Callable[[Lowering, Node], Expr]


def _each(low: Lowering, node: Node) -> Expr:
    """Lower all children. A node around a single one stands for what that one does."""
    children = node.named_children
    if len(children) == 1:
        return low.expr(children[0])
    for child in children:
        low.expr(child)
    return NOTHING


def _statement(low: Lowering, node: Node) -> Expr:
    for child in node.named_children:
        low.expr(child)
    return NOTHING


def _block(low: Lowering, node: Node) -> Expr:
    last: Expr = NOTHING
    for child in node.named_children:
        if "comment" not in child.type:
            last = low.expr(child)
    return last


def _skip(low: Lowering, node: Node) -> Expr:  # noqa: ARG001 - the form of all handlers
    return NOTHING


def _name(low: Lowering, node: Node) -> Expr:
    return Ref(low.text(node))


def _this(low: Lowering, node: Node) -> Expr:  # noqa: ARG001 - the form of all handlers
    return Ref("this")


def _first(node: Node, *fields: str) -> Node | None:
    for field in fields:
        if child := node.child_by_field_name(field):
            return child
    return None


def _member(low: Lowering, node: Node) -> Expr:
    base = _first(node, "object", "operand", "expression", "argument", "value", "path", "scope", "qualifier", "package",
                  "condition")  # fmt: skip
    name = _first(node, "attribute", "property", "field", "name")
    if name is None:  # C#: a?.b holds the name in a node of its own
        binding = next((c for c in node.named_children if c.type == "member_binding_expression"), None)
        name = binding.child_by_field_name("name") if binding else None
    if name is None:
        return low.expr(node.named_children[0]) if node.named_children else NOTHING
    around = low.expr(base) if base else Ref("this")
    if name.type in ("template_function", "template_type", "generic_name", "qualified_identifier", "generic_type"):
        return _put_before(around, low.expr(name))
    return Member(around, low.text(name))


def _put_before(base: Expr, name: Expr) -> Expr:
    if isinstance(name, Generic):
        return Generic(_put_before(base, name.base), name.arguments)
    if isinstance(name, Member):
        return Member(_put_before(base, name.base), name.name)
    return Member(base, name.name) if isinstance(name, Ref) else name


def _generic(low: Lowering, node: Node) -> Expr:
    base = _first(node, "type", "name", "function") or (node.named_children[0] if node.named_children else None)
    listed = _first(node, "type_arguments", "arguments") or next(
        (c for c in node.named_children if c.type in ("type_arguments", "type_argument_list")), None
    )
    arguments = tuple(low.expr(child) for child in listed.named_children) if listed else ()
    return Generic(Ref(low.text(base)) if base and base.child_count == 0 else low.expr(base), arguments)


def _cast(low: Lowering, node: Node) -> Expr:
    value = _first(node, "value", "operand", "argument") or (node.named_children[-1] if node.named_children else None)
    return low.expr(value)


def _leading(low: Lowering, node: Node) -> Expr:
    """TypeScript's `x as T` and `x!`: the value is first."""
    return low.expr(node.named_children[0]) if node.named_children else NOTHING


def _call(low: Lowering, node: Node) -> Expr:
    function = node.child_by_field_name("function")
    if function is not None and function.type == "identifier":
        word = low.text(function)
        if word == "require" and (name := lowering_imports.required(low, node)):
            return Module(name)
        if word == "make":
            return _sized(low, node)
    elif function is not None and function.type == "import" and (name := lowering_imports.required(low, node)):
        return Module(name)
    return _called(low, node, low.expr(function))


def _sized(low: Lowering, node: Node) -> Expr:
    """Go's `make([]byte, 32)`."""
    arguments = node.child_by_field_name("arguments")
    sizes = [low.expr(child) for child in arguments.named_children[1:]] if arguments else []
    return Sequence((), sizes[0] if sizes else None)


def _method(low: Lowering, node: Node) -> Expr:
    """Java's calls: an object, a name, arguments."""
    base, name = node.child_by_field_name("object"), low.text(node.child_by_field_name("name"))
    return _called(low, node, Member(low.expr(base), name) if base else Ref(name))


def _new(low: Lowering, node: Node) -> Expr:
    kind = _first(node, "type", "constructor", "name")
    return _called(low, node, low.expr(kind), made=True)


def _called(low: Lowering, node: Node, function: Expr, *, made: bool = False) -> Call:
    call = Call(function, [], {}, low.scope)
    call.start, call.end, call.at, call.branch = node.start_byte, node.end_byte, node.start_byte, low.branch
    call.line, call.made = node.start_point[0] + 1, made
    arguments = node.child_by_field_name("arguments") or next(
        (c for c in node.named_children if c.type == "argument_list"), None
    )
    if arguments is not None:
        _arguments(low, arguments, call)
    if (fields := _first(node, "initializer", "body")) is not None:
        _fields(low, fields, call)
    for child in node.named_children:
        if child.type in ("class_body", "declaration_list"):
            low.expr(child)
    low.scope.calls.append(call)
    return call


def _arguments(low: Lowering, arguments: Node, call: Call) -> None:
    if arguments.type == "template_string":  # a tagged template
        call.items.append(low.expr(arguments))
        return
    for child in arguments.named_children:
        if "comment" in child.type:
            continue
        name = child.child_by_field_name("name") if child.type in ("keyword_argument", "argument") else None
        if name is not None:
            call.named[low.text(name)] = low.expr(child.child_by_field_name("value") or child.named_children[-1])
        elif child.type not in ("dictionary_splat", "list_splat"):
            call.items.append(low.expr(child))
        else:
            low.expr(child)


_PAIRS = {"keyed_element", "field_initializer", "assignment_expression", "pair", "initializer_pair",
          "shorthand_field_initializer"}  # fmt: skip


def _fields(low: Lowering, fields: Node, call: Call) -> None:
    """Take the fields that a value is made with: Go, Rust, C#."""
    for child in fields.named_children:
        if child.type not in _PAIRS:
            call.items.append(low.expr(child))
            continue
        key = _first(child, "key", "field", "left") or child.named_children[0]
        value = _first(child, "value", "right") or child.named_children[-1]
        call.named[low.text(key)] = low.expr(value)


def _composite(low: Lowering, node: Node) -> Expr:
    """Go's `T{...}`, C++'s `T{...}`, Rust's `T { .. }`: a sequence, a table, or a value made by its fields."""
    kind = _first(node, "type", "name")
    body = _first(node, "body", "value")
    if kind is not None and kind.type in ("slice_type", "array_type", "implicit_length_array_type", "map_type"):
        if kind.type == "map_type":
            return _table(low, body) if body else Table(())
        length = kind.child_by_field_name("length")
        items = tuple(low.expr(child) for child in body.named_children) if body else ()
        return Sequence(items, low.expr(length) if length and not items else None)
    call = Call(low.expr(kind), [], {}, low.scope)
    call.start, call.end, call.at, call.branch = node.start_byte, node.end_byte, node.start_byte, low.branch
    call.line, call.made = node.start_point[0] + 1, True
    if body is not None:
        _fields(low, body, call)
    low.scope.calls.append(call)
    return call


def _sequence(low: Lowering, node: Node) -> Expr:
    length = node.child_by_field_name("length")
    items = [c for c in node.named_children if "comment" not in c.type]
    if items and all(c.type in _PAIRS for c in items):
        return _table(low, node)
    values = tuple(low.expr(child) for child in items)
    return Sequence((), values[-1]) if length is not None and values else Sequence(values)


def _array(low: Lowering, node: Node) -> Expr:
    """`new byte[16]`, with or without values."""
    given = _first(node, "value") or next((c for c in node.named_children if "initializer" in c.type), None)
    if given is not None:
        return low.expr(given)
    sizes = [
        n
        for c in node.named_children
        for n in (c, *c.named_children, *(g for k in c.named_children for g in k.named_children))
    ]
    inner = next((n for n in sizes if n.type not in _TYPE_WORDS), None)
    return Sequence((), low.expr(inner) if inner else None)


_TYPE_WORDS = {
    "integral_type",
    "type_identifier",
    "dimensions_expr",
    "dimensions",
    "array_type",
    "predefined_type",
    "array_rank_specifier",
    "generic_type",
    "scoped_type_identifier",
    "floating_point_type",
    "boolean_type",
}


def _table(low: Lowering, node: Node) -> Expr:
    pairs: list[tuple[Expr, Expr]] = []
    for child in node.named_children:
        key, value = _first(child, "key", "designator", "left"), _first(child, "value", "right")
        if child.type == "shorthand_property_identifier":
            pairs.append((Literal(low.text(child)), Ref(low.text(child))))
        elif key is not None and value is not None:
            pairs.append((_key(low, key), low.expr(value)))
        else:
            low.expr(child)
    return Table(tuple(pairs))


def _key(low: Lowering, key: Node) -> Expr:
    if key.type in ("property_identifier", "field_designator"):
        return Literal(low.text(key).lstrip("."))
    return low.expr(key)


def _item(low: Lowering, node: Node) -> Expr:
    children = node.named_children
    if not children:
        return NOTHING
    key = low.expr(children[1]) if len(children) > 1 else NOTHING
    return Item(low.expr(children[0]), key)


def _slice(low: Lowering, node: Node) -> Expr:
    """A part of something: of `x[:16]` only the size is known."""
    low.expr(_first(node, "operand", "value"))
    start, end = node.child_by_field_name("start"), node.child_by_field_name("end")
    first = low.expr(start) if start else Literal(0)
    return Sequence((), Join("-", low.expr(end), first)) if end else NOTHING


def _join(low: Lowering, node: Node) -> Expr:
    """Two operands. A long chain leans to the left, and is walked without recursion."""
    chain = [node]
    while (left := chain[-1].child_by_field_name("left")) is not None and left.type == node.type:
        chain.append(left)
    found = low.expr(chain[-1].child_by_field_name("left"))
    for one in reversed(chain):
        operator = low.text(one.child_by_field_name("operator"))
        right = low.expr(one.child_by_field_name("right"))
        choice = operator in ("||", "or", "??", "?:")
        found = Choice((found, right)) if choice else Join(operator, found, right)
    return found


def _unary(low: Lowering, node: Node) -> Expr:
    inner = low.expr(_first(node, "operand", "argument") or (node.named_children[-1] if node.named_children else None))
    return NOTHING if low.content[node.start_byte : node.start_byte + 1] in b"-!~+" else inner


def _ternary(low: Lowering, node: Node) -> Expr:
    low.expr(node.child_by_field_name("condition"))
    return Choice(
        (
            low.inside((node.start_byte, 0), node.child_by_field_name("consequence")),
            low.inside((node.start_byte, 1), node.child_by_field_name("alternative")),
        )
    )


def _python_ternary(low: Lowering, node: Node) -> Expr:
    """`a if condition else b`, whose parts have no names."""
    parts = node.named_children
    if len(parts) != 3:
        return _statement(low, node)
    low.expr(parts[1])
    return Choice((low.expr(parts[0]), low.expr(parts[2])))


def _if(low: Lowering, node: Node) -> Expr:
    low.expr(node.child_by_field_name("initializer"))
    low.expr(node.child_by_field_name("condition"))
    arms = [low.inside((node.start_byte, 0), node.child_by_field_name("consequence"))]
    for number, other in enumerate(node.children_by_field_name("alternative"), start=1):
        arms.append(low.inside((node.start_byte, number), other))
    return Choice(tuple(arms))


def _elif(low: Lowering, node: Node) -> Expr:
    low.expr(node.child_by_field_name("condition"))
    return low.expr(node.child_by_field_name("consequence"))


def _arm(low: Lowering, node: Node) -> Expr:
    """One case of a switch or match; its value is what comes last."""
    parent = node.parent
    kept, low.branch = low.branch, (*low.branch, (parent.start_byte if parent else 0, node.start_byte))
    last: Expr = NOTHING
    for child in node.named_children:
        inner = child.named_children[0] if child.type == "expression_statement" and child.named_children else child
        last = low.expr(inner)
    low.branch = kept
    return last


def _match(low: Lowering, node: Node) -> Expr:
    arms: list[Expr] = []
    for child in node.named_children:
        if child.type in ("match_block", "switch_block"):
            arms += [low.expr(one) for one in child.named_children]
        elif child.type == "switch_expression_arm":
            arms.append(low.expr(child))
        else:
            low.expr(child)
    return Choice(tuple(arms))


def bind(low: Lowering, target: Node | None, value: Expr, at: int, *, part: int | None = None,
         declares: bool = True) -> None:  # fmt: skip
    """Note that what `target` names has `value`."""
    if target is None:
        return
    kind = target.type
    if kind in _NAMES or kind == "discard":
        low.assign(low.text(target), value, at, part=part, declares=declares)
    elif kind in ("pattern_list", "tuple_pattern", "expression_list", "array_pattern", "tuple", "parenthesized_pattern",
                  "parenthesized_variable_designation", "list_pattern", "left_hand_side"):  # fmt: skip
        _bind_each(low, target, value, at, declares=declares)
    elif kind == "object_pattern":
        _bind_fields(low, target, value, at)
    elif kind in ("init_declarator", "pointer_declarator", "reference_declarator", "array_declarator",
                  "parenthesized_declarator"):  # fmt: skip
        size = target.child_by_field_name("size")
        value = Sequence((), low.expr(size)) if size is not None and value is NOTHING else value
        bind(low, target.child_by_field_name("declarator") or target.named_child(0), value, at, declares=declares)
    elif kind in ("mut_pattern", "reference_pattern", "captured_pattern", "as_pattern_target", "ref_pattern",
                  "parenthesized_expression", "tuple_struct_pattern"):  # fmt: skip
        bind(low, target.named_children[-1] if target.named_children else None, value, at, part=part)
    elif kind in _MEMBERS:
        _store(low, target, value, at)
    elif kind in _ITEMS:
        place = low.expr(target)
        if isinstance(place, Item) and isinstance(place.key, Literal) and isinstance(place.key.value, str):
            low.scope.stored.append((place.base, place.key.value, value, at))
    elif kind in ("assignment_pattern", "object_assignment_pattern"):
        bind(
            low, target.child_by_field_name("left"), Choice((value, low.expr(target.child_by_field_name("right")))), at
        )


def _bind_each(low: Lowering, target: Node, value: Expr, at: int, *, declares: bool) -> None:
    names = [c for c in target.named_children if "comment" not in c.type]
    if len(names) == 1:
        bind(low, names[0], value, at, declares=declares)
        return
    items = value.items if isinstance(value, Sequence) and len(value.items) == len(names) else None
    for number, name in enumerate(names):
        one, part = (items[number], None) if items else (value, number)
        bind(low, name, one, at, part=part, declares=declares)


def _bind_fields(low: Lowering, target: Node, value: Expr, at: int) -> None:
    for child in target.named_children:
        if child.type == "shorthand_property_identifier_pattern":
            low.assign(low.text(child), Member(value, low.text(child)), at, declares=True)
        elif key := child.child_by_field_name("key"):
            bind(low, child.child_by_field_name("value"), Member(value, low.text(key)), at)


def _store(low: Lowering, target: Node, value: Expr, at: int) -> None:
    place = low.expr(target)
    if not isinstance(place, Member):
        return
    holder = low.scope.holder()
    if isinstance(place.base, Ref) and (place.base.name in THIS or place.base.name == _receiver(low.scope)) and holder:
        holder.assigned.setdefault(place.name, []).append(Assignment(at, low.branch, value, low.scope))
    low.scope.stored.append((place.base, place.name, value, at))


def _receiver(scope: Scope) -> str:
    """Return the name that a method of Go has for its own object."""
    found: Scope | None = scope
    while found and found.kind == "function":
        if receiver := found.imports.get(" receiver"):
            return receiver
        found = found.parent
    return ""


def _assignment(low: Lowering, node: Node) -> Expr:
    right, left = _first(node, "right", "value"), _first(node, "left", "name")
    value = low.expr(right) if right is not None else NOTHING
    if kind := node.child_by_field_name("type"):
        low.scope.kinds[low.text(left)] = low.expr(kind)
    if right is None:
        return NOTHING
    operator = low.text(node.child_by_field_name("operator"))
    if node.type == "augmented_assignment" or operator == "+=":
        low.assign(low.text(left), value, node.end_byte, adds=True)
        return NOTHING
    declares = node.type in ("short_var_declaration", "assignment") and low.scope.kind != "file"
    bind(low, left, value, node.end_byte, declares=declares or node.type == "assignment")
    return value


def _values(low: Lowering, node: Node) -> Expr:
    """Go's list of expressions on one side of an assignment."""
    values = tuple(low.expr(child) for child in node.named_children)
    return values[0] if len(values) == 1 else Sequence(values)


def _declarator(low: Lowering, node: Node) -> Expr:
    """A variable with or without a value, in the languages that say so by a node."""
    name = _first(node, "name", "declarator", "pattern", "property", "left")
    given = _first(node, "value", "right", "default_value") or _csharp_value(node, name)
    kind = node.child_by_field_name("type")
    around = node.parent
    if kind is None and around is not None and around.type in _TYPED_AROUND:
        kind = around.child_by_field_name("type")
    if given is not None and given.type == "argument_list" and kind is not None:  # C++: T name(arguments)
        value: Expr = _called_by(low, node, kind, given)
    elif given is not None and given.type == "implicit_object_creation_expression" and kind is not None:
        value = _called(low, given, low.expr(kind), made=True)
    else:
        value = low.expr(given) if given is not None else NOTHING
    at = node.end_byte
    if kind is not None and name is not None:
        low.scope.kinds.setdefault(_bare_name(low, name), low.expr(kind))
    sized = name is not None and name.type in ("array_declarator", "pointer_declarator")
    if given is not None or sized:
        bind(low, name, value, at)
    return NOTHING


_TYPED_AROUND = ("local_variable_declaration", "field_declaration", "variable_declaration", "declaration",
                 "constant_declaration")  # fmt: skip


def _bare_name(low: Lowering, node: Node) -> str:
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    return low.text(node)


def _csharp_value(node: Node, name: Node | None) -> Node | None:
    """Return the value after the name, where it has no field of its own."""
    if node.type not in ("variable_declarator", "parameter") or node.child_by_field_name("value"):
        return None
    later = [c for c in node.named_children if name is None or c.start_byte > name.start_byte]
    return (
        later[-1]
        if later and later[-1].type not in ("bracketed_argument_list", "type_annotation", "dimensions")
        else None
    )


def _called_by(low: Lowering, node: Node, kind: Node, arguments: Node) -> Call:
    call = Call(low.expr(kind), [], {}, low.scope)
    call.start, call.end, call.at, call.branch = kind.start_byte, node.end_byte, kind.start_byte, low.branch
    call.line, call.made = kind.start_point[0] + 1, True
    _arguments(low, arguments, call)
    low.scope.calls.append(call)
    return call


def _declaration(low: Lowering, node: Node) -> Expr:
    """C's declarations: one type, several declarators, of which only some have a value."""
    kind = node.child_by_field_name("type")
    for one in node.children_by_field_name("declarator"):
        if one.type == "init_declarator":
            _declarator(low, one)
        elif one.type in ("identifier", "pointer_declarator", "array_declarator", "field_identifier"):
            default = node.child_by_field_name("default_value")
            if default is not None or one.type == "array_declarator":
                bind(low, one, low.expr(default) if default else NOTHING, node.end_byte)
            if kind is not None:
                low.scope.kinds.setdefault(_bare_name(low, one), low.expr(kind))
    if kind is not None and kind.type in ("struct_specifier", "class_specifier", "enum_specifier"):
        low.expr(kind)
    return NOTHING


def _each_name(low: Lowering, node: Node) -> Expr:
    """Go's and Rust's constants, and Python's `with x as y`."""
    names = node.children_by_field_name("name") or node.children_by_field_name("alias")
    value = low.expr(_first(node, "value", "type") or (node.named_children[0] if node.named_children else None))
    if kind := node.child_by_field_name("type"):
        for name in names:
            low.scope.kinds.setdefault(low.text(name), low.expr(kind))
    if node.child_by_field_name("value") is None and node.type not in ("as_pattern", "type_item"):
        return NOTHING
    for number, name in enumerate(names):
        items = value.items if isinstance(value, Sequence) and len(value.items) == len(names) > 1 else None
        part = number if len(names) > 1 and not items else None
        bind(low, name, items[number] if items else value, node.end_byte, part=part)
    return value


def _as_pattern(low: Lowering, node: Node) -> Expr:
    value = low.expr(node.named_children[0] if node.named_children else None)
    bind(low, node.child_by_field_name("alias"), value, node.end_byte)
    return value


def _loop(low: Lowering, node: Node) -> Expr:
    """A loop over the items of something."""
    left, right = _first(node, "left", "name", "pattern"), _first(node, "right", "value")
    if left is not None and right is not None:
        values = low.expr(right)
        last = left.named_children[-1] if left.type == "expression_list" and left.named_children else left
        bind(low, last, Item(values, NOTHING), left.end_byte)
    low.expr(node.child_by_field_name("body"))
    return NOTHING


def _return(low: Lowering, node: Node) -> Expr:
    for child in node.named_children:
        low.scope.returned.append(low.expr(child))
    return NOTHING


def _function(low: Lowering, node: Node) -> Expr:
    """A function is lowered later, where something in it is of interest."""
    name = _function_name(low, node)
    home = low.scope
    if node.type == "method_declaration" and (receiver := node.child_by_field_name("receiver")) is not None:
        home = _receiver_class(low, receiver)
    scope = Scope(name.rpartition("::")[2], home, kind="function")
    scope.test = scope.test or _marked_as_test(low, node)
    if name:
        home.members.setdefault(scope.name, scope)
    low.open(scope, node)
    scope.pending = lambda: low.within(scope, lambda: _body(low, node, scope))
    if home is not low.scope or low.scope.kind == "function":
        scope.imports.update({k: v for k, v in home.imports.items() if k == " receiver"})
    if node.type == "method_declaration" and (receiver := node.child_by_field_name("receiver")) is not None:
        one = receiver.named_children[0] if receiver.named_children else None
        scope.imports[" receiver"] = low.text(one.child_by_field_name("name")) if one else ""
    return Ref(name) if name else NOTHING


def _function_name(low: Lowering, node: Node) -> str:
    if name := node.child_by_field_name("name"):
        return low.text(name)
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and (inner := declarator.child_by_field_name("declarator")) is not None:
        declarator = inner
    if declarator is not None and declarator.type != "abstract_function_declarator":
        return low.text(declarator)
    around = node.parent
    if around is not None and around.type in ("variable_declarator", "pair", "assignment_expression"):
        return low.text(_first(around, "name", "key")) if around.type != "assignment_expression" else ""
    return ""


def _receiver_class(low: Lowering, receiver: Node) -> Scope:
    text = low.text(receiver).strip("()").split()
    name = text[-1].lstrip("*").partition("[")[0] if text else ""
    return _class_scope(low, name, receiver)


def _class_scope(low: Lowering, name: str, node: Node) -> Scope:
    """Return the class of that name here; what a language writes in several places is one class."""
    known = low.scope.members.get(name)
    if known is None or known.kind != "class":
        known = Scope(name, low.scope, kind="class")
        if name:
            low.scope.members[name] = known
        low.open(known, node)
    return known


def _marked_as_test(low: Lowering, node: Node) -> bool:
    for child in node.children:
        if child.type in ("modifiers", "attribute_list") and any(
            f"{mark}" in low.text(child).replace("(", " ").replace("]", " ").replace("@", " ").replace("[", " ").split()
            for mark in _TEST_MARKS
        ):
            return True
    before = node.prev_named_sibling
    while before is not None and before.type == "attribute_item":
        if "test" in low.text(before):
            return True
        before = before.prev_named_sibling
    return False


_PARAMETER_LISTS = ("parameters", "parameter", "declarator")


def _body(low: Lowering, node: Node, scope: Scope) -> None:
    listed = _first(node, *_PARAMETER_LISTS)
    while listed is not None and (inner := _first(listed, "parameters", "declarator")) is not None:
        listed = inner
    if listed is not None and listed.type in _NAMES:
        scope.parameters.append(Parameter(low.text(listed)))
    elif listed is not None:
        for child in listed.named_children:
            _parameter(low, child, scope)
    for child in node.named_children:
        if child.type == "field_initializer_list":
            low.expr(child)
    body = node.child_by_field_name("body")
    value = low.expr(body)
    plain = body is not None and (body.type not in _BLOCKS or body.type == "block" and node.type in _TAILED)
    if plain and value is not NOTHING:
        scope.returned.append(value)


_BLOCKS = ("block", "statement_block", "compound_statement", "constructor_body", "statement_list")
_TAILED = ("function_item", "closure_expression")
"""Functions of Rust: the last expression of the body is what they return."""


def _parameter(low: Lowering, node: Node, scope: Scope) -> None:
    if node.type in (
        "comment",
        "attribute_item",
        "self_parameter",
        "line_comment",
        "block_comment",
        "keyword_separator",
        "positional_separator",
    ):
        return
    kind = node.child_by_field_name("type")
    lowered = low.expr(kind) if kind else None
    names = node.children_by_field_name("name") or [
        n for n in (_first(node, "pattern", "declarator", "left"), node if node.type in _NAMES else None) if n
    ]
    default = _first(node, "value", "right") or _csharp_value(node, names[0] if names else None)
    if not names:
        inner = next((c for c in node.named_children if c.type in _NAMES or c.type == "variable_declarator"), None)
        names = [inner] if inner else [node]
    for name in names:
        text = _bare_name(low, name)
        scope.parameters.append(Parameter(text, low.expr(default) if default else None, lowered))
        if lowered is not None:
            scope.kinds[text] = lowered
        if name.type == "object_pattern":
            _bind_fields(low, name, Ref(text), name.end_byte)


def _class(low: Lowering, node: Node) -> Expr:
    name = low.text(_first(node, "name", "type")).partition("<")[0]
    scope = _class_scope(low, name, node)
    scope.test = scope.test or _marked_as_test(low, node)
    for field in ("superclasses", "superclass", "interfaces", "bases"):
        if (bases := node.child_by_field_name(field)) is not None:
            scope.bases += [low.expr(child) for child in bases.named_children]
    scope.bases += [
        low.expr(g)
        for c in node.named_children
        if c.type in ("class_heritage", "base_list", "base_class_clause")
        for g in c.named_children
    ]
    body = node.child_by_field_name("body")
    low.within(scope, lambda: _discard(low.expr(body)))
    return Ref(name)


def _discard(_: Expr) -> None:
    """Take a value for what it did."""


def _rust_module(low: Lowering, node: Node) -> Expr:
    """A module in a file of Rust sees what the file imports, and may be for tests only."""
    kept, low.scope.test = low.scope.test, low.scope.test or _marked_as_test(low, node)
    low.expr(node.child_by_field_name("body"))
    low.scope.test = kept
    return NOTHING


def _enum_constant(low: Lowering, node: Node) -> Expr:
    name = low.text(node.child_by_field_name("name"))
    value: Expr = low.expr(node.child_by_field_name("value"))
    if (arguments := node.child_by_field_name("arguments")) is not None:
        call = Call(Ref(low.scope.name), [], {}, low.scope)
        call.line, call.at, call.made = node.start_point[0] + 1, node.start_byte, True
        _arguments(low, arguments, call)
        value = call
    low.assign(name, value, node.end_byte, declares=True)
    return NOTHING


def _property(low: Lowering, node: Node) -> Expr:
    """A property of C#, or a field of a class in other languages, with its value."""
    name, value = _first(node, "name", "property"), node.child_by_field_name("value")
    if kind := node.child_by_field_name("type"):
        low.scope.kinds[low.text(name)] = low.expr(kind)
    if value is not None:
        low.assign(low.text(name), low.expr(value), node.end_byte, declares=True)
    elif (accessors := node.child_by_field_name("accessors")) is not None:
        low.expr(accessors)
    return NOTHING


def _type_annotation(low: Lowering, node: Node) -> Expr:
    return low.expr(node.named_children[0]) if node.named_children else NOTHING


def _macro(low: Lowering, node: Node) -> Expr:
    """A macro of Rust: its text is read as the arguments of a call."""
    return lowering_literals.macro(low, node)


_NAMES = ("identifier", "type_identifier", "field_identifier", "property_identifier", "package_identifier",
          "namespace_identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern",
          "private_property_identifier", "simple_identifier")  # fmt: skip
_MEMBERS = ("attribute", "member_expression", "field_access", "selector_expression", "field_expression",
            "member_access_expression", "scoped_identifier", "scoped_type_identifier", "qualified_identifier",
            "qualified_type", "qualified_name", "conditional_access_expression", "nested_identifier",
            "nested_type_identifier")  # fmt: skip
_ITEMS = ("subscript", "subscript_expression", "index_expression", "array_access", "element_access_expression")
_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_NAMES, _name),
    **dict.fromkeys(_MEMBERS, _member),
    **dict.fromkeys(_ITEMS, _item),
    **dict.fromkeys(("this", "self", "super", "this_expression", "base_expression"), _this),
    **dict.fromkeys(("comment", "line_comment", "block_comment", "attribute_item", "inner_attribute_item", "modifiers",
                     "attribute_list", "type_parameters", "decorator", "predefined_type", "primitive_type",
                     "package_declaration", "package_clause", "predefined_type", "void_type", "null", "nil", "none",
                     "null_literal", "token_tree", "preproc_call", "slice_type", "map_type"), _skip),
    **dict.fromkeys(("call", "call_expression", "invocation_expression"), _call),
    "method_invocation": _method,
    **dict.fromkeys(("object_creation_expression", "new_expression", "implicit_object_creation_expression"), _new),
    **dict.fromkeys(("composite_literal", "compound_literal_expression", "struct_expression"), _composite),
    **dict.fromkeys(("generic_type", "generic_function", "generic_name", "template_type", "template_function",
                     "type_instantiation_expression"), _generic),
    **dict.fromkeys(("cast_expression", "type_cast_expression", "type_conversion_expression", "type_assertion",
                     "type_assertion_expression", "reference_expression", "type_descriptor"), _cast),
    **dict.fromkeys(("as_expression", "satisfies_expression", "non_null_expression", "try_expression",
                     "await_expression", "literal_element", "type"), _leading),
    **dict.fromkeys(("list", "tuple", "set", "array", "array_initializer", "initializer_list", "initializer_expression",
                     "collection_expression", "array_expression", "tuple_expression"), _sequence),
    **dict.fromkeys(("dictionary", "object"), _table),
    "array_creation_expression": _array,
    "slice_expression": _slice,
    **dict.fromkeys(("binary_expression", "binary_operator", "boolean_operator"), _join),
    **dict.fromkeys(("unary_expression", "unary_operator", "pointer_expression", "prefix_unary_expression",
                     "update_expression"), _unary),
    **dict.fromkeys(("ternary_expression",), _ternary),
    **dict.fromkeys(("if_statement", "if_expression"), _if),
    "elif_clause": _elif,
    **dict.fromkeys(("switch_section", "case_statement", "expression_case", "default_case", "type_case",
                     "switch_block_statement_group", "switch_rule", "switch_case", "switch_default", "match_arm",
                     "case_clause", "switch_expression_arm", "communication_case"), _arm),
    **dict.fromkeys(("match_expression", "switch_expression"), _match),
    **dict.fromkeys(("assignment", "augmented_assignment", "assignment_expression", "short_var_declaration",
                     "assignment_statement", "augmented_assignment_expression", "named_expression"), _assignment),
    "expression_list": _values,
    **dict.fromkeys(("variable_declarator", "let_declaration", "init_declarator", "resource", "field_definition",
                     "public_field_definition"), _declarator),
    "declaration": _declaration,
    **dict.fromkeys(("const_spec", "var_spec", "const_item", "static_item", "type_item"), _each_name),
    "as_pattern": _as_pattern,
    **dict.fromkeys(("enhanced_for_statement", "for_in_statement", "foreach_statement", "for_expression"), _loop),
    "return_statement": _return,
    **dict.fromkeys(("function_definition", "function_declaration", "method_declaration", "constructor_declaration",
                     "function_item", "arrow_function", "function_expression", "method_definition", "func_literal",
                     "lambda_expression", "closure_expression", "local_function_statement", "lambda", "function",
                     "generator_function_declaration", "compact_constructor_declaration", "anonymous_method_expression",
                     "generator_function", "destructor_declaration", "operator_declaration"), _function),
    **dict.fromkeys(("class_definition", "class_declaration", "interface_declaration", "enum_declaration", "class",
                     "record_declaration", "class_specifier", "struct_specifier", "impl_item", "struct_declaration",
                     "trait_item", "abstract_class_declaration"), _class),
    **dict.fromkeys(("enum_constant", "enum_assignment"), _enum_constant),
    "property_declaration": _property,
    "mod_item": _rust_module,
    "type_annotation": _type_annotation,
    "macro_invocation": _macro,
    **dict.fromkeys(("block", "statement_block", "compound_statement", "statement_list", "else_clause"), _block),
    "expression_statement": _statement,
}  # fmt: skip


def _for_statement(low: Lowering, node: Node) -> Expr:
    """Python's loop has a left and a right; the loops of the others are like any statement."""
    if node.child_by_field_name("left") is not None:
        return _loop(low, node)
    for child in node.named_children:
        if child.type == "range_clause":
            _loop(low, child)
        else:
            low.expr(child)
    return NOTHING


def _conditional(low: Lowering, node: Node) -> Expr:
    return _ternary(low, node) if node.child_by_field_name("condition") else _python_ternary(low, node)


def _field_declaration(low: Lowering, node: Node) -> Expr:
    """A field: of C++ by a declarator of its own, of Java and C# by one within."""
    return _declaration(low, node) if node.child_by_field_name("default_value") else _statement(low, node)


_HANDLERS |= {
    "for_statement": _for_statement,
    "conditional_expression": _conditional,
    "field_declaration": _field_declaration,
    **lowering_imports.HANDLERS,
    **lowering_literals.HANDLERS,
}


def touched(positions: list[int], span: tuple[int, int]) -> bool:
    """Return whether any of the sorted `positions` lies within `span`."""
    at = bisect_left(positions, span[0])
    return at < len(positions) and positions[at] < span[1]
