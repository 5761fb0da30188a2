"""What is known of one use of cryptography, and the canonical names that follow from it.

A parameter that is not known is left out, never guessed.
"""

from typing import NamedTuple

from keystrand.formats.symmetric_names import cipher_code
from keystrand.model.algorithm import Function


class Parts(NamedTuple):
    """Everything that a call may say of an algorithm. Empty and None are what it does not say."""

    family: str = ""
    bits: int | None = None
    mode: str = ""
    padding: str = ""
    curve: str = ""
    hash: str = ""
    version: str = ""

    def over(self, other: "Parts") -> "Parts":
        """Return these parts, with what they leave open taken from `other`."""
        return Parts(
            self.family or other.family, self.bits or other.bits, self.mode or other.mode,
            self.padding or other.padding, self.curve or other.curve, self.hash or other.hash,
            self.version or other.version,
        )  # fmt: skip


UNKNOWN = "unknown"
_BY_HASH = {
    "HMAC": "HMAC-{}",
    "HKDF": "HKDF-{}",
    "PBKDF2": "PBKDF2-HMAC-{}",
    "PBKDF1": "PBKDF1-{}",
    "X963KDF": "X963KDF-{}",
    "ConcatKDF": "ConcatKDF-{}",
    "KBKDF": "KBKDF-{}",
    "TLS-PRF": "TLS-PRF-{}",
}
_ON_CURVES = ("ECDSA", "ECDH")
_OWN_CURVES = {"Ed25519", "Ed448", "X25519", "X448"}
_SIZED = ("RSA", "RSA-PSS", "RSA-OAEP", "RSA-KEX", "RSA-PKCS1", "RSA-PKCS1-ENC", "DSA", "FFDH", "ElGamal")
_KEY_SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("AES", "Camellia", "ARIA", "Twofish", "Serpent", "Kuznyechik"), (128, 192, 256)),
    "3DES": (112, 168),
    "SM4": (128,),
    "SEED": (128,),
    "RC6": (128, 192, 256),
    "Threefish": (256, 512, 1024),
}
"""The key lengths that are told. A key of another cipher has one length, or its length says nothing."""
_BY_SIZE = {"SHA-3": "SHA3-{}", "SHAKE": "SHAKE{}"}
LEAST_MODULUS_BITS = 512
"""A shorter number beside RSA and its like is not the length of its modulus."""
_PADDINGS = ("PKCS5", "PKCS7", "NoPadding", "ISO10126", "ISO7816", "X923", "ZeroPadding")


def named(parts: Parts, function: Function) -> str:
    """Return the canonical name of `parts` used for `function`."""
    family = _family(parts, function)
    if not family:
        return UNKNOWN
    if form := _BY_HASH.get(family):
        return form.format(parts.hash) if parts.hash else family
    if family in _ON_CURVES:
        return f"{family}-{parts.curve}" if parts.curve else family
    if family in _SIZED:
        return f"{family}-{parts.bits}" if (parts.bits or 0) >= LEAST_MODULUS_BITS else family
    if function in (Function.ENCRYPTION, Function.MAC, Function.KEY_ESTABLISHMENT):
        return _cipher(family, parts)
    return family


def _family(parts: Parts, function: Function) -> str:
    family = parts.family or (parts.hash if function in (Function.DIGEST, Function.MAC) else "")
    if family in _BY_SIZE:
        return _BY_SIZE[family].format(parts.bits) if parts.bits in (128, 224, 256, 384, 512) else family
    if family == "EC":
        if parts.curve in _OWN_CURVES:
            return parts.curve
        return "ECDH" if function in (Function.KEY_ESTABLISHMENT, Function.ENCRYPTION) else "ECDSA"
    if family in _ON_CURVES and parts.curve in _OWN_CURVES:
        return parts.curve
    return _rsa(parts, function) if family == "RSA" else family


def _rsa(parts: Parts, function: Function) -> str:
    if parts.padding == "OAEP":
        return "RSA-OAEP"
    if parts.padding == "PSS":
        return "RSA-PSS"
    if parts.padding == "PKCS1":
        return "RSA-PKCS1-ENC" if function is Function.ENCRYPTION else "RSA-PKCS1"
    return "RSA"


def _cipher(family: str, parts: Parts) -> str:
    """Return cipher, key length, mode and padding in one: `AES-128-CBC-PKCS7`."""
    bits = {128: 112, 192: 168}.get(parts.bits or 0) if family == "3DES" else parts.bits  # without parity
    size = f"-{bits}" if bits in _KEY_SIZES.get(family, ()) else ""
    if parts.mode in ("CMAC", "GMAC"):
        return cipher_code(parts.mode, f"{family}{size}")
    mode = f"-{parts.mode}" if parts.mode else ""
    padding = f"-{parts.padding}" if parts.padding in _PADDINGS and parts.mode in ("ECB", "CBC", "PCBC") else ""
    return f"{family}{size}{mode}{padding}"


def hash_beside(parts: Parts, name: str) -> str:
    """Return the hash that is used beside the algorithm called `name`, where the name does not tell it."""
    inside = parts.hash and (parts.hash == name or name.endswith(f"-{parts.hash}"))
    return "" if inside else parts.hash
