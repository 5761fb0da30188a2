"""Privacy amplification by a modified Toeplitz matrix, exact to the bit, with float64 Fourier transforms.

A key x of n bits is cut in x1 (its first s = n - m bits) and x2 (its last m); the output is y = T x1 + x2 over GF(2),
where T is m by s with T[i, j] = seed[i - j + s - 1], from a public seed of n - 1 uniform bits.

Security: (T | 1) is a two-universal family: for two keys that differ, either x1 is equal and y differs, or T d is
uniform for d != 0 (M. Hayashi, T. Tsurumaru, arXiv:1311.5322; H. Krawczyk, CRYPTO '94). By the leftover hash lemma
against quantum side information (R. Renner, PhD thesis, ETH Zurich 2005, arXiv:quant-ph/0512258; M. Tomamichel et al.,
IEEE Trans. Inf. Theory 57, 5524 (2011)) y is within 2^-((H_min - m) / 2) / 2 of uniform, seed known. The seed must be
drawn only when every key of the call was measured. Keys of one call share the seed; their failure probabilities add.

Speed: the bits are centred, to -1/2 and 1/2. Then a sum of s products lies within s/4 of 0, and the ones of key and of
seed give what is missing to the sum of bits. The upper and the lower half of the outputs are sums of the same key with
two windows of the seed, so window + base x window gives both in one number. A real sequence of length 2N is transformed
as N complex numbers, its second half the imaginary part: at the roots of t^N = i, where a product loses nothing but
what wraps, with its sign changed, and that is not used. The N numbers lie in rows, so the transform is short ones of
columns, factors, and short ones of rows (W. M. Gentleman, G. Sande, AFIPS 1966): they stay in the processor's cache.

Exactness: the sums are integers, so the nearest integer is the true one where the error is below 1/2. Let u = 2^-53.
Each radix-2 level of a transform adds a relative error of at most 7u, twiddle factors being right to u (after
N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., Theorem 24.2); a radix-3 level at most 11u, counted
as two: 4u for its factors; one rounding each of its sum, difference, product, constant and last sum make 6.3u. Our own
factors are right to 16u (angle 8u, sine and cosine 4u each), and with a product 19u; the two of a transform and its
scaling by 1/N add less than 7 x 7u. So N = 2^k or 3 2^k counts K = k + 2 + 7 levels. Three transforms and one product
give |error| <= ((1 + 7u)^(3K + 1) - 1) |seed| |x|, Euclidean norms; the last transform in the maximum norm: a level
adds less than 7u relative to the sum of moduli, which Cauchy and Schwarz bound by N |seed| |x|. Parting two sums rounds
twice, by at most u base s each. `error_bound` computes it. This is a proof for sound arithmetic; against an unsound one
every call also asserts range and distance to the nearest integer.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from keystrand.model.errors import KeystrandError

Bits = NDArray[np.uint8]
Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]

MARGIN = 0.25
"""Largest distance to the nearest integer that is accepted; half of where rounding would go wrong."""
MOST_ROWS = 512  # measured at 2^20 and 2^22
PIECE = 1 << 15  # numbers worked on together: they stay in the processor's cache, and in memory that is there already
UNIT = 2.0**-53


class RoundingDoubt(KeystrandError):
    """A rounding margin of privacy amplification was not kept: no key is made of this block."""

    default_hint = "discard the block; if it happens again, test the memory and processor of this machine"


class SeedSpectrum:
    """The transform of one seed for one length of output, so that calls with it pay for it once. Nothing secret."""

    def __init__(self, seed: Bits, output_bits: int) -> None:
        """Take `seed`, n - 1 elements that are 0 or 1, and m. Raises `ValueError` for anything else.

        `RoundingDoubt` where a block is so long that float64 is not proven for it.
        """
        _check_bits(seed, "seed", dimensions=(1,))
        self.key_bits, self.output_bits = len(seed) + 1, output_bits
        if not 0 < output_bits < self.key_bits:
            raise ValueError(f"the output must be shorter than the key's {self.key_bits} bits, and not empty")
        self.split = self.key_bits - output_bits
        self.base = base_for(self.split, output_bits)
        length = _length(self.split, output_bits, self.base)
        self.window = length - self.split + 1
        self.factors = _factors(complex_length(length))
        both = [(seed[:length], 1.0), (seed[output_bits - self.window :], float(self.base))]
        self.values = _spectrum(both if self.base else both[:1], self.factors)
        self.missing = _missing(seed, self.split, output_bits)


def _missing(seed: Bits, split: int, output_bits: int) -> Reals:
    """Return for each output half the ones of its window of the seed, less s/4: what centring took, the key's aside."""
    made, ones = np.empty(output_bits), float(np.count_nonzero(seed[:split]))
    made[0] = 0.5 * ones - 0.25 * split
    for at in range(1, output_bits, PIECE):
        end = min(at + PIECE, output_bits)
        change = seed[split + at - 1 : split + end - 1] - seed[at - 1 : end - 1]  # modulo 256: -1, 0 or 1
        np.multiply(np.cumsum(change.view(np.int8), dtype=np.int32), 0.5, out=made[at:end])
        made[at:end] += made[at - 1]
    return made


