"""The first plan of a pilot: sound for every estate that has one, with consumers like its systems."""

from pathlib import Path

import msgspec
import pytest

from keystrand.edge.estate_folder import example_folder, init_estate, load_estate
from keystrand.formats.pilot_starter import starter_plan
from keystrand.formats.pilot_toml import pilot_plan_from_toml
from keystrand.model.estate import Continuity, Estate, Place
from keystrand.model.pilot import ConsumerKind, EventKind, PilotPlan

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def bank() -> Estate:
    """Return the regional bank."""
    with example_folder("regional-bank") as folder:
        return load_estate(folder).estate


def begun(estate: Estate) -> PilotPlan:
    """Return the plan that a starter for the estate's first pilot makes."""
    pilot = estate.pilot[0]
    return pilot_plan_from_toml(starter_plan(estate, pilot, "here"), "pilot.toml", [pilot.id])


def test_the_bank_tries_what_its_systems_resemble(bank: Estate) -> None:
    """Replication on the segment: TLS and IPsec, under the fallback since its traffic must go on; every event."""
    plan = begun(bank)
    assert {one.kind for one in plan.consumers} >= {ConsumerKind.TLS, ConsumerKind.IPSEC}
    assert {one.policy for one in plan.consumers} <= {"", "fallback-pqc"}
    assert {one.kind for one in plan.events} == set(EventKind)
    assert plan.criteria.recovery_max_s == bank.pilot[0].criteria.recovery_max_s


def test_traffic_that_may_wait_fails_secure(bank: Estate) -> None:
    """The same segment where traffic may wait: it stops rather than go over."""
    segments = tuple(replace(one, continuity=Continuity.MAY_WAIT) for one in bank.segment)
    plan = begun(replace(bank, segment=segments))
    assert {one.policy for one in plan.consumers} == {"", "fail-secure"}


@pytest.mark.parametrize("place", Place)
def test_each_place_has_a_consumer_that_resembles_it(bank: Estate, place: Place) -> None:
    """Wherever the systems of the segment are, the plan is sound and has a consumer."""
    assert begun(replace(bank, system=tuple(replace(one, place=place) for one in bank.system))).consumers


def test_a_segment_without_systems_is_tried_with_tls(bank: Estate) -> None:
    """TLS asks for nothing; no agent dies, for there is none."""
    plan = begun(replace(bank, system=()))
    assert [one.kind for one in plan.consumers] == [ConsumerKind.TLS]
    assert EventKind.AGENT_DEATH not in {one.kind for one in plan.events}


def test_a_name_does_not_leave_its_comment(bank: Estate) -> None:
    """A line break in a pilot's name, or in a site's, begins no line of the plan."""
    pilot = replace(bank.pilot[0], name='x\npilot = "other"')
    sites = tuple(replace(one, name=f"{one.name}\n[source]\x7f") for one in bank.site)
    assert begun(replace(bank, pilot=(pilot,), site=sites)).pilot == bank.pilot[0].id


def test_the_starter_estate_has_a_plan_too(tmp_path: Path) -> None:
    """What `estate init` wrote can be piloted."""
    folder = tmp_path / "estate"
    init_estate(folder)
    assert begun(load_estate(folder).estate).consumers
