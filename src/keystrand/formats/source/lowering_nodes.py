"""Syntax nodes that several parts of the lowering look at: fields by any of their names, kinds of names."""

from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.tree import NOTHING, Expr

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering


def first(node: Node, *fields: str) -> Node | None:
    """Return what the first of `fields` that is there holds."""
    for field in fields:
        if child := node.child_by_field_name(field):
            return child
    return None


def bare_name(low: "Lowering", node: Node) -> str:
    """Return the name within declarators such as `*name[4]`."""
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    return low.text(node)


def value_after(node: Node, name: Node | None) -> Node | None:
    """Return the value after the name, where it has no field of its own."""
    if node.type not in ("variable_declarator", "parameter") or node.child_by_field_name("value"):
        return None
    later = [c for c in node.named_children if name is None or c.start_byte > name.start_byte]
    return (
        later[-1]
        if later and later[-1].type not in ("bracketed_argument_list", "type_annotation", "dimensions")
        else None
    )


NAMES = ("identifier", "type_identifier", "field_identifier", "property_identifier", "package_identifier",
          "namespace_identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern",
          "private_property_identifier", "simple_identifier")  # fmt: skip


MEMBERS = ("attribute", "member_expression", "field_access", "selector_expression", "field_expression",
            "member_access_expression", "scoped_identifier", "scoped_type_identifier", "qualified_identifier",
            "qualified_type", "qualified_name", "conditional_access_expression", "nested_identifier",
            "nested_type_identifier")  # fmt: skip


ITEMS = ("subscript", "subscript_expression", "index_expression", "array_access", "element_access_expression")

PAIRS = {"keyed_element", "field_initializer", "assignment_expression", "pair", "initializer_pair",
          "shorthand_field_initializer"}  # fmt: skip
"""Nodes that give a value to a key or a field."""


def children(low: "Lowering", node: Node) -> Expr:
    """Lower all children; together they stand for nothing."""
    for child in node.named_children:
        low.expr(child)
    return NOTHING
