"""The messages of VICI: what is written is read again, and what charon cannot have said is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.consumers.vici import read, written

NAMES = st.text(max_size=20)
TEXTS = st.text(max_size=300)
MESSAGES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(NAMES, TEXTS | st.lists(TEXTS, max_size=4), max_size=4),
    lambda inner: st.dictionaries(NAMES, TEXTS | inner, max_size=3),
    max_leaves=8,
)


@given(MESSAGES)
def test_what_is_written_is_read_again(message: dict[str, Any]) -> None:
    """Sections in sections, lists, values, in any language."""
    assert read(written(message)) == message


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_refused(content: bytes) -> None:
    """Nothing but `ValueError`."""
    try:
        told = read(content)
    except ValueError:
        return
    assert isinstance(told, dict)


def test_the_example_of_the_specification() -> None:
    """The example of strongSwan's README.md, `Encoding example`, octet for octet."""
    message: dict[str, Any] = {
        "key1": "value1",
        "section1": {"sub-section": {"key2": "value2"}, "list1": ["item1", "item2"]},
    }
    octets = b"\3\4key1\0\6value1\1\10section1\1\13sub-section\3\4key2\0\6value2\2\4\5list1\5\0\5item1\5\0\5item2\6\2"
    assert written(message) == octets
    assert read(octets) == message


def test_a_key_goes_out_as_it_is_and_what_is_too_long_does_not() -> None:
    """Octets that are no text are written whole; lengths that do not fit their field are told."""
    assert written({"data": Secret(b"\0\xff")}) == b"\3\4data\0\2\0\xff"
    with pytest.raises(ConsumerFailure, match="too long a name"):
        written({"n" * 256: "v"})
    with pytest.raises(ConsumerFailure, match="a value of 65536 octets"):
        written({"n": "v" * 65536})
