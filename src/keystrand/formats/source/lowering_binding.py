"""What is assigned to what: declarations, assignments, patterns, loops, fields."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.lowering_calls import called, take_arguments
from keystrand.formats.source.lowering_nodes import ITEMS, MEMBERS, NAMES, bare_name, children, first, value_after
from keystrand.formats.source.tree import (
    NOTHING,
    Assignment,
    Call,
    Choice,
    Expr,
    Item,
    Literal,
    Member,
    Ref,
    Scope,
    Sequence,
)

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering


def bind(low: "Lowering", target: Node | None, value: Expr, at: int, *, part: int | None = None,
         declares: bool = True) -> None:  # fmt: skip
    """Note that what `target` names has `value`."""
    if target is None:
        return
    kind = target.type
    if kind in NAMES or kind == "discard":
        low.assign(low.text(target), value, at, part=part, declares=declares)
    elif kind in _SEVERAL:
        _bind_each(low, target, value, at, declares=declares)
    elif kind == "object_pattern":
        bind_fields(low, target, value, at)
    elif kind in _DECLARATORS:
        size = target.child_by_field_name("size")
        value = Sequence((), low.expr(size)) if size is not None and value is NOTHING else value
        bind(low, target.child_by_field_name("declarator") or target.named_child(0), value, at, declares=declares)
    elif kind in _AROUND:
        bind(low, target.named_children[-1] if target.named_children else None, value, at, part=part)
    else:
        _bind_place(low, target, value, at)


def _bind_place(low: "Lowering", target: Node, value: Expr, at: int) -> None:
    """Note what a property, an item, or a pattern with a default is given."""
    if target.type in MEMBERS:
        _store(low, target, value, at)
    elif target.type in ITEMS:
        place = low.expr(target)
        if isinstance(place, Item) and isinstance(place.key, Literal) and isinstance(place.key.value, str):
            low.scope.stored.append((place.base, place.key.value, value, at))
    elif target.type in ("assignment_pattern", "object_assignment_pattern"):
        default = low.expr(target.child_by_field_name("right"))
        bind(low, target.child_by_field_name("left"), Choice((value, default)), at)


_SEVERAL = ("pattern_list", "tuple_pattern", "expression_list", "array_pattern", "tuple", "parenthesized_pattern",
            "parenthesized_variable_designation", "list_pattern", "left_hand_side")  # fmt: skip
_DECLARATORS = ("init_declarator", "pointer_declarator", "reference_declarator", "array_declarator",
                "parenthesized_declarator")  # fmt: skip
_AROUND = ("mut_pattern", "reference_pattern", "captured_pattern", "as_pattern_target", "ref_pattern",
           "parenthesized_expression", "tuple_struct_pattern")  # fmt: skip


def _bind_each(low: "Lowering", target: Node, value: Expr, at: int, *, declares: bool) -> None:
    names = [c for c in target.named_children if "comment" not in c.type]
    if len(names) == 1:
        bind(low, names[0], value, at, declares=declares)
        return
    items = value.items if isinstance(value, Sequence) and len(value.items) == len(names) else None
    for number, name in enumerate(names):
        one, part = (items[number], None) if items else (value, number)
        bind(low, name, one, at, part=part, declares=declares)


def bind_fields(low: "Lowering", target: Node, value: Expr, at: int) -> None:
    """Note what the names of an object pattern have: the properties of `value`."""
    for child in target.named_children:
        if child.type == "shorthand_property_identifier_pattern":
            low.assign(low.text(child), Member(value, low.text(child)), at, declares=True)
        elif key := child.child_by_field_name("key"):
            bind(low, child.child_by_field_name("value"), Member(value, low.text(key)), at)


def _store(low: "Lowering", target: Node, value: Expr, at: int) -> None:
    place = low.expr(target)
    if not isinstance(place, Member):
        return
    holder = low.scope.holder()
    if isinstance(place.base, Ref) and (place.base.name in _THIS or place.base.name == _receiver(low.scope)) and holder:
        holder.assigned.setdefault(place.name, []).append(Assignment(at, low.branch, value, low.scope))
    low.scope.stored.append((place.base, place.name, value, at))


_THIS = frozenset({"this", "self", "cls", "super"})


def _receiver(scope: Scope) -> str:
    """Return the name that a method of Go has for its own object."""
    found: Scope | None = scope
    while found and found.kind == "function":
        if receiver := found.imports.get(" receiver"):
            return receiver
        found = found.parent
    return ""


def _assignment(low: "Lowering", node: Node) -> Expr:
    right, left = first(node, "right", "value"), first(node, "left", "name")
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


def _values(low: "Lowering", node: Node) -> Expr:
    """Go's list of expressions on one side of an assignment."""
    values = tuple(low.expr(child) for child in node.named_children)
    return values[0] if len(values) == 1 else Sequence(values)


def _declarator(low: "Lowering", node: Node) -> Expr:
    """A variable with or without a value, in the languages that say so by a node."""
    name = first(node, "name", "declarator", "pattern", "property", "left")
    given = first(node, "value", "right", "default_value") or value_after(node, name)
    kind = node.child_by_field_name("type")
    around = node.parent
    if kind is None and around is not None and around.type in _TYPED_AROUND:
        kind = around.child_by_field_name("type")
    if given is not None and given.type == "argument_list" and kind is not None:  # C++: T name(arguments)
        value: Expr = made_by(low, node, kind, given)
    elif given is not None and given.type == "implicit_object_creation_expression" and kind is not None:
        value = called(low, given, low.expr(kind), made=True)
    else:
        value = low.expr(given) if given is not None else NOTHING
    at = node.end_byte
    if kind is not None and name is not None:
        low.scope.kinds.setdefault(bare_name(low, name), low.expr(kind))
    sized = name is not None and name.type in ("array_declarator", "pointer_declarator")
    if given is not None or sized:
        bind(low, name, value, at)
    return NOTHING


