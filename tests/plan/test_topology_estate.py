"""The network of an estate: which fibres there are, who may relay, and who needs keys."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from keystrand.formats.estate_checks import great_circle_km
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.network import Access
from keystrand.model.planning import Demand, Protection
from keystrand.model.stages.designed import RateModel
from keystrand.model.units import Answer
from keystrand.plan.topology_estate import network_of
from keystrand.plan.topology_optics import rate_of


def test_a_segment_becomes_a_fibre_with_its_measured_loss(estate: Callable[..., Estate]) -> None:
    """Length and loss are the segment's; huts are allowed where somebody accepted trusted nodes."""
    (fibre,) = network_of(estate()).fibres
    assert (fibre.id, fibre.a, fibre.b, fibre.length_km, fibre.loss_db) == ("corridor", "north", "south", 80.0, 16.0)
    assert fibre.may_split


@pytest.mark.parametrize("case", [{"trusted_nodes": "no", "accepted_by": "risk"}, {"trusted_nodes": "yes"}])
def test_huts_need_somebody_who_accepts_them(estate: Callable[..., Estate], case: dict[str, str]) -> None:
    """A yes that nobody signed is no yes."""
    assert not network_of(estate(quantum=case)).fibres[0].may_split


def test_sites_on_the_way_split_a_segment(estate: Callable[..., Estate]) -> None:
    """Each hop has its share of length and loss by the distance between its sites; the sum is the whole."""
    made = estate(via=["hub"])
    first, second = network_of(made).fibres
    sites = {site.id: site for site in made.site}
    ratio = great_circle_km(sites["north"], sites["hub"]) / great_circle_km(sites["hub"], sites["south"])
    assert first.length_km / second.length_km == pytest.approx(ratio)
    assert first.loss_db + second.loss_db == pytest.approx(16.0)
    assert first.length_km + second.length_km == pytest.approx(80.0)


def test_two_sites_in_one_place_are_joined(estate: Callable[..., Estate]) -> None:
    """A hop of no length has no loss, and still makes keys."""
    made = estate(via=["hub"])
    sites = {site.id: site for site in made.site}
    near = msgspec.structs.replace(sites["hub"], latitude=sites["north"].latitude, longitude=sites["north"].longitude)
    first, _ = network_of(msgspec.structs.replace(made, site=(sites["north"], near, sites["south"]))).fibres
    assert first.loss_db == 0
    assert rate_of(RateModel.DECOY)(first.loss_db) > 1e5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dark_fibre": "no"}, "there is no dark fibre"),
        ({"dark_fibre": "unknown"}, "not known whether there is a dark fibre"),
        ({"purpose": "research"}, "for research"),
        ({"loss_db": 0.0}, "loss of the fibre is not known"),
    ],
)
def test_a_segment_without_a_usable_fibre_is_named(estate: Callable[..., Estate], changes: Any, words: str) -> None:
    """Where it is the only one the estate cannot be planned, and the message says why."""
    with pytest.raises(InvalidInput, match=words) as told:
        network_of(estate(**changes))
    assert "dark_fibre" in told.value.hint


def test_an_estate_with_nothing_but_a_site_is_refused(estate: Callable[..., Estate]) -> None:
    """There is no fibre, and the next step is told."""
    made = estate(systems=[])
    with pytest.raises(InvalidInput, match="no dark fibre"):
        network_of(msgspec.structs.replace(made, segment=(), site=made.site[:1]))


def test_nobody_who_needs_keys_is_told(estate: Callable[..., Estate]) -> None:
    """A fibre alone is no reason to build."""
    with pytest.raises(InvalidInput, match="who needs keys") as told:
        network_of(estate(key_demand_bits_per_s=0))
    assert "[[demand]]" in told.value.hint


@pytest.mark.parametrize(
    ("may_host", "controlled", "relays"),
    [("yes", "no", "yes"), ("no", "yes", "no"), ("unknown", "yes", "yes"), ("unknown", "no", "no"),
     ("unknown", "unknown", "unknown")],
)  # fmt: skip
def test_who_may_relay(estate: Callable[..., Estate], may_host: str, controlled: str, relays: str) -> None:
    """What a site says of nodes counts; where it says nothing, a controlled site may; not known is a question."""
    made = estate(controlled=controlled)
    sites = tuple(msgspec.structs.replace(s, may_host_node=Answer(may_host)) for s in made.site)
    network = network_of(msgspec.structs.replace(made, site=sites))
    assert {node.may_relay for node in network.nodes} == {Answer(relays)}
    assert any("may_host_node" in question for question in network.questions) is (relays == "unknown")


@pytest.mark.parametrize(
    ("controlled", "staffed", "access"),
    [("yes", "yes", Access.STAFFED), ("yes", "unknown", Access.UNSTAFFED), ("unknown", "yes", Access.FOREIGN)],
)
def test_access_prices_the_dearer_where_not_known(
    estate: Callable[..., Estate], controlled: str, staffed: str, access: Access
) -> None:
    """What is not known costs what a no costs."""
    made = estate(controlled=controlled)
    sites = tuple(msgspec.structs.replace(s, staffed=Answer(staffed)) for s in made.site)
    assert {node.access for node in network_of(msgspec.structs.replace(made, site=sites)).nodes} == {access}


def test_demands_go_before_segments(estate: Callable[..., Estate]) -> None:
    """A [[demand]] counts with its peak; without one the segments' own do, protected where traffic must go on."""
    made = estate()
    assert [(n.bits_per_s, n.protection) for n in network_of(made).needs] == [(256, Protection.NODE)]
    waiting = estate(continuity="may-wait")
    assert [n.protection for n in network_of(waiting).needs] == [Protection.NONE]
    asked = Demand(id="own", a="north", b="south", bits_per_s=10, peak_bits_per_s=30, zones=("core",))
    (need,) = network_of(msgspec.structs.replace(made, demand=(asked,))).needs
    assert (need.id, need.bits_per_s, need.zones) == ("own", 30, ("core",))


def test_a_plan_says_which_segments_count(estate: Callable[..., Estate]) -> None:
    """A segment that the plan gives no quantum keys asks for none."""
    assert len(network_of(estate(), {"corridor"}).needs) == 1
    with pytest.raises(InvalidInput, match="who needs keys"):
        network_of(estate(), set())
