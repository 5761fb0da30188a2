"""An estate as the rules ask it, segment by segment: what stands where is looked up once for all of them."""

from collections import defaultdict
from typing import NamedTuple

from keystrand.model.estate import DataClass, Estate, Segment, Site, System


class Ground(NamedTuple):
    """Sites and classes of data by id, and the systems on each segment."""

    estate: Estate
    sites: dict[str, Site]
    classes: dict[str, DataClass]
    on_segment: dict[str, list[System]]

    def users(self, segment: Segment) -> list[System]:
        """Return the systems that use `segment`."""
        return self.on_segment.get(segment.id, [])

    def carried(self, segment: Segment) -> list[tuple[System, DataClass]]:
        """Return every system that uses `segment` with each class of data it carries."""
        return [(system, self.classes[name]) for system in self.users(segment) for name in system.data_classes]


def ground_of(estate: Estate) -> Ground:
    """Return `estate` with its systems found by segment."""
    on_segment: dict[str, list[System]] = defaultdict(list)
    for system in estate.system:
        for name in dict.fromkeys(system.segments):
            on_segment[name].append(system)
    return Ground(
        estate, {site.id: site for site in estate.site}, {one.id: one for one in estate.data_class}, dict(on_segment)
    )
