"""Ciphers, hashes, authentication codes and key derivation: what a quantum computer means to them.

Shor's algorithm does not reach them. Grover's search halves the exponent of a key search at best, and does not reach
AES-128 in practice (NIST IR 8547, section 4.1), so a cipher with a key of 128 bits or more, and a hash without a known
attack, resist. What is broken or withdrawn without any quantum computer is told so, and never called safe.
"""

import re
from collections.abc import Callable
from typing import NamedTuple


class Strength(NamedTuple):
    """What is known of one symmetric algorithm.

    `safe` is True where it resists, False where it is broken by today's computers, None where neither can be said.
    """

    family: str
    use: str
    safe: bool | None
    bits: int | None = None
    nist_level: int | None = None
    note: str = ""


_LEAST_HASH = 224
"""Bits of a hash that resist, those of SHA-224 (NIST SP 800-131A)."""
_LEAST_TAG = 64
"""Bits of a tag in today's use (UMAC-64 of SSH)."""
_AES_LEVEL = {128: 1, 192: 3, 256: 5}
# Collision search on SHA-256 and SHA-384 define categories 2 and 4 (FIPS 203, appendix A).
_HASH_LEVEL = {256: 2, 384: 4, 512: 5}
_LEAST_BITS, _MOST_BITS = 128, 1024
"""Keys of the block ciphers that are judged to resist: SM4 and SEED have 128 bits, Threefish up to 1024."""
_BROKEN_CIPHERS = {
    "DES": "a key of 56 bits is found by search (FIPS 46-3 was withdrawn in 2005)",
    "RC4": "its keystream is biased: prohibited in TLS (RFC 7465)",
    "RC2": "withdrawn, with keys of 40 bits in common use (RFC 2268)",
    "A5/1": "broken in practice",
}
_OLD_CIPHERS = {
    "3DES": "blocks of 64 bits; disallowed for encryption after 2023 (NIST SP 800-131A)",
    "Blowfish": "blocks of 64 bits (the Sweet32 attack, 2016)",
    "CAST5": "blocks of 64 bits",
    "IDEA": "blocks of 64 bits",
    "GOST28147": "blocks of 64 bits",
    "TEA": "blocks of 64 bits",
    "RC5": "blocks of 64 bits in common use",
    "Skipjack": "a key of 80 bits, withdrawn",
}
_BROKEN_HASHES = {
    "MD2": "collisions and preimages are known (RFC 6149)",
    "MD4": "collisions by hand (RFC 6150)",
    "MD5": "collisions in seconds (RFC 6151)",
    "SHA-1": "collisions in practice since 2017; to be phased out by the end of 2030 (NIST, December 2022)",
}
_MODES = (
    r"(?:GCM-SIV|GCM|CCM8|CCM|SIV|OCB|EAX|CBC|CTR|ECB|CFB\d*|OFB|XTS|KW|KWP|CTS|CMAC|GMAC|CBC-MAC|PCBC|HEH|FF1|FF3)"
)
_PADDING = r"(?:-(?:PKCS5|PKCS7|NoPadding|ISO10126|ISO7816|X923|ZeroPadding))?"


def _mode(m: re.Match[str]) -> tuple[str, str]:
    """Return what a mode makes of a cipher, and what to know of it."""
    mode = m["mode"] or ""
    if mode in ("CMAC", "GMAC", "CBC-MAC"):
        return "mac", ""
    return "encryption", "ECB shows which blocks are equal" if mode == "ECB" else ""


def _aes(m: re.Match[str]) -> Strength:
    bits = int(m["bits"]) if m["bits"] else None
    use, note = _mode(m)
    if bits is not None and bits not in _AES_LEVEL:
        return Strength("AES", use, safe=None, bits=bits, note="AES has no keys of this size (FIPS 197)")
    return Strength("AES", use, safe=True, bits=bits, nist_level=_AES_LEVEL[bits or 128], note=note)


def _block(m: re.Match[str]) -> Strength:
    use, note = _mode(m)
    bits = int(m["bits"]) if m["bits"] else None
    if bits is not None and not _LEAST_BITS <= bits <= _MOST_BITS:
        return Strength(m["name"], use, safe=None, bits=bits, note="a key size that no such cipher has")
    return Strength(m["name"], use, safe=True, bits=bits, note=note)


def _stream(m: re.Match[str]) -> Strength:
    return Strength("ChaCha20" if "ChaCha" in m[0] else "Salsa20", "encryption", safe=True, bits=256)


def _named_cipher(m: re.Match[str]) -> Strength:
    name = m["name"]
    broken = name in _BROKEN_CIPHERS
    return Strength(name, "encryption", safe=False if broken else None, note=(_BROKEN_CIPHERS | _OLD_CIPHERS)[name])


def _sha2(m: re.Match[str]) -> Strength:
    bits = int(m["out"] or m["size"])
    return Strength("SHA-2", "digest", safe=True, bits=bits, nist_level=_HASH_LEVEL.get(bits))


def _sha3(m: re.Match[str]) -> Strength:
    bits = int(m["size"])
    return Strength("SHA-3", "digest", safe=True, bits=bits, nist_level=_HASH_LEVEL.get(bits))


def _other_hash(m: re.Match[str]) -> Strength:
    return Strength(m["name"], "digest", safe=m["size"] is None or int(m["size"]) >= _LEAST_HASH or None)


