"""The target state: as a document, as rows, as Markdown."""

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.documents import load, now, pilot_of, require_estate, require_made_from, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.files import read_bytes, write_atomic
from keystrand.formats.wording import joined, plain_number
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.stages import Assessment, Plan
from keystrand.model.stages.targeted import SuccessCriterion, TargetDocument
from keystrand.plan.staged import require_staged
from keystrand.plan.target import approach_words, make_target

Row = dict[str, Any]


def target_estate(opened: OpenEstate, out: Path, *, as_of: date) -> TargetDocument:
    """Make the target state from the assessment and plan in `out`, and write it beside them.

    A pilot's report in `out` takes part where it is of this estate as it is now.
    Raises `InvalidInput` where the plan is no staged programme, and `DocumentMismatch` where they do not belong
    together.
    """
    assessment, assessment_ref = load(out, Assessment)
    plan, plan_ref = load(out, Plan)
    require_estate(plan, opened.ref)
    require_made_from(plan, assessment_ref)
    require_staged(plan)
    pilot, pilot_refs = pilot_of(opened.ref, out)
    target = make_target(
        opened.estate,
        assessment,
        plan,
        as_of=as_of,
        made_from=(opened.ref, assessment_ref, plan_ref, *pilot_refs),
        created_at=now(),
        tool_version=__version__,
        pilot=pilot,
    )
    save(out, target)
    return target


def check_stages(out: Path, spend: Path | None) -> Plan:
    """Return the plan in `out` once it is known to be a staged programme; `spend` says what its measures cost."""
    plan, _ = load(out, Plan)
    require_staged(plan, _amounts(spend, {m.id for m in plan.measures}) if spend else None)
    return plan


def _amounts(path: Path, known: set[str]) -> dict[str, float]:
    """Return the amounts of a CSV file with the columns measure and amount, by measure."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is no CSV file in UTF-8: {error}", hint=_COLUMNS) from error
    problems, amounts = [], {}
    for line, row in enumerate(rows, start=2):
        try:
            name, amount = row["measure"], float(row["amount"])
        except (KeyError, TypeError, ValueError):
            problems.append(Problem(message="no measure and amount", file=str(path), line=line, hint=_COLUMNS))
            continue
        if name not in known:
            hint = "the ids are those of plan.json"
            problems.append(Problem(message=f"no measure {name!r}", file=str(path), line=line, hint=hint))
        elif not 0 <= amount < float("inf"):
            hint = "write an amount of 0 or more"
            problems.append(Problem(message=f"{amount:g} is no amount", file=str(path), line=line, hint=hint))
        amounts[name] = amount
    if problems:
        raise InvalidInput(f"{path} cannot be used", problems=tuple(problems))
    return amounts


_COLUMNS = "the first line is measure,amount; every other one is the id of a measure and a number"


def target_rows(target: TargetDocument) -> list[Row]:
    """Return one row a target: what, by when, who, and what stays classical until when."""
    return [
        {
            "target": line.id,
            "today": line.today.value if line.today else "",
            "becomes": approach_words(line),
            "algorithms": joined(line.algorithms),
            "by": "reached" if line.reached else line.by.isoformat() if line.by else "",
            "owner": line.owner or "nobody named",
            "until": line.until.isoformat() if line.until else "",
            "compensating": line.compensating or "",
            "why": line.reason,
        }
        for line in target.targets
    ]


def criterion_rows(target: TargetDocument) -> list[Row]:
    """Return one row a success criterion; with what a pilot showed, where one did."""
    shown = any(one.shown for one in target.criteria)
    return [
        {
            "criterion": one.id,
            "goal": _goal(one),
            "measured_by": joined(one.measured_by),
            "basis": one.basis,
            **({"shown": one.shown} if shown else {}),
        }
        for one in target.criteria
    ]


def protection_rows(target: TargetDocument) -> list[Row]:
    """Return one row a place that a quantum link needs guarded."""
    return [
        {"place": one.id, "needs": "; ".join(one.needs), "ready": one.ready.value, "why": one.reason}
        for one in target.protections
    ]


def _goal(one: SuccessCriterion) -> str:
    bound, value = ("at least", one.at_least) if one.at_least is not None else ("at most", one.at_most or 0.0)
    if one.unit == "ratio":
        return f"{bound} {plain_number(value * 100)} percent"
    return f"{bound} {plain_number(value)} {one.unit}"


def write_markdown(path: Path, target: TargetDocument, estate: str) -> None:
    """Write the target state as Markdown: three tables, and what is open."""
    open_ = [{"open": gap.what, "why": gap.reason} for gap in target.coverage.gaps]
    parts = (
        f"# Target state of {_escaped(estate)} on {target.as_of}\n",
        _section("What everything becomes", target_rows(target)),
        _section("Success criteria", criterion_rows(target)),
        _section("Physical protection of quantum links", protection_rows(target)),
        _section("What is open", open_),
        _section("Assumptions", [{"name": a.name, "value": a.value, "source": a.source} for a in target.assumptions]),
    )
    write_atomic(path, "\n".join(part for part in parts if part).encode())


def _section(title: str, rows: list[Row]) -> str:
    if not rows:
        return ""
    names = list(rows[0])
    lines = [_line([name.replace("_", " ") for name in names]), _line(["---"] * len(names))]
    lines += [_line([str(row[name]) for name in names]) for row in rows]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: no table cell ends early, no tag and no link begins."""
    for sign in "\\|<>[]`*_":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
