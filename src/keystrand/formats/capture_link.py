"""From a captured frame to its IP packet, and from there to the transport: link layers, tags, extension headers.

Sources: the list of link types of tcpdump.org; IEEE 802.1Q and 802.1AD (tags), 802.1AE (MACsec); RFC 3032 (MPLS),
RFC 1661 and 2516 (PPP), RFC 791, RFC 8200 (extension headers). Lengths in a packet are never believed beyond what is
there.
"""

from typing import NamedTuple

NULL, ETHERNET, PPP, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 0, 1, 9, 101, 108, 113, 228, 229, 276
_RAW_TYPES = (12, 14, RAW, IPV4, IPV6)
_TAGS = (0x8100, 0x88A8, 0x9100)
_MPLS, _PPPOE, MACSEC, _IP4, _IP6 = 0x8847, 0x8864, 0x88E5, 0x0800, 0x86DD
_PPP_IP = (b"\x00\x21", b"\x00\x57")
TCP, UDP, ESP, AH = 6, 17, 50, 51
_SKIPPED_HEADERS = (0, 43, 60, 135, 139, 140)
"""Hop-by-hop, routing, destination, mobility, HIP, shim6: all say their length in units of 8 octets."""
_FRAGMENT = 44
_IN_IP, _GRE = (4, 41), 47
_GRE_CHECKSUM, _GRE_KEY, _GRE_SEQUENCE, _GRE_ETHERNET = 0x80, 0x20, 0x10, 0x6558
_MAX_TUNNELS = 4
_MAX_HEADERS = 8


class Network(NamedTuple):
    """Where the network layer begins, and its EtherType; 0 where only the version nibble tells."""

    at: int
    kind: int


class Transport(NamedTuple):
    """Both addresses, the protocol above IP, and where it begins and ends by the length that IP states.

    `fragment` is 0 for a whole packet, 1 for a first fragment, 2 for a later one.
    """

    source: bytes
    destination: bytes
    protocol: int
    begin: int
    end: int
    fragment: int = 0


def network(link: int, octets: bytes) -> Network | None:
    """Return where the network layer of a frame begins; None for a link type that is not read, or another protocol."""
    if link == ETHERNET:
        return _ethernet(octets, 12)
    if link == LINUX_SLL:
        return _ethernet(octets, 14)
    if link == LINUX_SLL2:
        return Network(20, octets[0] << 8 | octets[1]) if len(octets) > 20 else None
    if link in (NULL, LOOP):
        return Network(4, 0)
    if link == PPP:
        at = 2 if octets[:2] == b"\xff\x03" else 0
        return Network(at + 2, 0) if octets[at : at + 2] in _PPP_IP else None
    return Network(0, 0) if link in _RAW_TYPES else None


def reads(link: int) -> bool:
    """Return whether frames of this link type are read at all."""
    return link in (ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, LOOP, PPP, *_RAW_TYPES)


def _ethernet(octets: bytes, at: int) -> Network | None:
    kind = int.from_bytes(octets[at : at + 2], "big")
    while kind in _TAGS and at + 6 <= len(octets):
        at += 4
        kind = int.from_bytes(octets[at : at + 2], "big")
    at += 2
    if kind == _MPLS:
        while at + 4 <= len(octets) and not octets[at + 2] & 1:
            at += 4
        return Network(at + 4, 0)
    if kind == _PPPOE:
        return Network(at + 8, 0)
    return Network(at, kind) if kind in (_IP4, _IP6, MACSEC) else None


def transport(octets: bytes, at: int) -> Transport | None:
    """Return the transport of the IP packet at `at`, whatever its options, within tunnels of IP and GRE too.

    None where there is none.
    """
    found = _transport(octets, at)
    for _ in range(_MAX_TUNNELS):
        if found is None or found.fragment or (inner := _inner(octets, found)) < 0:
            return found
        found = _transport(octets, inner)
    return found


def _inner(octets: bytes, outer: Transport) -> int:
    """Return where the IP packet in a tunnel begins, -1 where there is no tunnel that is read (RFC 2003, RFC 2784)."""
    at = outer.begin
    if outer.protocol in _IN_IP:
        return at
    if outer.protocol != _GRE or at + 4 > len(octets) or octets[at + 1] & 7:
        return -1
    flags, kind = octets[at], octets[at + 2] << 8 | octets[at + 3]
    at += 4 + 4 * sum(flags & bit > 0 for bit in (_GRE_CHECKSUM, _GRE_KEY, _GRE_SEQUENCE))
    if kind == _GRE_ETHERNET:
        found = _ethernet(octets, at + 12)
        return found.at if found and found.kind in (_IP4, _IP6) else -1
    return at if kind in (_IP4, _IP6) else -1


def _transport(octets: bytes, at: int) -> Transport | None:
    version = octets[at] >> 4 if at < len(octets) else 0
    if version == 4 and at + 20 <= len(octets):
        return _transport_4(octets, at)
    if version == 6 and at + 40 <= len(octets):
        return _transport_6(octets, at)
    return None


def _transport_4(octets: bytes, at: int) -> Transport | None:
    header = (octets[at] & 15) * 4
    length = octets[at + 2] << 8 | octets[at + 3]
    if header < 20 or (length and length < header):
        return None
    # a length of 0 comes from network cards that cut the packet later (segmentation offload)
    end = at + length if length else len(octets)
    more, offset = octets[at + 6] & 0x20, (octets[at + 6] & 0x1F) << 8 | octets[at + 7]
    fragment = 2 if offset else 1 if more else 0
    addresses = octets[at + 12 : at + 16], octets[at + 16 : at + 20]
    return Transport(*addresses, octets[at + 9], at + header, end, fragment)


def _transport_6(octets: bytes, at: int) -> Transport | None:
    length = octets[at + 4] << 8 | octets[at + 5]
    kind, begin = octets[at + 6], at + 40
    end = begin + length if length else len(octets)
    fragment = 0
    for _ in range(_MAX_HEADERS):
        if begin + 8 > len(octets):
            break
        if kind in _SKIPPED_HEADERS:
            kind, begin = octets[begin], begin + 8 * (octets[begin + 1] + 1)
        elif kind == AH:
            kind, begin = octets[begin], begin + 4 * (octets[begin + 1] + 2)
        elif kind == _FRAGMENT:
            place = octets[begin + 2] << 8 | octets[begin + 3]
            fragment = 2 if place & 0xFFF8 else place & 1
            kind, begin = octets[begin], begin + 8
        else:
            break
        if fragment == 2:
            break
    if begin > end:
        return None
    return Transport(octets[at + 8 : at + 24], octets[at + 24 : at + 40], kind, begin, end, fragment)
