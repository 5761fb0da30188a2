"""The facts of a segment as the rules want them: three-valued, each with the words that say where it comes from."""

from collections.abc import Sequence
from functools import reduce

from keystrand.formats.wording import counted, joined, two_figures
from keystrand.model.estate import Continuity, Estate, Purpose, Segment, Sensitivity, Site
from keystrand.model.link import LinkRate
from keystrand.model.policy import Position
from keystrand.model.units import Answer
from keystrand.plan.physics import MOST_LOSS_DB, Span
from keystrand.plan.positions import prohibitions
from keystrand.plan.rules import NO, UNKNOWN, YES, Fact, SegmentFacts

LONG_SHELF_LIFE_YEARS = 10.0
"""From here on data is among the first to protect: the guide names 10, 20 and 30 years."""


def _and(*answers: Answer) -> Answer:
    """Return no if any is no, else unknown if any is unknown, else yes."""
    return NO if NO in answers else UNKNOWN if UNKNOWN in answers else YES


def _said(answer: Answer, what: str, negative: str) -> Fact:
    return Fact(answer, {YES: what, NO: negative, UNKNOWN: f"it is not known whether {what}"}[answer])


def _bool(*, value: bool, what: str, negative: str) -> Fact:
    return _said(YES if value else NO, what, negative)


def _programme(segment: Segment) -> Fact:
    if segment.programme is None:
        return Fact(UNKNOWN, "no programme is named")
    return Fact(YES, f"it belongs to the programme {segment.programme}")


def _permitted(estate: Estate, positions: Sequence[Position]) -> Fact:
    found = prohibitions(positions, estate)
    if not found:
        return Fact(YES, "no prohibition known here applies to the organisation")
    answer = NO if any(applied is YES for _, applied in found) else UNKNOWN
    named = joined([p.authority for p, applied in found if answer is UNKNOWN or applied is YES])
    may = "prohibits" if answer is NO else "prohibits, perhaps also for this organisation,"
    return Fact(answer, f"{named} {may} quantum key distribution")


def _nodes(segment: Segment, sites: dict[str, Site]) -> Fact:
    if segment.spans == 1:
        return Fact(YES, "one span needs no trusted node")
    accepted = segment.quantum.trusted_nodes
    signed = YES if segment.quantum.accepted_by else UNKNOWN
    controlled = reduce(_and, (sites[name].controlled for name in segment.via))
    answer = _and(accepted, signed if accepted is YES else accepted, controlled)
    if answer is YES:
        return Fact(
            YES, f"{segment.quantum.accepted_by} accepts {counted(len(segment.via), 'trusted node')} on the way"
        )
    why = (
        (accepted is NO, "trusted nodes are not accepted"),
        (controlled is NO, "a site on the way is not controlled by the organisation"),
        (accepted is UNKNOWN, "nobody has decided on trusted nodes"),
        (signed is UNKNOWN, "trusted nodes are said to be accepted, but nobody is named who accepted them"),
        (True, "it is not known whether the sites on the way are controlled"),
    )
    return Fact(answer, next(words for holds, words in why if holds))


def _shelf_life(segment: Segment, estate: Estate) -> Fact:
    users = [system for system in estate.system if segment.id in system.segments]
    classes = {item.id: item for item in estate.data_class}
    carried = [(system, classes[name]) for system in users for name in system.data_classes]
    long = [
        (system, item)
        for system, item in carried
        if item.retention_years >= LONG_SHELF_LIFE_YEARS and item.sensitivity.weight >= Sensitivity.HIGH.weight
    ]
    if long:
        system, item = max(long, key=lambda pair: (pair[1].sensitivity.weight, pair[1].retention_years))
        years = two_figures(item.retention_years)
        return Fact(YES, f"{system.name} carries {item.name} ({item.sensitivity}, secret for {years} years)")
    if not users or any(not system.data_classes for system in users):
        return Fact(UNKNOWN, "it is not known which data the segment carries")
    return Fact(NO, "no data on it is of high sensitivity and must stay secret for ten years or more")


def _rate_fact(segment: Segment, span: Span, rate: LinkRate | None) -> Fact:
    where = f"{span.loss_db:.3g} dB over {span.length_km:.3g} km ({span.how})"
    if span.loss_db > MOST_LOSS_DB:
        return Fact(NO, f"no key crosses {where}")
    if rate is None:
        return Fact(UNKNOWN, "the loss of the fibre is not known")
    made, needed = rate.secret_key_rate_bits_per_s, segment.key_demand_bits_per_s
    said = f"the model gives {two_figures(made)} bit/s at {where}, limited by {rate.limited_by}"
    if made <= 0:
        return Fact(NO, said)
    if needed <= 0:
        return Fact(UNKNOWN, f"{said}, but the demand for keys is not stated")
    return Fact(YES if made >= needed else NO, f"{said}; {needed:g} bit/s are needed")


def facts_of(
    segment: Segment, estate: Estate, positions: Sequence[Position], span: Span, rate: LinkRate | None
) -> SegmentFacts:
    """Return the facts of `segment` as the rules want them; what the estate leaves out is unknown."""
    sites, case = {site.id: site for site in estate.site}, segment.quantum
    return SegmentFacts(
        research=_bool(
            value=segment.purpose is Purpose.RESEARCH,
            what="it is for research",
            negative="it carries production traffic",
        ),
        programme_named=_programme(segment),
        single_span=_bool(
            value=segment.spans == 1,
            what="one span reaches from end to end",
            negative=f"it has {segment.spans} spans with nodes between them",
        ),
        may_wait=_bool(
            value=segment.continuity is Continuity.MAY_WAIT,
            what="its traffic may wait for a key",
            negative="its traffic must go on without a quantum key",
        ),
        permitted=_permitted(estate, positions),
        dedicated_optics=_said(
            case.dedicated_optics, "dedicated optics are justified", "dedicated optics are not justified"
        ),
        dark_fibre=_said(segment.dark_fibre, "there is a dark fibre", "there is no dark fibre on the route"),
        specialised_operation=_said(
            case.specialised_operation,
            "a team is there for the specialised operation",
            "no team is there for the specialised operation",
        ),
        nodes_accepted=_nodes(segment, sites),
        long_shelf_life=_shelf_life(segment, estate),
        rate_meets_demand=_rate_fact(segment, span, rate),
    )
