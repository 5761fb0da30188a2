"""Captures of real handshakes, made in memory: what is negotiated and offered, through every link and disorder."""

import random
import ssl
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.capture_wire import (
    ACK,
    CLIENT,
    CLIENT_6,
    RST,
    SERVER,
    SERVER_6,
    SYN,
    Ends,
    Said,
    certificate,
    ethernet,
    ip,
    library_talk,
    modern_talk,
    pcap,
    pcapng,
    quic_talk,
    stream,
    tcp,
    udp,
)

from keystrand.formats.capture import Capture
from keystrand.formats.ssh_wire import kexinit_message, packet, string
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Flow, Outcome, PublicKey, Strength
from keystrand.model.reading import Found, Reading

Fact = TypeVar("Fact")
Written = tuple[Path, Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return a certificate and its key."""
    return certificate(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def modern(written: Written) -> list[Said]:
    """Return a TLS 1.3 handshake with X25519MLKEM768."""
    return modern_talk(*written)


def read(octets: bytes, *, flows: int = 1000, piece: int = 1 << 20) -> tuple[list[Found], Reading]:
    """Return what a capture holds, and its reading."""
    capture = Capture(flows=flows)
    found = [one for at in range(0, len(octets), piece) for one in capture.feed(octets[at : at + piece])]
    *rest, reading = capture.end()
    assert isinstance(reading, Reading)
    return [*found, *(one for one in rest if isinstance(one, Found))], reading


def facts(found: Iterable[Found], kind: type[Fact]) -> list[Fact]:
    """Return the facts of one kind."""
    return [one.fact for one in found if isinstance(one.fact, kind)]


def uses(found: Iterable[Found], function: Function, strength: Strength = Strength.NEGOTIATED) -> set[str]:
    """Return the names of the algorithms used for `function`."""
    return {
        one.fact.algorithm
        for one in found
        if isinstance(one.fact, AlgorithmUse) and one.fact.function is function and one.strength is strength
    }


def exchanges(frames: Iterable[bytes], link: int = 1) -> set[str]:
    """Return the negotiated key establishments in a capture of `frames`."""
    return uses(read(pcap(frames, link=link))[0], Function.KEY_ESTABLISHMENT)


def test_a_modern_handshake_is_read_whole(modern: list[Said]) -> None:
    """Group, cipher, version, both ends, volumes and times of a TLS 1.3 connection; certificates are encrypted."""
    found, reading = read(pcap(map(ethernet, stream(modern))))
    assert reading == Reading(outcome=Outcome.SEEN)
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519MLKEM768"}
    assert uses(found, Function.ENCRYPTION) == {"AES-256-GCM"}
    assert {"X25519MLKEM768", "X25519"} <= uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.protocol, endpoint.host, endpoint.port, endpoint.versions) == ("tls", SERVER, 443, ("TLSv1.3",))
    assert (endpoint.supports_post_quantum, endpoint.negotiates_post_quantum) == (True, True)
    (flow,) = facts(found, Flow)
    assert flow.octets_to_server == sum(len(octets) for client, octets in modern if client)
    assert flow.octets_to_client == sum(len(octets) for client, octets in modern if not client)
    assert (flow.client, flow.server, flow.port, flow.transport) == (CLIENT, SERVER, 443, "tcp")
    assert (flow.protocol, flow.key_establishment) == ("tls", "X25519MLKEM768")
    assert (flow.first[:19], flow.last > flow.first) == ("2026-09-21T14:13:20", True)
    assert {one.where for one in found} == {f"!tls://{SERVER}:443", f"!client://{CLIENT}"}
    assert not facts(found, Certificate)


def test_the_group_after_a_hello_retry_request_is_the_one_agreed(written: Written) -> None:
    """The second hello's group counts, not the first's share."""
    said = library_talk(*written, version=ssl.TLSVersion.TLSv1_3, curve="secp384r1")
    assert sum(client for client, _ in said) >= 2
    assert exchanges(map(ethernet, stream(said))) == {"ECDH-P-384"}


@pytest.mark.parametrize(
    ("ciphers", "exchange", "signature", "cipher"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", "X25519", {"RSA-2048"}, "AES-128-GCM"),
        ("AES256-SHA", "RSA-KEX-2048", set(), "AES-256-CBC"),
    ],
)
def test_before_tls_1_3_certificate_and_signature_are_in_clear(
    written: Written, ciphers: str, exchange: str, signature: set[str], cipher: str
) -> None:
    """TLS 1.2 shows its chain; RSA key transport takes its size from it, and signs nothing."""
    said = library_talk(*written, version=ssl.TLSVersion.TLSv1_2, ciphers=f"{ciphers}:@SECLEVEL=0")
    found, _ = read(pcap(map(ethernet, stream(said))))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {exchange}
    assert uses(found, Function.SIGNATURE) == signature
    assert uses(found, Function.ENCRYPTION) == {cipher}
    (shown,) = facts(found, Certificate)
    assert (shown.subject, shown.key_algorithm) == ("CN=a.example", "RSA-2048")


LINKS: list[tuple[int, Callable[[bytes], bytes]]] = [
    (1, lambda packet: ethernet(packet, 0x8100)),
    (1, lambda packet: ethernet(packet, 0x88A8, 0x8100)),
    (1, lambda packet: bytes(12) + b"\x88\x47" + b"\0\1\2\x40" + b"\0\1\1\x40" + packet),
    (0, lambda packet: b"\2\0\0\0" + packet),
    (108, lambda packet: b"\0\0\0\2" + packet),
    (9, lambda packet: b"\xff\x03\0\x21" + packet),
    (101, lambda packet: packet),
    (228, lambda packet: packet),
    (113, lambda packet: bytes(14) + b"\x08\0" + packet),
    (276, lambda packet: b"\x08\0" + bytes(18) + packet),
]


@pytest.mark.parametrize(("link", "wrap"), LINKS)
def test_every_link_type_leads_to_the_same_facts(modern: list[Said], link: int, wrap: Callable[[bytes], bytes]) -> None:
    """Tags, labels and the headers of other links are passed over."""
    assert exchanges(map(wrap, stream(modern)), link) == {"X25519MLKEM768"}


@pytest.mark.parametrize(
    ("protocol", "head"),
    [
        (4, b""),
        (47, b"\0\0\x08\0"),
        (47, b"\xb0\0\x08\0" + bytes(12)),
        (47, b"\0\0\x65\x58" + bytes(12) + b"\x08\0"),
    ],
)
def test_tunnels_of_ip_and_gre_are_looked_into(modern: list[Said], protocol: int, head: bytes) -> None:
    """The ends are those of the inner packets."""
    frames = [ethernet(ip("203.0.113.1", "203.0.113.2", protocol, head + one)) for one in stream(modern)]
    found, _ = read(pcap(frames))
    assert [(flow.client, flow.server, flow.key_establishment) for flow in facts(found, Flow)] == [
        (CLIENT, SERVER, "X25519MLKEM768")
    ]


def test_an_unread_link_type_is_told() -> None:
    """Radio frames are not read, and that is said."""
    found, reading = read(pcap([b"x" * 60] * 3, link=127))
    assert (found, reading.outcome) == ([], Outcome.NONE)
    assert reading.reason == "3 packets of link types that are not read"


def test_version_6_with_extension_headers(modern: list[Said]) -> None:
    """Hop-by-hop and destination options stand between IPv6 and TCP."""
    ends = Ends(CLIENT_6, SERVER_6)
    plain = [ethernet(one) for one in stream(modern, ends)]
    assert exchanges(plain) == {"X25519MLKEM768"}
    options = [
        one[:20] + b"\0" + one[21:54] + bytes((60, 1)) + bytes(14) + bytes((6, 0)) + bytes(6) + one[54:]
        for one in plain
    ]
    longer = [one[:18] + struct.pack(">H", int.from_bytes(one[18:20], "big") + 24) + one[20:] for one in options]
    assert exchanges(longer) == {"X25519MLKEM768"}
    assert {flow.server for flow in facts(read(pcap(longer))[0], Flow)} == {SERVER_6}


def test_fragments_are_counted_not_guessed(modern: list[Said]) -> None:
    """A later fragment has no ports: it is told and belongs to no flow."""
    fragment = ethernet(ip(CLIENT, SERVER, 6, b"x" * 64, fragment=100))
    found, reading = read(pcap([*map(ethernet, stream(modern)), fragment]))
    assert reading.reason == "1 IP fragment not put together"
    assert len(facts(found, Flow)) == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), mss=st.sampled_from([40, 200, 536, 1400]))
def test_disorder_and_repetition_change_nothing(modern_said: list[Said], seed: int, mss: int) -> None:
    """Segments that come late, twice or overlapping give the same handshake."""
    draw = random.Random(seed)
    begin, *middle = list(stream(modern_said, mss=mss))
    answer, *middle = middle
    mixed = [one for one in middle for _ in range(draw.choice((1, 1, 2)))]
    for at in range(len(mixed) - 1):
        if draw.random() < 0.3:
            mixed[at], mixed[at + 1] = mixed[at + 1], mixed[at]
    found, _ = read(pcap(map(ethernet, [begin, answer, *mixed])))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519MLKEM768"}


@pytest.fixture(scope="module")
def modern_said(modern: list[Said]) -> list[Said]:
    """Return the handshake, for a property."""
    return modern


def test_a_retransmission_that_overlaps_gives_its_new_part_only(modern: list[Said]) -> None:
    """A segment that repeats the last 100 octets and goes on is read once."""
    hello = next(octets for client, octets in modern if client)
    rest = [(client, octets) for client, octets in modern if octets is not hello]
    begin = [tcp(Ends(), 999, b"", client=True, flags=SYN), tcp(Ends(), 0xFFFFFEFF, b"", client=False, flags=SYN | ACK)]
    first = [tcp(Ends(), 1000, hello[:500], client=True), tcp(Ends(), 1400, hello[400:], client=True)]
    after = [one for one in stream(rest, whole=False) if one[12:16] != begin[0][12:16]]
    assert exchanges(map(ethernet, [*begin, *first, *after])) == {"X25519MLKEM768"}


def test_connections_begun_before_the_capture_are_told(modern: list[Said]) -> None:
    """Without its beginning a connection is still read where its hello is there, and counted as what it is."""
    found, reading = read(pcap(map(ethernet, stream(modern, whole=False))))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519MLKEM768"}
    assert reading.reason == "1 connection begun before the capture"
    later = [(True, b"\x17\x03\x03\x00\x20" + bytes(32)), (False, b"\x17\x03\x03\x00\x20" + bytes(32))]
    found, reading = read(pcap(map(ethernet, stream(later, whole=False))))
    (flow,) = facts(found, Flow)
    assert (flow.protocol, flow.key_establishment, flow.server) == ("tls", "", SERVER)
    assert reading.reason == "1 connection begun before the capture"


def test_a_snap_length_keeps_volumes_and_is_told(modern: list[Said]) -> None:
    """Packets cut at 96 octets show no hello, but their octets count in full."""
    _, reading = read(pcap(map(ethernet, stream(modern)), snap=96))
    assert "packets cut short" in reading.reason
    found, reading = read(pcap(map(ethernet, stream([*modern, (False, b"\x17\x03\x03" * 3000)])), snap=1460))
    assert reading.reason == ""
    found, _ = read(pcap(map(ethernet, stream([*modern, (False, b"\x17" * 9000)])), snap=1300))
    assert sum(flow.octets_to_client for flow in facts(found, Flow)) > 9000


def test_an_ip_length_that_lies_is_bounded_by_the_frame(modern: list[Said]) -> None:
    """A packet that claims 65535 octets adds no more than its frame had."""
    frames = [ethernet(one) for one in stream(modern)]
    lying = [one[:16] + b"\xff\xff" + one[18:] for one in frames]
    found, _ = read(pcap(lying))
    (flow,) = facts(found, Flow)
    assert flow.octets_to_server + flow.octets_to_client == sum(len(octets) for _, octets in modern)


STARTTLS: list[tuple[str, list[Said]]] = [
    ("smtp", [(False, b"220 mail.example ESMTP\r\n"), (True, b"EHLO a\r\n"), (False, b"250 STARTTLS\r\n"),
              (True, b"STARTTLS\r\n"), (False, b"220 go ahead\r\n")]),
    ("imap", [(False, b"* OK ready\r\n"), (True, b"a1 STARTTLS\r\n"), (False, b"a1 OK\r\n")]),
    ("pop3", [(False, b"+OK ready\r\n"), (True, b"STLS\r\n"), (False, b"+OK\r\n")]),
    ("ftp", [(False, b"220 ready\r\n"), (True, b"AUTH TLS\r\n"), (False, b"234 ok\r\n")]),
    ("xmpp", [(True, b"<?xml version='1.0'?><stream:stream>"), (False, b"<stream:stream><starttls/>"),
              (True, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), (False, b"<proceed/>")]),
    ("postgresql", [(True, bytes.fromhex("0000000804d2162f")), (False, b"S")]),
    ("ldap", [(True, bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"),
              (False, bytes.fromhex("300c02010178070a010004000400"))]),
    ("mysql", [(False, b"\x4a\0\0\0\x0a8.0.36\0" + bytes(60)), (True, b"\x20\0\0\1" + bytes(32))]),
    ("rdp", [(True, bytes.fromhex("030000130ee000000000000100080003000000")),
             (False, bytes.fromhex("030000130ed000001234000200080001000000"))]),
    ("http", [(True, b"CONNECT b.example:443 HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 200 OK\r\n\r\n")]),
]  # fmt: skip


@pytest.mark.parametrize(("carrier", "before"), STARTTLS)
def test_an_upgrade_to_tls_is_recognised_in_stream(modern: list[Said], carrier: str, before: list[Said]) -> None:
    """Whatever is spoken first, on whatever port, the handshake after it is read, and the flow says what carried it."""
    found, reading = read(pcap(map(ethernet, stream([*before, *modern], Ends(server_port=2525)))))
    assert reading.outcome is Outcome.SEEN
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519MLKEM768"}
    assert [flow.protocol for flow in facts(found, Flow)] == [f"{carrier}+tls"]


def test_tls_within_the_packets_of_sql_server(written: Written) -> None:
    """TDS wraps each flight in packets of its own, cut anywhere."""
    said = library_talk(*written, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256")

    def wrapped(octets: bytes) -> bytes:
        pieces = (octets[at : at + 700] for at in range(0, len(octets), 700))
        return b"".join(b"\x12\1" + struct.pack(">H", 8 + len(one)) + bytes(4) + one for one in pieces)

    prelogin = [(True, wrapped(b"\0\0\x1a\0\6\xff" + bytes(6))), (False, wrapped(b"\0\0\x1a\0\6\xff" + bytes(6)))]
    found, _ = read(
        pcap(map(ethernet, stream([*prelogin, *((c, wrapped(o)) for c, o in said)], Ends(server_port=1433))))
    )
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519"}
    assert len(facts(found, Certificate)) == 1
    assert [flow.protocol for flow in facts(found, Flow)] == ["tds+tls"]


def _lists(key_exchange: str, host_key: str) -> bytes:
    return packet(kexinit_message(bytes(16), key_exchange, host_key))


def test_ssh_is_negotiated_by_the_client_s_order() -> None:
    """RFC 4253, 7.1: of each list the client's first that the server has too; signals for extensions do not count."""
    client = [
        (True, b"SSH-2.0-client\r\n"),
        (True, _lists("ext-info-c,mlkem768x25519-sha256,curve25519-sha256", "ssh-ed25519")),
    ]
    server = [
        (False, b"SSH-2.0-OpenSSH_9.9 Debian\r\n"),
        (False, _lists("curve25519-sha256,ext-info-c", "ssh-ed25519,ssh-rsa")),
    ]
    key = string(b"ssh-ed25519") + string(b"k" * 32)
    reply = [
        (True, packet(b"\x1e" + string(b"q" * 32))),
        (False, packet(b"\x1f" + string(key) + string(b"f" * 32) + string(b"s"))),
    ]
    done = [(False, packet(b"\x15")), (True, packet(b"\x15"))]
    found, _ = read(pcap(map(ethernet, stream([*client, *server, *reply, *done], Ends(server_port=22)))))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519"}
    assert uses(found, Function.SIGNATURE) == {"Ed25519"}
    assert uses(found, Function.ENCRYPTION) == {"AES-128-CTR"}
    assert uses(found, Function.MAC) == {"HMAC-SHA-256"}
    assert "mlkem768x25519-sha256" in uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    assert [one.algorithm for one in facts(found, PublicKey)] == ["Ed25519"]
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.software, endpoint.versions, endpoint.negotiates_post_quantum) == ("OpenSSH_9.9", ("2.0",), False)


