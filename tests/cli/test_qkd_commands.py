"""`keystrand qkd compare|rate|budget`: figures, pictures, and what a mistake looks like."""

import json
from pathlib import Path

import pytest

from keystrand.edge import pictures
from keystrand.model.errors import InvalidInput

from .conftest import Typed

ESTATE = Path(__file__).parents[2] / "examples" / "regional-bank"


def test_compare_says_what_its_figures_rest_on(typed: Typed) -> None:
    """Rows with every protocol and bound; hardware, models and sources beside them."""
    told = typed("qkd", "compare", "--distance", "0:100:25", "-o", "json").json
    assert [row["distance_km"] for row in told["rows"]] == [0, 25, 50, 75, 100]
    assert told["rows"][2]["loss_db"] == pytest.approx(10.6)
    assert told["simulated"] is True
    ids = [one["id"] for one in told["curves"]]
    assert {"bb84", "bbm92", "mdi", "twin-field", "cv", "plob"} <= set(ids)
    assert all(one["source"] and one["model"] for one in told["curves"])
    assert all(set(ids) < set(row) for row in told["rows"])
    assert "assumed" in told["hardware"]["source"]


def test_compare_draws(typed: Typed, tmp_path: Path) -> None:
    """SVG as text, PNG from the same drawing."""
    svg, png = tmp_path / "c.svg", tmp_path / "c.png"
    assert typed("qkd", "compare", "--plot", str(svg)).code == 0
    assert typed("qkd", "compare", "--plot", str(png)).code == 0
    assert "limit without a repeater" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_png_without_a_font_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A picture without its words would say nothing; nobody would notice before the meeting."""
    monkeypatch.setattr(pictures, "_WORD", pictures._NO_WORD)
    with pytest.raises(InvalidInput, match="no font"):
        pictures.write_chart(tmp_path / "c.png", "<svg/>")
    assert not list(tmp_path.iterdir())


def test_rate_agrees_with_compare(typed: Typed) -> None:
    """The same models at one place."""
    told = typed("qkd", "rate", "--distance", "50", "-o", "json").json
    row = typed("qkd", "compare", "--distance", "50:51:1", "-o", "json").json["rows"][0]
    assert all(one["bits_per_pulse"] == pytest.approx(row[one["protocol"]]) for one in told["rows"])
    assert all(0 <= one["share_of_limit"] <= 1 for one in told["rows"])
    assert told["bb84_limited_by"] == "loss of the channel"
    far = typed("qkd", "rate", "--loss-db", "65", "-o", "json").json
    assert "dark counts" in far["bb84_limited_by"]


def test_budget_of_the_bundled_estate(typed: Typed) -> None:
    """What limits each link, what is to spare, and whether the key demand is met."""
    rows = {row["segment"]: row for row in typed("qkd", "budget", str(ESTATE), "-o", "json").json}
    metro, far = rows["dc-metro"], rows["clearing-backup"]
    assert metro["covers_demand"] is True
    assert metro["to_spare_db"] == pytest.approx(metro["reach_db"] - metro["loss_db"])
    assert far["bits_per_s"] == 0
    assert far["to_spare_db"] < 0
    assert "dark counts" in far["limited_by"]
    only = typed("qkd", "budget", str(ESTATE), "--segment", "dc-metro", "-o", "jsonl")
    assert json.loads(only.out)["segment"] == "dc-metro"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "--distance", "100:0"), "no range of distances"),
        (("compare", "--distance", "0:nan"), "no range of distances"),
        (("compare", "--distance", "0:1:0"), "no range of distances"),
        (("compare", "--distance", "far"), "no range of distances"),
        (("compare", "--distance", "-5:5"), "no range of distances"),
        (("compare", "--distance", "0:5000"), "not above 200 dB"),
        (("compare", "--hardware", "magic"), "no hardware is called"),
        (("compare", "--db-per-km", "-1"), "cannot be"),
        (("compare", "--db-per-km", "nan"), "cannot be"),
        (("compare", "--connectors", "0"), "above 0"),
        (("compare", "--plot", "c.jpg"), ".svg or .png"),
        (("rate",), "either --distance or --loss-db"),
        (("rate", "--distance", "5", "--loss-db", "1"), "either --distance or --loss-db"),
        (("rate", "--distance", "-5"), "cannot be"),
        (("rate", "--distance", "inf"), "cannot be"),
        (("rate", "--loss-db", "0"), "above 0"),
        (("rate", "--loss-db", "nan"), "above 0"),
        (("budget", str(ESTATE), "--segment", "moon"), "no segment is called"),
    ],
)
def test_a_mistake_is_named(typed: Typed, words: tuple[str, ...], said: str) -> None:
    """With exit code 2, the next step, and nothing on stdout."""
    told = typed("qkd", *words)
    assert told.code == 2
    assert said in told.err
    assert "hint: " in told.err
    assert told.out == ""
