"""Texts, octets and numbers of nine languages, and the macros of two."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tree_sitter import Node

from keystrand.formats.source.tree import NOTHING, Call, Expr, Literal, Ref, Sequence, Text

if TYPE_CHECKING:
    from keystrand.formats.source.lowering import Lowering

MAX_TEXT = 4096
"""Characters of a text that are kept: no algorithm has a name longer than this."""
_QUOTES = re.compile(r"""^([A-Za-z@$]*#*)("{3}|'{3}|["'`])(.*?)(?:\2#*(?:u8)?)?$""", re.DOTALL)
_NUMBER = re.compile(r"(?i)(0x[0-9a-f]+|0b[01]+|0o[0-7]+|\d+)(?:u|l|ul|ull|lu|llu|ll|n|[iu](?:8|16|32|64|128|size))?")


def _text(low: "Lowering", node: Node) -> Expr:
    if any("interpolation" in child.type or "substitution" in child.type for child in node.named_children):
        return _pieces(low, node)
    return plain(low.text(node))


def plain(text: str) -> Literal:
    """Return the text or the octets that a literal spells, without its quotes. Escapes stay as they are."""
    match = _QUOTES.match(text[:MAX_TEXT])
    if match is None:
        return Literal(text[:MAX_TEXT])
    octets = "b" in match[1].lower() and "u8" not in match[1]
    return Literal(match[3].encode() if octets else match[3])


def _pieces(low: "Lowering", node: Node) -> Expr:
    parts: list[Expr] = []
    for child in node.named_children:
        if "content" in child.type or "fragment" in child.type:
            parts.append(Literal(low.text(child)[:MAX_TEXT]))
        elif child.type in ("interpolation", "template_substitution"):
            inner = [c for c in child.named_children if "brace" not in c.type and "format" not in c.type]
            parts.append(low.expr(inner[0]) if inner else NOTHING)
    return Text(tuple(parts))


def _joined(low: "Lowering", node: Node) -> Expr:
    return Text(tuple(low.expr(child) for child in node.named_children))


def number(text: str) -> int | None:
    """Return the whole number that `text` spells, or None."""
    match = _NUMBER.fullmatch(text.replace("_", "").replace("'", ""))
    if match is None or len(match[1]) > 40:
        return None
    digits = match[1].lower()
    try:
        return int(digits, 0) if digits[:2] in ("0x", "0b", "0o") else int(digits)
    except ValueError:
        return None


def _number(low: "Lowering", node: Node) -> Expr:
    value = number(low.text(node))
    return NOTHING if value is None else Literal(value)


def _truth(low: "Lowering", node: Node) -> Expr:
    return Literal(low.text(node).lower() == "true")


def _definition(low: "Lowering", node: Node) -> Expr:
    """C's `#define NAME value`, where the value is a literal or another name."""
    name, value = node.child_by_field_name("name"), low.text(node.child_by_field_name("value")).strip()
    value = value.partition("/*")[0].partition("//")[0].strip()
    while value.startswith("(") and value.endswith(")"):
        value = value[1:-1].strip()
    found: Expr = NOTHING
    if (size := number(value)) is not None:
        found = Literal(size)
    elif re.fullmatch(r'"[^"]*"', value):
        found = Literal(value[1:-1])
    elif re.fullmatch(r"[A-Za-z_]\w*", value):
        found = Ref(value)
    elif match := re.fullmatch(r"([A-Za-z_]\w*)\(\s*\)", value):
        call = Call(Ref(match[1]), [], {}, low.scope)
        call.line, call.at = node.start_point[0] + 1, node.start_byte
        call.start, call.end = node.start_byte, node.end_byte
        low.scope.calls.append(call)
        found = call
    if found is not NOTHING:
        low.assign(low.text(name), found, node.end_byte, declares=True)
    return NOTHING


def macro(low: "Lowering", node: Node) -> Expr:
    """A macro of Rust gets tokens; where they read as expressions, those are lowered.

    `vec![0u8; 32]` is an array of known size.
    """
    from keystrand.formats.source.grammar import DIALECTS, parser  # noqa: PLC0415 - a cycle: the grammar knows us

    body = low.content[node.start_byte : node.end_byte]
    opening = next((i for i, octet in enumerate(body) if octet in b"([{"), None)
    if opening is None or len(body) > 100_000:
        return NOTHING
    inner = body[opening + 1 : -1]
    prefix = b"fn m(){["
    sized = low.text(node.child_by_field_name("macro")) == "vec"
    tree = parser(DIALECTS["rs"]).parse(prefix + inner + b"];}")
    if tree.root_node.has_error:
        return NOTHING
    kept_content, shift, kept_scope = low.content, node.start_byte + opening + 1 - len(prefix), len(low.scope.calls)
    line = low.content[: node.start_byte + opening].count(b"\n")
    low.content = prefix + inner + b"];}"
    try:
        function = tree.root_node.named_children[0].child_by_field_name("body")
        value = (
            low.expr(function.named_children[0].named_children[0]) if function and function.named_children else NOTHING
        )
    finally:
        low.content = kept_content
    for call in low.scope.calls[kept_scope:]:
        call.start, call.end, call.at, call.line = (
            call.start + shift,
            call.end + shift,
            call.at + shift,
            call.line + line,
        )
    return value if sized and isinstance(value, Sequence) else NOTHING


LOWERINGS: "dict[str, Callable[[Lowering, Node], Expr]]" = {
    **dict.fromkeys(("string", "string_literal", "interpreted_string_literal", "raw_string_literal", "template_string",
                     "verbatim_string_literal", "interpolated_string_expression", "char_literal", "rune_literal",
                     "character_literal"), _text),
    "concatenated_string": _joined,
    **dict.fromkeys(("integer", "decimal_integer_literal", "hex_integer_literal", "int_literal", "integer_literal",
                     "number_literal", "number", "binary_integer_literal", "octal_integer_literal"), _number),
    **dict.fromkeys(("true", "false", "boolean_literal"), _truth),
    "preproc_def": _definition,
}  # fmt: skip
