"""`keystrand assess run --curve`, `exposure`, `authenticity` and `sensitivity`, from files to what is printed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from keystrand.cli.main import run

ESTATE = """\
format_version = "1.0"
[organisation]
name = "House"
sector = "finance"
[[region]]
id = "de"
name = "Germany"
jurisdiction = "DE"
[[trust_zone]]
id = "own"
name = "Own"
[[owner]]
id = "platforms"
name = "Platforms"
[[site]]
id = "centre"
name = "Centre"
kind = "data-centre"
latitude = 50
longitude = 8
region = "de"
trust_zone = "own"
"""
SYSTEMS = """\
[[data_class]]
id = "ledger"
name = "Ledger"
retention_years = 12
retention_range_years = [10, 30]
sensitivity = "high"
regulations = ["GDPR"]
[[data_class]]
id = "logs"
name = "Logs"
retention_years = 1
sensitivity = "low"
[[system]]
id = "ca"
name = "CA"
place = "identity"
site = "centre"
functions = ["signature"]
exposure = "internal"
migration_years = [3, 6]
[[system]]
id = "web"
name = "Web"
place = "web"
site = "centre"
functions = ["key-establishment", "signature"]
data_classes = ["ledger"]
exposure = "internet"
depends_on = ["ca"]
migration_years = [1, 2]
volume_per_year = 4
owners = {algorithms = "platforms"}
[[system]]
id = "logger"
name = "Logger"
place = "monitoring"
site = "centre"
functions = ["key-establishment"]
data_classes = ["logs"]
exposure = "internal"
"""
CURVE = """\
id = "house"
name = "Our own view"
origin = 2026-11-01
[source]
title = "Security committee"
publisher = "House"
clause = "minutes"
published = 2026-11-01
as_of = 2026-11-01
verification = "primary"
[[anchors]]
years = 4
low = 0.2
high = 0.6
"""
DAY = ("--as-of", "2026-11-26")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an estate and an assessment of it; nothing was seen, so every verdict is unknown."""
    folder = tmp_path_factory.mktemp("exposure")
    (folder / "estate.toml").write_text(ESTATE + SYSTEMS)
    out = ("--out", str(folder / "out"))
    assert run(["inventory", "scan", str(folder), *out, *DAY]) == 0
    assert run(["assess", "run", str(folder), *out, *DAY]) == 0
    return folder


