"""Ciphers, hashes and the like: resisting, broken today, or neither known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.symmetric import symmetric

SAFE, BROKEN, UNKNOWN = Verdict.QUANTUM_SAFE, Verdict.QUANTUM_VULNERABLE, Verdict.UNKNOWN

KNOWN = {
    "AES-128-GCM": (Function.ENCRYPTION, SAFE, 128, 1),
    "AES-256-CBC-PKCS7": (Function.ENCRYPTION, SAFE, 256, 5),
    "AES": (Function.ENCRYPTION, SAFE, None, 1),
    "AES-64": (Function.ENCRYPTION, UNKNOWN, 64, None),
    "AES-512-GCM": (Function.ENCRYPTION, UNKNOWN, 512, None),
    "Camellia-40-CBC": (Function.ENCRYPTION, UNKNOWN, 40, None),
    "AES-CMAC": (Function.MAC, SAFE, None, 1),  # as documents of before have it
    "AES-128-GMAC": (Function.MAC, SAFE, 128, 1),
    "CMAC-AES": (Function.MAC, SAFE, None, 1),
    "CMAC-AES-256": (Function.MAC, SAFE, 256, 5),
    "NULL": (Function.ENCRYPTION, BROKEN, None, None),
    "ChaCha20-Poly1305": (Function.ENCRYPTION, SAFE, 256, None),
    "Camellia-256-CBC": (Function.ENCRYPTION, SAFE, 256, None),
    "3DES-168-CBC": (Function.ENCRYPTION, UNKNOWN, None, None),
    "DES-CBC": (Function.ENCRYPTION, BROKEN, None, None),
    "RC4": (Function.ENCRYPTION, BROKEN, None, None),
    "SHA-256": (Function.DIGEST, SAFE, 256, 2),
    "SHA-512/256": (Function.DIGEST, SAFE, 256, 2),
    "SHA3-384": (Function.DIGEST, SAFE, 384, 4),
    "MD5": (Function.DIGEST, BROKEN, None, None),
    "SHA-1": (Function.DIGEST, BROKEN, None, None),
    "RIPEMD-160": (Function.DIGEST, UNKNOWN, None, None),
    "HMAC-SHA-256": (Function.MAC, SAFE, None, None),
    "HMAC-SHA-1": (Function.MAC, UNKNOWN, None, None),
    "HMAC-something": (Function.MAC, UNKNOWN, None, None),
    "PBKDF2-HMAC-SHA-256": (Function.KEY_DERIVATION, SAFE, None, None),
    "Argon2id": (Function.KEY_DERIVATION, SAFE, None, None),
    "CTR_DRBG-AES-256": (Function.RANDOM, SAFE, None, None),
    "insecure-random": (Function.RANDOM, BROKEN, None, None),
    "RSA-OAEP-2048": (Function.ENCRYPTION, BROKEN, 2048, None),
    "Kyber-768": (Function.KEY_ESTABLISHMENT, UNKNOWN, None, None),
    "FN-DSA-512": (Function.SIGNATURE, UNKNOWN, None, None),
    "PPK (RFC 8784)": (Function.KEY_ESTABLISHMENT, UNKNOWN, None, None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_of_each(name: str) -> None:
    """Use, verdict, bits and NIST category of each name."""
    found = classify(name)
    assert (found.function, found.verdict, found.bits, found.nist_level) == KNOWN[name]


@pytest.mark.parametrize("name", [name for name, row in KNOWN.items() if row[1] is not SAFE])
def test_what_is_not_safe_says_why(name: str) -> None:
    """A reader who sees no `safe` beside a cipher is told what is wrong with it."""
    assert classify(name).note or classify(name).family in ("RSA", "HMAC")


@given(st.text(max_size=30))
def test_a_name_that_nobody_knows_is_never_safe(name: str) -> None:
    """Whatever a tool calls its algorithm: what is in no table is unknown."""
    if symmetric(name) is None and not classify(name).family:
        assert classify(name).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("name", "verdict", "level"),
    [
        ("ECDH-P-384+ML-KEM-768", SAFE, 3),
        ("X25519+ML-KEM-768+FrodoKEM-976", SAFE, 3),
        ("X25519+FFDH-2048", BROKEN, None),
        ("X25519+HQC-128", UNKNOWN, None),
        ("ML-DSA-65+Ed25519", SAFE, 3),
        ("ECDSA-P-256+Ed25519", BROKEN, None),
        ("MLKEM768-X25519-SHA3-256", SAFE, 3),
        ("MLKEM1024-ECDH-P384-SHA3-256", SAFE, 5),
        ("MLKEM1024-ECDH-P384-KMAC256", UNKNOWN, None),
    ],
)
def test_joined_key_exchanges_hold_while_one_holds(name: str, verdict: Verdict, level: int | None) -> None:
    """As RFC 9370 joins them; what nobody can name stays unknown and is no hybrid."""
    assert (classify(name).verdict, classify(name).nist_level) == (verdict, level)


@pytest.mark.parametrize(
    "name",
    [
        "ML-KEM-768+",
        "+ML-KEM-768",
        "ML-KEM-768+nothing",
        "AES-128-GCM+ML-KEM-768",
        "+",
        "ML-DSA-65+ML-KEM-768",
        "MD5+SHA-256",
    ],
)
def test_what_is_no_pair_of_key_exchanges_is_unknown(name: str) -> None:
    """A word that is not known makes the whole unknown."""
    assert classify(name).verdict is UNKNOWN


@pytest.mark.parametrize(
    "name",
    ["AES-17-CBC", "AES-512", "AES-0", "Camellia-40-CBC", "Serpent-8", "CMAC-DES", "GMAC-RC4", "UMAC-16", "Poly1305-x",
     "CTR_DRBG-DES", "Hash_DRBG-MD5", "system-random-rand", "BLAKE2b-8", "Skein-160", "SHAKE512", "SHA3-128",
     "HMAC-AES-128-ECB", "HKDF-system-random", "HMAC-" * 3000 + "SHA-256", "RSA-" + "9" * 5000, "AES-" + "9" * 5000,
     "X25519+" * 100_000 + "ML-KEM-768"],
    ids=lambda name: name[:24],
)  # fmt: skip
def test_a_size_or_part_that_nobody_uses_is_neither_safe_nor_a_crash(name: str) -> None:
    """A key length comes from the wire, a name from anybody's report: what looks like a known one may be none."""
    assert classify(name).verdict is UNKNOWN


@pytest.mark.parametrize("name", ["Camellia-192-CBC", "CMAC-AES-128-XCBC", "CMAC-256", "UMAC-64", "BLAKE2s-256"])
def test_the_sizes_and_parts_in_use_stay_safe(name: str) -> None:
    """The names that our own readers give."""
    assert classify(name).verdict is SAFE


@given(
    st.from_regex(
        r"(AES|SHA-|SHA3-|SHAKE|Camellia|HMAC-SHA-|ML-KEM-|ML-DSA-|RSA-|ECDH-)-?[0-9]{0,6}(-[A-Z]{3})?", fullmatch=True
    )
)
def test_no_size_makes_the_catalogue_fail(name: str) -> None:
    """Reports of other tools write sizes that do not exist."""
    assert classify(name).verdict in Verdict
