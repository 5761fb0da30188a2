"""Random words by number: word n of a stream, in any order and at any time, so a run may be cut where one likes.

The function is SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014, with the mixer of D. Stafford), told in
full below. For simulation only: anybody can work out a stream from a few of its words, so no key is ever made of it.
"""

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.compiled import compiled, inlined

Words = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE, _S11 = np.uint64(1), np.uint64(11)


@inlined
def word(key: np.uint64, number: int) -> np.uint64:
    """Return word `number` (from 0) of the stream `key`, 64 bits."""
    z = key + (np.uint64(number) + _ONE) * _STEP
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


@compiled
def fill(key: np.uint64, first: int, words: Words, size: int) -> None:
    """Write words `first`.. `first` + `size` - 1 of the stream; the loop is simple so that it runs on vectors."""
    base = key + (np.uint64(first) + _ONE) * _STEP
    for i in range(size):
        z = base + np.uint64(i) * _STEP
        z = (z ^ (z >> _S30)) * _FIRST
        z = (z ^ (z >> _S27)) * _SECOND
        words[i] = z ^ (z >> _S31)


@inlined
def ratio(random_word: np.uint64) -> float:
    """Return a number in [0, 1), a multiple of 2^-53, from a word."""
    return np.float64(random_word >> _S11) * 2.0**-53


def keys(seed: int, streams: int) -> Words:
    """Return the keys of `streams` streams of one seed. Raises ValueError for a seed beyond 0 to 2^63 - 1."""
    if not 0 <= seed < 2**63:
        raise ValueError("a seed is a whole number from 0 to 2^63 - 1")
    return np.asarray(np.random.SeedSequence(seed).generate_state(streams, np.uint64), dtype=np.uint64)
