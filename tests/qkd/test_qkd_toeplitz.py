"""Privacy amplification against arithmetic over GF(2) that knows no rounding."""

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
    made = amplify(keys, SeedSpectrum(seed), output_bits)
    assert made.tolist() == [by_rows(key, seed, output_bits) for key in keys]
    assert amplify(keys[0], seed, output_bits).tolist() == made[0].tolist()


@pytest.mark.parametrize("ones", [False, True])
def test_equals_the_matrix_at_a_million_bits(ones: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Four packed keys of 2^20 bits, random and of ones alone (the largest sums): sampled rows agree."""
    n, m = 1 << 20, 1 << 19
    generator = np.random.default_rng(1)
    keys, seed = draw_bits(generator, 4, n), draw_bits(generator, n - 1)
    if ones:
        keys[:], seed[:] = 1, 1
    made = amplify(keys, seed, m)
    for i in [0, 1, m - 1, *generator.integers(0, m, 60).tolist()]:
        row = np.packbits(seed[i : i + n - m][::-1])
        shared = np.bitwise_count(row & np.packbits(keys[:, : n - m], axis=1)).sum(axis=1)
        assert np.array_equal((shared + keys[:, n - m + i]) % 2, made[:, i])


@given(st.integers(0, 2**32))
def test_is_linear_in_the_key(number: int) -> None:
    """The hash of a sum is the sum of the hashes."""
    generator = np.random.default_rng(number)
    one, two, seed = draw_bits(generator, 500), draw_bits(generator, 500), draw_bits(generator, 499)
    assert np.array_equal(amplify(one ^ two, seed, 200), amplify(one, seed, 200) ^ amplify(two, seed, 200))


def test_margin_is_far_from_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed sums at 2^20 stay within a hundredth of an integer, and within the proven bound."""
    n, m = 1 << 20, 1 << 19
    generator = np.random.default_rng(2)
    monkeypatch.setattr(toeplitz, "MARGIN", 0.01)
    spectrum = SeedSpectrum(draw_bits(generator, n - 1))
    toeplitz._group(draw_bits(generator, 4, n - m), spectrum, m, 1 << 20)
    assert toeplitz.error_bound(n, n - m, 2.0**20 + 1) < 0.125
    assert toeplitz.error_bound(1 << 30, 1 << 30) < 0.125


@pytest.mark.parametrize("fault", [0.3, -1e6, 1e12, np.nan, np.inf])
def test_doctored_transform_is_refused(monkeypatch: pytest.MonkeyPatch, fault: float) -> None:
    """A sum that is no integer, out of range or no number makes an exception, never a bit."""
    real = scipy.fft.ifft

    def doctored(values: NDArray[np.complex128], **_: bool) -> NDArray[np.complex128]:
        made = real(values)
        made.real[60] += fault
        return made

    monkeypatch.setattr(scipy.fft, "ifft", doctored)
    with pytest.raises(RoundingDoubt):
        amplify(np.ones(100, np.uint8), np.ones(99, np.uint8), 50)


@pytest.mark.parametrize(("key", "seed", "output_bits"), [(10, 10, 5), (10, 8, 5), (10, 9, 10), (10, 9, 0), (0, 9, 1)])
def test_wrong_lengths_are_refused(key: int, seed: int, output_bits: int) -> None:
    """Key, seed and output must fit each other."""
    with pytest.raises(ValueError, match=r"must|takes"):
        amplify(np.zeros(key, np.uint8), np.zeros(seed, np.uint8), output_bits)


def test_elements_other_than_bits_are_refused() -> None:
    """Packed octets in the place of bits would give a key that looks well."""
    with pytest.raises(ValueError, match="other than 0 and 1"):
        amplify(np.full(10, 2, np.uint8), np.zeros(9, np.uint8), 5)
