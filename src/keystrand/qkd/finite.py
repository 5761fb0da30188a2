"""Finite keys of decoy-state BB84: what the protocols with two decoys and with one decoy share.

Sources: C. C. W. Lim et al., Phys. Rev. A 89, 022307 (2014), arXiv:1311.7129, called [Lim]; D. Rusca et al., Appl.
Phys. Lett. 112, 171104 (2018), arXiv:1801.03443, called [Rusca]; C.-H. F. Fung, X. Ma, H. F. Chau, Phys. Rev. A 81,
012318 (2010), called [Fung]. Equations were checked against a second transcription, not against the printed papers;
the form of [Fung] solved here was tested against exact sampling without replacement only (`_sampling_excess`).

Every array of counts has the intensities on its last axis, strongest first; all other axes broadcast like NumPy.
The bounds hold for counts as they happened. Expected counts of a link give a plan, never a guarantee.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.qkd.decoy import Values, binary_entropy

Epsilon = Annotated[float, Meta(gt=0, lt=1)]
BISECTIONS = 60
"""Halvings of an interval at most 1/2 wide: below the resolution of float64."""


class Security(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the key may be from an ideal one: epsilon-secret and epsilon-correct, so their sum in all.

    With `per_key_bit`, `secrecy` is kappa of [Lim], and the key is kappa x length secret.
    """

    secrecy: Epsilon = 1e-9
    correctness: Epsilon = 1e-15
    per_key_bit: bool = False


class Source(NamedTuple):
    """Mean photon numbers of the intensities and how often each is sent, shape (..., intensities)."""

    intensities: Values
    probabilities: Values


class Counts(NamedTuple):
    """Detections and errors after sifting, by intensity, in the basis of the key and in the basis of the test."""

    key: Values
    key_errors: Values
    test: Values
    test_errors: Values


class Bounds(NamedTuple):
    """Key-basis detections without a photon and with one (at least), and the phase error ratio of those (at most)."""

    vacuum: Values
    single_photons: Values
    phase_error: Values


class KeyLength(NamedTuple):
    """The secret bits of a block, and the sum they come from.

    `length_bits` = vacuum + single photons - phase error - leak - verification - privacy, rounded down, at least 0;
    `balance_bits` is the same sum as it stands, which tells how far a block without key is from one.
    """

    vacuum_bits: Values
    single_photon_bits: Values
    phase_error_bits: Values
    leak_bits: Values
    verification_bits: Values
    privacy_bits: Values
    balance_bits: Values
    length_bits: Values
    phase_error: Values


class Protocol(NamedTuple):
    """What differs between the protocols: their bounds at a failure probability, and into how many of those the
    secrecy is divided."""

    bounds: Callable[[Counts, Source, Values], Bounds]
    shares: float


def check(counts: Counts, source: Source) -> None:
    """Raise ValueError where counts or a source cannot be: negative, not finite, more errors than detections."""
    if not all(np.all(np.isfinite(x) & (np.asarray(x) >= 0)) for x in counts):
        raise ValueError("counts must be finite and not negative")
    if np.any(counts.key_errors > counts.key) or np.any(counts.test_errors > counts.test):
        raise ValueError("there cannot be more errors than detections")
    steps = np.diff(source.intensities, axis=-1)
    if not (np.all(steps < 0) and np.all(source.intensities >= 0)):
        raise ValueError("intensities must fall from the strongest to the weakest and not be negative")
    if not (np.all(source.probabilities > 0) and np.allclose(source.probabilities.sum(axis=-1), 1, atol=1e-9)):
        raise ValueError("the probabilities of the intensities must be above 0 and their sum 1")


def photon_probability(source: Source, photons: int) -> Values:
    """Return tau_n for n = 0 or 1: how likely a pulse holds `photons`, over all intensities; [Lim] after Eq. (2)."""
    mu = source.intensities
    return np.asarray((source.probabilities * np.exp(-mu) * mu**photons).sum(axis=-1))


def deviation(total: ArrayLike, epsilon: ArrayLike) -> Values:
    """Return how far a count out of `total` lies from its expectation, but for probability `epsilon` (Hoeffding)."""
    return np.sqrt(np.asarray(total, dtype=np.float64) / 2 * -np.log(np.asarray(epsilon, dtype=np.float64)))


def corrected(counts: Values, source: Source, epsilon: Values) -> tuple[Values, Values]:
    """Return n-minus and n-plus of each intensity, scaled by exp(k) / p_k; [Lim] after Eq. (2).

    n-minus is cut at 0, for detections and for errors. That is safe: the expectation it bounds from below is a sum of
    counts with positive weights ([Rusca] Eqs. (A1), (A3)), so 0 bounds it too, with certainty. It makes the key longer
    than the formula as printed does, by about a tenth, where the weakest intensity shows few errors.
    """
    scale = np.exp(source.intensities) / source.probabilities
    wide = deviation(counts.sum(axis=-1), epsilon)[..., None]
    return scale * np.maximum(counts - wide, 0.0), scale * (counts + wide)