def test_the_group_that_an_ssh_server_sends_gives_the_size() -> None:
    """Message 31 is a prime where a group is exchanged first (RFC 4419), a reply otherwise."""
    lists = [
        (True, _lists("diffie-hellman-group-exchange-sha256", "ssh-rsa")),
        (False, _lists("diffie-hellman-group-exchange-sha256", "ssh-rsa")),
    ]
    prime = packet(b"\x1f" + string(b"\0\xff" + bytes(255)) + string(b"\2"))
    said = [(True, b"SSH-2.0-a\r\n"), (False, b"SSH-2.0-b\r\n"), *lists, (False, prime), (False, packet(b"\x15"))]
    assert exchanges(map(ethernet, stream(said))) == {"FFDH-2048"}


@pytest.mark.parametrize(("version", "name"), [(1, "QUICv1"), (0x6B3343CF, "QUICv2")])
def test_quic_is_opened_in_both_directions(written: Written, version: int, name: str) -> None:
    """What the server chose comes from its own Initial packet, not from the client's offer."""
    frames = [ethernet(udp(Ends(), octets, client=client)) for client, octets in quic_talk(*written, version)]
    found, reading = read(pcap(frames))
    assert reading == Reading(outcome=Outcome.SEEN)
    assert len(uses(found, Function.KEY_ESTABLISHMENT)) == 1
    assert uses(found, Function.KEY_ESTABLISHMENT) <= uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.protocol, endpoint.versions, endpoint.host) == ("quic", (name,), SERVER)
    (flow,) = facts(found, Flow)
    assert (flow.transport, flow.packets) == ("udp", len(frames))
    server_only = [frame for frame in frames if frame[26:30] == ethernet(udp(Ends(), b"", client=False))[26:30]]
    assert not uses(read(pcap(server_only))[0], Function.KEY_ESTABLISHMENT)


