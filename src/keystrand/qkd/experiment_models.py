"""The models a published experiment can be held against, each as one value with named quantities.

Every model is a struct of parameters; `QUANTITIES` says what it can tell. `with_values` changes parameters by their
dotted names, within their ranges, which is how rows and fits reach them.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from scipy.optimize import brentq

from keystrand.model.link import LinkParameters
from keystrand.model.units import DecibelsPerKm
from keystrand.qkd import cascade, decoy, finite_independent
from keystrand.qkd import continuous_variables as cv
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.cascade_party import reconcile
from keystrand.qkd.continuous_variables import ContinuousVariableParameters
from keystrand.qkd.optimised_setting import Choice, optimise
from keystrand.qkd.planned_key import Block, Planned, expected, planned

_REACH_STEP_KM = 0.01
_MOST_KM = 600.0
_MOST_DB = 90.0
_REACH_STEP_DB = 0.2
_MOST_BITS = 2**24
"""Of all frames: they are drawn at once, at nine bytes a bit."""

Value = float | tuple[float, ...]
"""What a parameter is set to."""


class FiniteBb84(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Finite keys of a decoy-state BB84 link; what is `optimised` is set anew for each row, as an operator would."""

    link: Bb84Link
    block: Block = Block()
    optimised: tuple[Choice, ...] = ()


