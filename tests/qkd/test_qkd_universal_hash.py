"""The verification hash: its bound, by counting, and its lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import universal_hash
from keystrand.qkd.universal_hash import PRIME, collision_probability, tag, tag_bits_for


@given(st.binary(min_size=1, max_size=100), st.integers(0, PRIME - 1))
def test_equals_the_polynomial(key: bytes, point: int) -> None:
    """The tag is the polynomial, written out with powers."""
    blocks = [8 * len(key)] + [int.from_bytes(key[at : at + 15], "big") for at in range(0, len(key), 15)]
    whole = sum(block * pow(point, len(blocks) - i, PRIME) for i, block in enumerate(blocks)) % PRIME
    assert tag(key, 8 * len(key), point, 127) == whole
    assert tag(key, 8 * len(key), point, 20) == whole % 2**20


@pytest.mark.parametrize("tag_bits", [4, 6, 13])
def test_bound_holds_for_every_point_of_a_small_field(monkeypatch: pytest.MonkeyPatch, tag_bits: int) -> None:
    """With p = 2^13 - 1 all points can be counted: no pair of keys collides more often than the bound allows."""
    monkeypatch.setattr(universal_hash, "PRIME", 2**13 - 1)
    monkeypatch.setattr(universal_hash, "BLOCK_OCTETS", 1)
    for one, two in [(b"ab", b"ba"), (b"\0\0\1", b"\0\0\2"), (b"\0", b"\0\0"), (b"keykey", b"keykez")]:
        same = sum(tag(one, 8 * len(one), r, tag_bits) == tag(two, 8 * len(two), r, tag_bits) for r in range(8191))
        assert same / 8191 <= collision_probability(8 * max(len(one), len(two)), tag_bits)


@given(st.integers(0, 2**40), st.floats(1e-20, 0.5))
def test_tag_is_just_long_enough(length_bits: int, epsilon: float) -> None:
    """The chosen length keeps to epsilon and one bit less would not."""
    bits = tag_bits_for(length_bits, epsilon)
    assert collision_probability(length_bits, bits) <= epsilon
    assert bits == 1 or collision_probability(length_bits, bits - 1) > epsilon


def test_bad_input_is_refused() -> None:
    """Points, tags, lengths and epsilons that mean nothing raise."""
    for key, length_bits, point, bits in [(b"a", 8, PRIME, 8), (b"a", 8, 1, 128), (b"a", 9, 1, 8), (b"\1", 7, 1, 8)]:
        with pytest.raises(ValueError, match=r"must|fit"):
            tag(key, length_bits, point, bits)
    with pytest.raises(ValueError, match="no tag"):
        tag_bits_for(10**6, 1e-40)
    with pytest.raises(ValueError, match="between"):
        tag_bits_for(10, 0.0)
