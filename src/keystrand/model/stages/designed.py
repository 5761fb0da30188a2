"""The topology: where quantum systems, huts, trusted nodes and bypasses go, and which way the keys take."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from keystrand.model.document import Document, Part
from keystrand.model.network import FibreNetwork
from keystrand.model.stages.judged import Assumption
from keystrand.model.units import Count, Ratio


class Range(Part, frozen=True, kw_only=True):
    """An amount that nobody has offered yet: low, likely and high, in thousands of the design's currency."""

    low: float
    likely: float
    high: float


class Tariff(Part, frozen=True, kw_only=True):
    """What things cost, in thousands of `currency`. `pair`: a transmitter and a receiver; the others are each.

    A trusted node at a place costs `node`, and what its access adds: `unstaffed` or `foreign`. Fibre is for a km.
    """

    currency: str
    source: str
    verification: str
    pair: Range
    hut: Range
    node: Range
    unstaffed: Range
    foreign: Range
    fibre_km: Range


class RateModel(StrEnum):
    """How a span's key rate comes from its loss."""

    DECOY = "decoy"
    PLACEHOLDER = "placeholder"


class Optics(Part, frozen=True, kw_only=True):
    """What a span may be: dB added to each for connections and margin, dB for each bypass, the most in all.

    `most_systems`: how many systems may share one fibre.
    """

    rate: RateModel
    added_db: float
    bypass_db: float
    most_db: float
    most_systems: Annotated[int, Meta(ge=1)] = 6


class BuiltLink(Part, frozen=True, kw_only=True):
    """Systems between two places: over one fibre in `spans` spans with huts between, or over several with no stop.

    `bypassed` are the places that the light passes without an end; they see no key. Rates are of all `systems`.
    """

    a: str
    b: str
    fibres: tuple[str, ...]
    bypassed: tuple[str, ...]
    spans: Count
    systems: Count
    span_loss_db: float
    rate_bits_per_s: float


class KeyRoute(Part, frozen=True, kw_only=True):
    """One way that the keys of a need take: places in order, from end to end, and the fibres of each hop."""

    need: str
    places: tuple[str, ...]
    fibres: tuple[tuple[str, ...], ...]


class Unserved(Part, frozen=True, kw_only=True):
    """A need that the design does not serve, and why."""

    need: str
    reason: str
    next_step: str


class Ended(StrEnum):
    """Why the search ended."""

    PROVEN = "proven"
    ROUNDS = "rounds"
    TIME = "time"
    STOPPED = "stopped"


class TopologyDesign(Document, frozen=True, kw_only=True, tag="topology"):
    """A design with its cost and how far from the best it can be at most.

    `cost` is of the design; `likely_cost` was minimised. `bound`: no design that serves the same needs costs less.
    `gap` is what lies between, as a ratio of the cost. `greedy_cost` is what a greedy planner builds for the needs
    that it can serve (`greedy_serves`). `checks` are what a verifier of its own has looked at again.
    """

    network: FibreNetwork
    optics: Optics
    tariff: Tariff
    links: tuple[BuiltLink, ...]
    relays: tuple[str, ...]
    routes: tuple[KeyRoute, ...]
    unserved: tuple[Unserved, ...]
    cost: Range
    bound: float
    gap: Ratio
    greedy_cost: float
    greedy_serves: Count
    ended: Ended
    solver: str
    checks: tuple[str, ...]
    assumptions: tuple[Assumption, ...]
