"""Functions, classes and conditions: who sees what, and what happens only sometimes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.lowering_binding import bind_fields
from keystrand.formats.source.lowering_nodes import NAMES, bare_name, children, first, value_after
from keystrand.formats.source.tree import NOTHING, Choice, Expr, Parameter, Ref, Scope

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering

_TEST_MARKS = ("Test", "ParameterizedTest", "RepeatedTest", "Fact", "Theory", "TestMethod", "TestCase",
               "DataTestMethod", "TestFixture", "TestClass", "BeforeEach", "BeforeAll", "SetUp")  # fmt: skip


def _block(low: "Lowering", node: Node) -> Expr:
    last: Expr = NOTHING
    for child in node.named_children:
        if "comment" not in child.type:
            last = low.expr(child)
    return last


def _skip(low: "Lowering", node: Node) -> Expr:  # noqa: ARG001 - the form of all of these
    return NOTHING


def _if(low: "Lowering", node: Node) -> Expr:
    low.expr(node.child_by_field_name("initializer"))
    low.scope.conditions[node.start_byte] = low.expr(node.child_by_field_name("condition"))
    arms = [low.inside((node.start_byte, 0), node.child_by_field_name("consequence"))]
    for number, other in enumerate(node.children_by_field_name("alternative"), start=1):
        arms.append(low.inside((node.start_byte, number), other))
    return Choice(tuple(arms))


def _elif(low: "Lowering", node: Node) -> Expr:
    low.expr(node.child_by_field_name("condition"))
    return low.expr(node.child_by_field_name("consequence"))


def _arm(low: "Lowering", node: Node) -> Expr:
    """One case of a switch or match; its value is what comes last."""
    parent = node.parent
    kept, low.branch = low.branch, (*low.branch, (parent.start_byte if parent else 0, node.start_byte))
    last: Expr = NOTHING
    for child in node.named_children:
        inner = child.named_children[0] if child.type == "expression_statement" and child.named_children else child
        last = low.expr(inner)
    low.branch = kept
    return last


def _match(low: "Lowering", node: Node) -> Expr:
    arms: list[Expr] = []
    for child in node.named_children:
        if child.type in ("match_block", "switch_block"):
            arms += [low.expr(one) for one in child.named_children]
        elif child.type == "switch_expression_arm":
            arms.append(low.expr(child))
        else:
            low.expr(child)
    return Choice(tuple(arms))


def _return(low: "Lowering", node: Node) -> Expr:
    for child in node.named_children:
        low.scope.returned.append(low.expr(child))
    return NOTHING


def _function(low: "Lowering", node: Node) -> Expr:
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


def _function_name(low: "Lowering", node: Node) -> str:
    if name := node.child_by_field_name("name"):
        return low.text(name)
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and (inner := declarator.child_by_field_name("declarator")) is not None:
        declarator = inner
    if declarator is not None and declarator.type != "abstract_function_declarator":
        return low.text(declarator)
    around = node.parent
    if around is not None and around.type in ("variable_declarator", "pair", "assignment_expression"):
        return low.text(first(around, "name", "key")) if around.type != "assignment_expression" else ""
    return ""


def _receiver_class(low: "Lowering", receiver: Node) -> Scope:
    text = low.text(receiver).strip("()").split()
    name = text[-1].lstrip("*").partition("[")[0] if text else ""
    return _class_scope(low, name, receiver)


def _class_scope(low: "Lowering", name: str, node: Node) -> Scope:
    """Return the class of that name here; what a language writes in several places is one class."""
    known = low.scope.members.get(name)
    if known is None or known.kind != "class":
        known = Scope(name, low.scope, kind="class")
        if name:
            low.scope.members[name] = known
        low.open(known, node)
    return known


def _marked_as_test(low: "Lowering", node: Node) -> bool:
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


def _body(low: "Lowering", node: Node, scope: Scope) -> None:
    listed = first(node, *_PARAMETER_LISTS)
    while listed is not None and (inner := first(listed, "parameters", "declarator")) is not None:
        listed = inner
    if listed is not None and listed.type in NAMES:
        scope.parameters.append(Parameter(low.text(listed)))
    elif listed is not None:
        for child in listed.named_children:
            _parameter(low, child, scope)
    for child in node.named_children:
        if child.type == "field_initializer_list":
            low.expr(child)
    body = node.child_by_field_name("body")
    value = low.expr(body)
    plain = body is not None and (body.type not in _BLOCKS or (body.type == "block" and node.type in _TAILED))
    if plain and value is not NOTHING:
        scope.returned.append(value)


_BLOCKS = ("block", "statement_block", "compound_statement", "constructor_body", "statement_list")


_TAILED = ("function_item", "closure_expression")


def _parameter(low: "Lowering", node: Node, scope: Scope) -> None:
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
        n for n in (first(node, "pattern", "declarator", "left"), node if node.type in NAMES else None) if n
    ]
    default = first(node, "value", "right") or value_after(node, names[0] if names else None)
    if not names:
        inner = next((c for c in node.named_children if c.type in NAMES or c.type == "variable_declarator"), None)
        names = [inner] if inner else [node]
    for name in names:
        text = bare_name(low, name)
        scope.parameters.append(Parameter(text, low.expr(default) if default else None, lowered))
        if lowered is not None:
            scope.kinds[text] = lowered
        if name.type == "object_pattern":
            bind_fields(low, name, Ref(text), name.end_byte)


def _class(low: "Lowering", node: Node) -> Expr:
    name = low.text(first(node, "name", "type")).partition("<")[0]
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


def _global(low: "Lowering", node: Node) -> Expr:
    """Python's `global x`."""
    low.scope.outer |= {low.text(child) for child in node.named_children}
    return NOTHING


