"""The report's words on the pilot: nothing that was not measured or was simulated reads as proved."""

import msgspec

from keystrand.edge.catalogue import controls
from keystrand.model.estate import Estate
from keystrand.model.stages import (
    Assessment,
    CriterionState,
    Figure,
    Inventory,
    OperationsReport,
    PilotReport,
    Plan,
)
from keystrand.operate.report import make_report

replace = msgspec.structs.replace


def report_on(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport | None
) -> OperationsReport:
    """Return the report on these documents."""
    return make_report(
        estate, inventory, assessment, plan, pilot, made_from=(), as_of=assessment.as_of,
        created_at=assessment.created_at, tool_version="0.1.0", controls=controls(),
    )  # fmt: skip


def figure(report: OperationsReport, key: str) -> Figure:
    """Return the figure with the id `key`."""
    groups = (report.headline, report.exposure, report.unknown, report.decisions_needed, report.pilot)
    return next(f for group in groups for f in group if f.id == key)


def test_simulated_numbers_say_so(report: OperationsReport) -> None:
    """A simulated rate is called simulated wherever it stands; a measured latency is not."""
    assert "simulated" in figure(report, "headline-pilot").value
    assert "simulated" in figure(report, "pilot-rate").value
    assert "simulated" in figure(report, "pilot-model").value
    assert "simulated" not in figure(report, "pilot-handshake").value


def test_a_number_without_samples_is_not_measured(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """An estimate of no samples reads as not measured, never as zero."""
    silent = replace(pilot, secret_key_rate=replace(pilot.secret_key_rate, value=0.0, low=0.0, high=0.0, sample_size=0))
    report = report_on(estate, inventory, assessment, plan, silent)
    assert figure(report, "pilot-rate").value == "not measured"


def test_without_a_pilot_the_report_says_that_nothing_is_proved(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """No pilot gives no scorecard, and both the headline and the list of unknowns say why."""
    report = report_on(estate, inventory, assessment, plan, None)
    assert (report.pilot, report.pilot_limits) == ((), ())
    assert figure(report, "headline-pilot").value.startswith("0 pilots have been run")
    assert figure(report, "unknown-pilot").value == "0 of 8 segments proved by a pilot."


def test_an_old_key_handed_out_is_in_the_headline(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """If a consumer got an old or empty key while the link was cut, the first screen says so."""
    bad = replace(pilot, cut=replace(pilot.cut, old_keys=1, zero_keys=1))
    report = report_on(estate, inventory, assessment, plan, bad)
    assert "2 old or empty keys reached consumers" in figure(report, "headline-pilot").value
    bare = replace(pilot, cut=replace(pilot.cut, handshakes_without_key=3))
    report = report_on(estate, inventory, assessment, plan, bare)
    assert "3 handshakes went through without a key" in figure(report, "headline-pilot").value


def test_a_cut_that_nobody_tried_proves_nothing(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> None:
    """Without a request during a cut the headline claims no good behaviour."""
    idle = replace(pilot, cut=replace(pilot.cut, requests=0, keys_from_stock=0, refused_with_503=0))
    value = figure(report_on(estate, inventory, assessment, plan, idle), "headline-pilot").value
    assert value.endswith("What consumers get while the link is cut was not tested.")


def test_the_scorecard_tells_missed_and_not_measured_apart(report: OperationsReport, pilot: PilotReport) -> None:
    """Each criterion keeps its state; one that was not measured gives its reason instead of a number."""
    states = [c.state for c in pilot.scorecard]
    assert states.count(CriterionState.MET) == 3
    assert figure(report, "criterion-2").value.startswith("Missed: 7.9 ms (7.1 to 8.7")
    assert (
        figure(report, "criterion-4").value == "Not measured: a campaign of minutes cannot show the effort of a month"
    )
    assert "3 of 5 pilot criteria were met" in figure(report, "headline-pilot").value
