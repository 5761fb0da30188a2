"""Design the quantum network of an estate, or of a network that the user brings."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from keystrand import __version__
from keystrand.app.documents import FILES, load, now, require_estate, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.catalogue import beside, positions
from keystrand.edge.files import read_bytes, sha256_hex, write_atomic
from keystrand.edge.solver_thread import in_thread, without_stdout
from keystrand.edge.topology_tariffs import placeholder_tariff, tariff_of
from keystrand.formats.charts_topology import topology_map
from keystrand.formats.network_geojson import geojson_of
from keystrand.formats.network_graphml import graphml_of
from keystrand.formats.networks import network_from
from keystrand.formats.wording import counted
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, PolicyDenied
from keystrand.model.network import FibreNetwork
from keystrand.model.planning import Protection
from keystrand.model.policy import Technique
from keystrand.model.stages import Plan
from keystrand.model.stages.designed import RateModel, TopologyDesign
from keystrand.model.stages.judged import Assumption
from keystrand.model.stages.weighed import Approach
from keystrand.model.units import Answer
from keystrand.plan import topology_solver
from keystrand.plan.positions import gates
from keystrand.plan.topology import Head, design_topology
from keystrand.plan.topology_estate import network_of
from keystrand.plan.topology_needs import busiest, named
from keystrand.plan.topology_optics import FIBRE_DB_PER_KM, optics_of
from keystrand.plan.topology_search import Limits

Row = dict[str, Any]
Told = Callable[[str, float, float], None]
_QUANTUM = (Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE, Approach.HYBRID)


class Options(NamedTuple):
    """How a design is made. `systems`: the most on one fibre; `told`: hears stage, cost and bound."""

    rate: RateModel
    systems: int
    seconds: float
    rounds: int
    seed: int
    told: Told


class Network(NamedTuple):
    """A network file of the user's, and which needs it gets."""

    path: Path
    demands: int
    named: Sequence[str]
    protection: Protection


def estate_topology(opened: OpenEstate, out: Path, options: Options, *, as_of: date) -> TopologyDesign:
    """Design the network of an estate and write it into `out`; a plan that is there says which segments are quantum.

    Raises `PolicyDenied` where quantum key distribution is prohibited: then there is nothing to design.
    """
    doubts = _permitted(opened, as_of)
    segments, refs = _planned(opened, out)
    head = Head(as_of, now(), __version__, (opened.ref, *refs), doubts)
    network = network_of(opened.estate, segments)
    optics = optics_of(options.rate, measured=True, most_systems=options.systems)
    design = _designed(network, optics, tariff_of(opened.estate), options, head)
    save(out, design)
    return design


def _permitted(opened: OpenEstate, as_of: date) -> tuple[Assumption, ...]:
    found = [g for g in gates(positions(beside(opened.folder, "positions")), opened.estate, as_of)
             if g.technique is Technique.QKD]  # fmt: skip
    sure = [gate.reason.strip() for gate in found if gate.applies is Answer.YES]
    if sure:
        raise PolicyDenied(
            f"no quantum network is designed: {sure[0]}",
            hint="plan these links with post-quantum cryptography: keystrand plan make",
        )
    return tuple(
        Assumption(name="permission", value=f"{gate.reason.strip()}; it was taken not to apply", source=gate.position)
        for gate in found
    )


def _planned(opened: OpenEstate, out: Path) -> tuple[frozenset[str] | None, tuple[InputRef, ...]]:
    if not (out / FILES[Plan]).exists():
        return None, ()
    plan, ref = load(out, Plan)
    require_estate(plan, opened.ref)
    return frozenset(d.segment for d in plan.decisions if d.chosen in _QUANTUM), (ref,)


def file_topology(given: Network, out: Path, options: Options, *, as_of: date) -> TopologyDesign:
    """Design a quantum network on the fibres of a file and write it into `out`. Raises `InvalidInput`."""
    content = read_bytes(given.path, hint="give the file of a network with --network")
    network, traffic = network_from(content, str(given.path), FIBRE_DB_PER_KM)
    needs = named(given.named, network, given.protection) if given.named else busiest(
        traffic, given.demands, options.seed, given.protection)  # fmt: skip
    if not needs:
        raise InvalidInput(
            f"{given.path} says nothing of traffic, so nobody needs keys",
            hint="name who does: --demand PLACE:PLACE:BITS_PER_S, as often as needed",
        )
    network = msgspec.structs.replace(network, needs=needs)
    digest = sha256_hex(content)
    made_up = Assumption(
        name="needs", source="keystrand, to compare planners",
        value="the busiest pairs of the file's traffic, with 2 to 19 AES-256 keys a second drawn for each: made up",
    )  # fmt: skip
    open_sites = Assumption(
        name="places", source="keystrand, to compare planners",
        value="every place of the file may be a trusted node, and is staffed: the file does not say",
    )  # fmt: skip
    said = (open_sites,) if given.named else (made_up, open_sites)
    made_from = (InputRef(kind="network", content_sha256=digest, file_sha256=digest),)
    head = Head(as_of, now(), __version__, made_from, said)
    optics = optics_of(options.rate, measured=False, most_systems=options.systems)
    design = _designed(network, optics, placeholder_tariff(), options, head)
    save(out, design)
    return design