def base_for(input_bits: int, output_bits: int) -> int:
    """Return what the second sum of a number is multiplied by, a power of two; 0 where it has no use or no room.

    It is more than s/2 + 1/2: the first sum and its error never reach half of it. Raises `RoundingDoubt` if none fits.
    """
    shorter = complex_length(_length(input_bits, output_bits, 1)) < complex_length(_length(input_bits, output_bits, 0))
    for base in [1 << (input_bits // 2 + 1).bit_length()] * shorter + [0]:
        if error_bound(input_bits, output_bits, base) < MARGIN / 2 and input_bits < 2**31:  # sums become int32
            return base
    raise RoundingDoubt(f"a block of {input_bits + output_bits} bits is beyond what float64 is proven for")


def _length(input_bits: int, output_bits: int, base: int) -> int:
    """Return how much of the seed the sums of one transform take: a window of the outputs, or of half of them."""
    return input_bits + (-(-output_bits // 2) if base else output_bits) - 1


def error_bound(input_bits: int, output_bits: int, base: int) -> float:
    """Return the proven largest error of a sum of s = `input_bits` terms, m = `output_bits`, at that base (or 0)."""
    length = _length(input_bits, output_bits, base)
    levels = complex_length(length).bit_length() + 7  # 2^k has k + 1 bits, 3 2^k has k + 2
    growth = math.expm1((3 * levels + 1) * math.log1p(7 * UNIT))
    return growth * math.sqrt(length * input_bits) / 4.0 * (base + 1) + 2.0 * UNIT * base * input_bits


def complex_length(length: int) -> int:
    """Return the smallest 2^k or 3 2^k complex numbers that hold as many reals as `length`."""
    two = 1 << max(0, (-(-length // 2) - 1).bit_length())
    return 3 * two // 4 if two >= 4 and 3 * two // 2 >= length else two


def amplify(keys: Bits, seed: Bits | SeedSpectrum, output_bits: int) -> Bits:
    """Return the shortened keys: shape (n,) gives (m,), shape (b, n) gives (b, m), m = `output_bits`.

    Raises `ValueError` for wrong lengths or elements other than 0 and 1; `RoundingDoubt` instead of an unsure bit.
    """
    _check_bits(keys, "key", dimensions=(1, 2))
    spectrum = seed if isinstance(seed, SeedSpectrum) else SeedSpectrum(seed, output_bits)
    rows = np.atleast_2d(keys)
    n, split = rows.shape[1], spectrum.split
    if n != spectrum.key_bits:
        raise ValueError(f"a key of {n} bits takes a seed of {n - 1}, not {spectrum.key_bits - 1}")
    if output_bits != spectrum.output_bits:
        raise ValueError(f"the spectrum was made for an output of {spectrum.output_bits} bits, not {output_bits}")
    hashed = np.stack([_hash(row[:split], spectrum) for row in rows]) ^ rows[:, split:]
    return hashed[0] if keys.ndim == 1 else hashed


def _hash(head: Bits, spectrum: SeedSpectrum) -> Bits:
    """Return T x1 for one key."""
    product = _spectrum([(head, 1.0)], spectrum.factors)
    product *= spectrum.values
    flat, split, window = _coefficients(product, spectrum.factors), spectrum.split, spectrum.window
    made, ones = np.empty(spectrum.output_bits, dtype=np.uint8), 0.5 * np.count_nonzero(head)
    for at in range(0, window, PIECE):
        end = min(at + PIECE, window)
        sums, lower = _reals(flat, split - 1 + at, split - 1 + end), spectrum.missing[at:end] + ones
        if not np.isfinite(sums).all():
            raise RoundingDoubt("a sum of privacy amplification is no number")
        if spectrum.base:
            shift, base = spectrum.output_bits - window, float(spectrum.base)  # an odd m has its middle output twice
            sums += (spectrum.missing[shift + at : shift + end] + ones) * base
            upper = np.rint(sums * (1.0 / base))
            sums -= upper * base
            made[shift + at : shift + end] = _parity(upper, split)
        made[at:end] = _parity(sums + lower, split)
    return made


def _parity(sums: Reals, largest: int) -> Bits:
    """Return the nearest integers modulo 2; raises `RoundingDoubt` unless all lie within the margin, in 0..largest."""
    nearest = np.rint(sums)
    if not np.abs(sums - nearest).max(initial=0.0) < MARGIN:
        raise RoundingDoubt("a sum of privacy amplification lies too far from an integer")
    if not (nearest.min(initial=0.0) >= 0.0 and nearest.max(initial=0.0) <= largest):
        raise RoundingDoubt("a sum of privacy amplification lies out of its range")
    return np.asarray((nearest.astype(np.int32) & 1).astype(np.uint8))


class _Factors(NamedTuple):
    """What the transform multiplies by: its columns' inputs by `twist` (rows, 1), their outputs by `table`."""

    twist: Complexes
    table: Complexes
    table_back: Complexes


@lru_cache(maxsize=4)
def _factors(length: int) -> _Factors:
    """Return the factors of a transform of `length`: of exp(-2 pi i j (k - 1/4) / length), j = columns j1 + j2."""
    rows = min(MOST_ROWS, 1 << ((length & -length).bit_length() // 2))
    row, column = np.arange(rows)[:, None], np.arange(length // rows)
    table = _roots(column * (1 - 4 * row), 4 * length)
    return _Factors(_roots(row, 4 * rows), table, table.conj())


def _roots(powers: NDArray[np.int64], order: int) -> Complexes:
    """Return exp(2 pi i powers / order); the angle is made small in whole numbers first."""
    half = order // 2
    angle = ((powers + half) % order - half) * (math.pi / half)
    made = np.empty(angle.shape, dtype=np.complex128)
    np.cos(angle, out=made.real)
    np.sin(angle, out=made.imag)
    return made


def _spectrum(terms: list[tuple[Bits, float]], factors: _Factors) -> Complexes:
    """Return the transform, shape of the factors' table, of the sum of centred bits, each times its number."""
    made = np.empty(factors.table.shape, dtype=np.complex128)
    flat = made.reshape(-1)
    for part, first in ((flat.real, 0), (flat.imag, len(flat))):
        for at in range(0, len(flat), PIECE):
            place = part[at : at + PIECE]
            piece = np.zeros(len(place))
            for bits, scale in terms:
                some = bits[first + at : first + at + len(place)]
                piece[: len(some)] += some * scale - 0.5 * scale
            place[:] = piece
    made *= factors.twist
    made = scipy.fft.fft(made, axis=0, overwrite_x=True)
    made *= factors.table
    return np.asarray(scipy.fft.fft(made, axis=1, overwrite_x=True))


def _coefficients(values: Complexes, factors: _Factors) -> Complexes:
    """Return the sequence with this transform, its second half the imaginary part; `values` is overwritten."""
    made = scipy.fft.ifft(values, axis=1, overwrite_x=True)
    made *= factors.table_back
    made = scipy.fft.ifft(made, axis=0, overwrite_x=True)
    with np.errstate(invalid="ignore"):  # what is no number is refused, not warned of
        made *= factors.twist.conj()
    return np.asarray(made.reshape(-1))


def _reals(flat: Complexes, start: int, stop: int) -> Reals:
    """Return the places `start`..`stop` - 1 of the sequence that `flat` holds."""
    n = len(flat)
    return np.concatenate([flat.real[start:stop], flat.imag[max(0, start - n) : max(0, stop - n)]])


def _check_bits(bits: Bits, name: str, *, dimensions: tuple[int, ...]) -> None:
    if bits.dtype != np.uint8 or bits.ndim not in dimensions or bits.size == 0:
        raise ValueError(f"the {name} must be a filled array of uint8, one bit an element")
    if bits.max() > 1:
        raise ValueError(f"the {name} holds elements other than 0 and 1")
