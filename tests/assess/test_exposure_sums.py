"""Sums keep their ranges, count nothing twice by system, owner and class, and never split what is not declared."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from keystrand.assess.exposure import exposures
from keystrand.assess.exposure_sums import NOBODY, NOWHERE, By, ExposureSum, exposure_sums, harvested
from keystrand.assess.findings import findings
from keystrand.edge.catalogue import curves, harvests
from keystrand.model.estate import Exposure as Network
from keystrand.model.estate import Owners, Sensitivity
from keystrand.model.horizon import horizons
from keystrand.model.likelihood import HarvestSet, Likelihood
from keystrand.model.units import Interval

CLASSES = (("short", 3.0, Sensitivity.LOW), ("long", 30.0, Sensitivity.HIGH))
Sums = Callable[[By], dict[str, ExposureSum]]


@pytest.fixture(scope="module")
def estate(estate_of: Any, system_of: Any) -> Any:
    """Return three systems: two classes on two segments, one class on one segment, one class on none."""
    team = Owners(algorithms="team")
    return estate_of(
        system_of("both", data_classes=("short", "long"), segments=("a", "b"), volume_per_year=10.0, owners=team),
        system_of("one", data_classes=("long",), segments=("a",), volume_per_year=2.0, owners=team),
        system_of("none", data_classes=("short",), exposure=Network.INTERNAL),
        classes=CLASSES,
    )


@pytest.fixture(scope="module")
def sums(estate: Any, inventory_of: Any, kex: Any, as_of: date) -> Sums:
    """Return a function from what to sum by to the sums by name."""
    ends = horizons(next(c for c in curves() if c.id == "gri-2025"), as_of)
    judged = findings(estate, inventory_of({name: [kex("X25519")] for name in ("both", "one", "none")}))
    found = exposures(estate, judged, ends, as_of)
    return lambda by: {s.name: s for s in exposure_sums(estate, found, by)}


def _total(found: dict[str, ExposureSum]) -> tuple[float, float]:
    return sum(s.amounts.avoidable.low for s in found.values()), sum(s.amounts.avoidable.high for s in found.values())


def test_systems_owners_and_classes_come_to_the_same(sums: Sums) -> None:
    """Each pair of system and class is in exactly one of each: the totals agree at both ends."""
    assert _total(sums(By.OWNER)) == pytest.approx(_total(sums(By.SYSTEM)))
    assert _total(sums(By.DATA_CLASS)) == pytest.approx(_total(sums(By.SYSTEM)))
    assert sums(By.OWNER)[NOBODY].systems == ("none",)
    assert sums(By.OWNER)["team"].systems == ("both", "one")


def test_a_system_on_several_segments_counts_on_each_from_none_to_all(sums: Sums) -> None:
    """What is not declared is not split: the low end of a flow is 0 where another segment could carry it all."""
    flows, systems = sums(By.FLOW), sums(By.SYSTEM)
    for name in ("both on a", "both on b"):
        assert flows[name].amounts.avoidable == Interval(low=0.0, high=systems["both"].amounts.avoidable.high)
    assert flows["one on a"].amounts == systems["one"].amounts
    assert f"none on {NOWHERE}" in flows
    assert sums(By.SEGMENT)["a"].amounts.avoidable.low == systems["one"].amounts.avoidable.low
    assert sums(By.SEGMENT)[NOWHERE].systems == ("none",)


def test_volume_lies_between_the_shortest_and_the_longest_lived_class(sums: Sums) -> None:
    """A system's volume is not split between its classes; where none is declared there is no figure."""
    by_class = sums(By.DATA_CLASS)
    both, one = sums(By.SYSTEM)["both"].amounts.volume, sums(By.SYSTEM)["one"].amounts.volume
    assert both
    assert one
    assert one.high * 5 == pytest.approx(both.high)
    assert both.low < both.high / 50
    assert sums(By.SYSTEM)["none"].amounts.volume is None
    assert by_class["short"].amounts.volume
    assert by_class["short"].amounts.volume.low == 0


def test_likelihoods_stand_beside_and_only_lower(estate: Any, sums: Sums) -> None:
    """The set is applied by network; a network it does not name is from 0 to 1; the exposure itself stays."""
    rare = HarvestSet(
        id="rare", name="rare", source="test", likelihoods=(Likelihood(network=Network.INTERNET, low=0.5, high=0.5),)
    )
    by_system = sums(By.SYSTEM)
    one, none = by_system["one"], by_system["none"]
    networks = {system.id: system.exposure for system in estate.system}
    half = harvested(networks, one, rare)
    assert (half.low, half.high) == pytest.approx((one.amounts.avoidable.low / 2, one.amounts.avoidable.high / 2))
    assert harvested(networks, none, rare) == Interval(low=0.0, high=none.amounts.avoidable.high)


def test_the_shipped_set_says_that_it_is_assumed() -> None:
    """Nobody measured it, every network is a range, and more parties never make it less likely."""
    (shipped,) = harvests()
    assert "assumed" in shipped.source
    ranges = [shipped.of(network) for network in (Network.INTERNAL, Network.PARTNER, Network.INTERNET)]
    assert all(r.low < r.high for r in ranges)
    assert [r.high for r in ranges] == sorted(r.high for r in ranges)


def test_a_likelihood_upside_down_is_refused() -> None:
    """The low end is not above the high end."""
    with pytest.raises(ValueError, match="low end"):
        Likelihood(network=Network.INTERNET, low=0.6, high=0.5)
