"""Which words of a file may lead to cryptography: only functions that hold one of them are looked into."""

import re
from collections.abc import Iterator

from keystrand.formats.source.matching_parts import bound, leads
from keystrand.formats.source.names import parsed
from keystrand.formats.source.prefilter import Prefilter, occurrences
from keystrand.formats.source.rules import RuleSet
from keystrand.formats.source.tree import Source
from keystrand.formats.source.value_kinds import last_name

_CALLED = re.compile(rb"([A-Za-z_]\w*)\s*\(")


def word_places(content: bytes, source: Source, rules: RuleSet, prefilter: Prefilter) -> list[int]:
    """Return where the words stand, in order: names that imports of interest bind, and words of their own."""
    words = set(_words(source, rules))
    places = [at for word in prefilter.plain for at in occurrences(content, word)]
    places += [at for word in words if "*" not in word for at in occurrences(content, word.encode(), whole=True)]
    if wild := [re.escape(word).replace(r"\*", r"\w*").encode() for word in sorted(words) if "*" in word]:
        places += [match.start() for match in re.finditer(rb"(?<!\w)(?:" + b"|".join(wild) + rb")(?!\w)", content)]
    if rules.language == "c":  # its names are global: no import binds them
        places += _calls_of_c(content, rules)
    return sorted(places)


def _calls_of_c(content: bytes, rules: RuleSet) -> list[int]:
    """Return where functions are called that a rule is about. A name with a free part must name an algorithm."""
    return [match.start() for match in _CALLED.finditer(content) if _tells(match[1].decode(), rules)]


def _tells(name: str, rules: RuleSet) -> bool:
    return any(not one.captured or one.rule.table or parsed(one.captured) for one in rules.matches(name))


def worth_parsing(content: bytes, rules: RuleSet) -> bool:
    """Return whether a file of C has more to tell than what it includes: it calls, or it is C++ that names a class."""
    named = any(True for word in rules.qualifiers for _ in occurrences(content, word.encode(), whole=True))
    return named or bool(_calls_of_c(content, rules))


def _words(source: Source, rules: RuleSet) -> Iterator[str]:
    if rules.language == "c":
        yield from (name for name in rules.qualifiers)
    else:
        for library in rules.libraries:
            for name in library.imports:
                yield re.split(r"[./]", name)[-1]  # imports within functions
                yield re.split(r"[./]", name)[0]
    for one in source.imports:
        if not rules.imported(one.name):
            continue
        if one.alias and one.alias != "*":
            yield one.alias
        elif one.alias == "*":
            yield from rules.entries(f"{one.name}.")
    yield from _aliases(source, bound(source, rules))


def handed_on(source: Source, rules: RuleSet) -> set[str]:
    """Return the names of functions that are given something of a library: they are of interest too."""
    known = bound(source, rules)
    found: set[str] = set()
    for scope in source.scopes:
        for call in scope.calls:
            if any(leads(one, known) for one in (*call.items, *call.named.values())):
                found.add(last_name(call.function))
    return found - {""}


def _aliases(source: Source, known: set[str]) -> Iterator[str]:
    """Yield the names that the outermost scope gives to modules, such as those of `require`, and to type aliases."""
    for scope in source.scopes:
        if scope.kind == "function" or not (scope.assigned or scope.imports):
            continue
        for name, assigned in scope.assigned.items():
            if any(leads(one.value, known) for one in assigned):
                yield name
