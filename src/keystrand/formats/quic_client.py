"""A QUIC client as far as the server's first flight: Initial and Handshake packets, Retry, Version Negotiation.

Sans I/O: datagrams in, datagrams out. We never send Finished, so no handshake completes, and we take our leave with
CONNECTION_CLOSE. What an outsider could send is passed over: packets for another connection id, packets that our keys
do not open, a Retry without the right tag. Sources: RFC 9000, sections 6, 7, 8.1, 12 and 17; RFC 9001, section 4;
RFC 9369.
"""

from keystrand.formats.quic_frames import Close, CryptoStream, ack_frame, close_frame, crypto_frame, frames
from keystrand.formats.quic_packets import (
    MIN_INITIAL_DATAGRAM,
    TAG_OCTETS,
    VERSIONS,
    InitialKeys,
    LongPacket,
    Negotiation,
    PacketKind,
    Protection,
    QuicUnreadable,
    long_packets,
    retry_is_genuine,
    varint_octets,
    version_negotiation,
)
from keystrand.formats.tls_server_flight import ServerFlight

MAX_WAITING = 16
"""Handshake packets kept that came before the ServerHello: a few, where datagrams overtake each other."""
MAX_TOKEN = 512
"""Octets of a Retry's token: our hello must still fit beside it. Servers send about a hundred."""
TRANSPORT_PARAMETERS, ALPN = 57, 16
"""Extension types (RFC 9001, 8.2; RFC 7301)."""

_INITIAL_SOURCE_CONNECTION_ID = 0x0F
_PARAMETERS = {0x01: 30_000, 0x04: 1 << 20, 0x05: 1 << 18, 0x06: 1 << 18, 0x07: 1 << 18, 0x08: 100, 0x09: 100}
"""Idle time in ms, octets and streams that we would take (RFC 9000, 18.2): HTTP/3 servers refuse a client with none."""
_LEVELS = (PacketKind.INITIAL, PacketKind.HANDSHAKE)
_FRAME_HEAD = 8  # type, offset and length of a CRYPTO frame at most, for what we send
_ERRORS = {0x0: "NO_ERROR", 0x1: "INTERNAL_ERROR", 0x2: "CONNECTION_REFUSED", 0x7: "FRAME_ENCODING_ERROR",
           0x8: "TRANSPORT_PARAMETER_ERROR", 0xA: "PROTOCOL_VIOLATION", 0xB: "INVALID_TOKEN",
           0xC: "APPLICATION_ERROR", 0x11: "VERSION_NEGOTIATION_ERROR"}  # fmt: skip


def hello_extensions(source: bytes, protocols: tuple[bytes, ...]) -> tuple[tuple[int, bytes], ...]:
    """Return what QUIC adds to a ClientHello: our connection id (RFC 9000, 7.3) and application protocols."""
    names = b"".join(bytes((len(name),)) + name for name in protocols)
    parameters = bytes((_INITIAL_SOURCE_CONNECTION_ID, len(source))) + source
    for kind, value in _PARAMETERS.items():
        content = varint_octets(value)
        parameters += bytes((kind, len(content))) + content
    return ((ALPN, len(names).to_bytes(2, "big") + names), (TRANSPORT_PARAMETERS, parameters))


def error_name(code: int) -> str:
    """Return the name of a transport error with its number (RFC 9000, 20.1)."""
    return f"{_ERRORS.get(code, 'error')} (0x{code:x})"


class _Level:
    """One encryption level: what came in it, and the numbers of the packets we sent and received."""

    def __init__(self) -> None:
        self.stream = CryptoStream()
        self.received: set[int] = set()
        self.unacknowledged = False
        self.next_number = 0


