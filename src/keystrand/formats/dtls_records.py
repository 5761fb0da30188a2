"""DTLS as TLS with other version numbers, a cookie, and messages in numbered fragments.

What is read becomes the octets that TLS would have sent, so that one reader serves both; what is sent is made from
them. What DTLS 1.3 encrypts is opened elsewhere. Sources: RFC 6347, sections 4.1 and 4.2; RFC 9147, sections 4 and 5.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keystrand.formats.quic_frames import CryptoStream
from keystrand.formats.quic_packets import QuicUnreadable
from keystrand.formats.tls_codepoints import TLS11, TLS12, TLS13
from keystrand.formats.tls_wire import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Reader,
    TlsUnreadable,
    message,
    number,
    vector,
)

DTLS13, DTLS12, DTLS10 = 0xFEFC, 0xFEFD, 0xFEFF
VERSIONS = {TLS13: "DTLSv1.3", TLS12: "DTLSv1.2", TLS11: "DTLSv1.0"}
"""Names by the TLS version that each is made from: DTLS 1.0 is of TLS 1.1 (RFC 4347)."""
MAX_AHEAD = 8
"""Messages that may begin to come before an earlier one is whole; a server's flight has five."""
MAX_FRAGMENT = 1100
"""Octets of a message that we put in one record: hellos go unfragmented over every path with an MTU of 1280."""

HELLO_VERIFY_REQUEST, SERVER_HELLO = 3, 2
DTLS_OF = {TLS13: DTLS13, TLS12: DTLS12, TLS11: DTLS10}
"""Version numbers by those of the TLS that each is made from."""
_TO_TLS = {dtls: tls for tls, dtls in DTLS_OF.items()}
_SUPPORTED_VERSIONS = 43
_HEAD_OCTETS = 13
_FIRST_EPOCH = bytes(2)
_UNIFIED, _CONNECTION_ID, _WIDE_NUMBER, _WITH_LENGTH = 0xE0, 0x10, 0x08, 0x04


ENCRYPTED = 0x20
"""Kind of a record of DTLS 1.3 that is not yet opened: the bits its header begins with (RFC 9147, 4)."""


class DtlsRecord(NamedTuple):
    """One record: content type and content; of an encrypted one all octets."""

    kind: int
    body: bytes


def records(datagram: bytes) -> tuple[DtlsRecord, ...]:
    """Return the records of a datagram that are in clear or of DTLS 1.3, up to the first that is none.

    Never raises.
    """
    found: list[DtlsRecord] = []
    at = 0
    while at < len(datagram) and (end := _end_of(datagram, at)):
        kind = datagram[at]
        if kind & _UNIFIED == ENCRYPTED:
            found.append(DtlsRecord(ENCRYPTED, datagram[at:end]))
        elif kind in (HANDSHAKE, ALERT) and datagram[at + 3 : at + 5] == _FIRST_EPOCH:
            found.append(DtlsRecord(kind, datagram[at + _HEAD_OCTETS : end]))
        at = end
    return tuple(found)


def _end_of(datagram: bytes, at: int) -> int:
    """Return where the record at `at` ends; 0 where there is none."""
    first = datagram[at]
    if first & _UNIFIED == ENCRYPTED:
        if first & _CONNECTION_ID:
            return 0  # we asked for none
        length_at = at + (3 if first & _WIDE_NUMBER else 2)
        end = length_at + 2 + int.from_bytes(datagram[length_at : length_at + 2], "big")
        end = end if first & _WITH_LENGTH else len(datagram)
    else:
        head = datagram[at : at + _HEAD_OCTETS]
        known = CHANGE_CIPHER_SPEC <= first <= 26 and head[1:2] == b"\xfe" and len(head) == _HEAD_OCTETS
        end = at + _HEAD_OCTETS + int.from_bytes(head[11:], "big") if known else 0
    return end if end <= len(datagram) else 0


class _Message(NamedTuple):
    """A message of which fragments have come; `content` is what of it can be read."""

    kind: int
    length: int
    stream: CryptoStream
    content: bytearray


