"""QUIC packets with long headers, in both directions: cut, open and seal; versions 1 and 2.

The keys of Initial packets follow from a connection id that is sent in clear: whoever sees the first datagram can read
them. Sources: RFC 9000, section 17.2 and appendix A; RFC 9001, section 5; RFC 9369, section 3. Nothing here raises on
octets from the wire, except where a function says so.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import ECB

from keystrand.formats.tls_key_schedule import NONCE_OCTETS, expand_label, parameters_of

V1, V2 = 0x00000001, 0x6B3343CF
VERSIONS = {V1: "QUICv1", V2: "QUICv2"}
MAX_CONNECTION_ID = 20
"""Octets of a connection id in versions 1 and 2 (RFC 9000, 17.2)."""
MIN_INITIAL_DATAGRAM = 1200
"""Octets of every datagram in which a client sends an Initial packet (RFC 9000, 14.1)."""
TAG_OCTETS = 16

_NUMBER_OCTETS = 4  # we write packet numbers at full length: nothing to decode on the other side
_SAMPLE_OCTETS = 16
_LONG, _FIXED = 0x80, 0x40
_AES_128_GCM, _CHACHA20 = 0x1301, 0x1303


class PacketKind(IntEnum):
    """What a packet with a long header is, whatever bits its version writes it with."""

    INITIAL = 0
    ZERO_RTT = 1
    HANDSHAKE = 2
    RETRY = 3


class _Version(NamedTuple):
    """What differs between the versions: salt, labels, type bits, and key and nonce of a Retry's tag."""

    salt: bytes
    label: bytes
    first_kind: int
    retry_key: bytes
    retry_nonce: bytes


_V1 = _Version(
    bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    b"quic ",
    0,
    bytes.fromhex("be0c690b9f66575a1d766b54e368c84e"),
    bytes.fromhex("461599d35d632bf2239825bb"),
)
_V2 = _Version(
    bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    b"quicv2 ",
    1,
    bytes.fromhex("8fb4b01b56ac48e260fbcbcead7ccc92"),
    bytes.fromhex("d86969bc2d7c6d9990efb04a"),
)
_VERSIONS = {V1: _V1, V2: _V2}


class QuicUnreadable(ValueError):
    """What came is not what QUIC prescribes here; the message says what it is instead."""


class LongPacket(NamedTuple):
    """One packet with a long header, not yet opened.

    `octets` is all of it from header to tag, `number_at` where its (protected) packet number begins. A Retry has its
    token and no number.
    """

    version: int
    kind: PacketKind
    destination: bytes
    source: bytes
    token: bytes
    octets: bytes
    number_at: int


class Negotiation(NamedTuple):
    """A Version Negotiation packet (RFC 9000, 17.2.1)."""

    destination: bytes
    source: bytes
    versions: tuple[int, ...]


class Opened(NamedTuple):
    """What an opened packet held: its number and its frames."""

    number: int
    frames: bytes


