"""Host names in A-labels: one reading of them, whoever asks, looks up, compares or certifies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keystrand
from keystrand.formats.dns_messages import wire_name
from keystrand.formats.host_names import a_labels


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("bank.example", "bank.example"),
        ("_sip._tcp.Bank.example.", "_sip._tcp.Bank.example."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("faß.example", "fass.example"),
    ],
)
def test_names_in_a_labels(name: str, labels: str) -> None:
    """ASCII stays as it is written; the rest is as IDNA 2003 has it (RFC 3490, 4), full stops of other scripts too."""
    assert a_labels(name) == labels


@pytest.mark.parametrize("name", ["a..b", ".a", "b" * 64, "ü" * 64, "a\u202eb.example"])
def test_what_dns_cannot_hold_is_refused(name: str) -> None:
    """An empty label, one of more than 63 octets, and a character that turns the direction of writing."""
    with pytest.raises(UnicodeError):
        a_labels(name)


def test_a_full_stop_of_another_script_never_gets_into_a_label() -> None:
    """A query for such a name asks for its labels one by one."""
    assert wire_name("bücher。example") == b"\x0dxn--bcher-kva\x07example\0"


@given(st.text(max_size=300))
def test_whatever_the_name_it_is_spelt_or_refused(name: str) -> None:
    """What comes back is ASCII, and stays as it is when it is spelt again."""
    try:
        spelt = a_labels(name)
    except UnicodeError:
        return
    assert spelt.isascii()
    assert a_labels(spelt) == spelt


def test_nothing_else_spells_names() -> None:
    """Two readings of one name would let one of them be looked up and another be compared with the allow-list."""
    source = Path(keystrand.__file__).parent
    spells = [path.relative_to(source).as_posix() for path in source.rglob("*.py") if '"idna"' in path.read_text()]
    assert spells == ["formats/host_names.py"]
