"""The catalogue on disk: the records that come with the package, and a folder of the user's own."""

from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol, TypeVar

from keystrand.edge.files import read_bytes
from keystrand.formats.catalogue import curve_from_toml, policy_from_toml, position_from_toml
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.policy import Policy, Position, ThreatCurve


class _Record(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Record)


def policies(folder: Path | None = None) -> tuple[Policy, ...]:
    """Return the policies that come with the package and those in `folder` (`*.toml`), by id.

    A record of the user's own takes the place of a shipped one with the same id. Raises `InvalidInput` with every
    problem of every file, and `MissingInput` where `folder` is not there.
    """
    return _load("policies", folder, policy_from_toml)


def positions(folder: Path | None = None) -> tuple[Position, ...]:
    """Return the positions on quantum key distribution, as `policies` does."""
    return _load("positions", folder, position_from_toml)


def curves(folder: Path | None = None) -> tuple[ThreatCurve, ...]:
    """Return the threat curves, as `policies` does."""
    return _load("curves", folder, curve_from_toml)


def _load(kind: str, folder: Path | None, decode: Callable[[str, str], R]) -> tuple[R, ...]:
    shipped = _decode_all(_shipped(kind), decode)
    own = _decode_all(_own(folder), decode) if folder else {}
    merged = shipped | own
    return tuple(merged[name] for name in sorted(merged))


def _shipped(kind: str) -> Iterator[tuple[str, bytes]]:
    folder: Traversable = files("keystrand.assess") / kind
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            yield f"{kind}/{entry.name}", entry.read_bytes()


def _own(folder: Path) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        raise MissingInput(f"{folder} is not a folder", hint="name the folder that holds your own *.toml records")
    for path in sorted(folder.glob("*.toml")):
        yield str(path), read_bytes(path)


def _decode_all(texts: Iterator[tuple[str, bytes]], decode: Callable[[str, str], R]) -> dict[str, R]:
    found: dict[str, R] = {}
    problems: list[Problem] = []
    for file, content in texts:
        try:
            record = decode(content.decode("utf-8"), file)
        except UnicodeDecodeError as error:
            problems.append(Problem(message=f"not UTF-8: {error.reason}", file=file, hint="save the file as UTF-8"))
            continue
        except InvalidInput as error:
            problems += error.problems
            continue
        if record.id in found:
            problems.append(Problem(message=f"id {record.id!r} is already taken by another file here", file=file))
        found[record.id] = record
    if problems:
        raise InvalidInput(f"the catalogue has {counted(len(problems), 'problem')}", problems=tuple(problems))
    return found
