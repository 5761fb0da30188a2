"""The line of each key: an emitter that knows where it writes, against the scanner that reads it back."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.toml_lines import Path, line_index, line_of

BARE = st.text("abcXYZ019_-", min_size=1, max_size=4)
NASTY = st.sampled_from(['"a.b"', "'[x]'", '"q\\"t"', '"#no"', "'= \"'", '"\\u0041z"', '""', '" "'])
KEYS = st.one_of(BARE, BARE, NASTY)
SCALARS = st.sampled_from(
    ["1", "-2.5e3", "true", "nan", "1979-05-27", "1979-05-27 07:32:00", '"plain"', "'lit [ # '", '"esc \\" ] # \\\\"',
     '"""one"""', '""""two\nlines # [ ""x"" \\""""', "'''raw\n] \\'''", '"""\n\nends with two"""""', "''''''''"]
)  # fmt: skip
GAPS = st.sampled_from(["", "\n", '# comment [a] = "\n', "\n\n  # x = 1\n"])
BLANKS = st.sampled_from(["", " ", "\t"])
TAILS = st.sampled_from(["", " # tail", "  # ] } \" '"])


def _plain(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0")))


class Emitter:
    """Writes TOML with drawn keys, values and layout, and notes the line of each as it writes."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.text = draw, ""
        self.lines: dict[Path, int] = {(): 1}

    def _here(self) -> int:
        return self.text.count("\n") + 1

    def _gap(self) -> None:
        self.text += self.draw(GAPS)

    def _value(self, path: Path, depth: int) -> None:
        kind = self.draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth < 3 else ["scalar"]))
        if kind == "scalar":
            self.text += self.draw(SCALARS)
        elif kind == "array":
            self._array(path, depth)
        else:
            self._inline_table(path, depth)

    def _array(self, path: Path, depth: int) -> None:
        self.text += "["
        size = self.draw(st.integers(0, 3))
        for n in range(size):
            self._gap()
            self.lines[(*path, n)] = self._here()
            self._value((*path, n), depth + 1)
            self._gap()
            self.text += "," if n < size - 1 or self.draw(st.booleans()) else ""
        self._gap()
        self.text += "]"

    def _inline_table(self, path: Path, depth: int) -> None:
        self.text += "{"
        names = self.draw(st.lists(KEYS, max_size=3, unique_by=_plain))
        for n, name in enumerate(names):
            self.text += ", " if n else " "
            self._pair(path, name, depth + 1)
        self.text += " }"

    def _pair(self, path: Path, name: str, depth: int = 0) -> None:
        self.lines[(*path, _plain(name))] = self._here()
        self.text += name + self.draw(BLANKS) + "=" + self.draw(BLANKS)
        self._value((*path, _plain(name)), depth)

    def body(self, path: Path) -> None:
        """Write the pairs of a table."""
        for name in self.draw(st.lists(KEYS, max_size=3, unique_by=_plain)):
            self._gap_of_lines()
            self.text += self.draw(BLANKS)
            if self.draw(st.integers(0, 3)):
                self._pair(path, name)
            else:
                self.lines[(*path, _plain(name))] = self._here()
                self.text += name + self.draw(BLANKS) + "."
                self._pair((*path, _plain(name)), "leaf")
            self.text += self.draw(TAILS) + "\n"

    def _gap_of_lines(self) -> None:
        self.text += self.draw(st.sampled_from(["", "\n", "# [[no]] a = 1\n"]))

    def section(self, number: int) -> None:
        """Write a table, or an array of tables with a table below its newest element."""
        name, path = f"t{number}", (f"t{number}",)
        kind = self.draw(st.sampled_from(["table", "array"]))
        self._gap_of_lines()
        if kind == "table":
            self.lines[path] = self._here()
            self.text += f"[ {name} ]{self.draw(TAILS)}\n"
            self.body(path)
            return
        for n in range(self.draw(st.integers(1, 3))):
            self._gap_of_lines()
            if not n:
                self.lines[path] = self._here()
            self.lines[(*path, n)] = self._here()
            self.text += f"[[{name}]]\n"
            self.body((*path, n))
            if self.draw(st.booleans()):
                self.lines[(*path, n, "sub.x")] = self._here()
                self.text += f'[{name}."sub.x"]{self.draw(TAILS)}\n'
                self.body((*path, n, "sub.x"))


@st.composite
def documents(draw: Any) -> tuple[str, dict[Path, int]]:
    """A TOML text, and the line of each of its paths as its writer noted them."""
    emitter = Emitter(draw)
    emitter.body(())
    for number in range(draw(st.integers(0, 3))):
        emitter.section(number)
    return emitter.text, emitter.lines


def _paths(value: Any, path: Path = ()) -> set[Path]:
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return {path}.union(*(_paths(child, (*path, key)) for key, child in children))


@given(documents())
def test_every_path_has_the_line_it_was_written_on(document: tuple[str, dict[Path, int]]) -> None:
    """The index holds exactly the paths that `tomllib` reads, each at the line where the emitter wrote it."""
    text, written = document
    assert _paths(tomllib.loads(text)) == set(written)
    assert line_index(text) == written


@given(documents())
def test_windows_line_ends_change_nothing(document: tuple[str, dict[Path, int]]) -> None:
    """A file saved with CR LF has the same lines."""
    text, written = document
    assert line_index(text.replace("\n", "\r\n")) == written


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("\n[a.b.c]\nx = 1\n", ("a",), 2),
        ("\n[a.b.c]\nx = 1\n[a]\ny = 2\n", ("a",), 4),
        ("a.b.c = 1\na.d = 2\n", ("a", "d"), 2),
        ("[[a]]\n[[a.b]]\n[[a.b]]\nx = 1\n[[a]]\n[[a.b]]\nx = 2\n", ("a", 1, "b", 0, "x"), 7),
        ('x = """a""""\ny = 1\n', ("y",), 2),
        ("x = [1, # ]\n2]\ny = 1", ("y",), 3),
        ("x = [1,\n2]", ("x", 1), 2),
        ("x = [{a = 1},\n{a = 2}]", ("x", 1, "a"), 2),
        ("", (), 1),
    ],
)
def test_forms_that_are_easy_to_get_wrong(text: str, path: Path, line: int) -> None:
    """Implied tables, nested arrays of tables, strings that end in quotes, brackets in comments, elements by line."""
    assert tomllib.loads(text) is not None
    assert line_index(text)[path] == line


def test_what_has_no_line_gets_that_of_its_holder() -> None:
    """A missing key is told at its table; the nearest holder answers for any path."""
    index = line_index("a = 1\n\n[b]\nc = 2\n")
    assert line_of(index, ("b", "missing", 3)) == 3
    assert line_of(index, ("nowhere",)) == 1
