"""QUIC packets with long headers and handshake frames: our round trip, aioquic's view of them, any octets at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.quic_frames import (
    MAX_CRYPTO,
    MAX_PIECES,
    Close,
    CryptoStream,
    ack_frame,
    close_frame,
    crypto_frame,
    frames,
)
from keystrand.formats.quic_packets import (
    V1,
    V2,
    InitialKeys,
    LongPacket,
    PacketKind,
    Protection,
    QuicUnreadable,
    long_packets,
    retry_is_genuine,
    varint,
    varint_octets,
    version_negotiation,
)

versions = st.sampled_from([V1, V2])
ids = st.binary(max_size=20)
payloads = st.binary(max_size=1200)


def outline(version: int, kind: PacketKind, destination: bytes, source: bytes, token: bytes = b"") -> LongPacket:
    """Return what `seal` needs of a packet."""
    return LongPacket(version, kind, destination, source, token, b"", 0)


@given(versions, ids, ids, st.binary(max_size=300), payloads, st.integers(0, 2**31))
def test_a_sealed_initial_is_cut_out_and_opened_by_its_direction_only(
    version: int, destination: bytes, source: bytes, token: bytes, payload: bytes, number: int
) -> None:
    """Header fields and frames come back as sent; the keys of the other direction open nothing."""
    keys = InitialKeys(version, destination)
    sealed = keys.client.seal(outline(version, PacketKind.INITIAL, destination, source, token), number, payload)
    (packet,) = long_packets(sealed)
    assert packet == (version, PacketKind.INITIAL, destination, source, token, sealed, packet.number_at)
    opened = keys.client.open(packet, number - 1)
    assert opened is not None
    assert opened == (number, payload)
    assert keys.server.open(packet, number - 1) is None


@pytest.mark.parametrize("suite", [0x1301, 0x1302, 0x1303])
@pytest.mark.parametrize("version", [V1, V2])
def test_handshake_packets_of_every_suite_come_back_and_packets_that_share_a_datagram_are_told_apart(
    version: int, suite: int
) -> None:
    """An Initial, a Handshake packet and padding behind them: two packets."""
    keys = InitialKeys(version, b"destination")
    handshake = Protection(version, b"s" * 48, suite)
    first = keys.server.seal(outline(version, PacketKind.INITIAL, b"", b"srv"), 0, b"\1")
    second = handshake.seal(outline(version, PacketKind.HANDSHAKE, b"", b"srv"), 3, b"\6\0\2hi")
    packets = long_packets(first + second + bytes(40))
    assert [packet.kind for packet in packets] == [PacketKind.INITIAL, PacketKind.HANDSHAKE]
    assert handshake.open(packets[1]) == (3, b"\6\0\2hi")
    assert handshake.open(packets[0]) is None


@given(st.integers(0, 2**31 - 1), st.integers(0, 30))
def test_a_changed_octet_of_a_packet_is_noticed(number: int, at: int) -> None:
    """Whatever octet of ciphertext or tag changed, nothing is opened."""
    keys = InitialKeys(V1, b"destination")
    sealed = bytearray(keys.client.seal(outline(V1, PacketKind.INITIAL, b"dd", b"ss"), number, bytes(20)))
    sealed[-1 - at] ^= 0x40
    assert all(keys.client.open(packet, number - 1) is None for packet in long_packets(bytes(sealed)))


@given(st.binary(max_size=1500), versions)
def test_no_datagram_makes_the_readers_raise(datagram: bytes, version: int) -> None:
    """Any octets, and any octets behind a plausible header."""
    for whole in (datagram, bytes((0xC0,)) + version.to_bytes(4, "big") + datagram):
        for packet in long_packets(whole):
            assert packet.octets
            if packet.kind is PacketKind.RETRY:
                assert not retry_is_genuine(packet, b"first")
            else:
                assert InitialKeys(version, b"first").server.open(packet) is None
        version_negotiation(whole)


@given(st.binary(max_size=300))
def test_no_payload_makes_the_frames_raise_anything_but_unreadable(payload: bytes) -> None:
    """And what is read of it is inside it."""
    try:
        found = frames(payload)
    except QuicUnreadable:
        return
    assert sum(len(content) for _, content in found.crypto) <= len(payload)


@given(st.binary(max_size=400), st.data())
def test_a_handshake_is_put_together_whatever_order_its_pieces_come_in(content: bytes, data: st.DataObject) -> None:
    """Pieces shuffled, repeated and overlapping give the handshake once."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    pieces = [(a, content[a : b + 5]) for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    pieces += data.draw(st.lists(st.sampled_from(pieces), max_size=4))
    stream = CryptoStream()
    found = b""
    for offset, piece in data.draw(st.permutations(pieces)):
        for _, whole in frames(crypto_frame(offset, piece)).crypto:
            found += stream.add(offset, whole)
    assert found == content
    assert stream.taken == len(content)


