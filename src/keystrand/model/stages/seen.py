"""Documents 1 and 2: what was seen, and the inventory of it."""

from enum import StrEnum

from keystrand.model.algorithm import Verdict
from keystrand.model.document import Document, Part
from keystrand.model.estate import Layer, Place
from keystrand.model.observation import Fact, Record, Strength
from keystrand.model.units import Count


class Observations(Document, frozen=True, kw_only=True, tag="observations"):
    """Every record of one scan, in a fixed order. On disk: JSON Lines, the head first, then one record a line.

    `stand_ins` names the targets that were answered by something put in their place, as the demonstration does.
    """

    stand_ins: tuple[str, ...] = ()
    records: tuple[Record, ...]


class Occurrence(Part, frozen=True, kw_only=True):
    """One place where an asset was seen. `rule` is the estate's rule that gave it to `system`, if one did."""

    target: str
    system: str
    place: str
    probe: str
    strength: Strength
    rule: str = ""


class Asset(Part, frozen=True, kw_only=True):
    """A thing with an identity that survives a new scan and another collector.

    `strength` is that of its best occurrence. `fact` is the observation itself; where two observations of one identity
    differ, the strongest is kept and the difference is listed in `conflicts`.
    """

    id: str
    name: str
    verdict: Verdict
    strength: Strength
    fact: Fact
    occurrences: tuple[Occurrence, ...]
    conflicts: tuple[str, ...] = ()


class OwnershipGap(Part, frozen=True, kw_only=True):
    """A layer of a system or segment that nobody owns: work to be done. `assets` were found in that system."""

    noun: str
    id: str
    layer: Layer
    assets: Count = 0


class PlaceState(StrEnum):
    """Whether cryptography was looked for in one kind of place."""

    COVERED = "covered"
    PARTLY = "partly"
    NOT_LOOKED_AT = "not-looked-at"
    NOT_DECLARED = "not-declared"
    NONE_DECLARED = "none-declared"


class PlaceLine(Part, frozen=True, kw_only=True):
    """How far one kind of place was looked at (mission row M2). `missing` names what was not, in words."""

    place: Place
    state: PlaceState
    systems: Count
    targets: Count
    answered: Count
    missing: tuple[str, ...] = ()


class SystemView(Part, frozen=True, kw_only=True):
    """What the inventory knows of one system: its assets, and how many of its targets answered."""

    system: str
    assets: tuple[str, ...]
    targets: Count
    answered: Count


class Inventory(Document, frozen=True, kw_only=True, tag="inventory"):
    """The assets, where each occurs, what has no owner, and which places were looked at.

    `stand_ins` as in the observations.
    """

    stand_ins: tuple[str, ...] = ()
    assets: tuple[Asset, ...]
    systems: tuple[SystemView, ...]
    ownership_gaps: tuple[OwnershipGap, ...]
    places: tuple[PlaceLine, ...] = ()
