"""Secret key rate of decoy-state BB84 with a vacuum and one weak decoy, for infinitely long keys.

Source of every formula: X. Ma, B. Qi, Y. Zhao, H.-K. Lo, "Practical decoy state for quantum key distribution",
Phys. Rev. A 72, 012326 (2005), arXiv:quant-ph/0503005. The gain is used in its exact form, 1 - (1 - Y0) exp(-eta mu),
where the paper drops the product of two small terms; on its own figures the two differ by less than 1e-8.

Two traps of this model are kept out by name: `background_yield` is Y0 of *both* detectors together, not the dark count
probability of one; and a background click is wrong half of the time (`BACKGROUND_ERROR`).

The bound of every protocol without a repeater is that of S. Pirandola et al., Nature Communications 8, 15043 (2017).
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from keystrand.model.link import LinkParameters, LinkRate

Values = NDArray[np.float64]

MODEL = "decoy-state BB84, vacuum and one weak decoy, asymptotic"
SOURCE = "Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005), Eqs. (1), (34), (35), (37)"
BACKGROUND_ERROR = 0.5
"""e0: a click without a photon says nothing about the bit (same paper)."""


class Seen(NamedTuple):
    """What one intensity shows at the receiver: clicks per pulse, and the share of them that is wrong."""

    gain: Values
    qber: Values


class SinglePhotons(NamedTuple):
    """Yield (clicks per one-photon pulse) and error ratio of the one-photon pulses."""

    yield_: Values
    qber: Values


def binary_entropy(ratio: ArrayLike) -> Values:
    """Return h(x) in bits for `ratio` in 0..1; from one half on it stays 1, since a worse channel hides no more."""
    x = np.clip(np.asarray(ratio, dtype=np.float64), 0.0, 0.5)
    inner = np.where(x > 0, x, 0.5)
    return np.where(x > 0, -inner * np.log2(inner) - (1 - inner) * np.log2(1 - inner), 0.0)


def system_efficiency(link: LinkParameters, loss_db: ArrayLike) -> Values:
    """Return eta, the probability that a photon sent into a channel of `loss_db` is detected."""
    return np.asarray(link.receiver_efficiency * 10.0 ** (-np.asarray(loss_db, dtype=np.float64) / 10.0))


def seen(link: LinkParameters, intensity: ArrayLike, loss_db: ArrayLike) -> Seen:
    """Return what pulses of `intensity` photons on average show after `loss_db`; Eqs. (6) to (11), exact form."""
    exponent = -system_efficiency(link, loss_db) * np.asarray(intensity, dtype=np.float64)
    light, background = -np.expm1(exponent), link.background_yield * np.exp(exponent)
    gain = light + background
    return Seen(gain, _ratio(link.misalignment * light + BACKGROUND_ERROR * background, gain))


def true_single_photons(link: LinkParameters, loss_db: ArrayLike) -> SinglePhotons:
    """Return the one-photon yield and error that infinitely many decoys would show; Eqs. (6) to (11), exact form."""
    eta = system_efficiency(link, loss_db)
    click = eta + link.background_yield * (1.0 - eta)
    wrong = link.misalignment * eta + BACKGROUND_ERROR * link.background_yield * (1.0 - eta)
    return SinglePhotons(click, _ratio(wrong, click))


def bounded_single_photons(link: LinkParameters, loss_db: ArrayLike, signal: ArrayLike | None = None) -> SinglePhotons:
    """Return the lower bound of the yield, Eq. (34), and the upper bound of the error, Eq. (37).

    `signal` overrides the link's signal intensity. Where the yield's bound is 0, nothing is known and the error is 1/2.
    """
    mu = np.asarray(link.signal_intensity if signal is None else signal, dtype=np.float64)
    nu, y0 = link.decoy_intensity, link.background_yield
    strong, weak = seen(link, mu, loss_db), seen(link, nu, loss_db)
    ratio = (nu / mu) ** 2
    inner = weak.gain * np.exp(nu) - strong.gain * np.exp(mu) * ratio - (1.0 - ratio) * y0
    single = np.maximum(mu / (mu * nu - nu**2) * inner, 0.0)
    wrong = weak.qber * weak.gain * np.exp(nu) - BACKGROUND_ERROR * y0
    return SinglePhotons(single, np.maximum(_ratio(wrong, single * nu), 0.0))


def secret_fraction(
    link: LinkParameters, loss_db: ArrayLike, *, signal: ArrayLike | None = None, infinite_decoys: bool = False
) -> Values:
    """Return secret bits per pulse after `loss_db`, never below 0; Eqs. (1) and (35). Broadcasts like NumPy."""
    mu = np.asarray(link.signal_intensity if signal is None else signal, dtype=np.float64)
    strong = seen(link, mu, loss_db)
    single = true_single_photons(link, loss_db) if infinite_decoys else bounded_single_photons(link, loss_db, mu)
    single_gain = single.yield_ * mu * np.exp(-mu)
    disclosed = strong.gain * link.correction_efficiency * binary_entropy(strong.qber)
    return np.maximum(link.basis_match * (single_gain * (1.0 - binary_entropy(single.qber)) - disclosed), 0.0)


def repeaterless_bound(loss_db: ArrayLike) -> Values:
    """Return -log2(1 - t) secret bits per pulse, t the channel's transmittance (Pirandola et al. 2017).

    Written so that it stays exact for the smallest loss. `loss_db` must be above 0.
    """
    exponent = -np.asarray(loss_db, dtype=np.float64) * np.log(10.0) / 10.0
    absorbed = -np.expm1(exponent)
    # log(1 - t) from t where t is small, from 1 - t where that is small: each form loses digits at the other end
    small = np.exp(exponent) < 0.5
    return np.asarray(
        -np.where(small, np.log1p(-np.where(small, np.exp(exponent), 0.0)), np.log(absorbed)) / np.log(2.0)
    )


def live_ratio(link: LinkParameters, clicks_per_pulse: ArrayLike) -> Values:
    """Return the share of time the detectors can click: 1 / (1 + click rate x dead time), non-paralysable."""
    clicks_per_s = np.asarray(clicks_per_pulse, dtype=np.float64) * link.pulse_rate_hz
    return np.asarray(1.0 / (1.0 + clicks_per_s * link.dead_time_s))


def rate(parameters: LinkParameters) -> LinkRate:
    """Return what the model says of one link; a simulated value. Nearly all pulses carry the signal intensity."""
    strong = seen(parameters, parameters.signal_intensity, parameters.channel_loss_db)
    live_hz = parameters.pulse_rate_hz * float(live_ratio(parameters, strong.gain))
    return LinkRate(
        model=MODEL,
        source=SOURCE,
        secret_key_rate_bits_per_s=_secret_rate(parameters),
        sifted_rate_bits_per_s=parameters.basis_match * float(strong.gain) * live_hz,
        qber=float(strong.qber),
        limit_bits_per_s=float(repeaterless_bound(parameters.channel_loss_db)) * parameters.pulse_rate_hz,
        limited_by=limited_by(parameters),
        parameters=parameters,
    )


def limited_by(link: LinkParameters) -> str:
    """Return in words what costs the most key: the imperfection whose absence would help most, or else the loss.

    Found by trying: each imperfection is taken away in turn. One that costs less than half of the key is not named.
    """
    base = _secret_rate(link)
    gains = {
        words: _secret_rate(msgspec.structs.replace(link, **{field: 0.0}))
        for field, words in (
            ("background_yield", "dark counts and other background clicks"),
            ("misalignment", "misalignment of the optics"),
            ("dead_time_s", "saturation: the detectors are blind after each click"),
        )
    }
    words, best = max(gains.items(), key=lambda item: item[1])
    if best <= 0.0:
        return "dark counts and misalignment together: no key either way"
    return words if best > 2.0 * base else "loss of the channel"


def optimal_signal_intensity(
    link: LinkParameters, loss_db: float | None = None, *, infinite_decoys: bool = False
) -> float:
    """Return the signal intensity with the most key at `loss_db` (the link's own by default), to 0.001 photons.

    The decoy stays as given: for long keys the rate only grows as it gets weaker (same paper), so its
    size is set by statistics that this model leaves out. Where no intensity gives key, the link's own is returned.
    """
    loss = link.channel_loss_db if loss_db is None else loss_db
    grid = np.arange(0.001, 1.5, 0.001)
    grid = grid[grid > link.decoy_intensity]
    made = secret_fraction(link, loss, signal=grid, infinite_decoys=infinite_decoys)
    return float(np.round(grid[np.argmax(made)], 3)) if np.any(made > 0) else link.signal_intensity


def _secret_rate(link: LinkParameters) -> float:
    gain = seen(link, link.signal_intensity, link.channel_loss_db).gain
    per_pulse = float(secret_fraction(link, link.channel_loss_db))
    return per_pulse * link.pulse_rate_hz * float(live_ratio(link, gain))


def _ratio(part: Values, whole: Values) -> Values:
    """Return the error ratio part / whole, at most 1/2; and 1/2 where nothing clicks, since nothing is known there."""
    return np.asarray(np.minimum(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.5), 0.5))
