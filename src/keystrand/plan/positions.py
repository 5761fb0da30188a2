"""Which authorities' positions on quantum key distribution speak to this organisation."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from keystrand.formats.wording import day_text
from keystrand.model.estate import Estate
from keystrand.model.policy import EU_MEMBERS, Position, Prohibition, Stance, Technique
from keystrand.model.stages import Gate, PositionRef
from keystrand.model.units import Answer

_EVERYBODY = re.compile(r"\b(all|any|every|everyone|everybody)\b", re.IGNORECASE)
_SECTORS = {
    "government": re.compile(
        r"government|public.(sector|administration)|ministr|federal|civilian agenc", re.IGNORECASE
    ),
    "defence": re.compile(r"defen[cs]e|military|\bwar\b|armed forces|national.security|intelligence", re.IGNORECASE),
    "finance": re.compile(r"bank|financ|insur|payment|securities|stock.exchange", re.IGNORECASE),
    "health": re.compile(r"health|hospital|clinic|medic|pharma", re.IGNORECASE),
    "infrastructure": re.compile(
        r"infrastructure|energy|electric|\bpower\b|grid|utilit|water|transport|\brail|airport|telecom", re.IGNORECASE
    ),
    "research": re.compile(r"research|universit|laborator|academ", re.IGNORECASE),
    "industry": re.compile(r"industr|manufactur|retail|logistic|software|\bmedia\b|\blegal", re.IGNORECASE),
}
"""Families of addressees, by the words that name them; a position and an organisation meet where they share one."""


def _sectors(text: str) -> set[str]:
    return {name for name, pattern in _SECTORS.items() if pattern.search(text)}


def jurisdictions(estate: Estate) -> frozenset[str]:
    """Return the legal areas in which the estate has sites; a Member State brings the EU with it."""
    used = {site.region for site in estate.site}
    codes = {region.jurisdiction for region in estate.region if region.id in used}
    return frozenset(codes | ({"EU"} if codes & EU_MEMBERS else set()))


def _reaches(position: Position, codes: frozenset[str]) -> Answer:
    named = set(position.jurisdictions)
    # a text of the Union binds in each Member State; a text of one Member State does not bind in the others
    if not named or named & codes:
        return Answer.YES
    # a region that says only EU may well lie in the Member State that the text names
    only_union = "EU" in codes and not codes & EU_MEMBERS
    return Answer.UNKNOWN if only_union and named & EU_MEMBERS else Answer.NO


def applies(position: Position, estate: Estate) -> Answer:
    """Return whether `position` speaks to the organisation: by where it has sites, its sector, and national security.

    Unknown where one of them cannot be told; that is never taken for a no.
    """
    answers = (
        _reaches(position, jurisdictions(estate)),
        _addresses(position, estate.organisation.sector),
        _secures(position, estate.organisation.national_security),
    )
    return next(answer for answer in (Answer.NO, Answer.UNKNOWN, Answer.YES) if answer in answers)


def _secures(position: Position, national_security: Answer) -> Answer:
    if position.national_security is None or national_security is Answer.UNKNOWN:
        return Answer.YES if position.national_security is None else Answer.UNKNOWN
    return Answer.YES if position.national_security is (national_security is Answer.YES) else Answer.NO


def _addresses(position: Position, sector: str) -> Answer:
    if _EVERYBODY.search(position.applies_to):
        return Answer.YES
    addressed, own = _sectors(position.applies_to), _sectors(sector)
    if not addressed or not own:
        return Answer.UNKNOWN
    return Answer.YES if addressed & own else Answer.NO


FORBIDDEN = {
    Technique.QKD: "quantum key distribution",
    Technique.PSK: "keys shared beforehand as the means to resist a quantum computer",
}
"""What may be forbidden, in words."""


def gates(positions: Iterable[Position], estate: Estate, as_of: date) -> Iterator[Gate]:
    """Yield the prohibitions that speak to the organisation, or may do so (`unknown`).

    One with a date still to come counts as well: what must go by then is no target to build for. `unknown` also where
    its record was read on one page, long ago or from memory, or is disputed: that never decides.
    """
    for position in sorted(positions, key=lambda p: p.id):
        spoken = applies(position, estate)
        for one in _prohibitions(position) if spoken is not Answer.NO else ():
            sure = spoken is Answer.YES and _checked(position, as_of)
            yield Gate(
                technique=one.of,
                position=position.id,
                applies=Answer.YES if sure else Answer.UNKNOWN,
                since=one.since,
                until=one.until,
                reason=_reason(position, one, sure=sure),
            )


def advisers_against(positions: Iterable[Position], estate: Estate) -> tuple[str, ...]:
    """Return the authorities that advise this organisation against quantum key distribution."""
    return tuple(p.authority for p in positions if p.stance is Stance.DISCOURAGES and applies(p, estate) is Answer.YES)


def _prohibitions(position: Position) -> tuple[Prohibition, ...]:
    """Return what `position` forbids; one that prohibits without saying more forbids QKD since it was published."""
    if position.prohibits or position.stance is not Stance.PROHIBITS:
        return position.prohibits
    return (Prohibition(of=Technique.QKD, since=position.source.published),)


def _checked(position: Position, as_of: date) -> bool:
    source = position.source
    return source.verification.proves and not source.old(as_of) and all(d.resolved for d in position.disputes)


def _reason(position: Position, one: Prohibition, *, sure: bool) -> str:
    when = f"since {day_text(one.since)}" if one.since else ""
    when = f"after {day_text(one.until)}" if one.until else when
    may = "prohibits" if sure else "prohibits, perhaps also for this organisation,"
    return f"{position.authority} {may} {FORBIDDEN[one.of]} {when}"


def position_refs(positions: Sequence[Position], estate: Estate) -> tuple[PositionRef, ...]:
    """Return every position as the plan shows it, by id."""
    return tuple(
        PositionRef(
            id=p.id,
            authority=p.authority,
            stance=p.stance,
            text=p.text,
            source=f"{p.source.title}, {p.source.publisher}, {p.source.clause} ({p.source.published.isoformat()})",
            as_of=p.source.as_of,
            applies=applies(p, estate) is Answer.YES,
        )
        for p in sorted(positions, key=lambda p: p.id)
    )
