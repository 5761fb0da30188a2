"""The catalogue on disk: the records that come with the package, and a folder of the user's own."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from keystrand.assess.policy_disputes import Contradiction, contradictions, disputed, position_contradictions, settles
from keystrand.edge.files import read_bytes
from keystrand.formats.catalogue import (
    CatalogueRecord,
    control_from_toml,
    curve_from_toml,
    harvest_from_toml,
    policy_from_toml,
    position_from_toml,
    record_from_toml,
)
from keystrand.formats.decode import dotted
from keystrand.formats.toml_lines import line_index, line_of
from keystrand.formats.wording import counted
from keystrand.model.control import Control
from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.likelihood import HarvestSet
from keystrand.model.policy import Policy, Position, ThreatCurve


class _Record(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Record)
D = TypeVar("D", Policy, Position)
_Compare = Callable[[D, Iterable[D]], tuple[Contradiction, ...]]


def policies(folder: Path | None = None) -> tuple[Policy, ...]:
    """Return the policies that come with the package and those in `folder` (`*.toml`), by id.

    A record of the user's own takes the place of a shipped one with the same id, and must say so where it says
    otherwise: with a resolved dispute. Under another id it is disputed as long as it contradicts a shipped record.
    Raises `InvalidInput` with every problem of every file, and `MissingInput` where `folder` is not there.
    """
    shipped = shipped_policies()
    if folder is None:
        return tuple(shipped.values())
    own = _beside_shipped(folder, policy_from_toml, shipped, contradictions)
    merged = shipped | {name: disputed(one, contradictions(one, shipped.values())) for name, one in own.items()}
    return tuple(merged[name] for name in sorted(merged))


@cache
def shipped_policies() -> dict[str, Policy]:
    """Return the policies that come with the package, by id and in its order. Read once: they do not change."""
    return _decode_all(_shipped("policies"), policy_from_toml)


def _beside_shipped(
    folder: Path, decode: Callable[[str, str], D], shipped: dict[str, D], compare: _Compare[D]
) -> dict[str, D]:
    """Return the records in `folder`. Raises `InvalidInput` also where one replaces a shipped record unsaid."""

    def further(text: str, file: str, own: D) -> list[Problem]:
        if own.id not in shipped or settles(own, own.id):
            return []
        return _unsettled(text, file, own.id, compare(own, [shipped[own.id]]))

    return _decode_all(_own(folder), decode, further)


def _unsettled(text: str, file: str, name: str, found: Iterable[Contradiction]) -> list[Problem]:
    index = line_index(text)
    return [
        Problem(
            message=f"the shipped record {name} says otherwise: {one.but}, and here {one.says}",
            hint=f'if yours is right, add [[disputes]] with record = "{name}", resolved = true and a note on '
            "who settled it; or give yours an id of its own",
            file=file,
            line=line_of(index, one.path),
            field=dotted(one.path),
        )
        for one in found
    ]


def positions(folder: Path | None = None) -> tuple[Position, ...]:
    """Return the positions on quantum key distribution, as `policies` does: none lifts a prohibition in silence."""
    shipped = _decode_all(_shipped("positions"), position_from_toml)
    own = _beside_shipped(folder, position_from_toml, shipped, position_contradictions) if folder else {}
    merged = shipped | own
    return tuple(merged[name] for name in sorted(merged))


def curves(folder: Path | None = None) -> tuple[ThreatCurve, ...]:
    """Return the threat curves, as `policies` does."""
    return _load("curves", folder, curve_from_toml)


def harvests(folder: Path | None = None) -> tuple[HarvestSet, ...]:
    """Return the sets of assumptions on how likely traffic is recorded, as `policies` does."""
    return _load("harvest", folder, harvest_from_toml)


def controls(folder: Path | None = None) -> tuple[Control, ...]:
    """Return the controls with what each does not cover, as `policies` does."""
    return _load("controls", folder, control_from_toml)


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


class Opened(NamedTuple):
    """A record in a file of its own, with the file's text. None where it is no record of the catalogue."""

    record: CatalogueRecord | None
    text: str


def open_record(path: Path) -> Opened:
    """Return what `path` holds, as it stands: nothing is compared with the catalogue here.

    Raises `MissingInput` where it is not there and `InvalidInput` with every problem, also where it is no text.
    """
    hint = "keystrand policy list shows the records that need no file; examples/key-policy.toml is a key policy"
    content = read_bytes(path, hint=hint)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(message="not UTF-8", file=str(path), line=line, hint="save the file as UTF-8")
        raise InvalidInput(f"{path} is no text", problems=(problem,)) from None
    return Opened(record_from_toml(text, str(path)), text)


def beside(home: Path, kind: str) -> Path | None:
    """Return the folder of the user's own records of `kind` (policies, positions, curves) beside an estate, if any."""
    folder = home / kind
    return folder if folder.is_dir() else None


def _decode_all(
    texts: Iterator[tuple[str, bytes]],
    decode: Callable[[str, str], R],
    further: Callable[[str, str, R], list[Problem]] = lambda *_: [],
) -> dict[str, R]:
    found: dict[str, R] = {}
    problems: list[Problem] = []
    for file, content in texts:
        try:
            text = content.decode("utf-8")
            record = decode(text, file)
        except UnicodeDecodeError as error:
            problems.append(Problem(message=f"not UTF-8: {error.reason}", file=file, hint="save the file as UTF-8"))
            continue
        except InvalidInput as error:
            problems += error.problems
            continue
        problems += further(text, file, record)
        if record.id in found:
            problems.append(Problem(message=f"id {record.id!r} is already taken by another file here", file=file))
        found[record.id] = record
    if problems:
        raise InvalidInput(f"the catalogue has {counted(len(problems), 'problem')}", problems=tuple(problems))
    return found
