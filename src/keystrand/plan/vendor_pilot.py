"""What a pilot showed of a vendor, as answers of their own. A modelled link shows nothing of anybody's hardware."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from msgspec.structs import replace

from keystrand.formats.wording import plain_number
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.vendor import AnswerKind, EvidenceLevel, Requirement, VendorAnswer, VendorSheet


class Shown(NamedTuple):
    """The answers that a pilot gives for a vendor, and what to say about it."""

    answers: tuple[VendorAnswer, ...] = ()
    notes: tuple[str, ...] = ()


def shown_by(pilot: PilotReport | None, sheet: VendorSheet, requirements: Iterable[Requirement]) -> Shown:
    """Return what `pilot` demonstrates of the vendor: nothing on other equipment, or on a modelled link."""
    if pilot is None or pilot.pilot not in sheet.pilots:
        return Shown()
    if pilot.secret_key_rate.simulated:
        return Shown(
            notes=(f"the pilot {pilot.pilot} ran on a modelled link: it shows nothing of this vendor's devices",)
        )
    answers = tuple(
        answer
        for asked in requirements
        if (result := _together([one for one in pilot.scorecard if one.name == asked.pilot_criterion])) is not None
        for answer in _answers(pilot, asked, result)
    )
    return Shown(answers, (f"the pilot {pilot.pilot} answers {len(answers)} of the questions",))


def _together(results: list[CriterionResult]) -> CriterionResult | None:
    """Return what was measured for several consumers as one: the whole range, and the worst state among them.

    A consumer for which it was not measured says nothing of the vendor's devices.
    """
    told = [one for one in results if one.state is not CriterionState.NOT_MEASURED] or results[:1]
    if not told:
        return None
    worst = next((one for one in told if one.state is CriterionState.MISSED), told[0])
    seen = [one.measured for one in told if one.measured is not None and one.measured.sample_size]
    if not seen or len({one.unit for one in seen}) > 1:
        return worst
    whole = replace(
        seen[0], low=min(one.low for one in seen), high=max(one.high for one in seen),
        sample_size=sum(one.sample_size for one in seen), simulated=any(one.simulated for one in seen),
    )  # fmt: skip
    return replace(worst, measured=whole)


def _answers(pilot: PilotReport, asked: Requirement, result: CriterionResult) -> Iterator[VendorAnswer]:
    """Yield the answer in `result`: the range measured, or whether the goal was met: `partly` if it works slowly."""
    source = f"our pilot {pilot.pilot} on {pilot.segment}: {result.name}, goal {result.goal}, {result.state}"[:400]
    day: date = pilot.as_of
    if asked.kind is AnswerKind.QUANTITY:
        measured = result.measured
        if measured is None or not measured.sample_size or measured.simulated or measured.unit not in asked.units:
            return
        yield VendorAnswer(
            requirement=asked.id, value=_rounded(measured.low), up_to=_rounded(measured.high), unit=measured.unit,
            at=pilot.rate.parameters.channel_loss_db if asked.condition == "dB" else None,
            level=EvidenceLevel.DEMONSTRATED, day=day, source=source,
        )  # fmt: skip
    elif result.state is not CriterionState.NOT_MEASURED and asked.kind is AnswerKind.YES_NO:
        said = "yes" if result.state is CriterionState.MET else "partly" if result.measured else "no"
        yield VendorAnswer(requirement=asked.id, value=said, level=EvidenceLevel.DEMONSTRATED, day=day, source=source)


def _rounded(value: float) -> float:
    """Return a measured value to three figures: more is noise."""
    return float(plain_number(value, 3).replace(",", ""))
