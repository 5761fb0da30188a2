"""A campaign tells what happened, also where the link is too slow for what the pilot asks."""

from pathlib import Path

import msgspec
import pytest

from keystrand.app import campaign
from keystrand.app.estate import open_estate
from keystrand.pilot.report import fresh_key_each
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "regional-bank"


def test_handshakes_that_never_took_place_are_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight keys a second make no hundred handshakes in three: only those made count, and it says so."""
    monkeypatch.setattr(campaign, "PHASE_S", 3.0)
    monkeypatch.setattr(campaign, "WATCH_S", 1.0)
    (pilot,) = open_estate(EXAMPLE).estate.pilot
    slow = msgspec.structs.replace(rate(PLANNING_1GHZ.at(11.9)), secret_key_rate_bits_per_s=2048.0)
    made = campaign.run_campaign(pilot, slow, tmp_path / "kme", lambda _: None)
    samples, normal = made.samples, made.events[0]
    assert 0 < samples.handshakes < pilot.handshakes
    assert len(samples.handshakes_ms) == len(made.key_ids) == samples.handshakes - samples.failed_handshakes
    assert len(samples.enc_keys_ms) == len(samples.handshakes_ms) <= len(samples.dec_keys_ms)
    assert normal.seen.startswith(f"not over within 3 s: {len(made.key_ids)} of {pilot.handshakes} handshakes")
    assert any("the keys came too slowly" in limit for limit in made.further_limits)
    assert fresh_key_each(made)
    assert (made.cut.old_keys, made.cut.zero_keys, made.cut.handshakes_without_key) == (0, 0, 0)
    assert made.cut.refused_with_503 > 0
