"""Which bytes of which blocks make the keys of an order: decided on values, in order of arrival.

A block's cursor only moves forward, at both ends, so a byte that was planned once is never planned again. Blocks are
independent of each other: what an order may not take (too old, another label) is passed over, not destroyed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from keystrand.model.errors import NoKeyAvailable


class Piece(NamedTuple):
    """Bytes `offset` to `offset + length` of block `no` of a pool. On the wire an array of three numbers."""

    no: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.length


class Lane(Struct, kw_only=True):
    """A block that this process may cut: bytes `cursor` to `length` are unused. `received`: seconds since the epoch."""

    no: int
    block_id: str
    cursor: int
    length: int
    label: str
    qber: float
    received: float

    @property
    def unused(self) -> int:
        """How many bytes are left."""
        return self.length - self.cursor


class Demand(Struct, frozen=True, kw_only=True):
    """What blocks an order may take: of which labels (empty: any), and received when at the earliest."""

    labels: frozenset[str] = frozenset()
    since: float = 0.0

    def allows(self, lane: Lane) -> bool:
        """Return whether keys of this demand may come from `lane`."""
        return lane.received >= self.since and (not self.labels or lane.label in self.labels)


class Cut(NamedTuple):
    """What an order takes of one lane."""

    lane: Lane
    piece: Piece


class PoolTooSmall(NoKeyAvailable):
    """The pool holds fewer bits than asked for; nothing was consumed."""

    def __init__(self, stored_octets: int) -> None:
        super().__init__("not enough keys are stored")
        self.stored_octets = stored_octets


def cut(lanes: Iterable[Lane], octets: int, demand: Demand) -> tuple[Cut, ...]:
    """Return cuts that together give `octets` bytes, all of one label, without touching the lanes.

    Raises `PoolTooSmall` where no label that `demand` allows has so many.
    """
    begun: dict[str, tuple[list[Cut], int]] = {}
    for lane in lanes:
        if not lane.unused or not demand.allows(lane):
            continue
        cuts, missing = begun.get(lane.label, ([], octets))
        length = min(missing, lane.unused)
        cuts.append(Cut(lane, Piece(lane.no, lane.cursor, length)))
        if length == missing:
            return tuple(cuts)
        begun[lane.label] = (cuts, missing - length)
    raise PoolTooSmall(max((octets - missing for _, missing in begun.values()), default=0))


def advance(cuts: Iterable[Cut]) -> None:
    """Move the lanes' cursors behind what was cut."""
    for lane, piece in cuts:
        lane.cursor = piece.end


def give_back(cuts: Iterable[Cut]) -> None:
    """Undo `advance` for bytes that never left this process; nothing may have been cut behind them since."""
    for lane, piece in cuts:
        lane.cursor = min(lane.cursor, piece.offset)
