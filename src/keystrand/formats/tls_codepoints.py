"""TLS code points and the canonical names of `model.algorithm`.

Sources: IANA "TLS Parameters" (supported groups, signature schemes, cipher suites); RFC 8446, 4.2.3 and 4.2.7;
RFC 8422 and RFC 7919 (classical groups); draft-ietf-tls-ecdhe-mlkem and draft-ietf-tls-mlkem (post-quantum groups);
draft-ietf-tls-mldsa and draft-reddy-tls-slhdsa (post-quantum signature schemes). What came before: `tls_withdrawn`.
"""

from enum import StrEnum
from functools import cache

from keystrand.formats.tls_suites import suite, suites_of
from keystrand.formats.tls_withdrawn import WITHDRAWN_GROUPS, WITHDRAWN_SCHEMES
from keystrand.model.observation import Certificate

TLS13, TLS12, TLS11, TLS10, SSL3 = 0x0304, 0x0303, 0x0302, 0x0301, 0x0300
VERSIONS = {TLS13: "TLSv1.3", TLS12: "TLSv1.2", TLS11: "TLSv1.1", TLS10: "TLSv1.0", SSL3: "SSLv3"}
"""Newest first."""

X25519, X448, SECP256R1, SECP384R1, SECP521R1 = 0x001D, 0x001E, 0x0017, 0x0018, 0x0019
X25519_MLKEM768, SECP256R1_MLKEM768, SECP384R1_MLKEM1024 = 0x11EC, 0x11EB, 0x11ED
MLKEM512, MLKEM768, MLKEM1024 = 0x0200, 0x0201, 0x0202

POST_QUANTUM_GROUPS = {
    X25519_MLKEM768: "X25519MLKEM768",
    SECP256R1_MLKEM768: "SecP256r1MLKEM768",
    SECP384R1_MLKEM1024: "SecP384r1MLKEM1024",
    MLKEM768: "ML-KEM-768",
    MLKEM1024: "ML-KEM-1024",
    MLKEM512: "ML-KEM-512",
    0x11EE: "curveSM2MLKEM768",
    0x6399: "X25519Kyber768Draft00",
    0x639A: "SecP256r1Kyber768Draft00",
}
"""In the order in which they are offered: what is most deployed first."""

CLASSICAL_GROUPS = {
    X25519: "X25519",
    SECP256R1: "ECDH-P-256",
    SECP384R1: "ECDH-P-384",
    SECP521R1: "ECDH-P-521",
    X448: "X448",
    0x0100: "FFDH-2048",
    0x0101: "FFDH-3072",
    0x0102: "FFDH-4096",
    0x0103: "FFDH-6144",
    0x0104: "FFDH-8192",
    0x001F: "ECDH-brainpoolP256r1",
    0x0020: "ECDH-brainpoolP384r1",
    0x0021: "ECDH-brainpoolP512r1",
    0x0029: "ECDH-SM2",
}
"""Groups of TLS 1.3."""

_OLD_GROUPS = {
    0x001A: "ECDH-brainpoolP256r1",
    0x001B: "ECDH-brainpoolP384r1",
    0x001C: "ECDH-brainpoolP512r1",
    0x0016: "ECDH-secp256k1",
    0x0015: "ECDH-P-224",
    0x0013: "ECDH-P-192",
}
OLD_GROUPS = (*CLASSICAL_GROUPS, *_OLD_GROUPS)
"""Groups a TLS 1.2 server may choose from."""

GROUPS_12 = (X25519, X448, SECP256R1, SECP384R1, SECP521R1, *_OLD_GROUPS)
"""Curves that a TLS 1.2 server may name in its key exchange (RFC 8422, 5.1.1; RFC 7027); all others are of TLS 1.3."""

_GROUPS = WITHDRAWN_GROUPS | POST_QUANTUM_GROUPS | CLASSICAL_GROUPS | _OLD_GROUPS

ML_DSA_SCHEMES = {0x0904: "ML-DSA-44", 0x0905: "ML-DSA-65", 0x0906: "ML-DSA-87"}
SLH_DSA_SCHEMES = dict(
    enumerate((f"SLH-DSA-{digest}-{size}" for digest in ("SHA2", "SHAKE")
               for size in ("128s", "128f", "192s", "192f", "256s", "256f")), start=0x0911)
)  # fmt: skip
_CURVE_SCHEMES = {
    0x0403: "ECDSA-P-256",
    0x0503: "ECDSA-P-384",
    0x0603: "ECDSA-P-521",
    0x081A: "ECDSA-brainpoolP256r1",
    0x081B: "ECDSA-brainpoolP384r1",
    0x081C: "ECDSA-brainpoolP512r1",
    0x0708: "ECDSA-SM2",
    0x0203: "ECDSA",
}
_EDWARDS_SCHEMES = {0x0807: "Ed25519", 0x0808: "Ed448"}
_RSA_SCHEMES = (0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601, 0x0301, 0x0201)
CLASSICAL_SCHEMES = (*_CURVE_SCHEMES, *_EDWARDS_SCHEMES, *_RSA_SCHEMES)
POST_QUANTUM_SCHEMES = (*ML_DSA_SCHEMES, *SLH_DSA_SCHEMES)
ALL_SCHEMES = (*POST_QUANTUM_SCHEMES, *WITHDRAWN_SCHEMES, *CLASSICAL_SCHEMES)
_SCHEMES = _CURVE_SCHEMES | _EDWARDS_SCHEMES | ML_DSA_SCHEMES | SLH_DSA_SCHEMES | WITHDRAWN_SCHEMES
_ONLY_12_SCHEMES = (0x0401, 0x0501, 0x0601, 0x0301, 0x0201, 0x0203)
"""PKCS #1 v1.5 and SHA-1: TLS 1.3 keeps them for certificates, not for its handshake (RFC 8446, 4.2.3)."""
_ONLY_13_SCHEMES = (0x081A, 0x081B, 0x081C, 0x0708, *POST_QUANTUM_SCHEMES, *WITHDRAWN_SCHEMES)
"""Schemes defined for TLS 1.3 alone (RFC 8734; RFC 8998; the drafts above)."""


