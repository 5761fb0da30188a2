"""Source files to facts: which algorithms they use, where, by which library, and whether in tests.

A comment and a plain text tell nothing, and neither does an import alone: it is a reference to a library. A key that
stands in the source is told by its place and kind, never by its content.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keystrand.formats.source.grammar import Dialect, dialect_of, parser
from keystrand.formats.source.lowering import Lowering, touched
from keystrand.formats.source.matching import Matcher, Use
from keystrand.formats.source.parts import UNKNOWN, Parts, hash_beside, named
from keystrand.formats.source.prefilter import Prefilter
from keystrand.formats.source.rules import LibraryRules, RuleFile, RuleSet, rule_sets
from keystrand.formats.source.tests_told import is_test
from keystrand.formats.source.tree import Call, Import, Literal, Scope, Source
from keystrand.formats.source.value_kinds import Constant, Listed, Place
from keystrand.formats.source.values import Resolver
from keystrand.formats.source.words import handed_on, word_places, worth_parsing
from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse, Fact, Keystore, Library, Outcome, ProtocolSettings, Strength
from keystrand.model.reading import FileReader, Found, Reading

MAX_OCTETS = 1024 * 1024
"""Octets of a source file that is parsed: what is larger was written by a program."""
MAX_LINE = 20_000
"""Octets of a line of a source file that is parsed: longer ones were written by a program that minifies."""
MAX_FOUND = 10_000
KEY_IN_SOURCE = "key written in the source"


class _Language(NamedTuple):
    rules: RuleSet
    prefilter: Prefilter


class SourceReader:
    """Reads source files by rules. It is pure: the rules are given, and nothing is kept between files."""

    def __init__(self, files: Iterable[RuleFile]) -> None:
        self._languages = {
            name: _Language(rules, Prefilter(rules, name))
            for name, rules in rule_sets(files).items()
            if rules.libraries
        }

    def wants(self, path: str, head: bytes) -> bool:
        """Return whether the file is in one of the languages that have rules."""
        dialect = dialect_of(path, head)
        return dialect is not None and dialect.rules in self._languages and b"\0" not in head[:1024]

    def read(self, path: str, content: bytes) -> Reading:
        """Return the facts of a source file. Never raises; what was not understood is told in the reason."""
        dialect = dialect_of(path, content[:80])
        if dialect is None or dialect.rules not in self._languages:
            return Reading()
        language = self._languages[dialect.rules]
        if not language.prefilter.hit(content):
            return Reading()
        if len(content) > MAX_OCTETS:
            return Reading(
                outcome=Outcome.SKIPPED, reason=f"source of more than {MAX_OCTETS} octets, written by a program"
            )
        if _longest_line(content) > MAX_LINE:
            return Reading(outcome=Outcome.SKIPPED, reason="lines too long to be read: source written by a program")
        try:
            return _read(path, content, dialect, language)
        except RecursionError:
            return Reading(outcome=Outcome.UNPARSABLE, reason="nested too deeply to be read as source code")

    def reader(self) -> FileReader:
        """Return the reader for the walker of files."""
        return FileReader("source", self.wants, self.read, slow=True)


def _read(path: str, content: bytes, dialect: Dialect, language: _Language) -> Reading:
    if dialect.rules == "c" and not worth_parsing(content, language.rules):
        libraries = tuple(_libraries(language.prefilter.included(content), language))
        return Reading(libraries, Outcome.SEEN if libraries else Outcome.NONE)
    low = Lowering(content)
    tree = parser(dialect).parse(content)
    low.top.test = is_test(path)
    low.expr(tree.root_node)
    source = Source(low.top, low.scopes, low.imports, tree.root_node.has_error)
    places = word_places(content, source, language.rules, language.prefilter)
    _lower_touched(source, places)
    for name in handed_on(source, language.rules):
        for scope in source.scopes:
            if scope.name == name:
                scope.ready()
    found = list(_found(source, content, language))[:MAX_FOUND]
    reason = "some of it is not valid source code" if source.broken else ""
    if low.too_deep:
        reason = "some of it is nested too deeply to be read"
    return Reading(tuple(found), Outcome.SEEN, reason) if found else Reading(reason=reason)


def _longest_line(content: bytes) -> int:
    return max(map(len, content.split(b"\n"))) if len(content) > MAX_LINE else 0


def _lower_touched(source: Source, places: list[int]) -> None:
    """Lower the functions that hold a word of interest, and those within them."""
    at = 0
    while at < len(source.scopes):
        scope = source.scopes[at]
        if scope.pending and touched(places, scope.span):
            scope.ready()
        at += 1


def _found(source: Source, content: bytes, language: _Language) -> Iterator[Found]:
    yield from _libraries(source.imports, language)
    matcher = Matcher(language.rules, Resolver(source, content))
    seen: list[tuple[Call, list[Use]]] = []
    at = 0
    while at < len(source.scopes):  # asking may lower further functions
        scope = source.scopes[at]
        if not scope.pending:
            seen += [(call, uses) for call in scope.calls if matcher.may(call) and (uses := matcher.uses(call))]
        at += 1
    told: dict[Found, None] = {}
    for call, uses in sorted(seen, key=lambda one: one[0].start):
        for use in uses:
            if not use.match.rule.silent and not (use.match.rule.part and id(call) in matcher.taken):
                told.update(dict.fromkeys(_facts(call, use, matcher)))
    yield from told


def _libraries(imports: Iterable[Import], language: _Language) -> Iterator[Found]:
    seen: set[str] = set()
    for one in imports:
        for library in language.rules.imported(one.name):
            if library.name not in seen:
                seen.add(library.name)
                yield _library(library, one)


def _library(library: LibraryRules, one: Import) -> Found:
    fact = Library(name=library.name, version="", purl=library.purl)
    return Found(f":{one.line}", Strength.REFERENCED, fact)


def _facts(call: Call, use: Use, matcher: Matcher) -> Iterator[Found]:
    where = f":{call.line}"
    rule, library = use.match.rule, use.match.library
    for fact in _algorithms(use, call.scope):
        yield Found(where, Strength.REFERENCED, fact)
    if rule.protocol:
        versions = (use.parts.version,) if use.parts.version else ()
        settings = ProtocolSettings(software=library.name, protocol=rule.protocol, versions=versions)
        yield Found(where, Strength.REFERENCED, settings)
    if any(given.gives == "key" for given in rule.args) and _key_written(call, use, matcher):
        yield Found(where, Strength.REFERENCED, Keystore(format=KEY_IN_SOURCE, entries=1, encrypted=False))


def _algorithms(use: Use, scope: Scope) -> Iterator[Fact]:
    """Yield the algorithm, and the hash beside it where the name does not tell it."""
    rule, parts = use.match.rule, use.parts
    if rule.protocol:
        return
    function = rule.function or _function(parts)
    name = named(parts, function)
    library = use.match.library.name
    if name == UNKNOWN and (rule.function is None or parts.hash):
        if parts.hash:  # a signature of which the hash alone is told
            yield AlgorithmUse(algorithm=parts.hash, function=Function.DIGEST, library=library, in_tests=scope.test)
        return
    known = classify(name, function)
    if rule.function is None or _says_more(known.function, function):
        function = known.function
    yield AlgorithmUse(algorithm=name, function=function, library=library, in_tests=scope.test)
    beside = hash_beside(parts, name)
    if beside and function in (Function.SIGNATURE, Function.ENCRYPTION, Function.KEY_ESTABLISHMENT):
        yield AlgorithmUse(algorithm=beside, function=Function.DIGEST, library=library, in_tests=scope.test)


def _says_more(known: Function, told: Function) -> bool:
    """Return whether the algorithm's own function is the better one: a cipher's mode may make it a code."""
    return told is Function.ENCRYPTION and known in (Function.MAC, Function.KEY_DERIVATION, Function.DIGEST)


def _function(parts: Parts) -> Function:
    """Return what an algorithm is for where the rule leaves it open."""
    if parts.hash and not parts.family:
        return Function.DIGEST
    return classify(named(parts, Function.SIGNATURE), Function.ENCRYPTION).function


def _key_written(call: Call, use: Use, matcher: Matcher) -> bool:
    """Return whether the key that a call takes stands in the source as a text, octets or numbers."""
    place = Place(call.scope, call.at, call.branch)
    for given in use.match.rule.args:
        if given.gives != "key":
            continue
        expr = call.named.get(given.name)
        if expr is None and given.at is not None and given.at < len(call.items):
            expr = call.items[given.at]
        for value in matcher.resolver.ask(expr, place) if expr is not None else ():
            if isinstance(value, Constant) and isinstance(value.value, str | bytes) and len(value.value) >= 4:
                return True
            if isinstance(value, Listed) and len(value.items) >= 4 and all(isinstance(i, Literal) for i in value.items):
                return True
    return False
