"""Algorithms as CycloneDX 1.6 and 1.7 describe them: primitive, family, parameters, functions, security levels."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Any

from keystrand.model.algorithm import Algorithm, Function, Verdict, classify

Json = dict[str, Any]


class Spec(StrEnum):
    """The versions of CycloneDX that are written."""

    V1_6 = "1.6"
    V1_7 = "1.7"


_BY_FAMILY = {"hybrid": "combiner", "ML-KEM": "kem", "NTRU Prime": "kem", "ECDH": "key-agree", "FFDH": "key-agree"}
_BY_FUNCTION = {Function.SIGNATURE: "signature", Function.DIGEST: "hash", Function.MAC: "mac",
                Function.KEY_DERIVATION: "kdf", Function.RANDOM: "drbg"}  # fmt: skip
_STREAM = ("ChaCha20", "Salsa20", "RC4")
_AEAD = ("GCM", "CCM", "POLY1305", "OCB")
_FUNCTIONS = {
    "combiner": ["encapsulate", "decapsulate"],
    "kem": ["encapsulate", "decapsulate"],
    "key-agree": ["keyderive"],
    "pke": ["encrypt", "decrypt"],
    "ae": ["encrypt", "decrypt"],
    "signature": ["sign", "verify"],
    "hash": ["digest"],
    "block-cipher": ["encrypt", "decrypt"],
    "stream-cipher": ["encrypt", "decrypt"],
    "mac": ["tag"],
    "kdf": ["keyderive"],
    "drbg": ["generate"],
}
_MODES = re.compile(r"-(GCM-SIV|GCM|CCM8|CCM|SIV|OCB|EAX|CBC|CTR|ECB|CFB\d*|OFB|XTS|KWP|KW|CTS|PCBC|HEH|FF1|FF3)\b")
_NAMED_MODES = ("cbc", "ecb", "ccm", "gcm", "cfb", "ofb", "ctr")
_PADDINGS = (("-PKCS5", "pkcs5"), ("-PKCS7", "pkcs7"), ("-NoPadding", "raw"), ("RSA-OAEP", "oaep"),
             ("RSA-PKCS1", "pkcs1v15"))  # fmt: skip
# RSA without its padding, and RSA key transport, may be of more than one family of the registry: they name none.
_REGISTRY = {
    "RSA-PSS": "RSASSA-PSS", "RSA-OAEP": "RSAES-OAEP", "RSA-PKCS1-ENC": "RSAES-PKCS1", "RSA-PKCS1": "RSASSA-PKCS1",
    "ECDH": "ECDH", "ECDSA": "ECDSA", "EdDSA": "EdDSA", "FFDH": "FFDH", "DSA": "DSA", "ElGamal": "ElGamal",
    "ML-KEM": "ML-KEM", "ML-DSA": "ML-DSA", "SLH-DSA": "SLH-DSA", "LMS": "LMS", "HSS": "LMS", "XMSS": "XMSS",
    "AES": "AES", "3DES": "3DES", "DES": "DES", "RC2": "RC2", "RC4": "RC4", "RC5": "RC5", "RC6": "RC6",
    "Blowfish": "Blowfish", "CAST5": "CAST5", "IDEA": "IDEA", "Skipjack": "Skipjack", "A5/1": "A5/1",
    "Camellia": "CAMELLIA", "ARIA": "ARIA", "SEED": "SEED", "SM4": "SM4", "Twofish": "Twofish", "Serpent": "Serpent",
    "ChaCha20": "ChaCha20", "Salsa20": "Salsa20", "SHA-2": "SHA-2", "SHA-3": "SHA-3", "SHA-1": "SHA-1", "MD2": "MD2",
    "MD4": "MD4", "MD5": "MD5", "RIPEMD-160": "RIPEMD", "RIPEMD-128": "RIPEMD", "BLAKE2b": "BLAKE2",
    "BLAKE2s": "BLAKE2", "BLAKE3": "BLAKE3", "SM3": "SM3", "Whirlpool": "Whirlpool", "HMAC": "HMAC", "CMAC": "CMAC",
    "Poly1305": "Poly1305", "SipHash": "SipHash", "UMAC": "UMAC", "HKDF": "HKDF", "PBKDF1": "PBKDF1",
    "PBKDF2": "PBKDF2", "PBES2": "PBES2", "KBKDF": "SP800-108", "scrypt": "scrypt", "bcrypt": "bcrypt",
    "yescrypt": "yescrypt", "Argon2": "Argon2", "Argon2id": "Argon2", "Argon2i": "Argon2", "Argon2d": "Argon2",
    "CTR_DRBG": "CTR_DRBG", "Hash_DRBG": "Hash_DRBG", "HMAC_DRBG": "HMAC_DRBG", "Fortuna": "Fortuna",
}  # fmt: skip
"""Our families by those of the CycloneDX cryptography registry; what it does not list (hybrids, sntrup761) has none."""
_CURVE_GROUPS = {"P-": "nist/", "secp": "secg/", "brainpool": "brainpool/", "SM2": "oscaa/", "Curve": "other/",
                 "Ed": "other/"}  # fmt: skip
_CURVES = {"X25519": "Curve25519", "X448": "Curve448", "Ed25519": "Ed25519", "Ed448": "Ed448"}

# Classical strength in bits, by the least size that reaches it: NIST SP 800-57 part 1 revision 5, table 2.
_FACTORING_BITS = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (1024, 80))
_CURVE_BITS = ((512, 256), (384, 192), (256, 128), (224, 112), (160, 80))
# RFC 7748, section 4.2 and RFC 8032, section 1: Curve448 and Ed448 aim at 224 bits.
_CURVE448_BITS = 224
# The NIST categories are defined by AES key search (1, 3, 5) and SHA-2 collision search (2): FIPS 203, appendix A.
_CATEGORY_BITS = {1: 128, 2: 128, 3: 192, 4: 192, 5: 256}


def sized(name: str, bits: int | None) -> Algorithm:
    """Return the algorithm of a key called `name` with `bits`, for example RSA and 2048 as RSA-2048."""
    known = classify(name)
    if bits is None or known.bits is not None:
        return known
    specific = classify(f"{name}-{bits}")
    return specific if specific.bits == bits else known


def _primitive(algorithm: Algorithm, function: Function | None) -> str:
    if algorithm.family in _BY_FAMILY:
        return _BY_FAMILY[algorithm.family]
    if not algorithm.family and function is None:
        return "unknown"
    use = function or algorithm.function
    if algorithm.family in ("RSA", "ElGamal") and use is not Function.SIGNATURE:
        return "pke"
    if use is Function.ENCRYPTION and any(mark in algorithm.name.upper() for mark in _AEAD):
        return "ae"
    if use is Function.ENCRYPTION and algorithm.family:
        return "stream-cipher" if algorithm.family in _STREAM else "block-cipher"
    return _BY_FUNCTION.get(use, "unknown")


def _curve(algorithm: Algorithm) -> str | None:
    """Return the curve's name, only where the catalogue knows its size: `ECDSA-SHA256` names no curve."""
    if algorithm.family in ("ECDH", "ECDSA") and algorithm.bits and algorithm.name not in _CURVES:
        return algorithm.name.partition("-")[2]
    return _CURVES.get(algorithm.name)


