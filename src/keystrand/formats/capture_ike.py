"""IKE as a bystander sees it: the proposals of IKE_SA_INIT, the one chosen, and what is added to it; IKEv1 likewise.

Sources: RFC 7296, sections 3.1 to 3.3; RFC 9370 (additional key exchanges); RFC 8784 and RFC 9867 (pre-shared keys);
RFC 2408 and 2409 for version 1; IANA "IKEv2 Parameters", transform types 1, 3, 4 and 6 to 12.
"""

from collections.abc import Iterator
from typing import NamedTuple

from keystrand.formats.capture_session import Session, Use
from keystrand.model.algorithm import Function, Verdict, classify

_HEAD, _SA_INIT, _MAIN, _AGGRESSIVE = 28, 34, 2, 4
_SA_1, _SA_2, _NOTIFY = 1, 33, 41
_RESPONSE = 0x20
_ENCRYPTION, _INTEGRITY, _EXCHANGE, _ADDITIONAL = 1, 3, 4, range(6, 13)
_KEY_LENGTH, _ATTRIBUTE_FORMAT = 14, 0x8000
_PPK = {16435: "PPK (RFC 8784)", 16445: "PPK (RFC 9867)"}
MAX_TRANSFORMS = 256
"""Transforms read of one message at most; real proposals have some dozens."""

EXCHANGES = {
    1: "FFDH-768", 2: "FFDH-1024", 5: "FFDH-1536", 14: "FFDH-2048", 15: "FFDH-3072", 16: "FFDH-4096", 17: "FFDH-6144",
    18: "FFDH-8192", 19: "ECDH-P-256", 20: "ECDH-P-384", 21: "ECDH-P-521", 22: "FFDH-1024", 23: "FFDH-2048",
    24: "FFDH-2048", 25: "ECDH-P-192", 26: "ECDH-P-224", 27: "ECDH-brainpoolP224r1", 28: "ECDH-brainpoolP256r1",
    29: "ECDH-brainpoolP384r1", 30: "ECDH-brainpoolP512r1", 31: "X25519", 32: "X448", 35: "ML-KEM-512",
    36: "ML-KEM-768", 37: "ML-KEM-1024",
}  # fmt: skip
_CIPHERS = {
    2: "DES-CBC", 3: "3DES-168-CBC", 5: "IDEA-CBC", 6: "CAST5-CBC", 7: "Blowfish-CBC", 11: "NULL", 12: "AES-{}-CBC",
    13: "AES-{}-CTR", 14: "AES-{}-CCM8", 15: "AES-{}-CCM", 16: "AES-{}-CCM", 18: "AES-{}-GCM", 19: "AES-{}-GCM",
    20: "AES-{}-GCM", 23: "Camellia-{}-CBC", 28: "ChaCha20-Poly1305",
}  # fmt: skip
_MACS = {1: "HMAC-MD5", 2: "HMAC-SHA-1", 12: "HMAC-SHA-256", 13: "HMAC-SHA-384", 14: "HMAC-SHA-512"}
_CIPHERS_1 = {1: "DES-CBC", 2: "IDEA-CBC", 3: "Blowfish-CBC", 5: "3DES-168-CBC", 6: "CAST5-CBC", 7: "AES-{}-CBC"}
_HASHES_1 = {1: "MD5", 2: "SHA-1", 4: "SHA-256", 5: "SHA-384", 6: "SHA-512"}


class Message(NamedTuple):
    """The clear part of an IKE message: its version, whether it answers, transforms as uses, and notifications."""

    version: int
    answer: bool
    uses: tuple[Use, ...]
    notifications: tuple[int, ...]


def ike_octets(datagram: bytes) -> bytes:
    """Return the IKE message in a datagram, without the marker of port 4500 (RFC 3948, 2.2); empty where it is none."""
    octets = datagram[4:] if datagram[:4] == b"\0\0\0\0" else datagram
    plausible = (
        len(octets) >= _HEAD
        and octets[17] >> 4 in (1, 2)
        and octets[18] in ((_SA_INIT,) if octets[17] >> 4 == 2 else (_MAIN, _AGGRESSIVE))
        and int.from_bytes(octets[24:28], "big") == len(octets)
        and any(octets[:8])
    )
    return octets if plausible else b""


def ike_message(octets: bytes) -> Message:
    """Return what a message that `ike_octets` gave says in clear; what is cut short is left out."""
    version = octets[17] >> 4
    uses: list[Use] = []
    notes: list[int] = []
    kind, at = octets[16], _HEAD
    while kind and at + 4 <= len(octets):
        length = octets[at + 2] << 8 | octets[at + 3]
        if length < 4:
            break
        body = octets[at + 4 : at + length]
        if kind == _SA_2 and version == 2:
            uses += _proposals(body, version)
        elif kind == _SA_1 and version == 1:
            uses += _proposals(body[8:], version)
        elif kind == _NOTIFY and version == 2 and len(body) >= 4:
            notes.append(body[2] << 8 | body[3])
        kind, at = octets[at], at + length
    answer = bool(octets[19] & _RESPONSE) if version == 2 else any(octets[8:16])
    return Message(version, answer, tuple(dict.fromkeys(uses[:MAX_TRANSFORMS])), tuple(notes[:MAX_TRANSFORMS]))


