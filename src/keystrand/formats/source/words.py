"""Which words of a file may lead to cryptography: only functions that hold one of them are looked into."""

import re
from collections.abc import Iterator

from keystrand.formats.source.matching_parts import bound, leads
from keystrand.formats.source.prefilter import Prefilter
from keystrand.formats.source.rules import RuleSet
from keystrand.formats.source.tree import Source
from keystrand.formats.source.value_kinds import last_name


def word_places(content: bytes, source: Source, rules: RuleSet, prefilter: Prefilter) -> list[int]:
    """Return where the words stand, in order: names that imports of interest bind, and words of their own."""
    patterns = sorted(set(_words(source, rules)))
    places = prefilter.hit_words(content)
    if patterns:
        joined = re.compile(rb"(?<![\w])(?:" + b"|".join(patterns) + rb")(?!\w)")
        places += [match.start() for match in joined.finditer(content)]
    return sorted(places)


def _words(source: Source, rules: RuleSet) -> Iterator[bytes]:
    for library in rules.libraries:
        for name in library.imports:
            yield re.escape(re.split(r"[./]", name)[-1]).encode()  # imports within functions
            yield re.escape(re.split(r"[./]", name)[0]).encode()
    for one in source.imports:
        if not rules.imported(one.name):
            continue
        if one.alias and one.alias != "*":
            yield re.escape(one.alias).encode()
        elif one.alias == "*":
            for entry in rules.entries(f"{one.name}."):
                yield re.escape(entry).replace(r"\*", r"\w*").encode()
    yield from (re.escape(alias).encode() for alias in _aliases(source, bound(source, rules)))


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
