"""Network files: four forms say the same, and what is wrong is told with its place."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.networks import network_from
from keystrand.model.errors import InvalidInput

NATIVE = """?SNDlib native format; type: network; version: 1.0
# network small

NODES (
  A ( 10.00 48.00 )
  B ( 10.50 48.00 )
  C ( 10.50 48.40 )
)
LINKS (
  L1 ( A B ) 0.00 0.00 0.00 0.00 ( 40.00 1.00 )
  L2 ( B C ) 0.00 0.00 0.00 0.00 ( 40.00 1.00 )
  L3 ( C A ) 0.00 0.00 0.00 0.00 ( 40.00 1.00 )
)
DEMANDS (
  D1 ( A B ) 1 34.00 UNLIMITED
  D2 ( C A ) 1 9.50 UNLIMITED
)
"""
_PLACES = {"A": (10.0, 48.0), "B": (10.5, 48.0), "C": (10.5, 48.4)}
_LINKS = (("L1", "A", "B"), ("L2", "B", "C"), ("L3", "C", "A"))
XML = (
    '<?xml version="1.0" encoding="ISO-8859-1"?><network xmlns="http://sndlib.zib.de/network" version="1.0">'
    '<networkStructure><nodes coordinatesType="geographical">'
    + "".join(f'<node id="{n}"><coordinates><x>{x}</x><y>{y}</y></coordinates></node>' for n, (x, y) in _PLACES.items())
    + "</nodes><links>"
    + "".join(f'<link id="{k}"><source>{a}</source><target>{b}</target></link>' for k, a, b in _LINKS)
    + "</links></networkStructure><demands>"
    "<demand><source>A</source><target>B</target><demandValue>34.0</demandValue></demand>"
    "<demand><source>C</source><target>A</target><demandValue>9.5</demandValue></demand></demands></network>"
)
GRAPHML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key attr.name="Latitude" for="node" id="d1"/>'
    '<key attr.name="Longitude" for="node" id="d2"/><key attr.name="label" for="node" id="d3"/><graph>'
    + "".join(
        f'<node id="{n}"><data key="d3">{name}</data><data key="d1">{y}</data><data key="d2">{x}</data></node>'
        for n, (name, (x, y)) in enumerate(_PLACES.items())
    )
    + '<node id="9"><data key="d3">Elsewhere</data></node>'
    + "".join(f'<edge id="{k}" source="{"ABC".index(a)}" target="{"ABC".index(b)}"/>' for k, a, b in _LINKS)
    + '<edge id="out" source="0" target="9"/></graph></graphml>'
)


def _feature(kind: str, at: object, **said: object) -> dict[str, object]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": at}, "properties": said}


def _geojson(*more: object) -> bytes:
    points = [_feature("Point", [x, y], id=name) for name, (x, y) in _PLACES.items()]
    lines = [_feature("LineString", [list(_PLACES[a]), list(_PLACES[b])], id=k) for k, a, b in _LINKS]
    return json.dumps({"type": "FeatureCollection", "features": [*points, *lines, *more]}).encode()


@pytest.mark.parametrize("content", [NATIVE.encode(), XML.encode(), GRAPHML.encode(), _geojson()],
                         ids=["native", "xml", "graphml", "geojson"])  # fmt: skip
def test_every_form_says_the_same_network(content: bytes) -> None:
    """Places, fibres and their ends are the same; lengths are along the ground, with the route factor where guessed."""
    read = network_from(content, "file", 0.22)
    assert {n.id: (n.longitude, n.latitude) for n in read.network.nodes} == _PLACES
    assert {(f.id, frozenset((f.a, f.b))) for f in read.network.fibres} == {
        (k, frozenset((a, b))) for k, a, b in _LINKS
    }
    straight = 37.2  # half a degree east at 48 degrees north: 0.5 x 111.195 km x cos 48 degrees
    factor = 1.0 if content.startswith(b"{") else 1.3
    first = next(f for f in read.network.fibres if f.id == "L1")
    assert first.length_km == pytest.approx(straight * factor, rel=2e-3)
    assert first.loss_db == pytest.approx(0.22 * first.length_km)


@pytest.mark.parametrize("content", [NATIVE.encode(), XML.encode()], ids=["native", "xml"])
def test_traffic_is_read(content: bytes) -> None:
    """SNDlib's demands come with their ends and value."""
    assert [(t.a, t.b, t.value) for t in network_from(content, "file", 0.22).traffic] == [
        ("A", "B", 34.0),
        ("C", "A", 9.5),
    ]