class Fragments:
    """Puts the messages of one side together and gives each once, as TLS would send it.

    They come in order; without `ordered` each as soon as it is whole, for a bystander who may have missed some.
    """

    def __init__(self, *, ordered: bool = True) -> None:
        self._ordered, self._next = ordered, 0
        self._parts: dict[int, _Message] = {}
        self._given: set[int] = set()

    def take(self, body: bytes) -> Iterator[bytes]:
        """Take the content of a handshake record. Raises `TlsUnreadable` where it is none, or its parts disagree."""
        reader = Reader(body)
        while not reader.empty:
            kind, length, order = reader.number(1), reader.number(3), reader.number(2)
            offset, fragment = reader.number(3), reader.vector(3)
            if offset + len(fragment) > length:
                raise TlsUnreadable(f"a fragment up to octet {offset + len(fragment)} of a message of {length}")
            if order < self._next + MAX_AHEAD and order not in self._given:
                self._add(order, _Message(kind, length, CryptoStream(), bytearray()), offset, fragment)
        while (due := self._due()) is not None:
            part = self._parts.pop(due)
            self._given.add(due)
            self._next += self._ordered
            yield message(part.kind, bytes(part.content))

    def _due(self) -> int | None:
        """Return the number of a message that is whole and may be given."""
        waiting = (self._next,) if self._ordered else sorted(self._parts)
        whole = (order for order in waiting if (part := self._parts.get(order)) and len(part.content) == part.length)
        return next(whole, None)

    def _add(self, order: int, new: _Message, offset: int, fragment: bytes) -> None:
        part = self._parts.setdefault(order, new)
        if (part.kind, part.length) != (new.kind, new.length):
            raise TlsUnreadable("two messages with the same number")
        try:
            part.content.extend(part.stream.add(offset, fragment))
        except QuicUnreadable as error:
            raise TlsUnreadable(str(error)) from error


def _altered(hello: bytes, versions: Mapping[int, int], cookie: bytes | None) -> bytes:
    """Return a ClientHello or ServerHello with its version numbers replaced, and a cookie behind its session id."""
    reader = Reader(hello[4:])
    version, random, session = reader.number(2), reader.take(32), reader.vector(1)
    found = number(versions.get(version, version)) + random + vector(1, session)
    if cookie is None:  # a ServerHello: suite and compression
        found += reader.take(3)
    else:
        found += vector(1, cookie) + vector(2, reader.vector(2)) + vector(1, reader.vector(1))
    if reader.empty:
        return message(hello[0], found)
    extensions, kept = Reader(reader.vector(2)), b""
    while not extensions.empty:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _SUPPORTED_VERSIONS:
            content = _altered_versions(content, versions)
        kept += number(kind) + vector(2, content)
    return message(hello[0], found + vector(2, kept))


def _altered_versions(content: bytes, versions: Mapping[int, int]) -> bytes:
    """Return supported_versions with its numbers replaced: a list from a client, one number from a server."""
    head, numbers = content[: len(content) % 2], content[len(content) % 2 :]
    pairs = (int.from_bytes(numbers[at : at + 2], "big") for at in range(0, len(numbers), 2))
    return head + b"".join(number(versions.get(pair, pair)) for pair in pairs)


def client_hello_of(hello: bytes, cookie: bytes) -> bytes:
    """Return the ClientHello of TLS as one of DTLS; `cookie` is what a HelloVerifyRequest gave, at first empty."""
    return _altered(hello, DTLS_OF, cookie)


def server_hello_as_tls(said: bytes) -> bytes:
    """Return a server's message as TLS would send it. Raises `TlsUnreadable` where it is a hello cut short."""
    return _altered(said, _TO_TLS, None) if said[0] == SERVER_HELLO else said


def verify_cookie(request: bytes) -> bytes:
    """Return the cookie of a HelloVerifyRequest (RFC 6347, 4.2.1). Raises `TlsUnreadable`."""
    reader = Reader(request[4:])
    reader.take(2)
    return reader.vector(1)


def datagrams(hello: bytes, order: int, first_record: int) -> tuple[bytes, ...]:
    """Return a handshake message with number `order`, a record a datagram, numbered from `first_record` on."""
    parts = ((at, hello[4 + at : 4 + at + MAX_FRAGMENT]) for at in range(0, len(hello) - 4, MAX_FRAGMENT))
    bodies = (hello[:4] + number(order) + number(at, 3) + vector(3, part) for at, part in parts)
    return tuple(_record(HANDSHAKE, first_record + n, body) for n, body in enumerate(bodies))


def farewell(record: int) -> bytes:
    """Return the fatal alert user_canceled as record number `record`: the server then forgets us at once."""
    return _record(ALERT, record, bytes((2, 90)))


def _record(kind: int, record: int, body: bytes) -> bytes:
    # the version is 1.0, or old servers drop a first hello (RFC 6347, 4.2.1; RFC 9147, 5.3)
    return bytes((kind,)) + number(DTLS10) + _FIRST_EPOCH + number(record, 6) + vector(2, body)
