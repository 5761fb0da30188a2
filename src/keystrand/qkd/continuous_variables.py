"""Secret key rate of continuous-variable QKD: Gaussian-modulated coherent states (GG02), reverse reconciliation.

Asymptotic rate against collective attacks with a trusted receiver: J. Lodewyck et al., Phys. Rev. A 76, 042305
(2007) for homodyne; heterodyne form of S. Fossier et al., J. Phys. B 42, 114014 (2009; citation unchecked). Finite
size: A. Leverrier, F. Grosshans, P. Grangier, Phys. Rev. A 81, 062343 (2010). Variances are in shot-noise units.

Caveats. The correction for finite size is for collective attacks and Gaussian estimates, is no composable proof, and
its leading constant 7 is taken for homodyne and heterodyne alike, which is unchecked for heterodyne. No published row
of finite size was compared with. Excess noise has two parts, since one that is constant at the channel's input gives
a link without a longest distance.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, xlogy

from keystrand.qkd.decoy import Values

MODEL = "Gaussian-modulated coherent states, reverse reconciliation, trusted receiver, collective attacks"
SOURCE = "Lodewyck et al., Phys. Rev. A 76, 042305 (2007); Leverrier et al., Phys. Rev. A 81, 062343 (2010)"
_ROUNDING = 1024 * float(np.finfo(np.float64).eps)
"""Of the entropies, in bits per unit of variance: taken off the rate, so that rounding never makes key."""


class ContinuousVariableParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Variances in shot-noise units; the excess noise at the channel's input is xi = source + receiver / (eta T)."""

    modulation_variance: Annotated[float, Meta(ge=0.01, le=1e6)]
    source_excess_noise: Annotated[float, Meta(ge=0, le=10)]
    receiver_excess_noise: Annotated[float, Meta(ge=0, le=10)]
    receiver_efficiency: Annotated[float, Meta(gt=0, le=1)]
    electronic_noise: Annotated[float, Meta(ge=0, le=10)]
    reconciliation_efficiency: Annotated[float, Meta(ge=0, le=1)]
    detection: Literal["homodyne", "heterodyne"]


class Information(NamedTuple):
    """Bits per symbol: what Alice and Bob share, and the most that Eve knows of Bob's (Holevo)."""

    shared: Values
    eve: Values


def transmittance(loss_db: ArrayLike) -> Values:
    """Return T of a channel of `loss_db`, without the receiver."""
    return np.asarray(10.0 ** (-np.asarray(loss_db, dtype=np.float64) / 10.0))


def excess_noise(link: ContinuousVariableParameters, loss_db: ArrayLike) -> Values:
    """Return xi at the channel's input: what the source adds, and what the receiver adds referred back to it."""
    seen_share = link.receiver_efficiency * transmittance(loss_db)
    return np.asarray(link.source_excess_noise + link.receiver_excess_noise / seen_share)


def information(link: ContinuousVariableParameters, transmitted: ArrayLike, excess: ArrayLike) -> Information:
    """Return the information at transmittance T in (0, 1] and excess noise xi at the input. Broadcasts like NumPy."""
    t, xi = np.asarray(transmitted, dtype=np.float64), np.asarray(excess, dtype=np.float64)
    v, line, receiver = link.modulation_variance + 1.0, 1.0 / t - 1.0 + xi, _receiver_noise(link)
    total = line + receiver / t
    quadratures = 0.5 if link.detection == "homodyne" else 1.0
    shared = quadratures * np.log1p(link.modulation_variance / (1.0 + total)) / np.log(2.0)
    before = _before(v, t, line)
    after = _after(link, v, t, line)
    return Information(shared, np.maximum(sum(map(_entropy, before)) - sum(map(_entropy, after)), 0.0))


def secret_fraction(link: ContinuousVariableParameters, loss_db: ArrayLike) -> Values:
    """Return secret bits per symbol (one optical mode) after `loss_db`, infinitely long keys, never below 0."""
    known = information(link, transmittance(loss_db), excess_noise(link, loss_db))
    return np.maximum(link.reconciliation_efficiency * known.shared - known.eve - _rounding(link), 0.0)


