"""Timing jitter of detectors against the gate window: what falls into the pulse's own gate, and what into others.

A detection is noted with an error: a Gaussian part, and an exponential tail behind it, in which a share of the
detections lies (carriers that diffuse before the avalanche starts). A Gaussian alone does not explain the errors of E.
Diamanti, H. Takesue, C. Langrock, M. M. Fejer, Y. Yamamoto, Opt. Express 14, 13073 (2006), at 1 GHz: said by a second
source; of the paper itself only the abstract was seen. The density is (1 - s) N(0, sigma) + s N(0, sigma) * Exp(tau),
the second term the exponentially modified Gaussian.
"""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct
from scipy.special import erfcx, ndtr

from keystrand.model.units import Ratio
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values

_Picoseconds = Annotated[float, Meta(ge=0, le=1e6)]
NEIGHBOURS = 64
"""Gates looked at on each side; the tail of all further ones is counted into the last."""
LEAST_PS = 1e-3
"""A shorter time is none: no detector is timed to a femtosecond."""


class Jitter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How precisely a detection is timed, and the gate it must fall into.

    `gaussian_ps` is the standard deviation; `tail_ratio` of the detections come later by `tail_ps` on average. The gate
    of `gate_ps` is centred `offset_ps` after the pulse.
    """

    gaussian_ps: _Picoseconds
    tail_ratio: Ratio = 0.0
    tail_ps: _Picoseconds = 0.0
    gate_ps: Annotated[float, Meta(gt=0, le=1e6)]
    offset_ps: Annotated[float, Meta(ge=-1e6, le=1e6)] = 0.0


class Gated(NamedTuple):
    """Where detections of a pulse fall: into its own gate, into all other gates together, by how many gates later
    (`leaks`, shape (2 x `NEIGHBOURS` + 1,), from -`NEIGHBOURS`), the rest into no gate."""

    own: float
    others: float
    leaks: Values


def gated(jitter: Jitter, pulse_rate_hz: float) -> Gated:
    """Return where the detections of pulses at this rate fall. Raises ValueError where gates would overlap."""
    period_ps = 1e12 / pulse_rate_hz
    if jitter.gate_ps > period_ps * (1 + 1e-9):
        raise ValueError(f"a gate of {jitter.gate_ps:g} ps is longer than the {period_ps:g} ps between pulses")
    centre: Values = jitter.offset_ps + period_ps * np.arange(-NEIGHBOURS, NEIGHBOURS + 1, dtype=np.float64)
    leaks = _before(jitter, centre + jitter.gate_ps / 2) - _before(jitter, centre - jitter.gate_ps / 2)
    beyond = 1.0 - _before(jitter, centre[-1:] + jitter.gate_ps / 2)
    leaks[-1] += float(beyond[0]) * jitter.gate_ps / period_ps
    leaks = np.maximum(leaks, 0.0)
    own = float(leaks[NEIGHBOURS])
    return Gated(own, max(float(leaks.sum()) - own, 0.0), leaks)


def with_jitter(link: Bb84Link, jitter: Jitter) -> Bb84Link:
    """Return the link as its gates see it: less efficient, and with the light of other pulses as background.

    What falls into another pulse's gate has nothing to do with that pulse, so it is background: half on each detector.
    It is taken as the mean over pulses, and beside the gate's own clicks. Dark counts stay, being given by the gate.
    """
    found = gated(jitter, link.transmitter.pulse_rate_hz)
    receiver = link.receiver
    kept = msgspec.structs.replace(receiver, efficiency=receiver.efficiency * found.own)
    stray = -np.expm1(-_mean_detections(link) * found.others)
    background = link.background_ratio + stray - link.background_ratio * stray
    return msgspec.structs.replace(link, receiver=kept, background_ratio=float(background))


def _mean_detections(link: Bb84Link) -> float:
    """Return the detections of photons a pulse, on average."""
    sender = link.transmitter
    return link.photon_efficiency * float(np.dot(sender.intensities, sender.probabilities))


def _before(jitter: Jitter, time_ps: Values) -> Values:
    """Return the share of detections noted before `time_ps`."""
    early = _gaussian(jitter, time_ps)
    if jitter.tail_ps < LEAST_PS:
        return early
    return np.asarray(early - jitter.tail_ratio * _held_back(jitter, time_ps))


def _gaussian(jitter: Jitter, time_ps: Values) -> Values:
    if jitter.gaussian_ps < LEAST_PS:
        return np.where(time_ps >= 0, 1.0, 0.0)
    return np.asarray(ndtr(time_ps / jitter.gaussian_ps))


def _held_back(jitter: Jitter, time_ps: Values) -> Values:
    """Return how far the tail is behind the Gaussian: exp(b^2 / 2 - b z) Phi(z - b), z = t / sigma, b = sigma / tau.

    Two forms, since each of the factors overflows where the other vanishes.
    """
    if jitter.gaussian_ps < LEAST_PS:
        return np.where(time_ps >= 0, np.exp(-np.maximum(time_ps, 0.0) / jitter.tail_ps), 0.0)
    z, b = time_ps / jitter.gaussian_ps, jitter.gaussian_ps / jitter.tail_ps
    late = np.exp(b * (b / 2 - np.maximum(z, b))) * ndtr(z - b)
    return np.asarray(np.where(z > b, late, 0.5 * erfcx((b - np.minimum(z, b)) / np.sqrt(2)) * np.exp(-(z**2) / 2)))
