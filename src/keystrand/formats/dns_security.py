"""The cryptography in DNS records: keys, signatures, delegations, denials, and keys published for other protocols.

Sources: RFC 4034 (DNSKEY, RRSIG, DS), RFC 5155 (NSEC3), RFC 6698 (TLSA), RFC 4255 (SSHFP); RFC 3110, 2536, 6605 and
8080 for the keys; IANA "DNS Security Algorithm Numbers", "Delegation Signer Digest Algorithms", "SSHFP".
"""

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystrand.formats.dns_messages import DnsUnreadable, name_at
from keystrand.formats.x509_facts import certificate_fact, public_key_fact
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Certificate, PublicKey

ZONE_KEY, REVOKED, ENTRY_POINT = 0x0100, 0x0080, 0x0001
"""Flags of a DNSKEY (RFC 4034, 2.1.1; RFC 5011, 7)."""
MAX_MODULUS_OCTETS = 2048
"""Octets of an RSA modulus at most: four times the longest that RFC 3110 allows."""

_RSA, _DSA = (1, 5, 7, 8, 10), (3, 6)
_NAMES = {12: "GOST-R-34.10-2001", 13: "ECDSA-P-256", 14: "ECDSA-P-384", 15: "Ed25519", 16: "Ed448", 17: "SM2",
          23: "GOST-R-34.10-2012"}  # fmt: skip
_DIGESTS = {1: "MD5", 3: "SHA-1", 5: "SHA-1", 6: "SHA-1", 7: "SHA-1", 8: "SHA-256", 10: "SHA-512", 13: "SHA-256",
            14: "SHA-384", 17: "SM3"}  # fmt: skip
DS_DIGESTS = {1: "SHA-1", 2: "SHA-256", 3: "GOST-R-34.11-94", 4: "SHA-384", 5: "GOST-R-34.11-2012", 6: "SM3"}
_DS_HASHES = {1: "sha1", 2: "sha256", 4: "sha384"}
NSEC3_HASHES = {1: "SHA-1"}
TLSA_DIGESTS = {1: "SHA-256", 2: "SHA-512"}
SSHFP_KEYS = {1: "RSA", 2: "DSA", 3: "ECDSA", 4: "Ed25519", 6: "Ed448"}
SSHFP_DIGESTS = {1: "SHA-1", 2: "SHA-256"}


class Key(NamedTuple):
    """A DNSKEY. `fact` is None where the key is of an algorithm that we cannot read."""

    flags: int
    algorithm: int
    tag: int
    fact: PublicKey | None
    content: bytes


class Signature(NamedTuple):
    """An RRSIG: the type it covers, algorithm, validity in UTC, and tag and zone of the key that made it."""

    covers: int
    algorithm: int
    begins: datetime
    ends: datetime
    tag: int
    signer: bytes


class Delegation(NamedTuple):
    """A DS: the digest of a key, by its tag and algorithm."""

    tag: int
    algorithm: int
    digest_kind: int
    digest: bytes


class Nsec3(NamedTuple):
    """The parameters of hashed denial: hash, iterations beyond the first, and octets of salt."""

    hash: int
    iterations: int
    salt_octets: int


def algorithm_name(number: int) -> str:
    """Return the canonical name of a signing algorithm, RSA and DSA without size."""
    if number in _RSA:
        return "RSA"
    return "DSA" if number in _DSA else _NAMES.get(number, f"DNSSEC-algorithm-{number}")


def digest_name(number: int) -> str:
    """Return the hash that a signing algorithm takes; empty where it has its own or we do not know it."""
    return _DIGESTS.get(number, "")


def dnskey(content: bytes) -> Key:
    """Return a DNSKEY record. Raises `DnsUnreadable`."""
    head = _part(content, 0, 4)
    flags, protocol, algorithm = int.from_bytes(head[:2], "big"), head[2], head[3]
    if protocol != 3:
        raise DnsUnreadable(f"a DNSKEY for protocol {protocol}")
    try:
        fact = public_key_fact(_spki(algorithm, content[4:]))
    except (ValueError, InvalidInput, UnsupportedAlgorithm):
        fact = None
    return Key(flags, algorithm, key_tag(content), fact, content)


def _part(content: bytes, at: int, count: int) -> bytes:
    if len(content) < at + count:
        raise DnsUnreadable("a record's content is cut short")
    return content[at : at + count]


