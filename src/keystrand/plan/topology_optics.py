"""What spans may be and give: the quantum layer's model with the planning margin, or a formula to compare by."""

from functools import lru_cache

from keystrand.model.stages.designed import Optics, RateModel
from keystrand.plan.physics import RATE_MARGIN, Span, modelled_rate
from keystrand.plan.topology_links import Rate
from keystrand.qkd.decoy import MODEL
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

FIBRE_DB_PER_KM = 0.22
"""A fibre of which only the length is known: cables in service have 0.2 to 0.25 dB/km at 1550 nm. Assumed."""
MOST_SPAN_DB = 24.0
"""No span is planned with more, whatever a device may reach in a laboratory. Assumed."""
BYPASS_DB = 1.5
"""Filters and connections where light passes a place without an end. Assumed."""
CONNECTION_DB = 1.0
"""Connections at both ends, where the loss is reckoned from the length alone. Assumed."""
_LEAST_DB = 0.01
"""Within one building; the model wants some loss."""
_PLACEHOLDER_BITS_PER_S = 2.5e6


def optics_of(rate: RateModel, *, measured: bool, most_systems: int = 6) -> Optics:
    """Return the rules for spans. `measured`: the fibres' losses are from end to end, connections included."""
    added = 0.0 if measured else CONNECTION_DB
    return Optics(rate=rate, added_db=added, bypass_db=BYPASS_DB, most_db=MOST_SPAN_DB, most_systems=most_systems)


def rate_of(model: RateModel) -> Rate:
    """Return bit/s by loss in dB."""
    return _decoy if model is RateModel.DECOY else _placeholder


def words_of(model: RateModel) -> tuple[str, str]:
    """Return what gives the rate, and where that comes from."""
    if model is RateModel.DECOY:
        return f"{MODEL}, a {RATE_MARGIN:g}th of it as a margin; simulated, not measured", PLANNING_1GHZ.source
    return "2.5 Mbit/s times ten to the minus tenth of the loss in dB; a placeholder", "keystrand, to compare planners"


@lru_cache(maxsize=4096)
def _decoy(loss_db: float) -> float:
    found = modelled_rate(Span(0.0, max(loss_db, _LEAST_DB), "one span"))
    return found.secret_key_rate_bits_per_s / RATE_MARGIN if found else 0.0


def _placeholder(loss_db: float) -> float:
    return float(_PLACEHOLDER_BITS_PER_S * 10 ** (-loss_db / 10))
