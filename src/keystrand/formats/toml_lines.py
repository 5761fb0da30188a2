"""Where in a TOML text each key stands. `tomllib` gives the values; this gives their lines, for error messages."""

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


class _Index:
    """The lines of a text, filled header by header."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def resolve(self, names: list[str]) -> Path:
        """Return the path of a header: an array of tables stands at its newest element."""
        path: Path = ()
        for name in names:
            path = (*path, name)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def open_table(self, names: list[str], *, array: bool, line: int) -> Path:
        """Note a header at `line` and return the path its keys belong to."""
        if not array:
            path = self.resolve(names)
        else:
            base = (*self.resolve(names[:-1]), names[-1])
            self.counts[base] = self.counts.get(base, 0) + 1
            self.lines.setdefault(base, line)
            path = (*base, self.counts[base] - 1)
        self.lines[path] = line
        return path


def _skip_value(text: str, at: int) -> int:
    """Return the offset just after the value that starts at `at`: brackets span lines, strings hold brackets."""
    depth = 0
    while at < len(text):
        char = text[at]
        if char in "\"'":
            quote = char * 3 if text.startswith(char * 3, at) else char
            at += len(quote)
            while at < len(text) and not text.startswith(quote, at):
                at += 2 if char == '"' and text[at] == "\\" else 1
            at += len(quote)
            continue
        if char == "#":
            at = _line_end(text, at)
            continue
        depth += (char in "[{") - (char in "]}")
        if char == "\n" and depth <= 0:
            return at
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def line_index(text: str) -> dict[Path, int]:
    """Return the line (from 1) of every table, array element and key of a valid TOML `text`, by path.

    Keys inside an inline table or array share the line of the key that holds it.
    """
    index, at = _Index(), 0
    here: Path = ()
    while at < len(text):
        end = _line_end(text, at)
        row, number = text[at:end], text.count("\n", 0, at) + 1
        if header := _HEADER.match(row):
            here = index.open_table(_parts(header[2]), array=header[1] == "[[", line=number)
        elif key := _KEY.match(row):
            path: Path = here
            for part in _parts(key[1]):
                path = (*path, part)
                index.lines.setdefault(path, number)
            end = _skip_value(text, at + key.end())
        at = end + 1
    return index.lines


def line_of(index: dict[Path, int], path: Path) -> int:
    """Return the line of `path`, or of the nearest thing that holds it."""
    while path and path not in index:
        path = path[:-1]
    return index[path]
