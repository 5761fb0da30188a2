"""The classical security strength of a public-key algorithm, for rules that speak only of the weaker ones."""

from keystrand.model.algorithm import Algorithm

_BY_MODULUS = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (1024, 80))
"""Modulus in bits to strength in bits, largest first: NIST SP 800-57 part 1 rev. 5, Table 2, columns IFC and FFC."""

_INTEGER_FAMILIES = frozenset({"RSA", "FFDH", "DSA"})
_CURVE_FAMILIES = frozenset({"ECDH", "ECDSA", "EdDSA"})


def classical_strength(algorithm: Algorithm) -> int | None:
    """Return the strength of `algorithm` against a classical attacker in bits; None where it is not known.

    Moduli between two steps of the table count as the lower one; a curve has half the bits of its field
    (SP 800-57 part 1 rev. 5, Table 2, column ECC).
    """
    if algorithm.bits is None:
        return None
    if algorithm.family in _CURVE_FAMILIES:
        return algorithm.bits // 2
    if algorithm.family in _INTEGER_FAMILIES:
        return next((strength for modulus, strength in _BY_MODULUS if algorithm.bits >= modulus), 0)
    return None
