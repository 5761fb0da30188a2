"""The rows of every benchmark: medians, spread, ratios and goals in both directions."""

import pytest
from bench.measure import interleaved, percentile, row


@pytest.mark.parametrize(
    ("value", "goal", "at_least", "said", "met"),
    [
        (2.0, 2.0, None, "<= 2.0 ms", True),
        (2.1, 2.0, None, "<= 2.0 ms", False),
        (2.0, None, 2.0, ">= 2.0 ms", True),
        (1.9, None, 2.0, ">= 2.0 ms", False),
        (1.0, None, None, "", None),
    ],
)
def test_a_goal_is_the_most_or_the_least_that_the_median_may_be(
    *, value: float, goal: float | None, at_least: float | None, said: str, met: bool | None
) -> None:
    """Both limits belong to the goal; without one nothing is met or missed."""
    made = row("time", [value - 5, value, value + 5], "ms", goal=goal, at_least=at_least)
    assert (made.value, made.goal, made.met) == (value, said, met)


def test_the_ratio_is_taken_of_medians_and_left_out_where_the_peer_did_nothing() -> None:
    """A peer of median 0 has no ratio, nor has no peer."""
    assert row("rate", [3, 4, 50], "1/s", peer="peer", peer_samples=[1, 2, 90]).ratio == 2
    assert row("rate", [3], "1/s", peer="peer", peer_samples=[0, 0, 9]).ratio is None
    assert row("rate", [3], "1/s").ratio is None


def test_percentiles_are_samples() -> None:
    """No value is made up between two samples."""
    assert [percentile([4, 1, 3, 2], share) for share in (0, 0.5, 1)] == [1, 3, 4]


def test_jobs_take_turns_and_the_first_turn_is_dropped() -> None:
    """Each job's samples stand between those of the others, so that a busy moment hits all."""
    order: list[str] = []

    def job(name: str) -> str:
        order.append(name)
        return f"{name}{len(order)}"

    assert interleaved(2, lambda: job("a"), lambda: job("b")) == (["a3", "a5"], ["b4", "b6"])
    assert order == ["a", "b"] * 3
