"""What a file imports, in nine languages, as qualified names with dots."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.tree import NOTHING, Expr, Import

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering


def noted(low: "Lowering", name: str, alias: str, node: Node) -> None:
    """Note that `alias` stands for `name` here; "*" stands for all that `name` holds."""
    low.imports.append(Import(name, alias, node.start_point[0] + 1))
    if alias and alias != "*":
        low.scope.imports[alias] = name


def required(low: "Lowering", node: Node) -> str:
    """Return the module that `require("x")` or `import("x")` names, or an empty text."""
    arguments = node.child_by_field_name("arguments")
    first = arguments.named_children[0] if arguments is not None and arguments.named_children else None
    if first is None or first.type != "string":
        return ""
    name = _module(low.text(first))
    noted(low, name, "", node)
    return name


def _module(text: str) -> str:
    return text.strip("\"'`<>").removeprefix("node:")


def _python(low: "Lowering", node: Node) -> Expr:
    source = low.text(node.child_by_field_name("module_name"))
    prefix = f"{source}." if source else ""
    for one in node.children_by_field_name("name"):
        name = low.text(one.child_by_field_name("name") or one)
        alias = low.text(one.child_by_field_name("alias"))
        if alias or prefix:
            noted(low, prefix + name, alias or name, one)
        else:  # import a.b binds a
            noted(low, name, "", one)
            low.scope.imports[name.partition(".")[0]] = name.partition(".")[0]
    if any(child.type == "wildcard_import" for child in node.named_children):
        noted(low, source, "*", node)
    return NOTHING


def _java(low: "Lowering", node: Node) -> Expr:
    names = [c for c in node.named_children if c.type in ("scoped_identifier", "identifier")]
    if names:
        name = low.text(names[0])
        every = any(c.type == "asterisk" for c in node.named_children)
        noted(low, name, "*" if every else name.rpartition(".")[2], node)
    return NOTHING


def _go(low: "Lowering", node: Node) -> Expr:
    path = _module(low.text(node.child_by_field_name("path")))
    name = node.child_by_field_name("name")
    alias = low.text(name) if name else _go_name(path)
    noted(low, path, {".": "*", "_": ""}.get(alias, alias), node)
    return NOTHING


def _go_name(path: str) -> str:
    """Return the package's usual name: the last part of its path that is no version."""
    parts = [p for p in path.split("/") if not (p[:1] == "v" and p[1:].isdigit())]
    return parts[-1].partition(".")[0].replace("go-", "", 1) if parts else path


def _javascript(low: "Lowering", node: Node) -> Expr:
    source = node.child_by_field_name("source")
    clauses = [c for c in node.named_children if c.type in ("import_clause", "import_require_clause")]
    if source is None and clauses:
        source = clauses[0].child_by_field_name("source")
    module = _module(low.text(source))
    if not clauses:
        noted(low, module, "", node)
    for child in (g for c in clauses for g in c.named_children):
        if child.type == "identifier":
            noted(low, module, low.text(child), node)
        elif child.type == "namespace_import":
            noted(low, module, low.text(child.named_children[0]), node)
        elif child.type == "named_imports":
            for one in child.named_children:
                name = low.text(one.child_by_field_name("name"))
                noted(low, f"{module}.{name}", low.text(one.child_by_field_name("alias")) or name, one)
    return NOTHING


def _csharp(low: "Lowering", node: Node) -> Expr:
    alias = node.child_by_field_name("name")
    names = [c for c in node.named_children if c.type in ("qualified_name", "identifier") and c != alias]
    if names or alias is not None:
        name = low.text(names[0]) if names else low.text(alias)
        noted(low, name.removeprefix("global::"), low.text(alias) if alias and names else "*", node)
    return NOTHING


def _rust(low: "Lowering", node: Node) -> Expr:
    _rust_tree(low, node.child_by_field_name("argument"), "")
    return NOTHING


def _rust_tree(low: "Lowering", node: Node | None, prefix: str) -> None:
    if node is None:
        return
    if node.type == "use_as_clause":
        name = _dotted(low, node.child_by_field_name("path"), prefix)
        noted(low, name, low.text(node.child_by_field_name("alias")), node)
    elif node.type == "scoped_use_list":
        inner = _dotted(low, node.child_by_field_name("path"), prefix)
        _rust_tree(low, node.child_by_field_name("list"), inner)
    elif node.type == "use_list":
        for child in node.named_children:
            _rust_tree(low, child, prefix)
    elif node.type == "use_wildcard":
        noted(low, _dotted(low, node.named_children[0] if node.named_children else None, prefix), "*", node)
    elif node.type == "self":
        noted(low, prefix, prefix.rpartition(".")[2], node)
    elif node.type in ("scoped_identifier", "identifier", "crate"):
        name = _dotted(low, node, prefix)
        noted(low, name, name.rpartition(".")[2], node)


def _dotted(low: "Lowering", node: Node | None, prefix: str) -> str:
    name = low.text(node).replace("::", ".").replace(" ", "")
    return f"{prefix}.{name}" if prefix and name else name or prefix


def _rust_crate(low: "Lowering", node: Node) -> Expr:
    name, alias = low.text(node.child_by_field_name("name")), low.text(node.child_by_field_name("alias"))
    noted(low, name, alias or name, node)
    return NOTHING


def _include(low: "Lowering", node: Node) -> Expr:
    noted(low, _module(low.text(node.child_by_field_name("path"))), "", node)
    return NOTHING


def _using(low: "Lowering", node: Node) -> Expr:
    """C++'s `using namespace x;` and `using x::y;`."""
    name = low.text(node.named_children[-1] if node.named_children else None).replace("::", ".")
    every = any(child.type == "namespace" for child in node.children)
    noted(low, name, "*" if every else name.rpartition(".")[2], node)
    return NOTHING


def _import_statement(low: "Lowering", node: Node) -> Expr:
    """The word stands in two languages: JavaScript's names a source."""
    script = node.child_by_field_name("source") or any(
        c.type in ("import_clause", "import_require_clause") for c in node.named_children
    )
    return _javascript(low, node) if script else _python(low, node)


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    "import_statement": _import_statement,
    "import_from_statement": _python,
    "future_import_statement": lambda _low, _node: NOTHING,
    "import_declaration": lambda low, node: (
        _java(low, node) if any(c.type in ("scoped_identifier", "identifier") for c in node.named_children)
        else _each_spec(low, node)
    ),
    "import_spec": _go,
    "using_directive": _csharp,
    "use_declaration": _rust,
    "extern_crate_declaration": _rust_crate,
    "preproc_include": _include,
    "using_declaration": _using,
}  # fmt: skip


def _each_spec(low: "Lowering", node: Node) -> Expr:
    for child in node.named_children:
        low.expr(child)
    return NOTHING
