"""What a pilot showed stands beside the cost that rests on it: by the document alone, and never as money."""

import msgspec
from tests.pilot.recorded_campaign import ORIGIN, PILOT, cut, cuts, normal, plan, record

from keystrand.edge.price_lists import rate_lists
from keystrand.model.prices import CostCategory
from keystrand.model.stages.recorded import PilotRecord
from keystrand.pilot.judging import judge
from keystrand.plan.cost_shown import shown_for_cost

replace = msgspec.structs.replace


def shown(made: PilotRecord) -> dict[tuple[str, str], list[str]]:
    """Return what the cost takes over, by what it bears on and of whom it speaks."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in shown_for_cost(judge(PILOT, plan(), made, ORIGIN)):
        assert (one.pilot, one.segment, one.as_of) == ("corridor", "dc-metro", ORIGIN.as_of)
        found.setdefault((one.bears_on, one.subject), []).append(one.shown)
    return found


def test_interfaces_and_steps_are_the_pilots_own() -> None:
    """Three consumers are six interfaces where the cost counts two; lines and steps are those that were counted."""
    told = shown(record())
    assert told["key-interface", ""] == [
        "3 consumers took keys at both ends: 6 interfaces; the cost counts 2 of them for each link"
    ]
    assert told["key-interface", "tunnel"] == [
        "42 lines of configuration; programs: ipsec-program; needs root", "2 steps by operators after agent-death"
    ]  # fmt: skip
    assert told["key-interface", "all"] == ["1 step to set up"]


def test_a_miss_and_a_gap_are_told() -> None:
    """A cost whose pilot missed a criterion says so; monitoring that nobody pays for is named with what closes it."""
    slow = replace(cuts()[0], alarms=(), seen=(cut("tunnel", failover_s=9.0),))
    told = shown(record(episodes=(normal(), slow, *cuts()[1:])))
    (success,) = told["pilot-link", ""]
    assert "on a simulated link; missed: " in success
    assert "tunnel: failover" in success
    (gap,) = told["monitoring", "link-cut"]
    assert gap.startswith("not paid for in this plan: an alarm where the link reports no block")


def test_what_it_bears_on_are_rates_and_categories_that_there_are() -> None:
    """A reader finds each in the assumptions or among the categories."""
    known = {rate.id for one in rate_lists() for rate in one.rate} | {one.value for one in CostCategory}
    assert {one.bears_on for one in shown_for_cost(judge(PILOT, plan(), record(), ORIGIN))} <= known
