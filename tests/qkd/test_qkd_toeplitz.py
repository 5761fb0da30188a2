"""Privacy amplification against arithmetic over GF(2) that knows no rounding."""

import math

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keystrand.qkd import toeplitz
from keystrand.qkd.toeplitz import RoundingDoubt, SeedSpectrum, amplify


def draw_bits(generator: np.random.Generator, *shape: int) -> toeplitz.Bits:
    """Return uniform bits."""
    return generator.integers(0, 2, shape, dtype=np.uint8)


def by_rows(key: toeplitz.Bits, seed: toeplitz.Bits, output_bits: int) -> list[int]:
    """Return y = T x1 + x2 row by row, with integers of any size: the parity of what row and key share."""
    split = len(key) - output_bits
    head = int("".join(map(str, key[:split])), 2)
    made = []
    for i in range(output_bits):
        row = int("".join(str(seed[i - j + split - 1]) for j in range(split)), 2)
        made.append(((row & head).bit_count() + int(key[split + i])) % 2)
    return made


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(1, 9), st.data())
def test_equals_the_matrix(key_bits: int, count: int, data: st.DataObject) -> None:
    """Any size, any number of keys in one call: each output is the matrix times its key."""
    output_bits = data.draw(st.integers(1, key_bits - 1))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    keys, seed = draw_bits(generator, count, key_bits), draw_bits(generator, key_bits - 1)
    made = amplify(keys, SeedSpectrum(seed, output_bits), output_bits)
    assert made.tolist() == [by_rows(key, seed, output_bits) for key in keys]
    assert amplify(keys[0], seed, output_bits).tolist() == made[0].tolist()


@pytest.mark.parametrize(
    ("n", "m", "count", "ones"),
    [
        (1 << 20, 1 << 19, 4, False),
        (1 << 20, 1 << 19, 4, True),
        (1 << 22, 1 << 21, 1, False),
        (1 << 22, 1 << 21, 1, True),
        (1 << 22, 1 << 20, 1, False),
        (1_200_003, 300_001, 1, False),
    ],
)
def test_equals_the_matrix_at_a_million_bits(n: int, m: int, count: int, *, ones: bool) -> None:
    """Keys of 2^20 to 2^22 bits, random and of ones alone (the largest sums): sampled rows agree."""
    generator = np.random.default_rng(1)
    keys, seed = draw_bits(generator, count, n), draw_bits(generator, n - 1)
    if ones:
        keys[:], seed[:] = 1, 1
    made = amplify(keys, seed, m)
    half = (m + 1) // 2
    for i in [0, 1, half - 1, half, m - 1, *generator.integers(0, m, 60).tolist()]:
        row = np.packbits(seed[i : i + n - m][::-1])
        shared = np.bitwise_count(row & np.packbits(keys[:, : n - m], axis=1)).sum(axis=1)
        assert np.array_equal((shared + keys[:, n - m + i]) % 2, made[:, i])