def test_what_cannot_be_used_is_told() -> None:
    """A place without coordinates and what leads there are left out, and named."""
    left_out = network_from(GRAPHML.encode(), "file", 0.22).network.left_out
    assert left_out == ("place Elsewhere: it has no coordinates", "line out: it leads to a place without coordinates")


def test_a_length_of_the_file_counts() -> None:
    """A line that says its length has it; ends by name need not touch their points."""
    more = _feature("LineString", [[10, 48], [10.2, 48.2], [10.5, 48.4]], id="long", a="A", b="C", length_km=77)
    fibres = {f.id: f.length_km for f in network_from(_geojson(more), "file", 0.22).network.fibres}
    assert fibres["long"] == 77


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no network"),
        (b"hello", "is no network"),
        (b"\xff\xfe\x00", "neither UTF-8 nor XML"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"{}", "FeatureCollection"),
        (b"<a/>", "begins with <a>"),
        (b"<graphml/>", "no graph"),
        (b"<network/>", "networkStructure"),
        (b"<graphml", "not XML"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><graphml>&x;</graphml>', "entities"),
        (b"?SNDlib native format\n", "no line between two places"),
        (XML.replace("geographical", "pixel").encode(), "coordinates of a drawing"),
        (_geojson({"type": "Feature", "geometry": None}), "cannot be used"),
    ],
)
def test_what_is_no_network_is_refused(content: bytes, words: str) -> None:
    """The message says what it is instead, or what is missing."""
    with pytest.raises(InvalidInput, match=words):
        network_from(content, "file", 0.22)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("  B ( 10.50 48.00 )", "  A ( 10.50 48.00 )", 6, "already a node called 'A'"),
        ("  L2 ( B C )", "  L1 ( B C )", 11, "already a link called 'L1'"),
        ("  L2 ( B C )", "  L2 ( B D )", 11, "no node is called 'D'"),
        ("D2 ( C A )", "D2 ( C Z )", 16, "no node is called 'Z'"),
        ("( C A ) 1 9.50", "( C A ) 1 -9.50", 16, "a demand of -9.5"),
        ("( C A ) 1 9.50", "( C A ) 1 many", 16, "'many' is not a number"),
        ("C ( 10.50 48.40 )", "C ( 1050 4840 )", 7, "no place on Earth"),
        ("  L2 ( B C )", "  L2 B C", 11, "no line for a link"),
        ("C ( 10.50 48.40 )", "C ( east 48.40 )", 7, "'east' is not a number"),
    ],
)
def test_a_fault_is_told_with_its_line(old: str, new: str, line: int, words: str) -> None:
    """File and line stand beside what is wrong."""
    with pytest.raises(InvalidInput) as told:
        network_from(NATIVE.replace(old, new).encode(), "small.txt", 0.22)
    found = [p for p in told.value.problems if words in p.message]
    assert [(p.file, p.line) for p in found][:1] == [("small.txt", line)]


@pytest.mark.parametrize(
    ("length", "words"), [(-5, "a length of -5 km"), (0, "a length of 0 km"), ("far", "not a number")]
)
def test_a_length_below_zero_is_refused(length: object, words: str) -> None:
    """No fibre is shorter than nothing."""
    more = _feature("LineString", [[10, 48], [10.5, 48]], id="odd", length_km=length)
    with pytest.raises(InvalidInput) as told:
        network_from(_geojson(more), "file", 0.22)
    assert words in told.value.problems[0].message


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Nothing but `InvalidInput` leaves the reader, whatever it is given."""
    for start in (b"", b"?SNDlib native format\nNODES (\n", b"<graphml>", b'{"features": ['):
        with suppress(InvalidInput):
            network_from(start + content, "file", 0.22)