@pytest.fixture
def fresh(judged: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder that a test may change."""
    return Path(shutil.copytree(judged, tmp_path / "estate"))


def _ask(folder: Path, *words: str) -> list[str]:
    return ["assess", words[0], str(folder), "--out", str(folder / "out"), *words[1:]]


def test_every_system_has_its_classes_ranges_and_ranks(judged: Path, typed: Any) -> None:
    """The classification (retention, sensitivity, regulation, network) beside ranges; nothing is one number."""
    told = typed(*_ask(judged, "exposure", "-o", "json"))
    assert told.code == 0
    web, logger = told.json
    assert (web["system"], web["secret_for"], web["sensitivity"]) == ("web", "10 to 30 years", "high")
    assert (web["regulations"], web["network"]) == ("GDPR", "internet")
    assert web["avoidable_data_years"]["low"] == 0 < web["avoidable_data_years"]["high"]
    assert web["avoidable_volume_years"]["high"] == pytest.approx(4 * web["avoidable_data_years"]["high"])
    assert web["ranks"] == "1"
    assert logger["avoidable_volume_years"] is None
    assert "no migration removes what is sunk" in told.err


@pytest.mark.parametrize(
    ("by", "names"),
    [("owner", ["platforms", "nobody named"]), ("data-class", ["ledger", "logs"]),
     ("segment", ["no segment declared"]), ("flow", ["web on no segment declared", "logger on no segment declared"])],
)  # fmt: skip
def test_exposure_is_summed_as_asked(judged: Path, typed: Any, by: str, names: list[str]) -> None:
    """By owner, data class, segment and flow; the largest first; every form of output."""
    told = typed(*_ask(judged, "exposure", "--by", by, "-o", "jsonl"))
    assert [next(iter(json.loads(line).values())) for line in told.out.splitlines()] == names
    for form in ("table", "csv"):
        assert all(name.split()[0] in typed(*_ask(judged, "exposure", "--by", by, "-o", form)).out for name in names)


def test_likelihoods_are_asked_for_by_name_and_said_to_be_assumed(fresh: Path, typed: Any) -> None:
    """Never multiplied in silently; one's own set beside the estate; a wrong name gets the near one."""
    plain = typed(*_ask(fresh, "exposure", "-o", "json")).json
    assert not any("assumed" in key for key in plain[0])
    told = typed(*_ask(fresh, "exposure", "--harvest", "illustrative", "-o", "json"))
    assert "assumed, not measured" in told.err
    assert told.json[1]["avoidable_if_recorded_as_assumed"]["high"] < plain[1]["avoidable_data_years"]["high"]
    (fresh / "harvest").mkdir()
    own = 'id = "own"\nname = "Own"\nsource = "us"\n[[likelihoods]]\nnetwork = "internet"\nlow = 0.5\nhigh = 0.5\n'
    (fresh / "harvest" / "own.toml").write_text(own)
    mine = typed(*_ask(fresh, "exposure", "--harvest", "own", "-o", "json")).json[0]
    assert mine["avoidable_if_recorded_as_assumed"]["high"] == mine["avoidable_data_years"]["high"] / 2
    wrong = typed(*_ask(fresh, "exposure", "--harvest", "illustrativ"))
    assert wrong.code == 2
    assert "did you mean 'illustrative'?" in wrong.err


@pytest.mark.parametrize(
    ("text", "words"),
    [("low = 0.5", "low = 0.6"), ("high = 0.5", "high = 1.5"), ('network = "internet"', 'network = "moon"'),
     ("", '[[likelihoods]]\nnetwork = "internet"\nlow = 0.1\nhigh = 0.2\n')],
)  # fmt: skip
def test_a_faulty_set_of_likelihoods_is_told_with_its_file(fresh: Path, typed: Any, text: str, words: str) -> None:
    """Upside down, no ratio, no such network, a network twice: exit 2 with file and line, no traceback."""
    own = 'id = "own"\nname = "Own"\nsource = "us"\n[[likelihoods]]\nnetwork = "internet"\nlow = 0.5\nhigh = 0.5\n'
    (fresh / "harvest").mkdir()
    (fresh / "harvest" / "own.toml").write_text(own.replace(text, words) if text else own + words)
    told = typed(*_ask(fresh, "exposure", "--harvest", "own"))
    assert told.code == 2
    assert "own.toml" in told.err
    assert "Traceback" not in told.err


def test_a_leaf_is_held_by_its_anchor(judged: Path, typed: Any) -> None:
    """The web server changes in 2 years, its CA in 6: forgeable until then."""
    told = typed(*_ask(judged, "authenticity", "-o", "json"))
    found = {row["system"]: row for row in told.json}
    assert found["web"]["own_change_years"]["high"] == 2
    assert found["web"]["trusted_until_years"]["high"] == 6
    assert found["web"]["held_by"] == "ca"
    assert found["web"]["forgeable_service_years"] == found["ca"]["forgeable_service_years"]
    assert "logger" not in found


def test_sensitivity_says_what_to_find_out_first(judged: Path, typed: Any) -> None:
    """In words on stderr; every input on request; in every form."""
    told = typed(*_ask(judged, "sensitivity", "-o", "json"))
    assert told.json[0]["input"].startswith("verdict of ")
    assert "most of all: verdict of " in told.err
    everything = typed(*_ask(judged, "sensitivity", "--all", "-o", "jsonl")).out.splitlines()
    assert len(everything) > len(told.json)
    assert any('"retention of ledger"' in line for line in everything)


def test_ones_own_curve_beside_the_estate_is_taken_by_name(fresh: Path) -> None:
    """The figures and the assumptions are those of the curve named; the document carries it whole."""
    before = json.loads((fresh / "out" / "assessment.json").read_text())
    (fresh / "curves").mkdir()
    (fresh / "curves" / "house.toml").write_text(CURVE)
    assert run(_ask(fresh, "run", "--curve", "house", *DAY)) == 0
    after = json.loads((fresh / "out" / "assessment.json").read_text())
    assert after["curve"]["id"] == "house"
    assert before["curve"]["id"] == "gri-2025"
    assert after["exposures"][0]["sunk_data_years"] != before["exposures"][0]["sunk_data_years"]
    assert "20 to 60 percent" in json.dumps(after["assumptions"])
    assert run(_ask(fresh, "sensitivity")) == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("high = 0.6", "high = 0.1", "above its high end"), ("years = 4", "years = 0", "order of their years"),
     ("low = 0.2", "low = -0.2", "low"), ('id = "house"', "", "id")],
)  # fmt: skip
def test_a_curve_that_is_no_distribution_changes_nothing(
    fresh: Path, typed: Any, old: str, new: str, words: str
) -> None:
    """Exit 2 with the file; the assessment that was there stays."""
    before = (fresh / "out" / "assessment.json").read_bytes()
    (fresh / "curves").mkdir()
    (fresh / "curves" / "house.toml").write_text(CURVE.replace(old, new))
    told = typed(*_ask(fresh, "run", "--curve", "house", *DAY))
    assert told.code == 2
    assert "house.toml" in told.err
    assert words in told.err
    assert (fresh / "out" / "assessment.json").read_bytes() == before


