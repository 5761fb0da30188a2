"""TOML files on disk to typed values, and those that come with the package."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.files import read_bytes
from keystrand.model.errors import InvalidInput, Problem


class TextFile(NamedTuple):
    """A text, and the name that messages call its file by."""

    name: str
    text: str


def read_text(path: Path, *, what: str, hint: str = "") -> TextFile:
    """Return the text of `path`. Raises `MissingInput`, `StoreFailure`, and `InvalidInput` where it is not UTF-8."""
    return _decoded(read_bytes(path, hint=hint), str(path), what)


def shipped(room: str, folder: str) -> Iterator[TextFile]:
    """Yield the TOML files in `folder` of the package's `room`, by name."""
    for entry in sorted((files(f"keystrand.{room}") / folder).iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".toml"):
            yield _decoded(entry.read_bytes(), f"{folder}/{entry.name}", folder)


def _decoded(content: bytes, name: str, what: str) -> TextFile:
    try:
        return TextFile(name, content.decode())
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(message="not UTF-8", file=name, line=line, hint="save the file as UTF-8")
        raise InvalidInput(f"{what} {name} is no text", problems=(problem,)) from None
