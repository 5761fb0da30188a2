"""SNDlib's two forms of a network: its native text, and XML.

Orlowski, Wessäly, Pióro, Tomaszewski, Networks 55, 276 (2010); sndlib.zib.de, format descriptions.
"""

import re

from keystrand.formats.network_raw import RawLine, RawNetwork, RawPlace, Traffic
from keystrand.formats.safe_xml import XmlElement
from keystrand.model.errors import InvalidInput, Problem

_SECTION = re.compile(r"^\s*([A-Z_]+)\s*\(\s*$")
_NODE = re.compile(r"^\s*(\S+)\s*(?:\(\s*(\S+)\s+(\S+)\s*\))?\s*$")
_JOINING = re.compile(r"^\s*(\S+)\s*\(\s*(\S+)\s+(\S+)\s*\)\s*(.*)$")
NATIVE_MARK = "?SNDlib native format"


def native_network(text: str, file: str) -> RawNetwork:
    """Return what a native file says. Raises `InvalidInput` with the line that cannot be read."""
    places, lines, traffic = list[RawPlace](), list[RawLine](), list[Traffic]()
    section, name = "", file
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# network "):
            name = line.removeprefix("# network ").strip()
        content = line.partition("#")[0]
        if not content.strip() or content.startswith("?"):
            continue
        if opened := _SECTION.match(content):
            section = opened[1]
        elif content.strip() == ")":
            section = ""
        elif section == "NODES":
            id_, x, y = _matched(_NODE, content, number, file, "a node")
            places.append(RawPlace(id_, _number(x, number, file), _number(y, number, file), number))
        elif section == "LINKS":
            id_, a, b, _ = _matched(_JOINING, content, number, file, "a link")
            lines.append(RawLine(id_, a, b, None, number))
        elif section == "DEMANDS":
            _, a, b, rest = _matched(_JOINING, content, number, file, "a demand")
            value = _number([*rest.split(), "", ""][1] or None, number, file)
            traffic.append(Traffic(a, b, value or 0.0, number))
    return RawNetwork(name, places, lines, traffic)


def _matched(pattern: re.Pattern[str], content: str, line: int, file: str, what: str) -> tuple[str, ...]:
    if found := pattern.match(content):
        return found.groups()
    problem = Problem(message=f"this is no line for {what}: {content.strip()[:60]!r}", file=file, line=line)
    raise InvalidInput(f"{file} is no SNDlib network", problems=(problem,))


def _number(text: str | None, line: int, file: str) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        problem = Problem(message=f"{text!r} is not a number", file=file, line=line)
        raise InvalidInput(f"{file} is no SNDlib network", problems=(problem,)) from None


def xml_network(root: XmlElement, file: str) -> RawNetwork:
    """Return what SNDlib's XML says. Raises `InvalidInput` where it has no structure or is drawn in pixels."""
    nodes, links = root.first("networkStructure", "nodes"), root.first("networkStructure", "links")
    if nodes is None or links is None:
        raise InvalidInput(f"{file} has no networkStructure with nodes and links", hint="give a network of SNDlib")
    if nodes.attributes.get("coordinatesType") == "pixel":
        raise InvalidInput(f"{file} has coordinates of a drawing, not of places", hint="give one in degrees")
    places = [
        RawPlace(n.attributes.get("id", ""), _said(n, file, "coordinates", "x"), _said(n, file, "coordinates", "y"))
        for n in nodes.all("node")
    ]
    lines = [RawLine(k.attributes.get("id", ""), k.said("source"), k.said("target")) for k in links.all("link")]
    demands = root.first("demands")
    traffic = [
        Traffic(d.said("source"), d.said("target"), _said(d, file, "demandValue") or 0.0)
        for d in (demands.all("demand") if demands else ())
    ]
    return RawNetwork(file, places, lines, traffic)


def _said(element: XmlElement, file: str, *path: str) -> float | None:
    text = element.said(*path)
    try:
        return float(text) if text else None
    except ValueError:
        problem = Problem(message=f"{text!r} is not a number", file=file, field=element.attributes.get("id", ""))
        raise InvalidInput(f"{file} is no SNDlib network", problems=(problem,)) from None
