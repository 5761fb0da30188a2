"""`keystrand qkd validate|optimise`: figures, sources, and what a mistake looks like."""

import json
import re
from pathlib import Path

import pytest

from .conftest import Typed

ROOT = Path(__file__).parents[2]
LINK = ROOT / "examples" / "quantum" / "planned-link.toml"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the experiment of the how-to as a file."""
    page = (ROOT / "docs" / "howto" / "check-the-models.md").read_text()
    block = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert block
    (tmp_path / "our-link.toml").write_text(block[1])
    return tmp_path / "our-link.toml"


def test_the_experiment_of_the_howto_runs(typed: Typed, own: Path) -> None:
    """One parameter fitted on one row, the other row judged, sources beside both."""
    told = typed("qkd", "validate", str(own), "-o", "json")
    (made,) = told.json["experiments"]
    assert told.json["simulated"] is True
    assert made["free_parameters"] == 1
    assert made["fitted"][0]["reached"] is True
    assert 0.01 < made["fitted"][0]["value"] < 0.5
    assert [row["verdict"] for row in made["rows"]] == ["fitted", "met"]
    assert made["rows"][0]["ratio"] == pytest.approx(1, rel=1e-3)
    assert all(row["source"] == made["source"] for row in made["rows"])
    assert "link.receiver.efficiency" in told.err


def test_rows_come_in_every_form(typed: Typed, own: Path) -> None:
    """A table for people, lines and cells for programs."""
    assert "met" in typed("qkd", "validate", str(own)).out
    lines = typed("qkd", "validate", str(own), "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["row"] for line in lines] == ["short", "long"]
    assert typed("qkd", "validate", str(own), "-o", "csv").out.startswith("experiment,row,quantity,published,model")


def test_optimise_shows_both_settings_and_what_limits(typed: Typed) -> None:
    """The best setting makes no less, below what nature allows; the waterfall and the table of limits are there."""
    told = typed("qkd", "optimise", str(LINK), "-o", "json")
    made = told.json
    before, best = made["as_it_is"], made["best"]
    assert before["secret_key_rate_bits_per_s"] <= best["secret_key_rate_bits_per_s"] < best["limit_bits_per_s"]
    assert len(made["limits"]) == 8
    assert made["limited_by"] in told.err
    total = best["sum"]
    left = total["vacuum_bits"] + total["single_photon_bits"] - total["phase_error_bits"] - total["leak_bits"]
    left -= total["verification_bits"] + total["privacy_bits"] + made["block"]["authentication_bits"]
    assert total["secret_bits"] == pytest.approx(left, abs=1)
    assert "as it is" in typed("qkd", "optimise", str(LINK)).out


def test_a_recommended_setting_is_a_file_again(typed: Typed, tmp_path: Path) -> None:
    """The link that comes out can be read in, and there is nothing left to win; so can a link without a block."""
    link = typed("qkd", "optimise", str(LINK), "-o", "json").json["link"]
    flat = {key: value for key, value in link.items() if not isinstance(value, dict)}
    text = "".join(f"{key} = {value}\n" for key, value in flat.items())
    for table in ("transmitter", "receiver"):
        text += f"[{table}]\n" + "".join(f"{key} = {value}\n" for key, value in link[table].items())
    (tmp_path / "best.toml").write_text(text)
    again = typed("qkd", "optimise", str(tmp_path / "best.toml"), "-o", "json").json
    rates = [again[one]["secret_key_rate_bits_per_s"] for one in ("as_it_is", "best")]
    assert rates[0] == pytest.approx(rates[1], rel=0.01)
    assert again["block"]["block_bits"] == 1e7


def test_another_loss_is_asked_for(typed: Typed) -> None:
    """The channel of the file is replaced; without loss there is no limit; far away there is no key, and no error."""
    assert typed("qkd", "optimise", str(LINK), "--loss-db", "0", "-o", "json").json["best"]["limit_bits_per_s"] is None
    far = typed("qkd", "optimise", str(LINK), "--loss-db", "90", "-o", "json").json
    assert far["best"]["secret_key_rate_bits_per_s"] == 0
    assert far["limits"][0]["factor"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("validate", "none.toml"), "does not exist"),
        (("validate", str(LINK)), "unknown key"),
        (("optimise", "none.toml"), "does not exist"),
        (("optimise", str(LINK), "--loss-db", "-1"), "cannot be"),
        (("optimise", str(LINK), "--loss-db", "nan"), "cannot be"),
    ],
)
def test_a_mistake_is_named(typed: Typed, words: tuple[str, ...], said: str) -> None:
    """With exit code 2 and nothing on stdout."""
    told = typed("qkd", *words)
    assert told.code == 2
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("block_bits = 1e7", "block_bits = 0", "too small"),
        ("efficiency = 0.2", "efficiency = 1.2", "too large"),
        ("intensities = [0.5, 0.1, 0.001]", "intensities = [0.1, 0.5, 0.001]", "must fall"),
        ("probabilities = [0.7, 0.2, 0.1]", "probabilities = [0.7, 0.2, 0.2]", "sum 1"),
        ("misalignment = 0.01", "misalignment = nan", "not a number"),
        ("channel_loss_db = 12.0", "channel_loss_db = -12.0", "too small"),
        ("dead_time_s", "dead_time_ns", "did you mean 'dead_time_s'"),
    ],
)
def test_a_link_that_cannot_be_is_refused(typed: Typed, tmp_path: Path, old: str, new: str, said: str) -> None:
    """With file, line and field."""
    text = LINK.read_text()
    assert old in text
    (tmp_path / "link.toml").write_text(text.replace(old, new, 1))
    told = typed("qkd", "optimise", str(tmp_path / "link.toml"))
    assert told.code == 2
    assert said in told.err
    assert "link.toml:" in told.err
