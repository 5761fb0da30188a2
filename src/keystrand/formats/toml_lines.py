"""Where in a TOML text each key stands. `tomllib` gives the values; this gives their lines, for error messages."""

import re
import tomllib
from bisect import bisect_left

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:\s|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^\n,\]}#]+")
# A string of three quotes may end with up to two more that belong to it (TOML 1.0, "String").
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'", re.DOTALL
)


class _Scanner:
    """Walks a TOML text that `tomllib` has accepted, and notes the line of all that has a path."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.newlines = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        here: Path = ()
        while self.skip(_GAP):
            if self.text[self.at] == "[":
                here = self.header()
            else:
                self.pair(here)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Move past what `pattern` matches here; return whether any text is left."""
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
        return self.at < len(self.text)

    def line(self) -> int:
        return bisect_left(self.newlines, self.at) + 1

    def header(self) -> Path:
        """Note `[table]` or `[[array]]` and return the path that the keys below it belong to."""
        line, array = self.line(), self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        *outer, last = self.key()
        self.at += 2 if array else 1
        path: Path = ()
        for name in outer:
            path = self.newest((*path, name))
            self.lines.setdefault(path, line)
        path = (*path, last)
        if array:
            self.lines.setdefault(path, line)
            self.counts[path] = self.counts.get(path, 0) + 1
        path = self.newest(path)
        self.lines[path] = line
        return path

    def newest(self, path: Path) -> Path:
        """Return `path`, or its newest element where it is an array of tables."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def key(self) -> list[str]:
        """Read a dotted key and the blanks after it; return its parts without quotes and escapes."""
        parts: list[str] = []
        while True:
            self.skip(_BLANK)
            match = _STRING.match(self.text, self.at) or _BARE_KEY.match(self.text, self.at)
            if match is None:
                raise ValueError(f"no key on line {self.line()}: the text is not valid TOML")
            self.at = match.end()
            parts.append(_unquoted(match[0]))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def pair(self, holder: Path) -> None:
        """Note `key = value`, and what is inside the value."""
        line, path = self.line(), holder
        for part in self.key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self.at += 1
        self.value(path)

    def value(self, path: Path) -> None:
        self.skip(_BLANK)
        opening = self.text[self.at]
        if opening in "[{":
            self.items(path, closing="]" if opening == "[" else "}")
        else:
            self.skip(_STRING if opening in "\"'" else _SCALAR)

    def items(self, path: Path, *, closing: str) -> None:
        """Walk the elements of an array, or the pairs of an inline table, to its end."""
        self.at += 1
        count = 0
        while self.skip(_GAP) and self.text[self.at] != closing:
            if closing == "]":
                self.lines[(*path, count)] = self.line()
                self.value((*path, count))
            else:
                self.pair(path)
            count += 1
            self.skip(_GAP)
            self.at += self.text.startswith(",", self.at)
        self.at += 1


def _unquoted(key: str) -> str:
    if key[0] in "\"'":
        return str(tomllib.loads(f"key = {key}")["key"])
    return key


def line_index(text: str) -> dict[Path, int]:
    """Return the line (from 1) of every table, key and array element of a TOML `text` that is valid, by path."""
    return _Scanner(text).run()


def line_of(index: dict[Path, int], path: Path) -> int:
    """Return the line of `path`, or of the nearest thing that holds it."""
    while path and path not in index:
        path = path[:-1]
    return index[path]
