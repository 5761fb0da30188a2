"""Object identifiers of public-key and signature algorithms, by canonical name.

Sources: RFC 3279, 4055, 5480, 5758, 8410 (classical); NIST's Computer Security Objects Register (ML-KEM, ML-DSA,
SLH-DSA); RFC 9708 and RFC 9802 (LMS, XMSS); the drafts of the LAMPS working group (composite signatures).
"""

from keystrand.formats.oids_drafts import COMPOSITE_KEMS, DRAFTS, PREFIXES
from keystrand.model.algorithm import COMPOSITE_SIGNATURES, Verdict, classify

_NIST_SIGNATURES = "2.16.840.1.101.3.4.3."
_NIST_KEMS = "2.16.840.1.101.3.4.4."
_SLH = tuple(f"{family}-{size}{speed}" for family in ("SHA2", "SHAKE") for size in (128, 192, 256) for speed in "sf")

NAMES: dict[str, str] = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.113549.1.1.2": "RSA",
    "1.2.840.113549.1.1.3": "RSA",
    "1.2.840.113549.1.1.4": "RSA",
    "1.2.840.113549.1.1.5": "RSA",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.113549.1.1.11": "RSA",
    "1.2.840.113549.1.1.12": "RSA",
    "1.2.840.113549.1.1.13": "RSA",
    "1.2.840.113549.1.1.14": "RSA",
    "1.2.840.113549.1.1.7": "RSA-OAEP",
    **{f"1.2.840.113549.1.1.{n}": "RSA" for n in (15, 16)},
    **{f"{_NIST_SIGNATURES}{n}": "RSA" for n in (13, 14, 15, 16)},
    **{f"1.3.14.3.2.{n}": "RSA" for n in (2, 3, 4, 11, 14, 15, 24, 29)},
    **{f"1.3.36.3.3.1.{n}": "RSA" for n in (2, 3, 4)},
    "2.5.8.1.1": "RSA",
    "1.3.6.1.5.5.7.6.30": "RSA-PSS",
    "1.3.6.1.5.5.7.6.31": "RSA-PSS",
    "1.2.840.10040.4.1": "DSA",
    **{f"{_NIST_SIGNATURES}{n}": "DSA" for n in (1, 3, 4, 5, 6, 7, 8)},
    **{f"1.3.14.3.2.{n}": "DSA" for n in (12, 13, 27, 28)},
    "1.2.840.10040.4.3": "DSA",
    "2.16.840.1.101.3.4.3.2": "DSA",
    "1.2.840.10045.2.1": "ECDSA",
    "1.3.132.1.12": "ECDH",
    "1.3.132.1.13": "ECDH",
    "1.2.840.10045.4.1": "ECDSA",
    "1.2.840.10045.4.2": "ECDSA",
    "1.2.840.10045.4.3": "ECDSA",
    **{f"{_NIST_SIGNATURES}{n}": "ECDSA" for n in (9, 10, 11, 12)},
    **{f"0.4.0.127.0.7.1.1.4.1.{n}": "ECDSA" for n in range(1, 12)},
    "1.3.6.1.5.5.7.6.32": "ECDSA",
    "1.3.6.1.5.5.7.6.33": "ECDSA",
    "1.2.156.10197.1.501": "ECDSA-SM2",
    "1.2.840.10045.4.3.1": "ECDSA",
    "1.2.840.10045.4.3.2": "ECDSA",
    "1.2.840.10045.4.3.3": "ECDSA",
    "1.2.840.10045.4.3.4": "ECDSA",
    "1.2.840.113549.1.3.1": "FFDH",
    "1.2.840.10046.2.1": "FFDH",
    "1.3.14.7.2.1.1": "ElGamal",
    "1.3.6.1.4.1.3029.1.2.1": "ElGamal",
    "1.3.6.1.4.1.11591.15.1": "Ed25519",
    "1.3.6.1.4.1.3029.1.5.1": "X25519",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "1.2.840.113549.1.9.16.3.17": "LMS",
    "1.3.6.1.5.5.7.6.34": "XMSS",
    "1.3.6.1.5.5.7.6.35": "XMSS",
    **{f"{_NIST_SIGNATURES}{17 + n}": f"ML-DSA-{size}" for n, size in enumerate((44, 65, 87))},
    **{f"{_NIST_SIGNATURES}{20 + n}": f"SLH-DSA-{name}" for n, name in enumerate(_SLH)},
    **{f"{_NIST_SIGNATURES}{32 + n}": f"HashML-DSA-{size}" for n, size in enumerate((44, 65, 87))},
    **{f"{_NIST_SIGNATURES}{35 + n}": f"HashSLH-DSA-{name}" for n, name in enumerate(_SLH)},
    **{f"1.3.6.1.5.5.7.6.{37 + n}": name for n, name in enumerate(COMPOSITE_SIGNATURES)},
    **{f"1.3.6.1.5.5.7.6.{55 + n}": name for n, name in enumerate(COMPOSITE_KEMS)},
    **{f"{_NIST_KEMS}{1 + n}": f"ML-KEM-{size}" for n, size in enumerate((512, 768, 1024))},
}

