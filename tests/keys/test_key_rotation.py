"""Rotation: when a pair must take a new key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.rotation import needs_rotation
from keystrand.keys.rules import PolicyRules
from keystrand.model.key import SourceKind, Strand, Strength
from keystrand.model.key_policy import CryptoProfile, Effect, KeyPolicy, RotationRule

PQC = CryptoProfile(
    name="pqc",
    strands=(Strand(source=SourceKind.PQC, strength=Strength.POST_QUANTUM),),
    result=Strength.POST_QUANTUM,
)
RULES = PolicyRules(
    KeyPolicy(
        name="p",
        default=Effect.DENY,
        profiles=(PQC,),
        rotations=(
            RotationRule(id="hourly", master="a*", slave="b*", max_age_s=3600, max_keys=10),
            RotationRule(id="count", master="a-counted", slave="b*", both_ways=False, max_keys=2),
        ),
    ),
    file="policy.toml",
)


@pytest.mark.parametrize(
    ("pair", "last", "count", "due", "said"),
    [
        (("a1", "b1"), None, 0, True, "no key was ever delivered"),
        (("a1", "b1"), 10_000.0, 0, False, "within"),
        (("a1", "b1"), 6401.0, 9, False, "within"),
        (("a1", "b1"), 6400.0, 0, True, "3600 s old"),
        (("b1", "a1"), 6400.0, 0, True, "3600 s old"),
        (("a1", "b1"), 9_999.0, 10, True, "10 keys were delivered, of 10"),
        (("a1", "b1"), 13_600.0, 0, True, "3600 s old"),
        (("a1", "b1"), 10_001.0, 0, False, "within"),
        (("a-counted", "b1"), 0.0, 1, False, "within"),
        (("a-counted", "b1"), 0.0, 2, True, "of 2"),
        (("b1", "a-counted"), 0.0, 2, True, "old"),
        (("x", "y"), None, 10**9, False, "no rotation rule"),
    ],
)
def test_a_key_is_due_by_age_or_by_count(
    pair: tuple[str, str],
    last: float | None,
    count: int,
    due: bool,  # noqa: FBT001 - a column of the table
    said: str,
) -> None:
    """At its limit, not after it; a time in the future counts as far as it is away; the most specific rule counts."""
    answer = needs_rotation(RULES, pair, last, count, 10_000.0)
    assert answer.due is due
    assert bool(answer) is due
    assert said in answer.reason


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 100), st.floats(0, 1e6), st.integers(0, 100))
def test_what_is_due_stays_due(last: float, age_s: float, count: int, later_s: float, more: int) -> None:
    """Neither time nor deliveries undo it: only a rotation does."""
    if needs_rotation(RULES, ("a1", "b1"), last, count, last + age_s):
        assert needs_rotation(RULES, ("a1", "b1"), last, count + more, last + age_s + later_s)
