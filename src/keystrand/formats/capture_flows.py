"""The table of conversations: packets in, dissected heads and volumes out, in bounded memory.

Only the head of each direction is put together; once a dissector has seen all it can, a packet costs a look-up and
three additions. Conversations live in two generations: when the younger is full, or what it holds is too much, those
that were silent for all of its time are concluded. Volumes are octets above TCP or UDP, retransmissions included.
"""

import struct
from collections.abc import Callable

from msgspec import Struct

from keystrand.formats.capture_file import Packet
from keystrand.formats.capture_link import ESP as ESP_NUMBER
from keystrand.formats.capture_link import ETHERNET, MACSEC, TCP, UDP, network, reads, transport
from keystrand.formats.capture_opening import ESP, StreamOpening, datagram_opening
from keystrand.formats.capture_opening import MACSEC as MACSEC_SESSION
from keystrand.formats.capture_session import Dissector, Session

MAX_FLOWS = 40_000
"""Conversations of a generation at most."""
MAX_HEAD = 64 * 1024
"""Octets of a direction that are read at most: long post-quantum certificate chains fit twice."""
MAX_HELD = 64 * 1024 * 1024
"""Octets of unfinished heads that are held at most, over all conversations."""
MAX_AHEAD = 64
"""Segments of a direction that wait for an earlier one at most."""
MAX_DATAGRAMS = 8
"""Datagrams of a direction in which a protocol is looked for."""

_IP4, _IP6 = b"\x08\x00", b"\x86\xdd"
_HEAD_4 = struct.Struct(">BxHxxHxB2x12s")
"""Version and header length, total length, flags and offset, protocol; addresses and, without options, ports."""
_HEAD_6 = struct.Struct(">4xHBx36s")
"""Payload length, next header; addresses and, without extension headers, ports."""
_SEGMENT = struct.Struct(">4xI4xBB")
"""Sequence number, offset, flags."""
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_MASK, _HALF = 0xFFFFFFFF, 0x80000000


class Told(Struct):
    """What a reader must know of the packets that were not, or not wholly, read."""

    fragments: int = 0
    cut: int = 0
    gaps: int = 0
    evicted: int = 0
    midstream: int = 0
    unread_links: int = 0
    unknown_flows: int = 0
    unknown_octets: int = 0


class Flow:
    """One conversation. `first_key` is addresses and ports of the side that was seen first, as they are in packets.

    `protocol` is empty until it is known; what carried it before an upgrade stands before it: `smtp+tls`.
    """

    __slots__ = (
        "begun",
        "client_first",
        "closed",
        "exchange",
        "first_key",
        "protocol",
        "reader",
        "taken",
        "transport",
        "ways",
    )

    def __init__(self, first_key: bytes, transport: str, begun: int) -> None:
        self.first_key, self.transport, self.begun = first_key, transport, begun
        self.reader: Dissector | None = None
        self.protocol = self.exchange = ""
        self.client_first: bool | None = None
        self.closed = False
        self.taken = 0
        self.ways: tuple[Way, ...] = ()


class Way:
    """One direction of a conversation. `open`: its head is still read. It has slots, as each packet meets one."""

    __slots__ = ("ahead", "base", "first", "flow", "key", "last", "next", "octets", "open", "packets", "taken")

    def __init__(self, flow: Flow, key: bytes, *, first: bool) -> None:
        self.flow, self.key, self.first = flow, key, first
        self.open = True
        self.octets = self.packets = self.last = self.taken = 0
        self.base: int | None = None
        self.next: int | None = None
        self.ahead: dict[int, bytes] | None = None  # hardly any direction needs one


Seen = Callable[[Flow, Session], None]
Concluded = Callable[[Flow], None]
Generation = dict[bytes, Way]


