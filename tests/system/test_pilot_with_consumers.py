"""A pilot with the real consumers of its keys, from the command line: as an ordinary user, and whole as root."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.edge.consumers.corridor import needs
from tests.edge.pilot.test_trials_of_ordinary_users import NOBODY, as_ordinary, home
from tests.system.conftest import keystrand

__all__ = ["home"]

pytestmark = pytest.mark.system

BANK = Path(__file__).parents[2] / "examples" / "regional-bank"
SHORT = """
pilot = "corridor"
name = "A short campaign"

[source]
stock_keys = 20

[[consumer]]
id = "replication"
kind = "ipsec"
policy = "fail-secure"

[[consumer]]
id = "vault"
kind = "hsm"
policy = "hold-until-ttl"
rotate_every_s = 0.8
max_age_s = 2
ttl_s = 30
per_s = 10

[[consumer]]
id = "payments"
kind = "tls"

[[event]]
kind = "normal"
seconds = 4

[[event]]
kind = "kme-death"
seconds = 4

[[event]]
kind = "carrier-cut"

[criteria]
rotation_p95_max_s = 5
rotation_lost_max_packets = 1
failover_max_s = 5
traffic_gap_max_s = 5
key_age_max_s = 40
throughput_min_ratio = 0.01
detection_max_s = 5
recovery_max_s = 30
"""


@pytest.fixture
def planned(demo: tuple[Path, Any], home: Path) -> Path:
    """A folder of an ordinary user's own, with the estate, its documents up to the plan, and a short pilot.toml."""
    bank = home / "bank"
    shutil.copytree(BANK, bank)
    shutil.copytree(demo[0], home / "out")
    (bank / "pilot.toml").write_text(SHORT)
    if os.geteuid() == 0:
        for path in (bank, home / "out", *bank.rglob("*"), *(home / "out").rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return home


def test_an_ordinary_user_runs_what_needs_no_root_and_is_told_the_rest(planned: Path) -> None:
    """Exit 3: the tunnel and the carrier's event are named; the others met a dead KME, each as its policy says."""
    done = as_ordinary(planned, "-m", "keystrand.cli.main", "pilot", "run", "bank", "--pilot", "corridor", "-o", "json")
    with done as child:
        told, _ = child.communicate(timeout=240)
    assert child.returncode == 3
    report = json.loads(told)
    assert report == json.loads((planned / "out" / "pilot.json").read_text())
    assert {one["what"] for one in report["left_out"]} >= {"consumer replication", "event carrier-cut"}
    assert any("root" in one["why"] for one in report["left_out"])
    results = {(one["consumer"], one["name"]): one for one in report["scorecard"]}
    for (consumer, name), one in results.items():
        assert one["measured"] or one["reason"], (consumer, name)
        assert consumer != "replication" or one["state"] == "not-measured"
    seen = json.loads((planned / "out" / "pilot-record.json").read_text())
    (death,) = [one for one in seen["episodes"] if one["event"] == "kme-death" and not one.get("not_run")]
    vault, payments = death["seen"]
    assert [one["footing"] for one in vault["footings"]] == ["held", "fresh"]
    assert vault["wrong_keys"] == payments["wrong_keys"] == 0
    assert payments["outage"]
    assert payments["recovery_s"] is not None
    assert vault["changes"] == vault["audited"] > 0
    assert payments["changes"] == payments["audited"] > 0
    assert any("held" in one["text"] or "older than" in one["text"] for one in death["alarms"])
    # nothing of it runs on, and nothing lies about
    assert not list(planned.glob("keystrand-pilot-*"))


def test_a_plan_that_cannot_be_run_writes_nothing(planned: Path) -> None:
    """An unknown event is refused with its line, and a name that is not the plan's."""
    before = {path: path.read_bytes() for path in (planned / "out").iterdir() if path.is_file()}
    plan = planned / "bank" / "pilot.toml"
    plan.write_text(SHORT.replace('"kme-death"', '"kme-murder"'))
    done = keystrand("pilot", "run", "bank", "--pilot", "corridor", cwd=planned)
    assert done.returncode == 2
    assert "kme-murder" in done.stderr
    assert "pilot.toml:3" in done.stderr
    plan.write_text(SHORT)
    done = keystrand("pilot", "run", "bank", "--pilot", "another", cwd=planned)
    assert done.returncode == 2
    assert "another" in done.stderr
    assert before == {path: path.read_bytes() for path in (planned / "out").iterdir() if path.is_file()}


@pytest.mark.slow
@needs("charon-systemd", "wireguard-go", "iperf3")
def test_the_whole_campaign_of_the_bank_leaks_nothing(demo: tuple[Path, Any], tmp_path: Path) -> None:
    """All five consumers, all events: no packet in clear, no key twice, every change audited, the report shows it."""
    shutil.copytree(demo[0], tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "keystrand.cli.main", "pilot", "run", str(BANK), "--pilot", "corridor", "-o", "json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads((tmp_path / "out" / "pilot-record.json").read_text())
    for episode in seen["episodes"]:
        assert not episode.get("not_run"), episode
        for one in episode["seen"]:
            assert one.get("in_clear") in (None, 0), (episode["event"], one)
            assert one["wrong_keys"] == 0
            assert one["changes"] == one["audited"]
    report = json.loads(done.stdout)
    leaks = [
        one for one in report["scorecard"] if "clear" in one["name"] and one["consumer"] in ("replication", "branches")
    ]
    assert [one["state"] for one in leaks] == ["met", "met"]
    assert keystrand("report", "make", str(BANK), cwd=tmp_path).returncode == 0
    assert "replication" in (tmp_path / "out" / "report.html").read_text()
