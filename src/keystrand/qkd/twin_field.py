"""Secret key rate of twin-field QKD with infinitely many decoys, for infinitely long keys.

Protocol and model: M. Curty, K. Azuma, H.-K. Lo, "Simple security proof of twin-field type quantum key distribution
protocol", npj Quantum Information 5, 64 (2019). Two senders, one station in the middle, one photon interferes.

The sums over photon numbers are cut off, and what is cut off is bounded from above, never dropped (`_tails`). The
senders' mismatch is taken for one of phase, which photon numbers do not feel.
"""

from functools import cache
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike
from scipy.special import comb, gammaln

from keystrand.model.units import Ratio
from keystrand.qkd.decoy import BACKGROUND_ERROR, Seen, Values, binary_entropy

MODEL = "twin-field QKD (Curty, Azuma, Lo), infinitely many decoys, asymptotic"
SOURCE = "Curty, Azuma, Lo, npj Quantum Information 5, 64 (2019)"
_CUT = 16
"""Photon numbers from this one on are not summed but bounded; even, so that both parities lose alike."""


class TwinFieldParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two equal arms. `intensity` is mean photons of a key pulse, `dark_count` of one detector per gate."""

    intensity: Annotated[float, Meta(gt=0, le=1)]
    detector_efficiency: Ratio
    dark_count: Ratio
    misalignment: Annotated[float, Meta(ge=0, le=0.5)]
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)]


def arm_efficiency(link: TwinFieldParameters, loss_db: ArrayLike) -> Values:
    """Return the probability that a sender's photon is detected; an arm has half of the decibels of `loss_db`."""
    return np.asarray(link.detector_efficiency * 10.0 ** (-np.asarray(loss_db, dtype=np.float64) / 20.0))


def seen(link: TwinFieldParameters, loss_db: ArrayLike, *, intensity: ArrayLike | None = None) -> Seen:
    """Return what key pulses show: clicks of exactly one of the two detectors per pulse pair, and the error ratio."""
    light = arm_efficiency(link, loss_db) * _intensity(link, intensity)
    overlap, dark = 1.0 - 2.0 * link.misalignment, link.dark_count
    # the paper's differences of exponentials close to 1, with the ones taken out
    wrong = np.expm1(-light * overlap) - np.expm1(-light) + dark * np.exp(-light)
    both = 4.0 * np.sinh(light * overlap / 2.0) ** 2 - 2.0 * np.expm1(-light) + 2.0 * dark * np.exp(-light)
    error = np.where(both > 0, np.maximum(wrong, 0.0) / np.where(both > 0, both, 1.0), BACKGROUND_ERROR)
    return Seen((1.0 - dark) * np.exp(-light) * both, np.minimum(error, BACKGROUND_ERROR))


def phase_error(link: TwinFieldParameters, loss_db: ArrayLike, *, intensity: ArrayLike | None = None) -> Values:
    """Return an upper bound of the phase error ratio of the key pulses, at most 1/2; the paper's bound of e_Z.

    With the yields that infinitely many decoys show; terms beyond the cut-off count with a yield of 1.
    """
    sent = _intensity(link, intensity)
    one_detector = seen(link, loss_db, intensity=sent).gain / 2.0
    roots = np.sqrt(_yields(arm_efficiency(link, loss_db), link.dark_count))
    amplitudes = _amplitudes(sent)
    total = np.zeros(np.broadcast_shapes(sent.shape, roots.shape[:-2]))
    for parity in (0, 1):
        mine, tail = amplitudes[..., parity::2], _tail(sent, parity)
        inner = np.einsum("...n,...nm,...m->...", mine, roots[..., parity::2, parity::2], mine)
        total = total + (inner + tail * (2.0 * mine.sum(axis=-1) + tail)) ** 2
    known = one_detector > 0
    return np.where(known, np.minimum(total / np.where(known, one_detector, 1.0), 0.5), 0.5)


def secret_fraction(link: TwinFieldParameters, loss_db: ArrayLike, *, intensity: ArrayLike | None = None) -> Values:
    """Return secret bits per pulse pair (one mode a side) after `loss_db` between the users, never below 0.

    May exceed `repeaterless_bound(loss_db)`, never `bounds.single_repeater_bound(loss_db)`. Broadcasts like NumPy.
    """
    shown = seen(link, loss_db, intensity=intensity)
    disclosed = link.correction_efficiency * binary_entropy(shown.qber)
    hidden = 1.0 - binary_entropy(phase_error(link, loss_db, intensity=intensity))
    return np.maximum(shown.gain * (hidden - disclosed), 0.0)


def _intensity(link: TwinFieldParameters, intensity: ArrayLike | None) -> Values:
    return np.asarray(link.intensity if intensity is None else intensity, dtype=np.float64)


def _amplitudes(sent: Values) -> Values:
    """Return c_n = exp(-mu/2) mu^(n/2) / sqrt(n!) for n below the cut-off, in a new last axis."""
    n = np.arange(_CUT)
    mu = sent[..., np.newaxis]
    return np.asarray(np.exp(-mu / 2.0 - gammaln(n + 1.0) / 2.0) * mu ** (n / 2.0))


def _tail(sent: Values, parity: int) -> Values:
    """Return an upper bound of the sum of c_n over n of this parity from the cut-off on.

    c_(n+2) / c_n = mu / sqrt((n+1)(n+2)) only falls with n, so a geometric series with the first ratio lies above.
    """
    first = _CUT + parity
    start = np.exp(-sent / 2.0 - gammaln(first + 1.0) / 2.0) * sent ** (first / 2.0)
    return np.asarray(start / (1.0 - sent / (first + 1.0)))


def _yields(eta: Values, dark: float) -> Values:
    """Return Y_nm, clicks of one given detector alone for n and m photons sent, in two new last axes."""
    n = np.arange(_CUT)
    lost = np.maximum(n[:, np.newaxis] - n, 0)
    wide = eta[..., np.newaxis, np.newaxis]
    arrive = comb(n[:, np.newaxis], n) * wide**n * (1.0 - wide) ** lost
    bunched = _bunched().copy()
    bunched[0, 0] = dark  # nothing arrives: the click is a dark count
    return np.asarray((1.0 - dark) * (arrive @ bunched @ np.swapaxes(arrive, -1, -2)))


@cache
def _bunched() -> Values:
    """Return the probability that k and l photons leave a balanced beam splitter all by one given port."""
    k = np.arange(_CUT)
    together = k[:, np.newaxis] + k
    return np.asarray(comb(together, k) / 2.0**together)