class Exchange(StrEnum):
    """How a cipher suite establishes the key, as IANA writes it. In TLS 1.3 the suite says nothing of it."""

    BY_GROUP = "TLS13"
    ECDHE = "ECDHE"
    DHE = "DHE"
    RSA = "RSA"
    ECDH = "ECDH"
    DH = "DH"
    ECDH_ANON = "ECDH_anon"
    DH_ANON = "DH_anon"

    @property
    def signed(self) -> bool:
        """Return whether the server signs its half of the key exchange."""
        return self in (Exchange.ECDHE, Exchange.DHE)


SUITES_13 = (0x1301, 0x1302, 0x1303)
"""AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305: what every TLS 1.3 server speaks at least one of."""
_ECDHE = (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC009, 0xC013, 0xC00A, 0xC014, 0xC023, 0xC027, 0xC024,
          0xC028, 0xC0AC, 0xC0AD, 0xC008, 0xC012)  # fmt: skip
_DHE = (0x009E, 0x009F, 0xCCAA, 0x0033, 0x0039, 0x0067, 0x006B, 0x0016)
STATIC_RSA_SUITES = (0x009C, 0x009D, 0xC09C, 0xC09D, 0x002F, 0x0035, 0x003C, 0x003D, 0x0041, 0x0084, 0x000A, 0x0005)
"""RSA key transport (RFC 5246, 7.4.7.1): no forward secrecy."""
FORWARD_SECRET_SUITES = _ECDHE + _DHE
ALL_SUITES_13 = (*SUITES_13, 0x1304, 0x1305)
ALL_OLD_SUITES = tuple(
    dict.fromkeys(
        (*FORWARD_SECRET_SUITES, *STATIC_RSA_SUITES, *suites_of(*(e.value for e in Exchange if e != "TLS13")))
    )
)
"""Every suite below TLS 1.3 that needs no shared secret: what servers should take first, then all others."""

UNRECOGNIZED_NAME = 112
_ALERTS = {10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
           42: "bad_certificate", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error",
           70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback",
           90: "user_canceled", 109: "missing_extension", 110: "unsupported_extension",
           UNRECOGNIZED_NAME: "unrecognized_name", 116: "certificate_required", 120: "no_application_protocol",
           }  # fmt: skip


def group_name(group: int) -> str:
    """Return the canonical name of a supported group; one we do not know keeps its number: `TLS-group-0x1234`."""
    return _GROUPS.get(group) or f"TLS-group-{code_point(group)}"


@cache
def exchange_of(suite_number: int) -> Exchange | None:
    """Return how a suite establishes the key, or None where it is unknown or needs a secret that is already shared."""
    found = suite(suite_number)
    try:
        return Exchange(found.exchange) if found else None
    except ValueError:
        return None


def cipher_of(suite_number: int) -> str:
    """Return the canonical name of a suite's cipher; one we do not know keeps its number: `TLS-suite-0x1234`."""
    found = suite(suite_number)
    return found.cipher if found else f"TLS-suite-{code_point(suite_number)}"


def scheme_name(scheme: int, certificate: Certificate | None = None) -> str:
    """Return the canonical name of a signature scheme.

    RSA and, before TLS 1.3, ECDSA take size and curve from the key of `certificate` (RFC 8446, 4.2.3).
    """
    if scheme in _RSA_SCHEMES:
        return sized("RSA", certificate)
    if scheme in _CURVE_SCHEMES and certificate and certificate.key_algorithm.startswith("ECDSA"):
        return certificate.key_algorithm
    return _SCHEMES.get(scheme) or f"TLS-signature-{code_point(scheme)}"


def scheme_kind(scheme: int) -> str:
    """Return the kind of key that signs with `scheme`: a server has one certificate for each kind, mostly."""
    if scheme in _RSA_SCHEMES:
        return "RSA"
    return "ECDSA" if scheme in _CURVE_SCHEMES else "EdDSA" if scheme in _EDWARDS_SCHEMES else "post-quantum"


def scheme_exists(scheme: int, version: int) -> bool:
    """Return whether a handshake of `version` may be signed with `scheme`."""
    return scheme not in (_ONLY_12_SCHEMES if version == TLS13 else _ONLY_13_SCHEMES)


def scheme_fits(scheme: int, key_algorithm: str) -> bool:
    """Return whether a key of `key_algorithm` can sign with `scheme`; RSA and ECDSA of any size."""
    name = scheme_name(scheme)
    family = name.partition("-")[0]
    return name == key_algorithm or (family in ("RSA", "ECDSA") and key_algorithm.partition("-")[0] == family)


def sized(family: str, certificate: Certificate | None) -> str:
    """Return `family` with the size of the certificate's RSA key in bits, or bare where it is not known."""
    rsa = certificate is not None and certificate.key_algorithm.startswith("RSA") and certificate.key_bits
    return f"{family}-{rsa}" if rsa else family


def alert_name(alert: int) -> str:
    """Return the name of an alert with its number (RFC 8446, 6): `handshake_failure (40)`."""
    return f"{_ALERTS.get(alert, 'alert')} ({alert})"


def code_point(value: int) -> str:
    """Return a code point as observations write it: `0x11ec`."""
    return f"0x{value:04x}"
