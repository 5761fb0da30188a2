"""The campaign of a pilot as data: its phases, what begins and ends each, what it must show. The edge performs it."""

from enum import StrEnum

from msgspec import Struct

from keystrand.pilot.twin import LinkEvent


class PhaseName(StrEnum):
    """The phases, in their order."""

    NORMAL = "normal"
    CUT = "cut"
    DRAINED = "drained"
    RESTORE = "restore"


class Progress(Struct, frozen=True, kw_only=True):
    """What has happened since a phase began. `stock` is what the KME still holds for the consumer, in keys."""

    handshakes: int = 0
    refused: int = 0
    delivered: int = 0
    stock: int = 0


class Phase(Struct, frozen=True, kw_only=True):
    """One phase: the event it begins with, when it is over, and what consumers must see while it lasts.

    It is over once all of `handshakes` (the pilot's own number where `full_run`), `refusals` and `deliveries` are
    reached, and the stock is empty where `drains`.
    """

    name: PhaseName
    begins_with: LinkEvent | None
    expects: str
    full_run: bool = False
    refusals: int = 0
    deliveries: int = 0
    drains: bool = False


REFUSALS = 5
"""Requests without key that are watched: enough to see that the refusal is steady, and soon over."""

CAMPAIGN: tuple[Phase, ...] = (
    Phase(
        name=PhaseName.NORMAL,
        begins_with=None,
        expects="every handshake uses a fresh key that both sides fetched under the same key_ID",
        full_run=True,
    ),
    Phase(
        name=PhaseName.CUT,
        begins_with=LinkEvent.CUT,
        expects="the stock is used up, each key once; no new key appears",
        drains=True,
    ),
    Phase(
        name=PhaseName.DRAINED,
        begins_with=None,
        expects="every request is refused with 503, and no handshake takes place without a key",
        refusals=REFUSALS,
    ),
    Phase(
        name=PhaseName.RESTORE,
        begins_with=LinkEvent.RESTORED,
        expects="the next key delivered is a new one; the time until then is the recovery time",
        deliveries=1,
    ),
)
"""Normal work first, or a cut would prove nothing; then the cut, the empty stock, and the way back."""


def is_over(phase: Phase, progress: Progress, *, handshakes: int) -> bool:
    """Return whether `phase` is over; `handshakes` is the pilot's own number."""
    return (
        (not phase.full_run or progress.handshakes >= handshakes)
        and (not phase.drains or progress.stock <= 0)
        and progress.refused >= phase.refusals
        and progress.delivered >= phase.deliveries
    )
