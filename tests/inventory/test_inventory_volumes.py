"""One flow seen by several captures and logs: what adds up, and what is the same packets twice."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.inventory.reconcile import reconcile
from keystrand.inventory.volumes import COUNTS
from keystrand.model.observation import Fact, Flow, Strength

FLOW = Flow(client="10.0.0.1", server="10.0.0.2", port=443, transport="tcp", protocol="tls", key_establishment="X25519")
hours = st.integers(0, 23).map(lambda hour: f"2026-11-26T{hour:02}:00:00Z")


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Return one sighting, with or without a clock."""
    first, last = sorted((draw(hours), draw(hours)))
    counts = {name: draw(st.integers(0, 9)) for name in COUNTS}
    times = {"first": first, "last": last} if draw(st.booleans()) else {}
    return replace(FLOW, **counts, **times)


def seen(hour: int, until: int, octets: int) -> Flow:
    """Return a sighting between two hours of a day."""
    return replace(
        FLOW,
        octets_to_client=octets,
        packets=octets // 10,
        first=f"2026-11-26T{hour:02}",
        last=f"2026-11-26T{until:02}",
    )


def of(*sightings: Flow) -> tuple[Any, tuple[str, ...]]:
    """Return the flow of all sightings, and the conflicts."""
    return reconcile([(Strength.NEGOTIATED, flow) for flow in sightings])


def test_captures_one_after_the_other_add_up() -> None:
    """Three hours of rotated files, one of them read twice: all octets, first to last, and no conflict."""
    fact, conflicts = of(seen(1, 2, 100), seen(3, 4, 50), seen(3, 4, 50), seen(5, 6, 7))
    assert (fact.octets_to_client, fact.packets, fact.first, fact.last) == (157, 15, "2026-11-26T01", "2026-11-26T06")
    assert conflicts == ()


def test_two_sensors_at_one_time_saw_the_same_packets() -> None:
    """A log and a capture that overlap, also through a third: the larger counts, not the sum."""
    assert of(seen(1, 3, 100), seen(2, 6, 90), seen(5, 7, 20))[0].octets_to_client == 100


def test_sightings_without_a_clock_add_up() -> None:
    """What has no time cannot be told to be the same."""
    assert of(replace(FLOW, packets=3), replace(FLOW, packets=4))[0].packets == 7


@given(st.lists(flows(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_counts_are_between_the_largest_and_the_sum(sightings: list[Flow], shuffler: Any) -> None:
    """Whatever the order and however often one is told; the times are the outermost."""
    fact, conflicts = of(*sightings)
    for name in COUNTS:
        counts = [getattr(flow, name) for flow in set(sightings)]
        assert max(counts) <= getattr(fact, name) <= sum(counts)
    assert fact.first == min((flow.first for flow in sightings if flow.first), default="")
    again = [*sightings, *shuffler.choices(sightings, k=2)]
    shuffler.shuffle(again)
    plain: Fact = fact
    assert of(*again) == (plain, conflicts)
