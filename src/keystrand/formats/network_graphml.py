"""GraphML networks, as the Internet Topology Zoo has them, and a design as GraphML.

http://graphml.graphdrawing.org/specification.html; Knight et al., IEEE JSAC 29, 1765 (2011).
"""

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from keystrand.formats.network_raw import RawLine, RawNetwork, RawPlace
from keystrand.formats.safe_xml import XmlElement
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.stages.designed import TopologyDesign

_LENGTHS = ("length_km", "length", "distance_km")


def graphml_network(root: XmlElement, file: str) -> RawNetwork:
    """Return the first graph of the file. A place is called by its label where all labels differ, else by its id."""
    graph = root.first("graph")
    if graph is None:
        raise InvalidInput(f"{file} has no graph", hint="give a GraphML file with a graph of nodes and edges")
    keys = {k.attributes.get("id", ""): k.attributes.get("attr.name", "") for k in root.all("key")}
    nodes = [(n.attributes.get("id", ""), _values(n, keys)) for n in graph.all("node")]
    labels = [values.get("label", "") for _, values in nodes]
    named = all(labels) and len(set(labels)) == len(labels)
    names = {id_: label if named else id_ for (id_, _), label in zip(nodes, labels, strict=True)}
    places = [
        RawPlace(
            names[id_],
            _number(values, ("longitude", "lon"), file, id_),
            _number(values, ("latitude", "lat"), file, id_),
        )
        for id_, values in nodes
    ]
    lines = []
    for n, edge in enumerate(graph.all("edge"), start=1):
        ends = [edge.attributes.get(end, "") for end in ("source", "target")]
        values = _values(edge, keys)
        a, b = (names.get(end, end) for end in ends)
        name = edge.attributes.get("id") or f"edge-{n}"
        lines.append(RawLine(name, a, b, _number(values, _LENGTHS, file, name)))
    return RawNetwork(file, places, lines)


def _values(element: XmlElement, keys: Mapping[str, str]) -> dict[str, str]:
    return {keys.get(d.attributes.get("key", ""), "").lower(): d.text.strip() for d in element.all("data")}


def _number(values: Mapping[str, str], names: tuple[str, ...], file: str, field: str) -> float | None:
    text = next((values[name] for name in names if values.get(name)), None)
    try:
        return None if text is None else float(text)
    except ValueError:
        problem = Problem(message=f"{text!r} is not a number", file=file, field=field)
        raise InvalidInput(f"{file} is no network that can be used", problems=(problem,)) from None


_NODE_KEYS = {"latitude": "double", "longitude": "double", "role": "string"}
_EDGE_KEYS = {"systems": "int", "spans": "int", "span_loss_db": "double", "rate_bits_per_s": "double",
              "fibres": "string", "bypassed": "string"}  # fmt: skip


def graphml_of(design: TopologyDesign, roles: Mapping[str, str]) -> str:
    """Return the design: every place with its role, and an edge for the systems of each link."""
    keys = [
        f'  <key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>'
        for of, some in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS))
        for name, kind in some.items()
    ]
    nodes = [
        f"    <node id={quoteattr(n.id)}>"
        + _told({"latitude": n.latitude, "longitude": n.longitude, "role": roles[n.id]})
        + "</node>"
        for n in design.network.nodes
    ]
    edges = []
    for link in design.links:
        told = {
            "systems": link.systems, "spans": link.spans, "span_loss_db": link.span_loss_db,
            "rate_bits_per_s": link.rate_bits_per_s, "fibres": " ".join(link.fibres),
            "bypassed": " ".join(link.bypassed),
        }  # fmt: skip
        edges.append(f"    <edge source={quoteattr(link.a)} target={quoteattr(link.b)}>{_told(told)}</edge>")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    inner = "\n".join([*keys, '  <graph edgedefault="undirected">', *nodes, *edges, "  </graph>"])
    return f"{head}\n{inner}\n</graphml>\n"


def _told(values: Mapping[str, object]) -> str:
    return "".join(f'<data key="{name}">{escape(str(value))}</data>' for name, value in values.items())
