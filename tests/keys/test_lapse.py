"""No fresh key: every policy in time, and what none of them may do."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.lapse import LAPSE, FailurePolicy, Footing, Lapse, LapseAction, Move, Terms
from keystrand.model.errors import InvalidInput

TERMS = {
    FailurePolicy.FAIL_SECURE: Terms(policy=FailurePolicy.FAIL_SECURE, max_age_s=10),
    FailurePolicy.HOLD_UNTIL_TTL: Terms(policy=FailurePolicy.HOLD_UNTIL_TTL, max_age_s=10, ttl_s=30),
    FailurePolicy.FALLBACK_PQC: Terms(policy=FailurePolicy.FALLBACK_PQC, max_age_s=10, fallback_most_s=25),
    FailurePolicy.FAIL_OPEN: Terms(policy=FailurePolicy.FAIL_OPEN, max_age_s=10, exception_ends_s=100),
}


def _fresh(policy: FailurePolicy, now: float = 0.0) -> Lapse:
    lapse = Lapse(TERMS[policy])
    lapse.renewed(now, born_s=now)
    return lapse


def _after(moves: tuple[Move, ...]) -> list[Footing]:
    return [move.after for move in moves]


@pytest.mark.parametrize(
    ("policy", "moves"),
    [
        (FailurePolicy.FAIL_SECURE, {9.9: [], 10: [Footing.INVALID], 1000: []}),
        (FailurePolicy.HOLD_UNTIL_TTL, {10: [Footing.HELD], 29: [], 30: [Footing.INVALID]}),
        (FailurePolicy.FALLBACK_PQC, {9.9: [], 10: [Footing.INVALID]}),
        (FailurePolicy.FAIL_OPEN, {10: [Footing.OPEN], 99: [], 100: [Footing.INVALID], 1000: []}),
    ],
)
def test_each_policy_in_time(policy: FailurePolicy, moves: dict[float, list[Footing]]) -> None:
    """What happens to a key that nothing replaces, to the second; whoever looks late finds all of it at once."""
    lapse = _fresh(policy)
    for now, expected in moves.items():
        assert _after(lapse.poll(now)) == expected, now
    assert _after(_fresh(policy).poll(1e6)) == [footing for at in moves.values() for footing in at]


def test_substitutes_serve_for_their_time_in_all() -> None:
    """New post-quantum keys do not lengthen the box; a fresh key opens it anew; the alarm stands in between."""
    lapse = _fresh(FailurePolicy.FALLBACK_PQC)
    (move,) = lapse.renewed(8, born_s=8, substitute=True)
    assert (move.after, move.actions) == (Footing.SUBSTITUTE, (LapseAction.ALARM,))
    for now in (16, 24, 32):
        assert lapse.renewed(now, born_s=now, substitute=True) == ()
    assert _after(lapse.poll(33)) == [Footing.INVALID]
    with pytest.raises(InvalidInput, match="permits no post-quantum key"):
        lapse.renewed(34, born_s=34, substitute=True)
    assert lapse.footing is Footing.INVALID
    (move,) = lapse.renewed(40, born_s=40)
    assert (move.after, move.actions) == (Footing.FRESH, (LapseAction.CLEAR,))
    assert lapse.may_substitute(40)


def test_a_substitute_is_no_older_than_any_key() -> None:
    """A post-quantum key that is not replaced is invalid at the age of every other."""
    lapse = _fresh(FailurePolicy.FALLBACK_PQC)
    lapse.renewed(5, born_s=5, substitute=True)
    assert _after(lapse.poll(15)) == [Footing.INVALID]


@pytest.mark.parametrize("policy", sorted(set(FailurePolicy) - {FailurePolicy.FALLBACK_PQC}))
def test_no_other_policy_takes_a_substitute(policy: FailurePolicy) -> None:
    """A weaker key needs a policy that names it."""
    with pytest.raises(InvalidInput, match="permits no post-quantum key"):
        _fresh(policy).renewed(1, born_s=1, substitute=True)


def test_a_key_that_was_old_when_it_was_proven_is_not_fresh() -> None:
    """The age counts from when the key was fetched, not from when it came into use."""
    lapse = Lapse(TERMS[FailurePolicy.FAIL_SECURE])
    lapse.renewed(20, born_s=5)
    assert lapse.age_s(20) == 15
    assert _after(lapse.poll(20)) == [Footing.INVALID]
    assert lapse.age_s(20) == math.inf


steps = st.lists(
    st.tuples(st.sampled_from(["poll", "fresh", "substitute"]), st.floats(-50, 50), st.floats(0, 5)), max_size=25
)


@given(st.sampled_from(FailurePolicy), steps)
def test_whatever_the_clock_does_an_invalid_key_comes_back_by_proof_alone(
    policy: FailurePolicy, steps: list[tuple[str, float, float]]
) -> None:
    """Time never leads out of invalid, never to a better footing, and every move is told with what to do about it."""
    lapse, now, told = Lapse(TERMS[policy]), 0.0, Footing.INVALID
    for what, by, age in steps:
        now += by
        before = lapse.footing
        try:
            moves = lapse.poll(now) if what == "poll" else lapse.renewed(
                now, born_s=now - age, substitute=what == "substitute")  # fmt: skip
        except InvalidInput:
            moves = ()
            told = lapse.footing
        for move in moves:
            assert move.before is told
            assert move.actions
            told = move.after
        assert told is lapse.footing
        if what == "poll" and before is Footing.INVALID:
            assert lapse.footing is Footing.INVALID
        assert policy is FailurePolicy.FAIL_OPEN or lapse.footing is not Footing.OPEN


@given(st.floats(0.1, 9.9), st.floats(0, 1000))
def test_a_clock_set_back_lengthens_nothing(gone: float, back: float) -> None:
    """The time that was left is the time that is left."""
    lapse = _fresh(FailurePolicy.FAIL_SECURE, 5000.0)
    lapse.poll(5000.0 + gone)
    lapse.poll(5000.0 + gone - back)
    assert lapse.until_s - (5000.0 + gone - back) == pytest.approx(10 - gone)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policy": "fail-secure", "max_age_s": 0}, "max_age_s must be above 0"),
        ({"policy": "hold-until-ttl", "max_age_s": 10}, "needs ttl_s"),
        ({"policy": "hold-until-ttl", "max_age_s": 10, "ttl_s": 10}, "needs ttl_s above max_age_s"),
        ({"policy": "fallback-pqc", "max_age_s": 10}, "needs fallback_most_s"),
        ({"policy": "fail-open", "max_age_s": 10}, "signed exception that ends"),
        ({"policy": "fail-open", "max_age_s": 10, "exception_ends_s": math.inf}, "signed exception that ends"),
    ],
)
def test_terms_without_an_end_are_refused(fields: dict[str, Any], message: str) -> None:
    """No policy lasts for ever in silence."""
    with pytest.raises(InvalidInput, match=message):
        Terms(**(fields | {"policy": FailurePolicy(fields["policy"])}))


def test_only_a_proven_key_leads_out_of_invalid() -> None:
    """The table says so."""
    assert {event for footing, event in LAPSE.rows if footing is Footing.INVALID} == {
        event for event in type(next(iter(LAPSE.rows))[1]) if event.name in {"RENEWED", "SUBSTITUTED"}
    }
