"""The fibre network of an estate: its segments span by span, and what its sites need."""

from collections.abc import Collection, Iterator
from itertools import pairwise

from keystrand.formats.estate_checks import great_circle_km
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Continuity, Estate, Purpose, Segment, Site
from keystrand.model.network import Access, FibreNetwork, KeyNeed, NetworkFibre, NetworkNode
from keystrand.model.planning import Protection
from keystrand.model.units import Answer


def network_of(estate: Estate, segments: Collection[str] | None = None) -> FibreNetwork:
    """Return the network of an estate. `segments`: those whose own demand counts, all where None.

    Demands of the estate count where there are any, else what its segments say. Raises `InvalidInput` where it has no
    dark fibre, or nothing needs a key.
    """
    usable = [s for s in estate.segment if _why_not(s) is None]
    left_out = tuple(f"segment {s.id}: {why}" for s in estate.segment if (why := _why_not(s)))
    if not usable:
        raise InvalidInput(
            "the estate has no dark fibre that a quantum link could use"
            + (f": {'; '.join(left_out)}" if left_out else ""),
            hint='add a [[segment]] with dark_fibre = "yes", or ask the carrier for one',
        )
    needs = tuple(_demands(estate)) or tuple(_segment_needs(estate, segments))
    if not needs:
        raise InvalidInput(
            "nothing in the estate says who needs keys",
            hint="add a [[demand]] with a, b and bits_per_s, or key_demand_bits_per_s to a segment",
        )
    sites = {site.id: site for site in estate.site}
    return FibreNetwork(
        name=estate.organisation.name,
        nodes=tuple(_node(site) for site in estate.site),
        fibres=tuple(fibre for s in usable for fibre in _fibres(s, sites)),
        needs=needs,
        questions=tuple(_questions(estate)),
        left_out=left_out,
    )


def _why_not(segment: Segment) -> str | None:
    if segment.purpose is Purpose.RESEARCH:
        return "it is for research, and carries no keys for production"
    if segment.dark_fibre is Answer.NO:
        return "there is no dark fibre"
    if segment.dark_fibre is Answer.UNKNOWN:
        return "it is not known whether there is a dark fibre"
    return None if segment.total_loss_db > 0 else "the loss of the fibre is not known"


def _may_relay(site: Site) -> Answer:
    """Return whether a trusted node may stand at a site: as it says, else where only we decide who enters."""
    if site.may_host_node is not Answer.UNKNOWN:
        return site.may_host_node
    return site.controlled


def _node(site: Site) -> NetworkNode:
    own = Access.STAFFED if site.staffed is Answer.YES else Access.UNSTAFFED
    return NetworkNode(
        id=site.id,
        latitude=site.latitude,
        longitude=site.longitude,
        may_relay=_may_relay(site),
        access=own if site.controlled is Answer.YES else Access.FOREIGN,
        region=site.region,
        zone=site.trust_zone,
    )


def _fibres(segment: Segment, sites: dict[str, Site]) -> Iterator[NetworkFibre]:
    """Yield a fibre for every span; length and loss are shared out by the distance between the sites, or evenly."""
    stops = (segment.a, *segment.via, segment.b)
    distances = [great_circle_km(sites[a], sites[b]) for a, b in pairwise(stops)]
    total = sum(distances)
    for n, (a, b) in enumerate(pairwise(stops)):
        share = distances[n] / total if total else 1 / segment.spans
        yield NetworkFibre(
            id=segment.id if segment.spans == 1 else f"{segment.id}/{n + 1}",
            a=a,
            b=b,
            length_km=max(share * segment.length_km, 0.01),
            loss_db=share * segment.total_loss_db,
            may_split=segment.quantum.trusted_nodes is Answer.YES and segment.quantum.accepted_by is not None,
        )


def _demands(estate: Estate) -> Iterator[KeyNeed]:
    for demand in estate.demand:
        yield KeyNeed(
            id=demand.id,
            a=demand.a,
            b=demand.b,
            bits_per_s=demand.peak_bits_per_s or demand.bits_per_s,
            protection=demand.protection,
            regions=demand.regions,
            zones=demand.zones,
        )


def _segment_needs(estate: Estate, segments: Collection[str] | None) -> Iterator[KeyNeed]:
    for s in estate.segment:
        if s.key_demand_bits_per_s > 0 and s.purpose is Purpose.PRODUCTION and (segments is None or s.id in segments):
            waits = s.continuity is Continuity.MAY_WAIT
            yield KeyNeed(
                id=s.id,
                a=s.a,
                b=s.b,
                bits_per_s=s.key_demand_bits_per_s,
                protection=Protection.NONE if waits else Protection.NODE,
            )


def _questions(estate: Estate) -> Iterator[str]:
    for site in estate.site:
        if _may_relay(site) is Answer.UNKNOWN:
            yield f"site {site.id}: may a trusted node stand there (may_host_node, controlled)?"
    for segment in estate.segment:
        if segment.dark_fibre is Answer.UNKNOWN:
            yield f"segment {segment.id}: is there a dark fibre (dark_fibre)?"
