"""Ciphers, hashes and codes by the names that OpenSSL, OpenSSH and dm-crypt have, as canonical names."""

import re

_DIGESTS = {"md2": "MD2", "md4": "MD4", "md5": "MD5", "sha": "SHA-1", "sha1": "SHA-1", "sha224": "SHA-224",
            "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512", "sha512224": "SHA-512/224",
            "sha512256": "SHA-512/256", "sha3224": "SHA3-224", "sha3256": "SHA3-256", "sha3384": "SHA3-384",
            "sha3512": "SHA3-512", "shake128": "SHAKE128", "shake256": "SHAKE256", "ripemd160": "RIPEMD-160",
            "rmd160": "RIPEMD-160", "blake2b": "BLAKE2b", "blake2b512": "BLAKE2b-512", "blake2s": "BLAKE2s",
            "blake2s256": "BLAKE2s-256", "blake3": "BLAKE3", "sm3": "SM3", "whirlpool": "Whirlpool",
            "sha2224": "SHA-224", "sha2256": "SHA-256", "sha2384": "SHA-384", "sha2512": "SHA-512"}  # fmt: skip
_OLD = {"3des": "3DES-168", "des3": "3DES-168", "desede": "3DES-168", "desede3": "3DES-168", "des": "DES",
        "bf": "Blowfish", "blowfish": "Blowfish", "cast": "CAST5", "cast5": "CAST5", "cast128": "CAST5",
        "idea": "IDEA", "rc2": "RC2", "seed": "SEED-128", "sm4": "SM4-128"}  # fmt: skip
_BLOCKS = {"aes": "AES", "rijndael": "AES", "camellia": "Camellia", "aria": "ARIA", "serpent": "Serpent",
           "twofish": "Twofish"}  # fmt: skip
_MODE = r"(gcm-siv|gcm|ccm|ocb|eax|siv|cbc|ctr|ecb|cfb|cfb8|ofb|xts|kw|wrap)"


def digest_name(name: str) -> str:
    """Return the canonical name of a hash, however its parts are joined; empty where it is not known."""
    return _DIGESTS.get(re.sub(r"[-_/\s]", "", name.lower()), "")


def cipher_name(name: str) -> str:
    """Return the canonical name of a cipher with size and mode as far as they are named; empty where not known."""
    plain = name.strip().lower().partition("@")[0].replace("_", "-")
    if re.fullmatch(r"x?chacha20(-?ietf)?(-?poly-?1305)?", plain):
        return ("X" if plain.startswith("x") else "") + "ChaCha20" + ("-Poly1305" if "1305" in plain else "")
    if re.fullmatch(r"(arcfour|rc4)(-?\d+)?", plain):
        return "RC4"
    if match := re.fullmatch(rf"([a-z]+)-?(\d{{3}})?-?{_MODE}?(?:-.+)?", plain):
        family, bits, mode = _BLOCKS.get(match[1]), match[2], match[3]
        if family:
            return "-".join(filter(None, (family, bits, _mode(mode))))
    if match := re.fullmatch(rf"(3des|des-ede3?|des3|desede3?|des|bf|blowfish|cast5|cast128|cast|idea|rc2|seed|sm4)"
                             rf"(?:-?\d+)?-?{_MODE}?", plain):  # fmt: skip
        return "-".join(filter(None, (_OLD[match[1].replace("-", "")], _mode(match[2]))))
    return ""


def _mode(mode: str | None) -> str:
    return {"wrap": "KW"}.get(mode or "", (mode or "").upper())


def mac_name(name: str) -> str:
    """Return the canonical name of a message authentication code as SSH names it; empty where it is not known."""
    plain = name.strip().lower().partition("@")[0].removesuffix("-etm")
    if match := re.fullmatch(r"hmac-(.+?)(?:-96)?", plain):
        return f"HMAC-{found}" if (found := digest_name(match[1])) else ""
    if re.fullmatch(r"umac-(64|128)", plain):
        return plain.upper()
    return ""
