"""Packet captures cut into packets: pcap in both byte orders and resolutions, and pcapng.

Sources: draft-ietf-opsawg-pcap (magic numbers, link type) and draft-ietf-opsawg-pcapng (blocks 1, 2, 3, 6 and
0x0A0D0D0A, options 9 and 14). Sans I/O: octets go in as they are read, packets come out, and no more than one block
is held.
"""

import struct
from collections.abc import Iterator

Packet = tuple[int, int, bytes, int]
"""Link type, nanoseconds since 1970, octets captured, octets there were on the wire. A plain tuple, for speed."""

MAX_PACKET = 262_144
"""Octets of a packet at most: what tcpdump and Wireshark take."""
MAX_BLOCK = 16 * 1024 * 1024
"""Octets of a block that is read at most; a longer one of another kind is passed over."""
MAX_INTERFACES = 65_536
"""Interfaces of a section at most: each is kept, and a capture may be of any size."""

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_BIG_ENDIAN, _LITTLE_ENDIAN = b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"
_RESOLUTION, _OFFSET = 9, 14
_MAGIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
"""Byte order, and nanoseconds of a unit of the fraction."""
NANOSECONDS = 10**9


class CaptureUnreadable(ValueError):
    """The capture goes on with octets that no capture has; what came before stands."""


