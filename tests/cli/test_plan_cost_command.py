"""`keystrand plan cost` and `plan frontier`, typed."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.cli.conftest import Told, Typed

from keystrand.cli.main import run as command

DAY = ("--as-of", "2026-11-26")
SMALL = """format_version = "1"
organisation = { name = "Bank", sector = "banking" }
region = [{ id = "r", name = "R", jurisdiction = "DE" }]
trust_zone = [{ id = "z", name = "Z" }]
owner = [{ id = "net", name = "Network", engineers = 4 }, { id = "risk", name = "Risk" }]
[[site]]
id = "north"
name = "North"
kind = "data-centre"
latitude = 48.4
longitude = 9.99
region = "r"
trust_zone = "z"
controlled = "yes"
[[site]]
id = "south"
name = "South"
kind = "data-centre"
latitude = 47.98
longitude = 10.18
region = "r"
trust_zone = "z"
controlled = "yes"
[[data_class]]
id = "files"
name = "Files"
retention_years = 30
sensitivity = "critical"
[[segment]]
id = "metro"
name = "Metro"
a = "north"
b = "south"
reach = "metro"
length_km = 58.0
loss_db = 11.9
loss_basis = "measured"
dark_fibre = "yes"
carrier = "utility"
key_demand_bits_per_s = 2560
quantum = { dedicated_optics = "yes", trusted_nodes = "no", specialised_operation = "yes", accepted_by = "risk" }
owners = { link = "net", governance = "risk" }
[[segment]]
id = "lab"
name = "Laboratory"
a = "north"
b = "south"
reach = "metro"
length_km = 58.0
loss_db = 11.9
loss_basis = "measured"
dark_fibre = "yes"
carrier = "utility"
purpose = "research"
programme = "Testbed"
continuity = "may-wait"
quantum = { dedicated_optics = "yes", trusted_nodes = "no", specialised_operation = "yes" }
owners = { link = "net", governance = "risk" }
[[system]]
id = "replication"
name = "Replication"
place = "replication"
site = "north"
functions = ["key-establishment", "signature"]
data_classes = ["files"]
segments = ["metro"]
exposure = "internal"
owners = { link = "net", algorithms = "net", keys = "net", governance = "risk" }
[[system]]
id = "mail"
name = "Mail"
place = "mail"
site = "south"
functions = ["key-establishment"]
data_classes = ["files"]
exposure = "internet"
owners = { link = "net", algorithms = "net", keys = "net", governance = "risk" }
"""
ONE_SITE = """format_version = "1"
organisation = { name = "Clinic", sector = "health" }
system = []
data_class = []
owner = []
region = [{ id = "r", name = "R", jurisdiction = "DE" }]
trust_zone = [{ id = "z", name = "Z" }]
[[site]]
id = "one"
name = "One"
kind = "office"
latitude = 48.0
longitude = 10.0
region = "r"
trust_zone = "z"
"""
PRICE = """
[[price]]
item = "qkd-pair"
low = 1
likely = 2
high = 3
currency = "EUR"
source = "offer 1"
as_of = 2026-11-01
"""


def _stages(folder: Path, out: Path) -> None:
    """Make the documents that a cost is made from; nothing answers, so every verdict is unknown."""
    assert command(["inventory", "scan", str(folder), "--out", str(out)]) in (0, 3)
    assert command(["assess", "run", str(folder), "--out", str(out), *DAY]) == 0
    assert command(["plan", "make", str(folder), "--out", str(out), *DAY]) == 0


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small bank and its plan."""
    home = tmp_path_factory.mktemp("bank")
    (home / "bank").mkdir()
    (home / "bank" / "estate.toml").write_text(SMALL)
    _stages(home / "bank", home / "out")
    return home


@pytest.fixture
def bank(planned: Path, tmp_path: Path) -> Path:
    """Return a copy of the small bank and its plan."""
    shutil.copytree(planned, tmp_path / "copy")
    return tmp_path / "copy"


def _cost(typed: Typed, home: Path, *words: str) -> Told:
    return typed("plan", "cost", str(home / "bank"), "--out", str(home / "out"), "--scenarios", "200", *words)


def _append(home: Path, text: str) -> None:
    """Add `text` to the estate and make its documents again."""
    estate = home / "bank" / "estate.toml"
    estate.write_text(estate.read_text() + text)
    _stages(home / "bank", home / "out")


