"""IKE_SA_INIT and the first message of Main Mode, made and read (RFC 7296, section 3; RFC 2408, section 3).

Only what goes in clear. Every length from the wire is checked against what came before it is used.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from keystrand.formats.ike_codepoints import Notify
from keystrand.formats.tls_wire import Reader, TlsUnreadable, number

IKE_1, IKE_2 = 0x10, 0x20
SA_INIT, MAIN_MODE, INFORMATIONAL_1 = 34, 2, 5
SPI_OCTETS = 8
NON_ESP_MARKER = bytes(4)
"""In front of IKE where ESP may come too (RFC 3948, 2.2)."""
MAX_PAYLOADS, MAX_TRANSFORMS = 64, 256
"""Payloads of a message and transforms of a proposal that are read at most; real ones have some dozens."""

_HEAD_OCTETS = 28
_SA_1, _NOTIFY_1, _SA, _KE, _NONCE, _NOTIFY = 1, 11, 33, 34, 40, 41
_INITIATOR, _RESPONSE = 0x08, 0x20
_PROTOCOL_IKE, _KEY_IKE = 1, 1
_ANSWERS_1 = (MAIN_MODE, INFORMATIONAL_1)
_KEY_LENGTH, _FIXED = 14, 0x8000
_MORE_TRANSFORMS, _MORE_PROPOSALS = 3, 2


class IkeUnreadable(ValueError):
    """What came is not what IKE prescribes here; the message says what it is instead."""


class Transform(NamedTuple):
    """One transform: type, number, and key length in bits where it has one."""

    kind: int
    number: int
    bits: int | None = None


class Notification(NamedTuple):
    """A notification with its content."""

    kind: int
    content: bytes = b""


class Head(NamedTuple):
    """The fixed header. `response`: flag of version 2."""

    initiator: bytes
    responder: bytes
    first: int
    version: int
    exchange: int
    response: bool
    number: int


class Said(NamedTuple):
    """What a message says in clear: transforms of the first proposal, group of the KE payload, notifications."""

    transforms: tuple[Transform, ...] = ()
    exchange: int | None = None
    notifications: tuple[Notification, ...] = ()


class Chosen1(NamedTuple):
    """What a responder of version 1 chose: attributes of the transform by type (RFC 2409, appendix A)."""

    cipher: int | None
    bits: int | None
    hash: int | None
    authentication: int | None
    group: int | None


def proposal(order: int, transforms: tuple[Transform, ...], *, last: bool) -> bytes:
    """Return a proposal for IKE (3.3.1)."""
    body = b"".join(_transform(one, more=at + 1 < len(transforms)) for at, one in enumerate(transforms))
    head = number(0 if last else _MORE_PROPOSALS, 1) + b"\0" + number(8 + len(body))
    return head + bytes((order, _PROTOCOL_IKE, 0, len(transforms))) + body


def _transform(one: Transform, *, more: bool) -> bytes:
    attributes = b"" if one.bits is None else number(_FIXED | _KEY_LENGTH) + number(one.bits)
    body = bytes((one.kind, 0)) + number(one.number) + attributes
    return number(_MORE_TRANSFORMS if more else 0, 1) + b"\0" + number(4 + len(body)) + body


@lru_cache(maxsize=64)
def security_association(proposals: tuple[tuple[Transform, ...], ...]) -> bytes:
    """Return the content of an SA payload; a scan offers the same few again and again."""
    return b"".join(proposal(at + 1, one, last=at + 1 == len(proposals)) for at, one in enumerate(proposals))


def sa_init(
    spi: bytes,
    proposals: tuple[tuple[Transform, ...], ...],
    share: tuple[int, bytes],
    nonce: bytes,
    notifications: tuple[Notification, ...],
) -> bytes:
    """Return an IKE_SA_INIT request. A COOKIE among `notifications` goes first, as it must (2.6)."""
    exchange = number(share[0]) + bytes(2) + share[1]
    cookies = [one for one in notifications if one.kind == Notify.COOKIE]
    others = [one for one in notifications if one.kind != Notify.COOKIE]
    payloads = [(_NOTIFY, _notify(one)) for one in cookies]
    payloads += [(_SA, security_association(proposals)), (_KE, exchange), (_NONCE, nonce)]
    payloads += [(_NOTIFY, _notify(one)) for one in others]
    return _message(spi, IKE_2, SA_INIT, _INITIATOR, payloads)


def _notify(one: Notification) -> bytes:
    return bytes(2) + number(one.kind) + one.content


Attributes = tuple[tuple[int, int], ...]
"""Attributes of a transform of version 1: type and value (RFC 2409, appendix A)."""


def main_mode(spi: bytes, transforms: tuple[Attributes, ...]) -> bytes:
    """Return the first message of Main Mode in version 1."""
    return _message(spi, IKE_1, MAIN_MODE, 0, [(_SA_1, security_association_1(transforms))])


@lru_cache(maxsize=8)
def security_association_1(transforms: tuple[Attributes, ...]) -> bytes:
    """Return the content of an SA payload of version 1."""
    body = b""
    for at, attributes in enumerate(transforms):
        content = bytes((at + 1, _KEY_IKE, 0, 0))
        content += b"".join(number(_FIXED | kind) + number(value) for kind, value in attributes)
        more = _MORE_TRANSFORMS if at + 1 < len(transforms) else 0
        body += number(more, 1) + b"\0" + number(4 + len(content)) + content
    offer = bytes(2) + number(8 + len(body)) + bytes((1, _PROTOCOL_IKE, 0, len(transforms))) + body
    # domain of interpretation IPsec, situation identity only (RFC 2407, 4.2)
    return number(1, 4) + number(1, 4) + offer


def _message(spi: bytes, version: int, exchange: int, flags: int, payloads: list[tuple[int, bytes]]) -> bytes:
    body = b""
    for at, (_, content) in enumerate(payloads):
        following = payloads[at + 1][0] if at + 1 < len(payloads) else 0
        body += bytes((following, 0)) + number(4 + len(content)) + content
    head = spi + bytes(SPI_OCTETS) + bytes((payloads[0][0], version, exchange, flags)) + bytes(4)
    return head + number(_HEAD_OCTETS + len(body), 4) + body


def head_of(message: bytes) -> Head:
    """Return the header. Raises `IkeUnreadable` where the octets are no whole IKE message."""
    if len(message) < _HEAD_OCTETS:
        raise IkeUnreadable("too short for an IKE message")
    if int.from_bytes(message[24:28], "big") != len(message):
        raise IkeUnreadable("an IKE message whose length is not the datagram's")
    if message[17] & 0xF0 not in (IKE_1, IKE_2):
        raise IkeUnreadable(f"IKE version {message[17] >> 4}")
    response = bool(message[19] & _RESPONSE)
    order = int.from_bytes(message[20:24], "big")
    return Head(message[:8], message[8:16], message[16], message[17] & 0xF0, message[18], response, order)


def answer_to(spi: bytes, message: bytes) -> tuple[Head, bytes]:
    """Return header and message of an answer to the request with `spi`. Raises `IkeUnreadable` where it is none."""
    head = head_of(message)
    if head.initiator != spi:
        raise IkeUnreadable("an IKE message for somebody else")
    due = head.response and head.exchange == SA_INIT if head.version == IKE_2 else head.exchange in _ANSWERS_1
    if not due or (head.version == IKE_2 and head.number):
        raise IkeUnreadable("an IKE message that answers nothing")
    return head, message


def said(message: bytes) -> Said:
    """Return what an IKE_SA_INIT says. Raises `IkeUnreadable`."""
    found = Said()
    for kind, body in _payloads(message):
        if kind == _SA:
            found = found._replace(transforms=_first_proposal(body))
        elif kind == _KE:
            found = found._replace(exchange=body.number(2))
        elif kind == _NOTIFY:
            body.take(1)
            spi_octets = body.number(1)
            notification = Notification(body.number(2), body.rest()[spi_octets:])
            found = found._replace(notifications=(*found.notifications, notification))
    return found


def said_1(message: bytes) -> tuple[Chosen1 | None, int | None]:
    """Return what a responder of version 1 chose, and the notification that it sent instead. Raises `IkeUnreadable`."""
    for kind, body in _payloads(message):
        if kind == _SA_1:
            body.take(8)
            return _chosen_1(body), None
        if kind == _NOTIFY_1:
            body.take(6)
            return None, body.number(2)
    return None, None


class _Octets(Reader):
    """A reader that raises `IkeUnreadable`."""

    def take(self, count: int) -> bytes:
        try:
            return super().take(count)
        except TlsUnreadable as error:
            raise IkeUnreadable(str(error)) from error

    def rest(self) -> bytes:
        """Return everything that is left."""
        return self.take(len(self._octets) - self._at)


def _payloads(message: bytes) -> Iterator[tuple[int, _Octets]]:
    kind, rest = head_of(message).first, _Octets(message[_HEAD_OCTETS:])
    for _ in range(MAX_PAYLOADS):
        if kind == 0:
            return
        following, _flags, length = rest.number(1), rest.number(1), rest.number(2)
        if length < 4:
            raise IkeUnreadable(f"a payload of {length} octets")
        yield kind, _Octets(rest.take(length - 4))
        kind = following
    raise IkeUnreadable(f"more than {MAX_PAYLOADS} payloads")


def _first_proposal(body: _Octets) -> tuple[Transform, ...]:
    count, transforms = _proposal_head(body)
    return tuple(_read_transform(one) for one in _transforms(transforms, count))


def _proposal_head(body: _Octets) -> tuple[int, _Octets]:
    body.take(2)
    length = body.number(2)
    _order, _protocol, spi_octets, count = body.take(4)
    if length < 8 + spi_octets or count > MAX_TRANSFORMS:
        raise IkeUnreadable(f"a proposal of {length} octets with {count} transforms")
    body.take(spi_octets)
    return count, _Octets(body.take(length - 8 - spi_octets))


def _transforms(rest: _Octets, count: int) -> Iterator[_Octets]:
    for _ in range(count):
        rest.take(2)
        length = rest.number(2)
        if length < 8:
            raise IkeUnreadable(f"a transform of {length} octets")
        yield _Octets(rest.take(length - 4))


def _read_transform(one: _Octets) -> Transform:
    kind = one.number(1)
    one.take(1)
    return Transform(kind, one.number(2), _attributes(one).get(_KEY_LENGTH))


def _attributes(rest: _Octets) -> dict[int, int]:
    """Return attributes of a fixed length; those of their own length are passed over (3.3.5)."""
    found = {}
    while not rest.empty:
        kind, value = rest.number(2), rest.number(2)
        if kind & _FIXED:
            found[kind & ~_FIXED] = value
        else:
            rest.take(value)
    return found


def _chosen_1(body: _Octets) -> Chosen1:
    count, transforms = _proposal_head(body)
    for one in _transforms(transforms, count):
        one.take(4)
        found = _attributes(one)
        return Chosen1(found.get(1), found.get(_KEY_LENGTH), found.get(2), found.get(3), found.get(4))
    raise IkeUnreadable("a proposal without a transform")
