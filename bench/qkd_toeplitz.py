"""Privacy amplification by our Toeplitz hashing, on SciPy alone, held against the matrix done with big integers."""

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.measure import Row, row
from bench.qkd_rows import Figures, Rival, Stopwatch, contest, rate_rows, say, speed_rows, total
from keystrand.qkd.cascade import Bits
from keystrand.qkd.toeplitz import SeedSpectrum, amplify

SIZES = (2**20, 2**21, 2**22)
LEAST_MBIT = 50.0
BATCH = 4
BIG_INTEGERS = "big-integer reference"


def rows(repeats: int) -> list[Row]:
    """Return the rows of single keys, of batches, and of the reference at the smallest size."""
    made = []
    for bits in SIZES:
        title = f"Toeplitz, {bits:,} bits to half"
        say(title)
        for what, job in _JOBS.items():
            samples = contest(repeats, partial(job, bits)).ours
            made += rate_rows(f"{title}: {what}", "Mbit/s", samples, at_least=LEAST_MBIT)
    return [*made, *_reference_rows(SIZES[0])]


def _reference_rows(bits: int) -> list[Row]:
    title = f"Toeplitz, {bits:,} bits to half, beside big integers"
    say(title)
    made = contest(1, partial(single_key, bits), [Rival(BIG_INTEGERS, lambda: partial(compared, bits))])
    theirs = made.rivals[BIG_INTEGERS]
    wrong = total(theirs, "wrong") if not isinstance(theirs, str) else float(bits)
    differ = row(f"{title}: bits that differ", [wrong], "bits", goal=0)
    return [*speed_rows(title, "Mbit/s", made), differ]


def drawn(bits: int, keys: int, seed: int) -> tuple[Bits, Bits]:
    """Return keys and a seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (keys, bits), dtype=np.uint8), rng.integers(0, 2, bits - 1, dtype=np.uint8)


def single_key(bits: int, seed: int) -> Figures:
    """Amplify one key with a seed of its own."""
    keys, public = drawn(bits, 1, seed)
    watch = Stopwatch()
    amplify(keys[0], public, bits // 2)
    return watch.rates(bits / 1e6)


def single_key_of_known_seed(bits: int, seed: int) -> Figures:
    """Amplify one key; the seed came earlier, and its transform was made while waiting for the key."""
    keys, public = drawn(bits, 1, seed)
    spectrum = SeedSpectrum(public, bits // 2)
    watch = Stopwatch()
    amplify(keys[0], spectrum, bits // 2)
    return watch.rates(bits / 1e6)


def many_keys(bits: int, seed: int) -> Figures:
    """Amplify keys that share a seed, its transform included."""
    keys, public = drawn(bits, BATCH, seed)
    watch = Stopwatch()
    amplify(keys, SeedSpectrum(public, bits // 2), bits // 2)
    return watch.rates(BATCH * bits / 1e6)


def compared(bits: int, seed: int) -> Figures:
    """Hash a key with big integers, and count the bits in which ours differs."""
    keys, public = drawn(bits, 1, seed)
    watch = Stopwatch()
    expected = hashed_by_integers(keys[0], public, bits // 2)
    rates = watch.rates(bits / 1e6)
    wrong = int(np.count_nonzero(amplify(keys[0], public, bits // 2) != expected))
    return rates | {"wrong": float(wrong)}


def hashed_by_integers(key: Bits, seed: Bits, output_bits: int) -> Bits:
    """Return T x1 + x2 over GF(2): each one of x1 adds a window of the seed, all windows whole numbers."""
    split = key.size - output_bits
    whole = int.from_bytes(np.packbits(seed, bitorder="little").tobytes(), "little")
    mask = (1 << output_bits) - 1
    found = int.from_bytes(np.packbits(key[split:], bitorder="little").tobytes(), "little")
    for place in np.flatnonzero(key[:split]).tolist():
        found ^= (whole >> (split - 1 - place)) & mask
    octets = np.frombuffer(found.to_bytes(-(-output_bits // 8), "little"), dtype=np.uint8)
    return np.unpackbits(octets, bitorder="little")[:output_bits]


_JOBS: dict[str, Callable[[int, int], Figures]] = {
    "one key, its seed's transform included": single_key,
    "one key, its seed's transform made before": single_key_of_known_seed,
    f"{BATCH} keys of one seed, its transform included": many_keys,
}
