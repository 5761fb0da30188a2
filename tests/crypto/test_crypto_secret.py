"""The secret type never shows what it holds."""

import copy
import json
import logging
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.crypto.labels import STORE_BLOCK, STORE_KEY, bound
from keystrand.crypto.secret import Secret

CONTENT = b"\xa5what none but its owners may\x5a"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>40}".format, "{!r}".format, lambda s: f"{[s]}"])
def test_no_text_form_holds_the_content(show: object) -> None:
    """Every way to print a secret gives its size only."""
    text = show(Secret(CONTENT))  # type: ignore[operator]  # a mixed list of callables
    assert "none" not in text
    assert "240 bits" in text


@pytest.mark.parametrize(
    "leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, bytes, hash, list]
)
def test_no_generic_conversion_takes_the_content_out(leak: object) -> None:
    """Pickling, copying, encoding, hashing and iterating a secret fail."""
    with pytest.raises(TypeError):
        leak(Secret(CONTENT))  # type: ignore[operator]  # a mixed list of callables


def test_a_log_line_does_not_hold_the_content(caplog: pytest.LogCaptureFixture) -> None:
    """A secret passed to a logger shows its size."""
    logging.getLogger("t").warning("key %s %r", Secret(CONTENT), Secret(CONTENT))
    assert "none" not in caplog.text


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_equality_is_that_of_the_bytes(left: bytes, right: bytes) -> None:
    """Two secrets are equal exactly when their bytes are; a secret is never equal to plain bytes."""
    assert (Secret(left) == Secret(right)) == (left == right)
    assert Secret(left) != left


def test_clearing_overwrites_the_buffer_that_views_share() -> None:
    """After the block ends a view taken inside shows zeros, and reading raises."""
    with Secret(CONTENT) as secret:
        view = secret.view()
        assert secret.reveal() == CONTENT
    assert bytes(view) == bytes(len(CONTENT))
    with pytest.raises(ValueError, match="cleared"):
        secret.view()


def test_a_view_cannot_change_the_secret() -> None:
    """Views are read-only."""
    assert Secret(CONTENT).view().readonly


@given(st.integers(1, 9), st.integers(1, 9))
def test_split_gives_back_the_whole_in_order(size: int, count: int) -> None:
    """The pieces have the asked size and join to the whole; any other length is refused."""
    whole = bytes(range(size * count))
    assert b"".join(piece.reveal() for piece in Secret(whole).split(size)) == whole
    with pytest.raises(ValueError, match="multiple"):
        Secret(whole + bytes(size - 1) if size > 1 else whole).split(size if size > 1 else 0)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_a_label_with_its_parts_is_unambiguous(left: list[str], right: list[str]) -> None:
    """Different parts or labels never give the same bytes."""
    assert (bound(STORE_KEY, *left) == bound(STORE_KEY, *right)) == (left == right)
    assert bound(STORE_KEY, *left) != bound(STORE_BLOCK, *left)
