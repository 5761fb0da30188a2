"""OpenPGP keys: packets of public and secret keys, by their public part alone; armored, binary, and in GnuPG's keybox.

Sources: RFC 9580 (packets, versions 4 and 6, algorithms), RFC 4880 (version 3), RFC 9980 (post-quantum algorithms);
GnuPG's kbx/keybox-blob.c for the layout of its file.
"""

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from keystrand.formats import spki
from keystrand.formats.der import object_identifier
from keystrand.formats.key_facts import Found
from keystrand.formats.oids import CURVES
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, PublicKey

_PUBLIC, _PUBLIC_SUBKEY, _SECRET, _SECRET_SUBKEY = 6, 14, 5, 7
_KEYS = frozenset((_PUBLIC, _PUBLIC_SUBKEY, _SECRET, _SECRET_SUBKEY))
_PRIVATE = frozenset((_SECRET, _SECRET_SUBKEY))
_VERSIONS = (2, 3, 4, 5, 6)
_RSA, _ELGAMAL, _DSA, _ECDH, _ECDSA, _EDDSA = (1, 2, 3), (16, 20), 17, 18, 19, 22
_FIXED = {25: ("X25519", 32), 26: ("X448", 56), 27: ("Ed25519", 32), 28: ("Ed448", 57)}
_POST_QUANTUM = {
    30: ("ML-DSA-65+Ed25519", 1984), 31: ("ML-DSA-87+Ed448", 2649), 32: ("SLH-DSA-SHAKE-128s", 32),
    33: ("SLH-DSA-SHAKE-128f", 32), 34: ("SLH-DSA-SHAKE-256s", 64), 35: ("ML-KEM-768+X25519", 1216),
    36: ("ML-KEM-1024+X448", 1624),
}  # fmt: skip
"""Algorithm by its number, and the octets of its public key (RFC 9980, 2 and 5)."""
_SIGNATURE, _DOCUMENT, _HASHES = 2, (0, 1), (1, 2, 3, 8, 9, 10, 11, 12, 14)
_SIGNATURES = {1: "RSA", 3: "RSA", 17: "DSA", 19: "ECDSA", 22: "EdDSA", 27: "Ed25519", 28: "Ed448",
               **{number: _POST_QUANTUM[number][0] for number in range(30, 35)}}  # fmt: skip
_OLD_CURVES = {"1.3.6.1.4.1.11591.15.1": "Ed25519", "1.3.6.1.4.1.3029.1.5.1": "X25519"}
_NATIVE_POINT = b"\x40"
MAX_PACKETS = 100_000
"""Packets of one file that are read."""
_KBX_MAGIC, _KBX_FIRST, _KBX_OPENPGP = b"KBXf", 1, 2


class _Packet(NamedTuple):
    tag: int
    body: bytes


def _packets(content: bytes) -> Iterator[_Packet]:
    """Yield the packets (RFC 9580, 4.2). Raises `ValueError` where one is damaged or cut off."""
    at = 0
    while at < len(content):
        first = content[at]
        if not first & 0x80:
            raise ValueError("not a packet")
        tag, (at, size) = (first & 0x3F, _new(content, at + 1)) if first & 0x40 else (
            first >> 2 & 0x0F, _old(content, at, first & 3))  # fmt: skip
        if at + size > len(content):
            raise ValueError("a packet ends early")
        yield _Packet(tag, content[at : at + size])
        at += size


def _new(content: bytes, at: int) -> tuple[int, int]:
    """Return where the body begins and its length. A body in pieces holds no key: only data packets may be such."""
    head = content[at : at + 5]
    if not head:
        raise ValueError("a packet ends early")
    if head[0] < 192:
        return at + 1, head[0]
    if head[0] < 224 and len(head) > 1:
        return at + 2, (head[0] - 192 << 8) + head[1] + 192
    if head[0] == 255 and len(head) == 5:
        return at + 5, int.from_bytes(head[1:], "big")
    raise ValueError("a packet in pieces")


def _old(content: bytes, at: int, form: int) -> tuple[int, int]:
    if form == 3:
        return at + 1, len(content) - at - 1
    size = 1 << form
    return at + 1 + size, int.from_bytes(content[at + 1 : at + 1 + size], "big")


def begins_with_key(content: bytes) -> bool:
    """Return whether `content` begins with a key or the signature of a document, of a version and algorithm we know."""
    if not content or not content[0] & 0x80:
        return False
    try:
        packet = next(_packets(content))
        if packet.tag == _SIGNATURE:
            return packet.body[1] in _DOCUMENT and packet.body[3] in _HASHES and any(_signed(packet))
        return packet.tag in (_PUBLIC, _SECRET) and bool(_key(packet))
    except (ValueError, StopIteration, IndexError):
        return False


