"""Keys of small tools, each a line of text: age's recipients and identities, minisign's and signify's public keys.

Sources: C2SP age specification (X25519 and the post-quantum recipients), BIP 173 (Bech32), minisign's manual.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from keystrand.formats import spki
from keystrand.formats.key_facts import ENCRYPTED, Found
from keystrand.formats.line_numbers import LineNumbers
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.observation import Keystore, PublicKey

MARKS = (b"age1", b"AGE-SECRET-KEY-", b"untrusted comment: ")
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_AGE = re.compile(rb"(?<![A-Za-z0-9])age1([02-9ac-hj-np-z]{58}|pq1[02-9ac-hj-np-z]{1900,2000})(?![A-Za-z0-9])")
_AGE_SECRET = re.compile(rb"AGE-SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]{50,}")
_MINISIGN = re.compile(rb"untrusted comment: [^\n]*\n(RW[A-Za-z0-9+/]{54})(?:\r?\n|$)")
_MINISIGN_SECRET = re.compile(rb"untrusted comment: minisign encrypted secret key\r?\n[A-Za-z0-9+/=]{200,}")
_MINISIGN_HEAD = b"Ed"


def small_keys(content: bytes) -> tuple[Found, ...]:
    """Return the keys of these tools in `content`, each at its line `:n`."""
    found = [(at, one) for read in (_age, _secret, _minisign) for at, one in read(content)]
    lines = LineNumbers(content)
    return tuple(one._replace(where=f":{lines.of(at)}") for at, one in sorted(found, key=_begin))


def _begin(pair: tuple[int, Found]) -> int:
    return pair[0]


def _age(content: bytes) -> Iterator[tuple[int, Found]]:
    for match in _AGE.finditer(content) if MARKS[0] in content else ():
        text = match[0].decode()
        separator = text.rindex("1", 0, 7) if text.startswith("age1pq1") else 3
        if (key := _bech32(text[:separator], text[separator + 1 :])) is None:
            continue
        if text.startswith("age1pq1"):
            digest = hashlib.sha256(key).hexdigest()
            yield match.start(), Found((PublicKey(sha256=digest, algorithm="ML-KEM-768+X25519"),))
        elif len(key) == 32:
            yield match.start(), Found((public_key_fact(spki.raw("X25519", key)),))


def _secret(content: bytes) -> Iterator[tuple[int, Found]]:
    for match in _AGE_SECRET.finditer(content) if MARKS[1] in content else ():
        yield match.start(), Found((Keystore(format="age", entries=1, encrypted=False),))
    for match in _MINISIGN_SECRET.finditer(content) if MARKS[2] in content else ():
        yield match.start(), Found((Keystore(format="minisign", entries=1, encrypted=True),), ENCRYPTED)


def _minisign(content: bytes) -> Iterator[tuple[int, Found]]:
    for match in _MINISIGN.finditer(content) if MARKS[2] in content else ():
        try:
            key = base64.b64decode(match[1])
        except binascii.Error:
            continue
        if len(key) == 42 and key.startswith(_MINISIGN_HEAD):
            yield match.start(), Found((public_key_fact(spki.raw("Ed25519", key[10:])),))


def _bech32(prefix: str, text: str) -> bytes | None:
    """Return the octets that a Bech32 string holds; None where its checksum is wrong (BIP 173, without its limit)."""
    values = [_ALPHABET.index(letter) for letter in text]
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    if _checksum(expanded + values) != 1:
        return None
    bits = octets = 0
    made = bytearray()
    for value in values[:-6]:
        octets, bits = (octets << 5 | value) & 0xFFF, bits + 5
        if bits >= 8:
            bits -= 8
            made.append(octets >> bits & 0xFF)
    return bytes(made)


def _checksum(values: list[int]) -> int:
    total = 1
    for value in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ value
        for bit, number in enumerate(_GENERATOR):
            total ^= number if top >> bit & 1 else 0
    return total
