"""A pilot's measurements in place of assumptions."""

import pytest

from keystrand.edge.price_lists import rate_lists
from keystrand.model.prices import PriceLevel
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.units import Estimate
from keystrand.plan.cost_measured import measured_rates

HOURS = "person-hours a year"


class _Pilot:
    """The parts of a pilot's report that are read."""

    pilot, as_of = "corridor", "2026-11-24"

    def __init__(self, **measured: object) -> None:
        raw = {"value": 9.0, "low": 7.0, "high": 12.0, "sample_size": 30, "unit": HOURS, "simulated": False} | measured
        name = raw.pop("name", "qkd-device")
        seen = Estimate(**raw)  # type: ignore[arg-type]  # each case states only what it is about
        self.scorecard = (CriterionResult(name=str(name), goal="", state=CriterionState.MET, measured=seen),)


def _read(pilot: _Pilot) -> dict[str, tuple[float, float, float] | None]:
    found = measured_rates(pilot, rate_lists())  # type: ignore[arg-type]  # as above
    assert all(rate.level is PriceLevel.MEASURED for rate in found.values())
    return {name: rate.ends for name, rate in found.items()}


def test_a_measured_effort_is_taken() -> None:
    """Under the rate's own name and in its unit."""
    assert _read(_Pilot()) == {"qkd-device": (7.0, 9.0, 12.0)}


@pytest.mark.parametrize("changed", [{"simulated": True}, {"unit": "hours"}, {"sample_size": 0}, {"name": "other"}])
def test_what_is_no_measurement_of_it_is_left(changed: dict[str, object]) -> None:
    """A simulation, another unit, no sample, another name: the assumption stays."""
    assert _read(_Pilot(**changed)) == {}


def test_it_reads_what_a_report_has() -> None:
    """The fields used here are those of the document."""
    assert {"pilot", "as_of", "scorecard"} <= set(PilotReport.__struct_fields__)
