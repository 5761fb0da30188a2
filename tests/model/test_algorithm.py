"""What is known of algorithms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.algorithm import COMPOSITE_SIGNATURES, Function, Verdict, classify


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
    ],
)
def test_known_algorithms(name: str, verdict: Verdict, function: Function) -> None:
    """Public-key algorithms are broken whatever their size; the replacements are not; drafts are unknown."""
    assert (classify(name).verdict, classify(name).function) == (verdict, function)


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
