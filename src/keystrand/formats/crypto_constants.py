"""Tables that give an algorithm away inside a program without names: weak evidence that the code for it is there.

Sources: FIPS 197 (S-box), FIPS 180-4 (constants), RFC 1321 (sine table), RFC 8439 (the words of ChaCha20), FIPS 203 and
204 (powers of the root of unity, in the Montgomery form of the reference code), FIPS 46-3, GB/T 32907 (SM4).
The tables are computed here from their definitions where those are short.
"""

import math
import struct

from keystrand.model.algorithm import Function

_KYBER_Q, _DILITHIUM_Q = 3329, 8380417
_KYBER_ROOT, _DILITHIUM_ROOT = 17, 1753
_KYBER_R, _DILITHIUM_R = 1 << 16, 1 << 32
_WORDS = 6
"""Words of a table that are looked for: 24 octets do not come about by chance."""


def _reversed_bits(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


def _centred(value: int, modulus: int) -> int:
    return value - modulus if value > modulus // 2 else value


def _kyber() -> bytes:
    """Return the second to ninth power in the reference code's order: the first differs between programs."""
    powers = (pow(_KYBER_ROOT, _reversed_bits(n, 7), _KYBER_Q) * _KYBER_R % _KYBER_Q for n in range(1, 9))
    return struct.pack("<8h", *(_centred(power, _KYBER_Q) for power in powers))


def _dilithium() -> bytes:
    powers = (
        pow(_DILITHIUM_ROOT, _reversed_bits(n, 8), _DILITHIUM_Q) * _DILITHIUM_R % _DILITHIUM_Q for n in range(1, 7)
    )
    return struct.pack("<6i", *(_centred(power, _DILITHIUM_Q) for power in powers))


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root_bits(prime: int, bits: int) -> int:
    """Return the first `bits` of the fractional part of the cube root (FIPS 180-4, 4.2.2)."""
    scaled = prime << 3 * bits
    low, high = 0, 1 << bits + 8
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= scaled else (low, middle - 1)
    return low & (1 << bits) - 1


def _sha2(bits: int) -> bytes:
    form = "<6I" if bits == 32 else "<6Q"
    return struct.pack(form, *(_cube_root_bits(prime, bits) for prime in _primes(_WORDS)))


def _sines() -> bytes:
    return struct.pack("<6I", *(int(abs(math.sin(n + 1)) * 2**32) for n in range(_WORDS)))


def _s_box() -> bytes:
    """Return the first row of the S-box: inverses in GF(2^8) and an affine map (FIPS 197, 5.1.1)."""
    return bytes(_substituted(n) for n in range(16))


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return product


def _substituted(number: int) -> int:
    inverse = next((n for n in range(256) if _times(number, n) == 1), 0)
    return 0x63 ^ inverse ^ _turned(inverse, 1) ^ _turned(inverse, 2) ^ _turned(inverse, 3) ^ _turned(inverse, 4)


def _turned(octet: int, by: int) -> int:
    return (octet << by | octet >> 8 - by) & 0xFF


def _round_table() -> bytes:
    """Return the first words of the table that joins S-box and column mix, as programs of 32 bits have it."""
    rows = ((_times(s, 2), s, s, _times(s, 3)) for s in map(_substituted, range(4)))
    return b"".join(bytes(reversed(row)) for row in rows)


TABLES: tuple[tuple[bytes, str, Function], ...] = (
    (_s_box(), "AES", Function.ENCRYPTION),
    (_round_table(), "AES", Function.ENCRYPTION),
    (_sha2(32), "SHA-256", Function.DIGEST),
    (_sha2(64), "SHA-512", Function.DIGEST),
    (_sines(), "MD5", Function.DIGEST),
    (b"expand 32-byte k", "ChaCha20", Function.ENCRYPTION),
    (_kyber(), "ML-KEM", Function.KEY_ESTABLISHMENT),
    (_dilithium(), "ML-DSA", Function.SIGNATURE),
)
"""What is looked for, what it gives away, and what that is for."""