def gamma(epsilon: ArrayLike, ratio: ArrayLike, tested: ArrayLike, kept: ArrayLike) -> Values:
    """Return by how much the error ratio of `kept` bits may exceed `ratio`, that of `tested` ones; [Lim] Eq. (5).

    `epsilon` is one share of the secrecy (the factor 21^2 or 20^2 is in it); ratio within 0..1, sizes above 0.
    """
    b, c, d = (np.asarray(x, dtype=np.float64) for x in (ratio, tested, kept))
    spread = np.maximum(b * (1 - b), np.finfo(np.float64).tiny)
    bits = np.log2((1 / c + 1 / d) / spread) - 2 * np.log2(np.asarray(epsilon, dtype=np.float64))
    return np.asarray(np.sqrt(spread * (1 / c + 1 / d) / np.log(2) * np.maximum(bits, 0.0)))


def phase_error(epsilon: Values, wrong: Values, tested: Values, kept: Values) -> Values:
    """Return the most phase errors per kept single photon, 1/2 where nothing is known; [Lim] Eq. (5).

    The formula expands an entropy to second order, which is too small where almost nothing is wrong. So the
    expression it was expanded from, as in [Fung], is solved as well, and the larger of the two counts; and at least
    one error is assumed, since at none both say that there cannot be any.
    """
    known = (tested >= 1) & (kept >= 1)
    c, d = np.where(known, tested, 1.0), np.where(known, kept, 1.0)
    b = np.clip(np.maximum(wrong, 1.0) / c, 0.0, 0.5)
    found = b + np.maximum(gamma(epsilon, b, c, d), _sampling_excess(epsilon, b, c, d))
    return np.where(known, np.minimum(found, 0.5), 0.5)


def key_length(protocol: Protocol, counts: Counts, source: Source, leak: ArrayLike, security: Security) -> KeyLength:
    """Return the key of a block of which error correction disclosed `leak` bits; [Lim] Eq. (1), [Rusca] Eq. (A25).

    Raises ValueError where counts or source cannot be. With `per_key_bit` the length that the secrecy is taken of
    is found from above, so that the key is never less secret than said by more than the last step, under a bit.
    """
    check(counts, source)
    if not np.all(np.isfinite(leak) & (np.asarray(leak) >= 0)):
        raise ValueError("the bits disclosed must be finite and not negative")
    secrecy = np.full(counts.key.shape[:-1], security.secrecy)
    if not security.per_key_bit:
        return _length(protocol, counts, source, leak, (secrecy, security.correctness))
    bits = counts.key.sum(axis=-1)
    for _ in range(BISECTIONS):
        total = np.minimum(secrecy * np.maximum(bits, 1.0), 0.5)
        found = _length(protocol, counts, source, leak, (total, security.correctness))
        if np.all(found.length_bits >= bits):
            break
        bits = found.length_bits
    return found


def _length(
    protocol: Protocol, counts: Counts, source: Source, leak: ArrayLike, epsilons: tuple[Values, float]
) -> KeyLength:
    secrecy, correctness = epsilons
    share = secrecy / protocol.shares
    vacuum, single, phase = protocol.bounds(counts, source, share)
    lost, disclosed = single * binary_entropy(phase), np.asarray(leak, dtype=np.float64)
    verification, privacy = np.asarray(np.log2(2 / correctness)), -6 * np.log2(share)
    balance = vacuum + single - lost - disclosed - verification - privacy
    length = np.floor(np.maximum(balance, 0.0))
    return KeyLength(vacuum, single, lost, disclosed, verification, privacy, balance, length, phase)


def _sampling_excess(epsilon: Values, b: Values, c: Values, d: Values) -> Values:
    """Solve (c + d) xi(theta) = log2 of the sampling bound over epsilon^2; [Fung]."""
    share = d / (c + d)
    wanted = np.maximum(0.5 * np.log2((1 / c + 1 / d) / (b * (1 - b))), 0.0) - 2 * np.log2(epsilon)
    low, high = np.zeros(np.broadcast(epsilon, b).shape), np.broadcast_to(0.5 - b, np.broadcast(epsilon, b).shape)
    for _ in range(BISECTIONS):
        theta = (low + high) / 2
        mixed = binary_entropy(b + theta * share)
        bits = (c + d) * (mixed - (1 - share) * binary_entropy(b) - share * binary_entropy(b + theta))
        low, high = np.where(bits < wanted, theta, low), np.where(bits < wanted, high, theta)
    return np.asarray(high)
