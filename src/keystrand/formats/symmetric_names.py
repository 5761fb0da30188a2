"""Ciphers, hashes and codes by the names that OpenSSL, OpenSSH and dm-crypt have, as canonical names."""

import re

_SHA = re.compile(r"SHA(?:-?2(?=-\d{3}))?-?(?P<size>1|224|256|384|512)(?:[-/](?P<out>224|256))?")
_SHA3 = re.compile(r"SHA-?3-?(?P<size>224|256|384|512)")
_OTHER_HASHES = {"MD2": "MD2", "MD4": "MD4", "MD5": "MD5", "SHA": "SHA-1", "SM3": "SM3", "WHIRLPOOL": "Whirlpool",
                 "RIPEMD160": "RIPEMD-160", "RIPEMD-160": "RIPEMD-160", "RMD160": "RIPEMD-160", "BLAKE3": "BLAKE3",
                 "SHAKE128": "SHAKE128", "SHAKE256": "SHAKE256", "SHAKE-128": "SHAKE128", "SHAKE-256": "SHAKE256",
                 "SHA-1": "SHA-1"}  # fmt: skip
_OLD = {"3des": "3DES-168", "des3": "3DES-168", "desede": "3DES-168", "desede3": "3DES-168", "des": "DES",
        "bf": "Blowfish", "blowfish": "Blowfish", "cast": "CAST5", "cast5": "CAST5", "cast128": "CAST5",
        "idea": "IDEA", "rc2": "RC2", "seed": "SEED-128", "sm4": "SM4-128"}  # fmt: skip
_BLOCKS = {"aes": "AES", "rijndael": "AES", "camellia": "Camellia", "aria": "ARIA", "serpent": "Serpent",
           "twofish": "Twofish"}  # fmt: skip
_NOTHING = ("null", "none", "enull", "cipher-null")
"""What IKE and TLS, SSH and OpenVPN, OpenSSL, and dm-crypt call a cipher that leaves all as it is (RFC 2410)."""
_MODE = r"(gcm-siv|gcm|ccm|ocb|eax|siv|cbc|ctr|ecb|cfb|cfb8|ofb|xts|kw|wrap)"


def hash_name(text: str) -> str:
    """Return the canonical name of a hash, or an empty string where `text` names none."""
    key = plain_key(text)
    if match := _SHA3.fullmatch(key):
        return f"SHA3-{match['size']}"
    if match := _SHA.fullmatch(key):
        return f"SHA-{match['size']}{'/' + match['out'] if match['out'] else ''}"
    if match := re.fullmatch(r"BLAKE-?2([BS])(?:-?(\d+))?", key):
        return f"BLAKE2{match[1].lower()}{'-' + match[2] if match[2] else ''}"
    return _OTHER_HASHES.get(key, "")


def plain_key(text: str) -> str:
    """Return `text` in the one spelling that is compared: upper case, one hyphen for what parts words."""
    return re.sub(r"[\s_./:+()-]+", "-", text.strip().upper()).strip("-")


def cipher_name(name: str) -> str:
    """Return the canonical name of a cipher with size and mode as far as they are named; empty where not known."""
    plain = name.strip().lower().partition("@")[0].replace("_", "-")
    if plain in _NOTHING:
        return "NULL"
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


def cipher_code(mode: str, cipher: str = "") -> str:
    """Return the canonical name of an authentication code that is a mode of a block cipher: `CMAC-AES-128`.

    CMAC leads its cipher, as the CycloneDX registry has it; the others stand behind it: `AES-128-GMAC`.
    """
    return "-".join(filter(None, (mode, cipher) if mode == "CMAC" else (cipher, mode)))


def mac_name(name: str) -> str:
    """Return the canonical name of a message authentication code as SSH names it; empty where it is not known."""
    plain = name.strip().lower().partition("@")[0].removesuffix("-etm")
    if match := re.fullmatch(r"hmac-(.+?)(?:-96)?", plain):
        return f"HMAC-{found}" if (found := hash_name(match[1])) else ""
    if re.fullmatch(r"umac-(64|128)", plain):
        return plain.upper()
    return ""
