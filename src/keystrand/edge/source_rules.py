"""The rules for source code that come with the package, and a user's own."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from keystrand.edge.toml_files import TextFile, read_text, shipped
from keystrand.formats.source.reader import SourceReader
from keystrand.formats.source.rules import RuleFile, rules_from_toml
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.reading import FileReader


@cache
def shipped_rules() -> tuple[RuleFile, ...]:
    """Return the rules that come with the package, by name of their language."""
    return tuple(rules_from_toml(text, name) for name, text in shipped("edge", "source_rules"))


def own_rules(paths: Iterable[Path]) -> tuple[RuleFile, ...]:
    """Return the rules in files, and in all `*.toml` of folders, in the order given.

    Raises `InvalidInput` with every problem of every file: file, line and field; `MissingInput` for what is not there.
    """
    found: list[RuleFile] = []
    problems: list[Problem] = []
    for name, text in _texts(paths):
        try:
            found.append(rules_from_toml(text, name))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(f"the rules have {counted(len(problems), 'problem')}", problems=tuple(problems))
    return tuple(found)


def ruleset_of(paths: Iterable[Path]) -> str:
    """Return one word for the content of rule files; empty where there are none. Raises as `own_rules` does."""
    texts = tuple(_texts(paths))
    return hashlib.sha256(repr(texts).encode()).hexdigest() if texts else ""


def source_reader(paths: Iterable[Path] = ()) -> FileReader:
    """Return the reader of source files, with the user's own rules before those of the package."""
    return SourceReader((*shipped_rules(), *own_rules(paths))).reader()


def _texts(paths: Iterable[Path]) -> Iterator[TextFile]:
    for path in paths:
        if not path.exists():
            raise MissingInput(f"{path} is not there", hint="name a rule file, or a folder of *.toml rule files")
        for file in sorted(path.glob("*.toml")) if path.is_dir() else (path,):
            yield read_text(file, what="rule file")
