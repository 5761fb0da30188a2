"""The names that libraries give to algorithms, in any notation, to parts: `AES/CBC/PKCS5Padding`, `aes-256-gcm`,
`SHA256withRSA`, `id_aes128_GCM`, `MLKEM768`, `nistp256`.

A name is read from left to right as atoms; one that has anything else in it is no name of an algorithm.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from keystrand.formats.source.parts import Parts

HOLE = "\0"
"""Stands in a text for what could not be resolved."""
_SIZE = r"[-_]?(128|192|256|512)?"
_KEY_BITS = {"AES": (128, 192, 256), "Camellia": (128, 192, 256), "ARIA": (128, 192, 256)}


def _hash(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda m: Parts(hash=name.format(*(g or "" for g in m.groups())).upper() if "{" in name else name)


def _family(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda m: Parts(family=name.format(*(g or "" for g in m.groups())).rstrip("-"))


def _sized(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda m: Parts(family=name, bits=int(m[1]) if m[1] else None)


def _mode(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda m: Parts(mode=name.format(*(g or "" for g in m.groups())))


def _padding(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda _: Parts(padding=name)


def _curve(name: str) -> Callable[[re.Match[str]], Parts]:
    return lambda m: Parts(family="EC", curve=name.format(*(g or "" for g in m.groups())))


def _nothing(_: re.Match[str]) -> Parts:
    return Parts()


def _parts(**known: str) -> Callable[[re.Match[str]], Parts]:
    fixed = Parts(**known)  # type: ignore[arg-type]  # only text is given here
    return lambda _: fixed


def _slh(m: re.Match[str]) -> Parts:
    return Parts(family=f"SLH-DSA-{m[1].upper()}-{m[2]}{m[3]}")


def _jose(m: re.Match[str]) -> Parts:
    hash_ = f"SHA-{m[2]}"
    known = {
        "hs": Parts(family="HMAC", hash=hash_),
        "rs": Parts(family="RSA", padding="PKCS1", hash=hash_),
        "ps": Parts(family="RSA", padding="PSS", hash=hash_),
        "es": Parts(family="ECDSA", curve={"256": "P-256", "384": "P-384", "512": "P-521"}[m[2]], hash=hash_),
    }
    return known[m[1]]


_ATOMS: tuple[tuple[str, Callable[[re.Match[str]], Parts]], ...] = (
    # post-quantum first: their names hold those of hashes and curves
    (r"x25519[-_]?mlkem[-_]?768|mlkem[-_]?768[-_]?x25519", _family("X25519MLKEM768")),
    (r"ml[-_]?kem[-_]?(512|768|1024)", _family("ML-KEM-{}")),
    (r"ml[-_]?dsa[-_]?(44|65|87)", _family("ML-DSA-{}")),
    (r"ml[-_]?kem", _family("ML-KEM")),
    (r"ml[-_]?dsa", _family("ML-DSA")),
    (r"slh[-_]?dsa[-_]?(?:pure[-_]?)?(sha2|shake)[-_]?(128|192|256)[-_]?(s|f)", _slh),
    (r"slh[-_]?dsa", _family("SLH-DSA")),
    (r"kyber[-_]?(512|768|1024)?", _family("Kyber-{}")),
    (r"dilithium[-_]?(2|3|5)?", _family("Dilithium-{}")),
    (r"falcon[-_]?(512|1024)?", _family("Falcon-{}")),
    (r"fn[-_]?dsa[-_]?(512|1024)?", _family("FN-DSA-{}")),
    (r"sphincs(?:\+|plus)?[-_]?(?:(?:sha2|sha256|shake|shake256|haraka)[-_]?)?(?:(?:128|192|256)[sf]?)?"
     r"(?:[-_]?(?:robust|simple))?", _family("SPHINCS+")),
    (r"hqc[-_]?(128|192|256)?", _family("HQC-{}")),
    (r"bike(?:[-_]?l)?[-_]?([135]|128|192|256)?", _family("BIKE-{}")),
    (r"frodo(?:kem)?[-_]?(640|976|1344)?(?:[-_]?(?:aes|shake))?", _family("FrodoKEM-{}")),
    (r"(?:classic[-_]?)?mceliece[-_]?(\d{6,7}f?)?", _family("Classic-McEliece-{}")),
    (r"sntrup[-_]?761", _family("sntrup761")),
    (r"ntru(?:[-_]?(?:hps|hrss)\d*)?", _family("NTRU")),
    (r"saber", _family("Saber")),
    (r"xmss(?:mt)?", _family("XMSS")),
    (r"hss", _family("HSS")),
    (r"lms", _family("LMS")),
    # modes and sizes are atoms of their own, ciphers take a size that follows
    (r"x?chacha20[-_]?poly1305", _family("ChaCha20-Poly1305")),
    (r"x?chacha(?:20|12|8)?", _family("ChaCha20")),
    (r"x?salsa20[-_]?poly1305", _family("Salsa20-Poly1305")),
    (r"x?salsa20", _family("Salsa20")),
    (r"poly1305", _family("Poly1305")),
    (rf"(?:aes|rijndael){_SIZE}", _sized("AES")),
    (r"(?:des[-_]?ede3?|3des|triple[-_]?des|des[-_]?3|tdes|tdea)", _family("3DES")),
    (r"des(?:x|56|64)?", _family("DES")),
    (r"(?:arc4|rc4|arcfour)(?:[-_]?\d+)?", _family("RC4")),
    (r"rc2(?:[-_]?(?:40|64|128))?", _family("RC2")),
    (r"rc5", _family("RC5")),
    (r"rc6", _family("RC6")),
    (r"blowfish|bf", _family("Blowfish")),
    (r"cast[-_]?(?:5|128)", _family("CAST5")),
    (r"idea", _family("IDEA")),
    (rf"camellia{_SIZE}", _sized("Camellia")),
    (rf"aria{_SIZE}", _sized("ARIA")),
    (r"sm4", _family("SM4")),
    (r"seed", _family("SEED")),
    (rf"twofish{_SIZE}", _sized("Twofish")),
    (rf"serpent{_SIZE}", _sized("Serpent")),
    (rf"threefish{_SIZE}", _sized("Threefish")),
    (r"skipjack", _family("Skipjack")),
    (r"x?tea", _family("TEA")),
    (r"kuznyechik|grasshopper|gost[-_]?(?:r[-_]?)?3412[-_]?2015", _family("Kuznyechik")),
    (r"gost[-_]?28147(?:[-_]?89)?", _family("GOST28147")),
    (r"gost[-_]?3410", _family("GOST3410")),
    (r"dstu[-_]?7624", _family("Kalyna")),
    (r"dstu[-_]?7564", _family("Kupyna")),
    (r"ascon[-_]?(?:128a?|80pq)?", _family("Ascon")),
    (r"grain[-_]?128(?:aead)?", _family("Grain-128AEAD")),
    # hashes
    (r"sha[-_]?3[-_]?(224|256|384|512)", _hash("SHA3-{}")),
    (r"sha[-_]?3", _parts(hash="SHA-3")),
    (r"sha[-_]?512[-_/]?t?[-_/]?(224|256)", _hash("SHA-512/{}")),
    (r"sha(?:[-_]?2)?[-_]?(224|256|384|512)", _hash("SHA-{}")),
    (r"sha[-_]?1|sha(?![a-z0-9])|sha(?=with)", _hash("SHA-1")),
    (r"md[-_]?([245])", _hash("MD{}")),
    (r"(?:ripemd|rmd)[-_]?(128|160)", _hash("RIPEMD-{}")),
    (r"blake2([bs])(?:p|mac)?(?:[-_]?\d+)?", lambda m: Parts(hash=f"BLAKE2{m[1]}")),
    (r"blake3", _parts(hash="BLAKE3")),
    (r"(?:c)?shake[-_]?(128|256)", _hash("SHAKE{}")),
    (r"keccak(?:[-_]?\d+)?", _parts(hash="Keccak")),
    (r"sm3", _parts(hash="SM3")),
    (r"whirlpool", _parts(hash="Whirlpool")),
    (r"tiger", _parts(hash="Tiger")),
    (r"skein(?:[-_]?\d+)*", _parts(hash="Skein")),
    (r"streebog(?:[-_]?\d+)?|gost[-_]?(?:r[-_]?)?3411(?:[-_]?(?:94|2012))*(?:[-_]?(?:256|512))?",
     _parts(hash="Streebog")),
    # public keys, curves
    (r"(?:hs|rs|ps|es)256k", _parts(family="ECDSA", curve="secp256k1", hash="SHA-256")),
    (r"(hs|rs|ps|es)(256|384|512)(?![0-9a-z])", _jose),
    (r"rsa(?:ssa|es)?[-_]?pss", _parts(family="RSA", padding="PSS")),
    (r"rsa(?:ssa|es)?[-_]?oaep", _parts(family="RSA", padding="OAEP")),
    (r"rsa(?:ssa|es)[-_]?pkcs1(?:[-_]?v1[-_]?5)?", _parts(family="RSA", padding="PKCS1")),
    (r"rsa[-_]?(1024|2048|3072|4096|8192)?", _sized("RSA")),
    (r"ed25519(?:ph|ctx)?", _family("Ed25519")),
    (r"ed448(?:ph)?", _family("Ed448")),
    (r"eddsa", _family("EdDSA")),
    (r"x25519|curve25519", _family("X25519")),
    (r"x448|curve448", _family("X448")),
    (r"ec(?:kc|gk)?dsa", _family("ECDSA")),
    (r"ec(?:cdh|dh(?:[-_]?es|e)?|mqv)(?:c)?", _family("ECDH")),
    (r"ecies", _family("ECDH")),
    (r"diffie[-_]?hellman|dhe?(?![a-z])", _family("FFDH")),
    (r"el[-_]?gamal", _family("ElGamal")),
    (r"dsa(?:encryption)?", _family("DSA")),
    (r"sm2(?:p256v1)?", _curve("SM2")),
    (r"(?:x9[-_.]?62[-_]?)?prime([12])(92|39|56)v([123])", lambda m: Parts(family="EC", curve=f"P-{m[1]}{m[2]}")),
    (r"secp([12345]\d\d)k1", lambda m: Parts(family="EC", curve=f"secp{m[1]}k1")),
    (r"secp(192|224|256|384|521)r1|(?:ec)?nist[-_]?p[-_]?(192|224|256|384|521)|p[-_]?(192|224|256|384|521)",
     lambda m: Parts(family="EC", curve=f"P-{m[1] or m[2] or m[3]}")),
    (r"(sec[pt]\d{3}[rk]\d)", _curve("{}")),
    (r"brainpool[-_]?p?[-_]?(\d{3})[-_]?([rt])1", lambda m: Parts(family="EC", curve=f"brainpoolP{m[1]}{m[2]}1")),
    (r"ec(?![a-z])", _family("EC")),
    # codes, derivation, passwords
    (r"hmac", _family("HMAC")),
    (r"kmac[-_]?(128|256)", _family("KMAC{}")),
    (r"siphash", _family("SipHash")),
    (r"umac", _family("UMAC")),
    (r"pbkdf[-_]?2", _family("PBKDF2")),
    (r"hkdf", _family("HKDF")),
    (r"scrypt", _family("scrypt")),
    (r"bcrypt", _family("bcrypt")),
    (r"argon2(id|i|d)?", _family("Argon2{}")),
    (r"pbe(?:s2|s1)?", _family("PBE")),
    # modes and paddings
    (r"gcm[-_]?siv", _mode("GCM-SIV")),
    (r"gcm|ccm|cbc|ecb|xts|ocb|eax|siv|cts|kwp|kw|pcbc", lambda m: Parts(mode=m[0].upper())),
    (r"ctr|sic", _mode("CTR")),
    (r"(cfb|ofb)(8|1|64|128)?", lambda m: Parts(mode=m[1].upper() + (m[2] if m[2] in ("1", "8") else ""))),
    (r"cmac", _mode("CMAC")),
    (r"gmac", _mode("GMAC")),
    (r"wrap(?:pad)?", _mode("KW")),
    (r"pkcs[-_]?5(?:padding)?", _padding("PKCS5")),
    (r"pkcs[-_]?7(?:padding)?", _padding("PKCS7")),
    (r"nopadding|nopad", _padding("NoPadding")),
    (r"oaep(?:padding)?", _padding("OAEP")),
    (r"pkcs[-_]?1(?:[-_]?v?1?[-_]?5?)?(?:padding)?", _padding("PKCS1")),
    (r"pss", _padding("PSS")),
    (r"iso10126(?:[-_]?2)?(?:padding)?", _padding("ISO10126")),
    (r"iso7816(?:[-_]?4)?(?:padding)?", _padding("ISO7816")),
    (r"x9[-_.]?23(?:padding)?", _padding("X923")),
    (r"zero(?:byte)?padding", _padding("ZeroPadding")),
    (r"mgf1", _nothing),
    (r"encryption|with|and|in|padding|enc|plus|none(?=with)|id(?=[-_])", _nothing),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), effect) for pattern, effect in _ATOMS)
_GAP = re.compile(r"[-_/.:+ &,]+")
_LONE_SIZE = re.compile(r"(128|192|256|512|1024|2048|3072|4096)(?!\d)")


def _join(known: Parts, more: Parts) -> Parts:
    """Return both: the first family leads, a curve or a code goes before the key type that it belongs to."""
    if more.curve and known.family in ("ECDH", "ECDSA"):
        more = more._replace(family="")
    if known.family == "EC" and more.family:
        known = known._replace(family="")
    if known.family and more.family and known.family != more.family:
        if {known.family, more.family} <= {
            "PBE",
            "RC4",
            "RC2",
            "DES",
            "3DES",
            "AES",
            "HMAC",
            "PBKDF2",
            "Twofish",
            "IDEA",
        }:
            return (more if known.family in ("HMAC", "PBE") and more.family != "HMAC" else known).over(more.over(known))
        if {known.family, more.family} == {"ChaCha20", "Poly1305"}:
            return known._replace(family="ChaCha20-Poly1305")
        return Parts()
    return known.over(more)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Parts | None:
    """Return what `text` names, or None where it is not the name of an algorithm. A hole in it is passed over."""
    text = text.strip().lower()
    if not text or len(text) > 80:
        return None
    known, at = Parts(), 0
    while at < len(text):
        if (gap := _GAP.match(text, at)) or text[at] == HOLE:
            at = gap.end() if gap else at + 1
            continue
        step = _atom(text, at)
        if step is None:
            return None
        more, at = step
        if more.bits and not more.family:
            known = known._replace(bits=known.bits or more.bits) if _fits(known.family, more.bits) else known
            continue
        if any(more) and not any(known := _join(known, more)):
            return None
    return _settled(known) if any(known) else None


def _atom(text: str, at: int) -> tuple[Parts, int] | None:
    best: tuple[Parts, int] | None = None
    for pattern, effect in _COMPILED:
        if (match := pattern.match(text, at)) and (best is None or match.end() > best[1]) and match.end() > at:
            best = effect(match), match.end()
    if best is None and (size := _LONE_SIZE.match(text, at)):
        return Parts(bits=int(size[1])), size.end()
    return best


def _fits(family: str, bits: int) -> bool:
    return bits in _KEY_BITS.get(family, (bits,))


def _settled(known: Parts) -> Parts:
    if known.family == "RSA" and known.mode:
        known = known._replace(mode="")  # JCA writes RSA/ECB/..., which has no mode
    if known.family and known.mode == "KW" and known.family == "HMAC":
        known = known._replace(mode="")
    return known


_VERSIONS = re.compile(r"(?i)(d?)(tls|ssl)[-_ ]?(?:v|version|protocol)?[-_ ]?(?:(1)[._]?([0-3])|([23])(?![0-9])|(1))?")


def protocol_version(text: str) -> str:
    """Return `TLSv1.2`, `SSLv3`, `DTLSv1.2` and the like for a name that ends in one, or an empty text."""
    match = None
    for match in _VERSIONS.finditer(text):  # noqa: B007  # the last one decides: TLS_VERSION_TLS12
        pass
    if match is None:
        return ""
    family = match[1].upper() + match[2].upper()
    if match[3] or match[6]:
        minor = match[4] or "0"
        return f"{family}v1.{minor}" if minor != "0" else f"{family}v1.0" if family != "SSL" else ""
    return f"SSLv{match[5]}" if match[5] and family == "SSL" else ""
