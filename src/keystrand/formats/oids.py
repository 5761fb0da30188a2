"""Object identifiers of public-key and signature algorithms, by canonical name.

Sources: RFC 3279, 4055, 5480, 5758, 8410 (classical); NIST's Computer Security Objects Register (ML-KEM, ML-DSA,
SLH-DSA); RFC 9708 and RFC 9802 (LMS, XMSS); the drafts of the LAMPS working group (composite signatures).
"""

from keystrand.model.algorithm import COMPOSITE_SIGNATURES, Verdict, classify

_NIST_SIGNATURES = "2.16.840.1.101.3.4.3."
_NIST_KEMS = "2.16.840.1.101.3.4.4."
_SLH = tuple(f"{family}-{size}{speed}" for family in ("SHA2", "SHAKE") for size in (128, 192, 256) for speed in "sf")

NAMES: dict[str, str] = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.113549.1.1.4": "RSA",
    "1.2.840.113549.1.1.5": "RSA",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.113549.1.1.11": "RSA",
    "1.2.840.113549.1.1.12": "RSA",
    "1.2.840.113549.1.1.13": "RSA",
    "1.2.840.113549.1.1.14": "RSA",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10040.4.3": "DSA",
    "2.16.840.1.101.3.4.3.2": "DSA",
    "1.2.840.10045.2.1": "ECDSA",
    "1.2.840.10045.4.1": "ECDSA",
    "1.2.840.10045.4.3.1": "ECDSA",
    "1.2.840.10045.4.3.2": "ECDSA",
    "1.2.840.10045.4.3.3": "ECDSA",
    "1.2.840.10045.4.3.4": "ECDSA",
    "1.2.840.113549.1.3.1": "FFDH",
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
    **{f"{_NIST_KEMS}{1 + n}": f"ML-KEM-{size}" for n, size in enumerate((512, 768, 1024))},
}

_PREFIXES = {
    "1.3.6.1.4.1.2.267.": "Dilithium (before FIPS 204)",
    "1.3.9999.": "experimental post-quantum (before the standards)",
    "2.16.840.1.114027.80.": "composite (before the standards)",
    "1.3.6.1.5.5.7.6.": "composite or newer",
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
}


def name_of(oid: str) -> str:
    """Return the canonical name of `oid`, or a name that says what is known of it; the latter is never safe."""
    if oid in NAMES:
        return NAMES[oid]
    kind = next((text for prefix, text in _PREFIXES.items() if oid.startswith(prefix)), "")
    name = f"OID {oid} ({kind})" if kind else f"OID {oid}"
    assert classify(name).verdict is Verdict.UNKNOWN  # noqa: S101 - an unnamed algorithm must never count as safe
    return name
