"""`keystrand pilot network|sweep|feed`: results, resuming, and what a mistake looks like."""

import json
from pathlib import Path

import pytest

from keystrand.formats.telemetry_text import read_telemetry

from .conftest import Typed

NETWORK = str(Path(__file__).parents[2] / "examples" / "quantum" / "metro-network.toml")


def test_a_week_with_its_reports(typed: Typed, tmp_path: Path) -> None:
    """Summaries of links and demands; reports that read back as telemetry."""
    path = tmp_path / "week.jsonl"
    told = typed("pilot", "network", NETWORK, "--days", "7", "--telemetry", str(path), "-o", "json").json
    assert next(one["link"] for one in told["links"]) == "north-south"
    assert {one["demand"] for one in told["demands"]} == {"replication", "hospital-archive", "grid", "vault"}
    assert told["simulated"] is True
    reports = read_telemetry(path.read_text(), file="week")
    assert len(reports) == 6 * 7 * 144


def test_a_person_sees_who_sees_the_key(typed: Typed) -> None:
    """Below the table: each demand, the nodes on its way, and that all of it is simulated."""
    told = typed("pilot", "network", NETWORK, "--days", "1")
    assert "seen by exchange" in told.err
    assert "simulated" in told.err


def test_a_sweep_resumes_and_its_engines_agree(typed: Typed, tmp_path: Path) -> None:
    """Inline and in a pool, in two parts or whole: the same rows."""
    words = ("pilot", "sweep", NETWORK, "--days", "2", "--runs", "3", "--seed", "5", "-o", "json")
    whole = typed(*words, "--engine", "inline").json
    folder = str(tmp_path / "kept")
    for part in ("1/2", "2/2"):
        assert typed(*words, "--engine", "inline", "--checkpoint", folder, "--part", part).code == 0
    again = typed(*words, "--engine", "pool:2", "--checkpoint", folder).json
    assert again == whole
    assert whole["rows"][0]["runs"] == 3
    assert {row["link"] for row in whole["links"]} == {one["link"] for one in whole["runs"][0]["links"]}
    assert all(0 <= row["up_worst"] <= row["up_median"] <= 1 for row in whole["links"])
    assert typed(*words[:-2], "--seed", "6", "--engine", "inline", "--checkpoint", folder).code == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('a = "dc-north"', 'a = "moon"', "no site is called 'moon'"),
        ('device = "metro-1ghz"', 'device = "magic"', "no device is called"),
        ("channel_loss_db = 11.9", "channel_loss_db = -1", "link[0].channel_loss_db"),
        ("channel_loss_db = 11.9", "channel_loss_db = nan", "channel_loss_db"),
        ("channel_loss_db = 11.9", "channel_loss_db = inf", "channel_loss_db"),
        ("efficiency = 0.1", "efficiency = 1.1", "efficiency"),
        ("intensities = [0.5, 0.1, 0.0]", "intensities = [0.1, 0.5, 0.0]", "fall from the strongest"),
        ('type = "cut"', 'type = "gremlin"', "fault_rate[0].fault"),
        ("per_year = 0.5", "per_year = 0", "per_year"),
        ("block_s = 600.0", "block_s = 0", "block_s"),
        ("change_s = 20", "change_s = 900", "longer"),
        ("step_s = 60", "step_s = 0.01", "step_s"),
        ('name = "metro ring"', "name = metro", "metro-network.toml:"),
    ],
)
def test_a_network_that_cannot_be(typed: Typed, tmp_path: Path, old: str, new: str, said: str) -> None:
    """Every fault with file, line and field, and nothing is run."""
    text = Path(NETWORK).read_text()
    assert old in text
    path = tmp_path / "metro-network.toml"
    path.write_text(text.replace(old, new, 1))
    told = typed("pilot", "network", str(path))
    assert told.code == 2
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("network", NETWORK, "--days", "0"),
        ("network", NETWORK, "--days", "nan"),
        ("network", NETWORK, "--days", "-4"),
        ("network", NETWORK, "--days", "1e9"),
        ("network", "none.toml"),
        ("sweep", NETWORK, "--runs", "0"),
        ("sweep", NETWORK, "--days", "nan"),
        ("sweep", NETWORK, "--engine", "steam"),
        ("sweep", NETWORK, "--engine", "pool:many"),
        ("sweep", NETWORK, "--part", "3/2"),
        ("sweep", NETWORK, "--part", "half"),
        ("feed", NETWORK, "--link", "moon", "--dir", "feed"),
        ("feed", NETWORK, "--link", "north-south", "--dir", "feed", "--speed", "0"),
    ],
)
def test_options_that_cannot_be(
    typed: Typed, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, a hint, and no file."""
    monkeypatch.chdir(tmp_path)
    told = typed("pilot", *words)
    assert told.code == 2
    assert told.out == ""
    assert not list(tmp_path.iterdir())


def test_the_reports_are_lines_of_json(typed: Typed, tmp_path: Path) -> None:
    """One object a line, so that any log pipeline takes them."""
    path = tmp_path / "t.jsonl"
    typed("pilot", "network", NETWORK, "--days", "0.1", "--telemetry", str(path))
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