def test_a_curve_nobody_knows_or_that_has_run_out_is_told(fresh: Path, typed: Any) -> None:
    """The near names, or the next step; nothing is written."""
    before = (fresh / "out" / "assessment.json").read_bytes()
    assert "gri-2025" in typed(*_ask(fresh, "run", "--curve", "gri-2052", *DAY)).err
    late = typed(*_ask(fresh, "run", "--curve", "gri-2024", "--as-of", "2040-01-01"))
    assert late.code == 2
    assert "newer threat curve" in late.err
    assert (fresh / "out" / "assessment.json").read_bytes() == before


@pytest.mark.parametrize("command", ["exposure", "authenticity", "sensitivity"])
def test_an_estate_with_one_site_and_nothing_else_shows_nothing(tmp_path: Path, typed: Any, command: str) -> None:
    """No system, no data: the answer is empty and says so, from scan to sensitivity."""
    (tmp_path / "estate.toml").write_text("data_class = []\nsystem = []\n" + ESTATE)
    out = ("--out", str(tmp_path / "out"))
    assert run(["inventory", "scan", str(tmp_path), *out, *DAY]) == 0
    assert run(["assess", "run", str(tmp_path), *out, *DAY]) == 0
    told = typed(*_ask(tmp_path, command))
    assert told.code == 0
    assert "nothing to show" in told.err
    assert typed(*_ask(tmp_path, command, "-o", "json")).json == []


def test_another_estate_is_not_mixed_in(fresh: Path, typed: Any) -> None:
    """An assessment of an estate that has changed since is refused with the next step."""
    (fresh / "estate.toml").write_text((ESTATE + SYSTEMS).replace("retention_years = 12", "retention_years = 14"))
    told = typed(*_ask(fresh, "exposure"))
    assert told.code != 0
    assert "inventory merge" in told.err


@pytest.mark.parametrize(
    ("old", "new", "field", "hint"),
    [("retention_years = 12", "retention_years = -1", "retention_years", "from 0 to 200"),
     ("retention_years = 12", 'retention_years = "forever"', "retention_years", "from 0 to 200"),
     ("[10, 30]", "[30, 10]", "retention_range_years", "shortest and the longest"),
     ("migration_years = [3, 6]",
      'migration_years = [3, 6]\nretires = 2028-01-01\nvendor_ready = 2029-01-01\npost_quantum_path = "yes"',
      "post_quantum_path", "no"),
     ("volume_per_year = 4", "volume_per_year = 0", "volume_per_year", "above 0")],
)  # fmt: skip
def test_a_faulty_estate_is_told_by_file_line_and_field(
    fresh: Path, typed: Any, old: str, new: str, field: str, hint: str
) -> None:
    """Negative, forever, upside down, dates that contradict each other: what is wrong, where, and what to write."""
    assert old in SYSTEMS
    (fresh / "estate.toml").write_text((ESTATE + SYSTEMS).replace(old, new))
    told = typed(*_ask(fresh, "run", *DAY))
    assert told.code == 2
    assert "estate.toml:" in told.err
    assert field in told.err
    assert hint in told.err
    assert "Traceback" not in told.err
