"""Where a record says something else than one of the catalogue about the same instrument: never settled in silence.

Public lists of dates are wrong in ways that can be checked: a draft called final, a date that no text has, a number
that belongs to nothing. A record of the user's own, or one that was imported, is compared with what ships.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from keystrand.assess.words import deadline_text
from keystrand.formats.decode import Path
from keystrand.formats.wording import counted, joined
from keystrand.model.policy import (
    DatePrecision,
    Dispute,
    Effect,
    Policy,
    Position,
    Prohibition,
    Rule,
    Source,
    Status,
    ThreatCurve,
)

_OTHERS = re.compile(r"[^a-z0-9]+")


class Contradiction(NamedTuple):
    """A record says one thing at `path`, the catalogue's `record` another."""

    record: str
    path: Path
    says: str
    but: str


def contradictions(policy: Policy, known: Iterable[Policy]) -> tuple[Contradiction, ...]:
    """Return where `policy` contradicts a record of `known` about the same instrument."""
    return tuple(found for other in known if _same(policy, other) for found in _between(policy, other))


def position_contradictions(position: Position, known: Iterable[Position]) -> tuple[Contradiction, ...]:
    """Return where `position`, in the place of a record of `known`, says otherwise whom it binds or what it forbids."""
    names = ("stance", "jurisdictions", "applies_to", "national_security", "prohibits")
    return tuple(
        found for other in known if other.id == position.id for found in _fields(other.id, (), position, other, names)
    )


def disputed(policy: Policy, found: Iterable[Contradiction]) -> Policy:
    """Return `policy` with an open dispute for each contradiction that it does not settle itself."""
    open_ones = [one for one in found if not settles(policy, one.record)]
    added = tuple(
        Dispute(source=f"the catalogue's record {one.record}", says=one.but, resolved=False, record=one.record)
        for one in open_ones
    )
    return replace(policy, disputes=(*policy.disputes, *added))


def settles(own: Policy | Position, record: str) -> bool:
    """Return whether `own` says itself that it differs from `record`, and why it is right."""
    return any(one.resolved and one.record == record for one in own.disputes)


def curve_contradictions(curve: ThreatCurve, known: Iterable[ThreatCurve]) -> tuple[Contradiction, ...]:
    """Return where `curve` gives other figures than every edition in `known` of the survey that it claims to be from.

    Where an edition of the same year is known it is compared with that one alone.
    """
    alike = [other for other in known if _survey(curve.source) == _survey(other.source)]
    edition = [other for other in alike if other.source.title == curve.source.title] or alike
    return tuple(
        Contradiction(edition[0].id, ("anchors", n), _range(anchor.low, anchor.high, anchor.years), joined(said))
        for n, anchor in enumerate(curve.anchors)
        if (said := [_range(a.low, a.high, a.years) for o in edition for a in o.anchors if a.years == anchor.years])
        and _range(anchor.low, anchor.high, anchor.years) not in said
    )


def _survey(source: Source) -> str:
    """Return what the title calls the survey, whatever the year of its edition."""
    return re.sub(r"\b(19|20)\d\d\b", "", _words(source.title)).strip()


def _range(low: float, high: float, years: float) -> str:
    return f"{low * 100:g} to {high * 100:g} percent within {years:g} years"


def _words(text: str) -> str:
    return _OTHERS.sub(" ", text.lower()).strip()


def _same(one: Policy, other: Policy) -> bool:
    """Return whether `one` speaks of the instrument of `other`: by id, or by words that cite it."""
    cited = f" {_words(one.id)} {_words(one.source.title)} "
    return one.id == other.id or any(f" {_words(n)} " in cited for n in (*other.names, *other.wrong_names))


def _between(one: Policy, other: Policy) -> Iterator[Contradiction]:
    def found(path: Path, says: str, but: str) -> Contradiction:
        return Contradiction(other.id, path, says, but)

    cited = f" {_words(one.id)} {_words(one.source.title)} "
    for name in other.wrong_names:
        if f" {_words(name)} " in cited:
            yield found(("source", "title"), f"it is called {name!r}", f"it is called {other.names[0]!r}")
    if one.status is not other.status:
        yield found(("status",), f"it is {one.status.value}", f"it is {_status_text(other)}")
    if not _same_day(one.source, other.source):
        ours, theirs = one.source, other.source
        yield found(("source", "published"), f"it was published on {ours.published}", f"on {theirs.published}")
    for n, rule in enumerate(one.rules):
        if but := _otherwise(rule, other):
            day = deadline_text(rule.deadline, rule.precision)
            yield found(("rules", n, "deadline"), f"{rule.effect.value} {_functions(rule)} by {day}", but)
    if one.undated and other.rules:
        yield found(("undated",), "it has no date", f"it has {counted(len(other.rules), 'dated duty', 'dated duties')}")
    elif one.id == other.id:
        yield from _weakened(one, other)


