"""What KMEs and QKD modules say to a KME: our own protocol under `/keystrand/v1/`, beside the standard's.

A block is raw key from a source, the same at both ends. Its `master_kme` says which end may cut keys from it: with one
pool a direction, two masters never reach for the same bits. To assign is to tell the other end which bytes of which
blocks become which keys; no key bytes cross between the KMEs of a link. Only where one key goes to SAEs at several KMEs
does it travel, under a one-time pad from the other link's own pool.
"""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.crypto.secret import Secret
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.making import Origin, ProfileName
from keystrand.keys.witness import WRITERS, StoreMark
from keystrand.model.key import SourceKind, Strength
from keystrand.model.units import Identifier, PartyId, Ratio

_BASE = "/keystrand/v1"
BLOCKS_URL = f"{_BASE}/blocks"
HELLO_URL = f"{_BASE}/hello"
CONFIRM_URL = f"{_BASE}/confirm"
ASSIGN_URL = f"{_BASE}/assign"
NOTICES_URL = f"{_BASE}/notices"
AGREE_URL = f"{_BASE}/agree"
FETCH_URL = f"{_BASE}/fetch"
ROTATE_URL = f"{_BASE}/rotate"

BlockId = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", description="UUID in lower case")
]
OrderId = Annotated[
    str,
    Meta(
        pattern=rf"^[0-9a-f]{{8}}-[0-9a-f]{{4}}-7[0-9a-f]{{3}}-[89ab][0-9a-f]{{3}}-[0-9a-f]{{{12 - INDEX_DIGITS}}}\Z",
        description="a UUID of version 7 (RFC 9562) without the digits that number its keys",
    ),
]
Number = Annotated[int, Meta(ge=0, le=1 << 53)]
Octets = Annotated[int, Meta(ge=0, le=1 << 24, description="bytes")]
Length = Annotated[int, Meta(ge=1, le=1 << 24, description="bytes")]

