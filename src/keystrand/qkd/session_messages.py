"""What the two ends of a post-processing session say to each other: typed MessagePack messages, each of bounded size.

Bits travel packed, eight an octet, the first highest. What arrives is checked twice: here for its form, and by the
step that takes it for its sense. A message that is no such thing raises `ProtocolFault`.
"""

from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import NDArray

from keystrand.model.errors import PeerUnavailable

PROTOCOL_VERSION = 1
MOST_DETECTIONS = 2**25
"""Of one session: a quarter of a gigabyte of slots, and a block beyond which finite keys gain nothing."""
MOST_OCTETS = 8 * MOST_DETECTIONS + 2**24
"""Of one message: the largest is the announcement."""

Bits = NDArray[np.uint8]
_Count = Annotated[int, Meta(ge=0, le=2**48)]
_Counts = Annotated[tuple[_Count, ...], Meta(min_length=2, max_length=3)]
_Reason = Annotated[str, Meta(max_length=1000)]
_Point = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Packed = Annotated[bytes, Meta(max_length=MOST_OCTETS)]
_Frames = Annotated[tuple[_Count, ...], Meta(max_length=2**16)]


class ProtocolFault(PeerUnavailable):
    """The other end said something that does not belong here; the session is over and gave no key."""

    default_hint = "both ends must run the same release, on the two records of one run, with the same options"


class Hello(Struct, frozen=True, kw_only=True, tag="hello", forbid_unknown_fields=True):
    """First words of each end: the version, and the parameters, read only once the version is known to be ours."""

    version: int
    parameters: Raw


class Announce(Struct, frozen=True, kw_only=True, tag="announce", forbid_unknown_fields=True):
    """Bob: the slots of his detections (little-endian int64) and his bases (a bit each)."""

    slots: _Packed
    bases: _Packed


class Reply(Struct, frozen=True, kw_only=True, tag="reply", forbid_unknown_fields=True):
    """Alice: which slots are kept, and intensity and test-basis bits of those; see `sifting.Reply`."""

    kept: _Packed
    intensities: _Packed
    test_bits: _Packed
    test_count: _Count


class TestCounts(Struct, frozen=True, kw_only=True, tag="test", forbid_unknown_fields=True):
    """Bob: detections and errors of the test basis by intensity, and how many key bits he holds."""

    detections: _Counts
    errors: _Counts
    key_bits: _Count


class Plan(Struct, frozen=True, kw_only=True, tag="plan", forbid_unknown_fields=True):
    """Alice: how the next frames are corrected, the fields of `cascade.CascadePlan`; the seed in 8 octets."""

    frame_bits: _Count
    block_bits: Annotated[tuple[_Count, ...], Meta(min_length=1, max_length=32)]
    seed: Annotated[bytes, Meta(min_length=8, max_length=8)]


class Syndromes(Struct, frozen=True, kw_only=True, tag="syndromes", forbid_unknown_fields=True):
    """Alice: the fields of `ldpc.LdpcPlan`, and the syndromes of the next frames."""

    plan: dict[str, int | float]
    bits: _Packed


class Queries(Struct, frozen=True, kw_only=True, tag="queries", forbid_unknown_fields=True):
    """Bob: the parities he needs next, little-endian int32 of shape (m, 3): frame, pass, node.

    With LDPC the frames not decoded yet, of shape (k, 2): frame, round of reveals.
    """

    asked: _Packed


class Parities(Struct, frozen=True, kw_only=True, tag="parities", forbid_unknown_fields=True):
    """Alice: one bit a query; with LDPC the bits of each round asked for."""

    bits: _Packed


class Ended(Struct, frozen=True, kw_only=True, tag="ended", forbid_unknown_fields=True):
    """Bob: correction has ended, and how many parities of each frame he was told."""

    parity_bits: _Frames


class Tags(Struct, frozen=True, kw_only=True, tag="tags", forbid_unknown_fields=True):
    """Alice: the random point and the check value of each frame."""

    points: Annotated[tuple[_Point, ...], Meta(max_length=2**16)]
    tags: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=2**16)]


class Verdict(Struct, frozen=True, kw_only=True, tag="verdict", forbid_unknown_fields=True):
    """Bob: the frames whose check values differ."""

    failed: _Frames


class Clear(Struct, frozen=True, kw_only=True, tag="clear", forbid_unknown_fields=True):
    """Alice: the failed frames in clear, one after the other."""

    frames: _Packed


class KeyErrors(Struct, frozen=True, kw_only=True, tag="errors", forbid_unknown_fields=True):
    """Bob: the errors of the key basis by intensity, now that all are known. His key is fixed from here on."""

    errors: _Counts


class Amplify(Struct, frozen=True, kw_only=True, tag="amplify", forbid_unknown_fields=True):
    """Alice: check value of the whole key, its new length, and the seed of the Toeplitz matrix. `block` names it."""

    block: _Point
    point: _Point
    tag: _Point
    length_bits: _Count
    seed: _Packed


class Confirmed(Struct, frozen=True, kw_only=True, tag="confirmed", forbid_unknown_fields=True):
    """Bob: the whole key is verified and shortened."""


class Deliver(Struct, frozen=True, kw_only=True, tag="deliver", forbid_unknown_fields=True):
    """Alice: she delivers, and how much of the key refills the authentication."""

    refill_bits: _Count


class Without(Struct, frozen=True, kw_only=True, tag="without", forbid_unknown_fields=True):
    """Alice: this block gives no key, and why."""

    reason: _Reason


class Abort(Struct, frozen=True, kw_only=True, tag="abort", forbid_unknown_fields=True):
    """Either: the session is over, and why."""

    reason: _Reason


Message = (
    Hello | Announce | Reply | TestCounts | Plan | Syndromes | Queries | Parities | Ended | Tags | Verdict | Clear
    | KeyErrors | Amplify | Confirmed | Deliver | Without | Abort
)  # fmt: skip
Kind = TypeVar("Kind", bound=Struct)

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as octets."""
    return msgspec.msgpack.encode(message)


def decode(octets: bytes) -> Message:
    """Return the message that `octets` are. Raises `ProtocolFault`."""
    try:
        return _decoder.decode(octets)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolFault(f"the other end sent what is no message of this protocol: {error}") from error


def expect(kind: type[Kind], message: Message) -> Kind:
    """Return `message` if it is of `kind`. Raises `ProtocolFault`."""
    if not isinstance(message, kind):
        said = type(message).__name__
        raise ProtocolFault(f"the other end said {said} where {kind.__name__} was due")
    return message


def pack(bits: Bits) -> bytes:
    """Return bits packed."""
    return np.packbits(bits).tobytes()


def unpack(octets: bytes, count: int) -> Bits:
    """Return `count` bits. Raises `ProtocolFault` unless the octets hold just so many, the unused ones being 0."""
    packed = np.frombuffer(octets, dtype=np.uint8)
    if packed.size != -(-count // 8):
        raise ProtocolFault(f"{packed.size} octets were sent for {count} bits")
    bits = np.unpackbits(packed)
    if bits[count:].any():
        raise ProtocolFault("bits beyond the last are not 0")
    return bits[:count]


def integers(octets: bytes, form: str) -> NDArray[np.int64]:
    """Return the integers of `form` ("<i4", "<i8") that `octets` are. Raises `ProtocolFault` for half a one."""
    if len(octets) % np.dtype(form).itemsize:
        raise ProtocolFault("a list of numbers was cut")
    return np.frombuffer(octets, dtype=form).astype(np.int64)
