"""The records of the catalogue and the user's own: listed, shown, tested, compared, checked."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from keystrand.app.documents import load, require_estate
from keystrand.app.estate import OpenEstate
from keystrand.assess.findings import findings
from keystrand.assess.policy import facts_of, remarks
from keystrand.assess.policy_cases import Outcome, run_policy_cases
from keystrand.assess.policy_changes import moved, policy_changes
from keystrand.assess.policy_disputes import contradictions, curve_contradictions, settles
from keystrand.assess.words import deadline_text
from keystrand.edge.catalogue import beside, curves, open_record, policies, positions, shipped_policies
from keystrand.formats.catalogue import CatalogueRecord
from keystrand.formats.catalogue_doubts import record_doubts
from keystrand.formats.decode import dotted, near_name
from keystrand.formats.toml_lines import line_index, line_of
from keystrand.formats.wording import day_text, joined
from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.policy import Policy, Position, Rule, ThreatCurve
from keystrand.model.stages import Inventory

Row = dict[str, Any]


def catalogue(home: Path) -> tuple[Policy | Position, ...]:
    """Return every policy and position, the shipped ones and those beside the estate in `home`."""
    return (*policies(beside(home, "policies")), *positions(beside(home, "positions")))


def find_record(name: str, home: Path) -> CatalogueRecord | None:
    """Return the record that `name` means: a file, or the id of one in the catalogue. None for a file of another kind.

    Raises `InvalidInput` with near names where there is neither, and with every problem of a file.
    """
    path = Path(name)
    if path.is_file() or path.suffix == ".toml" or "/" in name:
        return open_record(path).record
    known = {record.id: record for record in (*catalogue(home), *curves(beside(home, "curves")))}
    if name not in known:
        near = near_name(name, known)
        hint = f"did you mean {near!r}?" if near else "keystrand policy list shows them; a file is named with its path"
        raise MissingInput(f"no record is called {name!r}", hint=hint)
    return known[name]


def find_policy(name: str, home: Path) -> Policy:
    """Return the policy that `name` means. Raises `InvalidInput` where it is another kind of record."""
    record = find_record(name, home)
    if isinstance(record, Policy):
        return record
    raise InvalidInput(f"{name} is no policy with dated rules", hint="keystrand policy show NAME says what it is")


def list_rows(home: Path, as_of: date) -> list[Row]:
    """Return one row a record: what it is, how it is known, its next date, and why it gives a notice at most."""
    shipped = shipped_policies()
    return [_policy_row(p, as_of, own=p is not shipped.get(p.id)) for p in policies(beside(home, "policies"))] + [
        _position_row(p, as_of) for p in positions(beside(home, "positions"))
    ]


def _policy_row(policy: Policy, as_of: date, *, own: bool) -> Row:
    coming = sorted(rule.deadline for rule in policy.rules if rule.deadline >= as_of)
    return {
        "id": policy.id,
        "kind": "own policy" if own else "policy",
        "status": policy.status.value,
        "force": policy.force.value,
        "where": joined(policy.jurisdictions) or "any",
        "next_date": coming[0].isoformat() if coming else "",
        "known_from": policy.source.verification.value,
        "good_until": policy.source.expires.isoformat() if policy.source.expires else "",
        "remarks": "; ".join(remarks(policy, as_of)),
    }


def _position_row(position: Position, as_of: date) -> Row:
    coming = sorted(day for one in position.prohibits if (day := one.since or one.until) and day >= as_of)
    return {
        "id": position.id,
        "kind": "position",
        "status": position.stance.value,
        "force": "",
        "where": joined(position.jurisdictions) or "any",
        "next_date": coming[0].isoformat() if coming else "",
        "known_from": position.source.verification.value,
        "good_until": position.source.expires.isoformat() if position.source.expires else "",
        "remarks": "; ".join(f"prohibits {one.of.value}" for one in position.prohibits),
    }


def record_rows(record: CatalogueRecord, as_of: date) -> list[Row]:
    """Return what `record` says, one row an entry."""
    match record:
        case Policy():
            entries = _policy_entries(record, as_of)
        case Position():
            entries = _position_entries(record)
        case ThreatCurve():
            entries = (
                ("by", f"{a.years:g} years", f"{a.low * 100:g} to {a.high * 100:g} percent") for a in record.anchors
            )
    return [{"entry": entry, "name": name, "says": says} for entry, name, says in (*entries, *_source(record, as_of))]


_Entry = tuple[str, str, str]


def _source(record: CatalogueRecord, as_of: date) -> Iterator[_Entry]:
    source = record.source
    good = f", good until {day_text(source.expires)}" if source.expires else ""
    old = " and old now" if source.old(as_of) else ""
    yield (
        "source",
        source.clause,
        f"{source.publisher}: {source.title}, {deadline_text(source.published, source.precision)}",
    )
    yield "reading", source.verification.value, f"as of {day_text(source.as_of)}{good}{old}"


def _policy_entries(policy: Policy, as_of: date) -> Iterator[_Entry]:
    yield "policy", policy.name, f"{policy.status.value} {policy.force.value}, for {policy.addressees}"
    for why in remarks(policy, as_of):
        yield "only a notice", "", why
    if policy.undated:
        yield "no date", "", policy.undated
    for rule in policy.rules:
        yield "rule", rule.id, f"{_demand(rule)}: {rule.text} ({rule.clause})"
    for words in (*policy.exceptions, *(f"{r.id}: {words}" for r in policy.rules for words in r.exceptions)):
        yield "exception", "", words
    for dispute in (*policy.disputes, *(d for rule in policy.rules for d in rule.disputes)):
        state = f"settled: {dispute.note}" if dispute.resolved else "open"
        yield "dispute", dispute.source, f"{dispute.says} ({state.rstrip('.')})"
    for case in policy.test:
        yield "test", case.name, f"{case.rule} on {case.on.isoformat()}: {case.expect.value}"
    if policy.note:
        yield "note", "", policy.note


def _demand(rule: Rule) -> str:
    what = joined([function.value for function in rule.functions])
    return f"{rule.effect.value} {what} by {deadline_text(rule.deadline, rule.precision)}{_scope(rule)}"


def _scope(rule: Rule) -> str:
    said = [
        f"at {joined([p.value for p in rule.places])}" if rule.places else "",
        f"for {joined([s.value for s in rule.sensitivities])} data" if rule.sensitivities else "",
        "for high-value assets and systems of high impact" if rule.high_impact else "",
        "for what is new" if rule.new_only else "",
        f"of at most {rule.strength_at_most} bits" if rule.strength_at_most is not None else "",
        f"level {rule.minimum_level}" if rule.minimum_level is not None else "",
        "in combination with a classical algorithm" if rule.hybrid else "",
    ]
    return "".join(f", {words}" for words in said if words)


def _position_entries(position: Position) -> Iterator[_Entry]:
    yield "position", position.authority, f"{position.stance.value}; for {position.applies_to}"
    yield "text", "", position.text
    for one in position.prohibits:
        when = f"since {day_text(one.since)}" if one.since else f"after {day_text(one.until)}" if one.until else ""
        yield "prohibits", one.of.value, f"{when}. {one.text}".rstrip(". ")
    for words in position.limitations:
        yield "limitation", "", words


def case_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return one row a test, failed ones first."""
    return [
        {
            "test": one.case.name,
            "result": "passed" if one.passed else "FAILED",
            "rule": one.case.rule,
            "expected": one.case.expect.value,
            "came": one.state.value,
            "why": one.reason,
        }
        for one in sorted(outcomes, key=lambda one: one.passed)
    ]


def run_cases(policy: Policy) -> tuple[Outcome, ...]:
    """Return what comes of the policy's own tests."""
    return run_policy_cases(policy)


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
        settled = isinstance(record, Policy) and settles(record, found.record)
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


def _contradictions(record: CatalogueRecord) -> Sequence[Any]:
    match record:
        case Policy():
            return contradictions(record, shipped_policies().values())
        case ThreatCurve():
            return curve_contradictions(record, curves())
        case _:
            return ()