class FlowTable:
    """Takes packets. Calls `seen` once a conversation's handshake is read, `concluded` when it is over or evicted."""

    def __init__(self, seen: Seen, concluded: Concluded, *, limit: int = MAX_FLOWS) -> None:
        self._seen, self._concluded, self._limit = seen, concluded, limit
        self._young: dict[int, Generation] = {TCP: {}, UDP: {}, 0: {}}
        self._old: dict[int, Generation] = {TCP: {}, UDP: {}, 0: {}}
        self._tcp, self._udp = self._young[TCP], self._young[UDP]
        self._flows = self._held = 0
        self.told = Told()

    def take(self, packet: Packet) -> None:
        """Take a packet, whatever is in it."""
        link, _, octets, length = packet
        try:
            at = 14
            if link != ETHERNET or ((kind := octets[12:14]) != _IP4 and kind != _IP6):
                at = self._network(packet)
                if at < 0:
                    return
            head, size, fragment, protocol, key = _HEAD_4.unpack_from(octets, at)
            if head == 0x45 and not fragment & 0x3FFF:
                begin, end = at + 20, at + size
            elif head >> 4 == 6:
                size, protocol, key = _HEAD_6.unpack_from(octets, at)
                begin, end = at + 40, at + 40 + size
            else:
                self._unusual(packet, at)
                return
            if end > length or end < begin:
                end = length
            if protocol == TCP:
                self._segment(key, packet, begin, end)
            elif protocol == UDP:
                self._datagram(key, packet, begin + 8, end)
            else:
                self._unusual(packet, at)
        except (IndexError, struct.error):
            self.told.cut += 1

    def end(self) -> None:
        """Conclude every conversation that is left."""
        for _ in range(2):
            self._turn(evicting=False)

    def _network(self, packet: Packet) -> int:
        """Return where IP begins, or -1 where there is none: the frame is counted, or a flow of its own."""
        link, _, octets, length = packet
        found = network(link, octets)
        if found is None:
            self.told.unread_links += not reads(link)
            return -1
        if found.kind == MACSEC:
            self._other(octets[6:12] + octets[:6], packet, max(0, length - found.at), MACSEC_SESSION)
            return -1
        return found.at

    def _unusual(self, packet: Packet, at: int) -> None:
        """Take an IP packet with options, extension headers or fragments, or one of ESP."""
        _, _, octets, length = packet
        if (found := transport(octets, at)) is None:
            return
        end = min(found.end, length)
        self.told.fragments += found.fragment > 0
        if found.fragment == 2:
            return
        key = found.source + found.destination
        if found.protocol == TCP:
            self._segment(key + octets[found.begin : found.begin + 4], packet, found.begin, end)
        elif found.protocol == UDP:
            self._datagram(key + octets[found.begin : found.begin + 4], packet, found.begin + 8, end)
        elif found.protocol == ESP_NUMBER:
            self._other(key, packet, end - found.begin, ESP)

    def _segment(self, key: bytes, packet: Packet, begin: int, end: int) -> None:
        octets = packet[2]
        way = self._tcp.get(key) or self._meet(key, TCP, packet[1])
        number, offset, flags = _SEGMENT.unpack_from(octets, begin)
        start = begin + (offset >> 2 & 0x3C)
        if flags & (_SYN | _FIN | _RST):
            way = self._signal(way, flags, number, packet[1])
        way.packets += 1
        way.last = packet[1]
        if end > start:
            way.octets += end - start
            if way.open:
                self._grow(way, number, octets[start:end], end - start)

    def _datagram(self, key: bytes, packet: Packet, start: int, end: int) -> None:
        way = self._udp.get(key) or self._meet(key, UDP, packet[1])
        way.packets += 1
        way.last = packet[1]
        way.octets += max(0, end - start)
        if not way.open:
            return
        payload, flow = packet[2][start:end], way.flow
        if len(payload) < end - start:
            self.told.cut += 1
        if flow.reader is None and payload:
            ports = key[-4] << 8 | key[-3], key[-2] << 8 | key[-1]
            flow.reader = datagram_opening(payload, ports, first=way.first)
        if flow.reader is not None:
            self._deliver(way, payload)
        elif way.packets >= MAX_DATAGRAMS:
            way.open = False

    def _other(self, key: bytes, packet: Packet, octets: int, seen: Session) -> None:
        way = self._young[0].get(key) or self._meet(key, 0, packet[1])
        way.packets += 1
        way.last = packet[1]
        way.octets += max(0, octets)
        if way.open:
            self._done(way.flow, seen)

    def _meet(self, key: bytes, protocol: int, when: int) -> Way:
        """Return the direction with this key: from the old generation, or new, and its opposite with it."""
        if self._flows >= self._limit or self._held > MAX_HELD:
            self._turn(evicting=True)
        if (way := self._old[protocol].get(key)) is None:
            flow = Flow(key, {TCP: "tcp", UDP: "udp"}.get(protocol, "other"), when)
            flow.reader = StreamOpening() if protocol == TCP else None
            flow.ways = Way(flow, key, first=True), Way(flow, _reversed(key, protocol), first=False)
            way = flow.ways[0]
        self._flows += 1
        for one in way.flow.ways:
            self._old[protocol].pop(one.key, None)
            self._young[protocol].setdefault(one.key, one)
        return way

    def _turn(self, *, evicting: bool) -> None:
        """Conclude the old generation; the young one is now old."""
        for generation in self._old.values():
            for way in generation.values():
                if way.first:
                    self.told.evicted += evicting and not way.flow.closed
                    self._conclude(way.flow)
        self._old, self._young = self._young, {TCP: {}, UDP: {}, 0: {}}
        self._tcp, self._udp = self._young[TCP], self._young[UDP]
        self._flows = 0

    def _conclude(self, flow: Flow) -> None:
        if flow.reader is not None:
            self._held -= flow.taken
            if (seen := flow.reader.session()) is not None:
                self._done(flow, seen)
        self.told.midstream += flow.transport == "tcp" and all(way.base is None for way in flow.ways)
        if not flow.protocol:
            self.told.unknown_flows += 1
            self.told.unknown_octets += sum(way.octets for way in flow.ways)
        self._concluded(flow)
        flow.ways = ()  # no cycle is left behind for the collector

    def _signal(self, way: Way, flags: int, number: int, when: int) -> Way:
        """Take note of SYN, FIN and RST; return the direction that the segment belongs to, which a SYN may begin."""
        if flags & (_FIN | _RST):
            way.flow.closed = True
            return way
        base = (number + 1) & _MASK
        used = way.flow.closed or (way.packets > 0 and way.base != base)
        if used and not flags & _ACK:
            key, ways = way.key, way.flow.ways
            self._conclude(way.flow)
            for one in ways:
                self._tcp.pop(one.key, None)
            way = self._meet(key, TCP, when)
        way.base = way.next = base if way.taken == 0 else way.next
        way.flow.client_first = way.first != bool(flags & _ACK)
        return way

    def _grow(self, way: Way, number: int, payload: bytes, size: int) -> None:
        """Take stream octets that begin at sequence `number`, of `size` octets on the wire."""
        if way.next is None:
            way.next = number
        gap = (number - way.next) & _MASK
        if 0 < gap < _HALF:
            self._keep(way, number, payload, gap)
            return
        payload = payload[_MASK + 1 - gap :] if gap else payload
        if payload:
            self._deliver(way, payload)
        if way.open and len(payload) < size and not gap:
            self.told.cut += 1
            self._give_up(way)
        while way.open and way.ahead and (found := self._due(way)) is not None:
            self._grow(way, found, ahead := way.ahead.pop(found), len(ahead))

    def _keep(self, way: Way, number: int, payload: bytes, gap: int) -> None:
        """Keep a segment that comes before its time, within bounds."""
        way.ahead = way.ahead or {}
        if len(way.ahead) >= MAX_AHEAD or gap > MAX_HEAD:
            self._give_up(way)
        else:
            way.ahead.setdefault(number, payload)

    def _due(self, way: Way) -> int | None:
        """Return the number of a waiting segment that the stream has come to."""
        reached = way.next or 0
        return next((number for number in way.ahead or () if not 0 < (number - reached) & _MASK < _HALF), None)

    def _give_up(self, way: Way) -> None:
        way.open, way.ahead = False, None
        self.told.gaps += 1

    def _deliver(self, way: Way, payload: bytes) -> None:
        flow, size = way.flow, len(payload)
        if way.next is not None:
            way.next = (way.next + size) & _MASK
        way.taken += size
        flow.taken += size
        self._held += size
        if flow.reader is None:
            return
        if flow.reader.take(first=way.first, octets=payload):
            self._held -= flow.taken
            seen, flow.reader = flow.reader.session(), None
            for one in flow.ways:
                one.open, one.ahead = False, None
            if seen is not None:
                self._done(flow, seen)
        elif way.taken > MAX_HEAD:
            self._give_up(way)

    def _done(self, flow: Flow, seen: Session) -> None:
        if seen.client_first is not None:
            flow.client_first = seen.client_first
        for one in flow.ways:
            one.open = False
        flow.reader = None
        flow.protocol = f"{seen.carried_by}+{seen.protocol}" if seen.carried_by else seen.protocol
        flow.exchange = seen.exchange.algorithm if seen.exchange else ""
        self._seen(flow, seen)


def _reversed(key: bytes, protocol: int) -> bytes:
    """Return the key of the opposite direction: addresses swapped, and ports where there are some."""
    ends = key if protocol == 0 else key[:-4]
    half = len(ends) // 2
    swapped = ends[half:] + ends[:half]
    return swapped if protocol == 0 else swapped + key[-2:] + key[-4:-2]
