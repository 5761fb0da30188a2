"""Design a quantum network on the fibres there are: which carry QKD, where trusted nodes and bypasses go."""

import math
from datetime import date, datetime
from typing import NamedTuple

from keystrand.formats.wording import joined
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.errors import KeystrandError
from keystrand.model.network import Access, FibreNetwork
from keystrand.model.observation import Outcome
from keystrand.model.stages.designed import (
    BuiltLink,
    Ended,
    KeyRoute,
    Optics,
    Range,
    Tariff,
    TopologyDesign,
    Unserved,
)
from keystrand.model.stages.judged import Assumption
from keystrand.plan.topology_greedy import Layout
from keystrand.plan.topology_links import Link, Problem, Variant, candidate_links, cheapest, problem_of
from keystrand.plan.topology_optics import rate_of, words_of
from keystrand.plan.topology_reasons import unserved_alone
from keystrand.plan.topology_search import Found, Limits, search
from keystrand.plan.topology_solver import solver_name
from keystrand.plan.topology_verify import CHECKS, faults


class Head(NamedTuple):
    """What the document says of its making."""

    as_of: date
    created_at: datetime
    tool_version: str
    made_from: tuple[InputRef, ...]
    assumptions: tuple[Assumption, ...] = ()


def design_topology(
    network: FibreNetwork, optics: Optics, tariff: Tariff, limits: Limits, head: Head
) -> TopologyDesign:
    """Return the cheapest design found for all needs that can be served, checked by a verifier of its own.

    Raises `KeystrandError` where the verifier finds a fault: such a design is never handed out.
    """
    rate = rate_of(optics.rate)
    links = candidate_links(network, optics, tariff, rate)
    needs, unserved = unserved_alone(network, links, optics, tariff)
    problem = problem_of(network, needs, links, optics, tariff)
    found = search(problem, limits) if needs else Found(Layout({}), 0.0, 0.0, Layout({}), Ended.PROVEN)
    full = tuple(
        Unserved(need=need.id, reason="no room was found for it beside the others", next_step="allow more systems on a "
                 "fibre, ask for less, or give the search more time")
        for n, need in enumerate(needs) if n not in found.layout.routes
    )  # fmt: skip
    design = _document(network, problem, found, (*unserved, *full), optics, tariff, limits.seed, head)
    if wrong := faults(design, rate):
        raise KeystrandError(
            f"the design was found and then refused by its verifier: {joined(wrong, most=3)}",
            hint="this is a defect of keystrand: report it with the network; nothing was written",
        )
    return design


def _document(
    network: FibreNetwork,
    problem: Problem,
    found: Found,
    unserved: tuple[Unserved, ...],
    optics: Optics,
    tariff: Tariff,
    seed: int,
    head: Head,
) -> TopologyDesign:
    built = _built(problem, found.layout)
    relays = sorted(found.layout.relays(problem))
    cost = _cost(network, built, relays, tariff)
    bound = max(0.0, min(math.floor(found.bound * 10) / 10, cost.likely))
    gap = (cost.likely - bound) / cost.likely if cost.likely else 0.0
    first = {n: paths for n, paths in found.first.routes.items() if n in found.layout.routes}
    return TopologyDesign(
        format_version=FORMAT_VERSION,
        tool_version=head.tool_version,
        as_of=head.as_of,
        created_at=head.created_at,
        made_from=head.made_from,
        seed=seed,
        coverage=_coverage(network, unserved),
        network=network,
        optics=optics,
        tariff=tariff,
        links=built,
        relays=tuple(relays),
        routes=_routes(problem, found.layout),
        unserved=unserved,
        cost=cost,
        bound=bound,
        gap=0.0 if found.ended is Ended.PROVEN else round(gap, 4),
        greedy_cost=round(Layout(first).cost(problem), 1),
        greedy_serves=len(first),
        ended=found.ended,
        solver=solver_name(),
        checks=CHECKS,
        assumptions=(*_assumptions(optics, tariff, found.ended), *head.assumptions),
    )


