"""Registers of systems: CSV of a CMDB, NetBox in CSV and JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.context_csv import ContextRow, context_rows
from keystrand.model.errors import InvalidInput

NETBOX = """Name,Status,Tenant,Site,Role,IP Address,Tags
pay-01,Active,Payments,Frankfurt,Card gateway,192.0.2.7/24,"pci,critical"
pay-02,Active,,Frankfurt,,2001:db8::7/64,
,Active,Payments,,,,
"""
CMDB = "\ufeffCI Name;FQDN;Application;Owned By;Environment\r\nsrv1;web.example.org;Online banking;Web team;prod\r\n"


def test_netbox_in_csv() -> None:
    """Addresses lose the length of their network; what stands beside them are tags; a row without host is told."""
    context = context_rows(NETBOX.encode(), file="netbox.csv")
    assert context.rows == (
        ContextRow("pay-01", "192.0.2.7", "Card gateway", "Payments",
                   ("pci", "critical", "site:Frankfurt", "status:Active")),
        ContextRow("pay-02", "2001:db8::7", "", "", ("site:Frankfurt", "status:Active")),
    )  # fmt: skip
    assert [str(problem) for problem in context.problems] == ["netbox.csv: row 3: names no host"]


def test_a_cmdb_with_semicolons_and_a_byte_order_mark() -> None:
    """Headings in any spelling, whatever parts the columns."""
    assert context_rows(CMDB.encode()).rows == (
        ContextRow("srv1", "web.example.org", "Online banking", "Web team", ("environment:prod",)),
    )


def test_netbox_in_json() -> None:
    """What it refers to as objects has a name, a label or an address."""
    device = {
        "id": 7,
        "name": "pay-01",
        "primary_ip": {"address": "192.0.2.7/24", "family": {"value": 4}},
        "tenant": {"name": "Payments"},
        "role": {"name": "Card gateway", "slug": "x"},
        "site": {"name": "Frankfurt"},
        "status": {"value": "active", "label": "Active"},
        "tags": [{"name": "pci"}, {"name": "critical"}],
    }
    assert context_rows(json.dumps({"count": 1, "results": [device]}).encode()).rows == (
        ContextRow("pay-01", "192.0.2.7", "Card gateway", "Payments",
                   ("pci", "critical", "site:Frankfurt", "status:Active")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column"),
        (b"colour,size\nred,7\n", "no column names a host"),
        (b'name,ip\n"' + b"x" * 200_000, "line"),
        (b"{", "not JSON"),
        (b'{"results": 7}', "no list"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_register_is_told(content: bytes, words: str) -> None:
    """Empty, without a host, a field without end, not JSON: refused in words."""
    with pytest.raises(InvalidInput, match=words):
        context_rows(content)


@given(st.one_of(st.binary(max_size=120), st.text(alphabet='name,ip;"\n\t[]{}:1', max_size=80).map(str.encode)))
def test_any_octets_are_rows_or_told(content: bytes) -> None:
    """Nothing but `InvalidInput` comes out, and every row names a host."""
    try:
        context = context_rows(content)
    except InvalidInput:
        return
    assert all(row.name or row.address for row in context.rows)
