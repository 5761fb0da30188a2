"""`keystrand plan make`, `roadmap`, `diff` and `what-if`, end to end on the example's estate with nothing scanned."""

import csv
import json
import shutil
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from keystrand.app.assess import assess_estate
from keystrand.app.estate import open_estate
from keystrand.cli.main import run as keystrand

from .conftest import Typed

SMALL = """
format_version = "1"
organisation = { name = "Bank", sector = "banking", obligations = ["eu-roadmap"] }
region = [{ id = "eu", name = "Germany", jurisdiction = "DE" }]
trust_zone = [{ id = "core", name = "Core" }]
owner = [{ id = "crypto", name = "Cryptography", engineers = 3 }]
data_class = [{ id = "ledger", name = "Ledger", retention_years = 20, sensitivity = "high" }]

[[site]]
id = "north"
name = "North"
kind = "data-centre"
latitude = 48.0
longitude = 10.0
region = "eu"
trust_zone = "core"

[[freeze]]
id = "year-end"
why = "payments peak"
first = "12-15"
last = "01-06"
"""
SYSTEM = """
[[system]]
id = "{name}"
name = "{name}"
place = "web"
site = "north"
functions = ["key-establishment"]
data_classes = ["ledger"]
exposure = "internet"
engineers = 2
migration_years = [1, 1]
owners = {{ algorithms = "crypto", keys = "crypto", governance = "crypto" }}

[[target]]
id = "{name}"
probe = "config"
system = "{name}"
path = "none-{name}.conf"
"""


def write(folder: Path, *systems: str, more: str = "") -> Path:
    """Write an estate whose systems nobody has looked at, and return its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "estate.toml").write_text(SMALL + "".join(SYSTEM.format(name=name) for name in systems) + more)
    return folder


def judged(home: Path, out: Path) -> None:
    """Scan what there is, and judge it."""
    keystrand(["inventory", "scan", str(home), "--out", str(out), "--as-of", "2026-11-26"])
    assess_estate(open_estate(home), out, as_of=date(2026, 11, 26))


@pytest.fixture
def bank(tmp_path: Path, typed: Typed) -> Path:
    """Return a folder with an estate and a plan of it in `out`."""
    home = write(tmp_path / "bank", "portal", "ledger")
    judged(home, tmp_path / "out")
    assert typed("plan", "make", str(home), "--out", str(tmp_path / "out"), "--as-of", "2026-11-26").code == 0
    return home


def test_a_roadmap_is_shown_drawn_and_written(bank: Path, typed: Typed) -> None:
    """The table as JSON has reasons and phases; chart, calendar and CSV are whole and agree with the plan."""
    home = bank.parent
    files = {name: home / f"roadmap.{name}" for name in ("svg", "ics", "csv")}
    told = typed("plan", "roadmap", "--out", str(home / "out"), "-o", "json", "--gantt", str(files["svg"]),
                 "--ics", str(files["ics"]), "--csv", str(files["csv"]))  # fmt: skip
    assert told.code == 0
    assert told.json["roadmap"]["proven"]
    assert all(m["why_date"]["because"] for m in told.json["measures"])
    assert {p["id"] for p in told.json["phases"]} == {"know", "keys"}
    ET.fromstring(files["svg"].read_text())  # noqa: S314 - our own drawing
    assert files["ics"].read_bytes().count(b"BEGIN:VEVENT") >= len(told.json["measures"])
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [row["measure"] for row in rows] == [m["id"] for m in told.json["measures"]]
    moves = sorted((r["start"], r["finish"]) for r in rows if r["measure"].startswith("migrate"))
    assert moves[0][1] < moves[1][0], "three engineers cannot do two changes of two at once"
    told = typed("plan", "roadmap", "--out", str(home / "out"), "--phases", "-o", "csv")
    phases = list(csv.DictReader(told.out.splitlines()))
    keys = [(row["about"], row["what"]) for row in phases if row["phase"] == "Move key establishment"]
    assert [about for about, _ in keys if about in ("dates", "worth", "way back")] == ["dates", "worth", "way back"]
    assert dict(keys)["worth"].startswith("avoids 0 to "), "nobody has looked at these systems"


def test_equal_inputs_give_equal_dates_and_no_change(bank: Path, typed: Typed) -> None:
    """The same plan again differs in nothing: exit 0 also with --detailed-exitcode."""
    out, again = bank.parent / "out", bank.parent / "again"
    shutil.copytree(out, again)
    assert typed("plan", "make", str(bank), "--out", str(again), "--keep", str(out), "--as-of", "2026-11-26").code == 0
    told = typed("plan", "diff", str(out), str(again), "--detailed-exitcode", "-o", "json")
    assert (told.code, told.json) == (0, [])


def test_what_if_a_supplier_is_late(bank: Path, typed: Typed) -> None:
    """Exit 11 with --detailed-exitcode; what would move is told, and nothing is written."""
    out = bank.parent / "out"
    before = (out / "plan.json").read_bytes()
    words = ("plan", "what-if", str(bank), "--out", str(out), "--set", "system.portal.vendor_ready=2033-01-01")
    told = typed(*words, "--detailed-exitcode", "-o", "json")
    assert told.code == 11
    late = next(row for row in told.json if row["what"] == "migrate-key-establishment.portal")
    assert late["change"] == "now-late"
    assert "2033-01-0" in late["after"]
    assert (out / "plan.json").read_bytes() == before


def test_what_if_moves_only_what_the_change_moves(bank: Path, typed: Typed) -> None:
    """A plan in another order than the search's own, announced like that: a new name for an owner moves nothing."""
    out, old = bank.parent / "out", bank.parent / "old.json"
    plan = json.loads((out / "plan.json").read_text())
    moves = [m for m in plan["measures"] if m["kind"] == "migrate-key-establishment"]
    dates = [(m["start"], m["finish"]) for m in reversed(moves)]
    for measure, (start, finish) in zip(moves, dates, strict=True):
        measure["start"], measure["finish"] = start, finish
    old.write_text(json.dumps(plan))
    words = (str(bank), "--out", str(out))
    assert typed("plan", "make", *words, "--keep", str(old), "--as-of", "2026-11-26").code == 0
    kept = {m["id"]: m["finish"] for m in json.loads((out / "plan.json").read_text())["measures"]}
    assert kept == {m["id"]: m["finish"] for m in plan["measures"]}
    told = typed("plan", "what-if", *words, "--set", "owner.crypto.name=Ciphers", "--detailed-exitcode", "-o", "json")
    assert (told.code, told.json) == (0, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing is to be different"),
        (("--set", "system.nowhere.engineers=2"), "no system.nowhere"),
        (("--set", "system.portal.engineers=-2"), "not sound"),
        (("--set", "system.portal.engineers=9"), "binds 9 engineers"),
        (("--set", "system.portal.depends_on=['nowhere']"), "not sound"),
    ],
)
def test_what_if_nothing_sensible_is_asked(bank: Path, typed: Typed, words: tuple[str, ...], said: str) -> None:
    """Exit 2, what is wrong and the next step, no traceback."""
    told = typed("plan", "what-if", str(bank), "--out", str(bank.parent / "out"), *words)
    assert told.code == 2
    assert said in told.err
    assert "hint:" in told.err
    assert "Traceback" not in told.err


