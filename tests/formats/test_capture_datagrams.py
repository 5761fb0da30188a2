"""DTLS, QUIC and IKE in captures, in the disorder that datagrams come in; and what is recognised from one packet."""

import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.capture_wire import certificate, quic_talk

from keystrand.formats.capture_dtls import DtlsDissector, is_dtls
from keystrand.formats.capture_ike import IkeDissector, ike_octets
from keystrand.formats.capture_opening import StreamOpening, datagram_opening
from keystrand.formats.capture_quic import QuicDissector, is_quic
from keystrand.formats.ike_messages import main_mode
from keystrand.formats.quic_packets import V2
from keystrand.formats.tls_hello import ClientHello, client_hello
from keystrand.formats.tls_wire import number, vector

HELLO = client_hello(
    ClientHello(random=bytes(32), session=b"", versions=(0x0303,), suites=(0xC02F,), groups=(23, 29), schemes=(0x0403,))
)
SERVER_HELLO = b"\2" + vector(3, number(0xFEFD) + bytes(32) + b"\0" + number(0xC02F) + b"\0")
KEY_EXCHANGE = b"\x0c" + vector(3, b"\3" + number(23) + vector(1, bytes(65)) + number(0x0403) + vector(2, bytes(70)))


def _dtls_hello() -> bytes:
    """Return our hello as DTLS has it: with an empty cookie after the session, and DTLS 1.2 as its version."""
    body = HELLO[4:]
    return b"\1" + vector(3, number(0xFEFD) + body[2:34] + b"\0\0" + body[35:])


def fragments(message: bytes, order: int, size: int) -> list[bytes]:
    """Return the records that carry a message in pieces."""
    kind, length, body = message[:1], message[1:4], message[4:]
    found = []
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        content = kind + length + number(order) + number(at, 3) + number(len(piece), 3) + piece
        found.append(b"\x16\xfe\xfd" + bytes(8) + vector(2, content))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 400), st.integers(0, 999))
def test_dtls_is_read_from_pieces_in_any_order(size: int, seed: int) -> None:
    """Fragments may come late, twice, and several in one datagram."""
    dissector, draw = DtlsDissector(), random.Random(seed)
    client = fragments(_dtls_hello(), 0, size) * 2
    server = fragments(SERVER_HELLO, 0, size) + fragments(KEY_EXCHANGE, 1, size) * 2
    draw.shuffle(client)
    assert not any(dissector.take(first=True, octets=one) for one in client)
    for one, other in pairwise(server):
        dissector.take(first=False, octets=one + other)
    seen = dissector.session()
    assert seen is not None
    assert (seen.version, seen.exchange and seen.exchange.algorithm) == ("DTLSv1.2", "ECDH-P-256")
    assert seen.client_first is True
    encrypted = b"\x16\xfe\xfd\0\1" + bytes(6) + vector(2, bytes(40))
    assert dissector.take(first=False, octets=encrypted)


def test_dtls_is_read_past_a_message_that_is_missing() -> None:
    """The bystander lost the server's certificate for good; what comes after it still tells the group."""
    dissector = DtlsDissector()
    said = [(True, _dtls_hello(), 0), (False, SERVER_HELLO, 1), (False, KEY_EXCHANGE, 3)]
    for first, message, order in said:
        for one in fragments(message, order, 100):
            dissector.take(first=first, octets=one)
    seen = dissector.session()
    assert seen is not None
    assert seen.exchange is not None
    assert seen.exchange.algorithm == "ECDH-P-256"


def test_a_message_that_lies_about_its_length_is_not_kept() -> None:
    """Sixteen megabytes are announced; nothing of them is held."""
    lie = b"\x16\xfe\xfd" + bytes(8) + vector(2, b"\1\xff\xff\xff" + number(0) + bytes(3) + number(4, 3) + bytes(4))
    dissector = DtlsDissector()
    for _ in range(1000):
        dissector.take(first=True, octets=lie)
    assert dissector.session() is None


