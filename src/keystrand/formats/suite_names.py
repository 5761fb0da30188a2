"""Cipher suites, groups and signature schemes by the names that people write in configurations, as canonical names.

Sources: IANA "TLS Parameters" (names with underscores); ciphers(1) and SSL_CTX_set1_groups(3) of OpenSSL (names with
hyphens). A name that is not known gives nothing, and the caller says so: a wrong guess would be worse.
"""

import re
from collections.abc import Callable, Iterator

from keystrand.formats.tls_codepoints import CLASSICAL_GROUPS, ML_DSA_SCHEMES, POST_QUANTUM_GROUPS, SLH_DSA_SCHEMES
from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse

_FAMILY = {"AES": "AES", "CAMELLIA": "Camellia", "ARIA": "ARIA"}
_CIPHERS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(AES|CAMELLIA|ARIA)_?(128|256).*?_?(GCM|CCM_?8|CCM)",
     lambda m: f"{_FAMILY[m[1]]}-{m[2]}-{m[3].replace('_', '')}"),
    (r"(AES|CAMELLIA|ARIA)_?(128|256)", lambda m: f"{_FAMILY[m[1]]}-{m[2]}-CBC"),
    (r"CHACHA20", lambda _: "ChaCha20-Poly1305"),
    (r"3DES|DES_CBC3|DES_EDE3", lambda _: "3DES-168-CBC"),
    (r"SM4_(GCM|CCM)", lambda m: f"SM4-128-{m[1]}"),
    (r"(?:^|_)DES(?:40)?_", lambda _: "DES-CBC"),
    (r"RC4", lambda _: "RC4"),
    (r"RC2", lambda _: "RC2"),
    (r"SEED", lambda _: "SEED-128-CBC"),
    (r"IDEA", lambda _: "IDEA-CBC"),
)  # fmt: skip
_EXCHANGES = (
    (r"E(?:C|EC)DHE?_|EECDH|ECDHE", "ECDH"),
    (r"ECDH_", "ECDH"),
    (r"DHE_|EDH_|DH_", "FFDH"),
    (r"PSK", "PSK"),
    (r"SRP", ""),
)
_AUTHENTICATION = ((r"ECDSA", "ECDSA"), (r"RSA", "RSA"), (r"DSS", "DSA"))
_CODES = {"SHA": "HMAC-SHA-1", "SHA1": "HMAC-SHA-1", "MD5": "HMAC-MD5", "SHA256": "HMAC-SHA-256",
          "SHA384": "HMAC-SHA-384"}  # fmt: skip


def _first(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    return next((found for pattern, found in table if re.search(pattern, name)), None)


def _cipher(name: str) -> str:
    return next((make(m) for pattern, make in _CIPHERS if (m := re.search(pattern, name))), "")


def suite_uses(name: str) -> tuple[AlgorithmUse, ...]:
    """Return what the cipher suite called `name` (IANA or OpenSSL) uses; empty where the name is not known."""
    norm = re.sub(r"[-_+/]", "_", name.strip().upper())
    cipher = _cipher(norm)
    if not cipher or not re.fullmatch(r"[A-Z0-9_]{5,64}", norm):
        return ()
    return tuple(AlgorithmUse(algorithm=found, function=use) for found, use in _parts(norm, cipher) if found)


def _parts(norm: str, cipher: str) -> Iterator[tuple[str, Function]]:
    """Yield algorithm and function of a suite's parts. In TLS 1.3 the suite says nothing of exchange and signature."""
    only_13 = re.fullmatch(r"TLS_(?:AES|CHACHA20|SM4)_.*", norm)
    if not only_13:
        exchange = _first(norm, _EXCHANGES)
        yield ("RSA-KEX" if exchange is None else exchange), Function.KEY_ESTABLISHMENT
        if exchange in ("ECDH", "FFDH") and "ANON" not in norm and not norm.startswith(("ADH_", "AECDH_")):
            # OpenSSL leaves RSA out of the names of its ARIA suites
            unnamed = "" if {"PSK", "WITH"} & set(norm.split("_")) else "RSA"
            yield _first(norm.partition("WITH")[0], _AUTHENTICATION) or unnamed, Function.SIGNATURE
    yield cipher, Function.ENCRYPTION
    if cipher.endswith("-CBC") or cipher == "RC4":
        yield _CODES.get(norm.rpartition("_")[2], ""), Function.MAC


_ALIASES = {
    "prime256v1": "ECDH-P-256", "secp256r1": "ECDH-P-256", "p-256": "ECDH-P-256", "nistp256": "ECDH-P-256",
    "secp384r1": "ECDH-P-384", "p-384": "ECDH-P-384", "nistp384": "ECDH-P-384",
    "secp521r1": "ECDH-P-521", "p-521": "ECDH-P-521", "nistp521": "ECDH-P-521",
    "secp224r1": "ECDH-P-224", "prime192v1": "ECDH-P-192", "secp192r1": "ECDH-P-192", "secp256k1": "ECDH-secp256k1",
    "curve25519": "X25519", "curve448": "X448",
    "mlkem512": "ML-KEM-512", "mlkem768": "ML-KEM-768", "mlkem1024": "ML-KEM-1024",
    "x25519_mlkem768": "X25519MLKEM768", "x25519kyber768": "X25519Kyber768Draft00", "x448": "X448",
}  # fmt: skip
_KNOWN_GROUPS = {name.lower(): name for name in (*POST_QUANTUM_GROUPS.values(), *CLASSICAL_GROUPS.values())}


def group_name(name: str) -> str:
    """Return the canonical name of a group as OpenSSL, IANA or Java write it; empty where it is not known."""
    plain = name.strip().lower()
    if match := re.fullmatch(r"ffdhe(\d{4})", plain):
        return f"FFDH-{match[1]}"
    if match := re.fullmatch(r"brainpoolp(256|384|512)r1(?:tls13)?", plain):
        return f"ECDH-brainpoolP{match[1]}r1"
    return _ALIASES.get(plain) or _KNOWN_GROUPS.get(plain, "")


_SCHEMES = {name.lower().replace("-", ""): name for name in ML_DSA_SCHEMES.values()} | {
    name.lower().replace("-", ""): name for name in SLH_DSA_SCHEMES.values()
}


def scheme_name(name: str) -> str:
    """Return the canonical name of a signature scheme as OpenSSL or IANA write it; empty where it is not known."""
    plain = name.strip().lower()
    if plain in ("ed25519", "ed448"):
        return plain.capitalize()
    if match := re.fullmatch(r"ecdsa_(?:secp|brainpoolp)(\d+)r1(?:tls13)?_sha\d+", plain):
        return f"ECDSA-{'P-' if 'secp' in plain else 'brainpoolP'}{match[1]}{'' if 'secp' in plain else 'r1'}"
    family = re.match(r"(rsa|ecdsa|dsa)\b|(rsa|ecdsa|dsa)[_+-]", plain)
    if family:
        pss = "-PSS" if "pss" in plain else ""
        return f"{(family[1] or family[2]).upper()}{pss}"
    return _SCHEMES.get(re.sub(r"[-_]", "", plain), "")


def use_of(name: str, function: Function | None = None) -> AlgorithmUse:
    """Return the use of the algorithm with the canonical `name`, for its own function unless another one is given."""
    return AlgorithmUse(algorithm=name, function=function or classify(name).function)