def _old_hash(m: re.Match[str]) -> Strength:
    broken = _BROKEN_HASHES.get(m[0])
    note = broken or "160 bits or fewer, and no standard of today names it"
    return Strength(m[0], "digest", safe=False if broken else None, note=note)


def _checked_hash(m: re.Match[str]) -> bool | None:
    """Return what a keyed use says of its hash: HMAC and key derivation need no resistance to collisions (RFC 6151)."""
    if not m["hash"]:
        return True
    inner = _in(_HASHES, m["hash"])
    return True if inner and inner.safe else None


def _hmac(m: re.Match[str]) -> Strength:
    return Strength("HMAC", "mac", safe=_checked_hash(m))


def _kdf(m: re.Match[str]) -> Strength:
    return Strength(m["name"], "key-derivation", safe=_checked_hash(m))


def _password(m: re.Match[str]) -> Strength:
    note = "as strong as the password" if m["name"] != "MD5-crypt" else "as strong as the password; fast to search"
    return Strength(m["name"], "key-derivation", safe=None if m["name"] == "MD5-crypt" else True, note=note)


def _mac(m: re.Match[str]) -> Strength:
    inner = _in(_CIPHERS, m["of"].removesuffix("-XCBC")) if m["of"] else None
    holds = not m["of"] or (int(m["size"]) >= _LEAST_TAG if m["size"] else bool(inner and inner.safe))
    return Strength(
        m["name"], "mac", safe=holds or None, bits=inner and inner.bits, nist_level=inner and inner.nist_level
    )


def _nothing(_: re.Match[str]) -> Strength:
    return Strength("NULL", "encryption", safe=False, note="encrypts nothing: all can read it (RFC 2410)")


def _random(m: re.Match[str]) -> Strength:
    good = m["name"] not in ("Mersenne-Twister", "insecure-random", "Dual_EC_DRBG")
    note = "" if good else "its output can be foretold: not for keys"
    inner = _in((*_HASHES, *_CIPHERS), m["of"]) if m["of"] else None
    return Strength(m["name"], "random", safe=good and (not m["of"] or bool(inner and inner.safe) or None), note=note)


_BLOCKS = r"(?P<name>Camellia|ARIA|SM4|SEED|Twofish|Serpent|Kuznyechik|Threefish|RC6|MARS)"
_CIPHER_MODE = rf"(?:-(?P<bits>[0-9]{{1,4}}))?(?:-(?P<mode>{_MODES}))?{_PADDING}"
_Patterns = tuple[tuple[str, Callable[[re.Match[str]], Strength]], ...]
_CIPHERS: _Patterns = (
    (rf"AES{_CIPHER_MODE}", _aes),
    (rf"{_BLOCKS}{_CIPHER_MODE}", _block),
    (r"X?(?:ChaCha20|ChaCha12|ChaCha8|Salsa20)(?:-Poly1305)?", _stream),
    (r"(?P<name>3DES|DES|RC4|RC2|Blowfish|CAST5|IDEA|GOST28147|TEA|RC5|Skipjack|A5/1)"
     rf"(?:-\d+)?(?:-{_MODES})?{_PADDING}", _named_cipher),
    (r"NULL", _nothing),
)  # fmt: skip
_HASHES: _Patterns = (
    (r"SHA-(?P<size>224|256|384|512)(?:/(?P<out>224|256))?", _sha2),
    (r"SHA3-(?P<size>224|256|384|512)", _sha3),
    (r"SHAKE(?P<size>128|256)", _sha3),
    (r"(?P<name>BLAKE2b|BLAKE2s|BLAKE3|SM3|Keccak|Skein|Streebog|Whirlpool|TurboSHAKE)(?:-(?P<size>[0-9]{1,4}))?",
     _other_hash),
    (r"MD2|MD4|MD5|SHA-1|RIPEMD-160|RIPEMD-128|Tiger|HAVAL", _old_hash),
)  # fmt: skip
_PATTERNS: _Patterns = (
    *_CIPHERS,
    *_HASHES,
    (r"HMAC(?:-(?P<hash>.+))?", _hmac),
    (r"(?P<name>HKDF|PBKDF2|PBKDF1|TLS-PRF|KBKDF|X963KDF|ConcatKDF|SSH-KDF|PBES2)(?:-(?:HMAC-)?(?P<hash>.+))?", _kdf),
    (r"(?P<name>scrypt|bcrypt|yescrypt|Argon2(?:id|i|d)?|SHA256-crypt|SHA512-crypt|MD5-crypt)", _password),
    (r"(?P<name>CMAC|GMAC|KMAC128|KMAC256|Poly1305|SipHash|UMAC)(?:-(?P<of>(?P<size>[0-9]{1,4})|.+))?", _mac),
    (r"(?P<name>CTR_DRBG|Hash_DRBG|HMAC_DRBG|Dual_EC_DRBG|system-random|insecure-random|Mersenne-Twister|Fortuna)"
     r"(?:-(?P<of>.+))?", _random),
)  # fmt: skip


def symmetric(name: str) -> Strength | None:
    """Return what is known of the algorithm with the canonical `name`; None where it is none of these."""
    return _in(_PATTERNS, name)


def _in(patterns: _Patterns, name: str) -> Strength | None:
    for pattern, make in patterns:
        if match := re.fullmatch(pattern, name):
            return make(match)
    return None
