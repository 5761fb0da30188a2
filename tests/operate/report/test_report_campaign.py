"""The report on a pilot with real consumers: what a reader with five minutes must find, and nothing embellished."""

import msgspec
import pytest
from tests.operate.report.test_report_page import Page
from tests.pilot.recorded_campaign import ORIGIN, PILOT, cut, cuts, normal, plan, record, run

from keystrand.edge.catalogue import controls
from keystrand.edge.templates import report_template
from keystrand.formats.report_html import render
from keystrand.model.estate import Estate
from keystrand.model.pilot import ConsumerKind
from keystrand.model.stages import Assessment, Inventory, OperationsReport, PilotReport, Plan
from keystrand.model.stages.recorded import PilotRecord
from keystrand.operate.report import make_report
from keystrand.pilot.judging import judge

replace = msgspec.structs.replace


class Told:
    """The report and its page on one record of a campaign."""

    def __init__(self, bank: tuple[Estate, Inventory, Assessment, Plan], made: PilotRecord) -> None:
        estate, inventory, assessment, decided = bank
        self.pilot: PilotReport = judge(PILOT, plan(), made, ORIGIN)
        self.report: OperationsReport = make_report(
            estate, inventory, assessment, decided, self.pilot, made_from=(), as_of=assessment.as_of,
            created_at=assessment.created_at, tool_version="0", controls=controls(),
        )  # fmt: skip
        self.html = render(self.report, estate, assessment, decided, self.pilot, report_template()).decode()

    def value(self, key: str) -> str:
        """Return the value of a figure."""
        figures = (*self.report.headline, *self.report.pilot, *self.report.unknown)
        return next(one.value for one in figures if one.id == key)

    @property
    def section(self) -> str:
        """The pilot's section of the page."""
        return self.html[self.html.index('id="pilot"') : self.html.index('id="obligations"')]


@pytest.fixture(scope="module")
def bank(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> tuple[Estate, Inventory, Assessment, Plan]:
    """Return what the report on the bank is made from."""
    return estate, inventory, assessment, plan


@pytest.fixture(scope="module")
def told(bank: tuple[Estate, Inventory, Assessment, Plan]) -> Told:
    """Return the report on a campaign with a leak in monitoring and a consumer that did not run."""
    first, *others = cuts()
    consumers = (*record().consumers, run("vault", ConsumerKind.HSM, "fail-secure", not_run="no <softhsm2> here"))
    return Told(bank, record(consumers=consumers, episodes=(normal(), replace(first, alarms=()), *others)))


def test_the_headline_says_what_leaked_what_nobody_saw_and_who_did_not_run(told: Told) -> None:
    """Packets in clear over those sent, the faults without an alarm, the consumer that is missing."""
    value = told.value("headline-pilot")
    assert "on a simulated quantum link" in value
    assert "0 of 88,000 packets left in clear under 2 kinds of events." in value
    assert "No alarm told in time of 1 kind of fault: link cut." in value
    assert "Vault did not run." in value


def test_every_consumer_stands_against_every_criterion(told: Told) -> None:
    """A cell for each; a mark with a word; a dash where a criterion means nothing."""
    page = Page(told.html)
    table = told.section.partition('aria-label="Table: consumers against criteria"')[2].partition("</table>")[0]
    consumers = ("shop", "tunnel", "second", "vault")
    assert all(f'<th scope="col">{name}</th>' in table for name in consumers)
    rows = table.count('<th scope="row">')
    assert table.count("<td>") == rows * len(consumers)
    assert "✓ Met" in table
    assert "? Not measured" in table
    assert "–" in table
    assert "1.0, at worst 0.97" in table
    assert page.open == []


def test_gaps_events_and_effort_are_on_the_page(told: Told) -> None:
    """What closes a gap stands beside it; each event says what consumers saw; deeds are summed."""
    section = told.section
    assert "1 of 3 times no alarm within 5 s. What closes the gap: an alarm where the link reports no block" in section
    assert "went over to the post-quantum fallback, then fresh keys" in section
    assert '<span class="flag warn">2 of 3</span>, after 3.5 s' in section
    assert '<td class="n">42</td>' in section
    assert told.value("with-1").startswith("10 ms with keys, 10 ms without, 1.0 times")
    assert "No &lt;softhsm2&gt; here" in section
    assert "<softhsm2>" not in section


def test_what_was_not_measured_is_named_by_consumer(told: Told) -> None:
    """The list of unknowns says whose failover was not seen."""
    assert "vault: failover" in told.value("unknown-pilot")


def test_what_decided_a_miss_stands_in_its_cell(bank: tuple[Estate, Inventory, Assessment, Plan]) -> None:
    """The worst of several values beside their median; the reason where no number covers a miss."""
    slow = replace(cuts()[0], seen=(cut("tunnel", failover_s=9.0), cut("second", recovery_s=None, waited_s=30.0)))
    section = Told(bank, record(episodes=(normal(), slow, *cuts()[1:]))).section
    assert "0.20 s, at worst 9.0" in section
    assert "no fresh key within 30 s; beyond it: link-cut" in section


def test_a_campaign_without_a_gap_says_so(bank: tuple[Estate, Inventory, Assessment, Plan]) -> None:
    """All alarms in time is a sentence of its own, and no event at all is another."""
    assert "Every fault of the campaign raised an alarm in time." in Told(bank, record()).section
    assert "No event took place." in Told(bank, record(episodes=())).section


def test_a_short_pilot_has_none_of_this(bank: tuple[Estate, Inventory, Assessment, Plan], pilot: PilotReport) -> None:
    """Without a campaign the page is as it was: one scorecard, and what else was measured."""
    estate, _, assessment, decided = bank
    report = make_report(
        *bank, pilot, made_from=(), as_of=assessment.as_of, created_at=assessment.created_at, tool_version="0",
        controls=controls(),
    )  # fmt: skip
    html = render(report, estate, assessment, decided, pilot, report_template()).decode()
    assert "What nobody would have been told of" not in html
    assert "consumers against criteria" not in html