CURVES: dict[str, str] = {
    "1.2.840.10045.3.1.1": "P-192",
    "1.3.132.0.33": "P-224",
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
    "1.3.132.0.10": "secp256k1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
    "1.2.156.10197.1.301": "SM2",
    "1.2.250.1.223.101.256.1": "FRP256v1",
    **{f"1.2.840.10045.3.1.{n}": name for n, name in ((2, "prime192v2"), (3, "prime192v3"), (4, "prime239v1"),
                                                      (5, "prime239v2"), (6, "prime239v3"))},
    **{f"1.3.132.0.{n}": name for n, name in (
        (6, "secp112r1"), (7, "secp112r2"), (28, "secp128r1"), (29, "secp128r2"), (9, "secp160k1"), (8, "secp160r1"),
        (30, "secp160r2"), (31, "secp192k1"), (32, "secp224k1"), (4, "sect113r1"), (5, "sect113r2"), (22, "sect131r1"),
        (23, "sect131r2"), (1, "K-163"), (2, "sect163r1"), (15, "B-163"), (24, "sect193r1"), (25, "sect193r2"),
        (26, "K-233"), (27, "B-233"), (3, "sect239k1"), (16, "K-283"), (17, "B-283"), (36, "K-409"), (37, "B-409"),
        (38, "K-571"), (39, "B-571"))},
    **{f"1.3.36.3.3.2.8.1.1.{n}": f"brainpoolP{size}" for n, size in (
        (1, "160r1"), (2, "160t1"), (3, "192r1"), (4, "192t1"), (5, "224r1"), (6, "224t1"), (8, "256t1"), (9, "320r1"),
        (10, "320t1"), (12, "384t1"), (14, "512t1"))},
}  # fmt: skip


BROKEN_DIGESTS: dict[str, str] = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.3": "MD4",
    "1.2.840.113549.1.1.4": "MD5",
    "1.3.14.3.2.3": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
    "1.3.14.3.2.27": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
}
"""Signature algorithms that sign a digest without resistance to collisions, and that digest (RFC 3279, 2.2)."""


def name_of(oid: str) -> str:
    """Return the canonical name of `oid`, or a name that says what is known of it; the latter is never safe."""
    if oid in NAMES:
        return NAMES[oid]
    kind = next((text for prefix, text in PREFIXES.items() if oid.startswith(prefix)), "")
    name = DRAFTS.get(oid) or (f"OID-{oid} ({kind})" if kind else f"OID-{oid}")
    # what no standard names must never read as what one does
    return f"{name} (draft)" if classify(name).verdict is Verdict.QUANTUM_SAFE else name
