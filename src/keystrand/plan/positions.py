"""Which authorities' positions on quantum key distribution speak to this organisation."""

import re
from collections.abc import Iterable, Sequence

from keystrand.model.estate import Estate
from keystrand.model.policy import EU_MEMBERS, Position, Stance
from keystrand.model.stages import PositionRef
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
    """Return whether `position` speaks to the organisation: by where it has sites, then by its sector.

    Unknown where the sector of either cannot be told from its words; that is never taken for a no.
    """
    answers = (_reaches(position, jurisdictions(estate)), _addresses(position, estate.organisation.sector))
    return next(answer for answer in (Answer.NO, Answer.UNKNOWN, Answer.YES) if answer in answers)


def _addresses(position: Position, sector: str) -> Answer:
    if _EVERYBODY.search(position.applies_to):
        return Answer.YES
    addressed, own = _sectors(position.applies_to), _sectors(sector)
    if not addressed or not own:
        return Answer.UNKNOWN
    return Answer.YES if addressed & own else Answer.NO


def prohibitions(positions: Iterable[Position], estate: Estate) -> tuple[tuple[Position, Answer], ...]:
    """Return the positions that forbid quantum key distribution here, or may do so (`unknown`)."""
    judged = ((p, applies(p, estate)) for p in positions if p.stance is Stance.PROHIBITS)
    return tuple((p, answer) for p, answer in judged if answer is not Answer.NO)


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
