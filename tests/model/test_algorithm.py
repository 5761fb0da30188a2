"""What is known of algorithms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.algorithm import _FIXED, COMPOSITE_SIGNATURES, Function, Verdict, classify


@pytest.mark.parametrize(
    ("name", "verdict", "function"),
    [
        ("RSA-2048", Verdict.QUANTUM_VULNERABLE, Function.SIGNATURE),
        ("RSA-15360", Verdict.QUANTUM_VULNERABLE, Function.SIGNATURE),
        ("RSA-KEX-2048", Verdict.QUANTUM_VULNERABLE, Function.KEY_ESTABLISHMENT),
        ("ECDSA-P-256", Verdict.QUANTUM_VULNERABLE, Function.SIGNATURE),
        ("Ed25519", Verdict.QUANTUM_VULNERABLE, Function.SIGNATURE),
        ("X25519", Verdict.QUANTUM_VULNERABLE, Function.KEY_ESTABLISHMENT),
        ("FFDH-8192", Verdict.QUANTUM_VULNERABLE, Function.KEY_ESTABLISHMENT),
        ("X25519MLKEM768", Verdict.QUANTUM_SAFE, Function.KEY_ESTABLISHMENT),
        ("ML-KEM-1024", Verdict.QUANTUM_SAFE, Function.KEY_ESTABLISHMENT),
        ("ML-DSA-65", Verdict.QUANTUM_SAFE, Function.SIGNATURE),
        ("SLH-DSA-SHA2-128s", Verdict.QUANTUM_SAFE, Function.SIGNATURE),
        ("MLDSA65-ECDSA-P256-SHA512", Verdict.QUANTUM_SAFE, Function.SIGNATURE),
        ("X25519Kyber768Draft00", Verdict.UNKNOWN, Function.KEY_ESTABLISHMENT),
        ("sntrup761", Verdict.UNKNOWN, Function.KEY_ESTABLISHMENT),
        ("sntrup761x25519-sha512", Verdict.UNKNOWN, Function.KEY_ESTABLISHMENT),
    ],
)
def test_known_algorithms(name: str, verdict: Verdict, function: Function) -> None:
    """Public-key algorithms are broken whatever their size; the replacements are not; drafts are unknown."""
    assert (classify(name).verdict, classify(name).function) == (verdict, function)


FINAL = ("ML-KEM", "ML-DSA", "SLH-DSA", "HBS")
"""Families that FIPS 203, FIPS 204, FIPS 205 and SP 800-208 name."""


@pytest.mark.parametrize("name", [*_FIXED, "ML-KEM-512", "HashML-DSA-65", "SLH-DSA-SHAKE-256s", "RSA-2048", "ECDH"])
def test_safe_is_what_a_final_standard_names_or_a_hybrid_with_it(name: str) -> None:
    """Nothing is safe on the word of a draft alone: the algorithm, or one part of it, is in a final standard."""
    algorithm = classify(name)
    named = {classify(part).family for part in algorithm.components or (name,)} & set(FINAL)
    assert bool(named) is (algorithm.verdict is Verdict.QUANTUM_SAFE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sntrup761x25519-sha512", "RFC 9941"),
        ("X25519Kyber768Draft00", "before FIPS 203"),
        ("MLDSA65-ECDSA-P256-SHA512", "still a draft"),
        ("LMS", "SP 800-208"),
    ],
)
def test_what_stands_between_draft_and_standard_says_so(name: str, words: str) -> None:
    """The note names the document that the verdict rests on, or that is missing."""
    assert words in classify(name).note


@given(st.text())
def test_a_name_nobody_knows_is_never_safe(name: str) -> None:
    """A stray name is unknown unless it is exactly a known one."""
    algorithm = classify(name)
    assert algorithm.verdict is not Verdict.QUANTUM_SAFE or algorithm.family


@pytest.mark.parametrize(
    "name", ["ML-KEM-769", "ML-DSA-65x", "xML-KEM-768", "ML-KEM-768\n", "", "ml-kem-768", "MLDSA65-SHA512"]
)
def test_a_near_miss_is_unknown(name: str) -> None:
    """A look-alike name does not count as the algorithm."""
    assert classify(name).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("name", COMPOSITE_SIGNATURES)
def test_a_composite_is_one_part_that_holds_and_one_that_breaks(name: str) -> None:
    """Both parts of a composite signature are known signatures with their size, the first of them post-quantum."""
    first, second = (classify(part) for part in classify(name).components)
    assert (first.family, first.nist_level) == ("ML-DSA", classify(name).nist_level)
    assert (second.verdict, second.function) == (Verdict.QUANTUM_VULNERABLE, Function.SIGNATURE)
    assert second.bits
