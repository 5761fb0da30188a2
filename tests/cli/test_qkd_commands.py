"""`keystrand qkd compare|rate|budget`: figures, pictures, and what a mistake looks like."""

import json
from pathlib import Path

import numpy as np
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


def test_classical_light_in_the_fibre_costs_key(typed: Typed) -> None:
    """Raman noise adds to the darks of every photon counter; against the photons it is worse on long fibre."""

    def bits(*more: str) -> float:
        return float(typed("qkd", "rate", "--distance", "60", *more, "-o", "json").json["rows"][0]["bits_per_pulse"])

    dark, along, against = bits(), bits("--co-mw", "0.0005"), bits("--counter-mw", "0.0005")
    assert dark > along > against > 0
    assert (
        "dark counts"
        in typed("qkd", "rate", "--distance", "60", "--counter-mw", "1", "-o", "json").json["bb84_limited_by"]
    )


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
        (("rate", "--loss-db", "5", "--co-mw", "1"), "give --distance"),
        (("rate", "--distance", "5", "--co-mw", "-1"), "powers cannot be"),
        (("rate", "--distance", "5", "--counter-mw", "nan"), "powers cannot be"),
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


DEVICE = Path(__file__).parents[2] / "examples" / "quantum" / "device.toml"


def _telemetry(folder: Path, count: int = 12) -> Path:
    """Write a series of rates and error ratios as CSV, and return its path."""
    rng = np.random.default_rng(2)
    lines = ["link,at_s,interval_s,sifted_rate_bits_per_s,qber,up"]
    lines += [f"a-b,{60 * n + 60},60,{9e5 + 300 * rng.standard_normal()},{0.021 + 2e-5 * rng.standard_normal()},yes"
              for n in range(count)]  # fmt: skip
    path = folder / "telemetry.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_calibrate_fits_a_vendors_table(typed: Typed, tmp_path: Path) -> None:
    """Loss and misalignment with their uncertainty; the rest is said to be as given; a rate is predicted."""
    told = typed(
        "qkd",
        "calibrate",
        str(DEVICE),
        str(_telemetry(tmp_path)),
        "--predict-db",
        "20",
        "--hold-out",
        "0.25",
        "-o",
        "json",
    ).json
    rows = {row["parameter"]: row for row in told["parameters"]}
    assert [row["fitted"] for row in rows.values()] == [True, True, False, False]
    assert 11 < rows["loss_db"]["value"] < 17
    assert rows["loss_db"]["sigma"] < 0.01
    assert told["explained"] is True
    assert told["fitted_reports"] == 9
    assert {row["channel"] for row in told["foretold"]} == {"sifted", "qber"}
    (there,) = told["predictions"]
    assert there["low"] < there["secret_bits_per_s"] < there["high"]


def _edited(folder: Path, old: str, new: str) -> Path:
    path = _telemetry(folder)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",60,", ",nan,", "telemetry.csv:2"),
        ("0.02", "0.nan", "qber"),
        (",0.02", ",1.52", "qber"),
        ("qber", "error_rate", "unknown columns: 'error_rate'"),
        (",yes", ",perhaps", "up"),
        ("a-b,120", "b-c,120", "several links"),
        ("a-b,120", "a-b,60", "order of time"),
        (",60,9", ",-60,9", "interval_s"),
    ],
)
def test_telemetry_that_cannot_be(typed: Typed, tmp_path: Path, old: str, new: str, said: str) -> None:
    """With file, line and field; nothing is fitted."""
    told = typed("qkd", "calibrate", str(DEVICE), str(_edited(tmp_path, old, new)))
    assert told.code == 2
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "text",
    ["", "link,at_s,interval_s\n", '{"link": "a", "at_s": NaN}\n', "{broken\n", '{"at_s": 1}\n', '[{"link": "a"}]'],
)
def test_files_that_are_no_telemetry(typed: Typed, tmp_path: Path, text: str) -> None:
    """Empty, only a header, NaN in JSON, broken JSON, and a report of no link."""
    path = tmp_path / "t"
    path.write_text(text)
    told = typed("qkd", "calibrate", str(DEVICE), str(path))
    assert told.code == 2
    assert "hint: " in told.err


def test_calibrate_options_out_of_range(typed: Typed, tmp_path: Path) -> None:
    """Nothing is held out beyond nine tenths, and no rate predicted at no loss."""
    path = str(_telemetry(tmp_path))
    assert typed("qkd", "calibrate", str(DEVICE), path, "--hold-out", "1").code == 2
    assert typed("qkd", "calibrate", str(DEVICE), path, "--predict-db", "-3").code == 2
    assert typed("qkd", "calibrate", str(DEVICE), str(tmp_path / "none")).code == 2


def test_budget_and_the_sum_of_a_block_are_drawn(typed: Typed, tmp_path: Path) -> None:
    """Each segment with its loss against the reach; each deduction of a block."""
    budget, block = tmp_path / "b.svg", tmp_path / "o.svg"
    assert typed("qkd", "budget", str(ESTATE), "--plot", str(budget)).code == 0
    assert "out of reach" in budget.read_text()
    link = DEVICE.parent / "planned-link.toml"
    assert typed("qkd", "optimise", str(link), "--plot", str(block)).code == 0
    assert all(words in block.read_text() for words in ("single photons", "phase errors", "secret key"))