def test_the_options_are_shown_with_ranges_and_marked(typed: Typed, bank: Path) -> None:
    """On the shipped prices: not for a decision, with what to fill in; the document is written, and not twice so."""
    told = _cost(typed, bank, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(told.out)))
    assert told.code == 0
    assert [row["option"] for row in rows] == ["do-nothing", "pqc-only", "plan"]
    assert [row["for_a_decision"] for row in rows] == ["yes", "NOT TO BE USED", "NOT TO BE USED"]
    assert " to " in rows[1]["present_value"]
    assert "get prices for: " in told.err
    first = (bank / "out" / "cost.json").read_text()
    made = [line for line in first.splitlines() if "created_at" not in line]
    _cost(typed, bank)
    again = [line for line in (bank / "out" / "cost.json").read_text().splitlines() if "created_at" not in line]
    assert made == again


@pytest.mark.parametrize("part", ["options", "categories", "phases", "scenarios", "inputs", "find-out"])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_every_part_in_every_form(typed: Typed, bank: Path, part: str, form: str) -> None:
    """Data on stdout only."""
    told = _cost(typed, bank, "--show", part, "-o", form)
    assert told.code == 0
    assert told.out
    if form == "json":
        assert told.json["kind"] == "cost"
        assert told.json["seed"] == 20261126


def test_the_frontier_and_the_charts(typed: Typed, bank: Path) -> None:
    """Ways and steps from the document; both charts are whole SVG files with their words."""
    out = ("--out", str(bank / "out"))
    missing = typed("plan", "frontier", *out)
    assert missing.code == 2
    assert "keystrand plan cost" in missing.err
    assert _cost(typed, bank, "--plot", str(bank / "t.svg")).code == 0
    ways = list(csv.DictReader(io.StringIO(typed("plan", "frontier", *out, "-o", "csv").out)))
    assert {row["standing"] for row in ways} >= {"base", "efficient", "dominated"}
    told = typed("plan", "frontier", *out, "--show", "steps", "-o", "json", "--plot", str(bank / "f.svg"))
    saved = [step["saved"]["value"] for step in told.json["steps"]]
    assert saved == sorted(saved)
    assert "no limits are given" in told.err
    for name, words in (("t.svg", "What moves the cost"), ("f.svg", "Data-years saved")):
        drawn = ET.parse(bank / name).getroot()  # noqa: S314 - our own file
        assert words in "".join(drawn.itertext())


def test_limits_give_the_best_choice(typed: Typed, bank: Path) -> None:
    """With a budget and operating hours; in words, and in the document."""
    _append(bank, "\n[planning]\nbudget = 9e5\noperating_hours_per_year = 40\n")
    assert _cost(typed, bank).code == 0
    told = typed("plan", "frontier", "--out", str(bank / "out"), "-o", "json")
    best: dict[str, Any] = told.json["portfolio"]
    assert best["systems"]
    assert best["left_out"] > 0
    assert best["expected_operation"] + best["committed_operation"] <= 40
    assert best["expected_cost"] + best["committed_cost"] <= 9e5
    assert "within the limits: " in told.err


def test_limits_that_the_duties_alone_exceed_are_told(typed: Typed, bank: Path) -> None:
    """Then nothing is chosen, and the sentence says why."""
    _append(bank, "\n[planning]\noperating_hours_per_year = 1\n")
    assert _cost(typed, bank).code == 0
    told = typed("plan", "frontier", "--out", str(bank / "out"), "-o", "json")
    assert (told.json["portfolio"]["within"], told.json["portfolio"]["systems"]) == (False, [])
    assert "alone need more than the limits" in told.err


