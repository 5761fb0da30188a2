"""What the fibre allows: the worst span of a segment, and the key rate the link model gives on it."""

from functools import lru_cache
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

PLANNING_HOP_KM = 70.0
"""What networks in service plan with: China's has 10,103 km over 144 links, 70 km a link; its Beijing-Shanghai trunk
2,032 km over 32, 64 km (DFN Win-Labor; two public sources). A vendor's greatest distance is no planning distance."""
RATE_MARGIN = 2.0
"""The modelled rate must be this many times the demand: ageing, repairs of the fibre, finite blocks. Assumed."""
COEXISTENCE_MARGIN = 10.0
"""The same on a lit fibre, where neighbours' light scatters into the quantum channel (Raman). Assumed: measure it."""


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


@lru_cache(maxsize=4096)
def most_loss_db(needed_bits_per_s: float) -> float:
    """Return the greatest loss in dB, to 0.01, on which the model still gives `needed_bits_per_s`; 0 where none does.

    The modelled rate falls with the loss, so halving the interval finds it.
    """
    low, high = 0.0, MOST_LOSS_DB
    while high - low > 0.005:
        middle = (low + high) / 2
        enough = rate(PLANNING_1GHZ.at(middle)).secret_key_rate_bits_per_s >= needed_bits_per_s
        low, high = (middle, high) if enough else (low, middle)
    return round(low, 2) if low > 0.01 else 0.0
