"""Which files need to be parsed at all: those whose octets import a library that has rules.

Runs over every source file, so it looks for words first, and only then for the lines that import.
"""

import re

from keystrand.formats.source.rules import RuleSet

_IMPORT_LINES = {
    "python": r"^[ \t]*(?:>>>[ \t]*)?(?:from|import)[ \t][^\n]*?(?<![\w.])(?:{names})(?!\w)",
    "java": r"(?<![\w.])(?:{names})(?!\w)",
    "go": r"[\"`](?:{names})(?:/v\d+)?[\"`]",
    "javascript": r"[\"'`](?:node:)?(?:{names})(?:/[^\"'`\n]*)?[\"'`]",
    "csharp": r"(?<![\w.])(?:{names})(?!\w)",
    "rust": r"(?<!\w)(?:{names})(?=\s*(?:::|;|\s+as\s|,|\}}))",
    "c": r"^[ \t]*#[ \t]*include[ \t]*[<\"](?:[^>\"\n]*/)?(?:{names})",
}


class Prefilter:
    """Tells from octets which libraries a file may use. `words` of a library tell it without an import."""

    def __init__(self, rules: RuleSet, language: str) -> None:
        self.libraries = rules.libraries
        names = sorted({_spelt(n, language) for one in self.libraries for n in one.imports}, key=len, reverse=True)
        self.words = _covering([*names, *(word for one in self.libraries for word in one.words)])
        listed = "|".join(re.escape(name) for name in names) or r"(?!)"
        self.imports = re.compile(_IMPORT_LINES[language].format(names=listed).encode(), re.MULTILINE)
        plain = sorted({word for one in self.libraries for word in one.words}, key=len, reverse=True)
        self.plain = re.compile(("|".join(rf"(?<!\w){re.escape(w)}" for w in plain) or r"(?!)").encode())

    def hit(self, content: bytes) -> bool:
        """Return whether the file has to be parsed."""
        if not any(word in content for word in self.words):
            return False
        return bool(self.imports.search(content) or self.plain.search(content))

    def hit_words(self, content: bytes) -> list[int]:
        """Return where words stand that tell a library without an import."""
        return [match.start() for match in self.plain.finditer(content)]


def _spelt(name: str, language: str) -> str:
    """Return the part of a qualified name that stands in one piece where it is imported."""
    return name.partition(".")[0] if language in ("python", "rust") else name


def _covering(names: list[str]) -> tuple[bytes, ...]:
    """Return the names of which none holds another: a file without all of these has none of the names."""
    kept: list[str] = []
    for name in sorted(set(names), key=len):
        if not any(short in name for short in kept):
            kept.append(name)
    return tuple(name.encode() for name in kept)
