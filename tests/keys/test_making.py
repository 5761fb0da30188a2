"""Keys from strands: the same at both ends, and different wherever anything about the order is."""

import uuid
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keystrand.crypto.secret import Secret
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.keys.making import STRAND_OCTETS, Material, make, octets_needed, origin_of, strands_of
from keystrand.model.key import CEILING, SourceKind, Strength

ORDER_ID = str(uuid.UUID(int=7))[:-INDEX_DIGITS]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an order asks for."""

    count: int
    size: int
    sources: tuple[SourceKind, ...]
    profile: str = "p"
    link: str = "ab"
    master: str = "a"
    slaves: tuple[str, ...] = ("b",)
    order_id: str = ORDER_ID


WISHES = st.builds(
    Wish, count=st.integers(1, 4), size=st.integers(1, 96).map(lambda octets: 8 * octets),
    sources=st.lists(st.sampled_from(SourceKind), min_size=1, max_size=3, unique=True).map(tuple),
    profile=st.text(max_size=5), link=st.text(max_size=5), master=st.text(max_size=5),
    slaves=st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple),
)  # fmt: skip


def bits_for(wish: Wish) -> list[bytes]:
    """Return the bytes of each strand."""
    octets = octets_needed(wish.count, wish.size, len(wish.sources))
    return [bytes((31 * at + 7 * n) % 256 for n in range(octets)) for at in range(len(wish.sources))]


def materials(wish: Wish, contents: Sequence[bytes], **told: float) -> list[Material]:
    """Return the strands with those bytes. Both ends tell the same of them, except when they came."""
    return [
        Material(
            source=source, content=Secret(content), label=CEILING[source].value, qber=told.get("qber", 0.01),
            received=told.get("received", 1.0), epoch=int(told.get("epoch", 3)),
        )
        for source, content in zip(wish.sources, contents, strict=True)
    ]  # fmt: skip


def made(wish: Wish, strands: Sequence[Material]) -> bytes:
    """Return the keys of an order."""
    return make(
        strands, order_id=wish.order_id, count=wish.count, size=wish.size, profile=wish.profile, link=wish.link,
        master=wish.master, slaves=wish.slaves,
    ).reveal()  # fmt: skip


@settings(deadline=None)
@given(WISHES)
def test_both_ends_make_the_same_keys(wish: Wish) -> None:
    """From the same bytes and the same order, whenever each end received its blocks, and whatever it says of them."""
    contents = bits_for(wish)
    here = made(wish, materials(wish, contents, received=1.0, qber=0.01))
    there = made(wish, materials(wish, contents, received=99.0, qber=0.03))
    assert here == there
    assert len(here) == wish.count * wish.size // 8


@settings(deadline=None)
@given(WISHES)
def test_one_strand_is_handed_out_as_it_is(wish: Wish) -> None:
    """The link's own bits, so that nothing is lost of what they promise."""
    wish = msgspec.structs.replace(wish, sources=wish.sources[:1])
    (content,) = bits_for(wish)
    assert made(wish, materials(wish, [content])) == content


@settings(deadline=None)
@given(WISHES, st.data())
def test_every_strand_and_every_word_counts(wish: Wish, data: st.DataObject) -> None:
    """Of several strands, another bit in any, another order of two, or another word of the order: other keys."""
    assume(len(wish.sources) > 1)
    assume(wish.size >= 64)  # shorter ones may be the same by chance
    contents = bits_for(wish)
    keys = made(wish, materials(wish, contents))
    at = data.draw(st.integers(0, len(contents) - 1))
    flipped = bytearray(contents[at])
    key = data.draw(st.integers(0, wish.count - 1))
    flipped[STRAND_OCTETS * key] ^= 1
    assert made(wish, materials(wish, [*contents[:at], bytes(flipped), *contents[at + 1 :]])) != keys
    octets = wish.size // 8
    others = [
        msgspec.structs.replace(wish, sources=(*wish.sources[1:], wish.sources[0])),
        msgspec.structs.replace(wish, profile=wish.profile + "x"),
        msgspec.structs.replace(wish, link=wish.link + "x"),
        msgspec.structs.replace(wish, master=wish.master + "x"),
        msgspec.structs.replace(wish, slaves=(*wish.slaves, "x")),
        msgspec.structs.replace(wish, order_id=str(uuid.UUID(int=8 << 12))[:-INDEX_DIGITS]),
    ]
    if octets >= 8:  # shorter keys may be equal by chance
        for other in others:
            assert made(other, materials(other, contents)) != keys
        assert made(wish, materials(wish, contents, epoch=4)) != keys


@settings(deadline=None)
@given(WISHES)
def test_a_key_of_several_strands_needs_a_secret_of_each(wish: Wish) -> None:
    """Each key takes its own bytes of every strand: another bit in one key's leaves the others as they are."""
    assume(len(wish.sources) > 1)
    assume(wish.count > 1)
    contents = bits_for(wish)
    keys = made(wish, materials(wish, contents))
    flipped = bytearray(contents[0])
    flipped[0] ^= 1
    changed = made(wish, materials(wish, [bytes(flipped), *contents[1:]]))
    assert changed[wish.size // 8 :] == keys[wish.size // 8 :]


@settings(deadline=None, max_examples=25)
@given(WISHES)
def test_what_is_told_is_the_worst_of_it(wish: Wish) -> None:
    """The highest error rate, the oldest block, and a label that claims no more than the strands give."""
    strands = [
        msgspec.structs.replace(one, qber=0.01 * (at + 1), received=10.0 - at)
        for at, one in enumerate(materials(wish, bits_for(wish)))
    ]
    told = origin_of(strands, profile=wish.profile, hops=("a", "b"))
    assert told.qber == max(one.qber for one in strands)
    assert told.received == min(one.received for one in strands)
    assert told.sources == tuple(wish.sources)
    assert (told.hops, told.profile) == (("a", "b"), wish.profile)
    if len(strands) > 1:
        assert Strength.POST_QUANTUM.at_least(told.label)


def test_a_strand_that_claims_too_much_makes_no_key() -> None:
    """A label beyond what its source can give is a fault, not a key."""
    strand = Material(
        source=SourceKind.PQC, content=Secret(b"x" * 32), label=Strength.INFORMATION_THEORETIC.value, qber=0.0,
        received=0.0, epoch=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="post-quantum at most"):
        strands_of([strand])
