"""`keystrand inventory diff`: rows, JSON and the exit code for gates."""

from pathlib import Path

import pytest
from tests.cli.conftest import Typed
from tests.inventory.test_inventory_drift import BEFORE, inventory

from keystrand.formats.documents import encode


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of two runs; between them a server stopped answering and a file went."""
    later = [r for r in BEFORE if r.target != "c" and not r.place.startswith("file:etc/app.py")]
    for name, made in (("old", inventory(BEFORE)), ("new", inventory(later))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inventory.json").write_bytes(encode(made))
    return tmp_path / "old", tmp_path / "new"


def test_changes_are_rows(typed: Typed, runs: tuple[Path, Path]) -> None:
    """One row a change, with what was not observed told apart; on stderr both counts."""
    told = typed("inventory", "diff", *map(str, runs), "-o", "json")
    assert (told.code, [(row["kind"], row["where"]) for row in told.json]) == (
        0, [("went", ["file:etc/app.py"]), ("not-observed", ["tls://c.example:443"])],
    )  # fmt: skip
    assert "1 changed; 1 not observed" in told.err
    table = typed("inventory", "diff", *map(str, runs))
    assert table.out.count("went") == 1


def test_a_gate_trips_on_changes_only(typed: Typed, runs: tuple[Path, Path]) -> None:
    """Exit 11 with the option where something changed; 0 where nothing did, or only less was looked at."""
    old, new = map(str, runs)
    assert typed("inventory", "diff", old, new, "--detailed-exitcode").code == 11
    assert typed("inventory", "diff", old, old, "--detailed-exitcode").code == 0
    silent = inventory([r for r in BEFORE if r.target != "c"], without="c")
    (runs[1] / "inventory.json").write_bytes(encode(silent))
    assert typed("inventory", "diff", old, f"{new}/inventory.json", "--detailed-exitcode").code == 0


def test_a_gate_without_a_baseline_fails(typed: Typed, runs: tuple[Path, Path]) -> None:
    """No inventory to compare with is an error with the next step, never "no changes"."""
    told = typed("inventory", "diff", str(runs[0].parent), str(runs[1]), "--detailed-exitcode")
    assert told.code == 2
    assert "keystrand inventory scan" in told.err
