"""What can be built: every fibre by itself, in spans with huts between, and two with a bypass where they meet."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from keystrand.model.network import Access, FibreNetwork, KeyNeed, NetworkFibre, NetworkNode
from keystrand.model.stages.designed import Optics, Tariff

Rate = Callable[[float], float]
"""The key rate in bit/s of a span with so much loss in dB, everything counted."""
_SPARE_SPANS = 2
"""Beside the fewest spans that reach, one more: a hut more may cost less than a second system."""
_MOST_SPANS = 200


class Variant(NamedTuple):
    """A link in so many spans: the loss of each in dB, bit/s of a system, thousands for each system and once."""

    spans: int
    span_loss_db: float
    rate_bits_per_s: float
    each: float
    once: float


class Link(NamedTuple):
    """Two places that quantum systems can join: the fibres in between, the places passed, and the variants."""

    a: str
    b: str
    fibres: tuple[str, ...]
    bypassed: tuple[str, ...]
    variants: tuple[Variant, ...]

    @property
    def has_huts(self) -> bool:
        """Return whether a system here may need a hut, where keys are in the clear."""
        return any(variant.spans > 1 for variant in self.variants)


def candidate_links(network: FibreNetwork, optics: Optics, tariff: Tariff, rate: Rate) -> tuple[Link, ...]:
    """Return all links within reach. Where a need says where relays may stand, variants with huts are links apart."""
    apart = any(need.regions or need.zones for need in network.needs)
    made = [link for fibre in network.fibres for link in _on_one(fibre, optics, tariff, rate, apart=apart)]
    at: dict[str, list[NetworkFibre]] = defaultdict(list)
    for fibre in network.fibres:
        at[fibre.a].append(fibre)
        at[fibre.b].append(fibre)
    for node in network.nodes:
        for one, two in combinations(at[node.id], 2):
            made += _bypassing(node.id, one, two, optics, tariff, rate)
    return tuple(made)


def _on_one(fibre: NetworkFibre, optics: Optics, tariff: Tariff, rate: Rate, *, apart: bool) -> list[Link]:
    variants: list[Variant] = []
    for spans in range(1, _MOST_SPANS if fibre.may_split else 2):
        loss = fibre.loss_db / spans + optics.added_db
        if loss <= optics.most_db and (made := rate(loss)) > 0:
            each = spans * tariff.pair.likely + fibre.length_km * tariff.fibre_km.likely
            variants.append(Variant(spans, loss, made, each, (spans - 1) * tariff.hut.likely))
        if len(variants) == _SPARE_SPANS:
            break
    sets = [variants[:1], variants[1:]] if apart and variants and variants[0].spans == 1 else [variants]
    return [Link(fibre.a, fibre.b, (fibre.id,), (), tuple(some)) for some in sets if some]


def _bypassing(
    node: str, one: NetworkFibre, two: NetworkFibre, optics: Optics, tariff: Tariff, rate: Rate
) -> list[Link]:
    a, b = (fibre.b if fibre.a == node else fibre.a for fibre in (one, two))
    loss = one.loss_db + two.loss_db + optics.added_db + optics.bypass_db
    if a == b or loss > optics.most_db or (made := rate(loss)) <= 0:
        return []
    each = tariff.pair.likely + (one.length_km + two.length_km) * tariff.fibre_km.likely
    return [Link(a, b, (one.id, two.id), (node,), (Variant(1, loss, made, each, 0.0),))]


def node_price(node: NetworkNode, tariff: Tariff) -> float:
    """Return what a trusted node at `node` costs by how the place is entered."""
    more = {Access.STAFFED: 0.0, Access.UNSTAFFED: tariff.unstaffed.likely, Access.FOREIGN: tariff.foreign.likely}
    return tariff.node.likely + more[node.access]


def cheapest(link: Link, load: float, most: int) -> tuple[float, tuple[int, ...]] | None:
    """Return cost and number of systems of each variant that carry `load` bit/s; None where `most` are not enough."""
    if load <= 0:
        return 0.0, (0,) * len(link.variants)
    best: tuple[float, tuple[int, ...]] | None = None
    first, *rest = link.variants
    for n in range(most + 1) if rest else [math.ceil(load / first.rate_bits_per_s - 1e-9)]:
        left = load - n * first.rate_bits_per_s
        m = max(0, math.ceil(left / rest[0].rate_bits_per_s - 1e-9)) if rest else 0
        if n + m > most:
            continue
        counts = (n, m) if rest else (n,)
        cost = sum(k * v.each + (v.once if k else 0.0) for k, v in zip(counts, link.variants, strict=True))
        if best is None or cost < best[0]:
            best = cost, counts
    return best


class Problem(NamedTuple):
    """What is to be solved: links by number, places by name, and which links each need may use, in which direction."""

    nodes: dict[str, NetworkNode]
    links: tuple[Link, ...]
    needs: tuple[KeyNeed, ...]
    node_cost: dict[str, float]
    most_systems: int
    arcs: tuple[tuple[tuple[int, str, str], ...], ...]
    """For each need: (link, from, to) of every step that it may take."""


def problem_of(network: FibreNetwork, needs: Sequence[KeyNeed], links: Sequence[Link], optics: Optics,
               tariff: Tariff) -> Problem:  # fmt: skip
    """Return the problem of serving `needs` over `links`."""
    nodes = {node.id: node for node in network.nodes}
    return Problem(
        nodes,
        tuple(links),
        tuple(needs),
        {name: node_price(node, tariff) for name, node in nodes.items()},
        optics.most_systems,
        tuple(_arcs(need, links, nodes) for need in needs),
    )


def _arcs(need: KeyNeed, links: Sequence[Link], nodes: dict[str, NetworkNode]) -> tuple[tuple[int, str, str], ...]:
    trusted = {name for name, node in nodes.items() if need.trusts(node)} | {need.a, need.b}
    made = []
    for number, link in enumerate(links):
        if need.a in link.bypassed or need.b in link.bypassed or not {link.a, link.b} <= trusted:
            continue
        if link.has_huts and not (need.allows(nodes[link.a]) and need.allows(nodes[link.b])):
            continue
        made += [
            (number, start, end)
            for start, end in ((link.a, link.b), (link.b, link.a))
            if start != need.b and end != need.a
        ]
    return tuple(made)
