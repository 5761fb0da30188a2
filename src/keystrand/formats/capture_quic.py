"""QUIC as a bystander sees it: Initial packets of both directions opened, and the TLS hellos in them.

Sources: RFC 9000, section 17.2; RFC 9001, section 5.2 (keys follow from the client's first destination id, and anew
from the id that a Retry names); RFC 9369, section 4 (a server may answer a version 1 hello in version 2).
"""

from keystrand.formats.capture_session import Session
from keystrand.formats.capture_tls import Handshake
from keystrand.formats.quic_frames import CryptoStream, frames
from keystrand.formats.quic_packets import (
    VERSIONS,
    InitialKeys,
    LongPacket,
    PacketKind,
    Protection,
    QuicUnreadable,
    long_packets,
)
from keystrand.formats.tls_wire import Messages, TlsUnreadable

_LONG_AND_FIXED = 0xC0
_MAX_UNOPENED = 16
"""Initial packets that no key opened, after which a conversation is given up."""
_TAGS = {version.to_bytes(4, "big") for version in VERSIONS}


def is_quic(datagram: bytes) -> bool:
    """Return whether a datagram begins with a long header of version 1 or 2."""
    return datagram[1:5] in _TAGS and datagram[0] & _LONG_AND_FIXED == _LONG_AND_FIXED and len(datagram) > 20


class QuicDissector:
    """QUIC over datagrams, until both hellos have been seen."""

    def __init__(self) -> None:
        self._handshake = Handshake()
        self._streams = {True: CryptoStream(), False: CryptoStream()}
        self._messages = {True: Messages(), False: Messages()}
        self._destination: bytes | None = None
        self._keys: dict[int, InitialKeys] = {}
        self._largest = {True: -1, False: -1}
        self._client_first: bool | None = None
        self._unopened = 0
        self._version = 0

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take a datagram; see `Dissector`."""
        for packet in long_packets(octets):
            if packet.kind is PacketKind.INITIAL:
                self._initial(packet, first=first)
        return self._handshake.done or self._unopened > _MAX_UNOPENED

    def _initial(self, packet: LongPacket, *, first: bool) -> None:
        opened = self._opened(packet, first=first)
        if opened is None:
            self._unopened += 1
            return
        try:
            for offset, content in frames(opened).crypto:
                self._messages[first].feed(self._streams[first].add(offset, content))
            while (message := self._messages[first].next()) is not None:
                self._handshake.message(message, first=first)
        except (QuicUnreadable, TlsUnreadable):
            self._unopened += 1

    def _opened(self, packet: LongPacket, *, first: bool) -> bytes | None:
        """Return the frames of a packet, opened with the keys in use or, from the client, with those of its own id."""
        if self._destination is not None and (found := self._by_keys(packet, first=first)) is not None:
            return found
        if self._client_first not in (None, first):
            return None
        kept = self._destination, self._keys
        self._destination, self._keys = packet.destination, {}
        if (found := self._try(packet, self._keys_of(packet.version).client, first=first)) is None:
            self._destination, self._keys = kept
            return None
        self._client_first = first
        return found

    def _by_keys(self, packet: LongPacket, *, first: bool) -> bytes | None:
        keys = self._keys_of(packet.version)
        return self._try(packet, keys.client if first == self._client_first else keys.server, first=first)

    def _keys_of(self, version: int) -> InitialKeys:
        if version not in self._keys:
            self._keys[version] = InitialKeys(version, self._destination or b"")
        return self._keys[version]

    def _try(self, packet: LongPacket, protection: Protection, *, first: bool) -> bytes | None:
        if (opened := protection.open(packet, self._largest[first])) is None:
            return None
        self._largest[first] = max(self._largest[first], opened.number)
        self._version = packet.version
        return opened.frames

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        if self._handshake.offer is None and self._handshake.choice is None:
            return None
        seen = self._handshake.session("quic")
        return seen._replace(version=VERSIONS[self._version], client_first=self._client_first)
