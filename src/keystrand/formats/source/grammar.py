"""Which language a file is in, and its grammar."""

import importlib
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Language, Parser


class Dialect(NamedTuple):
    """A language: its rule file, its grammar's package and the function there, and the operators of its texts."""

    rules: str
    package: str
    entry: str = "language"


_PYTHON = Dialect("python", "tree_sitter_python")
_C = Dialect("c", "tree_sitter_c")
_CPP = Dialect("c", "tree_sitter_cpp")
_JAVASCRIPT = Dialect("javascript", "tree_sitter_javascript")
_TYPESCRIPT = Dialect("javascript", "tree_sitter_typescript", "language_typescript")
_TSX = Dialect("javascript", "tree_sitter_typescript", "language_tsx")
DIALECTS = {
    **dict.fromkeys(("py", "pyi", "pyw"), _PYTHON),
    "java": Dialect("java", "tree_sitter_java"),
    "go": Dialect("go", "tree_sitter_go"),
    **dict.fromkeys(("c", "h"), _C),
    **dict.fromkeys(("cc", "cpp", "cxx", "hpp", "hh", "hxx", "inl", "ipp"), _CPP),
    **dict.fromkeys(("js", "mjs", "cjs", "jsx"), _JAVASCRIPT),
    **dict.fromkeys(("ts", "mts", "cts"), _TYPESCRIPT),
    "tsx": _TSX,
    "cs": Dialect("csharp", "tree_sitter_c_sharp"),
    "rs": Dialect("rust", "tree_sitter_rust"),
}
"""By the ending of a file's name."""
LANGUAGES = tuple(sorted({dialect.rules for dialect in DIALECTS.values()}))


def dialect_of(path: str, head: bytes = b"") -> Dialect | None:
    """Return the language of the file at `path`, or None where it is none of these. `head` tells a script by `#!`."""
    name = path.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    if dot and stem:
        return DIALECTS.get(ending.lower())
    first = head[:80].partition(b"\n")[0]
    if first.startswith(b"#!"):
        return _PYTHON if b"python" in first else _JAVASCRIPT if b"node" in first else None
    return None


@lru_cache
def parser(dialect: Dialect) -> Parser:
    """Return the parser of a language. Its grammar is loaded when it is first asked for."""
    return Parser(Language(getattr(importlib.import_module(dialect.package), dialect.entry)()))
