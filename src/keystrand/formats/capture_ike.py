"""IKE as a bystander sees it: the proposals of IKE_SA_INIT, the one chosen, and what is added to it; IKEv1 likewise.

Sources: RFC 7296, sections 3.1 to 3.3; RFC 9370 (additional key exchanges); RFC 8784 and RFC 9867 (pre-shared keys);
RFC 2408 and 2409 for version 1.
"""

from collections.abc import Iterator
from typing import NamedTuple

from keystrand.formats import ike_codepoints as codes
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.ike_messages import MAIN_MODE, MAX_TRANSFORMS, NON_ESP_MARKER, SA_INIT, Transform
from keystrand.model.algorithm import Function, Verdict, classify

_HEAD, _AGGRESSIVE = 28, 4
_SA_1, _SA_2, _NOTIFY = 1, 33, 41
_RESPONSE = 0x20
_KEY_LENGTH, _FIXED = 14, 0x8000
_CIPHER_1, _HASH_1, _GROUP_1 = 1, 2, 4
"""Attributes of a transform in version 1 (RFC 2409, appendix A)."""


class Message(NamedTuple):
    """The clear part of a message: its version, whether it answers, the transforms of all proposals, notifications.

    In version 1 the attributes of a transform stand as transforms of version 2, with the numbers of version 1.
    """

    version: int
    answer: bool
    transforms: tuple[Transform, ...]
    notifications: tuple[int, ...]


def ike_octets(datagram: bytes) -> bytes:
    """Return the IKE message in a datagram, without the marker of port 4500 (RFC 3948, 2.2); empty where it is none."""
    octets = datagram[len(NON_ESP_MARKER) :] if datagram.startswith(NON_ESP_MARKER) else datagram
    plausible = (
        len(octets) >= _HEAD
        and octets[17] >> 4 in (1, 2)
        and octets[18] in ((SA_INIT,) if octets[17] >> 4 == 2 else (MAIN_MODE, _AGGRESSIVE))
        and int.from_bytes(octets[24:28], "big") == len(octets)
        and any(octets[:8])
    )
    return octets if plausible else b""


def ike_message(octets: bytes) -> Message:
    """Return what a message that `ike_octets` gave says in clear; what is cut short is left out."""
    version = octets[17] >> 4
    transforms: list[Transform] = []
    notes: list[int] = []
    kind, at = octets[16], _HEAD
    while kind and at + 4 <= len(octets):
        length = octets[at + 2] << 8 | octets[at + 3]
        if length < 4:
            break
        body = octets[at + 4 : at + length]
        if kind == _SA_2 and version == 2:
            transforms += _proposals(body, version)
        elif kind == _SA_1 and version == 1:
            transforms += _proposals(body[8:], version)
        elif kind == _NOTIFY and version == 2 and len(body) >= 4:
            notes.append(body[2] << 8 | body[3])
        kind, at = octets[at], at + length
    answer = bool(octets[19] & _RESPONSE) if version == 2 else any(octets[8:16])
    return Message(version, answer, tuple(transforms[:MAX_TRANSFORMS]), tuple(notes[:MAX_TRANSFORMS]))


def _proposals(body: bytes, version: int) -> Iterator[Transform]:
    at = 0
    while at + 8 <= len(body):
        length = body[at + 2] << 8 | body[at + 3]
        if length < 8:
            return
        for transform in _pieces(body[at + 8 + body[at + 6] : at + length]):
            yield from _transform_2(transform) if version == 2 else _transforms_1(transform)
        at += length


def _pieces(body: bytes) -> Iterator[bytes]:
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
        if kind & _FIXED:
            found[kind & ~_FIXED] = value
            at += 4
        else:
            at += 4 + value
    return found


def _transform_2(piece: bytes) -> Iterator[Transform]:
    yield Transform(piece[4], piece[6] << 8 | piece[7], _attributes(piece[8:]).get(_KEY_LENGTH))


def _transforms_1(piece: bytes) -> Iterator[Transform]:
    found = _attributes(piece[8:])
    kinds = ((_GROUP_1, codes.KEY_EXCHANGE), (_CIPHER_1, codes.ENCRYPTION), (_HASH_1, codes.INTEGRITY))
    for attribute, kind in kinds:
        if attribute in found:
            yield Transform(kind, found[attribute], found.get(_KEY_LENGTH))


def _exchanges(said: Message) -> list[int]:
    """Return the numbers of the key exchanges, the first one first, then the additional ones in their order."""
    wanted = (codes.KEY_EXCHANGE, *codes.ADDITIONAL)
    return [one.number for kind in wanted for one in said.transforms if one.kind == kind and one.number != codes.NONE]


def _agreed(said: Message) -> tuple[Use, ...]:
    """Return what an answer chooses. Its key exchanges go into one key (RFC 9370, 2.2.2): they are one use."""
    numbers = _exchanges(said)
    uses = [Use(Function.KEY_ESTABLISHMENT, "+".join(map(codes.exchange_name, numbers)), "+".join(map(str, numbers)))]
    uses = uses if numbers else []
    for one in said.transforms:
        if one.kind == codes.ENCRYPTION:
            old = codes.sized(codes.CIPHERS_1.get(one.number, f"IKEv1-encryption-{one.number}"), one.bits)
            name = old if said.version == 1 else codes.cipher_name(one.number, one.bits)
            uses.append(Use(Function.ENCRYPTION, name, str(one.number)))
        elif one.kind == codes.INTEGRITY and one.number and said.version == 2:
            uses.append(Use(Function.MAC, codes.integrity_name(one.number), str(one.number)))
        elif one.kind == codes.INTEGRITY and said.version == 1:
            name = codes.HASHES_1.get(one.number, f"IKEv1-hash-{one.number}")
            uses.append(Use(Function.DIGEST, name, str(one.number)))
    mixed = (
        Use(Function.KEY_ESTABLISHMENT, name, str(int(note)))
        for note, name in codes.PPK_NAMES.items()
        if note in said.notifications
    )
    return (*uses, *mixed)


class IkeDissector:
    """IKE over datagrams, until a proposal is chosen."""

    def __init__(self) -> None:
        self._asked: Message | None = None
        self._answer: Message | None = None
        self._client_first: bool | None = None

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take a datagram; see `Dissector`."""
        if not (whole := ike_octets(octets)):
            return self._answer is not None
        said = ike_message(whole)
        self._client_first = first != said.answer
        if not said.answer:
            self._asked = said
        elif said.transforms:
            self._answer = said
        return self._answer is not None

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        said = self._answer or self._asked
        if said is None:
            return None
        agreed = _agreed(self._answer) if self._answer else ()
        offered = dict.fromkeys(_exchanges(self._asked)) if self._asked else ()
        offers = tuple(Use(Function.KEY_ESTABLISHMENT, codes.exchange_name(one), str(one)) for one in offered)
        return Session(
            protocol="ike",
            version=f"IKEv{said.version}",
            exchange=agreed[0] if agreed and agreed[0].function is Function.KEY_ESTABLISHMENT else None,
            uses=agreed,
            offers=offers,
            client_first=self._client_first,
            offered_post_quantum=any(classify(use.algorithm).verdict is Verdict.QUANTUM_SAFE for use in offers),
        )
