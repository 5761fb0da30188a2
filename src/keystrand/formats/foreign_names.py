"""Names that other tools, libraries and standards give to algorithms, as canonical names with their function.

One name may say several algorithms: `SHA256withRSA` signs with RSA what SHA-256 digested. A name that is not known
stays as it is and is never taken for something safe. Sources: the CycloneDX cryptography registry; the names of Java's
JCA, of OpenSSL, of the JOSE and SSH registries, of PKCS #1 and RFC 3279; the key types of AWS, Google and Azure.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from keystrand.formats import oids
from keystrand.formats.ssh_names import host_key_name, key_exchange_name
from keystrand.formats.symmetric_names import cipher_code, cipher_name, hash_name, mac_name, plain_key
from keystrand.formats.tls_codepoints import POST_QUANTUM_GROUPS
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.words import shown

MAX_NAME = 120
"""Characters kept of a name that is not known."""


class Named(NamedTuple):
    """A canonical name, and what the algorithm is used for."""

    algorithm: str
    function: Function


_KEX, _SIG, _ENC = Function.KEY_ESTABLISHMENT, Function.SIGNATURE, Function.ENCRYPTION
_Names = tuple[Named, ...]

_CURVES = {
    "P192": "P-192", "SECP192R1": "P-192", "PRIME192V1": "P-192", "P224": "P-224", "SECP224R1": "P-224",
    "P256": "P-256", "SECP256R1": "P-256", "PRIME256V1": "P-256", "NISTP256": "P-256",
    "P384": "P-384", "SECP384R1": "P-384", "NISTP384": "P-384",
    "P521": "P-521", "SECP521R1": "P-521", "NISTP521": "P-521",
    "SECP256K1": "secp256k1", "P256K": "secp256k1", "P256K1": "secp256k1", "SM2": "SM2", "CURVESM2": "SM2",
    **{f"BRAINPOOLP{size}R1": f"brainpoolP{size}r1" for size in (256, 384, 512)},
    **{f"BRAINPOOLP{size}R1TLS13": f"brainpoolP{size}r1" for size in (256, 384, 512)},
}  # fmt: skip
_MONTGOMERY = {"X25519": "X25519", "CURVE25519": "X25519", "X448": "X448", "CURVE448": "X448"}
_EDWARDS = {"ED25519": "Ed25519", "ED448": "Ed448", "EDDSA": "EdDSA"}
_GROUPS = {"1": 1024, "2": 1024, "5": 1536, "14": 2048, "15": 3072, "16": 4096, "17": 6144, "18": 8192}
_FIXED: dict[str, Named] = {
    **{name.upper(): Named(name, _KEX) for name in POST_QUANTUM_GROUPS.values()},
    **{re.sub("[^A-Z0-9]", "", name.upper()): Named(name, _KEX) for name in POST_QUANTUM_GROUPS.values()},
    **{key: Named(name, _KEX) for key, name in _MONTGOMERY.items()},
    **{key: Named(name, _SIG) for key, name in _EDWARDS.items()},
    **dict.fromkeys(("NULL", "ENULL", "ESP-NULL", "ENCR-NULL", "ID-NULL"), Named("NULL", _ENC)),
}
_CIPHERS = {"AES": "AES", "RIJNDAEL": "AES", "CAMELLIA": "Camellia", "ARIA": "ARIA", "SEED": "SEED", "SM4": "SM4",
            "TWOFISH": "Twofish", "SERPENT": "Serpent"}  # fmt: skip
_OLD_CIPHERS = {"RC4": "RC4", "ARC4": "RC4", "ARCFOUR": "RC4", "RC2": "RC2", "BLOWFISH": "Blowfish", "BF": "Blowfish",
                "CAST5": "CAST5", "CAST": "CAST5", "IDEA": "IDEA", "RC5": "RC5", "RC6": "RC6", "SKIPJACK": "Skipjack",
                "DES": "DES"}  # fmt: skip
_TRIPLE = r"(?:3DES-EDE3?|3DES|DESEDE3?|TRIPLEDES|TDEA|TDES|DES3|DES-EDE3?|DES-CBC3)"
_MODE = r"GCM-SIV|GCM|CCM-?8|CCM|SIV|OCB|EAX|CBC|CTR|ECB|CFB\d*|OFB|XTS|KWP?|WRAP"
_NAMES, _SIZE = "|".join(_CIPHERS), "128|192|256"
_CODE_OF_CIPHER = re.compile(
    rf"(?:(?P<name>{_NAMES})-?(?P<bits>{_SIZE})?-?(?P<code>CMAC|GMAC)|(?P<leading>CMAC|GMAC)-?(?P<inner>{_NAMES}))"
    rf"(?:-?(?P<after>{_SIZE}))?(?:-ETM)?"
)
_CIPHER = re.compile(rf"(?:ID-)?(?P<name>{_NAMES})-?(?P<bits>{_SIZE})?-?(?P<mode>{_MODE})?-?(?P<rest>.*)")
_TRIPLE_CIPHER = re.compile(rf"(?:{_TRIPLE})-?(?P<bits>112|168|192)?-?(?P<mode>{_MODE})?(?:-.*)?")
_OLD_CIPHER = re.compile(rf"(?P<name>{'|'.join(_OLD_CIPHERS)})-?(?P<bits>\d+)?-?(?P<mode>{_MODE})?(?:-.*)?")
_PADDINGS = {"PKCS5": "PKCS5", "PKCS7": "PKCS7", "NOPADDING": "NoPadding", "ISO10126": "ISO10126", "X923": "X923"}
_HASH = r"SHA-?(?:1|224|256|384|512(?:[-/](?:224|256))?|3-?(?:224|256|384|512)|2-?(?:224|256|384|512))|SHA|MD[245]"
_RANDOM = {"SHA1PRNG": "Hash_DRBG-SHA-1", "CTR-DRBG": "CTR_DRBG", "HASH-DRBG": "Hash_DRBG", "HMAC-DRBG": "HMAC_DRBG",
           "NATIVEPRNG": "system-random", "MERSENNE-TWISTER": "Mersenne-Twister"}  # fmt: skip
_PASSWORDS = {"SCRYPT": "scrypt", "BCRYPT": "bcrypt", "ARGON2": "Argon2", "ARGON2ID": "Argon2id", "ARGON2I": "Argon2i",
              "ARGON2D": "Argon2d", "YESCRYPT": "yescrypt", "MD5CRYPT": "MD5-crypt", "SHA256CRYPT": "SHA256-crypt",
              "SHA512CRYPT": "SHA512-crypt"}  # fmt: skip
_JOSE = {
    **{f"RS{size}": (Named("RSA-PKCS1", _SIG), Named(f"SHA-{size}", Function.DIGEST)) for size in (256, 384, 512)},
    **{f"PS{size}": (Named("RSA-PSS", _SIG), Named(f"SHA-{size}", Function.DIGEST)) for size in (256, 384, 512)},
    **{f"HS{size}": (Named(f"HMAC-SHA-{size}", Function.MAC),) for size in (256, 384, 512)},
    **{f"ES{size}": (Named(f"ECDSA-{curve}", _SIG), Named(f"SHA-{size}", Function.DIGEST))
       for size, curve in ((256, "P-256"), (384, "P-384"), (512, "P-521"))},
    "FERNET": (Named("AES-128-CBC", _ENC), Named("HMAC-SHA-256", Function.MAC)),
}  # fmt: skip
"""RFC 7518, section 3.1; the Fernet specification."""
_AWS = {"SYMMETRIC-DEFAULT": "AES-256-GCM", "GOOGLE-SYMMETRIC-ENCRYPTION": "AES-256-GCM"}


def curve_name(text: str) -> str:
    """Return the canonical name of an elliptic curve, or an empty string where `text` names none."""
    plain = re.sub("[^A-Z0-9]", "", text.upper().rpartition("/")[2])
    return _CURVES.get(plain) or _CURVES.get(plain.removeprefix("NIST").removeprefix("SECG"), "")


def _with(family: str, *parameters: object) -> str:
    return "-".join([family, *(str(p) for p in parameters if p)])


def _mode(text: str | None) -> str:
    return {"CCM-8": "CCM8", "WRAP": "KW"}.get(text or "", text or "")


def _padding(mode: str, key: str) -> str:
    """Return the padding, which only modes of whole blocks have."""
    found = re.search("|".join(_PADDINGS), key) if mode in ("ECB", "CBC") else None
    return _PADDINGS[found[0]] if found else ""


def _signature_with_hash(key: str, bits: int | None, curve: str) -> _Names:
    """Return what a name of two parts says, in either order: SHA256withRSA, ecdsa-with-SHA256, SHA256-RSA."""
    signers = r"RSASSA-PSS|RSASSA-PKCS1(?:-V1-5)?|RSA-PSS|RSAPSS|RSA|ECDSA|DSA"
    for pattern in (
        rf"(?P<hash>{_HASH})-?(?:WITH-?)?(?P<signer>{signers})(?:-?ENCRYPTION|-?SIGNATURE|ANDMGF1|-AND-MGF1)?",
        rf"(?P<signer>{signers})-?(?:WITH-?|SIGN-?)?-?(?P<hash>{_HASH})",
    ):
        if match := re.fullmatch(pattern, key):
            pss = "PSS" in match["signer"] or "MGF1" in key
            digest = Named(hash_name(match["hash"]), Function.DIGEST)
            return (_signer(match["signer"], bits, curve, pss=pss), digest)
    return ()


def _signer(signer: str, bits: int | None, curve: str, *, pss: bool) -> Named:
    if signer == "ECDSA":
        return Named(_with("ECDSA", curve), _SIG)
    return Named(_with("DSA", bits) if signer == "DSA" else _with("RSA", "PSS" if pss else "", bits), _SIG)


def _cipher(key: str, bits: int | None, _: str) -> _Names:
    if match := re.fullmatch(r"(?:X?CHACHA(?:20)?)(-?(?:IETF-?)?POLY-?1305)?.*", key):
        return (Named("ChaCha20-Poly1305" if match[1] else "ChaCha20", _ENC),)
    if match := re.fullmatch(rf"{_CIPHER.pattern}", key):
        mode = _mode(match["mode"])
        return (Named(_with(_CIPHERS[match["name"]], match["bits"] or bits, mode, _padding(mode, key)), _ENC),)
    if match := _TRIPLE_CIPHER.fullmatch(key):
        known = match["bits"] or ("168" if re.search("EDE3|DES3|CBC3", key) or match["mode"] else "")
        size = "168" if known == "192" else known
        mode = _mode(match["mode"])
        return (Named(_with("3DES", size, mode, _padding(mode, key)), _ENC),)
    if match := _OLD_CIPHER.fullmatch(key):
        mode = _mode(match["mode"])
        return (Named(_with(_OLD_CIPHERS[match["name"]], match["bits"] or bits, mode, _padding(mode, key)), _ENC),)
    return ()


def _keyed(key: str, _: int | None, __: str) -> _Names:
    """Return message authentication and key derivation, with the hash that they use."""
    if match := re.fullmatch(r"(?:ID-)?HMAC-?(?:WITH-?)?(?P<hash>[A-Z0-9/-]*?)(?:-ETM)?", key):
        return (Named(_with("HMAC", _keyed_hash(match["hash"])), Function.MAC),)
    if match := re.fullmatch(r"(?P<kdf>HKDF|PBKDF1|PBKDF2|PBES2|KBKDF|X963KDF|TLS-?PRF)-?(?:WITH-?)?"
                             r"(?:HMAC-?)?(?P<hash>[A-Z0-9/-]*)", key):  # fmt: skip
        kdf = match["kdf"].replace("TLSPRF", "TLS-PRF")
        inner = hash_name(match["hash"])
        hmac = "HMAC" if inner and kdf in ("PBKDF2", "PBKDF1") else ""
        return (Named(_with(kdf, hmac, inner), Function.KEY_DERIVATION),)
    if match := re.fullmatch(r"(CMAC|GMAC|POLY1305|SIPHASH|UMAC)(?:-?(\d+))?(?:-ETM)?", key):
        return (Named(_with({"POLY1305": "Poly1305", "SIPHASH": "SipHash"}.get(match[1], match[1]), match[2]),
                      Function.MAC),)  # fmt: skip
    return ()


def _keyed_hash(text: str) -> str:
    """Return the hash, whose output may be cut: HMAC-SHA1-96 uses SHA-1, HMAC-256 one of SHA-2."""
    whole = hash_name(text) or hash_name(text.rpartition("-")[0])
    return whole or (f"SHA-{text}" if text in ("224", "256", "384", "512") else "")


def _curve_use(key: str, _: int | None, curve: str) -> _Names:
    """Return elliptic curves: a signature where it says so, else an exchange."""
    if named := curve_name(key):
        return (Named(f"ECDH-{named}", _KEX),)
    match = re.fullmatch(r"(?P<use>ECDSA|ECDHE?|ECIES|EC-SIGN|ECC|EC)(?:-(?P<curve>.+))?", key)
    if not match:
        return ()
    which = match["curve"] or ""
    if "ED25519" in which or which in _MONTGOMERY:
        return (Named("Ed25519", _SIG) if "ED" in which else Named(_MONTGOMERY[which], _KEX),)
    name = curve_name(re.sub(r"-SHA-?\d+$|^NIST-|^SECG-", "", which)) or curve
    signs = match["use"] in ("ECDSA", "EC-SIGN", "ECC")
    return (Named(_with("ECDSA" if signs else "ECDH", name), _SIG if signs else _KEX),)


def _rsa(key: str, bits: int | None, _: str) -> _Names:
    match = re.fullmatch(r"(?:RSA(?:ES|SSA)?|PKCS1|RSAENCRYPTION)(?:-.*|\d+)?", key)
    if not match:
        return ()
    size = next(iter(re.findall(r"\b(\d{3,5})\b", re.sub(r"SHA-?\d+|V1-5", "", key.replace("RSA", "RSA-")))), bits)
    if "PSS" in key:
        return (Named(_with("RSA-PSS", size), _SIG),)
    if "OAEP" in key:
        return (Named(_with("RSA-OAEP", size), _ENC),)
    if key.startswith(("RSAES", "RSA-ECB")) or "DECRYPT" in key or "PKCS1PADDING" in key:
        return (Named(_with("RSA-PKCS1-ENC", size), _ENC),)
    return (Named(_with("RSA", size), _SIG),)


def _finite_field(key: str, bits: int | None, _: str) -> _Names:
    if match := re.fullmatch(r"(?:DH|DIFFIE-?HELLMAN)-?GROUP-?(\d+)", key):
        return (Named(_with("FFDH", _GROUPS.get(match[1])), _KEX),)
    if match := re.fullmatch(r"(?:FFDHE?|DHE?|X9-?42-?DH|DIFFIE-?HELLMAN|MODP)-?(\d{3,5})?", key):
        return (Named(_with("FFDH", match[1] or bits), _KEX),)
    if match := re.fullmatch(r"(DSA|ELGAMAL)-?(\d{3,5})?", key):
        elgamal = match[1] == "ELGAMAL"
        return (Named(_with("ElGamal" if elgamal else "DSA", match[2] or bits), _ENC if elgamal else _SIG),)
    return ()


def _post_quantum(key: str, _: int | None, __: str) -> _Names:
    if match := re.fullmatch(r"(?:PQ-SIGN-|KEM-)?ML-?(KEM|DSA)-?(512|768|1024|44|65|87)(?:-SHA\d+)?", key):
        return (Named(f"ML-{match[1]}-{match[2]}", _KEX if match[1] == "KEM" else _SIG),)
    if match := re.fullmatch(r"(?:PQ-SIGN-)?SLH-?DSA-?(SHA2|SHAKE)-?(128|192|256)-?([SF])", key):
        return (Named(f"SLH-DSA-{match[1]}-{match[2]}{match[3].lower()}", _SIG),)
    return ()


def _simple(key: str, _: int | None, __: str) -> _Names:
    if named := hash_name(key):
        return (Named(named, Function.DIGEST),)
    if key in _PASSWORDS or key.replace("-", "") in _PASSWORDS:
        return (Named(_PASSWORDS.get(key) or _PASSWORDS[key.replace("-", "")], Function.KEY_DERIVATION),)
    if key in _JOSE:
        return _JOSE[key]
    if key in _RANDOM:
        return (Named(_RANDOM[key], Function.RANDOM),)
    return (Named(_AWS[key], _ENC),) if key in _AWS else ()


_RULES: tuple[Callable[[str, int | None, str], _Names], ...] = (
    _simple, _post_quantum, _signature_with_hash, _keyed, _cipher, _curve_use, _rsa, _finite_field,
)  # fmt: skip


@lru_cache(4096)
def canonical(text: str, *, bits: int | None = None, curve: str = "", function: Function | None = None) -> _Names:
    """Return the algorithms that `text` names; empty where it is not known and `function` does not say what it is for.

    `bits` and `curve` complete a name that leaves size or curve open; `function` (None: not known) decides what a name
    of more than one use, such as RSA, is used for.
    """
    named = _known(text, bits, curve_name(curve) or curve, function)
    if function is None:
        return named
    kept = tuple(Named(*_used_for(name, function)) for name in named)
    if kept:
        return kept
    plain = shown(text.strip(), MAX_NAME)
    safe_sounding = classify(plain, function).verdict is not Verdict.UNKNOWN
    return (Named(f"name:{plain}" if safe_sounding else plain, function),) if plain else ()


def _known(text: str, bits: int | None, curve: str, function: Function | None) -> _Names:
    key = plain_key(text[:MAX_NAME].partition("@")[0])
    if match := _CODE_OF_CIPHER.fullmatch(key):
        cipher = _with(_CIPHERS[match["name"] or match["inner"]], match["bits"] or match["after"] or bits)
        return (Named(cipher_code(match["code"] or match["leading"], cipher), Function.MAC),)
    known = classify(text, function or _KEX)
    if (known.family and known.bits is not None) or known.components:
        return (Named(text, known.function),)
    montgomery = _MONTGOMERY.get(plain_key(curve.rpartition("/")[2]))
    if montgomery and key in ("ECDH", "ECDHE", "EC", "XDH"):
        return (Named(montgomery, _KEX),)
    if found := _FIXED.get(key) or _FIXED.get(key.replace("-", "")):
        return (found,)
    for rule in _RULES:
        if named := rule(key, bits, curve):
            return named
    return (Named(text, known.function),) if known.family else ()


def _used_for(named: Named, function: Function) -> Named:
    """Return `named` for the use that is known: RSA that establishes keys is RSA key transport, ECDSA signs anyway."""
    algorithm, usual = named
    if algorithm.startswith("RSA") and function in (_KEX, _ENC) and usual is _SIG and "PSS" not in algorithm:
        return Named(algorithm.replace("RSA", "RSA-KEX", 1) if function is _KEX else algorithm, function)
    if algorithm.startswith("ECDH") and function is _SIG:
        return Named(algorithm.replace("ECDH", "ECDSA", 1), _SIG)
    return Named(algorithm, usual)


def oid_names(oid: str) -> _Names:
    """Return the algorithms of an object identifier; empty where it is not one of ours."""
    name = oids.NAMES.get(oid, "")
    return (Named(name, classify(name).function),) if name else ()


def ssh_algorithm(name: str, function: Function) -> Named | None:
    """Return an algorithm by the name that SSH gives it; None for a code that authenticates nothing: `none`."""
    if function is _KEX:
        return Named(key_exchange_name(name), _KEX)
    if function is _SIG:
        return Named(host_key_name(name), _SIG)
    if name == "none" and function is not _ENC:
        return None
    if known := cipher_name(name) if function is _ENC else mac_name(name):
        return Named(known, function)
    found = canonical(name.partition("@")[0], function=function)
    return found[0] if found else None
