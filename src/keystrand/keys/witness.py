"""Has a peer's store gone back in time? Decided on what was seen of it before.

Every commit of a store has a number, its generation. Each KME remembers the highest it has seen of each peer, durably.
A store that comes back with a lower one was restored from a copy, and would hand out keys again. What a copy has
committed since it was put back proves nothing, and each of its restarts begins at a higher number. So a run is judged
by the number at which it began, and must know what was seen of the runs before it: only the store itself can tell.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.units import Identifier

Generation = Annotated[int, Meta(ge=0, le=1 << 53)]
Proof = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]

WRITERS = 16
"""How many processes that write one store are told apart by those who watch it."""


class StoreMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A store's identity and how far it has come: the `generation` of the latest commit of its process `writer`.

    `start` names this run of the process, by a number drawn at random when it began; `begun` is the generation that it
    found then. By `proof` the store knows later that it has said this itself.
    """

    store: Identifier
    writer: Identifier
    start: Identifier
    begun: Generation
    generation: Generation
    proof: Proof = ""


class Standing(StrEnum):
    """What a mark means beside the one that was seen before."""

    CONTINUES = "continues"
    NEW_STORE = "new store"
    ROLLED_BACK = "rolled back"
    UNPROVEN = "unproven"
    """Another run, of which nobody has shown yet that it goes on from the one that was seen."""


def judge(seen: StoreMark | None, shown: StoreMark, known: Collection[StoreMark] = ()) -> Standing:
    """Return what `shown` means where `seen` is the highest mark of that writer so far.

    `known`: marks that the store which shows itself has been told of, and has found in its past. A store of another
    identity holds nothing that was agreed with the old one: all of that must be destroyed. Within one run of a process
    messages may overtake each other on their way; that the run itself went back only its store can tell, which is told
    what was seen of it.
    """
    if seen is None:
        return Standing.CONTINUES
    if seen.store != shown.store:
        return Standing.NEW_STORE
    if seen.start == shown.start:
        return Standing.CONTINUES
    if shown.begun < seen.generation:
        return Standing.ROLLED_BACK
    return Standing.CONTINUES if seen in known else Standing.UNPROVEN
