"""Messages of a session: they come back as sent, and anything else is a fault that says so."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.qkd.session_ends import KEY, ends

from keystrand.qkd.session_messages import (
    Abort,
    Hello,
    ProtocolFault,
    Verdict,
    decode,
    encode,
    expect,
    integers,
    unpack,
)
from keystrand.qkd.session_states import Aborted
from keystrand.qkd.session_wire import PIECE_OCTETS, Wire, pool


def test_unknown_version() -> None:
    """An end that speaks another version is told so, before anything else is read."""
    alice, _ = ends()
    peer = Wire(pool(KEY, initiator=False))
    peer.open(alice.start()[0])
    answer = alice.receive(peer.seal(Hello(version=2, parameters=msgspec.Raw(b"\x80")))[0])
    assert isinstance(alice.state, Aborted)
    assert "version 2" in alice.state.reason
    assert isinstance(peer.open(answer[0]), Abort)


@given(st.binary(max_size=60))
def test_octets_that_are_no_message(octets: bytes) -> None:
    """Whatever octets arrive, they are a message or a fault of the protocol, and nothing else."""
    try:
        message = decode(octets)
    except ProtocolFault:
        return
    assert decode(encode(message)) == message


def test_malformed_bits() -> None:
    """Bits of another number, or set beyond the last, are a fault."""
    for octets, count in ((b"\xff", 9), (b"\xff\xff", 8), (b"\xff", 7)):
        with pytest.raises(ProtocolFault):
            unpack(octets, count)
    with pytest.raises(ProtocolFault):
        integers(b"123", "<i4")


def test_a_message_out_of_turn() -> None:
    """A message of another kind than was due is named."""
    with pytest.raises(ProtocolFault, match="Verdict where Hello"):
        expect(Hello, Verdict(failed=()))


def test_long_messages_travel_in_pieces() -> None:
    """A message beyond one piece is cut and joined; each piece has its own tag."""
    one, two = Wire(pool(KEY, initiator=True)), Wire(pool(KEY, initiator=False))
    message = Verdict(failed=tuple(range(1, 2**16)))
    long = Hello(version=1, parameters=msgspec.Raw(msgspec.msgpack.encode(b"x" * (2 * PIECE_OCTETS + 5))))
    for said, pieces in ((message, 1), (long, 3)):
        frames = one.seal(said)
        assert len(frames) == pieces
        arrived = [two.open(frame) for frame in frames]
        assert arrived[:-1] == [None] * (pieces - 1)
        assert arrived[-1] is not None
        assert encode(arrived[-1]) == encode(said)
    assert one.forgery == two.forgery > 0
