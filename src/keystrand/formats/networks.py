"""A network file of any form that is read, told apart by what is in it: SNDlib (text, XML), GraphML, GeoJSON."""

import json
from typing import NamedTuple

from keystrand.formats.network_geojson import geojson_network
from keystrand.formats.network_graphml import graphml_network
from keystrand.formats.network_raw import RawNetwork, Traffic, judged
from keystrand.formats.network_sndlib import NATIVE_MARK, native_network, xml_network
from keystrand.formats.safe_xml import parsed_xml
from keystrand.model.errors import InvalidInput
from keystrand.model.network import FibreNetwork

_FORMS = "SNDlib (text or XML), GraphML or GeoJSON"


class ReadNetwork(NamedTuple):
    """A network without needs, and the traffic that its file speaks of."""

    network: FibreNetwork
    traffic: tuple[Traffic, ...]


def network_from(content: bytes, file: str, db_per_km: float) -> ReadNetwork:
    """Return the network in `content`. Raises `InvalidInput` with every problem."""
    raw = _raw(content, file)
    network = judged(raw, file, db_per_km)
    names = {node.id for node in network.nodes}
    return ReadNetwork(network, tuple(t for t in raw.traffic if t.a != t.b and {t.a, t.b} <= names))


def _raw(content: bytes, file: str) -> RawNetwork:
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:200]
    if start.startswith(b"<"):
        root = parsed_xml(content)
        if root.name == "graphml":
            return graphml_network(root, file)
        if root.name == "network":
            return xml_network(root, file)
        raise InvalidInput(f"{file} is XML, but no network: it begins with <{root.name}>", hint=f"give {_FORMS}")
    try:
        text = content.decode("utf-8-sig")
        if start.startswith(NATIVE_MARK.encode()):
            return native_network(text, file)
        if start.startswith((b"{", b"[")):
            return geojson_network(json.loads(text), file)
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is neither UTF-8 nor XML", hint="save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is no JSON: {error}", hint=f"give {_FORMS}") from None
    raise InvalidInput(f"{file} is no network", hint=f"give {_FORMS}")