def _proposals(body: bytes, version: int) -> Iterator[Use]:
    at = 0
    while at + 8 <= len(body):
        length = body[at + 2] << 8 | body[at + 3]
        if length < 8:
            return
        for transform in _transforms(body[at + 8 + body[at + 6] : at + length]):
            yield from _uses_2(transform) if version == 2 else _uses_1(transform)
        at += length


def _transforms(body: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(body):
        length = body[at + 2] << 8 | body[at + 3]
        if length < 8:
            return
        yield body[at : at + length]
        at += length


def _attributes(octets: bytes) -> dict[int, int]:
    """Return the attributes of a fixed length; one of its own length is passed over (RFC 7296, 3.3.5)."""
    found, at = {}, 0
    while at + 4 <= len(octets):
        kind, value = octets[at] << 8 | octets[at + 1], octets[at + 2] << 8 | octets[at + 3]
        if kind & _ATTRIBUTE_FORMAT:
            found[kind & ~_ATTRIBUTE_FORMAT] = value
            at += 4
        else:
            at += 4 + value
    return found


def _uses_2(transform: bytes) -> Iterator[Use]:
    kind, number = transform[4], transform[6] << 8 | transform[7]
    if kind == _EXCHANGE or kind in _ADDITIONAL:
        if number:
            yield Use(Function.KEY_ESTABLISHMENT, exchange_name(number), str(number))
    elif kind == _ENCRYPTION:
        yield _sized(_CIPHERS.get(number, f"IKE-encryption-{number}"), _attributes(transform[8:]), str(number))
    elif kind == _INTEGRITY and number:
        yield Use(Function.MAC, _MACS.get(number, f"IKE-integrity-{number}"), str(number))


def _uses_1(transform: bytes) -> Iterator[Use]:
    found = _attributes(transform[8:])
    if 4 in found:
        yield Use(Function.KEY_ESTABLISHMENT, exchange_name(found[4]), str(found[4]))
    if 1 in found:
        yield _sized(_CIPHERS_1.get(found[1], f"IKEv1-encryption-{found[1]}"), found, str(found[1]))
    if 2 in found:
        yield Use(Function.DIGEST, _HASHES_1.get(found[2], f"IKEv1-hash-{found[2]}"), str(found[2]))


def _sized(name: str, attributes: dict[int, int], code: str) -> Use:
    bits = attributes.get(_KEY_LENGTH)
    sized = name.format(bits) if bits else name.replace("-{}", "")
    return Use(Function.ENCRYPTION, sized, code)


def exchange_name(number: int) -> str:
    """Return the canonical name of a key exchange method; one we do not know keeps its number."""
    return EXCHANGES.get(number, f"IKE-key-exchange-{number}")


class IkeDissector:
    """IKE over datagrams, until a proposal is chosen."""

    def __init__(self) -> None:
        self._offers: tuple[Use, ...] = ()
        self._answer: Message | None = None
        self._version = 0
        self._client_first: bool | None = None

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take a datagram; see `Dissector`."""
        if not (whole := ike_octets(octets)):
            return self._answer is not None
        said = ike_message(whole)
        self._version = said.version
        self._client_first = first != said.answer
        if not said.answer:
            self._offers = said.uses or self._offers
        elif said.uses:
            self._answer = said
        return self._answer is not None

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        if not self._version:
            return None
        answer = self._answer
        agreed = answer.uses if answer else ()
        mixed = tuple(
            Use(Function.KEY_ESTABLISHMENT, _PPK[note], str(note))
            for note in (answer.notifications if answer else ())
            if note in _PPK
        )
        return Session(
            protocol="ike",
            version=f"IKEv{self._version}",
            exchange=_strongest(agreed),
            uses=agreed + mixed,
            offers=self._offers,
            client_first=self._client_first,
            offered_post_quantum=any(map(_resists, self._offers)),
        )


def _resists(use: Use) -> bool:
    return use.function is Function.KEY_ESTABLISHMENT and classify(use.algorithm).verdict is Verdict.QUANTUM_SAFE


def _strongest(uses: tuple[Use, ...]) -> Use | None:
    """Return the exchange that the keys are as strong as: additional ones are mixed in (RFC 9370, 2.2.2)."""
    exchanges = [use for use in uses if use.function is Function.KEY_ESTABLISHMENT]
    return next(filter(_resists, exchanges), exchanges[0] if exchanges else None)