def test_deadlines_that_cannot_hold_refuse_the_plan(tmp_path: Path, typed: Typed) -> None:
    """The supplier and the deadline are named, exit 2, and no plan is written."""
    home = write(tmp_path / "bank", "portal")
    text = (home / "estate.toml").read_text()
    (home / "estate.toml").write_text(text.replace("engineers = 2\n", "engineers = 2\nvendor_ready = 2030-06-30\n"))
    judged(home, tmp_path / "out")
    words = ("plan", "make", str(home), "--out", str(tmp_path / "out"), "--as-of", "2026-11-26", "--hold-deadlines")
    told = typed(*words)
    assert told.code == 2
    assert "supplier delivers, on 30 June 2030" in told.err
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_freeze_on_a_day_that_no_year_has(tmp_path: Path, typed: Typed) -> None:
    """File, line and field are told."""
    home = write(
        tmp_path / "bank", "portal", more='\n[[freeze]]\nid = "x"\nwhy = "y"\nfirst = "02-30"\nlast = "03-02"\n'
    )
    told = typed("estate", "check", str(home))
    assert told.code == 2
    assert "there is no day 02-30 in any year" in told.err
    assert "estate.toml:" in told.err


def test_an_estate_with_one_site_and_nothing_else(tmp_path: Path, typed: Typed) -> None:
    """The plan has nothing to do, and every form of the roadmap says so without an error."""
    home = write(tmp_path / "bank")
    (home / "estate.toml").write_text(SMALL.replace("format_version", "system = []\nformat_version", 1))
    judged(home, tmp_path / "out")
    out = str(tmp_path / "out")
    assert typed("plan", "make", str(home), "--out", out, "--as-of", "2026-11-26").code == 0
    told = typed("plan", "roadmap", "--out", out, "--gantt", str(tmp_path / "g.svg"), "--csv", str(tmp_path / "g.csv"))
    assert told.code == 0
    assert typed("plan", "roadmap", "--out", out, "-o", "json").json["measures"] == []


def test_a_plan_that_is_not_there(tmp_path: Path, typed: Typed) -> None:
    """The next step is named."""
    for words in (("roadmap", "--out", str(tmp_path)), ("diff", str(tmp_path), str(tmp_path))):
        told = typed("plan", *words)
        assert told.code == 2
        assert "keystrand plan make" in told.err
