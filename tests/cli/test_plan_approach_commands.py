"""`keystrand plan compare` and `plan explain`: the comparison, and the whole case of one segment."""

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
