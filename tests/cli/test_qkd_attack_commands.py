"""`keystrand qkd attacks|signs`: what shows an attack, what does not, and what happened by a link's own reports."""

from pathlib import Path

import pytest

from .conftest import Typed

EXAMPLES = Path(__file__).parents[2] / "examples" / "quantum"


def test_every_attack_says_what_shows_it_and_what_does_not(typed: Typed) -> None:
    """Figures before and after; the blind spots are told as plainly as the signs."""
    told = typed("qkd", "attacks", str(EXAMPLES / "planned-link.toml"), "-o", "json").json
    rows = {(row["attack"], row["parameters"].get("key_basis_ratio")): row for row in told}
    assert len(rows) == 8
    assert all(row["hides"] and row["source"] and row["shows"] for row in told)
    half = rows["intercept-resend", 0.5]
    assert half["key_qber"] == pytest.approx(half["test_qber"], abs=2e-3)
    biased = rows["intercept-resend", 1.0]
    assert biased["test_qber"] > biased["key_qber"] + 0.03
    splitting = rows["photon-number-splitting", None]
    assert splitting["secret_rate_after_bits_per_s"] == 0
    assert splitting["gain_ratios"][1] < 0.9 * splitting["gain_ratios"][0]
    blinded = rows["blinding", None]
    assert blinded["secret_rate_after_bits_per_s"] > 0.5 * blinded["secret_rate_before_bits_per_s"] > 0
    assert blinded["eve_share"] == 1.0


def test_a_person_reads_what_is_not_seen(typed: Typed) -> None:
    """On stderr, below the table."""
    told = typed("qkd", "attacks", str(EXAMPLES / "planned-link.toml"))
    assert told.code == 0
    assert "NOT seen by QBER, gains of all intensities" in told.err


def test_signs_of_an_attacked_network(typed: Typed, tmp_path: Path) -> None:
    """The attacked link is named; the others are quiet; what no report shows is said."""
    text = (EXAMPLES / "calm-link.toml").read_text()
    attack = 'link = "one-two"\nstart_s = 100000\nduration_s = 86400\nattack = { type = "photon-number-splitting" }'
    (tmp_path / "network.toml").write_text(f"{text}\n[[attack]]\n{attack}\n")
    series = str(tmp_path / "t.jsonl")
    for name, expected in (("network.toml", "photon-number splitting"), ("calm", "quiet")):
        file = tmp_path / name if name != "calm" else EXAMPLES / "calm-link.toml"
        assert typed("pilot", "network", str(file), "--days", "2", "--telemetry", series).code == 0
        told = typed("qkd", "signs", series, "-o", "json").json
        assert [row["kind"] for row in told["verdicts"]] == [expected]
        assert any("blinding" in one["attack"] for one in told["unseen"])


@pytest.mark.parametrize(
    "words",
    [
        ("attacks", "none.toml"),
        ("attacks", str(EXAMPLES / "planned-link.toml"), "--block-s", "0"),
        ("attacks", str(EXAMPLES / "planned-link.toml"), "--block-s", "nan"),
        ("attacks", str(EXAMPLES / "metro-network.toml")),
        ("signs", "none.jsonl"),
        ("signs", str(EXAMPLES / "planned-link.toml")),
        ("signs", "none.jsonl", "--baseline", "3"),
    ],
)
def test_mistakes_are_named(typed: Typed, words: tuple[str, ...]) -> None:
    """Exit code 2, and nothing on stdout."""
    told = typed("qkd", *words)
    assert told.code == 2
    assert told.out == ""


def test_too_short_a_series(typed: Typed, tmp_path: Path) -> None:
    """A baseline that takes all reports leaves nothing to judge."""
    series = tmp_path / "t.jsonl"
    typed("pilot", "network", str(EXAMPLES / "calm-link.toml"), "--days", "0.1", "--telemetry", str(series))
    told = typed("qkd", "signs", str(series), "--baseline", "30")
    assert told.code == 2
    assert "cannot be judged" in told.err
