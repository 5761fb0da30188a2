"""What a pilot showed of a vendor, as answers of their own. A modelled link shows nothing of anybody's hardware."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

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
    results = {result.name: result for result in pilot.scorecard}
    answers = tuple(
        answer
        for asked in requirements
        if (result := results.get(asked.pilot_criterion or "")) is not None
        for answer in _answers(pilot, asked, result)
    )
    return Shown(answers, (f"the pilot {pilot.pilot} answers {len(answers)} of the questions",))


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