def _parameter_set(algorithm: Algorithm) -> str | None:
    if algorithm.components:
        return "+".join(algorithm.components)
    if algorithm.family in ("ML-KEM", "ML-DSA", "SLH-DSA", "NTRU Prime"):
        return _after_family(algorithm)
    return str(algorithm.bits) if algorithm.bits else None


def _after_family(algorithm: Algorithm) -> str:
    plain = algorithm.name.removeprefix("Hash")
    return plain.removeprefix(f"{algorithm.family}-")


def _classical_bits(algorithm: Algorithm) -> int | None:
    if algorithm.nist_level is not None:
        return _CATEGORY_BITS.get(algorithm.nist_level)
    if algorithm.bits is None:
        return None
    if algorithm.name in ("X448", "Ed448"):
        return _CURVE448_BITS
    table = _CURVE_BITS if algorithm.family in ("ECDH", "ECDSA", "EdDSA") else _FACTORING_BITS
    return next((strength for size, strength in table if algorithm.bits >= size), None)


def _quantum_level(algorithm: Algorithm) -> int | None:
    """Return the NIST category; 0 for what a quantum computer breaks; None where it is not known."""
    return 0 if algorithm.verdict is Verdict.QUANTUM_VULNERABLE else algorithm.nist_level


def _registry_family(algorithm: Algorithm) -> str | None:
    """Return the family by the cryptography registry; RSA, LMS and HSS are told by their names."""
    name = re.sub(r"-\d+$", "", algorithm.name)
    return _REGISTRY.get(name if algorithm.family in ("RSA", "HBS") else algorithm.family)


def _registry_curve(algorithm: Algorithm) -> str | None:
    curve = _curve(algorithm)
    return next((group + curve for start, group in _CURVE_GROUPS.items() if curve and curve.startswith(start)), None)


def _mode(algorithm: Algorithm) -> str | None:
    if algorithm.function is not Function.ENCRYPTION or not (found := _MODES.search(algorithm.name)):
        return None
    mode = re.sub(r"\d+$", "", found[1].lower())
    return mode if mode in _NAMED_MODES else "other"


def _padding(algorithm: Algorithm) -> str | None:
    return next((padding for mark, padding in _PADDINGS if mark in algorithm.name), None)


@lru_cache(4096)
def algorithm_properties(algorithm: Algorithm, function: Function | None = None, spec: Spec = Spec.V1_6) -> Json:
    """Return the `algorithmProperties` of CycloneDX, with what is not known left out. The value is not to be changed.

    `function` is what the algorithm is used for in its place; None where it is only referred to.
    """
    primitive = _primitive(algorithm, function)
    encrypts = ["encrypt", "decrypt"] if function is Function.ENCRYPTION else None
    newer = spec is Spec.V1_7
    described = {
        "primitive": primitive,
        "algorithmFamily": _registry_family(algorithm) if newer else None,
        "parameterSetIdentifier": _parameter_set(algorithm),
        "curve": None if newer else _curve(algorithm),
        "ellipticCurve": _registry_curve(algorithm) if newer else None,
        "mode": _mode(algorithm),
        "padding": _padding(algorithm),
        "cryptoFunctions": _FUNCTIONS.get(primitive, encrypts),
        "classicalSecurityLevel": _classical_bits(algorithm),
        "nistQuantumSecurityLevel": _quantum_level(algorithm),
    }
    return {key: value for key, value in described.items() if value is not None}
