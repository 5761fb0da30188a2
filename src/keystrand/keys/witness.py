"""Has a peer's store gone back in time? Decided on what was seen of it before.

Every commit of a store has a number, its generation. Each KME remembers the highest it has seen of each peer, durably.
A store that comes back with a lower one was restored from a copy, and would hand out keys again.
"""

from enum import StrEnum

from msgspec import Struct

from keystrand.model.units import Count


class StoreMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A store's identity and how far it has come: the `generation` of the latest commit of its process `writer`.

    `start` names this run of the process, by a number drawn at random when it began.
    """

    store: str
    writer: str
    start: str
    generation: Count


class Standing(StrEnum):
    """What a mark means beside the one that was seen before."""

    CONTINUES = "continues"
    NEW_STORE = "new store"
    ROLLED_BACK = "rolled back"


def judge(seen: StoreMark | None, shown: StoreMark) -> Standing:
    """Return what `shown` means where `seen` is the highest mark of that writer so far.

    A store of another identity holds nothing that was agreed with the old one: all of that must be destroyed. Within
    one run of a process no store goes back, but its messages may overtake each other on their way.
    """
    if seen is None:
        return Standing.CONTINUES
    if seen.store != shown.store:
        return Standing.NEW_STORE
    if seen.start == shown.start or shown.generation >= seen.generation:
        return Standing.CONTINUES
    return Standing.ROLLED_BACK
