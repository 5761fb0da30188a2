"""Judge a design again, from the network alone: nothing here is shared with what made it.

Every fact is counted anew from the fibres: loss and rate of each system, systems on each fibre, the keys on each link,
who sees them, and, by taking away every fibre and every place in turn, who still gets keys.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from keystrand.model.network import Access, FibreNetwork, KeyNeed, NetworkFibre
from keystrand.model.planning import Protection
from keystrand.model.stages.designed import BuiltLink, KeyRoute, Range, TopologyDesign
from keystrand.model.units import Answer

CHECKS = (
    "every system is on fibres that join its ends, within the loss that a span may have",
    "every system's rate is what its loss gives",
    "no fibre carries more systems than it may",
    "every route is an unbroken chain of built links from end to end",
    "the keys on every link are no more than its systems make at the peak",
    "every place that relays may be a trusted node, in the regions and zones that the need allows",
    "after the loss of any one fibre, or of any one place, each need that must survive it has a whole route left",
    "each need is served or told as unserved, and the cost is the sum of what is built",
)
_SLACK = 1e-6


def faults(design: TopologyDesign, rate: Callable[[float], float]) -> tuple[str, ...]:
    """Return everything that is wrong with `design`; `rate` gives bit/s by loss in dB."""
    made = (_links(design, rate), _fibres(design), _routes(design), _loads(design), _trust(design), _failures(design),
            _sums(design))  # fmt: skip
    return tuple(one for some in made for one in some)


def _name(link: BuiltLink) -> str:
    return f"link {link.a} - {link.b} over {', '.join(link.fibres)}"


def _chain(network: FibreNetwork, link: BuiltLink) -> list[NetworkFibre] | None:
    """Return the fibres of a link where they join its ends through the places it says it passes."""
    known = {fibre.id: fibre for fibre in network.fibres}
    if not link.fibres or any(name not in known for name in link.fibres):
        return None
    stops = (link.a, *link.bypassed, link.b)
    some = [known[name] for name in link.fibres]
    if len(stops) != len(some) + 1:
        return None
    joined = all({f.a, f.b} == set(ends) for f, ends in zip(some, pairwise(stops), strict=True))
    return some if joined else None


def _links(design: TopologyDesign, rate: Callable[[float], float]) -> Iterator[str]:
    optics = design.optics
    for link in design.links:
        some = _chain(design.network, link)
        if some is None:
            yield f"{_name(link)}: its fibres do not join its ends"
            continue
        huts = link.spans - 1
        if link.spans < 1 or link.systems < 1 or (huts and (len(some) > 1 or not some[0].may_split)):
            yield f"{_name(link)}: {link.systems} systems in {link.spans} spans cannot stand there"
            continue
        loss = sum(f.loss_db for f in some) / link.spans + optics.added_db + optics.bypass_db * len(link.bypassed)
        if loss > optics.most_db + _SLACK or not math.isclose(loss, link.span_loss_db, rel_tol=1e-3):
            yield f"{_name(link)}: a span has {loss:.4g} dB"
        if not math.isclose(link.rate_bits_per_s, link.systems * rate(loss), rel_tol=1e-3):
            yield f"{_name(link)}: {link.systems} systems make {link.systems * rate(loss):.4g} bit/s"


def _fibres(design: TopologyDesign) -> Iterator[str]:
    on = Counter[str]()
    for link in design.links:
        for name in link.fibres:
            on[name] += link.systems
    for name, systems in sorted(on.items()):
        if systems > design.optics.most_systems:
            yield f"fibre {name} carries {systems} systems"


Hop = tuple[frozenset[str], tuple[str, ...]]


def _hop(a: str, b: str, fibres: tuple[str, ...]) -> Hop:
    return frozenset((a, b)), tuple(sorted(fibres))


def _hops(route: KeyRoute) -> list[Hop]:
    return [_hop(a, b, over) for (a, b), over in zip(pairwise(route.places), route.fibres, strict=False)]


def _built(design: TopologyDesign) -> dict[Hop, list[BuiltLink]]:
    made: dict[Hop, list[BuiltLink]] = {}
    for link in design.links:
        made.setdefault(_hop(link.a, link.b, link.fibres), []).append(link)
    return made


def _needs(design: TopologyDesign) -> dict[str, KeyNeed]:
    return {need.id: need for need in design.network.needs}


def _routes(design: TopologyDesign) -> Iterator[str]:
    built, needs = _built(design), _needs(design)
    for route in design.routes:
        need = needs.get(route.need)
        if need is None or len(route.places) != len(route.fibres) + 1 or len(set(route.places)) < len(route.places):
            yield f"a route for {route.need} is no path"
        elif {route.places[0], route.places[-1]} != {need.a, need.b}:
            yield f"a route for {route.need} does not join its ends"
        for hop in _hops(route):
            if hop not in built:
                yield f"a route for {route.need} goes over {', '.join(hop[1])}, where nothing is built"


def _loads(design: TopologyDesign) -> Iterator[str]:
    """Yield links with too little rate: in all, and without huts for what may not be in the clear in them."""
    built, needs = _built(design), _needs(design)
    loads, apart = Counter[Hop](), Counter[Hop]()
    nodes = {node.id: node for node in design.network.nodes}
    for route in design.routes:
        for hop in _hops(route):
            if need := needs.get(route.need):
                loads[hop] += need.bits_per_s  # type: ignore[assignment] # Counter counts whatever adds
                if not all(name in nodes and need.allows(nodes[name]) for name in hop[0]):
                    apart[hop] += need.bits_per_s  # type: ignore[assignment] # as above
    for kind, asked in (("", loads), (" without huts", apart)):
        for hop, load in asked.items():
            links = [k for k in built.get(hop, ()) if not kind or k.spans == 1]
            if load > sum(k.rate_bits_per_s for k in links) * (1 + _SLACK):
                yield f"over {', '.join(hop[1])} go {load:.4g} bit/s, more than its systems make{kind}"


def _trust(design: TopologyDesign) -> Iterator[str]:
    nodes, needs, seen = {node.id: node for node in design.network.nodes}, _needs(design), set[str]()
    for route in design.routes:
        need = needs.get(route.need)
        for name in route.places[1:-1]:
            seen.add(name)
            node = nodes.get(name)
            if node is None or need is None or node.may_relay is not Answer.YES:
                yield f"{name} relays keys of {route.need} and may not be a trusted node"
            elif (need.regions and node.region not in need.regions) or (need.zones and node.zone not in need.zones):
                yield f"{name} relays keys of {route.need} outside its regions or zones"
    if seen != set(design.relays):
        yield f"the places that relay are {', '.join(sorted(seen)) or 'none'}"


def _passes(design: TopologyDesign, route: KeyRoute) -> tuple[set[str], set[str]]:
    """Return the fibres and the places, those bypassed ones included, that a route lives by; not its ends."""
    built = _built(design)
    fibres = {name for over in route.fibres for name in over}
    bypassed = {name for hop in _hops(route) for link in built.get(hop, ())[:1] for name in link.bypassed}
    return fibres, set(route.places[1:-1]) | bypassed


def _failures(design: TopologyDesign) -> Iterator[str]:
    lives = [(route.need, *_passes(design, route)) for route in design.routes]
    unserved = {one.need for one in design.unserved}
    cuts = [("fibre", fibre.id) for fibre in design.network.fibres] + [("place", n.id) for n in design.network.nodes]
    for need in design.network.needs:
        own = [(fibres, places) for name, fibres, places in lives if name == need.id]
        if need.id in unserved or need.protection is Protection.NONE:
            continue
        for kind, name in cuts:
            if kind == "place" and (need.protection is not Protection.NODE or name in (need.a, need.b)):
                continue
            if not any(name not in (fibres if kind == "fibre" else places) for fibres, places in own):
                yield f"{need.id} gets no keys after the loss of the {kind} {name}"
                break


def _sums(design: TopologyDesign) -> Iterator[str]:
    served, unserved = {route.need for route in design.routes}, {one.need for one in design.unserved}
    for need in design.network.needs:
        if (need.id in served) == (need.id in unserved):
            yield f"{need.id} is not either served or told as unserved"
    cost = _cost(design)
    if not math.isclose(cost, design.cost.likely, rel_tol=1e-3, abs_tol=0.1):
        yield f"what is built costs {cost:.1f}, not {design.cost.likely:.1f}"
    if design.bound > design.cost.likely * (1 + 1e-3) + 0.1:
        yield f"the bound {design.bound:.1f} is above the cost {design.cost.likely:.1f}"


def _cost(design: TopologyDesign) -> float:
    tariff, length = design.tariff, {fibre.id: fibre.length_km for fibre in design.network.fibres}
    total = 0.0
    for link in design.links:
        km = sum(length.get(name, math.inf) for name in link.fibres)
        total += link.systems * (link.spans * tariff.pair.likely + km * tariff.fibre_km.likely)
        total += (link.spans - 1) * tariff.hut.likely
    nodes = {node.id: node for node in design.network.nodes}
    more: dict[Access, Range] = {Access.UNSTAFFED: tariff.unstaffed, Access.FOREIGN: tariff.foreign}
    for name in design.relays:
        access = nodes[name].access if name in nodes else Access.STAFFED
        total += tariff.node.likely + (more[access].likely if access in more else 0.0)
    return total
