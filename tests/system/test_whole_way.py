"""The whole way on real input: from the estate to the report, through real servers, real KMEs and a real consumer."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import keystrand

from keystrand.app.documents import FILES, load
from keystrand.formats.documents import content_hash
from keystrand.model.observation import AlgorithmUse, Observation, Strength
from keystrand.model.stages import Assessment, Inventory, Observations, OperationsReport, PilotReport, Plan

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "regional-bank"
MADE = {"observations.jsonl", "inventory.json", "cbom.json", "assessment.json", "plan.json", "pilot.json"} | {
    "inventory.db",
    "report.html",
    "report.json",
}

RUN = (Observations, Inventory, Assessment, Plan, PilotReport, OperationsReport)
"""The documents that a whole run makes; the others beside the plan have commands of their own."""


def _document(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_the_demo_makes_every_document(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Exit 0, every file is there, and the last line names the report."""
    out, made = demo
    assert made.returncode == 0, made.stderr
    assert {path.name for path in out.iterdir()} == MADE
    assert made.stderr.rstrip().endswith("report.html")


def test_the_demo_saw_what_its_servers_really_do(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The hybrid server negotiates X25519MLKEM768, the RSA server is quantum-vulnerable, the closed port is unknown."""
    out, _ = demo
    negotiated = {
        (record.place, record.fact.algorithm)
        for record in load(out, Observations)[0].records
        if isinstance(record, Observation)
        and isinstance(record.fact, AlgorithmUse)
        and record.strength is Strength.NEGOTIATED
    }
    assert any(name == "X25519MLKEM768" for _, name in negotiated)
    inventory = _document(out, "inventory.json")
    vulnerable = [a for a in inventory["assets"] if a["name"] == "RSA-2048" and a["verdict"] == "quantum-vulnerable"]
    assert vulnerable
    assert any(gap["outcome"] == "unreachable" for gap in inventory["coverage"]["gaps"])


def test_the_chain_of_documents_holds(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Every document refers to the exact files it was made from."""
    out, _ = demo
    by_kind = {}
    for kind in RUN:
        name = FILES[kind]
        document, ref = load(out, kind)
        assert ref.content_sha256 == content_hash(document)
        by_kind[ref.kind] = ref
        for source in document.made_from:
            assert source.kind == "estate" or by_kind[source.kind] == source, (
                f"{name} was made from another {source.kind}"
            )


def test_a_cut_link_gives_a_clear_no_key(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """While the link is cut, consumers are refused with 503; no old and no zero key is ever given; then it recovers."""
    cut = _document(demo[0], "pilot.json")["cut"]
    assert cut["refused_with_503"] > 0
    assert (cut["old_keys"], cut["zero_keys"], cut["handshakes_without_key"]) == (0, 0, 0)
    assert cut["recovered"] is True
    assert "no key" in cut["consumer_error"].lower()


def test_the_pilot_used_post_quantum_channels_and_fresh_keys(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Two KMEs, each handshake with a key of its own, and a post-quantum group everywhere."""
    pilot = _document(demo[0], "pilot.json")
    assert pilot["key_management_entities"] == 2
    assert pilot["fresh_key_each"] is True
    assert pilot["failed_handshakes"] == 0
    assert pilot["key_exchange"]
    assert all("MLKEM" in group for group in pilot["key_exchange"])
    assert {c["state"] for c in pilot["scorecard"]} <= {"met", "missed", "not-measured"}


def test_two_runs_agree_in_everything_that_is_not_measured(tmp_path: Path) -> None:
    """On the bundled estate, whose names nobody resolves: exit 3, and equal content hashes."""
    hashes = []
    for turn in ("first", "second"):
        made = keystrand("run", str(EXAMPLE), "--out", turn, "--as-of", "2026-11-24", cwd=tmp_path)
        assert made.returncode == 3, made.stderr
        hashes.append({kind: load(tmp_path / turn, kind)[1].content_sha256 for kind in RUN})
    assert hashes[0] == hashes[1]


def test_a_typo_stops_the_run_before_anything_is_written(tmp_path: Path) -> None:
    """Exit 2 with file, line, field and hint; the folder for the documents is not even made."""
    shutil.copytree(EXAMPLE, tmp_path / "bank")
    estate = tmp_path / "bank" / "estate.toml"
    lines = estate.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("length_km"))
    lines[number] = lines[number].replace("length_km", "lenght_km")
    estate.write_text("\n".join(lines) + "\n")
    made = keystrand("run", "bank", "--out", "out", cwd=tmp_path)
    assert made.returncode == 2
    assert f"estate.toml:{number + 1}: segment[0].lenght_km: unknown key" in made.stderr
    assert "did you mean 'length_km'?" in made.stderr
    assert not (tmp_path / "out").exists()


def test_documents_that_do_not_belong_together_are_refused(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A plan beside an assessment that has changed since is an error that names both."""
    shutil.copytree(demo[0], tmp_path / "out")
    assessment = tmp_path / "out" / "assessment.json"
    assessment.write_text(assessment.read_text() + " ")
    made = keystrand("report", "make", str(EXAMPLE), "--out", "out", cwd=tmp_path)
    assert made.returncode == 2
    assert "plan document was not made from this assessment" in made.stderr


def test_a_changed_estate_is_noticed_by_every_stage(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Another layout is the same estate; another retention is not, until the inventory is made again."""
    shutil.copytree(demo[0], tmp_path / "out")
    shutil.copytree(EXAMPLE, tmp_path / "bank")
    estate = tmp_path / "bank" / "estate.toml"
    estate.write_text("# a comment changes nothing\n" + estate.read_text())
    assert keystrand("assess", "run", "bank", "--out", "out", cwd=tmp_path).returncode == 0
    estate.write_text(estate.read_text().replace("retention_years = 35", "retention_years = 34"))
    for words in (("assess", "run"), ("plan", "make"), ("pilot", "run"), ("report", "make")):
        made = keystrand(*words, "bank", "--out", "out", cwd=tmp_path)
        assert made.returncode == 2, words
        assert "the estate has changed since" in made.stderr
    again = ("inventory merge", "assess run", "plan make", "pilot run --short", "report make")
    for command in again:
        made = keystrand(*command.split(), "bank", "--out", "out", cwd=tmp_path)
        assert made.returncode == 0, (command, made.stderr)


def test_the_demo_says_that_stand_ins_answered(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Inventory and report name it; a scan of the real names does not claim it."""
    inventory = _document(demo[0], "inventory.json")
    assert len(inventory["stand_ins"]) > 15
    assert "Demonstration" in _document(demo[0], "report.json")["notice"]
    assert "Demonstration" in (demo[0] / "report.html").read_text()
