"""The combiner against a second implementation, and what changes when anything changes."""

import hashlib
import hmac
import struct
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.crypto.combiner import COMBINED_BITS_MOST, Binding, cat_kdf, combine, prefixed
from keystrand.crypto.secret import Secret
from keystrand.model.errors import InvalidInput
from keystrand.model.key import SourceKind, Strand, Strength

QKD = Strand(source=SourceKind.QKD, strength=Strength.INFORMATION_THEORETIC)
PQC = Strand(source=SourceKind.PQC, strength=Strength.POST_QUANTUM)
CLASSICAL = Strand(source=SourceKind.CLASSICAL, strength=Strength.CLASSICAL)
KEY_ID = "01936c5e-0000-7000-8000-0123456789ab"
BINDING = Binding(
    profile="hybrid", link="corridor", epoch=7, master_sae="sae-a", slave_saes=("sae-b",), strands=(QKD, PQC)
)
STRANDS = (bytes(range(32)), bytes(range(32, 64)))


# The second implementation: RFC 5869 and the formatting function written out, with nothing but a hash and its HMAC.


def _hkdf(name: str, salt: bytes, secret: bytes, info: bytes, octets: int) -> bytes:
    extracted = hmac.new(salt or bytes(hashlib.new(name).digest_size), secret, name).digest()
    made, block, n = b"", b"", 0
    while len(made) < octets:
        n += 1
        block = hmac.new(extracted, block + info + bytes([n]), name).digest()
        made += block
    return made[:octets]


def _listed(parts: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _cat_kdf(name: str, secrets: Sequence[bytes], label: bytes, context: Sequence[bytes], octets: int) -> bytes:
    return _hkdf(name, label, b"".join(secrets), hashlib.new(name, _listed(context)).digest(), octets)


def _combined(strands: Sequence[bytes], binding: Binding, key_id: str, octets: int) -> bytes:
    words = [key_id, str(8 * octets), binding.profile, binding.link, str(binding.epoch)]
    words += [word for strand in binding.strands for word in (strand.source.value, strand.strength.value)]
    context = (
        _listed([word.encode() for word in words]),
        _listed([binding.master_sae.encode()]),
        _listed([slave.encode() for slave in binding.slave_saes]),
    )
    return _cat_kdf("sha512", [_listed(strands)], b"keystrand/v1/key/combined", context, octets)


def _combine(strands: Sequence[bytes], binding: Binding, key_id: str = KEY_ID, size_bits: int = 256) -> bytes:
    return combine([Secret(strand) for strand in strands], binding, key_id, size_bits).reveal()


names = st.text(max_size=12)
sources = st.sampled_from((QKD, PQC, CLASSICAL))
bindings = st.builds(
    Binding,
    profile=names,
    link=names,
    epoch=st.integers(min_value=0, max_value=2**40),
    master_sae=names,
    slave_saes=st.lists(names, min_size=1, max_size=3).map(tuple),
    strands=st.lists(sources, min_size=1, max_size=3).map(tuple),
)


@given(
    secrets=st.lists(st.binary(max_size=80), max_size=3),
    label=st.binary(max_size=70),
    context=st.tuples(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40)),
    octets=st.integers(min_value=1, max_value=300),
    algorithm=st.sampled_from((SHA256(), SHA384(), SHA512())),
)
def test_cat_kdf_is_what_the_formula_says(
    secrets: list[bytes], label: bytes, context: tuple[bytes, bytes, bytes], octets: int, algorithm: HashAlgorithm
) -> None:
    """For any secrets, label, context, length and hash the key is that of a second implementation."""
    info, a, b = context
    made = cat_kdf(
        secrets, label=label, info=info, message_a=a, message_b=b, octets=octets, algorithm=algorithm
    ).reveal()
    assert made == _cat_kdf(algorithm.name, secrets, label, context, octets)


@given(binding=bindings, key_id=names, octets=st.integers(min_value=1, max_value=700), data=st.data())
def test_a_combined_key_is_what_the_documentation_says(
    binding: Binding, key_id: str, octets: int, data: st.DataObject
) -> None:
    """For any strands and binding the key is that of a second implementation: both KMEs get the same."""
    count = len(binding.strands)
    strands = data.draw(st.lists(st.binary(min_size=1, max_size=80), min_size=count, max_size=count))
    assert _combine(strands, binding, key_id, 8 * octets) == _combined(strands, binding, key_id, octets)


def test_the_form_never_changes_unnoticed() -> None:
    """Two KMEs of different releases must agree: these bytes, made by the second implementation, stay."""
    assert _combined(STRANDS, BINDING, KEY_ID, 32).hex() == PINNED
    assert _combine(STRANDS, BINDING).hex() == PINNED