class QuicClient:
    """One connection. `flight` hears what TLS says in it; `closed` is the server's CONNECTION_CLOSE.

    `heard` is set once a packet of the server was opened; `server_versions` are those of a Version Negotiation.
    """

    def __init__(self, version: int, destination: bytes, source: bytes, flight: ServerFlight) -> None:
        self.version, self.flight = version, flight
        self.closed: Close | None = None
        self.heard = self.retried = False
        self.server_versions: tuple[int, ...] = ()
        self._destination, self._source = destination, source
        self._keys = InitialKeys(version, destination)
        self._handshake: tuple[Protection, Protection] | None = None
        self._token = self._said = b""
        self._levels = {level: _Level() for level in _LEVELS}
        self._waiting: list[LongPacket] = []

    def say(self, hello: bytes) -> tuple[bytes, ...]:
        """Return the datagrams that carry our next handshake message."""
        offset = len(self._said)
        self._said += hello
        return self._initials(offset)

    def take(self, datagram: bytes) -> tuple[bytes, ...]:
        """Read a datagram; return what must be said again because of it.

        Raises `QuicUnreadable` and `TlsUnreadable` where the server, and nobody else, breaks the rules.
        """
        if (offer := version_negotiation(datagram)) is not None:
            return self._other_version(offer)
        for packet in long_packets(datagram):
            if packet.destination != self._source or packet.version != self.version:
                continue
            if packet.kind is PacketKind.RETRY:
                return self._again_with_token(packet)
            self._take_packet(packet)
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self._take_packet(packet)
        return ()

    def acknowledgement(self) -> tuple[bytes, ...]:
        """Return the datagram that says what came, if anything asks for it: it lifts the server's limit (8.1)."""
        found = {}
        for kind, level in self._levels.items():
            if level.unacknowledged:
                found[kind] = ack_frame(level.received)
                level.unacknowledged = False
        return (self._datagram(found),) if found else ()

    def farewell(self) -> tuple[bytes, ...]:
        """Return the datagram that ends the connection, so that the server sends nothing more."""
        if not self.heard or self.closed is not None:
            return ()
        return (self._datagram(dict.fromkeys(_LEVELS if self._handshake else _LEVELS[:1], close_frame(0))),)

    def _initials(self, offset: int) -> tuple[bytes, ...]:
        """Return what was said from `offset` on."""
        room = MIN_INITIAL_DATAGRAM - self._overhead - _FRAME_HEAD
        parts = ((at, self._said[at : at + room]) for at in range(offset, len(self._said), room))
        return tuple(self._datagram({PacketKind.INITIAL: crypto_frame(at, part)}) for at, part in parts)

    @property
    def _overhead(self) -> int:
        """Return the octets of an Initial packet without its frames."""
        token = len(varint_octets(len(self._token))) + len(self._token)
        return 7 + len(self._destination) + len(self._source) + token + 4 + 4 + TAG_OCTETS

    def _datagram(self, contents: dict[PacketKind, bytes]) -> bytes:
        """Return one packet a level; with an Initial among them exactly as long as it must be (RFC 9000, 14.1)."""
        behind = b"".join(self._packet(kind, octets) for kind, octets in contents.items() if kind in _LEVELS[1:])
        if (octets := contents.get(PacketKind.INITIAL)) is None:
            return behind
        padding = bytes(max(0, MIN_INITIAL_DATAGRAM - len(behind) - self._overhead - len(octets)))
        return self._packet(PacketKind.INITIAL, octets + padding) + behind

    def _packet(self, kind: PacketKind, octets: bytes) -> bytes:
        level = self._levels[kind]
        level.next_number += 1
        outline = LongPacket(self.version, kind, self._destination, self._source, self._token, b"", 0)
        protection = self._handshake[0] if kind is PacketKind.HANDSHAKE and self._handshake else self._keys.client
        return protection.seal(outline, level.next_number - 1, octets)

    def _other_version(self, offer: Negotiation) -> tuple[bytes, ...]:
        """Begin anew in a version that both speak (RFC 9000, 6.2); once, and only before anything else was heard."""
        ours = offer.destination == self._source and offer.source == self._destination
        if not ours or self.heard or self.server_versions or self.version in offer.versions:
            return ()
        self.server_versions = offer.versions
        common = [version for version in VERSIONS if version in offer.versions]
        if not common:
            names = ", ".join(f"0x{version:08x}" for version in offer.versions[:8])
            raise QuicUnreadable(f"the server speaks QUIC, but no version of ours: {names or 'it names none'}")
        self.version = common[0]
        self._keys = InitialKeys(self.version, self._destination)
        return self._initials(0)

    def _again_with_token(self, retry: LongPacket) -> tuple[bytes, ...]:
        """Say everything again with the server's token and to the id it gave (RFC 9000, 8.1.2); once."""
        if self.heard or self.retried or not retry_is_genuine(retry, self._destination):
            return ()
        if not 0 < len(retry.token) <= MAX_TOKEN:
            raise QuicUnreadable(f"a Retry with a token of {len(retry.token)} octets")
        self.retried, self._token, self._destination = True, retry.token, retry.source
        self._keys = InitialKeys(self.version, self._destination)
        return self._initials(0)

    def _take_packet(self, packet: LongPacket) -> None:
        if packet.kind not in self._levels or (self.heard and packet.source != self._destination):
            return
        level = self._levels[packet.kind]
        protection = self._keys.server
        if packet.kind is PacketKind.HANDSHAKE:
            if (keys := self._handshake_keys()) is None:
                self._waiting += [packet] if len(self._waiting) < MAX_WAITING else []
                return
            protection = keys[1]
        opened = protection.open(packet, max(level.received, default=-1))
        if opened is None or opened.number in level.received:
            return
        self.heard, self._destination = True, packet.source
        level.received.add(opened.number)
        self._take_frames(level, opened.frames)

    def _take_frames(self, level: _Level, octets: bytes) -> None:
        found = frames(octets)
        level.unacknowledged |= found.asks_for_ack
        self.closed = self.closed or found.close
        for offset, content in found.crypto:
            if ready := level.stream.add(offset, content):
                self.flight.take_messages(ready)

    def _handshake_keys(self) -> tuple[Protection, Protection] | None:
        """Return what protects the client's and the server's Handshake packets, once the ServerHello is known."""
        secrets, suite = self.flight.secrets, self.flight.suite
        if self._handshake is None and secrets is not None and suite is not None:
            client, server = (Protection(self.version, secret, suite) for secret in secrets)
            self._handshake = client, server
        return self._handshake