_TYPED_AROUND = ("local_variable_declaration", "field_declaration", "variable_declaration", "declaration",
                 "constant_declaration")  # fmt: skip


def made_by(low: "Lowering", node: Node, kind: Node, arguments: Node | None = None) -> Call:
    """Note that a declaration makes an object of `kind`, as those of C++ do."""
    call = Call(low.expr(kind), [], {}, low.scope)
    call.start, call.end, call.at, call.branch = kind.start_byte, node.end_byte, kind.start_byte, low.branch
    call.line, call.made = kind.start_point[0] + 1, True
    if arguments is not None:
        take_arguments(low, arguments, call)
    low.scope.calls.append(call)
    return call


def _declaration(low: "Lowering", node: Node) -> Expr:
    """C's declarations: one type, several declarators, of which only some have a value."""
    kind = node.child_by_field_name("type")
    for one in node.children_by_field_name("declarator"):
        if one.type == "init_declarator":
            _declarator(low, one)
        elif one.type in ("identifier", "pointer_declarator", "array_declarator", "field_identifier"):
            default = node.child_by_field_name("default_value")
            if default is not None or one.type == "array_declarator":
                bind(low, one, low.expr(default) if default else NOTHING, node.end_byte)
            elif one.type == "identifier" and kind is not None and kind.type in _CLASSES:  # C++: T name;
                bind(low, one, made_by(low, node, kind), node.end_byte)
            if kind is not None:
                low.scope.kinds.setdefault(bare_name(low, one), low.expr(kind))
    if kind is not None and kind.type in ("struct_specifier", "class_specifier", "enum_specifier"):
        low.expr(kind)
    return NOTHING


_CLASSES = ("qualified_identifier", "template_type", "type_identifier")


def _each_name(low: "Lowering", node: Node) -> Expr:
    """Go's and Rust's constants, and Python's `with x as y`."""
    names = node.children_by_field_name("name") or node.children_by_field_name("alias")
    value = low.expr(first(node, "value", "type") or (node.named_children[0] if node.named_children else None))
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


def _as_pattern(low: "Lowering", node: Node) -> Expr:
    value = low.expr(node.named_children[0] if node.named_children else None)
    bind(low, node.child_by_field_name("alias"), value, node.end_byte)
    return value


def _loop(low: "Lowering", node: Node) -> Expr:
    """A loop over the items of something."""
    left, right = first(node, "left", "name", "pattern"), first(node, "right", "value")
    if left is not None and right is not None:
        values = low.expr(right)
        last = left.named_children[-1] if left.type == "expression_list" and left.named_children else left
        bind(low, last, Item(values, NOTHING), left.end_byte)
    low.expr(node.child_by_field_name("body"))
    return NOTHING


def _for_statement(low: "Lowering", node: Node) -> Expr:
    """Python's loop has a left and a right; the loops of the others are like any statement."""
    if node.child_by_field_name("left") is not None:
        return _loop(low, node)
    for child in node.named_children:
        if child.type == "range_clause":
            _loop(low, child)
        else:
            low.expr(child)
    return NOTHING


def _property(low: "Lowering", node: Node) -> Expr:
    """A property of C#, or a field of a class in other languages, with its value."""
    name, value = first(node, "name", "property"), node.child_by_field_name("value")
    if kind := node.child_by_field_name("type"):
        low.scope.kinds[low.text(name)] = low.expr(kind)
    if value is not None:
        low.assign(low.text(name), low.expr(value), node.end_byte, declares=True)
    elif (accessors := node.child_by_field_name("accessors")) is not None:
        low.expr(accessors)
    return NOTHING


def _enum_constant(low: "Lowering", node: Node) -> Expr:
    name = low.text(node.child_by_field_name("name"))
    value: Expr = low.expr(node.child_by_field_name("value"))
    if (arguments := node.child_by_field_name("arguments")) is not None:
        call = Call(Ref(low.scope.name), [], {}, low.scope)
        call.line, call.at, call.made = node.start_point[0] + 1, node.start_byte, True
        take_arguments(low, arguments, call)
        low.scope.calls.append(call)
        value = call
    low.assign(name, value, node.end_byte, declares=True)
    return NOTHING


def _field_declaration(low: "Lowering", node: Node) -> Expr:
    """A field: of C++ by a declarator of its own, of Java and C# by one within."""
    return _declaration(low, node) if node.child_by_field_name("default_value") else children(low, node)


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    **dict.fromkeys(("assignment", "augmented_assignment", "assignment_expression", "short_var_declaration",
                     "assignment_statement", "augmented_assignment_expression", "named_expression"), _assignment),
    "expression_list": _values,
    **dict.fromkeys(("variable_declarator", "let_declaration", "init_declarator", "resource", "field_definition",
                     "public_field_definition"), _declarator),
    "declaration": _declaration,
    **dict.fromkeys(("const_spec", "var_spec", "const_item", "static_item", "type_item"), _each_name),
    "as_pattern": _as_pattern,
    **dict.fromkeys(("enhanced_for_statement", "for_in_statement", "foreach_statement", "for_expression"), _loop),
    "for_statement": _for_statement,
    **dict.fromkeys(("enum_constant", "enum_assignment"), _enum_constant),
    "property_declaration": _property,
    "field_declaration": _field_declaration,
}  # fmt: skip
