"""A chain of quantum repeaters: its elementary links, what it is made of, and the rates known in closed form.

Each segment has memories at both ends that emit photons, and a station in the middle that heralds a pair. All segments
are alike and try in rounds: prepare, send to the middle, hear the result. The chain makes one pair, then the next.

Heralding by one click: C. Cabrillo et al., Phys. Rev. A 59, 1025 (1999); by two photons: S. D. Barrett, P. Kok, Phys.
Rev. A 71, 060310 (2005). What is computed here is counted out for threshold detectors with dark counts and photons
that bunch; neither paper was compared with. Waiting times: maximum of geometric variables; for two segments
(3 - 2 p) / (p (2 - p)) as in O. A. Collins et al., Phys. Rev. Lett. 98, 060502 (2007) (unchecked).
"""

from enum import StrEnum
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from scipy.special import comb

from keystrand.model.units import Ratio
from keystrand.qkd.bell_states import dephased, depolarised
from keystrand.qkd.bounds import segments_bound
from keystrand.qkd.channel import Fibre, delay_s, loss_db, transmittance
from keystrand.qkd.decoy import Values

LIMITS = (
    "Pairs are mixtures of Bell states and errors independent: no drift of phases beyond the stated visibility, no "
    "loss or emission of more than one photon by a memory, no errors of purification gates or of the final "
    "measurements, no attack but what shows as noise. Segments are alike, a pair is finished before the next is begun, "
    "and that a cutoff has come is known everywhere at once."
)
MOST_SEGMENTS = 16
_Share = Annotated[float, Meta(gt=0, le=1)]
_Fidelity = Annotated[float, Meta(ge=0.25, le=1)]


class Scheme(StrEnum):
    """How a station heralds a pair: by one photon of each memory, or by one photon of either."""

    TWO_PHOTON = "two-photon"
    SINGLE_CLICK = "single-click"


class Noise(StrEnum):
    """What a memory does to its qubit: any flip, or phase flips only."""

    DEPOLARISING = "depolarising"
    DEPHASING = "dephasing"


class Order(StrEnum):
    """When links are joined: when all are there, by doubling, or one after the other, each at once."""

    TOGETHER = "together"
    NESTED = "nested"
    SEQUENTIAL = "sequential"


class Method(StrEnum):
    """How two pairs become one better pair."""

    BBPSSW = "bbpssw"
    DEJMPS = "dejmps"


class ElementaryLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a segment makes a pair.

    `efficiency` is of one arm without its fibre: emission, coupling, detector. `dark_count` is the probability per
    detector and gate. `bright_share` (alpha) is how often a memory emits in the single-click scheme. `source_fidelity`
    is that of a memory with its photon. `visibility` of the interference turns into phase flips. `parallel_tries`
    share a round, on so many modes.
    """

    scheme: Scheme
    efficiency: _Share
    dark_count: Annotated[float, Meta(ge=0, le=0.1)] = 0.0
    bright_share: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    source_fidelity: _Fidelity = 1.0
    visibility: Ratio = 1.0
    preparation_s: Annotated[float, Meta(gt=0, le=10)] = 1e-6
    parallel_tries: Annotated[int, Meta(ge=1, le=100_000)] = 1


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long pairs live: the share exp(-t / `coherence_s`) is left after t, of both memories of a pair together.

    A pair that waits longer than `cutoff_s` for its partner is thrown away, and the partner's tries with it.
    """

    coherence_s: Annotated[float, Meta(gt=0, le=1e9)]
    noise: Noise = Noise.DEPOLARISING
    cutoff_s: Annotated[float, Meta(gt=0, le=1e9)] | None = None


class Swap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When links are joined, and how well: `success` is 1/2 at most for linear optics, `kept` is what gates and
    readout leave of a pair."""

    order: Order = Order.TOGETHER
    success: _Share = 1.0
    kept: Ratio = 1.0


class Purification(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One round of purification at each of `levels`: 0 for elementary links, k after k doublings."""

    method: Method = Method.DEJMPS
    levels: tuple[Annotated[int, Meta(ge=0, le=4)], ...] = (0,)


