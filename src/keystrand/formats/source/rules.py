"""Rules for source code: which calls of which library use which algorithm. One TOML file a language, or a user's own.

A name of a call is qualified with dots (`hashlib.sha256`, `javax.crypto.Cipher.getInstance`, `crypto/aes.NewCipher`),
the aliases of imports resolved; a constructor has the name of its class, what a call gives has the name with `()`.
`*` stands for any part of a name, and what it stands for may tell the algorithm.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from keystrand.formats.decode import Fault
from keystrand.formats.source.grammar import LANGUAGES
from keystrand.formats.toml_input import read_toml
from keystrand.model.algorithm import Function

Gives = Literal["algorithm", "bits", "octets", "key", "mode", "padding", "curve", "hash", "version"]
"""What a value tells: `algorithm` all that its text or object tells; `octets` their number; `key` the key itself."""


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that tells something: argument number `at` from 0, or the argument or property called `name`.

    `key` is a key inside it, where it is an object. `default` is what the library takes where it is absent.
    """

    gives: Gives
    at: int | None = None
    name: str = ""
    key: str = ""
    table: str = ""
    default: str | int | None = None


class Later(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told to the object afterwards: by a `method`, or by setting a `property`."""

    gives: Gives
    method: str = ""
    property: str = ""
    at: int = 0
    table: str = ""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls that use an algorithm. Without a `function` it follows from the algorithm.

    A `part` is used by other calls, and is told by itself only where none of them took it. `protocol` marks settings of
    a protocol. `family`, `bits`, `mode`, `padding`, `curve` and `hash` are what the name of the call alone tells.
    """

    calls: list[str]
    function: Function | None = None
    family: str = ""
    bits: int | None = None
    mode: str = ""
    padding: str = ""
    curve: str = ""
    hash: str = ""
    args: list[Given] = []
    later: list[Later] = []
    table: str = ""
    returns: str = ""
    part: bool = False
    silent: bool = False
    protocol: str = ""


class LibraryRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A library: what importing it looks like, words that tell it without an import, and its calls."""

    name: str
    imports: list[str] = []
    words: list[str] = []
    purl: str = ""
    calls: list[Rule] = []


class RuleFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of one language. `strip` are beginnings of constants that go before the name of an algorithm."""

    language: Literal["c", "csharp", "go", "java", "javascript", "python", "rust"]
    strip: list[str] = []
    tables: dict[str, dict[str, str]] = {}
    libraries: list[LibraryRules]


def rules_from_toml(text: str, file: str) -> RuleFile:
    """Return the rules in `text`. Raises `InvalidInput` with every problem, each with its line and field in `file`."""
    return read_toml(text, RuleFile, file=file, what=f"rule file {file}", further=_faults)


def _faults(raw: dict[str, Any]) -> Iterator[Fault]:
    tables = raw.get("tables")
    known = set(tables) if isinstance(tables, dict) else set()
    for path, rule in _raw_rules(raw):
        if not rule.get("calls"):
            yield Fault((*path, "calls"), "names no call", 'write calls = ["module.function"]')
        for name in (c for c in _strings(rule.get("calls")) if not c.strip(".* ") or " " in c):
            yield Fault((*path, "calls"), f"{name!r} is no name of a call", "write module.function, with * for a part")
        for field in ("args", "later"):
            for number, given in enumerate(g for g in _dicts(rule.get(field))):
                yield from _given_faults((*path, field, number), given, known, later=field == "later")
        if (table := rule.get("table")) and table not in known:
            yield _no_table((*path, "table"), table, known)


def _given_faults(
    path: tuple[str | int, ...], given: dict[str, Any], known: set[str], *, later: bool
) -> Iterator[Fault]:
    if later and not given.get("method") and not given.get("property"):
        yield Fault(path, "names neither a method nor a property", 'add method = "..." or property = "..."')
    if not later and given.get("at") is None and not given.get("name"):
        yield Fault(path, "says neither the number nor the name of the argument", "add at = 0, or name = ...")
    if (table := given.get("table")) and table not in known:
        yield _no_table((*path, "table"), table, known)


def _no_table(path: tuple[str | int, ...], table: object, known: Iterable[str]) -> Fault:
    there = ", ".join(sorted(known)) or "none"
    return Fault(path, f"there is no table {table!r}", f"add [tables.{table}], or use one of: {there}")


def _raw_rules(raw: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    for number, library in enumerate(_dicts(raw.get("libraries"))):
        for at, rule in enumerate(_dicts(library.get("calls"))):
            yield ("libraries", number, "calls", at), rule


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


class Match(NamedTuple):
    """A rule that fits a call's name, and the part of the name that `*` stands for."""

    rule: Rule
    library: LibraryRules
    captured: str


class RuleSet:
    """The rules of one language, ready to be asked: later files take the place of earlier ones for the same name."""

    def __init__(self, files: Iterable[RuleFile]) -> None:
        self.files = tuple(files)
        self.libraries = [library for file in self.files for library in file.libraries]
        self.strip = tuple(sorted({s for file in self.files for s in file.strip}, key=len, reverse=True))
        self.tables = {n: t for file in self.files for n, t in file.tables.items()}
        self.later_methods = {one.method for r in self._rules() for one in r.later if one.method}
        self.later_properties = {one.property for r in self._rules() for one in r.later if one.property}
        self.language = self.files[0].language if self.files else ""
        self.qualifiers = frozenset(n.partition(".")[0] for r in self._rules() for n in r.calls if "." in n)
        """What stands before the first dot of a call's name."""
        self._imported: dict[str, tuple[LibraryRules, ...]] = {}
        self._lasts = {id(library): _lasts(library) for library in self.libraries}
        self.first_names = frozenset(re.split(r"[./(]", name)[0] for rule in self._rules() for name in rule.calls)
        self._exact: dict[str, list[Match]] = {}
        self._patterns: list[tuple[re.Pattern[str], Rule, LibraryRules]] = []
        for file in self.files:
            self._add(file)
        self._found: dict[str, tuple[Match, ...]] = {}

    def _rules(self) -> Iterator[Rule]:
        return (rule for library in self.libraries for rule in library.calls)

    def _add(self, file: RuleFile) -> None:
        """Put the rules of a file before those that are there; of its patterns the longest comes first."""
        patterns: list[tuple[str, Rule, LibraryRules]] = []
        for library in file.libraries:
            for rule in library.calls:
                for name in rule.calls:
                    if "*" in name:
                        patterns.append((name, rule, library))
                    else:
                        self._exact.setdefault(name, []).insert(0, Match(rule, library, ""))
        patterns.sort(key=lambda one: len(one[0]), reverse=True)
        self._patterns[:0] = [
            (re.compile(re.escape(name).replace(r"\*", r"([A-Za-z0-9_]+)")), rule, library)
            for name, rule, library in patterns
        ]

    def imported(self, name: str) -> tuple[LibraryRules, ...]:
        """Return the libraries of which importing `name` imports something."""
        if name not in self._imported:
            self._imported[name] = tuple(one for one in self.libraries if _imports(one, name))
        return self._imported[name]

    def ends(self, imports: Iterable[str]) -> frozenset[str]:
        """Return the last parts of the names of all calls that a file with these `imports` may make."""
        there = {id(library) for name in imports for library in self.imported(name)}
        there |= {id(library) for library in self.libraries if library.words}
        return frozenset().union(*(self._lasts[one] for one in there))

    def matches(self, name: str) -> tuple[Match, ...]:
        """Return the rules that fit a call's qualified name, in the order to try them: exact names, then patterns."""
        if name not in self._found:
            if len(self._found) > 100_000:
                self._found.clear()
            patterns = (
                Match(rule, library, found[1])
                for pattern, rule, library in self._patterns
                if (found := pattern.fullmatch(name))
            )
            self._found[name] = (*self._exact.get(name, ())[:1], *patterns)
        return self._found[name]

    def entries(self, prefix: str) -> Iterator[str]:
        """Yield the names that stand directly below `prefix` in the calls of all rules; `*` stays."""
        for rule in self._rules():
            for name in rule.calls:
                if name.startswith(prefix):
                    yield re.split(r"[.(]", name[len(prefix) :])[0]


def _lasts(library: LibraryRules) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for rule in library.calls for name in rule.calls)


def _imports(library: LibraryRules, name: str) -> bool:
    return any(
        name == one
        or (name.startswith(one) and (one[-1] == "/" or name[len(one)] in "./"))
        or (one.endswith(".h") and name.endswith("/" + one))
        for one in library.imports
    )


def rule_sets(files: Iterable[RuleFile]) -> dict[str, RuleSet]:
    """Return the rules by language, in the order of the files."""
    listed = list(files)
    return {name: RuleSet(f for f in listed if f.language == name) for name in LANGUAGES}