def _ike(payloads: list[tuple[int, bytes]], *, answer: bool) -> bytes:
    """Return an IKE_SA_INIT message."""
    body = b""
    for n, (_, content) in enumerate(payloads):
        following = payloads[n + 1][0] if n + 1 < len(payloads) else 0
        body += struct.pack(">BBH", following, 0, 4 + len(content)) + content
    spis = b"i" * 8 + (b"r" * 8 if answer else bytes(8))
    flags = 0x20 if answer else 0x08
    return spis + struct.pack(">BBBBII", payloads[0][0], 0x20, 34, flags, 0, 28 + len(body)) + body


def _proposal(*transforms: tuple[int, int, int]) -> bytes:
    """Return a proposal of transforms of type, id and key length."""
    body = b""
    for n, (kind, number, bits) in enumerate(transforms):
        attribute = struct.pack(">HH", 0x800E, bits) if bits else b""
        last = 0 if n + 1 == len(transforms) else 3
        body += struct.pack(">BBHBBH", last, 0, 8 + len(attribute), kind, 0, number) + attribute
    return struct.pack(">BBHBBBB", 0, 0, 8 + len(body), 1, 1, 0, len(transforms)) + body


def test_ike_tells_the_chosen_proposal_and_the_tunnel_inherits_it() -> None:
    """An additional exchange of RFC 9370, a PPK notification, and the ESP packets that follow between these hosts."""
    ends = Ends(client_port=500, server_port=500)
    offer = _ike(
        [(33, _proposal((1, 20, 256), (2, 5, 0), (4, 31, 0), (4, 14, 0), (6, 36, 0), (6, 0, 0)))], answer=False
    )
    chosen = [(33, _proposal((1, 20, 256), (2, 5, 0), (4, 31, 0), (6, 36, 0))), (41, struct.pack(">BBH", 0, 0, 16435))]
    esp = [ethernet(ip(CLIENT, SERVER, 50, b"\1\2\3\4" * 64)), ethernet(ip(SERVER, CLIENT, 50, b"\5\2\3\4" * 16))]
    said = [(True, offer), (False, _ike(chosen, answer=True))]
    found, _ = read(pcap([*(ethernet(udp(ends, octets, client=client)) for client, octets in said), *esp]))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519+ML-KEM-768", "PPK (RFC 8784)"}
    assert "FFDH-2048" in uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    assert uses(found, Function.ENCRYPTION) == {"AES-256-GCM"}
    flows = {flow.protocol: flow for flow in facts(found, Flow)}
    assert (flows["esp"].key_establishment, flows["esp"].transport) == ("X25519+ML-KEM-768", "other")
    assert (flows["esp"].octets_to_server, flows["esp"].octets_to_client) == (256, 64)
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.versions, endpoint.negotiates_post_quantum) == (("IKEv2",), True)


