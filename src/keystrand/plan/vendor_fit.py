"""What a vendor's figures mean on the fibres of the estate: reach with a margin, and key rate at the segment's loss."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from keystrand.formats.vendor_answers import answer_text
from keystrand.formats.wording import two_figures
from keystrand.model.estate import Segment, Site
from keystrand.model.link import LinkRate
from keystrand.model.units import Answer, Interval
from keystrand.model.vendor import Requirement, VendorAnswer
from keystrand.plan.physics import MOST_LOSS_DB, Span, modelled_rate, worst_span

MARGIN_DB = 3.0
"""Loss kept free for ageing, repairs and connectors: half the light. Assumed; the largest distance plans nothing."""
DOUBT_RATIO = 10.0
"""Other hardware than the planning model's explains a few times its rate, and not ten: assumed."""


class Stretch(NamedTuple):
    """A segment to be served: its worst span, the keys it needs (0: not said), and the model's rate there."""

    segment: str
    span: Span
    demand_bits_per_s: float
    modelled: LinkRate | None


def stretch_of(segment: Segment, sites: dict[str, Site]) -> Stretch:
    """Return what a quantum link on `segment` has to bridge and to give."""
    span = worst_span(segment, sites)
    return Stretch(segment.id, span, segment.key_demand_bits_per_s, modelled_rate(span))


def amounts(answer: VendorAnswer, asked: Requirement) -> Interval:
    """Return a quantity's range in the requirement's first unit."""
    factor = asked.units[answer.unit or asked.unit]
    low = float(answer.value) * factor
    return Interval(low=low, high=low if answer.up_to is None else answer.up_to * factor)


class Fits(NamedTuple):
    """A verdict and its reason."""

    answer: Answer
    reason: str


def reach(stretch: Stretch, answer: VendorAnswer | None, asked: Requirement) -> Fits:
    """Return whether the reach said is enough for the worst span, with the margin to be sure."""
    loss, margin = stretch.span.loss_db, f"{MARGIN_DB:g} dB of margin"
    if not loss:
        return Fits(Answer.UNKNOWN, "the loss of the fibre is not known")
    if answer is None:
        return Fits(Answer.UNKNOWN, "the reach is not said")
    said = amounts(answer, asked)
    reaches = (
        f"{answer_text(answer)} ({two_figures(said.low)} {asked.unit})"
        if answer.unit != asked.unit
        else answer_text(answer)
    )
    if said.low >= loss + MARGIN_DB:
        return Fits(Answer.YES, f"{reaches} reaches {loss:.3g} dB with {margin}")
    if said.high < loss:
        return Fits(Answer.NO, f"{reaches} does not reach {loss:.3g} dB")
    return Fits(Answer.UNKNOWN, f"{reaches} reaches {loss:.3g} dB without {margin} at best")


def key_rate(stretch: Stretch, points: Sequence[VendorAnswer], asked: Requirement) -> Fits:
    """Return whether the rates said, each at its loss, give what the segment needs at its own loss.

    A rate never grows with loss: what is said at more loss is a lower bound, at less loss an upper one. Between them
    our model carries the rates over. It models other hardware, so it says yes only with `DOUBT_RATIO` to spare, never
    no.
    """
    loss, needed = stretch.span.loss_db, stretch.demand_bits_per_s
    if missing := _missing(stretch, points):
        return Fits(Answer.UNKNOWN, missing)
    wanted = f"{two_figures(needed)} bit/s are needed at {loss:.3g} dB"
    said = [(point.at or 0.0, amounts(point, asked)) for point in points]
    sure = max((amount.low for at, amount in said if at >= loss), default=0.0)
    most = min((amount.high for at, amount in said if at <= loss), default=math.inf)
    if sure >= needed:
        return Fits(Answer.YES, f"{two_figures(sure)} bit/s are said at as much loss or more; {wanted}")
    if most < needed:
        return Fits(Answer.NO, f"no more than {two_figures(most)} bit/s are said at as little loss or less; {wanted}")
    carried = [value for at, amount in said if at < loss and (value := _carried(amount.low, at, stretch)) is not None]
    if not carried:
        return Fits(Answer.UNKNOWN, f"no rate is said that our model can carry over; {wanted}")
    reason = f"carried over by our model, the rates said give {_span_text(min(carried), max(carried))} bit/s; {wanted}"
    return Fits(Answer.YES if min(carried) >= DOUBT_RATIO * needed else Answer.UNKNOWN, reason)


def _missing(stretch: Stretch, points: Sequence[VendorAnswer]) -> str:
    if not points:
        return "the key rate is not said"
    if not stretch.span.loss_db:
        return "the loss of the fibre is not known"
    return "" if stretch.demand_bits_per_s else "the demand for keys is not stated"


def _span_text(low: float, high: float) -> str:
    ends = dict.fromkeys((two_figures(low), two_figures(high)))
    return " to ".join(ends)


def _at(loss_db: float) -> float:
    """Return the planning model's rate at a loss in bit/s; 0 where there is none."""
    made = modelled_rate(Span(0.0, min(loss_db, MOST_LOSS_DB), "one span"))
    return made.secret_key_rate_bits_per_s if made else 0.0


def _carried(rate: float, at: float, stretch: Stretch) -> float | None:
    """Return a rate at one loss carried over to the segment's by the model; None where the model says nothing there."""
    there = _at(at)
    here = stretch.modelled.secret_key_rate_bits_per_s if stretch.modelled else 0.0
    return rate * here / there if there > 0 else None


def doubts(points: Sequence[VendorAnswer], asked: Requirement) -> list[str]:
    """Return a question for each rate far above the planning model's at its loss, and where rates grow with loss."""
    found = []
    rising = sorted(points, key=lambda point: point.at or 0.0)
    for near, far in pairwise(rising):
        if amounts(near, asked).high < amounts(far, asked).low and near.at != far.at:
            found.append(
                f"{asked.id}: {answer_text(far)} at {far.at:g} dB is more than {answer_text(near)} at {near.at:g} dB: "
                "do both belong to the same device and setting?"
            )
    for point in points:
        made, claimed = _at(point.at or 0.0), amounts(point, asked).high
        if made > 0 and claimed > DOUBT_RATIO * made:
            found.append(
                f"{asked.id}: {answer_text(point)} at {point.at:g} dB is {two_figures(claimed / made)} times what our "
                "model of planning hardware gives: under which conditions, and with which security parameter?"
            )
    return found