class RepeaterChain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chain of `segments` alike; `fibre` is that of one segment, its station in the middle."""

    segments: Annotated[int, Meta(ge=1, le=MOST_SEGMENTS)]
    fibre: Fibre
    link: ElementaryLink
    memory: Memory
    swap: Swap = Swap()
    purification: Purification | None = None

    def __post_init__(self) -> None:
        if self.swap.order is Order.NESTED and self.segments & (self.segments - 1):
            raise ValueError("nested swapping needs 1, 2, 4, 8 or 16 segments")
        levels = self.purification.levels if self.purification else ()
        if len(set(levels)) < len(levels):
            raise ValueError("each level of purification is named once")
        most = self.segments.bit_length() - 1 if self.swap.order is Order.NESTED else 0
        if any(level > most for level in levels):
            raise ValueError(f"this chain can purify at levels 0 to {most}; others need nested swapping")
        if not float(loss_db(self.fibre)) > 0:
            raise ValueError("the fibre must lose something: without loss there is no limit to compare with")


class Heralded(NamedTuple):
    """What one try gives: how likely a herald, and the pair it announces, with weights in the last axis."""

    success: Values
    state: Values


class Expected(NamedTuple):
    """Mean time to a pair in seconds, and the mean share of it that waiting for other links leaves; None: no form."""

    seconds: float
    kept: float | None


def arm_efficiency(chain: RepeaterChain) -> float:
    """Return how likely a photon that a memory should emit clicks at the station."""
    return chain.link.efficiency * float(transmittance(loss_db(chain.fibre) / 2.0))


def heralded(chain: RepeaterChain) -> Heralded:
    """Return one try of one segment on one set of modes, before anything waits."""
    link, eta = chain.link, arm_efficiency(chain)
    made = _single_click(link, eta) if link.scheme is Scheme.SINGLE_CLICK else _two_photon(link, eta)
    success = made.sum()
    state = made / success if success > 0 else np.full(4, 0.25)
    each = (4.0 * link.source_fidelity - 1.0) / 3.0  # w of a memory with its photon; the station joins two of them
    return Heralded(np.asarray(success), dephased(depolarised(state, each**2), link.visibility))


def round_s(chain: RepeaterChain) -> float:
    """Return the duration of a try: preparation, a photon's way to the middle, the result's way back."""
    return chain.link.preparation_s + span_s(chain, 1)


def span_s(chain: RepeaterChain, segments: float) -> float:
    """Return how long light takes through so many segments."""
    return float(delay_s(chain.fibre.length_km * segments))


def round_success(chain: RepeaterChain) -> float:
    """Return how likely a segment has a pair after a round, by any of its parallel tries."""
    one = float(heralded(chain).success)
    return float(-np.expm1(chain.link.parallel_tries * np.log1p(-one)))


def fresh_link(chain: RepeaterChain) -> Values:
    """Return the pair of a segment as its herald arrives; its memories waited for light to go and come."""
    return waited(chain, heralded(chain).state, span_s(chain, 1))


def waited(chain: RepeaterChain, state: Values, seconds: Values | float) -> Values:
    """Return pairs after so many seconds in memory."""
    kept = np.exp(-np.asarray(seconds, dtype=np.float64) / chain.memory.coherence_s)
    return dephased(state, kept) if chain.memory.noise is Noise.DEPHASING else depolarised(state, kept)


def modes(chain: RepeaterChain) -> int:
    """Return the optical modes that a round may use in each segment: the bound holds for each of them."""
    each = 2 if chain.link.scheme is Scheme.TWO_PHOTON else 1
    copies = 2 ** len(chain.purification.levels) if chain.purification else 1
    return each * chain.link.parallel_tries * copies


def bound_bits_per_s(chain: RepeaterChain) -> float:
    """Return what no protocol over these fibres, stations and rounds exceeds, in secret bits per second.

    A station in the middle cuts a segment as a repeater does, so the chain has twice as many parts as segments.
    """
    parts = 2 * chain.segments
    each = float(segments_bound(loss_db(chain.fibre) * chain.segments, parts))
    return each * modes(chain) / round_s(chain)


def expected_rounds(success: float, segments: int) -> float:
    """Return the mean of the largest of `segments` geometric variables, each of mean 1 / `success`."""
    j = np.arange(1, segments + 1)
    failed = -np.expm1(j * np.log1p(-success)) if success < 1 else np.ones(j.size)
    return float((-((-1.0) ** j) * comb(segments, j) / failed).sum())


def expected(chain: RepeaterChain) -> Expected | None:
    """Return what a chain does in closed form, or None where no form is here: purification, nesting of more than two
    segments, a cutoff or failing swaps in sequence, a cutoff of more than two segments together."""
    p, n, step = round_success(chain), chain.segments, round_s(chain)
    if chain.purification or p <= 0:
        return None
    z, news = float(np.exp(-step / chain.memory.coherence_s)), swap_news_s(chain, n)
    if n == 1:
        return Expected(step / p, 1.0)
    if chain.swap.order is Order.SEQUENTIAL:
        sure = chain.memory.cutoff_s is None and chain.swap.success == 1
        return Expected(n * step / p + news, (p * z / (1 - (1 - p) * z)) ** (n - 1)) if sure else None
    if n == 2:
        return _two_segments(chain, p, z)
    if chain.swap.order is Order.NESTED or chain.memory.cutoff_s is not None:
        return None
    return Expected((step * expected_rounds(p, n) + news) / chain.swap.success ** (n - 1), None)


def swap_news_s(chain: RepeaterChain, segments: int) -> float:
    """Return how long the results of swaps are on their way until both ends of `segments` joined ones have them all."""
    return span_s(chain, segments / 2.0 if chain.swap.order is Order.NESTED and segments > 1 else segments - 1.0)


def _two_segments(chain: RepeaterChain, p: float, z: float) -> Expected:
    q, step = 1.0 - p, round_s(chain)
    news, cutoff = swap_news_s(chain, 2), chain.memory.cutoff_s
    most = np.inf if cutoff is None else float(np.floor(cutoff / step * (1 + 1e-12)))
    lasting = 0.0 if most == np.inf else q**most
    in_time = p / (2 - p) * (1 + 2 * q * (1 - lasting) / p)
    kept = p / (2 - p) * (1 + 2 * q * z * (1 - (lasting * z**most if lasting else 0.0)) / (1 - q * z)) / in_time
    # the first link's time, then waiting for the other up to the cutoff, which need not be whole rounds
    waiting = 2 / (2 - p) * q * (1 - lasting) / p
    if cutoff is not None:
        waiting += (1 - in_time) * (cutoff / step - most)
    tries = 1.0 / (in_time * chain.swap.success)
    seconds = step * (1 / (p * (2 - p)) + waiting) * tries + news / chain.swap.success
    return Expected(seconds, kept)


def _single_click(link: ElementaryLink, eta: float) -> Values:
    """Return the weights of heralds by exactly one click: photons bunch, so light meets one detector only."""
    alpha, dark = link.bright_share, link.dark_count
    one, both = 2 * alpha * (1 - alpha) * eta, alpha**2 * eta * (2 - eta)
    unlike, alike = 2 * alpha * (1 - alpha) * (1 - eta), (1 - alpha) ** 2 + (alpha * (1 - eta)) ** 2
    by_dark = 2 * dark
    made = np.array([one, 0.0, both / 2, both / 2]) + by_dark * np.array([unlike, unlike, alike, alike]) / 2
    return np.asarray((1 - dark) * made)


def _two_photon(link: ElementaryLink, eta: float) -> Values:
    """Return the weights of heralds by one click in each of two modes, each of which has two detectors."""
    dark = link.dark_count
    unlike = alike = eta**2 / 2
    noise = 2 * eta * (1 - eta) * 2 * dark + (1 - eta) ** 2 * 4 * dark**2
    made = np.array([unlike, 0.0, 0.0, 0.0]) + 2 * dark * alike * np.array([0.0, 0.0, 0.5, 0.5]) + noise / 4
    return np.asarray((1 - dark) ** 2 * made)
