"""`keystrand inventory query` and the export of tables."""

from pathlib import Path

import pytest
from tests.cli.conftest import Typed
from tests.edge.analytics.test_inventory_questions import RECORDS, merged_into
from tests.inventory.test_inventory_drift import TARGETS
from tests.inventory.test_inventory_merge import an_estate


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run."""
    return merged_into(tmp_path_factory.mktemp("out"), RECORDS, an_estate(target=TARGETS))


def test_questions_are_listed(typed: Typed) -> None:
    """Without a question there is no need of a run: each with its words, and the number of days with its reason."""
    told = typed("inventory", "query", "-o", "json")
    rows = {row["question"]: row for row in told.json}
    assert rows["long-lived-certificates"]["days"] == 398
    assert "Baseline Requirements" in rows["long-lived-certificates"]["why"]


def test_a_question_is_answered(typed: Typed, out: Path, tmp_path: Path) -> None:
    """From the store, and the same from the tables that were exported."""
    words = ("inventory", "query", "weak-hashes", "--out", str(out), "-o", "csv")
    told = typed(*words)
    assert told.out.splitlines()[1].startswith("MD5,bank,file:etc/app.py:2,referenced")
    written = typed("inventory", "export", "--out", str(out), "--parquet", str(tmp_path))
    assert (written.code, written.out) == (0, "")
    assert f"into {tmp_path}" in written.err
    assert typed(*words, "--parquet", str(tmp_path)).out == told.out


def test_mistakes_have_a_next_step(typed: Typed, out: Path, tmp_path: Path) -> None:
    """No such question, no such run, a day that is none."""
    assert "weak-hashes" in typed("inventory", "query", "nonsense", "--out", str(out)).err
    assert "keystrand inventory scan" in typed("inventory", "query", "expiring", "--out", str(tmp_path)).err
    assert typed("inventory", "query", "expiring", "--out", str(out), "--as-of", "soon").code == 2
    assert typed("inventory", "query", "expiring", "--out", str(out), "--days", "-1").code == 2