def test_a_handshake_without_end_and_one_in_pieces_without_end_are_refused() -> None:
    """Memory stays bounded: by octets, and by pieces that wait for one that never comes."""
    with pytest.raises(QuicUnreadable, match="octets"):
        CryptoStream().add(MAX_CRYPTO, b"x")
    stream = CryptoStream()
    for offset in range(MAX_PIECES):
        assert stream.add(2 * offset + 1, b"x") == b""
    with pytest.raises(QuicUnreadable, match="pieces"):
        stream.add(2 * MAX_PIECES + 1, b"x")


def test_the_frames_of_a_handshake_are_told_apart() -> None:
    """ACK and padding are passed over, CONNECTION_CLOSE gives the TLS alert, frames of later levels do not belong."""
    found = frames(ack_frame((0, 1, 4, 9)) + bytes(30) + crypto_frame(70, b"abc") + b"\1" + close_frame(0x0128))
    assert found.crypto == ((70, b"abc"),)
    assert found.close == Close(0x0128)
    assert found.asks_for_ack
    assert found.close.alert == 40
    assert Close(0x0A).alert is None
    assert not frames(ack_frame((3,))).asks_for_ack
    with pytest.raises(QuicUnreadable, match="frame of type 8"):
        frames(b"\x08\0\0")
    with pytest.raises(QuicUnreadable, match="ACK"):
        frames(b"\x02\0\0\x80\xff\xff\xff\0")


@given(st.integers(0, 2**62 - 1), st.binary(max_size=4))
def test_variable_length_integers_come_back(value: int, behind: bytes) -> None:
    """The shortest form, and where it ends."""
    octets = varint_octets(value)
    assert varint(octets + behind, 0) == (value, len(octets))
    with pytest.raises(QuicUnreadable):
        varint(octets[:-1], 0)


def test_version_negotiation_names_the_versions() -> None:
    """Connection ids of other versions may be longer than ours."""
    packet = b"\x80\0\0\0\0" + b"\x02dd" + bytes((30,)) + b"s" * 30 + b"\0\0\0\1" + b"\xff\0\0\x1d"
    assert version_negotiation(packet) == (b"dd", b"s" * 30, (1, 0xFF00001D))
    assert long_packets(packet) == ()


def test_aioquic_reads_our_initial_packets_and_we_read_its_retry() -> None:
    """An independent implementation has the same keys, header protection, and tag of a Retry."""
    crypto = pytest.importorskip("aioquic.quic.crypto")
    wire = pytest.importorskip("aioquic.quic.packet")
    for version, number in ((V1, 7), (V2, 70_000)):
        theirs = crypto.CryptoPair()
        theirs.setup_initial(b"destination", is_client=False, version=version)
        sealed = InitialKeys(version, b"destination").client.seal(
            outline(version, PacketKind.INITIAL, b"destination", b"source", b"token"), number, b"\1" + bytes(100)
        )
        (packet,) = long_packets(sealed)
        assert theirs.decrypt_packet(sealed, packet.number_at, number)[1:] == (b"\1" + bytes(100), number)
        retry = wire.encode_quic_retry(
            version=version,
            source_cid=b"server",
            destination_cid=b"source",
            original_destination_cid=b"destination",
            retry_token=b"come again",
        )
        (packet,) = long_packets(retry)
        assert packet[:5] == (version, PacketKind.RETRY, b"source", b"server", b"come again")
        assert retry_is_genuine(packet, b"destination")
        assert not retry_is_genuine(packet, b"another")