def _spki(algorithm: int, key: bytes) -> bytes:
    """Return the key as SubjectPublicKeyInfo, by which it is known everywhere. Raises `ValueError`."""
    public: rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    public_448: ed448.Ed448PublicKey
    if algorithm in _RSA:
        public = _rsa(key)
    elif algorithm in _DSA:
        public = _dsa(key)
    elif algorithm in (13, 14):
        curve = ec.SECP256R1() if algorithm == 13 else ec.SECP384R1()
        public = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + key)
    elif algorithm == 15:
        public = ed25519.Ed25519PublicKey.from_public_bytes(key)
    elif algorithm == 16:
        public_448 = ed448.Ed448PublicKey.from_public_bytes(key)
        return public_448.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        raise ValueError("a key of an algorithm that we cannot read")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _rsa(key: bytes) -> rsa.RSAPublicKey:
    """Read exponent and modulus (RFC 3110, 2)."""
    wide = key[:1] == b"\0"
    begin = 3 if wide else 1
    octets = int.from_bytes(key[1:3] if wide else key[:1], "big")
    exponent, modulus = key[begin : begin + octets], key[begin + octets :]
    if not exponent or not modulus or len(exponent) != octets or len(modulus) > MAX_MODULUS_OCTETS:
        raise ValueError("no RSA key")
    return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def _dsa(key: bytes) -> dsa.DSAPublicKey:
    """Read T, Q, P, G and Y (RFC 2536, 2)."""
    size = 64 + 8 * (key[0] if key else 0)
    if len(key) != 21 + 3 * size:
        raise ValueError("no DSA key")
    q, p, g, y = (
        int.from_bytes(part, "big")
        for part in (key[1:21], *(key[21 + n * size : 21 + (n + 1) * size] for n in range(3)))
    )
    return dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, q, g)).public_key()


def key_tag(content: bytes) -> int:
    """Return the tag by which signatures and delegations name a DNSKEY (RFC 4034, appendix B)."""
    if content[3:4] == b"\1" and len(content) >= 7:  # RSA/MD5 names itself otherwise (B.1)
        return int.from_bytes(content[-3:-1], "big")
    total = sum(octet if at & 1 else octet << 8 for at, octet in enumerate(content))
    return (total + (total >> 16)) & 0xFFFF


def rrsig(content: bytes) -> Signature:
    """Return an RRSIG record. Raises `DnsUnreadable`."""
    head = _part(content, 0, 18)
    ends, begins = (_moment(int.from_bytes(head[at : at + 4], "big")) for at in (8, 12))
    covers, tag = (int.from_bytes(head[at : at + 2], "big") for at in (0, 16))
    return Signature(covers, head[2], begins, ends, tag, name_at(content, 18)[0])


def _moment(seconds: int) -> datetime:
    """Return a time of RFC 4034, 3.1.5, which counts in 32 bits: until 2106 as if from 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def ds(content: bytes) -> Delegation:
    """Return a DS record. Raises `DnsUnreadable`."""
    head = _part(content, 0, 4)
    return Delegation(int.from_bytes(head[:2], "big"), head[2], head[3], content[4:])


def delegates_to(delegation: Delegation, zone: bytes, key: Key) -> bool | None:
    """Return whether a DS is of `key` (RFC 4034, 5.1.4); None where its digest is one that we cannot compute."""
    if delegation.digest_kind not in _DS_HASHES:
        return None
    digest = hashlib.new(_DS_HASHES[delegation.digest_kind], zone + key.content).digest()
    return (delegation.tag, delegation.algorithm) == (key.tag, key.algorithm) and digest == delegation.digest


def nsec3(content: bytes) -> Nsec3:
    """Return an NSEC3PARAM record. Raises `DnsUnreadable`."""
    head = _part(content, 0, 5)
    _part(content, 5, head[4])
    return Nsec3(head[0], int.from_bytes(head[2:4], "big"), head[4])


class Association(NamedTuple):
    """A TLSA: usage, selector and matching type, and what it holds where that is more than a digest."""

    usage: int
    selector: int
    matching: int
    whole: Certificate | PublicKey | None


def tlsa(content: bytes) -> Association:
    """Return a TLSA record. Raises `DnsUnreadable`."""
    usage, selector, matching = _part(content, 0, 3)
    whole: Certificate | PublicKey | None = None
    try:
        if matching == 0:
            whole = certificate_fact(content[3:]) if selector == 0 else public_key_fact(content[3:])
    except InvalidInput:
        whole = None
    return Association(usage, selector, matching, whole)


def sshfp(content: bytes) -> tuple[int, int]:
    """Return key algorithm and digest type of an SSHFP record. Raises `DnsUnreadable`."""
    head = _part(content, 0, 2)
    return head[0], head[1]
