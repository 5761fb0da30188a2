"""Secret key rate of measurement-device-independent QKD with infinitely many decoys, for infinitely long keys.

Protocol: H.-K. Lo, M. Curty, B. Qi, Phys. Rev. Lett. 108, 130503 (2012). Model of gains and errors, two polarisations
and four threshold detectors: X. Ma, M. Razavi, Phys. Rev. A 86, 062319 (2012). Key is made in Z, tested in X. The
limits of both are met; the terms with dark counts were not checked against the printed paper.

The trap: `dark_count` is the probability of *one* detector per gate, where decoy-state BB84 counts both together.
"""

from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.model.units import Ratio
from keystrand.qkd.decoy import BACKGROUND_ERROR, Seen, SinglePhotons, Values, binary_entropy

MODEL = "measurement-device-independent QKD, infinitely many decoys, asymptotic"
SOURCE = "Lo, Curty, Qi, Phys. Rev. Lett. 108, 130503 (2012); Ma, Razavi, Phys. Rev. A 86, 062319 (2012)"
_SERIES_TERMS = 24
"""Of I0(x) - 1 for x up to 4: the next term is below 1e-30."""


class MdiParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two senders and a station between them that nobody trusts. Intensities are mean photons per pulse.

    `alice_loss_share` is the share of the channel's decibels on Alice's side; 0.5 puts the station in the middle.
    """

    alice_intensity: Annotated[float, Meta(gt=0, lt=2)]
    bob_intensity: Annotated[float, Meta(gt=0, lt=2)]
    detector_efficiency: Ratio
    dark_count: Ratio
    misalignment: Annotated[float, Meta(ge=0, le=0.5)]
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)]
    basis_match: Ratio = 1.0
    alice_loss_share: Ratio = 0.5


class Bases(NamedTuple):
    """What the pulses show in the key basis (Z) and in the test basis (X)."""

    z: Seen
    x: Seen


def arm_efficiencies(link: MdiParameters, loss_db: ArrayLike) -> tuple[Values, Values]:
    """Return the probability that a photon of Alice, and of Bob, is detected at the station."""
    loss = np.asarray(loss_db, dtype=np.float64)
    share = link.alice_loss_share
    alice = link.detector_efficiency * 10.0 ** (-loss * share / 10.0)
    return np.asarray(alice), np.asarray(link.detector_efficiency * 10.0 ** (-loss * (1.0 - share) / 10.0))


def single_photons(link: MdiParameters, loss_db: ArrayLike) -> SinglePhotons:
    """Return Y11, and e11 in X, of pulses with one photon from each side; Ma and Razavi (2012)."""
    a, b = arm_efficiencies(link, loss_db)
    dark, quiet = link.dark_count, (1.0 - link.dark_count) ** 2
    light = quiet * a * b / 2.0
    click = light + quiet * ((2 * a + 2 * b - 3 * a * b) * dark + 4 * (1 - a) * (1 - b) * dark**2)
    return SinglePhotons(click, _mixed(click, light, link.misalignment))


def seen(
    link: MdiParameters,
    loss_db: ArrayLike,
    *,
    alice_intensity: ArrayLike | None = None,
    bob_intensity: ArrayLike | None = None,
) -> Bases:
    """Return gain per pulse pair and error ratio in both bases; Ma and Razavi (2012). Broadcasts like NumPy."""
    sent_a, sent_b = _intensities(link, alice_intensity, bob_intensity)
    a, b = arm_efficiencies(link, loss_db)
    a, b, dark = a * sent_a, b * sent_b, link.dark_count
    interference = np.sqrt(a * b) / 2.0
    # y = (1 - dark) exp(-(a + b) / 4); every difference below is written with 1 - y and I0 - 1, which stay exact
    y = (1.0 - dark) * np.exp(-(a + b) / 4.0)
    not_y = -np.expm1(-(a + b) / 4.0) + dark * np.exp(-(a + b) / 4.0)
    doubled = _bessel_less_one(2.0 * interference)
    gain_x = 2 * y**2 * np.maximum(2 * not_y**2 - 4 * y * _bessel_less_one(interference) + doubled, 0.0)
    return Bases(_z_basis(link, a, b, doubled), Seen(gain_x, _mixed(gain_x, 2 * y**2 * doubled, link.misalignment)))


def secret_fraction(
    link: MdiParameters,
    loss_db: ArrayLike,
    *,
    alice_intensity: ArrayLike | None = None,
    bob_intensity: ArrayLike | None = None,
) -> Values:
    """Return secret bits per pulse pair (two polarisation modes a side) after `loss_db` in all, never below 0.

    Lo, Curty and Qi (2012): what one-photon pairs hide, less what error correction discloses.
    """
    sent_a, sent_b = _intensities(link, alice_intensity, bob_intensity)
    single = single_photons(link, loss_db)
    shown = seen(link, loss_db, alice_intensity=sent_a, bob_intensity=sent_b).z
    hidden = sent_a * sent_b * np.exp(-sent_a - sent_b) * single.yield_ * (1.0 - binary_entropy(single.qber))
    disclosed = shown.gain * link.correction_efficiency * binary_entropy(shown.qber)
    return np.maximum(link.basis_match * (hidden - disclosed), 0.0)


def _z_basis(link: MdiParameters, a: Values, b: Values, doubled: Values) -> Seen:
    dark, quiet, half = link.dark_count, (1.0 - link.dark_count) ** 2, np.exp(-(a + b) / 2.0)
    click_a = -np.expm1(-a / 2.0) + dark * np.exp(-a / 2.0)
    click_b = -np.expm1(-b / 2.0) + dark * np.exp(-b / 2.0)
    right = 2 * quiet * half * click_a * click_b
    wrong = 2 * dark * quiet * half * (doubled - np.expm1(-(a + b) / 2.0) + dark * half)
    gain = right + wrong
    error = (link.misalignment * right + (1.0 - link.misalignment) * wrong) / np.where(gain > 0, gain, 1.0)
    return Seen(gain, np.where(gain > 0, np.minimum(error, BACKGROUND_ERROR), BACKGROUND_ERROR))


def _intensities(link: MdiParameters, alice: ArrayLike | None, bob: ArrayLike | None) -> tuple[Values, Values]:
    sent_a = np.asarray(link.alice_intensity if alice is None else alice, dtype=np.float64)
    return sent_a, np.asarray(link.bob_intensity if bob is None else bob, dtype=np.float64)


def _mixed(gain: Values, light: Values, misalignment: float) -> Values:
    """Return the error ratio of clicks of which `light` follows the photons and the rest is random."""
    share = np.where(gain > 0, light / np.where(gain > 0, gain, 1.0), 0.0)
    return np.asarray(np.clip(BACKGROUND_ERROR - (BACKGROUND_ERROR - misalignment) * share, 0.0, BACKGROUND_ERROR))


def _bessel_less_one(x: Values) -> Values:
    """Return I0(x) - 1 by its power series, whose terms are all positive: no digit is lost for small x."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for k in range(1, _SERIES_TERMS):
        term = term * (x / (2.0 * k)) ** 2
        total = total + term
    return total