def keys_in(content: bytes) -> tuple[Found, ...]:
    """Return the keys and subkeys in a sequence of packets; a damaged one ends it, and a gap says so."""
    objects: list[Found] = []
    try:
        for packet in islice(_packets(content), MAX_PACKETS):
            if packet.tag in _KEYS:
                objects.append(_told(packet))
            elif packet.tag == _SIGNATURE and not objects:
                objects += _signed(packet)
    except ValueError as error:
        objects.append(Found(gap=f"OpenPGP packets that are not read to their end: {error}"))
    return tuple(objects)


def _signed(packet: _Packet) -> Iterator[Found]:
    """Yield what a signature that stands alone was made with (RFC 9580, 5.2.3); those below a key are its own."""
    body = packet.body
    if len(body) > 4 and body[0] in (4, 5, 6) and (name := _SIGNATURES.get(body[2])):
        yield Found((AlgorithmUse(algorithm=name, function=Function.SIGNATURE),))


def _told(packet: _Packet) -> Found:
    try:
        return Found((_key(packet),))
    except ValueError as error:
        return Found(gap=f"an OpenPGP key that cannot be read: {error}")


def is_keybox(content: bytes) -> bool:
    """Return whether `content` is a keybox of GnuPG."""
    return content[8:12] == _KBX_MAGIC and content[4:5] == bytes([_KBX_FIRST])


def keybox(content: bytes) -> tuple[Found, ...]:
    """Return the keys in a keybox: blob after blob, each with its length first."""
    objects: list[Found] = []
    at = 0
    while at + 16 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        blob = content[at : at + size]
        if size < 16 or len(blob) < size:
            return (*objects, Found(gap="a keybox that is not whole"))
        if blob[4] == _KBX_OPENPGP:
            begin, length = (int.from_bytes(blob[n : n + 4], "big") for n in (8, 12))
            objects += keys_in(blob[begin : begin + length])
        at += size
    return tuple(objects)


def _key(packet: _Packet) -> PublicKey:
    """Return the facts of a key packet (RFC 9580, 5.5.2). Raises `ValueError` where it is none that we know."""
    body = packet.body
    if len(body) < 8 or body[0] not in _VERSIONS:
        raise ValueError("its version is not known")
    at = 7 if body[0] in (2, 3) else 5
    number, material = body[at], body[at + (5 if body[0] in (5, 6) else 1) :]
    private = packet.tag in _PRIVATE
    if number in _POST_QUANTUM:
        name, size = _POST_QUANTUM[number]
        return _unmapped(name, None, _take(material, size), private=private)
    if number in _ELGAMAL:
        numbers = _numbers(material, 3)
        bits = int.from_bytes(numbers[0], "big").bit_length()
        return _unmapped(f"ElGamal-{bits}", bits, b"\0".join(numbers), private=private)
    fact = public_key_fact(_information(number, material), private_part_present=private)
    if number == _ECDH and fact.algorithm.startswith("ECDSA-"):
        return PublicKey(sha256=fact.sha256, algorithm=fact.algorithm.replace("ECDSA", "ECDH", 1), bits=None,
                         private_part_present=private)  # fmt: skip
    return fact


def _unmapped(name: str, bits: int | None, public: bytes, *, private: bool) -> PublicKey:
    """Return a key that X.509 has no form for: its identity is the hash of its public part as it stands here."""
    digest = hashlib.sha256(public).hexdigest()
    return PublicKey(sha256=digest, algorithm=name, bits=bits, private_part_present=private)


def _information(number: int, material: bytes) -> bytes:
    if number in _RSA:
        return spki.rsa(*_numbers(material, 2))
    if number == _DSA:
        prime, order, generator, public = _numbers(material, 4)
        return spki.dsa(prime, order, generator, public)
    if number in _FIXED:
        name, size = _FIXED[number]
        return spki.raw(name, _take(material, size))
    if number in (_ECDH, _ECDSA, _EDDSA):
        return _on_curve(material)
    raise ValueError(f"its algorithm ({number}) is not known")


def _on_curve(material: bytes) -> bytes:
    size = material[0] if material else 0
    oid = object_identifier(_take(material[1:], size))
    (point,) = _numbers(material[1 + size :], 1)
    if oid in _OLD_CURVES:
        if len(point) != 33 or not point.startswith(_NATIVE_POINT):
            raise ValueError("its point has not the form of its curve")
        return spki.raw(_OLD_CURVES[oid], point[1:])
    if oid not in CURVES:
        raise ValueError("its curve is not known")
    return spki.on_curve(oid, point)


def _take(octets: bytes, size: int) -> bytes:
    if len(octets) < size:
        raise ValueError("it ends early")
    return octets[:size]


def _numbers(material: bytes, count: int) -> list[bytes]:
    """Return multiprecision integers: their size in bits in two octets, then the number (RFC 9580, 3.2)."""
    found, at = [], 0
    for _ in range(count):
        size = (int.from_bytes(_take(material[at : at + 2], 2), "big") + 7) // 8
        found.append(_take(material[at + 2 : at + 2 + size], size))
        at += 2 + size
    return found
