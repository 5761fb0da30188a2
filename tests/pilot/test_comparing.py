"""Two campaigns side by side: what the intervals tell apart, what they do not, and what only one measured."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pilot.recorded_campaign import ORIGIN, PILOT, cuts, flows, normal, plan, record, rotations

from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import SourceChoice
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.units import Estimate
from keystrand.pilot.comparing import CriterionPair, PilotComparison, compare_pilots
from keystrand.pilot.judging import judge

replace = msgspec.structs.replace
N = CriterionName


def judged(**changed: object) -> PilotReport:
    """Return the report on a record with `changed` fields."""
    return judge(PILOT, plan(), record(**changed), ORIGIN)


def pair(made: PilotComparison, name: str, consumer: str = "") -> CriterionPair:
    """Return one criterion of a comparison."""
    (found,) = [one for one in made.criteria if (one.name, one.consumer) == (name, consumer)]
    return found


def test_a_campaign_does_not_differ_from_itself() -> None:
    """Every criterion is there, none is better, and nothing was measured by one alone."""
    report = judged()
    made = compare_pilots(report, report)
    assert len(made.criteria) == len(report.scorecard)
    assert {one.better for one in made.criteria} == {""}
    assert (made.only_first, made.only_second, made.notes) == ((), (), ())
    assert all(one.difference is None or one.difference.low <= 0 <= one.difference.high for one in made.criteria)


def test_what_the_intervals_tell_apart_has_a_better_side() -> None:
    """Rotations in 0.1 s against 0.3 s: the first is better; throughput of 1 against 0.6: the first again."""
    slow = judged(
        episodes=(normal(rotations=rotations(took_s=0.3)), *cuts()), flows=(*flows("tunnel", slower=1 / 0.6),)
    )
    made = compare_pilots(judged(), slow)
    times = pair(made, N.ROTATION, "tunnel")
    assert times.better == "first"
    assert times.difference is not None
    assert (times.difference.low, times.difference.high) == pytest.approx((0.2, 0.2))
    assert pair(made, N.THROUGHPUT, "tunnel").better == "first"
    assert pair(compare_pilots(slow, judged()), N.ROTATION, "tunnel").better == "second"
    assert "second: shop: throughput" not in made.only_second
    assert "shop: throughput with keys" in made.only_first


def test_overlapping_intervals_show_no_difference() -> None:
    """Two losses in 80 rotations against none: 0.025 each, and the interval reaches to zero."""
    lossy = judged(episodes=(normal(rotations=(*rotations(78), *rotations(2, lost=1))), *cuts()))
    found = pair(compare_pilots(judged(), lossy), N.ROTATION_LOSS, "tunnel")
    assert found.better == ""
    assert found.difference is not None
    assert found.difference.low < 0
    assert found.difference.high > 0.025


def test_the_interval_of_a_difference_is_that_of_the_paper() -> None:
    """Squared distances to the near ends add up: 1 +- 0.3 and 2 +- 0.4 differ by 1 +- 0.5."""
    goal = "at most 9 s"

    def report(value: float, wide: float) -> PilotReport:
        seen = Estimate(
            value=value, low=value - wide, high=value + wide, sample_size=9, unit="s", simulated=False,
            spread="95 % interval",
        )  # fmt: skip
        one = CriterionResult(name="x", goal=goal, state=CriterionState.MET, measured=seen)
        return replace(judged(), scorecard=(one,))

    found = pair(compare_pilots(report(1, 0.3), report(2, 0.4)), "x")
    assert found.difference is not None
    assert (found.difference.low, found.difference.high) == pytest.approx((0.5, 1.5))
    assert found.better == "first"


def test_different_criteria_are_refused_unless_told() -> None:
    """A goal that differs is named; with leave to compare it is a note."""
    criteria = replace(plan().criteria, rotation_p95_max_s=2.0)
    other = judge(PILOT, replace(plan(), criteria=criteria), record(), ORIGIN)
    with pytest.raises(InvalidInput, match="2 goals") as caught:
        compare_pilots(judged(), other)
    assert {problem.field for problem in caught.value.problems} == {"tunnel: rotation time", "second: rotation time"}
    (note,) = compare_pilots(judged(), other, unlike=True).notes
    assert "rotation time" in note


def test_what_makes_two_campaigns_unlike_is_said() -> None:
    """A vendor's keys against a twin's, events that one did not run, a gap in monitoring; effort side by side."""
    quiet = judged(source=SourceChoice.VENDOR, episodes=(normal(),), deeds=())
    made = compare_pilots(judged(), quiet)
    notes = " | ".join(made.notes)
    assert "keys of the first come from a simulated link" in notes
    assert "only the first ran: link-cut" in notes
    assert "tunnel: failover" in made.only_first
    assert {(one.kind.value, one.first, one.second) for one in made.effort} == {
        ("config-lines", 42, 0), ("command", 1, 0), ("restart", 2, 0),
    }  # fmt: skip


numbers = st.tuples(*[st.floats(0, 1e6)] * 3).map(sorted)


@given(numbers, numbers, st.sampled_from(["95 % interval", "least to greatest"]))
def test_sides_exchanged_turn_the_difference_round(one: list[float], other: list[float], spread: str) -> None:
    """The interval holds the middle, its ends change sign, and the better side is the other."""

    def report(ends: list[float]) -> PilotReport:
        seen = Estimate(value=ends[1], low=ends[0], high=ends[2], sample_size=9, unit="s", simulated=False,
                        spread=spread)  # fmt: skip
        return replace(
            BASE, scorecard=(CriterionResult(name="x", goal="at most 1 s", state=CriterionState.MET, measured=seen),)
        )

    there = pair(compare_pilots(report(one), report(other)), "x")
    back = pair(compare_pilots(report(other), report(one)), "x")
    assert there.difference is not None
    assert back.difference is not None
    assert there.difference.low <= other[1] - one[1] <= there.difference.high
    assert math.isclose(there.difference.low, -back.difference.high, abs_tol=1e-9)
    assert {"": "", "first": "second", "second": "first"}[there.better] == back.better


BASE = judged()
