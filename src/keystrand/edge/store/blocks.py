"""The rows of the pools' tables: what a pool is, what a block is on its way in, out and in between."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import NamedTuple

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.store.committer import Transaction
from keystrand.keys.allocation import Demand, Lane
from keystrand.model.errors import StoreFailure
from keystrand.model.key import SourceKind, Strength

_log = logging.getLogger(__name__)

CONFIRMATION_OCTETS = 32
"""The first bytes of every block: the one-time key of its confirmation (RFC 8439, 2.5), never handed out."""
LEAST_BLOCK_OCTETS = 64
"""A shorter block is refused: most of it would go into its confirmation."""
LANE = "no, block_id, cursor, length, label, qber, received"


class Pool(NamedTuple):
    """A pool's row."""

    id: int
    link: str
    source: SourceKind
    master: str


class NewBlock(Struct, frozen=True, kw_only=True):
    """A block as it arrives: raw key that the other end of `link` receives too.

    Where the other end has not confirmed it at `confirm_by` it is destroyed, and where it is not used up at `until`.
    """

    block_id: str
    link: str
    source: SourceKind
    master: str
    key_bits: Secret
    qber: float
    label: Strength
    confirm_by: float
    until: float


class OpenBlock(Struct, kw_only=True):
    """A block's row within a transaction, with the cursor it will have."""

    block_id: str
    cursor: int
    length: int
    label: str
    qber: float
    received: float
    used: int = 0
    """How many bytes this transaction uses."""
    gone: bool = False
    """Whether this transaction destroys the block."""

    @property
    def moved(self) -> bool:
        """Whether this transaction uses any of its bytes."""
        return self.used > 0

    def move(self, cursor: int) -> None:
        """Move the cursor forward."""
        self.used += cursor - self.cursor
        self.cursor = cursor


class Fresh(NamedTuple):
    """A block that its master KME has not yet confirmed with the other end. `name` is that of its row."""

    name: str
    source: SourceKind
    no: int
    length: int
    label: str

    @property
    def block_id(self) -> str:
        """The ID that its source gave it, by which the other end knows it."""
        return id_in(self.name)


class Waiting(NamedTuple):
    """What is known of a block that is to be confirmed. `name` is that of its row."""

    name: str
    length: int
    ready: bool
    no: int | None
    label: str


class BlockGone(StoreFailure):
    """A block is not in the store any more: it was used up, grew too old, or was destroyed with what a peer lost."""

    why = "a block is not in the store any more"

    def __init__(self, block_id: str) -> None:
        super().__init__(self.why)
        self.block_id = block_id


class BlockDamaged(BlockGone):
    """A block does not open: its row was altered or moved, or the disk has a fault. Nothing of it can be used."""

    why = "a block does not open: it was altered or moved, or sealed under another key"


async def give_up(
    tx: Transaction, destroy: Callable[[Transaction, Iterable[str]], Awaitable[None]], names: Collection[str]
) -> None:
    """Destroy blocks that do not open, and have log and audit say so."""
    if names:
        await destroy(tx, names)
        tx.note("block_damaged", blocks=[id_in(name) for name in names])
        _log.error("blocks that do not open were destroyed: %s", ", ".join(names))


def names_of(block_id: str, link: str) -> tuple[str, str]:
    """Return the names that the row of a link's block may have. No ID and no link has a blank in it."""
    return block_id, f"{link} {block_id}"


def id_in(name: str) -> str:
    """Return the ID of a block by the name of its row."""
    return name.rpartition(" ")[2]


def allowed(demand: Demand) -> tuple[str, tuple[object, ...]]:
    """Return the condition on a block that `demand` makes, and its values."""
    labels = f" AND label IN ({', '.join('?' * len(demand.labels))})" if demand.labels else ""
    return f" AND received >= ?{labels}", (demand.since, *sorted(demand.labels))


def lane_of(row: tuple[object, ...]) -> Lane:
    """Return a block as this process may cut it, by the columns `LANE` of its row."""
    no, block_id, cursor, length, label, qber, received = row
    return Lane(
        no=no, block_id=block_id, cursor=cursor, length=length, label=label, qber=qber, received=received  # type: ignore[arg-type]  # a row of the schema
    )  # fmt: skip
