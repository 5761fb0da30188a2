"""Captures made by hand around real handshakes: frames, capture files, and conversations of libraries in memory."""

import ssl
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

CLIENT, SERVER = "192.0.2.10", "198.51.100.20"
CLIENT_6, SERVER_6 = "2001:db8::10", "2001:db8::20"
SYN, ACK, FIN, RST = 2, 16, 1, 4
TCP, UDP = 6, 17
START = 1_790_000_000_000_000_000
"""Nanoseconds since 1970 of the first packet; each next one comes a millisecond later."""

Said = tuple[bool, bytes]
"""Whether the client says it, and what."""


class Ends(NamedTuple):
    """Addresses and ports of a conversation."""

    client: str = CLIENT
    server: str = SERVER
    client_port: int = 50000
    server_port: int = 443

    def of(self, *, client: bool) -> tuple[str, str, int, int]:
        """Return source, destination and both ports as the client, or the server, sends."""
        if client:
            return self.client, self.server, self.client_port, self.server_port
        return self.server, self.client, self.server_port, self.client_port


def ip(source: str, destination: str, protocol: int, payload: bytes, *, fragment: int = 0) -> bytes:
    """Return an IP packet, of the version of its addresses; `fragment` is flags and offset of version 4."""
    a, b = ip_address(source).packed, ip_address(destination).packed
    if len(a) == 16:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + a + b + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return head + a + b + payload


def tcp(ends: Ends, number: int, payload: bytes, *, client: bool, flags: int = ACK) -> bytes:
    """Return an IP packet with one segment."""
    source, destination, from_port, to_port = ends.of(client=client)
    segment = struct.pack(">HHIIBBHHH", from_port, to_port, number & 0xFFFFFFFF, 0, 0x50, flags, 65535, 0, 0)
    return ip(source, destination, TCP, segment + payload)


def udp(ends: Ends, payload: bytes, *, client: bool) -> bytes:
    """Return an IP packet with one datagram."""
    source, destination, from_port, to_port = ends.of(client=client)
    return ip(source, destination, UDP, struct.pack(">HHHH", from_port, to_port, 8 + len(payload), 0) + payload)


def ethernet(packet: bytes, *tags: int) -> bytes:
    """Return a frame with VLAN `tags`, the outermost first."""
    kind = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
    return bytes(12) + b"".join(struct.pack(">HH", tag, 7) for tag in tags) + struct.pack(">H", kind) + packet


def stream(said: Iterable[Said], ends: Ends | None = None, *, mss: int = 1400, whole: bool = True) -> Iterator[bytes]:
    """Yield the IP packets of a TCP conversation; without `whole` neither its beginning nor its end."""
    ends = ends or Ends()
    numbers = {True: 1000, False: 0xFFFFFF00}  # the server's wraps around
    if whole:
        yield tcp(ends, 999, b"", client=True, flags=SYN)
        yield tcp(ends, 0xFFFFFEFF, b"", client=False, flags=SYN | ACK)
    for client, octets in said:
        for at in range(0, len(octets), mss):
            piece = octets[at : at + mss]
            yield tcp(ends, numbers[client], piece, client=client)
            numbers[client] += len(piece)
    if whole:
        yield tcp(ends, numbers[True], b"", client=True, flags=FIN | ACK)
        yield tcp(ends, numbers[False], b"", client=False, flags=FIN | ACK)