def is_capture(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a packet capture."""
    return head[:4] in _MAGIC or (
        head[:4] == _SECTION.to_bytes(4, "big") and head[8:12] in (_BIG_ENDIAN, _LITTLE_ENDIAN)
    )


class Pcap:
    """The classic format: one header, then packets."""

    def __init__(self, head: bytes) -> None:
        order, self._unit = _MAGIC[head[:4]]
        self._record = struct.Struct(order + "IIII")
        self._link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF
        self.used = 0

    def packets(self, octets: bytes, found: list[Packet]) -> None:
        """Add the whole packets to `found`; `used` is how many octets they took. Raises `CaptureUnreadable`."""
        at, end, unpack = 0, len(octets), self._record.unpack_from
        link, unit, add = self._link, self._unit, found.append
        self.used = 0
        while at + 16 <= end:
            seconds, fraction, captured, length = unpack(octets, at)
            if captured > MAX_PACKET:
                raise CaptureUnreadable(f"a packet of {captured} octets")
            start = at + 16
            if start + captured > end:
                break
            at = start + captured
            self.used = at
            wire = length if length > captured else captured
            add((link, seconds * NANOSECONDS + fraction * unit, octets[start:at], wire))


class _Interface:
    """One capture interface: its link type, its snap length, and the clock of its packets."""

    def __init__(self, body: bytes, order: str) -> None:
        self.link, _, self.snap = struct.unpack_from(order + "HHI", body)
        self._units, self._offset = 10**6, 0
        for kind, value in _options(body[8:], order):
            if kind == _RESOLUTION and len(value) == 1:
                self._units = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** min(value[0], 30)
            elif kind == _OFFSET and len(value) == 8:
                self._offset = struct.unpack(order + "q", value)[0]

    def when(self, high: int, low: int) -> int:
        """Return a time stamp in nanoseconds."""
        return (high << 32 | low) * NANOSECONDS // self._units + self._offset * NANOSECONDS


def _options(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(order + "HH", body, at)
        if kind == 0:
            return
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)


class PcapNg:
    """The block format: sections, interfaces, packets; every other kind of block is passed over."""

    def __init__(self) -> None:
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self.passing = 0  # octets of a large unknown block that are still to come
        self.used = 0

    def packets(self, octets: bytes, found: list[Packet]) -> None:
        """Add the whole packets to `found`; `used` is how many octets they took. Raises `CaptureUnreadable`."""
        at = self.used = min(self.passing, len(octets))
        self.passing -= at
        while at + 12 <= len(octets):
            kind, length = self._head(octets, at)
            if length > MAX_BLOCK and kind not in (_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED):
                self.used = min(at + length, len(octets))
                self.passing = at + length - self.used
                return
            if length < 12 or length % 4 or length > MAX_BLOCK:
                raise CaptureUnreadable(f"a block of {length} octets")
            if at + length > len(octets):
                return
            if octets[at + 4 : at + 8] != octets[at + length - 4 : at + length]:
                raise CaptureUnreadable("a block whose two lengths differ")
            body = octets[at + 8 : at + length - 4]
            at += length
            self.used = at
            if (packet := self._block(kind, body)) is not None:
                found.append(packet)

    def _head(self, octets: bytes, at: int) -> tuple[int, int]:
        if octets[at : at + 4] == b"\n\r\r\n":
            self._order = ">" if octets[at + 8 : at + 12] == _BIG_ENDIAN else "<"
        kind, length = struct.unpack_from(self._order + "II", octets, at)
        return kind, length

    def _block(self, kind: int, body: bytes) -> Packet | None:
        try:
            if kind == _ENHANCED:
                number, high, low, captured, length = struct.unpack_from(self._order + "IIIII", body)
                return self._packet(number, (high, low), body[20:], (captured, length))
            if kind == _SECTION:
                if body[:4] not in (_BIG_ENDIAN, _LITTLE_ENDIAN):
                    raise CaptureUnreadable("a section without a byte order")
                self._interfaces = []
            elif kind == _INTERFACE:
                if len(self._interfaces) >= MAX_INTERFACES:
                    raise CaptureUnreadable(f"a section of more than {MAX_INTERFACES} interfaces")
                self._interfaces.append(_Interface(body, self._order))
            elif kind == _SIMPLE:
                (length,) = struct.unpack_from(self._order + "I", body)
                snap = self._interfaces[0].snap or length
                return self._packet(0, (0, 0), body[4:], (min(length, snap), length))
            elif kind == _OLD_PACKET:
                number, _, high, low, captured, length = struct.unpack_from(self._order + "HHIIII", body)
                return self._packet(number, (high, low), body[20:], (captured, length))
        except (struct.error, IndexError) as error:
            raise CaptureUnreadable("a block that is too short or of no interface") from error
        return None

    def _packet(self, number: int, stamp: tuple[int, int], body: bytes, sizes: tuple[int, int]) -> Packet:
        interface = self._interfaces[number]
        captured, length = sizes
        if captured > len(body) or captured > MAX_PACKET:
            raise CaptureUnreadable(f"a packet of {captured} octets in a smaller block")
        return interface.link, interface.when(*stamp), body[:captured], max(captured, length)


class CaptureFile:
    """Takes a capture as it is read and gives its packets. `fault` says why nothing more is read; empty while it is."""

    def __init__(self) -> None:
        self._rest = b""
        self._read = 0
        self._format: Pcap | PcapNg | None = None
        self.fault = ""

    def feed(self, octets: bytes) -> list[Packet]:
        """Return the packets that are whole now. What comes after a fault is not read."""
        found: list[Packet] = []
        if self.fault:
            return found
        whole = self._rest + octets
        if self._format is None:
            if len(whole) < 24:
                self._rest = whole
                return found
            if not is_capture(whole):
                self.fault = "not a packet capture"
                return found
            self._format = Pcap(whole) if whole[:4] in _MAGIC else PcapNg()
            if isinstance(self._format, Pcap):
                whole, self._read = whole[24:], 24
        try:
            self._format.packets(whole, found)
        except CaptureUnreadable as error:
            self.fault = f"damaged at octet {self._read + self._format.used}: {error}; what came before was kept"
        self._read += self._format.used
        self._rest = whole[self._format.used :]
        return found

    def end(self) -> None:
        """Note that nothing more comes: a packet that is not whole is a fault."""
        if self._format is None and not self.fault:
            self.fault = "too short for a packet capture"
        elif self._rest and not self.fault:
            self.fault = f"cut off at octet {self._read} within a packet; what came before was kept"
        elif isinstance(self._format, PcapNg) and self._format.passing and not self.fault:
            self.fault = f"cut off at octet {self._read} within a block; what came before was kept"
