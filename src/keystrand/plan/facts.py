"""The facts of a segment as the rules want them: three-valued, each with the words that say where it comes from."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from keystrand.formats.wording import counted, joined, two_figures
from keystrand.model.estate import (
    Continuity,
    LossBasis,
    Purpose,
    Segment,
    Sensitivity,
    Site,
)
from keystrand.model.link import LinkRate
from keystrand.model.policy import Technique
from keystrand.model.stages import Gate
from keystrand.model.units import Answer
from keystrand.plan.ground import Ground
from keystrand.plan.physics import COEXISTENCE_MARGIN, MOST_LOSS_DB, RATE_MARGIN, Span
from keystrand.plan.positions import FORBIDDEN
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


def permitted(found: Sequence[Gate], technique: Technique) -> Fact:
    """Return whether the organisation may rely on `technique`, by the prohibitions `found`."""
    said = [gate for gate in found if gate.technique is technique]
    if not said:
        return Fact(YES, f"no prohibition of {FORBIDDEN[technique]} is known to apply to the organisation")
    answer = NO if any(gate.applies is YES for gate in said) else UNKNOWN
    return Fact(answer, joined([gate.reason for gate in said if answer is UNKNOWN or gate.applies is YES]))


def _fibre(segment: Segment) -> Fact:
    """Return whether there is an optical path for quantum light: a dark fibre, or the weaker form on a lit one."""
    dark = _said(segment.dark_fibre, "there is a dark fibre", "there is no dark fibre on the route")
    if dark.answer is YES or segment.quantum.controlled_wavelength is NO:
        return dark
    if segment.quantum.controlled_wavelength is UNKNOWN:
        return dark
    if segment.loss_basis is LossBasis.ASSUMED:
        return Fact(UNKNOWN, "there is a controlled wavelength on a lit fibre, but nobody has measured loss and noise")
    return Fact(YES, "a controlled wavelength on a lit fibre stands in for a dark one: the weaker form")


def is_shared(segment: Segment) -> bool:
    """Return whether quantum light would share a lit fibre with other traffic."""
    return segment.dark_fibre is not YES and segment.quantum.controlled_wavelength is YES


def margin(segment: Segment) -> float:
    """Return how many times the demand the modelled rate must be on `segment`."""
    return COEXISTENCE_MARGIN if is_shared(segment) else RATE_MARGIN


def _nodes(segment: Segment, ground: Ground) -> Fact:
    if segment.spans == 1:
        return Fact(YES, "one span needs no trusted node")
    limit = segment.quantum.accepted_sensitivity
    beyond = [item for _, item in ground.carried(segment) if limit and item.sensitivity.weight > limit.weight]
    if beyond:
        return Fact(
            NO, f"trusted nodes are accepted up to {limit} data, and {beyond[0].name} is {beyond[0].sensitivity}"
        )
    return _acceptance(segment, ground.sites)


def _acceptance(segment: Segment, sites: dict[str, Site]) -> Fact:
    accepted = segment.quantum.trusted_nodes
    signed = YES if segment.quantum.accepted_by else UNKNOWN
    controlled = reduce(_and, (sites[name].controlled for name in segment.via))
    hosted = NO if any(sites[name].may_host_node is NO for name in segment.via) else YES
    answer = _and(accepted, signed if accepted is YES else accepted, controlled, hosted)
    if answer is YES:
        return Fact(
            YES, f"{segment.quantum.accepted_by} accepts {counted(len(segment.via), 'trusted node')} on the way"
        )
    why = (
        (accepted is NO, "trusted nodes are not accepted"),
        (hosted is NO, "a site on the way may not host a trusted node"),
        (controlled is NO, "a site on the way is not controlled by the organisation"),
        (accepted is UNKNOWN, "nobody has decided on trusted nodes"),
        (signed is UNKNOWN, "trusted nodes are said to be accepted, but nobody is named who accepted them"),
        (True, "it is not known whether the sites on the way are controlled"),
    )
    return Fact(answer, next(words for holds, words in why if holds))


def _shelf_life(segment: Segment, ground: Ground) -> Fact:
    users = ground.users(segment)
    long = [
        (system, item)
        for system, item in ground.carried(segment)
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
    made, needed, times = rate.secret_key_rate_bits_per_s, segment.key_demand_bits_per_s, margin(segment)
    said = f"the model gives {two_figures(made)} bit/s at {where}, limited by {rate.limited_by}"
    if made <= 0:
        return Fact(NO, said)
    if needed <= 0:
        return Fact(UNKNOWN, f"{said}, but the demand for keys is not stated")
    enough = YES if made >= times * needed else NO
    return Fact(enough, f"{said}; {needed:g} bit/s are needed, {times:g} times over as a margin")


def _accepted(segment: Segment, advisers: Sequence[str]) -> Fact:
    if not advisers:
        return Fact(YES, "no authority that speaks to the organisation advises against it")
    said = f"{joined(advisers)} advise{'s' if len(advisers) == 1 else ''} against it"
    if segment.quantum.accepted_by:
        return Fact(YES, f"{said}, and {segment.quantum.accepted_by} answers for it")
    return Fact(UNKNOWN, f"{said}, and nobody is named in accepted_by who answers for it")


class Said(NamedTuple):
    """What the authorities say to the organisation: prohibitions, and who advises against quantum key distribution."""

    gates: tuple[Gate, ...]
    advisers: tuple[str, ...]


def facts_of(segment: Segment, ground: Ground, said: Said, span: Span, rate: LinkRate | None) -> SegmentFacts:
    """Return the facts of `segment` as the rules want them; what the estate leaves out is unknown."""
    case = segment.quantum
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
        permitted=permitted(said.gates, Technique.QKD),
        psk_permitted=permitted(said.gates, Technique.PSK),
        advice_accepted=_accepted(segment, said.advisers),
        dedicated_optics=_said(
            case.dedicated_optics, "dedicated optics are justified", "dedicated optics are not justified"
        ),
        dark_fibre=_fibre(segment),
        specialised_operation=_said(
            case.specialised_operation,
            "a team is there for the specialised operation",
            "no team is there for the specialised operation",
        ),
        nodes_accepted=_nodes(segment, ground),
        long_shelf_life=_shelf_life(segment, ground),
        rate_meets_demand=_rate_fact(segment, span, rate),
    )