@settings(deadline=None, max_examples=20)
@given(st.integers(200, 5000), st.data())
def test_one_sum_or_two_in_a_number_give_the_same(key_bits: int, data: st.DataObject) -> None:
    """Where two sums do not fit a number, each has its own: the same key comes out."""
    output_bits = data.draw(st.integers(1, key_bits - 1))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    key, seed = draw_bits(generator, key_bits), draw_bits(generator, key_bits - 1)
    made = []
    for base in (0, 1 << ((key_bits - output_bits) // 2 + 1).bit_length()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(toeplitz, "base_for", lambda *_, base=base: base)
            made.append(amplify(key, seed, output_bits).tolist())
    assert made[0] == made[1] == amplify(key, seed, output_bits).tolist()


@pytest.mark.parametrize("length", [12, 96, 3 << 10])
def test_factors_are_as_exact_as_the_proof_takes_them(length: int) -> None:
    """Within 16u of sine and cosine of an angle that whole numbers brought below a quarter of a right angle."""
    factors = toeplitz._factors(length)
    rows, columns = factors.table.shape
    assert rows * columns == length
    for row, column in np.ndindex(rows, columns):
        quadrant, rest = divmod(column * (1 - 4 * row) + length // 2, length)
        angle = (rest - length // 2) / length * (math.pi / 2)
        exact = complex(math.cos(angle), math.sin(angle)) * 1j ** (quadrant % 4)
        assert abs(factors.table[row, column] - exact) < 18 * 2.0**-53


def test_transform_is_the_smallest_that_holds_the_sums() -> None:
    """Of lengths 2^k and 3 2^k of complex numbers, two sums each."""
    lengths = sorted(2**a * 3**b for a in range(12) for b in (0, 1))
    for length in range(1, 2000):
        assert toeplitz.complex_length(length) == min(n for n in lengths if 2 * n >= length)


@given(st.integers(0, 2**32))
def test_is_linear_in_the_key(number: int) -> None:
    """The hash of a sum is the sum of the hashes."""
    generator = np.random.default_rng(number)
    one, two, seed = draw_bits(generator, 500), draw_bits(generator, 500), draw_bits(generator, 499)
    assert np.array_equal(amplify(one ^ two, seed, 200), amplify(one, seed, 200) ^ amplify(two, seed, 200))


def test_margin_is_far_from_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed sums at 2^20 stay within a hundredth of an integer; the proven bound allows them up to 2^22 at least."""
    n, m = 1 << 20, 1 << 19
    generator = np.random.default_rng(2)
    spectrum = SeedSpectrum(draw_bits(generator, n - 1), m)
    monkeypatch.setattr(toeplitz, "MARGIN", 0.01)
    amplify(draw_bits(generator, n), spectrum, m)
    assert spectrum.base > (n - m) / 2
    assert toeplitz.error_bound(n - m, m, spectrum.base) < 0.01
    monkeypatch.undo()
    assert toeplitz.base_for(1 << 21, 1 << 21) > 1 << 20
    assert toeplitz.error_bound(1 << 29, 1 << 29, 0) < 0.125


def test_block_beyond_the_proof_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sum is made where its error was not proven to be small."""
    monkeypatch.setattr(toeplitz, "MARGIN", 1e-13)
    with pytest.raises(RoundingDoubt, match="proven"):
        amplify(np.ones(1000, np.uint8), np.ones(999, np.uint8), 500)
    monkeypatch.undo()
    with pytest.raises(RoundingDoubt, match="proven"):
        toeplitz.base_for(1 << 31, 1 << 31)


@pytest.mark.parametrize("fault", [0.3, -1e6, 1e12, np.nan, np.inf])
def test_doctored_transform_is_refused(monkeypatch: pytest.MonkeyPatch, fault: float) -> None:
    """A sum that is no integer, out of range or no number makes an exception, never a bit."""
    real = scipy.fft.ifft

    def doctored(values: NDArray[np.complex128], *, axis: int, **_: bool) -> NDArray[np.complex128]:
        made = real(values, axis=axis)
        made.imag[0, 5] += fault if axis == 0 else 0.0
        return made

    monkeypatch.setattr(scipy.fft, "ifft", doctored)
    with pytest.raises(RoundingDoubt):
        amplify(np.ones(100, np.uint8), np.ones(99, np.uint8), 50)


@pytest.mark.parametrize(("key", "seed", "output_bits"), [(10, 10, 5), (10, 8, 5), (10, 9, 10), (10, 9, 0), (0, 9, 1)])
def test_wrong_lengths_are_refused(key: int, seed: int, output_bits: int) -> None:
    """Key, seed and output must fit each other."""
    with pytest.raises(ValueError, match=r"must|takes"):
        amplify(np.zeros(key, np.uint8), np.zeros(seed, np.uint8), output_bits)


def test_spectrum_of_another_output_is_refused() -> None:
    """The windows of the seed are those of one length of output."""
    with pytest.raises(ValueError, match="an output of 4 bits"):
        amplify(np.zeros(10, np.uint8), SeedSpectrum(np.zeros(9, np.uint8), 4), 5)


def test_elements_other_than_bits_are_refused() -> None:
    """Packed octets in the place of bits would give a key that looks well."""
    with pytest.raises(ValueError, match="other than 0 and 1"):
        amplify(np.full(10, 2, np.uint8), np.zeros(9, np.uint8), 5)
