"""Vendors compared on the organisation's own segments, weights and must-haves. Ranges and ranks, never one figure."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from keystrand.formats.wording import counted, joined
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.observation import Outcome
from keystrand.model.stages import Approach, Assumption, PilotReport, Plan
from keystrand.model.stages.compared import (
    AnswerWorth,
    SegmentFit,
    Standing,
    VendorComparison,
    VendorResult,
)
from keystrand.model.units import Interval
from keystrand.model.vendor import Against, EvidenceLevel, Gate, Requirement, VendorSheet
from keystrand.plan import vendor_weights
from keystrand.plan.vendor_fit import DOUBT_RATIO, MARGIN_DB, Fits, Stretch, doubts, key_rate, reach, stretch_of
from keystrand.plan.vendor_gates import gate_result, standing
from keystrand.plan.vendor_pilot import Shown, shown_by
from keystrand.plan.vendor_worth import DISCOUNT, Evidence, answer_worth, evidence
from keystrand.qkd.decoy import MODEL, SOURCE
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

_QUANTUM = (Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE, Approach.HYBRID)


class Asked(NamedTuple):
    """What every vendor is asked, what counts how much (by id), and what is a must-have."""

    requirements: Mapping[str, Requirement]
    weights: Mapping[str, float]
    gates: tuple[Gate, ...]


class Grounds(NamedTuple):
    """What vendors are judged on: the estate, and the plan and the pilot where there are such."""

    estate: Estate
    plan: Plan | None = None
    pilot: PilotReport | None = None


class _Judged(NamedTuple):
    """One vendor's result, and its worths in the order of the requirements."""

    result: VendorResult
    raw: tuple[Interval, ...]
    supported: tuple[Interval, ...]


def compare_vendors(
    grounds: Grounds,
    sheets: Sequence[VendorSheet],
    asked: Asked,
    *,
    as_of: date,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
) -> VendorComparison:
    """Return the comparison of `sheets`. Segments are those where the plan chose a quantum link; without it, all.

    Raises `InvalidInput` where there is no sheet, or prices cannot be compared.
    """
    if not sheets:
        raise InvalidInput("no vendor to compare", hint="write a sheet with: keystrand plan vendors sheet ID DIR")
    _require_one_price_form(sheets)
    stretches, which = _stretches(grounds.estate, grounds.plan)
    judged = {sheet.id: _judge(sheet, asked, stretches, grounds.pilot) for sheet in sheets}
    inside = {name: one for name, one in judged.items() if one.result.standing is not Standing.OUT}
    order = vendor_weights.order_of({name: one.result.supported.low for name, one in inside.items()})
    return VendorComparison(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=vendor_weights.SEED,
        coverage=_coverage(judged),
        segments_judged=None if grounds.plan is None else len(stretches),
        vendors=_results(judged, order, asked),
        weight_change=vendor_weights.WEIGHT_CHANGE,
        draws=vendor_weights.DRAWS,
        assumptions=_assumptions(which),
        **(_sensitivity(judged, order, asked) if order else {"first": None, "weights": (), "swaps": ()}),
    )


def _require_one_price_form(sheets: Sequence[VendorSheet]) -> None:
    prices = [sheet.price for sheet in sheets if sheet.price]
    for name, found in (
        ("currencies", {price.currency for price in prices}),
        ("things", {price.per for price in prices}),
    ):
        if len(found) > 1:
            named = joined(sorted(map(repr, found)))
            hint = "give each sheet's [price] in the same currency and for the same `per`"
            raise InvalidInput(f"the prices of the vendors are for different {name}: {named}", hint=hint)


def _stretches(estate: Estate, plan: Plan | None) -> tuple[list[Stretch], str]:
    sites = {site.id: site for site in estate.site}
    if plan is None:
        return [stretch_of(one, sites) for one in estate.segment], "every segment of the estate: there is no plan yet"
    chosen = {decision.segment for decision in plan.decisions if decision.chosen in _QUANTUM}
    found = [stretch_of(one, sites) for one in estate.segment if one.id in chosen]
    return found, f"{counted(len(found), 'segment')} for which the plan chose a quantum link"


def _judge(sheet: VendorSheet, asked: Asked, stretches: Sequence[Stretch], pilot: PilotReport | None) -> _Judged:
    shown = shown_by(pilot, sheet, asked.requirements.values())
    found = {
        name: evidence(one, [a for a in (*sheet.answer, *shown.answers) if a.requirement == name])
        for name, one in asked.requirements.items()
    }
    fits = {name: _fits(one, found[name], stretches) for name, one in asked.requirements.items()}
    worths = [answer_worth(one, found[name], fits[name]) for name, one in asked.requirements.items()]
    gates = tuple(
        gate_result(gate, asked.requirements[gate.requirement], found[gate.requirement].best, fits[gate.requirement])
        for gate in asked.gates
    )
    raw, supported = tuple(one.raw for one in worths), tuple(one.supported for one in worths)
    weights = list(asked.weights.values())
    result = VendorResult(
        vendor=sheet.id,
        name=sheet.name,
        offer=sheet.offer,
        standing=standing(gates),
        gates=gates,
        raw=_score(weights, raw),
        supported=_score(weights, supported),
        best_rank=None,
        worst_rank=None,
        first_ratio=None,
        price=sheet.price,
        beaten_by=(),
        answers=tuple(worths),
        segments=_segments(asked, fits, stretches),
        questions=_questions(worths, found, asked),
        notes=_notes(sheet, shown, found),
    )
    return _Judged(result, raw, supported)