def _built(problem: Problem, layout: Layout) -> tuple[BuiltLink, ...]:
    made = []
    for number, load in sorted(layout.loads(problem).items()):
        link = problem.links[number]
        found = cheapest(link, load, problem.most_systems)
        counts = found[1] if found else ()
        made += [_link(link, variant, n) for n, variant in zip(counts, link.variants, strict=False) if n]
    return tuple(made)


def _link(link: Link, variant: Variant, systems: int) -> BuiltLink:
    return BuiltLink(
        a=link.a,
        b=link.b,
        fibres=link.fibres,
        bypassed=link.bypassed,
        spans=variant.spans,
        systems=systems,
        span_loss_db=round(variant.span_loss_db, 3),
        rate_bits_per_s=round(systems * variant.rate_bits_per_s, 1),
    )


def _routes(problem: Problem, layout: Layout) -> tuple[KeyRoute, ...]:
    return tuple(
        KeyRoute(
            need=problem.needs[number].id,
            places=(path[0][1], *(end for _, _, end in path)),
            fibres=tuple(problem.links[link].fibres for link, _, _ in path),
        )
        for number, paths in sorted(layout.routes.items())
        for path in paths
    )


def _cost(network: FibreNetwork, built: tuple[BuiltLink, ...], relays: list[str], tariff: Tariff) -> Range:
    length = {fibre.id: fibre.length_km for fibre in network.fibres}
    access = {node.id: node.access for node in network.nodes}
    pairs = sum(link.systems * link.spans for link in built)
    huts = sum(link.spans - 1 for link in built)
    km = sum(link.systems * length[name] for link in built for name in link.fibres)
    counts = (
        (pairs, tariff.pair),
        (huts, tariff.hut),
        (km, tariff.fibre_km),
        (len(relays), tariff.node),
        (sum(access[name] is Access.UNSTAFFED for name in relays), tariff.unstaffed),
        (sum(access[name] is Access.FOREIGN for name in relays), tariff.foreign),
    )
    low, likely, high = (
        round(sum(count * getattr(price, end) for count, price in counts), 1) for end in ("low", "likely", "high")
    )
    return Range(low=low, likely=likely, high=high)


def _coverage(network: FibreNetwork, unserved: tuple[Unserved, ...]) -> Coverage:
    gaps = [Gap(what=f"need {one.need}", outcome=Outcome.NONE, reason=one.reason) for one in unserved]
    gaps += [Gap(what="question", outcome=Outcome.NONE, reason=question) for question in network.questions]
    gaps += [Gap(what="left out", outcome=Outcome.NONE, reason=what) for what in network.left_out]
    looked_at = len(network.needs)
    return Coverage(unit="need", looked_at=looked_at, answered=looked_at - len(unserved), gaps=tuple(gaps))


_ENDS = {
    Ended.PROVEN: "the optimum was proven, to one in ten thousand",
    Ended.ROUNDS: "the rounds were over; the same inputs give the same design",
    Ended.TIME: "the time was over: another run may find another design",
    Ended.STOPPED: "somebody stopped it: this is the best design so far",
}


def _assumptions(optics: Optics, tariff: Tariff, ended: Ended) -> tuple[Assumption, ...]:
    rate, source = words_of(optics.rate)
    ours = "assumed by keystrand, to be replaced by the organisation's own figures"
    spans = (
        f"at most {optics.most_db:g} dB; {optics.added_db:g} dB added to each, {optics.bypass_db:g} dB to each bypass"
    )
    return (
        Assumption(name="key rate of a span", value=rate, source=source),
        Assumption(name="spans", value=spans, source=ours),
        Assumption(name="systems on a fibre", value=f"at most {optics.most_systems}", source=ours),
        Assumption(
            name="prices", value=f"{tariff.verification}, in thousands of {tariff.currency}; only ratios between "
            "designs matter", source=tariff.source
        ),
        Assumption(
            name="failures", value="one fibre or one place at a time. Fibres in one duct, and places of one operator, "
            "may fail together: that is not modelled", source="keystrand, method of the topology"
        ),
        Assumption(
            name="trusted nodes", value="every relay and hut sees the keys it passes on; a bypassed place sees none",
            source="keystrand, method of the topology"
        ),
        Assumption(name="end of the search", value=_ENDS[ended], source="keystrand, method of the topology"),
    )  # fmt: skip
