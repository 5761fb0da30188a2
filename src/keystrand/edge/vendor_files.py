"""Requirements and vendors' sheets on disk: those that come with the package, and those beside the estate."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from keystrand.edge.files import read_bytes
from keystrand.edge.toml_files import TextFile, read_text, shipped
from keystrand.formats.vendor_toml import Requirements, evaluation_from_toml, requirements_from_toml, sheet_from_toml
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.vendor import Evaluation, Requirement, VendorSheet

SHEETS, REQUIREMENTS, WEIGHTS = "vendors", "requirements", "vendors.toml"
"""Beside estate.toml: the folder of sheets, the folder of the user's own requirements, the file of what counts."""

T = TypeVar("T")


class SheetFile(NamedTuple):
    """A vendor's sheet, and the text it came from."""

    sheet: VendorSheet
    file: TextFile


def requirements(home: Path | None = None) -> dict[str, Requirement]:
    """Return the requirements that come with the package and those beside the estate in `home`, by id, in order.

    One of the user's own takes the place of a shipped one. Raises `InvalidInput` with every problem of every file.
    """
    own = _files(home / REQUIREMENTS) if home else iter(())
    every = [_read_all(files, lambda one: requirements_from_toml(one.text, one.name)) for files in
             (shipped("plan", REQUIREMENTS), own)]  # fmt: skip
    found: dict[str, Requirement] = {}
    for batch in every:
        seen: dict[str, str] = {}
        for file, made in batch:
            for asked in made:
                _require_new(asked.id, file, seen, "requirement")
                found[asked.id] = asked
    return found


def public_sheets(asked: Requirements) -> dict[str, VendorSheet]:
    """Return what was found in public of each vendor, by id."""
    made = _read_all(shipped("plan", "vendor_sheets"), lambda one: sheet_from_toml(one.text, one.name, asked))
    return {sheet.id: sheet for _, sheet in made}


def vendor_sheets(home: Path, asked: Requirements) -> list[SheetFile]:
    """Return the sheets in the folder `vendors` of `home`, by id; none where there is no such folder.

    Raises `InvalidInput` with every problem of every sheet, also where two are of one vendor.
    """
    made = _read_all(_files(home / SHEETS), lambda one: sheet_from_toml(one.text, one.name, asked))
    seen: dict[str, str] = {}
    for file, sheet in made:
        _require_new(sheet.id, file, seen, "vendor")
    return sorted((SheetFile(sheet, file) for file, sheet in made), key=lambda one: one.sheet.id)


def evaluation(home: Path, asked: Requirements) -> tuple[Evaluation, TextFile | None]:
    """Return what counts how much, from `vendors.toml` in `home`; without that file every weight is the catalogue's."""
    path = home / WEIGHTS
    if not path.exists():
        return Evaluation(), None
    file = read_text(path, what="the file of weights")
    return evaluation_from_toml(file.text, file.name, asked), file


def returned_questionnaire(path: Path) -> bytes:
    """Return the bytes of a questionnaire that came back."""
    return read_bytes(path, hint="name the file that the vendor sent back, .xlsx or .md")


def _files(folder: Path) -> Iterator[TextFile]:
    for path in sorted(folder.glob("*.toml")):
        yield read_text(path, what="the file")


def _read_all(files: Iterable[TextFile], read: Callable[[TextFile], T]) -> list[tuple[TextFile, T]]:
    found: list[tuple[TextFile, T]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            found.append((file, read(file)))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(
            f"{counted(len(problems), 'problem')} in what vendors are asked or said", problems=tuple(problems)
        )
    return found


def _require_new(name: str, file: TextFile, seen: dict[str, str], what: str) -> None:
    if name in seen:
        problem = Problem(message=f"the {what} {name!r} is in {seen[name]} too", file=file.name, field="id",
                          hint="keep one of the two, or give one another id")  # fmt: skip
        raise InvalidInput(f"the {what} {name!r} stands in two files", problems=(problem,))
    seen[name] = file.name
