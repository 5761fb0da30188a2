"""What attacks that no count shows cost in key: light that leaves the transmitter, and pulses without decoys.

Asymptotic rates, for weighing isolation and decoys against each other; finite keys are in `finite`.
"""

import numpy as np
from numpy.typing import ArrayLike

from keystrand.model.link import LinkParameters
from keystrand.qkd.decoy import Values, binary_entropy, seen, true_single_photons


def coin_imbalance(photons_out: ArrayLike) -> Values:
    """Return how far the leaked light tells the bases apart: Lucamarini et al. 2015, Eq. (7), last line."""
    mu = np.asarray(photons_out, dtype=np.float64)
    return np.asarray((1 - np.exp(-mu) * np.cos(mu)) / 2)


def leaked_phase_error(error: ArrayLike, yield_: ArrayLike, photons_out: ArrayLike) -> Values:
    """Return the phase error to assume of single photons with `error` and `yield_`, at most 1/2; same paper, Eq. (9).

    Broadcasts. Decoys are assumed untouched by the attack (same paper, assumption 3).
    """
    e, y = (np.asarray(x, dtype=np.float64) for x in (error, yield_))
    imbalance = coin_imbalance(photons_out)
    # all of Eq. (9) as long as the coin's imbalance a click is below 1/2; from there on nothing is known
    known = (2 * imbalance < y) & (e < 0.5)
    d = np.where(known, imbalance, 0.0) / np.where(known, y, 1.0)
    raised = e + 4 * d * (1 - d) * (1 - 2 * e) + 4 * (1 - 2 * d) * np.sqrt(d * (1 - d) * e * (1 - e))
    return np.asarray(np.where(known, np.minimum(raised, 0.5), 0.5))


def leaky_secret_fraction(link: LinkParameters, loss_db: ArrayLike, photons_out: ArrayLike) -> Values:
    """Return secret bits a pulse when `photons_out` leave with each, infinitely many decoys; same paper, Eq. (8)."""
    mu = link.signal_intensity
    strong, single = seen(link, mu, loss_db), true_single_photons(link, loss_db)
    phase = leaked_phase_error(single.qber, single.yield_, photons_out)
    kept = single.yield_ * mu * np.exp(-mu) * (1 - binary_entropy(phase))
    lost = strong.gain * link.correction_efficiency * binary_entropy(strong.qber)
    return np.asarray(np.maximum(link.basis_match * (kept - lost), 0.0))


def secret_fraction_without_decoys(link: LinkParameters, loss_db: ArrayLike, signal: ArrayLike) -> Values:
    """Return secret bits a pulse when every pulse of several photons counts as known to Eve and as detected.

    D. Gottesman, H.-K. Lo, N. Luetkenhaus, J. Preskill, Quantum Inf. Comput. 4, 325 (2004): with the share D of such
    detections, R >= Q ((1 - D)(1 - h(E / (1 - D))) - f h(E)). This is the reach that splitting leaves without decoys.
    """
    mu = np.asarray(signal, dtype=np.float64)
    strong = seen(link, mu, loss_db)
    several = -np.expm1(-mu) - mu * np.exp(-mu)
    untagged = 1 - np.minimum(several / strong.gain, 1.0)
    error = np.minimum(np.where(untagged > 0, strong.qber / np.where(untagged > 0, untagged, 1.0), 0.5), 0.5)
    inner = untagged * (1 - binary_entropy(error)) - link.correction_efficiency * binary_entropy(strong.qber)
    return np.asarray(np.maximum(link.basis_match * strong.gain * inner, 0.0))