PINNED = "428c4329a702ae41a4948c348eb024d32b28f72f37ae887b34fa43dd524107ee"


@given(one=st.tuples(bindings, names), other=st.tuples(bindings, names))
def test_keys_are_equal_only_where_everything_is(one: tuple[Binding, str], other: tuple[Binding, str]) -> None:
    """Over the same secrets, two bindings give the same key exactly where they are the same."""
    made = [
        _combine([bytes([n + 1]) * 32 for n in range(len(binding.strands))], binding, key_id)
        for binding, key_id in (one, other)
    ]
    assert (made[0] == made[1]) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        replace(BINDING, profile="hybrid2"),
        replace(BINDING, link="corridor2"),
        replace(BINDING, epoch=8),
        replace(BINDING, master_sae="sae-b", slave_saes=("sae-a",)),
        replace(BINDING, slave_saes=("sae-b", "sae-c")),
        replace(BINDING, slave_saes=("sae-", "b")),
        replace(BINDING, master_sae="sae-asae", slave_saes=("-b",)),
        replace(BINDING, strands=(PQC, QKD)),
        replace(BINDING, strands=(replace(QKD, strength=Strength.SIMULATED), PQC)),
    ],
)
def test_every_part_of_the_binding_counts(other: Binding) -> None:
    """A change of any one part, or of the place where one part ends, gives another key."""
    assert _combine(STRANDS, other) != _combine(STRANDS, BINDING)


@given(
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=3),
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=3),
)
def test_no_two_lists_of_strands_are_one_secret(one: list[bytes], other: list[bytes]) -> None:
    """The same bytes cut at another place, or in another order, are other secrets."""
    assert (prefixed(*one) == prefixed(*other)) == (one == other)
    if len(one) == len(other):
        binding = replace(BINDING, strands=tuple((QKD, PQC, CLASSICAL)[: len(one)]))
        assert (_combine(one, binding) == _combine(other, binding)) == (one == other)


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=2),
    st.integers(min_value=0, max_value=1),
    st.integers(min_value=0, max_value=255),
)
def test_every_bit_of_every_strand_counts(strands: list[bytes], which: int, bit: int) -> None:
    """Whoever knows all strands but one bit of one does not have the key."""
    changed = bytearray(strands[which])
    changed[bit // 8] ^= 1 << bit % 8
    others = [bytes(changed) if n == which else strand for n, strand in enumerate(strands)]
    assert _combine(others, BINDING) != _combine(strands, BINDING)


@given(st.integers(min_value=1, max_value=100), st.integers(min_value=1, max_value=100))
def test_no_key_is_the_beginning_of_a_longer_one(octets: int, more: int) -> None:
    """The size is bound as well: who has a short key knows nothing of a long one with the same ID."""
    longer = _combine(STRANDS, BINDING, size_bits=8 * (octets + more))
    assert octets < 4 or longer[:octets] != _combine(STRANDS, BINDING, size_bits=8 * octets)


@pytest.mark.parametrize("size_bits", [8, 64, 4096, COMBINED_BITS_MOST])
def test_any_number_of_octets_can_be_asked_for(size_bits: int) -> None:
    """Up to what the derivation gives, the key has the size asked for."""
    assert 8 * len(_combine(STRANDS, BINDING, size_bits=size_bits)) == size_bits


@pytest.mark.parametrize("size_bits", [0, -8, 7, 257, COMBINED_BITS_MOST + 8, 1 << 20])
def test_other_sizes_are_refused(size_bits: int) -> None:
    """No octets, half octets, or more than the derivation gives: an error with the next step, never a shorter key."""
    with pytest.raises(InvalidInput, match="bits") as caught:
        _combine(STRANDS, BINDING, size_bits=size_bits)
    assert "multiple of 8" in caught.value.hint


@pytest.mark.parametrize("strands", [(), STRANDS[:1], (*STRANDS, b"x"), (STRANDS[0], b"")])
def test_a_strand_cannot_be_left_out(strands: tuple[bytes, ...]) -> None:
    """No key is made from fewer strands than declared, nor from an empty one."""
    with pytest.raises(ValueError, match="strands"):
        _combine(strands, BINDING)


def test_a_cleared_strand_is_no_strand() -> None:
    """A secret that was zeroised makes no key."""
    secrets = [Secret(strand) for strand in STRANDS]
    secrets[1].zeroise()
    with pytest.raises(ValueError, match="cleared"):
        combine(secrets, BINDING, KEY_ID, 256)