def test_wireguard_and_macsec_are_recognised_as_flows() -> None:
    """A handshake of WireGuard tells who began; MACsec has addresses of cards and no ports."""
    ends = Ends(server_port=51820)
    said = [(True, b"\1\0\0\0" + bytes(144)), (False, b"\2\0\0\0" + bytes(88)), (True, b"\4\0\0\0" + bytes(60))]
    sealed = b"\2" * 6 + b"\4" * 6 + b"\x88\xe5" + bytes(80)
    found, _ = read(pcap([*(ethernet(udp(ends, octets, client=client)) for client, octets in said), sealed]))
    flows = {flow.protocol: flow for flow in facts(found, Flow)}
    assert (flows["wireguard"].server, flows["wireguard"].key_establishment) == (SERVER, "X25519")
    assert flows["wireguard"].octets_to_server == 148 + 64
    assert (flows["macsec"].client, flows["macsec"].server) == ("04:04:04:04:04:04", "02:02:02:02:02:02")
    assert flows["macsec"].octets_to_server == 80


def test_a_full_table_gives_up_the_oldest_and_says_so(modern: list[Said]) -> None:
    """Conversations still open are counted as given up; what was seen of them stays."""
    frames = []
    for n in range(50):
        frames += [ethernet(one) for one in stream(modern, Ends(client_port=40000 + n))][:-2]
    found, reading = read(pcap(frames), flows=10)
    assert reading.reason == "30 conversations given up for room"
    (flow,) = facts(found, Flow)
    assert flow.octets_to_server == 50 * sum(len(octets) for client, octets in modern if client)


