"""Verification that two keys are equal: a polynomial over a prime field, evaluated at a random point, cut to t bits.

The key is cut in blocks of 120 bits, preceded by its length; these are the coefficients of r, r^2, ... r^k over GF(p),
p = 2^127 - 1. Two different keys give polynomials whose difference is not constant, so it takes any one value for at
most k points r (polynomial hashing: R. Taylor, B. den Boer, T. Johansson et al., all 1993; for QKD K. Bibak et al., EPJ
Quantum Technology 9, 8 (2022)). The last t bits agree only where the difference is one of fewer than 2 p / 2^t + 1
values. So the tags of different keys agree with probability at most k (2^(1 - t) + 1/p), whatever the keys, when r is
uniform and drawn after both keys are fixed. A tag sent in clear tells at most t bits: count them as disclosed.
The count of values is derived here, and tested over every point of a small field.
"""

PRIME = 2**127 - 1
MAX_TAG_BITS = 127
BLOCK_OCTETS = 15


def tag(key: bytes | bytearray | memoryview, length_bits: int, point: int, tag_bits: int) -> int:
    """Return the tag of a key of `length_bits`, packed with unused last bits 0, at the random `point` in 0..p - 1.

    Raises `ValueError` for a point, length or tag out of range.
    """
    if not 0 <= point < PRIME or not 1 <= tag_bits <= MAX_TAG_BITS:
        raise ValueError(f"the point must be in 0..2^127 - 2, the tag have 1 to {MAX_TAG_BITS} bits")
    unused = 8 * len(key) - length_bits
    if not 0 <= unused < 8 or (unused and key[-1] & ((1 << unused) - 1)):
        raise ValueError("the octets of the key do not fit its length in bits")
    value = length_bits * point % PRIME
    for at in range(0, len(key), BLOCK_OCTETS):
        value = (value + int.from_bytes(key[at : at + BLOCK_OCTETS], "big")) * point % PRIME
    return value & ((1 << tag_bits) - 1)


def collision_probability(length_bits: int, tag_bits: int) -> float:
    """Return the largest probability that two different keys of at most `length_bits` get the same tag, at most 1."""
    if length_bits < 0 or not 1 <= tag_bits <= MAX_TAG_BITS:
        raise ValueError(f"the length must not be negative, the tag have 1 to {MAX_TAG_BITS} bits")
    terms = -(-length_bits // (8 * BLOCK_OCTETS)) + 1
    return min(1.0, terms * (2.0 ** (1 - tag_bits) + 1.0 / PRIME))


def tag_bits_for(length_bits: int, epsilon: float) -> int:
    """Return the fewest tag bits that keep `collision_probability` at or below `epsilon`.

    Raises `ValueError` when no tag of this hash does, or `epsilon` is not in 0..1 without the ends.
    """
    if not 0.0 < epsilon < 1.0:
        raise ValueError("epsilon must lie between 0 and 1")
    for bits in range(1, MAX_TAG_BITS + 1):
        if collision_probability(length_bits, bits) <= epsilon:
            return bits
    raise ValueError(f"no tag of {MAX_TAG_BITS} bits reaches {epsilon:g} for a key of {length_bits} bits")
