"""How the bytes of an order's strands become its keys, the same at both ends, and what is told of them."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.crypto.combiner import Binding, combine
from keystrand.crypto.secret import Secret
from keystrand.keys.contract import key_ids_of
from keystrand.model.key import SourceKind, Strand, Strength, strength_of
from keystrand.model.units import PartyId

STRAND_OCTETS = 32
"""What each strand of a combined key gives, whatever the key's size: 256 bits, the strength of the combiner."""


PAD_TAG_OCTETS = 32
"""Behind the one-time pad of keys that are sealed: the one-time key of its tag (RFC 8439, 2.5)."""


class Material(Struct, frozen=True, kw_only=True):
    """The bytes of one strand, and what its blocks say of them. `epoch`: the number of the last block it is from."""

    source: SourceKind
    content: Secret
    label: str
    qber: float
    received: float
    epoch: int


def octets_needed(count: int, size: int, strands: int) -> int:
    """Return how many bytes each of `strands` gives for `count` keys of `size` bits: the keys, or a secret for each."""
    return count * (size // 8 if strands == 1 else STRAND_OCTETS)


def pad_octets(count: int, size: int) -> int:
    """Return how many bytes seal `count` keys of `size` bits: a one-time pad, and the one-time key of its tag."""
    return count * size // 8 + PAD_TAG_OCTETS


def strands_of(materials: Sequence[Material]) -> tuple[Strand, ...]:
    """Return what the materials are. Raises `ValueError` where a label claims more than its source gives."""
    return tuple(Strand(source=one.source, strength=Strength(one.label)) for one in materials)


def make(
    strands: Sequence[Material], *, order_id: str, count: int, size: int, profile: str, link: str, master: str,
    slaves: Sequence[str],
) -> Secret:  # fmt: skip
    """Return `count` keys of `size` bits, joined. One strand is handed out as it is; several are combined by key."""
    if len(strands) == 1:
        return Secret(strands[0].content.view())
    binding = Binding(
        profile=profile, link=link, epoch=strands[0].epoch, master_sae=master, slave_saes=tuple(slaves),
        strands=strands_of(strands),
    )  # fmt: skip
    joined = bytearray()
    pieces = zip(*(one.content.split(STRAND_OCTETS) for one in strands), strict=True)
    for key_id, secrets in zip(key_ids_of(order_id, count), pieces, strict=True):
        with combine(secrets, binding, key_id, size) as key:
            joined += key.view()
        for secret in secrets:
            secret.zeroise()
    try:
        return Secret(joined)
    finally:
        joined[:] = bytes(len(joined))


ProfileName = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of where keys come from. `hops`: the KMEs that hold or held them, in order; `received`: when the
    oldest of their material came, in seconds since the epoch; `qber`: the highest of their links, below 0 for none.
    """

    label: Strength
    sources: Annotated[tuple[SourceKind, ...], Meta(max_length=8)]
    qber: Annotated[float, Meta(ge=-1, le=1)]
    received: Annotated[float, Meta(ge=0, le=1e12)]
    profile: ProfileName
    hops: Annotated[tuple[PartyId, ...], Meta(max_length=64)]


def origin_of(strands: Sequence[Material], *, profile: str, hops: Sequence[str]) -> Origin:
    """Return where keys made of `strands` come from. Raises `ValueError` as `strands_of` does."""
    return Origin(
        label=strength_of(strands_of(strands)), sources=tuple(one.source for one in strands),
        qber=max(one.qber for one in strands), received=min(one.received for one in strands), profile=profile,
        hops=tuple(hops),
    )  # fmt: skip
