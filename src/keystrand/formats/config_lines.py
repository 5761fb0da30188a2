"""Configuration files made of lines: which software they belong to, and what their settings say."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from keystrand.formats.config_tables import LOOKS_LIKE, OPENSSL_COMMANDS, SOFTWARE, Form, Software
from keystrand.formats.config_values import VALUES, Said
from keystrand.formats.wording import counted
from keystrand.model.observation import Outcome, Strength
from keystrand.model.reading import Found, Reading

MAX_LINE = 16 * 1024
REMARKS_SHOWN = 3


class _Line(NamedTuple):
    """A logical line: continued lines are one, with the number of the first."""

    number: int
    text: str


def software_of(path: str, content: bytes) -> tuple[Software, ...]:
    """Return whose configuration this is: by path and marks in the content, else by the path, else by the marks."""
    if b"\0" in content:
        return ()
    by_path = [one for one in SOFTWARE if re.search(one.path, path.lower())]
    marked = [one for one in SOFTWARE if re.search(one.marks, content)]
    return tuple(one for one in marked if one in by_path) or tuple(by_path) or tuple(marked)


def may_be_lines(path: str) -> bool:
    """Return whether a file with this path is worth opening."""
    plain = path.lower()
    return bool(LOOKS_LIKE.search(plain)) or any(re.search(one.path, plain) for one in SOFTWARE)


def _lines(content: bytes, comment: str) -> Iterator[_Line]:
    """Yield lines without comments; a line is continued by a backslash at its end."""
    begun, number = "", 0
    for n, raw in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        text = raw[:MAX_LINE].strip()
        if not begun:
            number = n
        if text.startswith((comment, ";", "//")):
            text = ""
        if text.endswith("\\") and len(begun) < MAX_LINE:
            begun += text[:-1] + " "
            continue
        if begun + text:
            yield _Line(number, begun + text)
        begun = ""
    if begun.strip():
        yield _Line(number, begun.strip())


def _pairs(line: str, software: Software) -> Iterator[tuple[str, str]]:
    """Yield the settings of one line and their values."""
    match software.form:
        case Form.EQUALS:
            for part in re.split(r"[{}]", line) if software.braces else (line,):
                name, equals, value = part.partition("=")
                if equals:
                    yield name.strip().lower(), _uncommented(value)
        case Form.SPACE:
            yield from _of_words(line)
        case Form.PAIRS:
            words = line.replace(",", " ").replace("=", " ").split()
            yield from ((one.lower(), two) for one, two in pairwise(words))
            if words[:1] == ["bind"] and "ssl" in words:
                yield "bind", f"{words[1]} ssl"
        case Form.COLUMNS:
            words = line.split()
            yield from (("", words[n]) for n in software.columns if n < len(words))


def _uncommented(value: str) -> str:
    return re.split(r"\s#", value, maxsplit=1)[0].strip().rstrip(";{").strip()


def _of_words(line: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a line of words; several may stand on one, each ended by a semicolon."""
    for part in re.split(r"[;{}]", line):
        name, _, value = part.strip().replace("\t", " ").partition(" ")
        yield name.lower(), _uncommented(value)


def _kind(name: str, software: Software) -> str:
    if name == "bind" and software.form is Form.PAIRS:
        return "listens"
    named = software.settings.get(name)
    if named is not None:
        return named
    return next((kind for end, kind in software.settings.items() if end[:1] == "*" and name.startswith(end[1:])), "")


def _said(software: Software, name: str, value: str) -> Iterator[Said]:
    if name in software.nested:
        name, _, value = value.strip().partition(" ")
        kind = OPENSSL_COMMANDS.get(name.lower().strip("\"'"), "")
    else:
        kind = _kind(name, software)
    if kind and value.strip():
        yield from VALUES[kind](software.name, value)


def read_lines(path: str, content: bytes) -> Reading:
    """Return what the settings in `content` say, each at its line. Never raises."""
    found: dict[Found, None] = {}
    remarks: list[str] = []
    known = software_of(path, content)
    for software in known:
        for line in _lines(content, software.comment):
            for name, value in _pairs(line.text, software):
                for said in _said(software, name, value):
                    if isinstance(said, str):
                        remarks.append(f"line {line.number}: {said}")
                    else:
                        found[Found(f":{line.number}", Strength.CONFIGURED, said)] = None
    return Reading(tuple(found), Outcome.SEEN if found else Outcome.NONE, shown(remarks))


def shown(remarks: Iterable[str]) -> str:
    """Return the first few remarks, and how many more there are."""
    every = list(dict.fromkeys(remark[:200] for remark in remarks))
    more = len(every) - REMARKS_SHOWN
    return "; ".join([*every[:REMARKS_SHOWN], *([f"and {counted(more, 'remark')} more"] if more > 0 else [])])