def test_the_gate_is_for_unverified_prices(typed: Typed, bank: Path) -> None:
    """Exit 10; and 0 where the share is allowed."""
    assert _cost(typed, bank, "--fail-on", "unverified").code == 10
    told = _cost(typed, bank, "--most-unverified", "1", "--fail-on", "unverified")
    assert told.code == 10, "a price that is not known at all is not allowed by any share"
    (bank / "bank" / "prices").mkdir()
    own = 'id = "own"\ncurrency = "EUR"\n[[item]]\nid = "laboratory-year"\nname = "Place"\ncategory = "pilot"\n'
    own += 'unit = "year"\nlow = 1\nlikely = 2\nhigh = 3\nlevel = "verified"\nsource = "contract"\n'
    (bank / "bank" / "prices" / "own.toml").write_text(own + 'as_of = 2026-11-01\nfactor = "sites"\n')
    assert _cost(typed, bank, "--most-unverified", "1", "--fail-on", "unverified").code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (PRICE.replace("EUR", "USD"), "price[0].currency: it is in USD, the plan in EUR"),
        (PRICE.replace("qkd-pair", "qkd-pear"), "price[0].item: no price list has an item 'qkd-pear'"),
    ],
)
def test_a_price_that_cannot_be_used_is_told_with_its_line(typed: Typed, bank: Path, change: str, words: str) -> None:
    """Exit 2, file, line, field and next step; an earlier document stays as it is."""
    assert _cost(typed, bank).code == 0
    before = (bank / "out" / "cost.json").read_bytes()
    _append(bank, change)
    told = _cost(typed, bank)
    assert told.code == 2
    assert words in told.err
    line = next(n for n, text in enumerate((bank / "bank" / "estate.toml").read_text().splitlines(), 1)
                if text.startswith(words.partition("price[0].")[2].partition(":")[0]))  # fmt: skip
    assert f"estate.toml:{line}: " in told.err
    assert "hint: " in told.err
    assert (bank / "out" / "cost.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (PRICE.replace("low = 1", "low = 5"), "price[0].likely: 2 does not lie between 5 and 3"),
        ("\n[planning]\nbudget = 0\n", "planning.budget"),
        ("\n[planning]\ncurrency = 'euro'\n", "planning.currency"),
        ("\n[[planning.exchange]]\ncurrency = 'USD'\nrate = 0\nsource = 'x'\nas_of = 2026-01-01\n", "exchange[0].rate"),
    ],
)
def test_a_faulty_estate_is_told(typed: Typed, bank: Path, change: str, words: str) -> None:
    """By the estate's own reader, with file and line."""
    estate = bank / "bank" / "estate.toml"
    estate.write_text(estate.read_text() + change)
    told = _cost(typed, bank)
    assert told.code == 2
    assert words in told.err
    assert not (bank / "out" / "cost.json").exists()


@pytest.mark.parametrize(
    ("folder", "text", "words"),
    [
        ("prices", 'id = "x"\ncurrency = "EUR"\nitem = []\n', "x.toml:3: item"),
        ("prices", "id = \n", "not valid TOML"),
        ("prices", 'id = "x"\ncurrency = "EUR"\n[[item]]\nid = "a"\nname = "A"\ncategory = "pilot"\nunit = "u"\n'
         'low = 3\nlikely = 2\nhigh = 4\nlevel = "verified"\nsource = "s"\nas_of = 2026-01-01\nfactor = "sites"\n',
         "low, likely and high must stand in this order"),
        ("rates", 'id = "x"\n[[rate]]\nid = "find-out"\nname = "P"\nunit = "ratio"\nlow = 0\nlikely = 1\nhigh = 2\n'
         'level = "assumed"\nsource = "s"\nas_of = 2026-01-01\nfactor = "effort"\n', "is a ratio"),
    ],
)  # fmt: skip
def test_a_faulty_list_is_told(typed: Typed, bank: Path, folder: str, text: str, words: str) -> None:
    """Lists of one's own are judged as the shipped ones are."""
    (bank / "bank" / folder).mkdir()
    (bank / "bank" / folder / "x.toml").write_text(text)
    told = _cost(typed, bank)
    assert told.code == 2
    assert words in told.err
    assert not (bank / "out" / "cost.json").exists()


def test_an_estate_of_one_site_and_nothing_else(typed: Typed, tmp_path: Path) -> None:
    """Costs nothing, says so, and draws an empty chart."""
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "estate.toml").write_text(ONE_SITE)
    _stages(tmp_path / "bank", tmp_path / "out")
    told = _cost(typed, tmp_path, "-o", "json", "--plot", str(tmp_path / "t.svg"))
    assert told.code == 0
    assert [option["cost"]["high"] for option in told.json["options"]] == [0.0, 0.0, 0.0]
    assert typed("plan", "frontier", "--out", str(tmp_path / "out"), "--plot", str(tmp_path / "f.svg")).code == 0
    assert ET.parse(tmp_path / "f.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_a_plan_of_another_day_is_refused(typed: Typed, bank: Path) -> None:
    """An estate that changed since the plan was made is told, not costed."""
    estate = bank / "bank" / "estate.toml"
    estate.write_text(estate.read_text() + PRICE)
    told = _cost(typed, bank)
    assert told.code == 2
    assert "the estate has changed since" in told.err
