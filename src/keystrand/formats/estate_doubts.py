"""What is possible in a sound estate but unlikely: shown to its author, never a reason to stop."""

from collections.abc import Iterator

from keystrand.formats.decode import Fault
from keystrand.model.estate import Estate, Purpose, Segment, SegmentReach, Site
from keystrand.model.units import Answer

SOLID_FIBRE_LOSS_LEAST_DB_PER_KM = 0.139
"""Below any solid core: 0.1397 dB/km (Sato et al., OFC 2024, Tu2E.1)."""
PLAUSIBLE_LOSS_MOST_DB_PER_KM = 1.0
"""More than twice what ITU-T G.652 allows a cable at any wavelength in use; beyond it splices or the unit are wrong."""
FIXED_LOSS_DB = 3.0
"""What patch panels and connectors may add to a segment of any length, some 0.5 dB each (our allowance)."""
METRO_MOST_KM = 150.0
"""Beyond the farthest span that fielded quantum hardware covers without a node, some 100 to 150 km."""
LONG_HAUL_LEAST_KM = 40.0
"""Shorter than this, one span of any quantum hardware covers it."""


def doubts_of(estate: Estate) -> list[Fault]:
    """Return what a reader of a sound `estate` should look at again."""
    sites = {site.id: site for site in estate.site}
    doubts = [
        fault._replace(path=("segment", n, *fault.path))
        for n, segment in enumerate(estate.segment)
        for judge in (_loss_doubts, _reach_doubts, lambda s: _node_doubts(s, sites), _research_doubts)
        for fault in judge(segment)
    ]
    for n, system in enumerate(estate.system):
        if system.retires and system.refresh and system.retires < system.refresh:
            doubts.append(
                Fault(("system", n, "refresh"), "the refresh comes after the system retires", "is one date wrong?")
            )
    return doubts


def _loss_doubts(segment: Segment) -> Iterator[Fault]:
    field = ("loss_db",) if segment.loss_db is not None else ("loss_db_per_km",)
    per_km = segment.total_loss_db / segment.length_km
    if per_km < SOLID_FIBRE_LOSS_LEAST_DB_PER_KM:
        yield Fault(field, f"{per_km:.3g} dB/km is below any solid-core fibre", "is it hollow-core fibre?")
    if segment.total_loss_db > PLAUSIBLE_LOSS_MOST_DB_PER_KM * segment.length_km + FIXED_LOSS_DB:
        yield Fault(field, f"{per_km:.3g} dB/km is much", "check the unit, or have splices and connectors measured")


def _reach_doubts(segment: Segment) -> Iterator[Fault]:
    if segment.reach is SegmentReach.METRO and segment.length_km > METRO_MOST_KM:
        yield Fault(("reach",), f"{segment.length_km:g} km is far for a metro segment", 'is it "long-haul"?')
    if segment.reach is SegmentReach.LONG_HAUL and segment.length_km < LONG_HAUL_LEAST_KM:
        yield Fault(("reach",), f"{segment.length_km:g} km is near for a long-haul segment", 'is it "metro"?')


def _node_doubts(segment: Segment, sites: dict[str, Site]) -> Iterator[Fault]:
    answer = segment.quantum.trusted_nodes
    if segment.via and answer is Answer.UNKNOWN:
        yield Fault(("quantum", "trusted_nodes"), "unknown, though sites on the way are named",
                    'answer "yes" or "no" once the owner of the risk has decided')  # fmt: skip
    if answer is Answer.YES and segment.quantum.accepted_by is None:
        yield Fault(("quantum", "accepted_by"), "trusted nodes are accepted, but by nobody",
                    "name the owner who accepts that the nodes see every key")  # fmt: skip
    if answer is not Answer.NO:
        for n, name in enumerate(segment.via):
            if sites[name].controlled is not Answer.YES:
                yield Fault(("via", n), f"{name!r} could hold a trusted node, but you do not control who enters",
                            "plan on your own cage and alarms there, or choose another site")  # fmt: skip


def _research_doubts(segment: Segment) -> Iterator[Fault]:
    if segment.purpose is Purpose.RESEARCH and segment.programme is None:
        yield Fault(("programme",), "research, but within no programme", "name the programme that pays and ends it")
