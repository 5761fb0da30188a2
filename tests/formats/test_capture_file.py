"""Capture files cut into packets: every form of them, damaged ones, and any octets at all."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.capture_wire import START, block, enhanced, interface, pcap, pcapng, section

from keystrand.formats import capture_file
from keystrand.formats.capture_file import MAX_BLOCK, CaptureFile, Packet, is_capture

FRAMES = [b"a" * 60, b"b" * 1500, b"c"]


def packets(octets: bytes, piece: int = 1 << 20) -> tuple[list[Packet], str]:
    """Return the packets of a capture that is read in pieces, and the fault."""
    file = CaptureFile()
    found = [packet for at in range(0, len(octets), piece) for packet in file.feed(octets[at : at + piece])]
    file.end()
    return found, file.fault


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_both_byte_orders_and_resolutions_give_the_same_packets(order: str, nano: bool) -> None:  # noqa: FBT001 - a parameter
    """Time, captured octets and link type do not depend on how a capture was written."""
    found, fault = packets(pcap(FRAMES, order=order, nano=nano, link=113))
    assert found == [(113, START + n * 1_000_000, frame, len(frame)) for n, frame in enumerate(FRAMES)]
    assert fault == ""


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_gives_the_same_packets(order: str) -> None:
    """The block format in both byte orders says what the classic one says."""
    assert packets(pcapng(FRAMES, order=order)) == packets(pcap(FRAMES))


def test_a_cut_packet_keeps_its_length_on_the_wire() -> None:
    """A snap length cuts the octets, not the volume."""
    found, _ = packets(pcap([b"a" * 100], snap=40))
    assert found == [(1, START, b"a" * 40, 100)]


@pytest.mark.parametrize(("resolution", "unit"), [(9, 1), (6, 1000), (3, 10**6), (0x80 | 10, None)])
def test_the_clock_of_an_interface_is_obeyed(resolution: int, unit: int | None) -> None:
    """if_tsresol counts in powers of ten, or of two where its highest bit is set."""
    found, _ = packets(section() + interface(resolution=resolution) + enhanced(b"x" * 8, 5 << 10))
    assert found[0][1] == ((5 << 10) * unit if unit else 5 * 10**9)


def test_unknown_blocks_are_passed_over() -> None:
    """Names, statistics, secrets, custom blocks and one of a future kind stand between packets without harm."""
    others = b"".join(block(kind, b"\1" * 20) for kind in (4, 5, 0x0A, 0x0BAD, 0x7FFFFFFF))
    found, fault = packets(section() + interface() + others + enhanced(b"x" * 8, 1) + others)
    assert ([octets for _, _, octets, _ in found], fault) == ([b"x" * 8], "")


def test_an_unknown_block_of_any_size_is_not_held() -> None:
    """A block longer than the bound is passed over as it comes."""
    large = block(0x0BAD, bytes(MAX_BLOCK + 40))
    whole = section() + interface() + large + enhanced(b"x" * 8, 1)
    found, fault = packets(whole, piece=1 << 18)
    assert ([octets for _, _, octets, _ in found], fault) == ([b"x" * 8], "")


def test_a_capture_cut_off_within_a_block_that_is_passed_over_is_told() -> None:
    """What stood behind it is missing, so that the capture is not whole."""
    large = block(0x0BAD, bytes(MAX_BLOCK + 40))
    found, fault = packets(section() + interface() + enhanced(b"x" * 8, 1) + large[:-60], piece=1 << 18)
    assert len(found) == 1
    assert "cut off" in fault


def test_sections_have_their_own_order_and_interfaces() -> None:
    """A second section in the other byte order begins with no interface."""
    second = section(">") + interface(101, ">") + enhanced(b"y" * 8, 2, order=">")
    found, fault = packets(section() + interface() + enhanced(b"x" * 8, 1) + second)
    assert ([(link, octets) for link, _, octets, _ in found], fault) == ([(1, b"x" * 8), (101, b"y" * 8)], "")
    _, fault = packets(section() + interface() + section() + enhanced(b"x" * 8, 1))
    assert "no interface" in fault


def test_interfaces_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture of nothing but interfaces would fill the memory; what came before stands."""
    monkeypatch.setattr(capture_file, "MAX_INTERFACES", 3)
    begin = section() + interface() * 3 + enhanced(b"x" * 8, 2)
    assert packets(begin + section() + interface() * 3)[1] == ""
    found, fault = packets(begin + interface())
    assert len(found) == 1
    assert "more than 3 interfaces" in fault


def test_simple_and_old_packets_are_read() -> None:
    """Blocks 3 and 2 hold packets too."""
    simple = block(3, struct.pack("<I", 5) + b"hello")
    old = block(2, struct.pack("<HHIIII", 0, 0, 0, 7, 3, 9) + b"old")
    found, _ = packets(section() + interface() + simple + old)
    assert [(octets, length) for _, _, octets, length in found] == [(b"hello", 5), (b"old", 9)]


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_a_truncated_capture_keeps_what_came_before(write: object) -> None:
    """The fault names the place, and every packet before it is there."""
    assert callable(write)
    found, fault = packets(write(FRAMES)[:-1])
    assert len(found) == 2
    assert fault.startswith("cut off at octet ")


def test_lying_lengths_end_the_reading_with_a_place() -> None:
    """A packet or block longer than any may be is no reason to allocate it."""
    lying = pcap(FRAMES[:1]) + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 60) + b"x" * 64
    found, fault = packets(lying)
    assert len(found) == 1
    assert fault == f"damaged at octet {24 + 16 + 60}: a packet of 4294967280 octets; what came before was kept"
    body = struct.pack("<IIIII", 0, 0, 0, 5000, 5000) + b"x" * 8
    _, fault = packets(section() + interface() + block(6, body))
    assert "a packet of 5000 octets in a smaller block" in fault
    different = bytearray(enhanced(b"x" * 8, 1))
    different[-4] ^= 4
    _, fault = packets(section() + interface() + bytes(different))
    assert "two lengths differ" in fault


def test_what_is_no_capture_is_told() -> None:
    """Text and nothing are no captures."""
    assert packets(b"GET / HTTP/1.1\r\nHost: a.example\r\n") == ([], "not a packet capture")
    assert packets(b"") == ([], "too short for a packet capture")
    assert not is_capture(b"")


@given(st.sampled_from([pcap(FRAMES), pcapng(FRAMES), pcapng(FRAMES, order=">")]), st.integers(1, 200))
def test_pieces_make_no_difference(octets: bytes, piece: int) -> None:
    """However a capture is read, its packets are the same."""
    assert packets(octets, piece) == packets(octets)


@given(st.sampled_from([pcap(FRAMES), pcapng(FRAMES)]), st.integers(0, 1700), st.binary(max_size=60))
def test_damage_anywhere_never_raises(octets: bytes, at: int, damage: bytes) -> None:
    """Octets overwritten anywhere give packets or a fault."""
    found, _ = packets(octets[:at] + damage + octets[at + len(damage) :])
    assert all(len(kept) <= length for _, _, kept, length in found)


@given(st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a", b""]), st.binary(max_size=400))
def test_any_octets_never_raise(head: bytes, rest: bytes) -> None:
    """Whatever follows a plausible beginning, reading ends."""
    packets(head + rest)
