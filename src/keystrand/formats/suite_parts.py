"""Cipher suites by name: what they say of key exchange, authentication, encryption and integrity.

Sources: IANA "TLS Cipher Suites" for TLS_..._WITH_... and the suites of TLS 1.3; openssl-ciphers(1) for short names.
"""

import re
from functools import lru_cache

from keystrand.formats.foreign_names import Named, canonical, hash_name
from keystrand.model.algorithm import Function

_KEX, _SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
_EXCHANGES = {"ECDHE": "ECDH", "AECDH": "ECDH", "ECDH": "ECDH", "EECDH": "ECDH", "DHE": "FFDH", "EDH": "FFDH",
              "DH": "FFDH", "ADH": "FFDH", "RSA": "RSA-KEX", "PSK": "PSK"}  # fmt: skip
_SIGNERS = {"RSA": "RSA", "ECDSA": "ECDSA", "DSS": "DSA"}
_IANA = re.compile(
    r"(?:TLS|SSL)_(?!CK_)(?:(?P<kx>[A-Za-z0-9_]+?)_WITH_)?(?P<cipher>[A-Z0-9_]+?)(?:_(?P<hash>SHA\d*|MD5))?"
)
_OPENSSL = re.compile(
    r"(?P<kx>(?:(?:EECDH|AECDH|ECDHE|ECDH|DHE|EDH|ADH|DH|RSA|PSK|SRP|GOST\d*|KRB5)-)?(?:(?:RSA|ECDSA|DSS|PSK)-)?)"
    r"(?P<cipher>(?:AES|CAMELLIA|ARIA|SEED|RC4|RC2|IDEA|DES|CHACHA20|NULL)[A-Z0-9-]*?)(?:-(?P<hash>SHA\d*|MD5))?"
)
_AEAD = ("GCM", "CCM", "POLY1305", "OCB")


def is_suite(text: str) -> bool:
    """Return whether `text` has the form of a cipher suite's name."""
    return bool(_IANA.fullmatch(text) or _OPENSSL.fullmatch(text))


@lru_cache(2048)
def suite_uses(name: str) -> tuple[Named, ...]:
    """Return the algorithms of a cipher suite; empty where the name is none. Groups and sizes are not in a name."""
    if match := _IANA.fullmatch(name):
        words = (match["kx"] or "").upper().split("_")
        return (*_key_exchange(words), *_protection(match["cipher"], match["hash"], name))
    if match := _OPENSSL.fullmatch(name):
        words = match["kx"].strip("-").split("-")
        return (*_key_exchange(words if words != [""] else ["RSA"]), *_protection(match["cipher"], match["hash"], name))
    return ()


def _key_exchange(words: list[str]) -> list[Named]:
    """Return exchange and signature; a suite of TLS 1.3 (no words, or nmap's AKE) names neither."""
    named = [Named(_EXCHANGES[words[0]], _KEX)] if words[0] in _EXCHANGES else []
    signer = words[1] if len(words) > 1 else ""
    if signer in _SIGNERS:
        named.append(Named(_SIGNERS[signer], _SIG))
    return named


def _protection(cipher: str, digest: str | None, whole: str) -> list[Named]:
    """Return cipher and message authentication. OpenSSL leaves CBC unsaid; AEAD suites need no other authentication."""
    plain = cipher.replace("_", "-").replace("DES-CBC3", "DES-EDE3-CBC")
    aead = any(mark in plain for mark in _AEAD)
    block = re.match(r"(?:AES|CAMELLIA|ARIA|SEED|IDEA)[-\d]*$", plain)
    named = [*canonical(f"{plain}-CBC" if block else plain, function=Function.ENCRYPTION)] if plain != "NULL" else []
    if digest and not aead and not whole.startswith("TLS_AKE"):
        named.append(Named(f"HMAC-{hash_name(digest)}", Function.MAC))
    return named
