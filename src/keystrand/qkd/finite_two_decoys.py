"""Finite keys of BB84 with a signal and two decoys, from counts: Lim et al., Phys. Rev. A 89, 022307 (2014)."""

import numpy as np
from numpy.typing import ArrayLike

from keystrand.qkd import finite
from keystrand.qkd.decoy import Values
from keystrand.qkd.finite import Bounds, Counts, KeyLength, Security, Source

SHARES = 21.0
"""eps_sec = 21 eps, one eps a failure that the proof counts ([Lim] Eq. (1))."""


def bounds(counts: Counts, source: Source, epsilon: Values) -> Bounds:
    """Return what `counts` prove of the key basis, Eqs. (2) to (5), each step but for `epsilon`."""
    vacuum, single = _detections(counts.key, source, epsilon)
    _, tested = _detections(counts.test, source, epsilon)
    low, high = finite.corrected(counts.test_errors, source, epsilon)
    _, mu2, mu3 = np.moveaxis(source.intensities, -1, 0)
    wrong = finite.photon_probability(source, 1) * (high[..., 1] - low[..., 2]) / (mu2 - mu3)
    return Bounds(vacuum, single, finite.phase_error(epsilon, wrong, tested, single))


def key_length(counts: Counts, source: Source, leak_bits: ArrayLike, security: Security) -> KeyLength:
    """Return the secret bits of a block, Eq. (1). Raises ValueError for what cannot be measured or sent."""
    mu1, mu2, mu3 = np.moveaxis(source.intensities, -1, 0)
    if np.any(mu1 <= mu2 + mu3):
        raise ValueError("the signal must be stronger than both decoys together")
    return finite.key_length(finite.Protocol(bounds, SHARES), counts, source, leak_bits, security)


def _detections(counts: Values, source: Source, epsilon: Values) -> tuple[Values, Values]:
    """Return the least detections of no photon, Eq. (2), and of one, Eq. (3), in one basis."""
    low, high = finite.corrected(counts, source, epsilon)
    mu1, mu2, mu3 = np.moveaxis(source.intensities, -1, 0)
    none, one = (finite.photon_probability(source, n) for n in (0, 1))
    total = counts.sum(axis=-1)
    vacuum = np.clip(none * (mu2 * low[..., 2] - mu3 * high[..., 1]) / (mu2 - mu3), 0.0, total)
    inner = low[..., 1] - high[..., 2] - (mu2**2 - mu3**2) / mu1**2 * (high[..., 0] - vacuum / none)
    single = one * mu1 * inner / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    return vacuum, np.clip(single, 0.0, total - vacuum)