_SCOPE = ("functions", "effect", "places", "sensitivities", "high_impact", "new_only", "minimum_level", "hybrid",
          "strength_at_most")  # fmt: skip
"""What decides of whom a rule asks what: a record that takes another's place changes none of it in silence."""


def _weakened(one: Policy, other: Policy) -> Iterator[Contradiction]:
    """Yield what `one`, which takes the place of `other`, leaves out or asks of others than it."""
    yield from _fields(other.id, (), one, other, ("jurisdictions", "national_security"))
    if other.source.verification.proves and not one.source.verification.proves:
        yield from _fields(other.id, ("source",), one.source, other.source, ("verification",))
    here = {rule.id: n for n, rule in enumerate(one.rules)}
    for rule in other.rules:
        if rule.id not in here:
            yield Contradiction(other.id, ("rules",), f"there is no rule {rule.id!r}", f"there is: {rule.text}")
            continue
        n = here[rule.id]
        dated = _coarser(rule.precision, one.rules[n].precision).same(rule.deadline, one.rules[n].deadline)
        known = dated or _otherwise(one.rules[n], other)  # a date that no rule has is told already
        weaker = (rule.verification or other.source.verification).proves and one.rules[n].verification is not None
        names = (*_SCOPE, *(() if known else ("deadline",)), *(("verification",) if weaker else ()))
        yield from _fields(other.id, ("rules", n), one.rules[n], rule, names)


def _fields(record: str, path: Path, one: Struct, other: Struct, names: Iterable[str]) -> Iterator[Contradiction]:
    for name in names:
        ours, theirs = getattr(one, name), getattr(other, name)
        if ours != theirs:
            yield Contradiction(record, (*path, name), f"{name} is {_said(ours)}", f"{name} is {_said(theirs)}")


def _said(value: object) -> str:
    match value:
        case None | ():
            return "not given"
        case bool():
            return "true" if value else "false"
        case Prohibition():
            return f"{value.of.value} {f'since {value.since}' if value.since else f'until {value.until}'}"
        case tuple():
            return joined([_said(one) for one in value], most=30)
        case _:
            return str(value)


def _status_text(policy: Policy) -> str:
    if policy.status is Status.SUPERSEDED:
        return f"superseded by {policy.superseded_by}"
    return "not to be found" if policy.status is Status.UNCONFIRMED else policy.status.value


def _same_day(one: Source, other: Source) -> bool:
    return _coarser(one.precision, other.precision).same(one.published, other.published)


def _coarser(one: DatePrecision, other: DatePrecision) -> DatePrecision:
    order = list(DatePrecision)
    return max(one, other, key=order.index)


def _otherwise(rule: Rule, other: Policy) -> str:
    """Return what `other` says on the matter of `rule`, empty where it says the same."""
    if not other.rules:
        return other.undated.rstrip(".")
    same = _on_the_matter(rule, other)
    if any(_coarser(rule.precision, one.precision).same(rule.deadline, one.deadline) for one in same):
        return ""
    dates: dict[tuple[date, str], None] = dict.fromkeys(
        (one.deadline, f"{one.effect.value} by {deadline_text(one.deadline, one.precision)}") for one in same
    )
    return f"{_functions(rule)}: {joined([words for _, words in sorted(dates)])}" if dates else "no such duty is known"


def _on_the_matter(rule: Rule, other: Policy) -> list[Rule]:
    """Return the rules of `other` that answer `rule`: same effect before any end of use, never a plan for an end."""
    touching = [one for one in other.rules if set(one.functions) & set(rule.functions)]
    same = [one for one in touching if one.effect is rule.effect]
    return same or [one for one in touching if (one.effect is Effect.PLAN) == (rule.effect is Effect.PLAN)]


def _functions(rule: Rule) -> str:
    return joined([function.value for function in rule.functions])