class IndependentBb84(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Finite keys of a two-decoy BB84 link if all pulses are alike and independent (`finite_independent`)."""

    link: Bb84Link
    block: Block = Block()

    def __post_init__(self) -> None:
        if len(self.link.transmitter.intensities) != 3:
            raise ValueError("this model needs three intensities")


class EndlessBb84(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decoy-state BB84 for infinitely long keys, over fibre."""

    link: LinkParameters
    fibre_db_per_km: DecibelsPerKm = 0.2


class Gaussian(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Continuous variables, infinitely long keys."""

    link: ContinuousVariableParameters
    transmittance: Annotated[float, Meta(gt=0, le=1)]


class CascadeFrames(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our error correction itself, run on `frames` random frames: the same seed, the same frames."""

    frame_bits: Annotated[int, Meta(ge=16, le=2**20)]
    frames: Annotated[int, Meta(ge=1, le=10_000)]
    qber: Annotated[float, Meta(gt=0, le=0.5)]
    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 1

    def __post_init__(self) -> None:
        if self.frame_bits & (self.frame_bits - 1):
            raise ValueError("the bits of a frame must be a power of two")
        if self.frame_bits * self.frames > _MOST_BITS:
            raise ValueError(f"all frames together may have {_MOST_BITS:,} bits at most")


class Capacity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The binary symmetric channel: what no code of `code_rate` exceeds (Shannon 1948)."""

    code_rate: Annotated[float, Meta(gt=0, lt=1)]


Model = FiniteBb84 | IndependentBb84 | EndlessBb84 | Gaussian | CascadeFrames | Capacity
M = TypeVar("M", bound=Struct)


def _plan(model: FiniteBb84) -> Planned:
    if model.optimised:
        return optimise(model.link, model.block, model.optimised).after
    return planned(model.link, model.block)


def _reach_db(model: FiniteBb84) -> float:
    """Return the largest loss with key, to 0.2 dB, found by halving; 0 where there is none."""
    low, high = 0.0, _MOST_DB
    while high - low > _REACH_STEP_DB:
        middle = (low + high) / 2
        keyed = float(_plan(with_values(model, {"link.channel_loss_db": middle})).rate_bits_per_s) > 0
        low, high = (middle, high) if keyed else (low, middle)
    return low


def _background(model: FiniteBb84 | IndependentBb84) -> float:
    """Return the clicks a gate that no photon of this pulse made: dark counts, background, afterpulses."""
    link = model.link
    after = link.receiver.afterpulse_ratio / (1 + link.receiver.afterpulse_ratio)
    seen = expected(link)
    both = link.transmitter.key_basis_ratio * link.receiver.key_basis_ratio
    clicks = float(seen.counts.key.sum() / (both * seen.live))
    return 1 - (1 - link.dark_ratio) ** 2 + after * clicks


def _reach(model: EndlessBb84, *, infinite_decoys: bool) -> float:
    km = np.arange(_REACH_STEP_KM, _MOST_KM, _REACH_STEP_KM)
    made = decoy.secret_fraction(model.link, km * model.fibre_db_per_km, infinite_decoys=infinite_decoys)
    keyed = np.flatnonzero(made > 0)
    return float(km[keyed[-1]]) if keyed.size else 0.0


def _leak_efficiency(model: CascadeFrames) -> float:
    """Return f: the parities disclosed over n h(E) at the error ratio the frames were drawn with, tags left out."""
    draw = np.random.default_rng(model.seed)
    plan = cascade.plan_for(model.qber, model.frame_bits, model.seed)
    sent = draw.integers(0, 2, (model.frames, model.frame_bits), dtype=np.uint8)
    wrong = (draw.random(sent.shape) < model.qber).astype(np.uint8)
    points = draw.integers(1, 2**60, model.frames).tolist()
    corrected, _ = reconcile(plan, sent, sent ^ wrong, points)
    disclosed = sum(one.leak_bits - cascade.TAG_BITS for one in corrected)
    return disclosed / (sent.size * float(decoy.binary_entropy(model.qber)))


QUANTITIES: dict[type[Struct], dict[str, Callable[[Any], float]]] = {
    FiniteBb84: {
        "secret_key_rate_bits_per_s": lambda m: float(_plan(m).rate_bits_per_s),
        "bits_per_pulse": lambda m: float(_plan(m).bits_per_pulse),
        "sifted_rate_bits_per_s": lambda m: float(_plan(m).sifted_bits_per_s),
        "key_qber": lambda m: float(_plan(m).key_qber),
        "test_qber": lambda m: float(_plan(m).test_qber),
        "background_yield": _background,
        "reach_db": _reach_db,
    },
    IndependentBb84: {
        "secret_key_rate_bits_per_s": lambda m: finite_independent.rate_bits_per_s(m.link, m.block),
        "key_qber": lambda m: float(planned(m.link, m.block).key_qber),
        "test_qber": lambda m: float(planned(m.link, m.block).test_qber),
        "background_yield": _background,
    },
    EndlessBb84: {
        "secret_key_rate_bits_per_s": lambda m: decoy.rate(m.link).secret_key_rate_bits_per_s,
        "qber": lambda m: decoy.rate(m.link).qber,
        "reach_km": lambda m: _reach(m, infinite_decoys=False),
        "reach_km_infinite_decoys": lambda m: _reach(m, infinite_decoys=True),
        "best_intensity_infinite_decoys": lambda m: decoy.optimal_signal_intensity(m.link, infinite_decoys=True),
    },
    Gaussian: {
        "shared_bits_per_symbol": lambda m: float(_information(m).shared),
        "eve_bits_per_symbol": lambda m: float(_information(m).eve),
        "bits_per_symbol": lambda m: float(cv.secret_fraction(m.link, _loss_db(m))),
    },
    CascadeFrames: {"leak_efficiency": _leak_efficiency},
    Capacity: {"error_threshold": lambda m: float(brentq(lambda e: _spare(e, m.code_rate), 1e-12, 0.5))},
}
"""What each model can tell, by name; units are in the names, ratios and bits a pulse or symbol have none."""


def quantities(model: Model) -> tuple[str, ...]:
    """Return the names of what the model can tell."""
    return tuple(QUANTITIES[type(model)])


def value_of(model: Model, quantity: str) -> float:
    """Return the model's value of one of its `quantities`."""
    return QUANTITIES[type(model)][quantity](model)


def with_values(model: M, values: Mapping[str, Value]) -> M:
    """Return the model with parameters set by dotted name. Raises ValueError for an unknown name or a value amiss."""
    raw = msgspec.to_builtins(model)
    for name, value in values.items():
        *parents, last = name.split(".")
        inner = raw
        for part in parents:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner or isinstance(inner[last], dict):
            raise ValueError(f"the model has no parameter {name!r}")
        inner[last] = value
    try:
        return msgspec.convert(raw, type(model))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _information(model: Gaussian) -> cv.Information:
    return cv.information(model.link, model.transmittance, cv.excess_noise(model.link, _loss_db(model)))


def _loss_db(model: Gaussian) -> float:
    return float(-10.0 * np.log10(model.transmittance))


def _spare(error: float, code_rate: float) -> float:
    return float(1.0 - decoy.binary_entropy(error)) - code_rate