def pcap(frames: Iterable[bytes], *, order: str = "<", nano: bool = False, link: int = 1, snap: int = 0) -> bytes:
    """Return a capture in the classic format; `snap` cuts frames."""
    magic, unit = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    found = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap or 262144, link)
    for n, frame in enumerate(frames):
        seconds, rest = divmod(START + n * 1_000_000, 10**9)
        kept = frame[:snap] if snap else frame
        found += struct.pack(order + "IIII", seconds, rest // unit, len(kept), len(frame)) + kept
    return found


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return a block of pcapng."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    """Return the head of a section of pcapng."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, order: str = "<", resolution: int | None = None) -> bytes:
    """Return the description of an interface; `resolution` is the octet of if_tsresol."""
    options = struct.pack(order + "HHBxxx", 9, 1, resolution) + bytes(4) if resolution is not None else b""
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(frame: bytes, stamp: int, number: int = 0, order: str = "<") -> bytes:
    """Return a packet of pcapng."""
    head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


def pcapng(frames: Iterable[bytes], *, order: str = "<", link: int = 1) -> bytes:
    """Return a capture in the block format."""
    packets = (enhanced(frame, (START + n * 1_000_000) // 1000, order=order) for n, frame in enumerate(frames))
    return section(order) + interface(link, order) + b"".join(packets)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of an RSA key of 2048 bits; return where it and its key are."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    begin = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 77, begin, begin + timedelta(days=9))
    made, kept = folder / "web.pem", folder / "web.key"
    made.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    kept.write_bytes(key.private_bytes(*form))
    return made, kept


def modern_talk(made: Path, key: Path) -> list[Said]:
    """Return what passes between two ends of OpenSSL 4: by default X25519MLKEM768 in TLS 1.3."""
    server, client = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    server.use_certificate_file(str(made))
    server.use_privatekey_file(str(key))
    return talk(SSL.Connection(client, None), SSL.Connection(server, None))


def talk(client: SSL.Connection, server: SSL.Connection, *, said: bytes = b"hello") -> list[Said]:
    """Have two ends of pyOpenSSL shake hands in memory and say something; return all that passed."""
    passed: list[Said] = []
    client.set_connect_state()
    server.set_accept_state()
    done = {True: False, False: False}
    for _ in range(20):
        for is_client, end, other in ((True, client, server), (False, server, client)):
            try:
                if done[is_client] and said and is_client and all(done.values()):
                    end.sendall(said)
                    said = b""
                elif not done[is_client]:
                    end.do_handshake()
                    done[is_client] = True
            except SSL.WantReadError:
                pass
            try:
                octets = end.bio_read(1 << 20)
            except SSL.WantReadError:
                continue
            passed.append((is_client, octets))
            other.bio_write(octets)
    return passed


def library_talk(
    certificate: Path, key: Path, *, version: ssl.TLSVersion, ciphers: str = "", curve: str = ""
) -> list[Said]:
    """Return what passes between two ends of Python's own `ssl`: for suites and curves that pyOpenSSL has no more."""
    theirs, mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_cert_chain(certificate, key)
    mine.check_hostname, mine.verify_mode = False, ssl.CERT_NONE
    for context in (theirs, mine):
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
    if curve:
        theirs.set_ecdh_curve(curve)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {
        True: mine.wrap_bio(down, up, server_hostname="a.example"),
        False: theirs.wrap_bio(up, down, server_side=True),
    }
    passed: list[Said] = []
    bios = {True: up, False: down}
    for _ in range(6):
        for client, end in ends.items():
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            octets = bios[client].read()
            if octets:
                passed.append((client, octets))
                bios[client].write(octets)
    return passed


def quic_talk(made: Path, key: Path, version: int, *, only: bool = True) -> list[Said]:
    """Return the datagrams of a real QUIC connection that begins in `version`; not `only` in it, it may change."""
    theirs = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    theirs.load_cert_chain(made, key)
    mine = QuicConfiguration(is_client=True, alpn_protocols=["h3"], original_version=version, server_name="a.example")
    if only:
        mine.supported_versions = theirs.supported_versions = [version]
    mine.verify_mode = ssl.CERT_NONE
    client = QuicConnection(configuration=mine)
    server = QuicConnection(
        configuration=theirs, original_destination_connection_id=client.original_destination_connection_id
    )
    client.connect(("192.0.2.1", 443), now=0.0)
    said: list[Said] = []
    for turn in range(6):
        for is_client, end, other in ((True, client, server), (False, server, client)):
            for octets, _ in end.datagrams_to_send(now=float(turn)):
                said.append((is_client, octets))
                other.receive_datagram(octets, ("192.0.2.1", 443), now=float(turn))
    return said
