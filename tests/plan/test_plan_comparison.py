"""The ratings of the five approaches against the guide's table, and the rules against their own promises."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.stages import Approach, Fit
from keystrand.model.units import Answer
from keystrand.plan.comparison import migration_readiness, operational_complexity, profile_text
from keystrand.plan.rules import CONDITIONS, NO, UNKNOWN, YES, Fact, SegmentFacts, choose, flips, judge

GUIDE = {
    Approach.QKD_FIBRE: ("high", "high for pilot, medium for scale"),
    Approach.QKD_TRUSTED_NODE: ("high", "medium"),
    Approach.HYBRID: ("medium", "high"),
    Approach.PQC_ONLY: ("low to medium", "very high"),
    Approach.QUANTUM_INTERNET_TESTBED: ("very high", "low to medium"),
}
"""Operational complexity and migration readiness as the guide rates them: ten cells."""

PASSIVE = {"research", "single_span", "may_wait"}
"""Facts that steer between approaches; every other fact is a condition that a quantum approach must fulfil."""


@pytest.mark.parametrize("approach", list(Approach))
def test_counted_ratings_are_those_of_the_guide(approach: Approach) -> None:
    """Counting burdens and criteria gives each of the ten ratings."""
    assert (operational_complexity(approach), migration_readiness(approach)) == GUIDE[approach]
    assert all(word in profile_text(approach)[1] for word in GUIDE[approach])


@st.composite
def segments(draw: st.DrawFn) -> SegmentFacts:
    """Any answers to any facts."""
    answers = {name: draw(st.sampled_from(Answer)) for name in SegmentFacts.__struct_fields__}
    return SegmentFacts(**{name: Fact(answer, name) for name, answer in answers.items()})


def facts(**answers: Answer) -> SegmentFacts:
    """Return facts that are all yes for production traffic on one span, but for `answers`."""
    given_ = dict.fromkeys(SegmentFacts.__struct_fields__, YES) | {"research": NO} | answers
    return SegmentFacts(**{name: Fact(answer, name) for name, answer in given_.items()})


@given(segments())
def test_one_no_or_unknown_is_enough_for_the_default(answers: SegmentFacts) -> None:
    """A quantum approach is chosen only where every one of its conditions is answered in its favour."""
    chosen = choose(answers)
    if chosen is not Approach.PQC_ONLY:
        assert all(getattr(answers, name).answer is wanted for name, wanted in CONDITIONS[chosen])
    quantum = ("permitted", "dedicated_optics", "dark_fibre", "specialised_operation", "nodes_accepted")
    if any(getattr(answers, name).answer is not YES for name in quantum):
        assert chosen is Approach.PQC_ONLY


@given(segments())
def test_fit_says_excluded_for_no_and_undetermined_for_unknown(answers: SegmentFacts) -> None:
    """No excludes even beside an unknown; an unknown alone leaves open; the default is always possible."""
    for approach in Approach:
        found = judge(approach, answers)
        expected = Fit.EXCLUDED if found.unmet else Fit.UNDETERMINED if found.unknown else Fit.POSSIBLE
        assert found.fit is expected
        assert len(found.met) + len(found.unmet) + len(found.unknown) == len(CONDITIONS[approach])
    assert judge(Approach.PQC_ONLY, answers).fit is Fit.POSSIBLE


@given(segments())
def test_what_would_change_really_changes(answers: SegmentFacts) -> None:
    """Each flip, applied, gives the approach it announces, and not the present one."""
    for name, answer, then in flips(answers):
        assert choose(msgspec.structs.replace(answers, **{name: Fact(answer, "")})) is then
        assert then is not choose(answers)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, Approach.QKD_FIBRE),
        ({"may_wait": NO}, Approach.HYBRID),
        ({"may_wait": UNKNOWN}, Approach.HYBRID),
        ({"single_span": NO}, Approach.QKD_TRUSTED_NODE),
        ({"research": YES}, Approach.QUANTUM_INTERNET_TESTBED),
        ({"research": YES, "programme_named": UNKNOWN}, Approach.PQC_ONLY),
    ],
)
def test_each_approach_is_right_somewhere(answers: dict[str, Answer], expected: Approach) -> None:
    """The facts that steer between the approaches lead to each of them."""
    assert choose(facts(**answers)) is expected


def test_every_condition_counts() -> None:
    """With everything in its favour, taking away any one condition leads back to the default."""
    for name in set(SegmentFacts.__struct_fields__) - PASSIVE - {"programme_named"}:
        assert choose(facts(**{name: NO})) is Approach.PQC_ONLY, name
        assert choose(facts(**{name: UNKNOWN})) is Approach.PQC_ONLY, name
