"""A fibre network as a topology is planned on it: places, fibres, and who needs how much key. From any source."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from keystrand.model.document import Part
from keystrand.model.planning import Protection
from keystrand.model.units import Answer, Latitude, Longitude

NodeName = Annotated[str, Meta(min_length=1, max_length=128)]


class Access(StrEnum):
    """How a place is entered, which a trusted node there is priced by."""

    STAFFED = "staffed"
    UNSTAFFED = "unstaffed"
    FOREIGN = "foreign"


class NetworkNode(Part, frozen=True, kw_only=True):
    """A place where fibres end. `may_relay`: whether a trusted node may stand there; unknown is not yes.

    `access`: the organisation's own with people all day, its own without, or another's. `region` and `zone` are empty
    where the source does not tell.
    """

    id: NodeName
    latitude: Latitude
    longitude: Longitude
    may_relay: Answer = Answer.YES
    access: Access = Access.STAFFED
    region: str = ""
    zone: str = ""


class NetworkFibre(Part, frozen=True, kw_only=True):
    """A dark fibre between two places. `loss_db`: of the glass from end to end. `may_split`: huts may stand on it."""

    id: NodeName
    a: NodeName
    b: NodeName
    length_km: Annotated[float, Meta(gt=0, le=20_000)]
    loss_db: Annotated[float, Meta(ge=0)]
    may_split: bool = True


class KeyNeed(Part, frozen=True, kw_only=True):
    """Two places that need keys, at the peak. `regions` and `zones` (empty: any) say where a relay may stand."""

    id: NodeName
    a: NodeName
    b: NodeName
    bits_per_s: Annotated[float, Meta(gt=0)]
    protection: Protection = Protection.NODE
    regions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()

    def allows(self, node: NetworkNode) -> bool:
        """Return whether the keys may be in the clear in the region and zone of `node`."""
        return (not self.regions or node.region in self.regions) and (not self.zones or node.zone in self.zones)

    def trusts(self, node: NetworkNode) -> bool:
        """Return whether `node` may relay these keys: a trusted node may stand there, and they may be there."""
        return node.may_relay is Answer.YES and self.allows(node)

    @property
    def paths(self) -> int:
        """Return how many ways the keys take at the same time."""
        return 1 if self.protection is Protection.NONE else 2


class FibreNetwork(Part, frozen=True, kw_only=True):
    """Places, fibres and needs; `questions` name what the source does not tell, `left_out` what cannot be used."""

    name: str
    nodes: tuple[NetworkNode, ...]
    fibres: tuple[NetworkFibre, ...]
    needs: tuple[KeyNeed, ...] = ()
    questions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
