"""`keystrand qkd simulate`: records of both ends, counts beside the model, and what a mistake looks like."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from keystrand.app import qkd_simulate
from keystrand.cli.qkd_simulate import simulate
from keystrand.edge.photon_records import read_received, read_sent
from keystrand.model.errors import InvalidInput, MissingInput

LINK = Path(__file__).parents[2] / "examples" / "quantum" / "link.toml"
app = typer.Typer()
app.command()(simulate)


def told(*words: str) -> Any:
    """Run the command and return what it said."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.parametrize("engine", ["pulse", "event"])
def test_both_ends_get_their_record_and_the_counts_fit_the_model(tmp_path: Path, engine: str) -> None:
    """Same slots, private files, the seed and link in them, z-scores as small as chance lets them."""
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    words = ("--seconds", "0.5", "--seed", "5", "--engine", engine, "--alice", str(alice), "--bob", str(bob))
    value = json.loads(told(str(LINK), *words, "-o", "json").stdout)
    (facts, sent), (theirs, received) = read_sent(alice), read_received(bob)
    assert sent.slot.tolist() == received.slot.tolist()
    assert sent.slot.size == value["clicks"] > 100_000
    assert facts.seed == theirs.seed == value["seed"] == 5
    assert facts.pulses == value["pulses"] == 500_000_000
    assert facts.link == theirs.link == qkd_simulate.read_link(LINK)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (alice, bob)] == [0o600, 0o600]
    assert value["simulated"] is True
    assert [row["basis"] for row in value["rows"]] == ["key", "test"] * 3
    assert abs(value["clicks_z"]) < 4
    for row in value["rows"]:
        assert abs(row["gain_z"]) < 4
        assert abs(row["qber_z"]) < 4
    strongest = value["rows"][0]
    assert strongest["gain"] == pytest.approx(strongest["model_gain"], rel=0.02)
    assert strongest["qber"] == pytest.approx(strongest["model_qber"], rel=0.1)


def test_a_table_is_shown_without_files() -> None:
    """Rows on stdout, words on stderr."""
    made = told(str(LINK), "--seconds", "0.01")
    assert "model qber" in made.stdout
    assert "protect nothing" in made.stderr


def test_the_same_seed_gives_the_same_records(tmp_path: Path) -> None:
    """Byte by byte; another seed others."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        told(
            str(LINK),
            "--seconds",
            "0.01",
            "--seed",
            str(seed),
            "--alice",
            str(tmp_path / name),
            "--bob",
            str(tmp_path / "bob"),
        )
    one, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert one == again != other


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("misalignment = 0.01", "misalignment = 0.9", "receiver.misalignment", 15),
        ("efficiency = 0.2", "eficiency = 0.2", "receiver.eficiency", 13),
        ("channel_loss_db = 10.6", "channel_loss_db = nan", "channel_loss_db", 3),
        ("[0.41, 0.22, 0.001]", "[0.22, 0.41, 0.001]", "transmitter", 6),
        ("[0.26, 0.54, 0.2]", "[0.26, 0.54, 0.3]", "transmitter", 6),
    ],
)
def test_a_link_that_cannot_be_is_named_by_line_and_field(
    tmp_path: Path, old: str, new: str, field: str, line: int
) -> None:
    """Every mistake has its place."""
    path = tmp_path / "link.toml"
    path.write_text(LINK.read_text().replace(old, new))
    with pytest.raises(InvalidInput) as caught:
        told(str(path))
    assert (str(path), field, line) in [(p.file, p.field, p.line) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seconds", "0"), "0 s cannot be"),
        (("--seconds", "nan"), "nan s cannot be"),
        (("--seconds", "1e6"), "a run has at most"),
        (("--seed", "-1"), "seed"),
        (("--engine", "steam"), "no engine"),
        (("--alice", "x", "--bob", "./x"), "both ends"),
        (("--alice", "x"), "one end alone"),
    ],
)
def test_options_that_cannot_be_are_refused(words: tuple[str, ...], said: str) -> None:
    """Before anything is simulated or written."""
    with pytest.raises(InvalidInput, match=said):
        told(str(LINK), *words)
    assert not Path("x").exists()


def test_a_link_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    """Each has its own words."""
    with pytest.raises(MissingInput):
        told(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is no text"):
        told(str(tmp_path / "bad.toml"))
