"""Records of policies compared: with each other, with an estate's systems, and with what ships."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from keystrand.app.documents import load, require_estate
from keystrand.app.estate import OpenEstate
from keystrand.assess.findings import findings
from keystrand.assess.policy import facts_of
from keystrand.assess.policy_changes import moved, policy_changes
from keystrand.assess.policy_disputes import (
    Contradiction,
    contradictions,
    curve_contradictions,
    position_contradictions,
    settles,
)
from keystrand.edge.catalogue import beside, curves, open_record, positions, shipped_policies
from keystrand.formats.catalogue import CatalogueRecord
from keystrand.formats.catalogue_doubts import record_doubts
from keystrand.formats.decode import dotted
from keystrand.formats.toml_lines import line_index, line_of
from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.policy import Policy, Position, ThreatCurve
from keystrand.model.stages import Inventory

Row = dict[str, Any]


def change_rows(old: Policy, new: Policy) -> list[Row]:
    """Return one row for each thing that `new` says otherwise than `old`."""
    return [{"what": c.where, "field": c.field, "old": c.old, "new": c.new} for c in policy_changes(old, new)]


def moved_rows(opened: OpenEstate, out: Path, old: Policy, new: Policy, as_of: date) -> list[Row]:
    """Return one row for each system and rule whose state differs under `new`, by the inventory in `out`."""
    inventory, _ = load(out, Inventory)
    require_estate(inventory, opened.ref)
    facts = {system.id: facts_of(opened.estate, system, as_of) for system in opened.estate.system}
    return [
        {
            "what": f"system {one.system}",
            "field": f"{one.function.value}, rule {one.rule}",
            "old": one.old.value if one.old else "not spoken of",
            "new": one.new.value if one.new else "not spoken of",
        }
        for one in moved(old, new, findings(opened.estate, inventory), facts)
    ]


class Checked(NamedTuple):
    """What was found in records: contradictions that they do not settle, and questions."""

    rows: list[Row]
    disputed: int


def check_records(paths: Sequence[Path], as_of: date) -> Checked:
    """Compare the records in `paths` (files, or folders with `*.toml`) with the shipped ones.

    Raises `InvalidInput` with every problem of every file, and `MissingInput` where one is not there.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    for path in (file for given in paths for file in _files(given)):
        try:
            record, text = open_record(path)
        except InvalidInput as error:
            problems += error.problems or (Problem(message=error.message, hint=error.hint, file=str(path)),)
            continue
        if record is None:
            hint = "a key policy is tested with: keystrand policy test FILE"
            problems.append(Problem(message="no policy, position or threat curve", file=str(path), hint=hint))
            continue
        rows += _checked(record, text, path, as_of)
    if problems:
        raise InvalidInput(problems[0].message, problems=tuple(problems))
    return Checked(rows, sum(row["kind"] == "disputed" for row in rows))


def own_questions(home: Path, as_of: date) -> int:
    """Return how many questions the policies beside the estate in `home` raise, contradictions not settled included."""
    own = beside(home, "policies")
    if own is None or not any(own.glob("*.toml")):
        return 0
    return sum(row["kind"] != "settled" for row in check_records([own], as_of).rows)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if not (found := sorted(path.glob("*.toml"))):
        raise MissingInput(f"{path} holds no *.toml file", hint="name the folder that holds your own records")
    return found


def _checked(record: CatalogueRecord, text: str, path: Path, as_of: date) -> Iterator[Row]:
    index, shipped = line_index(text), shipped_policies()
    for found in _contradictions(record):
        settled = not isinstance(record, ThreatCurve) and settles(record, found.record)
        yield {
            "kind": "settled" if settled else "disputed",
            "file": str(path),
            "line": line_of(index, found.path),
            "field": dotted(found.path),
            "says": found.says,
            "but": f"{found.record}: {found.but}",
            "next_step": "" if settled else f"show it: keystrand policy show {found.record}",
        }
    for doubt in record_doubts(record, {*shipped, record.id}, as_of):
        yield {
            "kind": "question",
            "file": str(path),
            "line": line_of(index, doubt.path),
            "field": dotted(doubt.path),
            "says": doubt.message,
            "but": "",
            "next_step": doubt.hint,
        }


def _contradictions(record: CatalogueRecord) -> tuple[Contradiction, ...]:
    match record:
        case Policy():
            return contradictions(record, shipped_policies().values())
        case Position():
            return position_contradictions(record, positions())
        case ThreatCurve():
            return curve_contradictions(record, curves())
