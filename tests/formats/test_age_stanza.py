"""The stanzas of age: back and forth, the form of the specification, and no patience with anything else."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.age_stanza import Stanza, from_base64, read, to_base64, written
from keystrand.model.errors import InvalidInput

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(
    stanzas=st.lists(
        st.builds(Stanza, WORDS, st.lists(WORDS, max_size=4).map(tuple), st.binary(max_size=150)), max_size=5
    )
)
def test_stanzas_come_back_one_after_the_other(stanzas: list[Stanza]) -> None:
    """Whatever their bodies' length, which the last line tells."""
    pipe = io.BytesIO(b"".join(map(written, stanzas)))
    assert [read(pipe.readline) for _ in stanzas] == stanzas
    assert read(pipe.readline) is None


def test_the_form_is_that_of_the_specification() -> None:
    """The example of C2SP age-plugin, and a body of exactly a line, which an empty one ends."""
    assert written(Stanza("command-2", ("more", "metadata"))) == b"-> command-2 more metadata\n\n"
    body = bytes(48)
    assert written(Stanza("x", (), body)) == b"-> x\n" + b"A" * 64 + b"\n\n"


@pytest.mark.parametrize(
    "text",
    [
        b"\n", b"->\n\n", b"-> \n\n", b"->x\n\n", b"-> x  y\n\n", b"-> x\n", b"-> x", b"-> x\nAA==\n", b"-> x\nAB\n",
        b"-> x\nA\n", b"-> x\n" + b"A" * 65 + b"\n\n", b"-> x\n" + b"A" * 64 + b"\n", b"-> x\xc3\xa9\n\n",
        b"-> x\r\n\n",
        b"-> x\n" + (b"A" * 64 + b"\n") * 1025, b"-> " + b"x" * 5000 + b"\n\n",
    ],
)  # fmt: skip
def test_other_text_is_refused(text: bytes) -> None:
    """Cut short, padded, not canonical, too long, other letters."""
    with pytest.raises(InvalidInput):
        read(io.BytesIO(text).readline)


@given(content=st.binary(max_size=70))
def test_base64_has_one_spelling(content: bytes) -> None:
    """No padding, and no other text for the same bytes."""
    text = to_base64(content)
    assert from_base64(text) == content
    for other in (text + "=", text + "\n", " " + text):
        with pytest.raises(InvalidInput):
            from_base64(other)