def finite_secret_fraction(
    link: ContinuousVariableParameters,
    loss_db: ArrayLike,
    *,
    symbols: ArrayLike,
    estimation_share: float = 0.5,
    failure: float = 1e-10,
) -> Values:
    """Return secret bits per symbol sent, of which `estimation_share` only estimate the channel; Leverrier (2010).

    `failure` is the probability that the worst case does not hold, for each estimate and for the smoothing alike.
    Raises `ValueError` unless both ratios lie between 0 and 1 and there is at least one symbol.
    """
    sent = np.asarray(symbols, dtype=np.float64)
    if not (0 < estimation_share < 1 and 0 < failure < 1 and np.all(sent >= 1)):
        raise ValueError("needs symbols, and an estimation share and a failure probability between 0 and 1")
    t, xi = transmittance(loss_db), excess_noise(link, loss_db)
    worst_t, worst_xi, possible = _worst_channel(link, t, xi, sent * estimation_share, failure)
    kept = sent * (1.0 - estimation_share)
    smoothing = 7.0 * np.sqrt(np.log2(2.0 / failure) / kept)
    shared, eve = information(link, t, xi).shared, information(link, worst_t, worst_xi).eve
    made = link.reconciliation_efficiency * shared - eve - smoothing - _rounding(link)
    return np.where(possible, np.maximum((1.0 - estimation_share) * made, 0.0), 0.0)


def _worst_channel(
    link: ContinuousVariableParameters, t: Values, xi: Values, used: Values, failure: float
) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Return the lowest T, the highest xi and where they exist, from `used` symbols; Leverrier et al. (2010)."""
    split = 1.0 if link.detection == "homodyne" else 2.0  # heterodyne halves the light and measures both quadratures
    sigmas = -ndtri(failure / 2.0)
    slope = np.sqrt(link.receiver_efficiency * t / split)
    quiet = 1.0 + link.electronic_noise
    noise, samples = quiet + slope**2 * xi, used * split
    lowest = slope - sigmas * np.sqrt(noise / (samples * link.modulation_variance))
    possible = lowest > 0
    lowest = np.where(possible, lowest, slope)
    highest = noise * (1.0 + sigmas * np.sqrt(2.0 / samples)) - quiet
    return split * lowest**2 / link.receiver_efficiency, highest / lowest**2, possible


def _receiver_noise(link: ContinuousVariableParameters) -> float:
    eta, electronic = link.receiver_efficiency, link.electronic_noise
    if link.detection == "homodyne":
        return (1.0 - eta + electronic) / eta
    return (2.0 - eta + 2.0 * electronic) / eta


def _before(v: float, t: Values, line: Values) -> tuple[Values, Values]:
    """Return the symplectic eigenvalues of Alice's and Bob's state: (z +- (V - b)) / 2 with b Bob's variance."""
    bob = t * (v + line)
    # z^2 = (V + b)^2 - 4 T (V^2 - 1), as the square of the difference plus what stays: fewer digits are lost
    z = np.sqrt((v - bob) ** 2 + 4.0 * (v * bob - t * (v * v - 1.0)))
    high = (z + np.abs(v - bob)) / 2.0
    return high, t * (v * line + 1.0) / high


def _after(link: ContinuousVariableParameters, v: float, t: Values, line: Values) -> tuple[Values, Values]:
    """Return the two eigenvalues that are left once Bob has measured; the fifth is 1 and holds no entropy."""
    chi = _receiver_noise(link)
    root_b, bob = t * (v * line + 1.0), t * (v + line)
    scale = bob + chi
    a = v * v * (1.0 - 2.0 * t) + 2.0 * t + bob**2
    if link.detection == "homodyne":
        c = (v * root_b + bob + a * chi) / scale
        d = root_b * (v + root_b * chi) / scale
    else:
        c = (a * chi**2 + root_b**2 + 1.0 + 2 * chi * (v * root_b + bob) + 2 * t * (v * v - 1.0)) / scale**2
        d = ((v + root_b * chi) / scale) ** 2
    high = (c + np.sqrt(np.maximum(c * c - 4.0 * d, 0.0))) / 2.0
    return np.sqrt(high), np.sqrt(d / high)


def _entropy(eigenvalue: Values) -> Values:
    """Return G((x - 1) / 2), the entropy in bits of a thermal mode; at least 0, since no eigenvalue is below 1."""
    photons = np.maximum(eigenvalue - 1.0, 0.0) / 2.0
    return np.asarray((xlogy(photons + 1.0, photons + 1.0) - xlogy(photons, photons)) / np.log(2.0))


def _rounding(link: ContinuousVariableParameters) -> float:
    return _ROUNDING * (link.modulation_variance + 1.0)
