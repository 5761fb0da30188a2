"""Privacy amplification by a modified Toeplitz matrix, exact to the bit, with float64 Fourier transforms.

A key x of n bits is cut in x1 (its first n - m bits) and x2 (its last m); the output is y = T x1 + x2 over GF(2), where
T is m by n - m with T[i, j] = seed[i - j + n - m - 1], from a public seed of n - 1 uniform bits.

Security: (T | 1) is a two-universal family: for two keys that differ, either x1 is equal and y differs, or T d is
uniform for d != 0 (M. Hayashi, T. Tsurumaru, arXiv:1311.5322; H. Krawczyk, CRYPTO '94). By the leftover hash lemma
against quantum side information (R. Renner, PhD thesis, ETH Zurich 2005, arXiv:quant-ph/0512258; M. Tomamichel et al.,
IEEE Trans. Inf. Theory 57, 5524 (2011)) y is within 2^-((H_min - m) / 2) / 2 of uniform, seed known. The seed must be
drawn only when every key of the call was measured. Keys of one call share the seed; their failure probabilities add.

Exactness: the sums are integers, so the nearest integer is the true one where the error is below 1/2. Each level of a
transform of length N = 2^k adds a relative error of at most 7u, u = 2^-53, twiddle factors being right to u (after
N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., Theorem 24.2). Three transforms and one product give
|error| <= ((1 + 7u)^(3k + 1) - 1) |seed| |x|, Euclidean norms; the last transform in the maximum norm: a level adds
5u relative to the sum of moduli, which Cauchy and Schwarz bound by N |seed| |x|. `error_bound` computes it. This is a
proof for sound arithmetic; against an unsound one every call also asserts range and distance to the nearest integer.
"""

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from keystrand.model.errors import KeystrandError

Bits = NDArray[np.uint8]

MARGIN = 0.25
"""Largest distance to the nearest integer that is accepted; half of where rounding would go wrong."""


class RoundingDoubt(KeystrandError):
    """A rounding margin of privacy amplification was not kept: no key is made of this block."""

    default_hint = "discard the block; if it happens again, test the memory and processor of this machine"


class SeedSpectrum:
    """The transform of one seed, so that several calls with it pay for it once. Holds nothing secret."""

    def __init__(self, seed: Bits) -> None:
        """Take `seed`, n - 1 elements that are 0 or 1. Raises `ValueError` for anything else."""
        _check_bits(seed, "seed", dimensions=(1,))
        self.key_bits = len(seed) + 1
        padded = np.zeros(1 << (self.key_bits - 1).bit_length(), dtype=np.complex128)
        padded[: len(seed)] = seed
        self.values = scipy.fft.fft(padded)


def error_bound(key_bits: int, input_bits: int, largest: float = 1.0) -> float:
    """Return the proven largest error of a sum; `input_bits` = n - m terms, each part of a term up to `largest`."""
    levels = (key_bits - 1).bit_length()
    growth = math.expm1((3 * levels + 1) * math.log1p(7 * 2.0**-53))
    return growth * math.sqrt(key_bits - 1) * largest * math.sqrt(2.0 * input_bits)


def amplify(keys: Bits, seed: Bits | SeedSpectrum, output_bits: int) -> Bits:
    """Return the shortened keys: shape (n,) gives (m,), shape (b, n) gives (b, m), m = `output_bits`.

    Four keys share a transform where the bound allows it (to about n = 2^20), else two: give keys in such groups.
    Raises `ValueError` for wrong lengths or elements other than 0 and 1; `RoundingDoubt` instead of an unsure bit.
    """
    _check_bits(keys, "key", dimensions=(1, 2))
    spectrum = seed if isinstance(seed, SeedSpectrum) else SeedSpectrum(seed)
    rows = np.atleast_2d(keys)
    n = rows.shape[1]
    if n != spectrum.key_bits:
        raise ValueError(f"a key of {n} bits takes a seed of {n - 1}, not {spectrum.key_bits - 1}")
    if not 0 < output_bits < n:
        raise ValueError(f"the output must be shorter than the key's {n} bits, and not empty: {output_bits}")
    split = n - output_bits
    base = 1 << split.bit_length()  # above every sum: two sums in one number stay apart
    packed = error_bound(n, split, base + 1.0) < MARGIN / 2
    if not packed and error_bound(n, split) >= MARGIN / 2:
        raise RoundingDoubt(f"a block of {n} bits is beyond what float64 is proven for")
    step = 4 if packed else 2
    made = [_group(rows[at : at + step, :split], spectrum, output_bits, base) for at in range(0, len(rows), step)]
    hashed = np.concatenate(made) ^ rows[:, split:]
    return hashed[0] if keys.ndim == 1 else hashed


def _group(heads: Bits, spectrum: SeedSpectrum, output_bits: int, base: int) -> Bits:
    """Return T x1 for up to four keys: the odd ones in the imaginary part, the later two times `base`."""
    count, split = heads.shape
    both = np.zeros(len(spectrum.values), dtype=np.complex128)
    for index, head in enumerate(heads):
        part = both.imag if index % 2 else both.real
        part[:split] += head if index < 2 else head * float(base)
    product = scipy.fft.fft(both, overwrite_x=True)
    product *= spectrum.values
    sums = scipy.fft.ifft(product, overwrite_x=True)[split - 1 : split - 1 + output_bits]
    made = np.empty((count, output_bits), dtype=np.uint8)
    for index in range(min(count, 2)):
        whole = _rounded(sums.imag if index else sums.real, split * (base + 1) if index + 2 < count else split)
        for at in range(index, count, 2):
            made[at] = (whole if at < 2 else whole // base) & 1
    return made


def _rounded(sums: NDArray[np.float64], largest: int) -> NDArray[np.int64]:
    """Return the nearest integers; raises `RoundingDoubt` unless all lie within the margin and in 0..`largest`."""
    if not np.all(np.isfinite(sums)):
        raise RoundingDoubt("a sum of privacy amplification is no number")
    nearest = np.rint(sums)
    if not np.all(np.abs(sums - nearest) < MARGIN) or not np.all((nearest >= 0) & (nearest <= largest)):
        raise RoundingDoubt("a sum of privacy amplification lies too far from an integer, or out of its range")
    return nearest.astype(np.int64)


def _check_bits(bits: Bits, name: str, *, dimensions: tuple[int, ...]) -> None:
    if bits.dtype != np.uint8 or bits.ndim not in dimensions or bits.size == 0:
        raise ValueError(f"the {name} must be a filled array of uint8, one bit an element")
    if bits.max() > 1:
        raise ValueError(f"the {name} holds elements other than 0 and 1")
