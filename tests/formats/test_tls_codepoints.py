"""Code points have names the catalogue of algorithms knows."""

from datetime import date

import pytest

from keystrand.formats import tls_codepoints as codes
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import Certificate


def certificate(key_algorithm: str, key_bits: int | None) -> Certificate:
    """Return a certificate with that key."""
    return Certificate(
        sha256="0" * 64,
        spki_sha256="0" * 64,
        subject="",
        issuer="",
        serial="1",
        not_before=date(2026, 1, 1),
        not_after=date(2027, 1, 1),
        signature_algorithm=key_algorithm,
        key_algorithm=key_algorithm,
        key_bits=key_bits,
    )


@pytest.mark.parametrize("group", codes.POST_QUANTUM_GROUPS)
def test_post_quantum_groups_are_never_vulnerable(group: int) -> None:
    """Each is in the catalogue: safe, or unknown for drafts of Kyber."""
    algorithm = classify(codes.group_name(group))
    assert algorithm.function is Function.KEY_ESTABLISHMENT
    assert algorithm.verdict is (Verdict.UNKNOWN if "Kyber" in algorithm.name else Verdict.QUANTUM_SAFE)
    assert algorithm.family


@pytest.mark.parametrize("group", codes.OLD_GROUPS)
def test_classical_groups_are_vulnerable(group: int) -> None:
    """Each classical group is in the catalogue and falls to Shor."""
    assert classify(codes.group_name(group)).verdict is Verdict.QUANTUM_VULNERABLE


@pytest.mark.parametrize("scheme", codes.POST_QUANTUM_SCHEMES)
def test_post_quantum_schemes_are_safe(scheme: int) -> None:
    """Each is a signature the catalogue calls safe."""
    algorithm = classify(codes.scheme_name(scheme), Function.KEY_ESTABLISHMENT)
    assert (algorithm.function, algorithm.verdict) == (Function.SIGNATURE, Verdict.QUANTUM_SAFE)


@pytest.mark.parametrize("scheme", codes.CLASSICAL_SCHEMES)
def test_classical_schemes_are_vulnerable(scheme: int) -> None:
    """Each is a signature the catalogue calls vulnerable."""
    algorithm = classify(codes.scheme_name(scheme), Function.KEY_ESTABLISHMENT)
    assert (algorithm.function, algorithm.verdict) == (Function.SIGNATURE, Verdict.QUANTUM_VULNERABLE)


def test_names_take_the_size_from_the_certificate() -> None:
    """RSA has its size and, before TLS 1.3, ECDSA its curve from the certificate's key."""
    rsa, curve = certificate("RSA-2048", 2048), certificate("ECDSA-P-384", None)
    assert codes.scheme_name(0x0804, rsa) == "RSA-2048"
    assert codes.scheme_name(0x0804) == "RSA"
    assert codes.sized("RSA-KEX", rsa) == "RSA-KEX-2048"
    assert codes.sized("RSA-KEX", curve) == "RSA-KEX"
    assert codes.scheme_name(0x0403, curve) == "ECDSA-P-384"


def test_what_is_not_known_keeps_its_number() -> None:
    """A code point outside our tables is named by its number, and the catalogue calls it unknown."""
    assert codes.group_name(0xF1F1) == "TLS-group-0xf1f1"
    assert classify(codes.group_name(0xFE30)).verdict is Verdict.UNKNOWN
    assert codes.scheme_name(0xF1F1) == "TLS-signature-0xf1f1"


def test_slh_dsa_ends_where_the_registry_ends() -> None:
    """The twelve SLH-DSA schemes run from SHA2-128s at 0x0911 to SHAKE-256f at 0x091c."""
    assert codes.SLH_DSA_SCHEMES[0x0911] == "SLH-DSA-SHA2-128s"
    assert codes.SLH_DSA_SCHEMES[0x091C] == "SLH-DSA-SHAKE-256f"
    assert len(codes.SLH_DSA_SCHEMES) == 12