def _rust_module(low: "Lowering", node: Node) -> Expr:
    """A module in a file of Rust sees what the file imports, and may be for tests only."""
    kept, low.scope.test = low.scope.test, low.scope.test or _marked_as_test(low, node)
    low.expr(node.child_by_field_name("body"))
    low.scope.test = kept
    return NOTHING


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    **dict.fromkeys(("comment", "line_comment", "block_comment", "attribute_item", "inner_attribute_item", "modifiers",
                     "attribute_list", "type_parameters", "decorator", "predefined_type", "primitive_type",
                     "package_declaration", "package_clause", "void_type", "null", "nil", "none", "null_literal",
                     "token_tree", "preproc_call", "slice_type", "map_type"), _skip),
    **dict.fromkeys(("if_statement", "if_expression"), _if),
    "elif_clause": _elif,
    **dict.fromkeys(("switch_section", "case_statement", "expression_case", "default_case", "type_case",
                     "switch_block_statement_group", "switch_rule", "switch_case", "switch_default", "match_arm",
                     "case_clause", "switch_expression_arm", "communication_case"), _arm),
    **dict.fromkeys(("match_expression", "switch_expression"), _match),
    "return_statement": _return,
    **dict.fromkeys(("function_definition", "function_declaration", "method_declaration", "constructor_declaration",
                     "function_item", "arrow_function", "function_expression", "method_definition", "func_literal",
                     "lambda_expression", "closure_expression", "local_function_statement", "lambda", "function",
                     "generator_function_declaration", "compact_constructor_declaration", "anonymous_method_expression",
                     "generator_function", "destructor_declaration", "operator_declaration"), _function),
    **dict.fromkeys(("class_definition", "class_declaration", "interface_declaration", "enum_declaration", "class",
                     "record_declaration", "class_specifier", "struct_specifier", "impl_item", "struct_declaration",
                     "trait_item", "abstract_class_declaration"), _class),
    "mod_item": _rust_module,
    "global_statement": _global,
    **dict.fromkeys(("block", "statement_block", "compound_statement", "statement_list", "else_clause"), _block),
    "expression_statement": children,
}  # fmt: skip
