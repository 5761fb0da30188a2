"""What source code does to texts and numbers, as far as names of algorithms are made that way."""

from itertools import product

from keystrand.formats.source.names import HOLE
from keystrand.formats.source.tree import Call, Expr, Literal, Member, Ref, Sequence, Text

Plain = str | bytes | int | bool | None
MAX_LENGTH = 256
_MAX_NUMBER = 1 << 40


def joined(operator: str, each: list[list[Plain]]) -> list[Plain]:
    """Return what the operands give together. An operand of a text that is not known leaves a hole in it."""
    if operator == "%" and len(each) == 2:
        return [value.replace("%s", HOLE).replace("%d", HOLE) if not each[1] else _formatted(value, each[1][0])
                for value in each[0] if isinstance(value, str)]  # fmt: skip
    texts = any(isinstance(v, str) for values in each for v in values)
    if operator == "+" and texts:
        options = [values or [HOLE] for values in each]
        found = ["".join(_spelt(part) for part in parts)[:MAX_LENGTH] for parts in _some(options)]
        return list(dict.fromkeys(found))
    if len(each) != 2:
        return []
    return [v for a, b in _some(each) if (v := _computed(operator, a, b)) is not None]


def _some(options: list[list[Plain]]) -> list[tuple[Plain, ...]]:
    found = []
    for combination in product(*(values[:4] for values in options)):
        found.append(combination)
        if len(found) >= 16:
            break
    return found


def _spelt(part: Plain) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else "" if part is None else str(part)


def _formatted(text: str, value: Plain) -> str:
    return text.replace("%s", _spelt(value), 1).replace("%d", _spelt(value), 1)


def _computed(operator: str, a: Plain, b: Plain) -> Plain:
    if operator in ("==", "===", "!=", "!=="):
        return (a == b) is (operator[0] == "=")
    if isinstance(a, bytes) and type(b) is int and operator == "*":
        return a * b if len(a) * b <= 4096 and b >= 0 else None
    if type(a) is not int or type(b) is not int or max(abs(a), abs(b)) > _MAX_NUMBER:
        return None
    if operator in ("/", "//"):
        return a // b if b else None
    if operator == "<<":
        return a << b if 0 <= b < 40 else None
    return {"+": a + b, "-": a - b, "*": a * b, ">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b}.get(operator)


_SAME = frozenset({
    "encode", "getBytes", "unwrap", "expect", "to_vec", "into", "as_ref", "clone", "toString", "to_string",
    "strip", "trim", "intValue", "valueOf", "asBytes", "as_slice", "as_bytes", "toCharArray", "decode",
    "to_owned", "borrow", "as_str", "ToString", "GetBytes", "AsSpan", "ToArray", "ToCharArray", "get", "copy",
    "requireNonNull", "intern", "stripIndent", "unwrap_or_default",
})  # fmt: skip
_CASES = {"lower": str.lower, "toLowerCase": str.lower, "ToLower": str.lower, "to_lowercase": str.lower,
          "upper": str.upper, "toUpperCase": str.upper, "ToUpper": str.upper, "to_uppercase": str.upper,
          "ToLowerInvariant": str.lower, "ToUpperInvariant": str.upper}  # fmt: skip
_FORMATS = ("format", "replace", "replaceAll", "Replace", "concat")
_WRAPPERS = frozenset({
    "str", "bytes", "bytearray", "String", "Some", "Ok", "Box", "Arc", "Rc", "Key", "GenericArray", "from_slice",
})  # fmt: skip
_STATIC = frozenset({
    "Buffer.from", "String.valueOf", "Integer.valueOf", "Optional.of", "Encoding.UTF8.GetBytes",
    "Objects.requireNonNull", "String.format", "string.Format", "fmt.Sprintf", "Integer.parseInt", "String.from",
    "Key.from_slice", "Key.from", "GenericArray.from_slice", "Uint8Array.from", "Arc.new", "Box.new", "Rc.new",
    "bytes.fromhex",
})  # fmt: skip


def _dotted(expr: Expr) -> str:
    if isinstance(expr, Member):
        return f"{_dotted(expr.base)}.{expr.name}"
    return expr.name if isinstance(expr, Ref) else "?"


def passed_through(call: Call) -> Expr | None:
    """Return the expression whose value the call hands on, as it is or as another text; None for other calls."""
    function = call.function
    if isinstance(function, Member):
        if _dotted(function) in _STATIC:
            return call.items[0] if call.items else None
        known = function.name in _SAME or function.name in _CASES or function.name in _FORMATS
        if function.name == "get" and not isinstance(function.base, Ref):
            return None
        if known and not (function.name == "get" and call.items) and not (function.name == "copy" and call.items):
            return function.base
    if isinstance(function, Ref) and function.name in _WRAPPERS and call.items and not call.made:
        return call.items[0]
    return None


def text_of_join(call: Call) -> Text | None:
    """Return the text that a call such as `String.join("/", a, b)`, `"/".join([a, b])` or `[a, b].join("/")` makes."""
    function = call.function
    if not isinstance(function, Member) or function.name.lower() != "join" or not call.items:
        return None
    if _dotted(function.base) in ("String", "string"):
        gap, parts = call.items[0], tuple(call.items[1:])
    elif isinstance(function.base, Sequence):
        gap, parts = call.items[0], function.base.items
    elif isinstance(call.items[0], Sequence) and isinstance(function.base, Literal):
        gap, parts = function.base, call.items[0].items
    else:
        return None
    return Text(tuple(piece for part in parts for piece in (gap, part))[1:]) if len(parts) <= 16 else None


def changed(method: str, value: Plain, arguments: list[list[Plain]]) -> list[Plain]:
    """Return what `method` makes of `value`, or `value` itself."""
    if not isinstance(value, str):
        return [value]
    if method in _CASES:
        return [_CASES[method](value)]
    if method in ("replace", "replaceAll", "Replace") and len(arguments) > 1:
        old = next((a for a in arguments[0] if isinstance(a, str) and a), None)
        new = [a for a in arguments[1] if isinstance(a, str)] or [HOLE]
        return [value.replace(old, one)[:MAX_LENGTH] for one in new] if old else [value]
    if method == "concat":
        return [value + one for one in (a for a in (arguments[0] if arguments else []) if isinstance(a, str))] or [
            value + HOLE
        ]
    if method in ("format", "Format", "Sprintf"):
        return [_filled(value, arguments if method == "format" and "{" in value else arguments[1:])]
    return [value]


def _filled(text: str, arguments: list[list[Plain]]) -> str:
    """Fill the places of a format, in order."""
    for number, one in enumerate(arguments):
        word = _spelt(one[0]) if one else HOLE
        for place in (f"{{{number}}}", "{}", "%s", "%d", "%v"):
            if place in text:
                text = text.replace(place, word, 1)
                break
    for place in ("{}", "%s", "%d", "%v"):
        text = text.replace(place, HOLE)
    return text[:MAX_LENGTH]