def test_a_server_that_answers_in_another_version_of_quic(tmp_path: Path) -> None:
    """Compatible negotiation: the client begins in one version, and the server's version is the one that counts."""
    said = quic_talk(*certificate(tmp_path), V2, only=False)
    assert {octets[1:5] for client, octets in said[:2] if client} == {V2.to_bytes(4, "big")}
    dissector = QuicDissector()
    for client, octets in said:
        if dissector.take(first=client, octets=octets):
            break
    seen = dissector.session()
    assert seen is not None
    assert (seen.version, seen.client_first) == ("QUICv1", True)
    assert seen.exchange is not None


def test_a_server_s_packet_alone_opens_nothing(tmp_path: Path) -> None:
    """Without the client's first packet there are no keys; after some tries it is given up."""
    dissector = QuicDissector()
    server = next(octets for client, octets in quic_talk(*certificate(tmp_path), 1) if not client)
    assert [dissector.take(first=False, octets=server) for _ in range(20)][-1]
    assert dissector.session() is None


def test_version_1_of_ike_and_its_group() -> None:
    """Main Mode: the proposal is in clear; an answer has both cookies."""
    asked = main_mode(b"i" * 8, (((1, 7), (14, 256), (2, 4), (3, 1), (4, 14)),))
    answer = b"i" * 8 + b"r" * 8 + asked[16:]
    dissector = IkeDissector()
    assert not dissector.take(first=True, octets=asked)
    assert dissector.take(first=False, octets=answer)
    seen = dissector.session()
    assert seen is not None
    assert seen.version == "IKEv1"
    assert [use.algorithm for use in seen.uses] == ["FFDH-2048", "AES-256-CBC", "SHA-256"]
    assert seen.client_first is True


def test_esp_within_udp_and_what_is_no_ike() -> None:
    """On port 4500 four octets of zero mark IKE; anything else there is ESP."""
    esp = datagram_opening(b"\1\2\3\4" + bytes(60), (4500, 4500), first=True)
    assert esp is not None
    seen = esp.session()
    assert seen is not None
    assert seen.protocol == "esp"
    assert datagram_opening(b"\xff", (4500, 4500), first=True) is None
    assert datagram_opening(b"\1\2\3\4" + bytes(60), (53, 53), first=True) is None


def test_an_old_server_hello_is_ssl_2() -> None:
    """The server's answer of SSL 2 says all there is to know."""
    opening = StreamOpening()
    assert opening.take(first=False, octets=b"\x83\x2b\x04\0\1\0\2" + bytes(40))
    seen = opening.session()
    assert seen is not None
    assert (seen.version, seen.client_first, seen.exchange and seen.exchange.algorithm) == ("SSLv2", True, "RSA-KEX")


@pytest.mark.parametrize("make", [DtlsDissector, QuicDissector, IkeDissector, StreamOpening])
@settings(max_examples=100, deadline=None)
@given(said=st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=8))
def test_dissectors_never_raise(make: type[StreamOpening], said: list[tuple[bool, bytes]]) -> None:
    """Whatever both sides say, in whatever order."""
    heads = (
        b"",
        b"\xc0\0\0\0\1\4abcd\0\0\x41\0",
        b"\x16\xfe\xfd" + bytes(8),
        b"\x16\3\1\0\x50\1\0\0\x4c\3\3",
        b"SSH-2.0-a\r\n",
    )
    for head in heads:
        dissector = make()
        for first, octets in said:
            dissector.take(first=first, octets=head + octets)
        dissector.session()


@given(st.binary(max_size=100))
def test_recognising_never_raises(octets: bytes) -> None:
    """A datagram of any octets."""
    assert is_quic(octets) in (True, False)
    assert is_dtls(octets) in (True, False)
    ike_octets(octets)
    datagram_opening(octets, (500, 4500), first=True)
    datagram_opening(struct.pack(">I", 0) + octets, (4500, 4500), first=False)