def test_a_port_used_again_is_a_new_conversation(written: Written, modern: list[Said]) -> None:
    """After its end, and after a reset, the same addresses and ports begin anew."""
    old = library_talk(*written, version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA:@SECLEVEL=0")
    reset = tcp(Ends(), 5, b"", client=False, flags=RST)
    found, _ = read(pcap(map(ethernet, [*stream(modern), reset, *stream(old)])))
    assert {flow.key_establishment for flow in facts(found, Flow)} == {"X25519MLKEM768", "RSA-KEX-2048"}


def test_a_gap_in_a_head_is_told(modern: list[Said]) -> None:
    """Where a segment of the hello is missing and much follows, the direction is given up, not waited for."""
    hello = next(octets for client, octets in modern if client)
    frames = list(stream([(True, hello + bytes(200_000))]))
    missing = [one for n, one in enumerate(frames) if n != 2]
    found, reading = read(pcap(map(ethernet, missing)))
    assert reading.reason == "1 direction with a gap in its head; 1 conversation of no protocol known here"
    assert found == []
    answered = [one for n, one in enumerate(stream(modern)) if n != 2]
    assert exchanges(map(ethernet, answered)) == {"X25519MLKEM768"}


def test_pieces_and_format_change_nothing(modern: list[Said]) -> None:
    """A capture read in small pieces, or written as pcapng, tells the same."""
    frames = [ethernet(one) for one in stream(modern)]
    whole = read(pcap(frames))
    assert read(pcap(frames), piece=333) == whole
    assert read(pcapng(frames)) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=8), st.sampled_from([0, 1, 9, 101, 108, 113, 276]))
