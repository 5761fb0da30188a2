"""What the fibre allows: the worst span of a segment, and the key rate the link model gives on it."""

from itertools import pairwise
from typing import NamedTuple, get_args

from keystrand.formats.estate_checks import great_circle_km
from keystrand.model.estate import Segment, Site
from keystrand.model.link import LinkRate
from keystrand.model.units import Decibels
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

MOST_LOSS_DB: float = get_args(Decibels)[1].le
"""Beyond it no document can say the loss, and no photon arrives: one in 10^20."""


class Span(NamedTuple):
    """The span of a segment with the most loss, in km and dB; `how` says how the segment was split."""

    length_km: float
    loss_db: float
    how: str


def worst_span(segment: Segment, sites: dict[str, Site]) -> Span:
    """Return the span with the most loss. Loss is shared out by length, and length by the distance between sites.

    Sites that all stand in one place share the length evenly.
    """
    if segment.spans == 1:
        return Span(segment.length_km, segment.total_loss_db, "one span")
    stops = [sites[name] for name in (segment.a, *segment.via, segment.b)]
    distances = [great_circle_km(one, two) for one, two in pairwise(stops)]
    total = sum(distances)
    share, how = (
        (max(distances) / total, "by the distance between its sites") if total else (1 / segment.spans, "evenly")
    )
    return Span(share * segment.length_km, share * segment.total_loss_db, f"{segment.spans} spans, split {how}")


def modelled_rate(span: Span) -> LinkRate | None:
    """Return what the planning hardware gives on `span`; None where no loss is known or it is beyond any link."""
    if not 0 < span.loss_db <= MOST_LOSS_DB:
        return None
    return rate(PLANNING_1GHZ.at(span.loss_db))
