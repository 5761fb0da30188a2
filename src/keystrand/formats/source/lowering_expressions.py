"""Expressions of nine languages that are not calls: names, members, lists, operators, casts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.lowering_nodes import ITEMS, MEMBERS, NAMES, PAIRS, children, first
from keystrand.formats.source.tree import (
    NOTHING,
    Choice,
    Expr,
    Generic,
    Item,
    Join,
    Literal,
    Member,
    Ref,
    Sequence,
    Table,
)

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering


def _name(low: "Lowering", node: Node) -> Expr:
    return Ref(low.text(node))


def _this(low: "Lowering", node: Node) -> Expr:  # noqa: ARG001 - the form of all of these
    return Ref("this")


def _member(low: "Lowering", node: Node) -> Expr:
    base = first(node, "object", "operand", "expression", "argument", "value", "path", "scope", "qualifier", "package",
                  "condition")  # fmt: skip
    name = first(node, "attribute", "property", "field", "name")
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


def _generic(low: "Lowering", node: Node) -> Expr:
    base = first(node, "type", "name", "function") or (node.named_children[0] if node.named_children else None)
    listed = first(node, "type_arguments", "arguments") or next(
        (c for c in node.named_children if c.type in ("type_arguments", "type_argument_list")), None
    )
    arguments = tuple(low.expr(child) for child in listed.named_children) if listed else ()
    return Generic(Ref(low.text(base)) if base and base.child_count == 0 else low.expr(base), arguments)


def _cast(low: "Lowering", node: Node) -> Expr:
    value = first(node, "value", "operand", "argument") or (node.named_children[-1] if node.named_children else None)
    return low.expr(value)


def _leading(low: "Lowering", node: Node) -> Expr:
    """TypeScript's `x as T` and `x!`: the value is first."""
    return low.expr(node.named_children[0]) if node.named_children else NOTHING


def _sequence(low: "Lowering", node: Node) -> Expr:
    length = node.child_by_field_name("length")
    items = [c for c in node.named_children if "comment" not in c.type]
    if items and all(c.type in PAIRS for c in items):
        return table(low, node)
    values = tuple(low.expr(child) for child in items)
    return Sequence((), values[-1]) if length is not None and values else Sequence(values)


def _array(low: "Lowering", node: Node) -> Expr:
    """`new byte[16]`, with or without values."""
    given = first(node, "value") or next((c for c in node.named_children if "initializer" in c.type), None)
    if given is not None:
        return low.expr(given)
    within = [inner for child in node.named_children for inner in (child, *child.named_children)]
    within += [deeper for inner in within for deeper in inner.named_children]
    size = next((one for one in within if one.type not in _TYPE_WORDS), None)
    return Sequence((), low.expr(size) if size else None)


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


def table(low: "Lowering", node: Node) -> Expr:
    """A dictionary or an object: pairs of keys and values."""
    pairs: list[tuple[Expr, Expr]] = []
    for child in node.named_children:
        key, value = first(child, "key", "designator", "left"), first(child, "value", "right")
        if child.type == "shorthand_property_identifier":
            pairs.append((Literal(low.text(child)), Ref(low.text(child))))
        elif key is not None and value is not None:
            pairs.append((_key(low, key), low.expr(value)))
        else:
            low.expr(child)
    return Table(tuple(pairs))


def _key(low: "Lowering", key: Node) -> Expr:
    if key.type in ("property_identifier", "field_designator"):
        return Literal(low.text(key).lstrip("."))
    return low.expr(key)


def _item(low: "Lowering", node: Node) -> Expr:
    children = node.named_children
    if not children:
        return NOTHING
    key = low.expr(children[1]) if len(children) > 1 else NOTHING
    return Item(low.expr(children[0]), key)


def _slice(low: "Lowering", node: Node) -> Expr:
    """A part of something: of `x[:16]` only the size is known."""
    low.expr(first(node, "operand", "value"))
    start, end = node.child_by_field_name("start"), node.child_by_field_name("end")
    begin = low.expr(start) if start else Literal(0)
    return Sequence((), Join("-", low.expr(end), begin)) if end else NOTHING


def _join(low: "Lowering", node: Node) -> Expr:
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


def _unary(low: "Lowering", node: Node) -> Expr:
    inner = low.expr(first(node, "operand", "argument") or (node.named_children[-1] if node.named_children else None))
    return NOTHING if low.content[node.start_byte : node.start_byte + 1] in b"-!~+" else inner


def ternary(low: "Lowering", node: Node) -> Expr:
    """`condition ? this : that`, each its own arm."""
    low.expr(node.child_by_field_name("condition"))
    return Choice(
        (
            low.inside((node.start_byte, 0), node.child_by_field_name("consequence")),
            low.inside((node.start_byte, 1), node.child_by_field_name("alternative")),
        )
    )


def _python_ternary(low: "Lowering", node: Node) -> Expr:
    """`a if condition else b`, whose parts have no names."""
    parts = node.named_children
    if len(parts) != 3:
        return children(low, node)
    low.expr(parts[1])
    return Choice((low.expr(parts[0]), low.expr(parts[2])))


def _conditional(low: "Lowering", node: Node) -> Expr:
    return ternary(low, node) if node.child_by_field_name("condition") else _python_ternary(low, node)


def _type_annotation(low: "Lowering", node: Node) -> Expr:
    return low.expr(node.named_children[0]) if node.named_children else NOTHING


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    **dict.fromkeys(NAMES, _name),
    **dict.fromkeys(MEMBERS, _member),
    **dict.fromkeys(ITEMS, _item),
    **dict.fromkeys(("this", "self", "super", "this_expression", "base_expression"), _this),
    **dict.fromkeys(("generic_type", "generic_function", "generic_name", "template_type", "template_function",
                     "type_instantiation_expression"), _generic),
    **dict.fromkeys(("cast_expression", "type_cast_expression", "type_conversion_expression", "type_assertion",
                     "type_assertion_expression", "reference_expression", "type_descriptor"), _cast),
    **dict.fromkeys(("as_expression", "satisfies_expression", "non_null_expression", "try_expression",
                     "await_expression", "literal_element", "type"), _leading),
    **dict.fromkeys(("list", "tuple", "set", "array", "array_initializer", "initializer_list", "initializer_expression",
                     "collection_expression", "array_expression", "tuple_expression"), _sequence),
    **dict.fromkeys(("dictionary", "object"), table),
    "array_creation_expression": _array,
    "slice_expression": _slice,
    **dict.fromkeys(("binary_expression", "binary_operator", "boolean_operator"), _join),
    **dict.fromkeys(("unary_expression", "unary_operator", "pointer_expression", "prefix_unary_expression",
                     "update_expression"), _unary),
    "ternary_expression": ternary,
    "conditional_expression": _conditional,
    "type_annotation": _type_annotation,
}  # fmt: skip
