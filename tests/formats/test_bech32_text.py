"""Bech32 against the examples of BIP 173, and back and forth; what was mistyped is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.bech32 import decode, encode
from keystrand.model.errors import InvalidInput


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("a", "A12UEL5L"),
        ("an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
         "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs"),
    ],
)  # fmt: skip
def test_examples_of_bip_173_that_hold_nothing(prefix: str, text: str) -> None:
    """Their check digits are right, and they are what nothing at all is written as."""
    assert decode(prefix, text) == b""
    assert encode(prefix, b"") == text.lower()


def test_an_example_of_bip_173_with_content() -> None:
    """32 digits in their order are 20 bytes."""
    content = bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df")
    assert encode("abcdef", content) == "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"
    assert decode("abcdef", "ABCDEF1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LMQQQXW") == content


@given(content=st.binary(max_size=200), prefix=st.sampled_from(["age1keystrand", "age-plugin-keystrand-", "x"]))
def test_everything_comes_back(content: bytes, prefix: str) -> None:
    """In small letters and in capitals, also beyond the 90 characters of the BIP."""
    text = encode(prefix, content)
    assert decode(prefix, text) == decode(prefix, text.upper()) == content


@given(content=st.binary(min_size=1, max_size=60), data=st.data())
def test_one_wrong_letter_is_noticed(content: bytes, data: st.DataObject) -> None:
    """Any other letter anywhere behind the prefix."""
    text = encode("age1keystrand", content)
    at = data.draw(st.integers(len("age1keystrand1"), len(text) - 1))
    letter = data.draw(st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7lb1io").filter(lambda other: other != text[at]))
    with pytest.raises(InvalidInput, match="mistyped"):
        decode("age1keystrand", text[:at] + letter + text[at + 1 :])


@pytest.mark.parametrize("text", ["", "x", "x1", "x1abc", "age1x1", "y1qqqqqqqq", "X1qqqqqq", "x1qqqqqé"])
def test_other_text_is_refused(text: str) -> None:
    """Too short, another prefix, mixed letters."""
    with pytest.raises(InvalidInput):
        decode("x", text)