NO_QBER = -1.0
"""The error rate of a block that no quantum link made, or whose maker does not tell it. It never goes over the wire."""
ORDERS = 128
"""How many orders one assignment may have."""
AGREED_OCTETS = 4096
"""The length of a block that two KMEs agree on: both must derive the same."""
PIECES = 8192
"""How many pieces of blocks all orders of one assignment may take: it fits a request however long their numbers are."""
USED = 64
"""How many blocks a verdict names at most: the next one names more."""
Why = Annotated[str, Meta(max_length=512)]
Marks = Annotated[tuple[StoreMark, ...], Meta(max_length=WRITERS - 1)]
Seen = Annotated[tuple[StoreMark, ...], Meta(max_length=WRITERS)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every message refuses members it does not know."""


class Block(_Part, frozen=True, kw_only=True):
    """A block as its module delivers it. `key_bits` is the material, base64 on the wire; `label` names its strength."""

    link: Identifier
    block_id: BlockId
    master_kme: PartyId
    key_bits: Secret
    qber: Ratio
    label: Strength
    source: SourceKind = SourceKind.QKD


class BlockAnswer(_Part, frozen=True, kw_only=True):
    """Whether the block is stored. `accepted` false: the pool is full, the source drops it or tries later."""

    accepted: bool


class Hello(_Part, frozen=True, kw_only=True):
    """How far the sender's store has come; sent at first and again as it goes on. `others`: what else writes it.

    `seen` is what it remembers of the receiver's store. `known` is what the receiver has said that it remembers, as far
    as it lies in the past of the sender's store.
    """

    mark: StoreMark
    others: Marks = ()
    seen: Seen = ()
    known: Seen = ()


class HelloAnswer(Hello, frozen=True, kw_only=True):
    """The same of the answering store; `known` is of the hello's `seen`.

    `doubted`: the sender's store is not taken for the one that was seen before, which `seen` tells of.
    """

    doubted: bool = False


class BlockTag(_Part, frozen=True, kw_only=True):
    """A block that its master KME numbered `no`, and its one-time tag in hexadecimal."""

    block_id: BlockId
    source: SourceKind
    no: Number
    length: Octets
    label: Strength
    tag: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Confirm(_Part, frozen=True, kw_only=True):
    """Blocks that the sender, their master KME, holds: does the other end hold the same?"""

    link: Identifier
    blocks: Annotated[tuple[BlockTag, ...], Meta(min_length=1, max_length=256)]


class ConfirmAnswer(_Part, frozen=True, kw_only=True):
    """By block: `same`, `absent` (it may still come), or `different` (both ends destroy it)."""

    verdicts: Annotated[tuple[Annotated[str, Meta(max_length=16)], ...], Meta(max_length=256)]


class StrandPieces(_Part, frozen=True, kw_only=True):
    """Where one secret of an order comes from: pieces of the blocks of `source`, as (number, offset, length)."""

    source: SourceKind
    pieces: Annotated[tuple[tuple[Number, Octets, Length], ...], Meta(min_length=1, max_length=PIECES)]


class Order(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """`count` keys of `size` bits; of `slave_saes` those at the KME that this is sent to get them there.

    `sealed`, base64, and `told` are for keys that were made on another link: the keys under the one-time pad that
    `strands` give, and what is known of their origin.
    """

    order_id: OrderId
    master_sae: PartyId
    slave_saes: Annotated[tuple[PartyId, ...], Meta(min_length=1, max_length=64)]
    size: Annotated[int, Meta(ge=8, le=1 << 20, multiple_of=8)]
    count: Annotated[int, Meta(ge=1, le=16**INDEX_DIGITS)]
    profile: ProfileName
    strands: Annotated[tuple[StrandPieces, ...], Meta(min_length=1, max_length=4)]
    sealed: str = ""
    told: Origin | None = None


class Assign(_Part, frozen=True, kw_only=True):
    """The master KME's plan for orders over one link."""

    link: Identifier
    mark: StoreMark
    orders: Annotated[tuple[Order, ...], Meta(min_length=1, max_length=ORDERS)]


Cursor = Annotated[int, Meta(ge=-1, le=1 << 24)]


class Verdict(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an order: assigned durably, or not at all.

    `used` names, by source, blocks whose bytes are used up to a cursor (-1: not here at all): the master skips those,
    and plans anew. `denied` says why the order can never be assigned.
    """

    used: Annotated[tuple[tuple[SourceKind, Number, Cursor], ...], Meta(max_length=USED)] = ()
    denied: Why = ""

    @property
    def assigned(self) -> bool:
        """Return whether the order is assigned."""
        return not self.used and not self.denied


class AssignAnswer(_Part, frozen=True, kw_only=True):
    """One verdict for each order, in their order."""

    mark: StoreMark
    verdicts: Annotated[tuple[Verdict, ...], Meta(max_length=ORDERS)]


class Notice(_Part, frozen=True, kw_only=True):
    """An event that the other KME's holdings of an order must follow."""

    order_id: OrderId
    event: KeyEvent


class Notices(_Part, frozen=True, kw_only=True):
    """Events to follow; answered with 200 once they are durable there."""

    link: Identifier
    notices: Annotated[tuple[Notice, ...], Meta(min_length=1, max_length=256)]


class Agree(_Part, frozen=True, kw_only=True):
    """A fresh encapsulation key, or ECDH share, hexadecimal: the sender is the master of the block it makes."""

    link: Identifier
    block_id: BlockId
    source: SourceKind
    share: Annotated[str, Meta(pattern=r"^[0-9a-f]+\Z", max_length=8192)]


class AgreeAnswer(_Part, frozen=True, kw_only=True):
    """The ciphertext or the other ECDH share, hexadecimal."""

    share: Annotated[str, Meta(pattern=r"^[0-9a-f]+\Z", max_length=8192)]


class Fetch(_Part, frozen=True, kw_only=True):
    """Keys that the sender took from a vendor's KME by 014: fetch the same at your end, as one block."""

    link: Identifier
    block_id: BlockId
    key_ids: Annotated[
        tuple[Annotated[str, Meta(max_length=64, pattern=r"^[!-~]*\Z")], ...], Meta(min_length=1, max_length=1024)
    ]


class Rotate(_Part, frozen=True, kw_only=True):
    """An operator wants the pair to take a new key: void what waits at your end, and count from now on."""

    link: Identifier
    master_sae: PartyId
    slave_sae: PartyId


class Rotated(_Part, frozen=True, kw_only=True):
    """How many orders that has voided."""

    orders_voided: Annotated[int, Meta(ge=0)]


class Done(_Part, frozen=True, kw_only=True):
    """What was asked is durable."""
