"""Calls, constructors, and values made by naming their fields."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source import lowering_imports, lowering_literals
from keystrand.formats.source.lowering_expressions import table
from keystrand.formats.source.lowering_nodes import PAIRS, first
from keystrand.formats.source.tree import Call, Expr, Member, Module, Ref, Sequence, Table

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering


def _call(low: "Lowering", node: Node) -> Expr:
    function = node.child_by_field_name("function")
    if function is not None and function.type == "identifier":
        word = low.text(function)
        if word == "require" and (name := lowering_imports.required(low, node)):
            return Module(name)
        if word == "make":
            return _sized(low, node)
    elif function is not None and function.type == "import" and (name := lowering_imports.required(low, node)):
        return Module(name)
    return called(low, node, low.expr(function))


def _sized(low: "Lowering", node: Node) -> Expr:
    """Go's `make([]byte, 32)`."""
    arguments = node.child_by_field_name("arguments")
    sizes = [low.expr(child) for child in arguments.named_children[1:]] if arguments else []
    return Sequence((), sizes[0] if sizes else None)


def _method(low: "Lowering", node: Node) -> Expr:
    """Java's calls: an object, a name, arguments."""
    base, name = node.child_by_field_name("object"), low.text(node.child_by_field_name("name"))
    return called(low, node, Member(low.expr(base), name) if base else Ref(name))


def _new(low: "Lowering", node: Node) -> Expr:
    kind = first(node, "type", "constructor", "name")
    return called(low, node, low.expr(kind), made=True)


def called(low: "Lowering", node: Node, function: Expr, *, made: bool = False) -> Call:
    """Note the call at `node` of `function`, with its arguments and the fields it is made with."""
    call = Call(function, [], {}, low.scope)
    call.start, call.end, call.at, call.branch = node.start_byte, node.end_byte, node.start_byte, low.branch
    call.line, call.made = node.start_point[0] + 1, made
    arguments = node.child_by_field_name("arguments") or next(
        (c for c in node.named_children if c.type == "argument_list"), None
    )
    if arguments is not None:
        take_arguments(low, arguments, call)
    if (fields := first(node, "initializer", "body")) is not None:
        _fields(low, fields, call)
    for child in node.named_children:
        if child.type in ("class_body", "declaration_list"):
            low.expr(child)
    low.scope.calls.append(call)
    return call


def take_arguments(low: "Lowering", arguments: Node, call: Call) -> None:
    """Give `call` its arguments, by place and by name."""
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


def _fields(low: "Lowering", fields: Node, call: Call) -> None:
    """Take the fields that a value is made with: Go, Rust, C#."""
    for child in fields.named_children:
        if child.type not in PAIRS:
            call.items.append(low.expr(child))
            continue
        key = first(child, "key", "field", "left") or child.named_children[0]
        value = first(child, "value", "right") or child.named_children[-1]
        call.named[low.text(key)] = low.expr(value)


def _composite(low: "Lowering", node: Node) -> Expr:
    """Go's `T{...}`, C++'s `T{...}`, Rust's `T { .. }`: a sequence, a table, or a value made by its fields."""
    kind = first(node, "type", "name")
    body = first(node, "body", "value")
    if kind is not None and kind.type in ("slice_type", "array_type", "implicit_length_array_type", "map_type"):
        if kind.type == "map_type":
            return table(low, body) if body else Table(())
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


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    **dict.fromkeys(("call", "call_expression", "invocation_expression"), _call),
    "method_invocation": _method,
    **dict.fromkeys(("object_creation_expression", "new_expression", "implicit_object_creation_expression"), _new),
    **dict.fromkeys(("composite_literal", "compound_literal_expression", "struct_expression"), _composite),
    "macro_invocation": lowering_literals.macro,
}
