"""What goes wrong around a campaign is told, and what was seen so far is kept."""

from pathlib import Path

import pytest
from tests.pilot.recorded_campaign import PILOT, PLAN_TEXT, record

from keystrand.edge.pilot import tunnel
from keystrand.edge.pilot.campaign import Order, run_campaign
from keystrand.edge.pilot.doings import Doings
from keystrand.edge.pilot.episodes import Performer
from keystrand.edge.pilot.key_service import VendorKeys
from keystrand.formats.pilot_toml import pilot_plan_from_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import CarrierTerms, Event, EventKind, KeySource, SourceChoice, VendorEnd


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        ("true", "false", "it could not be undone: a command of [source.commands] failed"),
        ("false", "true", ""),
        ("false", "false", "it could not be undone: a command of [source.commands] failed"),
        ("true", "true", ""),
    ],
)
def test_a_vendors_command_that_fails_does_not_end_the_campaign(
    tmp_path: Path, begin: str, end: str, told: str
) -> None:
    """An event that could not be begun did not run, one that could not be undone is told of; the next one comes."""
    ends = [VendorEnd(url="https://127.0.0.1:1", sae=f"sae-{at}", ca="ca", certificate="c", key="k") for at in "ab"]
    commands = {"link-cut": begin, "link-cut-end": end}
    source = KeySource(kind=SourceChoice.VENDOR, a=ends[0], b=ends[1], commands=commands)
    performer = Performer((), None, Doings(VendorKeys(source, tmp_path), None, None, CarrierTerms()))
    said: list[str] = []
    performer.perform(Event(kind=EventKind.LINK_CUT, seconds=0.01), said.append)
    performer.perform(Event(kind=EventKind.NORMAL, seconds=0.01), said.append)
    assert performer.windows[-1].event is EventKind.NORMAL
    if begin == "true":
        assert told in performer.windows[0].told
        assert performer.not_run == []
    else:
        (left,) = performer.not_run
        assert left.not_run.startswith("a command of [source.commands] failed")
        assert told in left.not_run
    assert any("failed" in line for line in said) is ("false" in (begin, end))


def test_where_no_consumer_can_run_the_next_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what it lacks, before anything is started."""
    monkeypatch.setattr(tunnel, "TUN", tmp_path / "tun")  # a machine without the module
    begin, end = PLAN_TEXT.index("[[consumer]]"), PLAN_TEXT.index("[[event]]")
    text = f'{PLAN_TEXT[:begin]}[[consumer]]\nid = "link"\nkind = "ipsec"\npolicy = "fail-secure"\n\n{PLAN_TEXT[end:]}'
    order = Order(pilot_plan_from_toml(text, "pilot.toml", ["corridor"]), PILOT, record().rate, tmp_path)
    with pytest.raises(InvalidInput, match="none of the pilot's consumers can run here: link: ") as caught:
        run_campaign(order, tmp_path, lambda _: None)
    assert "tls needs no rights and no program" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
