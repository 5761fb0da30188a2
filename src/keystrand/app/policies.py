"""The records of the catalogue and the user's own: listed, shown, tested, compared, checked."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from keystrand.assess.policy import remarks
from keystrand.assess.policy_cases import Outcome, run_policy_cases
from keystrand.assess.words import deadline_text
from keystrand.edge.catalogue import beside, curves, open_record, policies, positions, shipped_policies
from keystrand.formats.catalogue import CatalogueRecord
from keystrand.formats.decode import near_name
from keystrand.formats.wording import day_text, joined
from keystrand.model.errors import InvalidInput, MissingInput
from keystrand.model.policy import Policy, Position, Rule, ThreatCurve

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
