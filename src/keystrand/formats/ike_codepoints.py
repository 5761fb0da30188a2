"""IKE's numbers and the canonical names of `model.algorithm`.

Sources: IANA "IKEv2 Parameters" (transform types 1 to 4 and 6 to 12, notify message types, hash algorithms) and
"IPSEC Registry" for version 1; RFC 9370 (additional key exchanges); RFC 8784 and RFC 9867 (post-quantum pre-shared
keys).
"""

from enum import IntEnum

ENCRYPTION, PRF, INTEGRITY, KEY_EXCHANGE = 1, 2, 3, 4
ADDITIONAL = range(6, 13)
"""Transform types of the additional key exchanges 1 to 7 (RFC 9370, 2.2.1)."""
NONE = 0
"""The transform that says "no such": an additional key exchange that may be left out."""


class Notify(IntEnum):
    """Notifications that this product sends or understands."""

    UNSUPPORTED_CRITICAL_PAYLOAD = 1
    INVALID_MAJOR_VERSION = 5
    INVALID_SYNTAX = 7
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KE_PAYLOAD = 17
    COOKIE = 16390
    IKEV2_FRAGMENTATION_SUPPORTED = 16430
    SIGNATURE_HASH_ALGORITHMS = 16431
    USE_PPK = 16435
    INTERMEDIATE_EXCHANGE_SUPPORTED = 16438
    USE_PPK_INT = 16445


FIRST_STATUS = 16384
"""Notify types below are errors (RFC 7296, 3.10.1)."""
PPK_NAMES = {Notify.USE_PPK: "PPK (RFC 8784)", Notify.USE_PPK_INT: "PPK (RFC 9867)"}

X25519, X448, P256, P384, P521 = 31, 32, 19, 20, 21
ML_KEM_512, ML_KEM_768, ML_KEM_1024 = 35, 36, 37
ML_KEMS = (ML_KEM_768, ML_KEM_1024, ML_KEM_512)
_KEY_EXCHANGES = {
    X25519: "X25519",
    P256: "ECDH-P-256",
    P384: "ECDH-P-384",
    P521: "ECDH-P-521",
    14: "FFDH-2048",
    15: "FFDH-3072",
    16: "FFDH-4096",
    X448: "X448",
    28: "ECDH-brainpoolP256r1",
    29: "ECDH-brainpoolP384r1",
    30: "ECDH-brainpoolP512r1",
    17: "FFDH-6144",
    18: "FFDH-8192",
    5: "FFDH-1536",
    2: "FFDH-1024",
    1: "FFDH-768",
    22: "FFDH-1024",
    23: "FFDH-2048",
    24: "FFDH-2048",
    25: "ECDH-P-192",
    26: "ECDH-P-224",
    27: "ECDH-brainpoolP224r1",
    ML_KEM_512: "ML-KEM-512",
    ML_KEM_768: "ML-KEM-768",
    ML_KEM_1024: "ML-KEM-1024",
}
CLASSICAL_EXCHANGES = tuple(number for number in _KEY_EXCHANGES if number not in ML_KEMS)
"""In the order in which they are offered."""

_CIPHERS = {
    2: "DES-CBC", 3: "3DES-168-CBC", 5: "IDEA-CBC", 6: "CAST5-CBC", 7: "Blowfish-CBC", 11: "NULL", 12: "AES-{}-CBC",
    13: "AES-{}-CTR", 14: "AES-{}-CCM8", 15: "AES-{}-CCM", 16: "AES-{}-CCM", 18: "AES-{}-GCM", 19: "AES-{}-GCM",
    20: "AES-{}-GCM", 23: "Camellia-{}-CBC", 28: "ChaCha20-Poly1305",
}  # fmt: skip
_PRFS = {1: "HMAC-MD5", 2: "HMAC-SHA-1", 4: "CMAC-AES-128-XCBC", 5: "HMAC-SHA-256", 6: "HMAC-SHA-384",
         7: "HMAC-SHA-512", 8: "CMAC-AES-128"}  # fmt: skip
_MACS = {1: "HMAC-MD5", 2: "HMAC-SHA-1", 5: "CMAC-AES-128-XCBC", 8: "CMAC-AES-128", 12: "HMAC-SHA-256",
         13: "HMAC-SHA-384", 14: "HMAC-SHA-512"}  # fmt: skip
HASHES = {1: "SHA-1", 2: "SHA-256", 3: "SHA-384", 4: "SHA-512"}
"""Of SIGNATURE_HASH_ALGORITHMS (RFC 7427, 7); 5 stands for none: Ed25519 and Ed448 hash themselves."""

CIPHERS_1 = {1: "DES-CBC", 2: "IDEA-CBC", 3: "Blowfish-CBC", 5: "3DES-168-CBC", 6: "CAST5-CBC", 7: "AES-{}-CBC"}
HASHES_1 = {1: "MD5", 2: "SHA-1", 4: "SHA-256", 5: "SHA-384", 6: "SHA-512"}
SIGNATURES_1 = {2: "DSA", 3: "RSA", 9: "ECDSA-P-256", 10: "ECDSA-P-384", 11: "ECDSA-P-521"}
"""Authentication methods of version 1 that sign; the others are pre-shared keys and encrypted nonces."""


def exchange_name(number: int) -> str:
    """Return the canonical name of a key exchange method; one we do not know keeps its number."""
    return _KEY_EXCHANGES.get(number, f"IKE-key-exchange-{number}")


def cipher_name(number: int, bits: int | None) -> str:
    """Return the canonical name of an encryption transform with its key length."""
    return sized(_CIPHERS.get(number, f"IKE-encryption-{number}"), bits)


def sized(name: str, bits: int | None) -> str:
    """Return `name` with the key length put where it belongs, or without one where it is not known."""
    return name.format(bits) if bits else name.replace("-{}", "")


def prf_name(number: int) -> str:
    """Return the canonical name of a pseudo-random function."""
    return _PRFS.get(number, f"IKE-prf-{number}")


def integrity_name(number: int) -> str:
    """Return the canonical name of an integrity transform."""
    return _MACS.get(number, f"IKE-integrity-{number}")


def notify_name(number: int) -> str:
    """Return the name of a notification with its number."""
    known = number in set(Notify)
    return f"{Notify(number).name if known else 'notification'} ({number})"
