"""`keystrand plan compare` and `plan explain`: the comparison, and the whole case of one segment."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Typed

from keystrand.cli.main import run
from keystrand.model.stages import Approach

EXAMPLE = Path(__file__).parents[2] / "examples" / "regional-bank"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the example estate and the documents of a run in which no server answers."""
    home = tmp_path_factory.mktemp("estate")
    shutil.copytree(EXAMPLE, home / "bank")
    assert run(["inventory", "scan", str(home / "bank"), "--out", str(home / "out")]) in (0, 3)
    assert run(["assess", "run", str(home / "bank"), "--out", str(home / "out")]) == 0
    assert run(["plan", "make", str(home / "bank"), "--out", str(home / "out")]) == 0
    return home


def test_compare_shows_five_rated_approaches(typed: Typed) -> None:
    """Five rows with both ratings and how firm they are; that they are calibrated is said on stderr."""
    told = typed("plan", "compare", "-o", "json")
    assert told.code == 0
    assert len(told.json) == len(Approach)
    assert told.json[0]["operational_complexity"] == "high"
    assert all(row["stays_the_same"].endswith("%") for row in told.json)
    assert "calibrated" in told.err
    assert "5,000 draws" in told.err


def test_explain_says_everything_about_one_segment(typed: Typed, run_folder: Path) -> None:
    """Rules, alternatives, what would change it, what is left as assumed, and each authority with its answer."""
    told = typed("plan", "explain", "dc-metro", "--out", str(run_folder / "out"), "-o", "json")
    assert told.code == 0
    about = [row["about"] for row in told.json]
    assert [one for one in about if one.startswith("rule ")] == [f"rule G{n}" for n in range(1, 10)]
    assert {"choice", "against it", "function", "would change it", "least for", "left over (assumed)"} <= set(about)
    assert about.count("answer to us-nsa") == 5
    added = next(r["said"] for r in told.json if r["about"] == "adds (assumed)" and "combined" in r["what"])
    assert "percentage points" in added
    assert "data-years" in added


def test_explain_of_a_segment_that_is_not_there(typed: Typed, run_folder: Path) -> None:
    """The nearest names are offered; without a plan the command that makes it is named."""
    told = typed("plan", "explain", "dc-metr", "--out", str(run_folder / "out"))
    assert told.code == 2
    assert "did you mean dc-metro?" in told.err
    told = typed("plan", "explain", "dc-metro", "--out", str(run_folder / "nowhere"))
    assert told.code == 2
    assert "keystrand plan make" in told.err


def test_target_state_as_document_table_and_markdown(typed: Typed, run_folder: Path) -> None:
    """Three tables of one document; equal inputs give the same targets; the Markdown has every target and criterion."""
    folder, out, page = run_folder / "bank", run_folder / "out", run_folder / "target.md"
    told = typed("plan", "target", str(folder), "--out", str(out), "-o", "json", "--markdown", str(page))
    assert told.code == 0
    assert told.json["kind"] == "target"
    assert {ref["kind"] for ref in told.json["made_from"]} == {"estate", "assessment", "plan"}
    again = typed("plan", "target", str(folder), "--out", str(out), "-o", "json").json
    assert {**again, "created_at": ""} == {**told.json, "created_at": ""}
    text = page.read_text()
    assert all(line["id"] in text for line in told.json["targets"])
    assert all(one["id"].replace("_", "\\_") in text for one in told.json["criteria"])
    rows = typed("plan", "target", str(folder), "--out", str(out), "--part", "criteria", "-o", "csv").out.splitlines()
    assert len(rows) == 1 + len(told.json["criteria"])
    guarded = typed("plan", "target", str(folder), "--out", str(out), "--part", "protection", "-o", "jsonl").out
    assert len(guarded.splitlines()) == len(told.json["protections"])


def test_target_of_another_plan_is_refused_and_nothing_is_written(typed: Typed, run_folder: Path) -> None:
    """A plan made from another assessment is a mismatch; a plan without a pilot is no staged programme."""
    out = run_folder / "other"
    shutil.copytree(run_folder / "out", out)
    (out / "target.json").unlink(missing_ok=True)
    plan = (out / "plan.json").read_text()
    (out / "plan.json").write_text(plan.replace('"kind": "pilot"', '"kind": "find-out"'))
    told = typed("plan", "target", str(run_folder / "bank"), "--out", str(out))
    assert told.code == 2
    assert "goes into service and was never piloted" in told.err
    assert "hint" in told.err
    assessment = (out / "assessment.json").read_text()
    (out / "assessment.json").write_text(assessment + "\n")
    told = typed("plan", "target", str(run_folder / "bank"), "--out", str(out))
    assert told.code == 2
    assert "was not made from this assessment" in told.err
    assert not (out / "target.json").exists()


