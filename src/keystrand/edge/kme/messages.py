"""What QKD modules and peer KMEs say to a KME: our own protocol under `/keystrand/v1/`, beside the standard's.

A block is raw key from a quantum link, the same at both ends. Its `master_kme` says which end may cut keys from it:
with one pool a direction, two masters never reach for the same bits. To assign is to tell the other end which bytes of
which blocks become which keys; no key bytes cross between KMEs.
"""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.crypto.secret import Secret
from keystrand.model.units import Identifier, Ratio

BLOCKS_URL = "/keystrand/v1/blocks"
ASSIGN_URL = "/keystrand/v1/assign"

KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", description="UUID in lower case")]
SLICES = 8192
"""How many slices one assignment may have: it fits a request however long their numbers are."""
Octets = Annotated[int, Meta(ge=0, le=1 << 20, description="bytes")]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every message refuses members it does not know."""


class Block(_Part, frozen=True, kw_only=True):
    """A block as its module delivers it. `key_bits` is the material, base64 on the wire; `label` names its strength."""

    link: Identifier
    block_id: KeyId
    master_kme: str
    key_bits: Secret
    qber: Ratio
    label: Identifier


class BlockAnswer(_Part, frozen=True, kw_only=True):
    """Whether the block is stored. `accepted` false: the pool is full, the source drops it or tries later."""

    accepted: bool
    stored_bits: int


class Slice(_Part, frozen=True, kw_only=True):
    """Some bytes of a block."""

    block_id: KeyId
    offset: Octets
    length: Annotated[int, Meta(ge=1, le=1 << 20)]


class Assign(_Part, frozen=True, kw_only=True):
    """The master KME's plan: `slices` joined and cut into equal keys of `size` bits give `key_ids` in order."""

    link: Identifier
    master_sae: str
    slave_sae: str
    size: Annotated[int, Meta(ge=8, multiple_of=8)]
    key_ids: Annotated[tuple[KeyId, ...], Meta(min_length=1)]
    slices: Annotated[tuple[Slice, ...], Meta(min_length=1, max_length=SLICES)]


class AssignAnswer(_Part, frozen=True, kw_only=True):
    """Assigned durably, or, where `unusable` names blocks, not at all: the master burns those and plans anew."""

    unusable: tuple[str, ...] = ()
