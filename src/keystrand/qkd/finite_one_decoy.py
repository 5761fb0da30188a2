"""Finite keys of BB84 with a signal and one decoy, from counts: Rusca et al., Appl. Phys. Lett. 112, 171104 (2018)."""

import numpy as np
from numpy.typing import ArrayLike

from keystrand.qkd import finite
from keystrand.qkd.decoy import Values
from keystrand.qkd.finite import Bounds, Counts, KeyLength, Security, Source

SHARES = 20.0
"""eps_sec = 20 eps, one eps a failure that the proof counts: 19 in [Rusca] (after Eq. (A24)), and one more here.

The 19 are 8 of smoothing, as in [Lim], and 11 bounds on counts: detections of both intensities, errors of one and the
half of the vacuum's detections in the key basis; the same in the test basis and errors of both intensities for v; the
sampling. The least of Eq. (A16) over both intensities, which is chosen after they were seen, needs the errors of the
other intensity, too: in the test basis those bounded for v already count, in the key basis it is one more."""


def bounds(counts: Counts, source: Source, epsilon: Values) -> Bounds:
    """Return what `counts` prove of the key basis, Eqs. (A16) to (A23), each step but for `epsilon`."""
    vacuum, single = _detections(counts.key, counts.key_errors, source, epsilon)
    _, tested = _detections(counts.test, counts.test_errors, source, epsilon)
    low, high = finite.corrected(counts.test_errors, source, epsilon)
    mu1, mu2 = np.moveaxis(source.intensities, -1, 0)
    wrong = finite.photon_probability(source, 1) * (high[..., 0] - low[..., 1]) / (mu1 - mu2)
    return Bounds(vacuum, single, finite.phase_error(epsilon, wrong, tested, single))


def key_length(counts: Counts, source: Source, leak_bits: ArrayLike, security: Security) -> KeyLength:
    """Return the secret bits of a block, Eq. (A25). Raises ValueError for what cannot be measured or sent."""
    if np.any(source.intensities <= 0):
        raise ValueError("with one decoy, no intensity may be 0")
    return finite.key_length(finite.Protocol(bounds, SHARES), counts, source, leak_bits, security)


def _detections(counts: Values, errors: Values, source: Source, epsilon: Values) -> tuple[Values, Values]:
    """Return the least detections of no photon, Eq. (A19), and of one, Eq. (A17), in one basis.

    Half of the detections without a photon are wrong, so the errors say how many there can be at most, Eq. (A16).
    """
    low, high = finite.corrected(counts, source, epsilon)
    _, wrong = finite.corrected(errors, source, epsilon)
    mu1, mu2 = np.moveaxis(source.intensities, -1, 0)
    none, one = (finite.photon_probability(source, n) for n in (0, 1))
    total = counts.sum(axis=-1)
    most = 2 * (none * wrong.min(axis=-1) + finite.deviation(total, epsilon))
    vacuum = np.clip(none / (mu1 - mu2) * (mu1 * low[..., 1] - mu2 * high[..., 0]), 0.0, total)
    inner = low[..., 1] - (mu2 / mu1) ** 2 * high[..., 0] - (1 - (mu2 / mu1) ** 2) * most / none
    return vacuum, np.clip(one * mu1 / (mu2 * (mu1 - mu2)) * inner, 0.0, total - vacuum)