def test_stages_are_checked_with_the_money(typed: Typed, run_folder: Path, tmp_path: Path) -> None:
    """Without amounts it says what was not judged; amounts that come too early, and bad rows, are told by line."""
    out, spend = str(run_folder / "out"), tmp_path / "spend.csv"
    assert "was not judged" in typed("plan", "check", "--out", out).err
    measures = json.loads((run_folder / "out" / "plan.json").read_text())["measures"]
    first = min((m for m in measures if m["kind"] == "pilot"), key=lambda m: m["finish"])["subject"]
    spend.write_text(f"measure,amount\npilot.{first},1\ndeploy-quantum-link.dc-metro,10\n")
    assert typed("plan", "check", "--out", out, "--spend", str(spend)).code == 0
    spend.write_text(f"measure,amount\npilot.{first},10\ndeploy-quantum-link.dc-metro,1\n")
    told = typed("plan", "check", "--out", out, "--spend", str(spend))
    assert told.code == 2
    assert "91 percent of the spend" in told.err
    spend.write_text("measure,amount\npilot.dc-metro,much\nnothing,1\npilot.testbed,-1\npilot.testbed,nan\n")
    told = typed("plan", "check", "--out", out, "--spend", str(spend))
    assert told.code == 2
    assert [f"{spend}:{line}" in told.err for line in (2, 3, 4, 5)] == [True] * 4
    spend.write_bytes(b"\xff\xfe")
    assert "no CSV file" in typed("plan", "check", "--out", out, "--spend", str(spend)).err


ONE_SITE = """
format_version = "1.0"
system = []
data_class = []
owner = []
[organisation]
name = "One house"
sector = "banking"
[[region]]
id = "eu"
name = "Germany"
jurisdiction = "DE"
[[trust_zone]]
id = "core"
name = "Core"
[[site]]
id = "house"
name = "House"
kind = "office"
latitude = 48.0
longitude = 10.0
region = "eu"
trust_zone = "core"
"""


def test_one_site_and_nothing_else_gets_an_empty_target(typed: Typed, tmp_path: Path) -> None:
    """From the estate to the target state: every command says that there is nothing, and none fails."""
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "estate.toml").write_text(ONE_SITE)
    words = (str(tmp_path / "bank"), "--out", str(tmp_path / "out"))
    assert typed("inventory", "scan", *words).code == 0
    assert typed("assess", "run", *words).code == 0
    assert typed("plan", "make", *words).code == 0
    told = typed("plan", "target", *words, "-o", "json", "--markdown", str(tmp_path / "t.md"))
    assert told.code == 0
    assert (told.json["targets"], told.json["criteria"], told.json["protections"]) == ([], [], [])
    assert "Target state of One house" in (tmp_path / "t.md").read_text()
    told = typed("plan", "explain", "corridor", "--out", str(tmp_path / "out"))
    assert told.code == 2
    assert "segments: none" in told.err


OWN_POSITION = """
id = "house-rule"
authority = "Supervisor of the bank"
stance = "prohibits"
jurisdictions = ["DE"]
applies_to = "banks"
text = "No quantum key distribution, and no keys shared beforehand after 2029."
prohibits = [{ of = "qkd", since = 2026-01-01 }, { of = "psk", until = 2029-12-31 }]
[source]
title = "Circular"
publisher = "Supervisor"
clause = "3"
published = 2026-01-01
as_of = 2026-06-01
verification = "primary"
"""


def test_position_of_ones_own_stops_the_weighing(typed: Typed, run_folder: Path, tmp_path: Path) -> None:
    """A file beside the estate is enough: every segment stays post-quantum, and says who forbids the rest and when."""
    shutil.copytree(run_folder, tmp_path / "run")
    folder, out = tmp_path / "run" / "bank", str(tmp_path / "run" / "out")
    (folder / "positions").mkdir()
    (folder / "positions" / "own.toml").write_text(OWN_POSITION)
    told = typed("plan", "make", str(folder), "--out", out, "-o", "json")
    assert told.code == 0
    assert {one["chosen"] for one in told.json["decisions"]} == {"pqc-only"}
    assert not [m for m in told.json["measures"] if m["kind"] in ("pilot", "deploy-quantum-link")]
    rows = typed("plan", "explain", "dc-metro", "--out", out, "-o", "json").json
    rule = next(row["said"] for row in rows if row["about"] == "rule G1")
    assert rule.startswith("fired: Supervisor of the bank prohibits quantum key distribution since 1 January 2026")
    assert "after 31 December 2029" in rule
    assert not [row for row in rows if row["about"] in ("left over (assumed)", "question", "least for")]


def test_bad_odds_stop_the_plan_before_anything_is_written(typed: Typed, run_folder: Path, tmp_path: Path) -> None:
    """File, line and field are named, and the plan that is there stays as it is."""
    shutil.copytree(run_folder, tmp_path / "run")
    folder, out = tmp_path / "run" / "bank", tmp_path / "run" / "out"
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "own.toml").write_text('id = "own"\nname = "Own"\nas_of = 2026-01-01\nassumed = []\n')
    before = (out / "plan.json").read_bytes()
    told = typed("plan", "make", str(folder), "--out", str(out))
    assert told.code == 2
    assert "own.toml:4" in told.err
    assert "Traceback" not in told.err
    assert (out / "plan.json").read_bytes() == before
