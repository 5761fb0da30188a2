"""Every fault at once, and never a disagreement with msgspec about what is right."""
# ruff: noqa: E501 - a table of bad inputs is read row by row

import re
from datetime import date, time
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from keystrand.formats.decode import dotted, faults_of, near_name, sound_fields
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


@given(TREES)
def test_no_message_speaks_of_types(raw: dict[str, Any]) -> None:
    """Each fault is told in plain words: none of the names that programs have for types, none of msgspec's marks."""
    for fault in faults_of(raw, Tree):
        assert "`" not in fault.message + fault.hint
        assert not re.search(r"\b(str|int|float|bool|object|array|null|enum|regex|None|True|False)\b", fault.message)
        assert fault.hint or fault.message == "more than three words"


@given(TREES)
def test_sound_fields_are_those_without_a_fault(raw: dict[str, Any]) -> None:
    """What is said to be sound has no fault below it, and a tree without faults is sound in every field."""
    sound = sound_fields(raw, Tree)
    assert not sound.keys() & {fault.path[0] for fault in faults_of(raw, Tree) if fault.path}
    if not faults_of(raw, Tree):
        assert Tree(**sound) == msgspec.convert(raw, Tree)


def test_what_an_unknown_key_may_stand_for_is_not_sound() -> None:
    """A default is not taken for a field that somebody tried to write."""
    assert sound_fields({"name": "a", "dey": "2027-01-01"}, Leaf) == {"name": "a", "verdict": Verdict.UNKNOWN}


class Words(Struct, frozen=True, kw_only=True):
    """Types that the estate does not have."""

    bits: Annotated[int, Meta(ge=8, multiple_of=8, description="bits")] = 8
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    most: Annotated[float, Meta(le=1)] = 0.5
    on: bool = True
    either: int | str = 1
    few: Annotated[tuple[int, ...], Meta(max_length=2)] = ()
    nick: Annotated[str, Meta(max_length=3)] = ""
    at: Annotated[str, Meta(min_length=2)] = "ab"


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        ({"bits": 12}, "12 is not a multiple of 8", "write a whole number of at least 8 (bits)"),
        ({"ratio": 1}, "1 is too large", "write a number above 0 and below 1"),
        ({"ratio": 0}, "0 is too small", "write a number above 0 and below 1"),
        ({"most": 2}, "2 is too large", "write a number of at most 1"),
        ({"on": "yes"}, "expected true or false, found the text 'yes'", "write true or false, without quotes"),
        ({"on": ""}, "expected true or false, found an empty text", "write true or false, without quotes"),
        ({"on": date(2027, 1, 1)}, "expected true or false, found the date 2027-01-01", "write true or false"),
        ({"on": time(1, 2)}, "expected true or false, found the time 01:02:00", "write true or false"),
        ({"on": {}}, "expected true or false, found a table", "write true or false"),
        ({"on": None}, "expected true or false, found nothing", "write true or false"),
        ({"either": 1.5}, "expected a whole number or a text, found 1.5", "write a whole number or a text"),
        ({"few": [1, 2, 3]}, "the list holds 3", "write a list of at most 2, each a whole number"),
        ({"nick": "abcd"}, "the text has 4 characters, too many", "write a text of at most 3 characters"),
        ({"at": "a"}, "the text has 1 character, too few", "write a text of at least 2 characters"),
        ({"nick": 10**70}, "expected a text, found a number of 233 bits", "write a text of at most 3 characters, in quotes"),
        ({"on": "x" * 100}, f"expected true or false, found the text '{'x' * 56}...", "write true or false, without quotes"),
    ],
)  # fmt: skip
def test_a_value_is_told_in_words(raw: Any, message: str, hint: str) -> None:
    """The message says what was found, the hint what to write: range, length, unit, quotes."""
    ((_, said, advice),) = faults_of(raw, Words)
    assert (said, advice) == (message, hint)


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
    assert told["leaves[1].length_km"] == ("11.5 is too large", "write a number from 0 to 10 (kilometres)")
    assert told["leaves[1].day"][1] == "write a date as YYYY-MM-DD"


@pytest.mark.parametrize(
    ("raw", "field", "message", "hint"),
    [
        ({}, "leaf", "missing key", "add a table [leaf]"),
        ({"leaf": {"name": "a"}}, "leaf.length_km", "missing key", "add length_km = ..., a number from 0 to 10 (kilometres)"),
        ({"leaf": {"name": "a", "length_km": float("nan")}}, "leaf.length_km", "nan is not a number that can be used", "write a number from 0 to 10 (kilometres)"),
        ({"leaf": {"name": "a", "length_km": 1, "verdict": "safe"}}, "leaf.verdict", "'safe' is not one of the choices", "write one of: quantum-vulnerable, quantum-safe, unknown"),
        ({"leaf": [{"name": "a", "length_km": 1}]}, "leaf", "expected a table, found a list", "there is one only: write its header with one bracket, [...]"),
        ({"leaf": {"name": "a", "length_km": 1}, "leaves": {}}, "leaves", "expected a list, found a table", "there may be several: write its header with two brackets, [[...]]"),
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