def _fits(asked: Requirement, found: Evidence, stretches: Sequence[Stretch]) -> list[Fits]:
    """Return the verdict on every segment for a requirement that is judged there."""
    if asked.against is Against.REACH:
        return [reach(stretch, found.best, asked) for stretch in stretches]
    if asked.against is Against.KEY_RATE:
        return [key_rate(stretch, found.answers, asked) for stretch in stretches]
    return []


def _segments(asked: Asked, fits: Mapping[str, Sequence[Fits]], stretches: Sequence[Stretch]) -> tuple[SegmentFit, ...]:
    return tuple(
        SegmentFit(requirement=name, segment=stretch.segment, loss_db=round(stretch.span.loss_db, 3),
                   length_km=round(stretch.span.length_km, 3), enough=one.answer, reason=one.reason)
        for name, requirement in asked.requirements.items()
        if requirement.against is not None
        for stretch, one in zip(stretches, fits[name], strict=True)
    )  # fmt: skip


def _score(weights: Sequence[float], worths: Sequence[Interval]) -> Interval:
    total = sum(weights)
    low = sum(w * one.low for w, one in zip(weights, worths, strict=True)) / total
    high = sum(w * one.high for w, one in zip(weights, worths, strict=True)) / total
    return Interval(low=round(low, 6), high=round(max(low, high), 6))


def _questions(worths: Sequence[AnswerWorth], found: Mapping[str, Evidence], asked: Asked) -> tuple[str, ...]:
    rates = [name for name, one in asked.requirements.items() if one.against is Against.KEY_RATE]
    doubted = [doubt for name in rates for doubt in doubts(found[name].answers, asked.requirements[name])]
    return (*(f"{one.requirement}: {one.question}" for one in worths if one.question), *doubted)


def _notes(sheet: VendorSheet, shown: Shown, found: Mapping[str, Evidence]) -> tuple[str, ...]:
    own = (sheet.note,) if sheet.note else ()
    return (*own, *shown.notes, *(note for one in found.values() for note in one.notes))


def _results(judged: Mapping[str, _Judged], order: Sequence[str], asked: Asked) -> tuple[VendorResult, ...]:
    """Return the results in order, those that are out last, with what depends on who else is compared."""
    inside = {name: judged[name] for name in order}
    ranks = vendor_weights.ranks({name: one.result.supported for name, one in inside.items()})
    first = vendor_weights.first_ratios(asked.weights, {name: one.supported for name, one in inside.items()})
    placed = [
        replace(
            one.result,
            best_rank=ranks[name][0],
            worst_rank=ranks[name][1],
            first_ratio=first[name],
            beaten_by=tuple(rival for rival in order if rival != name and _beats(inside[rival].result, one.result)),
        )
        for name, one in inside.items()
    ]
    return (*placed, *(one.result for name, one in sorted(judged.items()) if name not in inside))


def _beats(rival: VendorResult, other: VendorResult) -> bool:
    """Return whether `rival` is surely no dearer and surely no less proven, and surely better in one of the two."""
    if rival.price is None or other.price is None:
        return False
    cheaper = other.price.low - rival.price.high
    safer = rival.supported.low - other.supported.high
    return min(cheaper, safer) >= 0 and max(cheaper, safer) > 0


def _sensitivity(judged: Mapping[str, _Judged], order: Sequence[str], asked: Asked) -> dict[str, Any]:
    """Return how far the order rests on the weights: taken on what the evidence supports today."""
    worths = {name: [one.low for one in judged[name].supported] for name in order}
    lead = judged[order[0]].result.supported.low - judged[order[1]].result.supported.low if len(order) > 1 else 0.0
    first = order[0] if len(order) == 1 or lead > vendor_weights.TIE else None
    ranges = vendor_weights.weight_ranges(asked.weights, worths, first) if first and len(order) > 1 else []
    return {
        "first": first,
        "weights": tuple(ranges),
        "swaps": tuple(vendor_weights.swaps(asked.weights, worths, order)),
    }


def _coverage(judged: Mapping[str, _Judged]) -> Coverage:
    answers = [(name, answer) for name, one in judged.items() for answer in one.result.answers]
    gaps = tuple(
        Gap(what=f"{name}: {answer.requirement}", outcome=Outcome.NONE, reason=answer.question)
        for name, answer in answers
        if answer.level is None
    )
    return Coverage(unit="answer", looked_at=len(answers), answered=len(answers) - len(gaps), gaps=gaps)


def _assumptions(which: str) -> tuple[Assumption, ...]:
    ours = "assumed by keystrand"
    discount = ", ".join(f"{level} {share:g}" for level, share in DISCOUNT.items())
    open_question = f"worth 0 to 1 as said; as proven, 0 to what a claim is worth ({DISCOUNT[EvidenceLevel.CLAIMED]:g})"
    return (
        Assumption(name="segments judged", value=which, source="plan" if "plan chose" in which else "estate"),
        Assumption(name="what an answer counts by its evidence", value=discount, source="convention of keystrand"),
        Assumption(name="an open question", value=open_question, source="convention of keystrand"),
        Assumption(name="margin on the loss of a fibre, in dB", value=f"{MARGIN_DB:g}", source=ours),
        Assumption(
            name="other hardware gives at most so many times the rate of the model",
            value=f"{DOUBT_RATIO:g}",
            source=ours,
        ),
        Assumption(name="link model", value=MODEL, source=SOURCE),
        Assumption(name="hardware of the model", value=PLANNING_1GHZ.name, source=PLANNING_1GHZ.source),
    )
