"""Finite keys of two-decoy BB84 if all pulses are alike and independent: weaker than `finite_two_decoys`, and tighter.

So were the keys of M. Lucamarini et al., Opt. Express 21, 24550 (2013) reckoned: exact binomial intervals (Clopper and
Pearson, Biometrika 26, 404 (1934)) for each intensity in each basis, decoy bounds with each end at its worst, and the
finite-size terms of V. Scarani, R. Renner, Phys. Rev. Lett. 100, 200501 (2008). The paper's equations were not at
hand: this is its kind of statistics, not a transcription. Key is made of signal pulses only.

The proof covers collective attacks. It is here to hold experiments against, never to plan with or to distil by.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainccinv, betaincinv

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import BACKGROUND_ERROR, Values, binary_entropy
from keystrand.qkd.finite import Counts, Source
from keystrand.qkd.planned_key import Block, expected

SHARES = 15.0
"""Into how many the secrecy is divided: 13 ends of intervals, smoothing, privacy amplification."""

MOST_TRIALS = 1e15
"""Beyond so many, the inverse of the binomial tail is no longer exact in float64, and errs to the unsafe side."""


class Yields(NamedTuple):
    """Of pulses in the key basis: yields of no photon and of one (at least), and the phase error of one (at most)."""

    vacuum: Values
    single: Values
    phase_error: Values


def interval(successes: ArrayLike, trials: ArrayLike, epsilon: float) -> tuple[Values, Values]:
    """Return the ends beyond which the probability of success lies with at most `epsilon` each; Clopper-Pearson.

    For more than `MOST_TRIALS`, the ends that say nothing: 0 and 1.
    """
    n, all_ = (np.asarray(x, dtype=np.float64) for x in (successes, trials))
    rest = np.maximum(all_ - n, 0.0)
    known = all_ <= MOST_TRIALS
    low = np.where(known & (n > 0), betaincinv(np.where(n > 0, n, 1.0), rest + 1, epsilon), 0.0)
    high = np.where(known & (rest > 0), betainccinv(n + 1, np.where(rest > 0, rest, 1.0), epsilon), 1.0)
    return low, high


def bounds(counts: Counts, sent: tuple[Values, Values], source: Source, epsilon: float) -> Yields:
    """Return what `counts` of so many pulses sent in the key basis and in the test basis show, but for 13 `epsilon`.

    The phase error is bounded by the errors of the decoys and by those of the signal; the smaller one holds as well.
    Arrays have shape (..., 3), strongest first.
    """
    key, test = sent
    vacuum, single = _yields(interval(counts.key, key, epsilon), source)
    test_vacuum, tested = _yields(interval(counts.test, test, epsilon), source)
    low, high = interval(counts.test_errors, test, epsilon)
    mu1, mu2, mu3 = np.moveaxis(source.intensities, -1, 0)
    by_decoys = (high[..., 1] * np.exp(mu2) - low[..., 2] * np.exp(mu3)) / (mu2 - mu3)
    by_signal = (high[..., 0] * np.exp(mu1) - BACKGROUND_ERROR * test_vacuum) / mu1
    known = tested > 0
    wrong = np.maximum(np.minimum(by_decoys, by_signal), 0.0)
    return Yields(vacuum, single, np.where(known, np.minimum(wrong / np.where(known, tested, 1.0), 0.5), 0.5))


def rate_bits_per_s(link: Bb84Link, block: Block) -> float:
    """Return the secret key rate of blocks with the expected counts, at least 0.

    Raises ValueError unless there are three intensities.
    """
    if len(link.transmitter.intensities) != 3:
        raise ValueError("these bounds are for two decoys: three intensities")
    seen, source = expected(link, follow=block.afterpulses_follow), link.transmitter.source
    sifted = float(seen.counts.key.sum())
    if sifted <= 0:
        return 0.0
    pulses = block.block_bits / sifted
    alice, bob = link.transmitter.key_basis_ratio, link.receiver.key_basis_ratio
    open_gates = pulses * float(seen.live) * source.probabilities
    sent = open_gates * alice * bob, open_gates * (1 - alice) * (1 - bob)
    counts = Counts(*(pulses * one for one in seen.counts))
    secret = _secret_bits(counts, sent, source, block) - block.authentication_bits
    return max(float(secret), 0.0) / pulses * link.transmitter.pulse_rate_hz


def _secret_bits(counts: Counts, sent: tuple[Values, Values], source: Source, block: Block) -> Values:
    epsilon = block.security.secrecy / SHARES
    found = bounds(counts, sent, source, epsilon)
    mu, bits, wrong = source.intensities[0], counts.key[0], counts.key_errors[0]
    hidden = found.vacuum + mu * found.single * (1 - binary_entropy(found.phase_error))
    leak = block.correction_efficiency * bits * binary_entropy(wrong / bits)
    # Scarani and Renner: 7 sqrt(n log2(2/eps)) for smoothing, for bits; 2 log2(1/eps) for privacy amplification
    lost = 7 * np.sqrt(bits * np.log2(2 / epsilon)) - 2 * np.log2(epsilon) + np.log2(2 / block.security.correctness)
    return np.asarray(sent[0][0] * np.exp(-mu) * hidden - leak - lost)


def _yields(gain: tuple[Values, Values], source: Source) -> tuple[Values, Values]:
    """Return the least yields of no photon and of one from the ends of the gains; Ma et al. (2005), two weak decoys."""
    low, high = gain
    mu1, mu2, mu3 = np.moveaxis(source.intensities, -1, 0)
    vacuum = np.clip((mu2 * low[..., 2] * np.exp(mu3) - mu3 * high[..., 1] * np.exp(mu2)) / (mu2 - mu3), 0.0, 1.0)
    inner = low[..., 1] * np.exp(mu2) - high[..., 2] * np.exp(mu3)
    inner -= (mu2**2 - mu3**2) / mu1**2 * (high[..., 0] * np.exp(mu1) - vacuum)
    return vacuum, np.clip(mu1 * inner / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2), 0.0, 1.0)
