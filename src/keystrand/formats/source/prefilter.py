"""Which files need to be parsed at all: those whose octets import a library that has rules.

Runs over every source file, so it looks for words first, and only then for the lines that import.
"""

import re
from collections.abc import Iterator

from keystrand.formats.source.rules import RuleSet
from keystrand.formats.source.tree import Import

_IMPORT_LINES = {
    "python": r"^[ \t]*(?:>>>[ \t]*)?(?:from|import)[ \t][^\n]*?(?<![\w.])(?:{names})(?!\w)",
    "java": r"(?<![\w.])(?:{names})(?!\w)",
    "go": r"[\"`](?:{names})(?:/v\d+)?[\"`]",
    "javascript": r"[\"'`](?:node:)?(?:{names})(?:/[^\"'`\n]*)?[\"'`]",
    "csharp": r"(?<![\w.])(?:{names})(?!\w)",
    "rust": r"(?<!\w)(?:{names})(?=\s*(?:::|;|\s+as\s|,|\}}))",
    "c": r"^[ \t]*#[ \t]*include[ \t]*[<\"]((?:[^>\"\n]*/)?(?:{names})[^>\"\n]*)",
}


class Prefilter:
    """Tells from octets which libraries a file may use. `words` of a library tell it without an import."""

    def __init__(self, rules: RuleSet, language: str) -> None:
        self.libraries = rules.libraries
        names = sorted({_spelt(n, language) for one in self.libraries for n in one.imports}, key=len, reverse=True)
        self.words = _covering([*names, *(word for one in self.libraries for word in one.words)])
        listed = "|".join(re.escape(name) for name in names) or r"(?!)"
        self.imports = re.compile(_IMPORT_LINES[language].format(names=listed).encode(), re.MULTILINE)
        self.plain = _covering([word for one in self.libraries for word in one.words])

    def hit(self, content: bytes) -> bool:
        """Return whether the file has to be parsed."""
        if not any(word in content for word in self.words):
            return False
        told = any(True for word in self.plain for _ in occurrences(content, word))
        return told or self.imports.search(content) is not None

    def included(self, content: bytes) -> Iterator[Import]:
        """Yield what a file of C includes of libraries that have rules."""
        for match in self.imports.finditer(content):
            yield Import(match[1].decode("utf-8", "replace"), "", content.count(b"\n", 0, match.start()) + 1)


def occurrences(content: bytes, word: bytes, *, whole: bool = False) -> Iterator[int]:
    """Yield where `word` begins a word, or is a `whole` one. Faster than a pattern: most contents have it nowhere."""
    at = content.find(word) if word else -1
    while at >= 0:
        end = at + len(word)
        begins = at == 0 or content[at - 1] not in _WORD
        if begins and not (whole and end < len(content) and content[end] in _WORD):
            yield at
        at = content.find(word, end)


_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


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