def _designed(network: FibreNetwork, optics: Any, tariff: Any, options: Options, head: Head) -> TopologyDesign:
    end = monotonic() + options.seconds
    limits = Limits(lambda: end - monotonic(), options.rounds, options.seed, options.told, in_thread)
    with without_stdout():
        return design_topology(network, optics, tariff, limits, head)


def roles_of(design: TopologyDesign) -> dict[str, str]:
    """Return what each place of the network is in the design."""
    ends = {place for route in design.routes for place in (route.places[0], route.places[-1])}
    bypassed = {name for link in design.links for name in link.bypassed}
    relays = set(design.relays)

    def role(name: str) -> str:
        if name in relays:
            return "end and trusted node" if name in ends else "trusted node"
        if name in ends:
            return "end"
        return "bypassed" if name in bypassed else "not used"

    return {node.id: role(node.id) for node in design.network.nodes}


def link_rows(design: TopologyDesign) -> list[Row]:
    """Return one row for the systems of each link."""
    return [
        {
            "link": f"{k.a} - {k.b}",
            "fibres": list(k.fibres),
            "systems": k.systems,
            "huts": k.spans - 1,
            "bypassed": list(k.bypassed),
            "span_loss_db": round(k.span_loss_db, 1),
            "modelled_rate_kbit_per_s": round(k.rate_bits_per_s / 1e3, 1),
        }
        for k in design.links
    ]


def route_rows(design: TopologyDesign) -> list[Row]:
    """Return one row for each way of each need, and one for each need that is not served."""
    needs = {need.id: need for need in design.network.needs}
    served = [
        {"need": r.need, "peak_bits_per_s": needs[r.need].bits_per_s, "protection": needs[r.need].protection.value,
         "way": " > ".join(r.places), "why_not": "", "next_step": ""}
        for r in design.routes
    ]  # fmt: skip
    return served + [
        {"need": u.need, "peak_bits_per_s": needs[u.need].bits_per_s, "protection": needs[u.need].protection.value,
         "way": "not served", "why_not": u.reason, "next_step": u.next_step}
        for u in design.unserved
    ]  # fmt: skip


def place_rows(design: TopologyDesign) -> list[Row]:
    """Return one row a place that has a part in the design."""
    nodes = {node.id: node for node in design.network.nodes}
    return [
        {"place": name, "role": role, "access": nodes[name].access.value, "region": nodes[name].region,
         "zone": nodes[name].zone}
        for name, role in roles_of(design).items() if role != "not used"
    ]  # fmt: skip


def summary(design: TopologyDesign) -> tuple[str, ...]:
    """Return what to say of a design in a few lines: cost with its range, bound and gap, greedy, checks."""
    cost, money = design.cost, design.tariff.currency
    served = len(design.network.needs) - len(design.unserved)
    gap = f"{design.gap:.1%}" if design.gap else "none"
    saved = f", {1 - cost.likely / design.greedy_cost:.1%} under it" if design.greedy_cost > cost.likely else ""
    same = "" if design.greedy_serves == served else f" (which serves {design.greedy_serves} of them)"
    return (
        f"{served} of {counted(len(design.network.needs), 'need')} served by "
        f"{counted(sum(k.systems for k in design.links), 'system')} on {counted(len(design.links), 'link')}, "
        f"{counted(len(design.relays), 'trusted node')} and {counted(sum(k.spans - 1 for k in design.links), 'hut')}",
        f"cost {cost.likely:,.0f} (range {cost.low:,.0f} to {cost.high:,.0f}) thousand {money} by "
        f"{design.tariff.verification} prices; no design costs less than {design.bound:,.0f}: gap {gap}",
        f"a greedy planner: {design.greedy_cost:,.0f}{same}{saved}; search ended: {design.ended.value}",
        f"checked again by the verifier: {counted(len(design.checks), 'rule')} hold",
        *(() if topology_solver.has_ortools() else (topology_solver.WITHOUT_ORTOOLS,)),
    )


def map_of(design: TopologyDesign) -> str:
    """Return the map as an SVG file."""
    return topology_map(design, roles_of(design))


def write_graph(path: Path, design: TopologyDesign) -> None:
    """Write the design as a graph, as the ending says: .graphml, or .geojson. Raises `InvalidInput` for another."""
    graph_writer(path)(path, design)


def graph_writer(path: Path) -> Callable[[Path, TopologyDesign], None]:
    """Return what writes a graph to `path`. Raises `InvalidInput` where its ending is neither."""
    forms = {".graphml": graphml_of, ".geojson": geojson_of}
    if path.suffix.lower() not in forms:
        raise InvalidInput(f"a graph is written as .graphml or .geojson, not as {path.name!r}",
                           hint="give another file name")  # fmt: skip
    made = forms[path.suffix.lower()]
    return lambda to, design: write_atomic(to, made(design, roles_of(design)).encode())
