"""The page on ETSI GS QKD 014 lists every numbered test with its statement, and no test that is not there.

Run as a program this prints the table as it must stand in docs/reference/etsi-014.md.
"""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "etsi-014.md"
_NUMBERED = re.compile(r"test_c(\d)(?:_(\d))?_(\d+)_[a-z]")


class Statement(NamedTuple):
    """What one numbered test shows. `clause` of 4, or of 5.1 and so on."""

    clause: tuple[int, ...]
    number: int
    says: str
    test: str

    @property
    def row(self) -> str:
        """The row of the table."""
        return f"| C{'.'.join(map(str, self.clause))}-{self.number} | {self.says} | `{self.test}` |"


def functions_of(file: Path) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of every test in a file."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def statements() -> list[Statement]:
    """Return what the numbered tests of this folder show, by clause."""
    found = []
    for file in HERE.glob("test_014_*.py"):
        for name, text in functions_of(file):
            if match := _NUMBERED.match(name):
                clause = tuple(int(part) for part in match.groups()[:2] if part)
                says = " ".join(text.partition("\n\n")[0].split())
                found.append(Statement(clause, int(match[3]), says, name))
    return sorted(found)


def table() -> str:
    """Return the table."""
    return "\n".join(["| id | statement | test |", "|---|---|---|", *(one.row for one in statements())])


def test_the_page_lists_the_numbered_tests() -> None:
    """The rows of the page are those of the tests, in order, and no others."""
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| C\d", line)]
    assert rows == [one.row for one in statements()]


def test_every_number_is_used_once() -> None:
    """Within a clause the statements are numbered from one, without gaps."""
    for clause, group in groupby(statements(), key=lambda one: one.clause):
        numbers = [one.number for one in group]
        assert numbers == list(range(1, len(numbers) + 1)), clause


def test_the_tests_of_the_decisions_exist() -> None:
    """Every test that the page names is one."""
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", PAGE.read_text()))
    everywhere = {name for file in HERE.parent.rglob("test_*.py") for name, _ in functions_of(file)}
    assert named
    assert named - everywhere == set()


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