def test_frames_of_any_octets_never_raise(frames: list[bytes], link: int) -> None:
    """Whatever a frame holds, the reading ends and says something."""
    _, reading = read(pcap(frames, link=link))
    assert reading.outcome in (Outcome.NONE, Outcome.SEEN)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=40), st.sampled_from(["tls", "quic", "ssh"]))
def test_damaged_handshakes_never_raise(written: Written, at: int, damage: bytes, kind: str) -> None:
    """A handshake overwritten anywhere gives facts or none."""
    frames = _frames(written, kind)
    octets = bytearray(pcap(frames))
    at = 24 + at % (len(octets) - 24)
    octets[at : at + len(damage)] = damage
    read(bytes(octets))


_MADE: dict[str, list[bytes]] = {}


def _frames(written: Written, kind: str) -> list[bytes]:
    if kind not in _MADE:
        ssh = [(True, b"SSH-2.0-a\r\n"), (False, b"SSH-2.0-b\r\n"), (True, _lists("curve25519-sha256", "ssh-rsa"))]
        said = library_talk(*written, version=ssl.TLSVersion.TLSv1_2) if kind == "tls" else ssh
        datagrams = (
            [udp(Ends(), octets, client=client) for client, octets in quic_talk(*written, 1)] if kind == "quic" else []
        )
        _MADE[kind] = list(map(ethernet, datagrams or stream(said)))
    return _MADE[kind]
