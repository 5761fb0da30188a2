"""From contests with peers to rows: ratios turn by turn, limits, and rivals that are not there."""

from collections.abc import Callable

import pytest
from bench.measure import Failed, Missing
from bench.qkd_rows import Figures, Job, Rival, absent, contest, limit_row, ratio_row, speed_rows, within_row


def _rate(rate: float) -> Job:
    return lambda seed: {"rate": rate, "seed": float(seed)}


def _missing() -> Job:
    raise Missing("no compiler")


def _broken() -> Job:
    def job(_seed: int) -> Figures:
        raise Failed("ended with status 3")

    return job


Start = Callable[[], Job]


def test_every_turn_has_a_seed_of_its_own() -> None:
    """Medians over one frame drawn again and again would say nothing of the spread."""
    seeds = [one["seed"] for one in contest(4, _rate(1)).ours]
    assert len(set(seeds)) == 4


def test_rivals_have_their_rates_and_our_ratio_with_its_goal() -> None:
    """A ratio is ours over theirs; only what the goal names can be met or missed."""
    made = contest(3, _rate(30), [Rival("slow", lambda: _rate(3)), Rival("near", lambda: _rate(20))])
    rows = speed_rows("job", "1/s", made, at_least=31, ratios={"slow": 10.0})
    assert [(r.name, r.value, r.ratio, r.met) for r in rows] == [
        ("job", 30, None, False),
        ("job (slow)", 3, None, None),
        ("job: ratio to slow", 10, 10, True),
        ("job (near)", 20, None, None),
        ("job: ratio to near", 1.5, 1.5, None),
    ]


@pytest.mark.parametrize(("start", "why"), [(_missing, "no compiler"), (_broken, "ended with status 3")])
def test_a_rival_that_is_not_there_has_a_row_that_says_why_and_is_not_met(start: Start, why: str) -> None:
    """It is never silently left out: a ratio nobody measured is no ratio that holds."""
    made = contest(2, _rate(30), [Rival("peer", start)])
    (ours, ratio) = speed_rows("job", "1/s", made, ratios={"peer": 3.0})
    assert (ours.value, ours.met) == (30, None)
    assert (ratio.name, ratio.met, ratio.ratio) == ("job: ratio to peer", False, None)
    assert ratio.peer == f"peer not available: peer: {why}"
    assert ratio.goal == ">= 3.0 x"


def test_an_absent_rival_without_a_goal_is_told_and_judges_nothing() -> None:
    """Its row is there all the same."""
    assert absent("ratio", "peer", "no git").met is None


def test_the_ratio_is_the_median_of_the_turns() -> None:
    """A busy moment hits both of one turn, so it is taken turn by turn."""
    made = ratio_row("ratio", [10, 2, 30], [5, 1, 10], "peer", at_least=2)
    assert (made.low, made.value, made.high, made.met) == (2, 2, 3, True)


@pytest.mark.parametrize(("value", "met"), [(1.03, True), (1.031, False)])
def test_a_limit_row_says_how_far_the_limit_is(*, value: float, met: bool) -> None:
    """f is held against 1, and against its goal."""
    made = limit_row("f", [value], "", "Shannon limit, f = 1", 1.0, goal=1.03)
    assert (made.value, made.ratio, made.peer, made.met) == (value, value, "Shannon limit, f = 1", met)


@pytest.mark.parametrize(("value", "met"), [(141.9, True), (142.1, True), (142.11, False), (141.89, False)])
def test_a_published_value_is_met_on_both_sides(*, value: float, met: bool) -> None:
    """Too much is as wrong as too little."""
    made = within_row("reach", value, "km", 142.0, 0.1000001)
    assert (made.value, made.met) == (value, met)


def test_slow_rivals_run_once_and_ours_after_its_warm_up() -> None:
    """The first run of ours compiles; a rival's does not."""
    made = contest(1, _rate(30), [Rival("slow", lambda: _rate(3)), Rival("none", _missing)], slow=True)
    assert made.ours == [{"rate": 30, "seed": 2}]
    assert made.rivals == {"slow": [{"rate": 3, "seed": 1}], "none": "no compiler"}
