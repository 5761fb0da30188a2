"""Every fault at once, and never a disagreement with msgspec about what is right."""
# ruff: noqa: E501 - a table of bad inputs is read row by row

from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from keystrand.formats.decode import dotted, faults_of, near_name
from keystrand.formats.toml_input import read_toml
from keystrand.model.algorithm import Verdict
from keystrand.model.errors import InvalidInput


class Leaf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A small noun."""

    name: Annotated[str, Meta(min_length=1)]
    length_km: Annotated[float, Meta(ge=0, le=10, description="kilometres")]
    verdict: Verdict = Verdict.UNKNOWN
    day: date | None = None


class Tree(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A noun that holds others in every way the estate does."""

    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[float, Leaf] | None = None
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.words) > 3:
            raise ValueError("more than three words")


SOME = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(-3, 12) | st.sampled_from(["", "a", "unknown", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "length_km", "verdict", "day", "nam"]), inner, max_size=4)
        | st.fixed_dictionaries({"name": st.just("n"), "length_km": st.just(1.0)})
    ),
    max_leaves=6,
)
TREES = st.dictionaries(st.sampled_from([*Tree.__struct_fields__, "lef"]), SOME, max_size=5)


@given(TREES)
def test_there_are_faults_exactly_where_msgspec_refuses(raw: dict[str, Any]) -> None:
    """A value without faults converts, one with faults does not: nothing is let through, nothing refused for nothing."""
    try:
        msgspec.convert(raw, Tree)
    except msgspec.ValidationError:
        assert faults_of(raw, Tree)
    else:
        assert faults_of(raw, Tree) == []


def _told(raw: Any) -> dict[str, tuple[str, str]]:
    return {dotted(f.path): (f.message, f.hint) for f in faults_of(raw, Tree)}


def test_every_fault_is_told_with_its_path() -> None:
    """Faults in a table, in the second of several, in a pair and in a list come together."""
    told = _told(
        {
            "leaf": {"name": "", "length_m": 3},
            "leaves": [{"name": "a", "length_km": 1}, {"name": "b", "length_km": 11.5, "day": "soon"}],
            "pair": [1, {"name": 5, "length_km": 2}],
            "words": ["a", 7],
        }
    )
    assert list(told) == [
        "leaf.length_m",
        "leaf.name",
        "leaves[1].length_km",
        "leaves[1].day",
        "pair[1].name",
        "words[1]",
    ]
    assert told["leaf.length_m"] == ("unknown key", "the unit is part of the name: use length_km")
    assert told["leaves[1].length_km"] == ("Expected `float` <= 10.0, got 11.5", "kilometres")
    assert told["leaves[1].day"][1] == "a date as YYYY-MM-DD"


@pytest.mark.parametrize(
    ("raw", "field", "message", "hint"),
    [
        ({}, "leaf", "missing key", "add a table [leaf]"),
        ({"leaf": {"name": "a"}}, "leaf.length_km", "missing key", "add length_km = ... (kilometres)"),
        ({"leaf": {"name": "a", "length_km": float("nan")}}, "leaf.length_km", "nan is not a number that can be used", "kilometres"),
        ({"leaf": {"name": "a", "length_km": 1, "verdict": "safe"}}, "leaf.verdict", "Invalid enum value 'safe'", "one of: quantum-vulnerable, quantum-safe, unknown"),
        ({"leaf": [{"name": "a", "length_km": 1}]}, "leaf", "Expected `object`, got `array`", "there is one only: write its header with one bracket, [...]"),
        ({"leaf": {"name": "a", "length_km": 1}, "leaves": {}}, "leaves", "Expected `array`, got `object`", "there may be several: write its header with two brackets, [[...]]"),
        ({"leaf": {"name": "a", "length_km": 1}, "words": ["a"] * 4}, "", "more than three words", ""),
    ],
)  # fmt: skip
def test_the_hint_says_what_to_do(raw: Any, field: str, message: str, hint: str) -> None:
    """A missing table, a unit, a choice, one bracket or two: the hint is what to write."""
    assert _told(raw) == {field: (message, hint)}


def test_the_error_carries_every_problem_and_the_file() -> None:
    """`read_toml` raises once, with a problem for each fault at its line."""
    with pytest.raises(InvalidInput, match="the tree has 2 problems") as caught:
        read_toml("[leaf]\nname = 1\nlength_km = 11\n", Tree, what="the tree", file="tree.toml")
    assert [(p.file, p.line, p.field) for p in caught.value.problems] == [
        ("tree.toml", 2, "leaf.name"),
        ("tree.toml", 3, "leaf.length_km"),
    ]


def test_near_names_are_near() -> None:
    """A slip of the finger is recognised; another word is not."""
    assert near_name("regoin", ["site", "region"]) == "region"
    assert near_name("zebra", ["site", "region"]) == ""
