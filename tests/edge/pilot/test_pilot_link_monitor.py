"""The monitor of a pilot's link: quiet while nothing happens, an alarm of the right kind when something does."""

import pytest

from keystrand.edge.pilot.link_monitor import LinkMonitor
from keystrand.model.link import LinkRate
from keystrand.operate.link_kinds import Kind
from keystrand.pilot.link_reports import intercepted, sagging
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

LINK = rate(PLANNING_1GHZ.at(11.9))


class _Link:
    """A link whose state a test chooses, and its monitor, asked by hand."""

    def __init__(self, seed: int = 1) -> None:
        self.state: LinkRate | None = LINK
        self.monitor = LinkMonitor("corridor", lambda: self.state, seed=seed)

    def kinds(self, count: int) -> list[Kind | None]:
        """Take so many reports and return what each was judged to be."""
        return [verdict.kind if (verdict := self.monitor.take()) else None for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_link_is_quiet(seed: int) -> None:
    """No alarm in 60 reports, whatever the scatter."""
    link = _Link(seed)
    assert set(link.kinds(12)) == {None}
    assert set(link.kinds(60)) == {Kind.QUIET}
    assert link.monitor.alarms == []


@pytest.mark.parametrize(
    ("state", "kind"),
    [(intercepted(LINK), Kind.INTERCEPT_RESEND), (sagging(LINK, 4000), Kind.FIBRE_LOSS), (None, Kind.DOWN)],
    ids=["eavesdropper", "sag", "cut"],
)
def test_what_happens_is_told_within_two_reports_and_forgotten_when_over(state: LinkRate | None, kind: Kind) -> None:
    """The kind is right, the alarm has words, and the link is quiet again when the event is over."""
    link = _Link()
    link.kinds(20)
    link.state = state
    assert kind in link.kinds(2)
    assert str(kind) in link.monitor.alarms[0].text
    link.state = LINK
    link.monitor.forget()
    assert set(link.kinds(6)) == {Kind.QUIET}


def test_what_no_report_shows_is_said() -> None:
    """Rates and error ratios alone hide a photon-number splitting attack."""
    link = _Link()
    link.kinds(12)
    assert any("photon-number splitting" in one for one in link.monitor.unseen)