def varint(octets: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at `at` and where it ends (RFC 9000, 16). Raises `QuicUnreadable`."""
    if at >= len(octets):
        raise QuicUnreadable("a packet ends too early")
    first = octets[at]
    end = at + (1 << (first >> 6))
    if end > len(octets):
        raise QuicUnreadable("a packet ends too early")
    return (first & 0x3F, end) if end == at + 1 else (_number(octets, at, end) & ((1 << ((end - at) * 8 - 2)) - 1), end)


def varint_octets(value: int) -> bytes:
    """Return `value`, below 2**62, as the shortest variable-length integer."""
    for power, bits in enumerate((6, 14, 30, 62)):
        if value < 1 << bits:
            return (value | power << bits).to_bytes(1 << power, "big")
    raise ValueError("a number too large for QUIC")


def _number(octets: bytes, at: int, end: int) -> int:
    return int.from_bytes(octets[at:end], "big")


def _connection_ids(datagram: bytes, at: int, limit: int = MAX_CONNECTION_ID) -> tuple[bytes, bytes, int]:
    """Return destination and source connection id, and where they end. Raises `QuicUnreadable`."""
    found = []
    for _ in range(2):
        length = datagram[at] if at < len(datagram) else limit + 1
        end = at + 1 + length
        if length > limit or end > len(datagram):
            raise QuicUnreadable("a packet ends within a connection id")
        found.append(datagram[at + 1 : end])
        at = end
    return found[0], found[1], at


def long_packets(datagram: bytes) -> tuple[LongPacket, ...]:
    """Return the packets of versions 1 and 2 that a datagram begins with, up to the first that is none."""
    found: list[LongPacket] = []
    at = 0
    try:
        while (packet := _long_packet(datagram, at)) is not None:
            found.append(packet)
            at += len(packet.octets)
    except QuicUnreadable:
        pass
    return tuple(found)


def _long_packet(datagram: bytes, at: int) -> LongPacket | None:
    """Return the packet at `at`, None where there is none. Raises `QuicUnreadable` where it is cut short."""
    if at + 7 > len(datagram) or (first := datagram[at]) & (_LONG | _FIXED) != _LONG | _FIXED:
        return None
    version = _number(datagram, at + 1, at + 5)
    if (known := _VERSIONS.get(version)) is None:
        return None
    kind = PacketKind(((first >> 4) - known.first_kind) & 3)
    destination, source, here = _connection_ids(datagram, at + 5)
    token = b""
    if kind is PacketKind.RETRY:
        end = len(datagram)
        if end - here < TAG_OCTETS:
            raise QuicUnreadable("a Retry without a tag")
        token, here = datagram[here : end - TAG_OCTETS], end
    else:
        if kind is PacketKind.INITIAL:
            length, here = varint(datagram, here)
            token, here = datagram[here : here + length], here + length
        length, here = varint(datagram, here)
        end = here + length
        if end > len(datagram) or length < _NUMBER_OCTETS + _SAMPLE_OCTETS:
            raise QuicUnreadable("a packet is cut short")
    return LongPacket(version, kind, destination, source, token, datagram[at:end], here - at)


def version_negotiation(datagram: bytes) -> Negotiation | None:
    """Return the Version Negotiation that a datagram is, or None."""
    if len(datagram) < 7 or not datagram[0] & _LONG or datagram[1:5] != bytes(4):
        return None
    try:
        destination, source, at = _connection_ids(datagram, 5, limit=255)
    except QuicUnreadable:
        return None
    count = (len(datagram) - at) // 4
    versions = tuple(_number(datagram, at + 4 * n, at + 4 * n + 4) for n in range(count))
    return Negotiation(destination, source, versions)


def retry_is_genuine(retry: LongPacket, first_destination: bytes) -> bool:
    """Return whether a Retry answers the Initial sent to `first_destination` (RFC 9001, 5.8)."""
    known = _VERSIONS[retry.version]
    pseudo = bytes((len(first_destination),)) + first_destination + retry.octets[:-TAG_OCTETS]
    tag = AESGCM(known.retry_key).encrypt(known.retry_nonce, b"", pseudo)
    return hmac.compare_digest(tag, retry.octets[-TAG_OCTETS:])


Mask = Callable[[bytes], bytes]


class Protection:
    """Opens and seals the packets of one direction at one encryption level (RFC 9001, 5.3 and 5.4)."""

    def __init__(self, version: int, secret: bytes, suite: int = _AES_128_GCM) -> None:
        hash_name, cipher, octets = parameters_of(suite)
        label = _VERSIONS[version].label
        self._cipher = cipher(expand_label(hash_name, secret, label + b"key", b"", octets))
        self._iv = int.from_bytes(expand_label(hash_name, secret, label + b"iv", b"", NONCE_OCTETS), "big")
        self._mask = number_mask(suite, expand_label(hash_name, secret, label + b"hp", b"", octets))

    def open(self, packet: LongPacket, largest: int = -1) -> Opened | None:
        """Return what `packet` holds, or None where it was not made with these keys.

        `largest` is the largest packet number that was opened before in this direction.
        """
        octets, at = packet.octets, packet.number_at
        mask = self._mask(octets[at + _NUMBER_OCTETS : at + _NUMBER_OCTETS + _SAMPLE_OCTETS])
        first = octets[0] ^ (mask[0] & 0x0F)
        width = (first & 3) + 1
        truncated = _number(octets, at, at + width) ^ _number(mask, 1, 1 + width)
        number = whole_number(truncated, width, largest)
        head = bytes((first,)) + octets[1:at] + truncated.to_bytes(width, "big")
        try:
            frames = self._cipher.decrypt(self._nonce(number), octets[at + width :], head)
        except InvalidTag:
            return None
        return Opened(number, frames)

    def seal(self, packet: LongPacket, number: int, frames: bytes) -> bytes:
        """Return the whole packet that carries `frames`; of `packet` only version, kind, ids and token count."""
        length = _NUMBER_OCTETS + len(frames) + TAG_OCTETS
        kind = (packet.kind + _VERSIONS[packet.version].first_kind) & 3
        token = varint_octets(len(packet.token)) + packet.token if packet.kind is PacketKind.INITIAL else b""
        head = bytearray((_LONG | _FIXED | kind << 4 | _NUMBER_OCTETS - 1,))
        head += packet.version.to_bytes(4, "big")
        head += bytes((len(packet.destination),)) + packet.destination + bytes((len(packet.source),)) + packet.source
        head += token + (length | 0x80000000).to_bytes(4, "big") + number.to_bytes(_NUMBER_OCTETS, "big")
        sealed = self._cipher.encrypt(self._nonce(number), frames, bytes(head))
        mask = self._mask(sealed[:_SAMPLE_OCTETS])
        head[0] ^= mask[0] & 0x0F
        for n in range(_NUMBER_OCTETS):
            head[n - _NUMBER_OCTETS] ^= mask[n + 1]
        return bytes(head) + sealed

    def _nonce(self, number: int) -> bytes:
        return (self._iv ^ number).to_bytes(NONCE_OCTETS, "big")


def whole_number(truncated: int, width: int, largest: int) -> int:
    """Return the packet number nearest to the one expected next (RFC 9000, A.3)."""
    window = 1 << (8 * width)
    expected = largest + 1
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


def number_mask(suite: int, key: bytes) -> Mask:
    """Return what makes the mask of a packet number from a sample of its packet (RFC 9001, 5.4; RFC 9147, 4.2.3)."""
    if suite == _CHACHA20:
        return lambda sample: Cipher(ChaCha20(key, sample), mode=None).encryptor().update(bytes(5))
    # ECB of a single block is what RFC 9001, 5.4.3 prescribes; each block is a sample of fresh ciphertext.
    return Cipher(AES(key), ECB()).encryptor().update  # noqa: S305 - see above


class InitialKeys:
    """The keys of both directions' Initial packets, each made when it is first asked for (RFC 9001, 5.2).

    They follow from the destination id of the client's first Initial; after a Retry, from the one that it names.
    """

    def __init__(self, version: int, destination: bytes) -> None:
        self._version = version
        self._secret = hmac.digest(_VERSIONS[version].salt, destination, "sha256")

    @cached_property
    def client(self) -> Protection:
        """Return what the client's packets are protected with."""
        return self._direction(b"client in")

    @cached_property
    def server(self) -> Protection:
        """Return what the server's packets are protected with."""
        return self._direction(b"server in")

    def _direction(self, label: bytes) -> Protection:
        return Protection(self._version, expand_label("sha256", self._secret, label, b"", len(self._secret)))
