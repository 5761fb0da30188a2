"""`keystrand plan topology`: from an estate or a network file to a design, a map, a graph, and clear refusals."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from keystrand.cli.plan_topology import RateBy, Survives
from keystrand.formats.networks import network_from
from keystrand.model.planning import Protection
from keystrand.model.stages.designed import RateModel, TopologyDesign
from keystrand.plan import topology_solver
from keystrand.plan.topology_optics import rate_of
from keystrand.plan.topology_verify import faults

from .conftest import Typed

ROOT = Path(__file__).parents[2]
BANK = ROOT / "examples" / "regional-bank"
NETWORK = """?SNDlib native format; type: network; version: 1.0
NODES (
  North ( 10.0 49.0 )
  East ( 10.6 48.5 )
  South ( 10.0 48.0 )
  West ( 9.4 48.5 )
)
LINKS (
  NE ( North East ) 0 0 0 0 ( 1 1 )
  ES ( East South ) 0 0 0 0 ( 1 1 )
  SW ( South West ) 0 0 0 0 ( 1 1 )
  WN ( West North ) 0 0 0 0 ( 1 1 )
)
DEMANDS (
  one ( North South ) 1 5.0 UNLIMITED
  two ( East West ) 1 3.0 UNLIMITED
)
"""


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Return a ring of four places as a file."""
    (tmp_path / "ring.txt").write_text(NETWORK)
    return tmp_path / "ring.txt"


def test_a_network_file_becomes_a_checked_design(typed: Typed, ring: Path, tmp_path: Path) -> None:
    """Cost, bound, gap and greedy are told; the document holds before the verifier, and says what it rests on."""
    out = tmp_path / "out"
    told = typed("plan", "topology", "--network", str(ring), "--demands", "2", "--out", str(out), "-o", "json")
    assert told.code == 0
    design = msgspec.json.decode((out / "topology.json").read_bytes(), type=TopologyDesign)
    assert told.json["cost"] == msgspec.to_builtins(design.cost)
    assert faults(design, rate_of(design.optics.rate)) == ()
    assert len(design.routes) == 4
    assert design.bound == pytest.approx(design.cost.likely, abs=0.2)
    for words in ("2 of 2 needs", "gap none", "greedy planner", "checked again", "unverified-default"):
        assert words in told.err
    assert {"needs", "places", "prices", "key rate of a span"} <= {one.name for one in design.assumptions}


def test_every_form_of_output(typed: Typed, ring: Path, tmp_path: Path) -> None:
    """Links, routes and places as rows; nothing but data on stdout."""
    command = ("plan", "topology", "--network", str(ring), "--demands", "1", "--out", str(tmp_path / "out"))
    assert "North - East" in typed(*command).out
    lines = typed(*command, "--show", "routes", "-o", "jsonl").out.splitlines()
    assert {json.loads(line)["way"] for line in lines} == {"North > East > South", "North > West > South"}
    places = typed(*command, "--show", "places", "-o", "csv").out.splitlines()
    assert places[0] == "place,role,access,region,zone"
    assert "East,trusted node,staffed,," in places


def test_map_and_graphs_come_out_and_go_in_again(typed: Typed, ring: Path, tmp_path: Path) -> None:
    """The map tells all in words and shapes; a graph that was written is a network that is read."""
    command = ("plan", "topology", "--network", str(ring), "--demands", "2", "--out", str(tmp_path / "out"))
    for name in ("design.graphml", "design.geojson"):
        told = typed(*command, "--graph", str(tmp_path / name), "--plot", str(tmp_path / "map.svg"))
        assert told.code == 0
        read = network_from((tmp_path / name).read_bytes(), name, 0.22).network
        assert {node.id for node in read.nodes} == {"North", "East", "South", "West"}
        assert len(read.fibres) == 4
    drawn = ET.fromstring((tmp_path / "map.svg").read_text())  # noqa: S314 - our own text
    titles = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0].startswith("Map of the quantum network")
    assert any("trusted node" in title for title in titles)
    assert any("system" in title for title in titles)


def _changed(folder: Path, old: str, new: str) -> Path:
    """Return a copy of the bank in which `old`, a pattern, is `new` everywhere."""
    shutil.copytree(BANK, folder / "bank")
    file = folder / "bank" / "estate.toml"
    text, number = re.subn(old, new, file.read_text())
    assert number
    file.write_text(text)
    return folder / "bank"


def test_the_example_bank_is_planned(typed: Typed, tmp_path: Path) -> None:
    """Its demands are served with its own price of a pair; what is no dark fibre is told as left out."""
    told = typed("plan", "topology", str(BANK), "--out", str(tmp_path), "--as-of", "2026-11-26", "-o", "json")
    assert told.code == 0
    assert {one["need"] for one in told.json["routes"]} == {"ledger-keys", "vault-keys", "recovery-keys"}
    assert told.json["tariff"]["pair"] == {"low": 110, "likely": 150, "high": 210}
    assert told.json["tariff"]["source"].startswith("pair: ")
    gaps = [gap["reason"] for gap in told.json["coverage"]["gaps"]]
    assert any("there is no dark fibre" in reason for reason in gaps)


def test_what_cannot_be_protected_is_told_and_the_rest_is_planned(typed: Typed, tmp_path: Path) -> None:
    """Reason and next step stand beside the need, the others are served, and the exit code says that it is a part."""
    bank = _changed(tmp_path, r'protection = "none" # one route.*', 'protection = "node"\npeak_bits_per_s = 3000')
    told = typed("plan", "topology", str(bank), "--out", str(tmp_path / "out"), "-o", "json")
    assert told.code == 3
    assert [one["need"] for one in told.json["unserved"]] == ["ledger-keys"]
    assert {one["need"] for one in told.json["routes"]} == {"vault-keys", "recovery-keys"}
    assert [n["bits_per_s"] for n in told.json["network"]["needs"] if n["id"] == "ledger-keys"] == [3000]
    assert "not served: ledger-keys: there are no two ways" in told.err
    assert "hint: " in told.err


def test_without_demands_the_segments_count(typed: Typed, tmp_path: Path) -> None:
    """Where there is no [[demand]] the segments' own demand is planned for, as far as it goes."""
    bank = _changed(tmp_path, r"(?s)\n\[\[demand\]\].*?\n\n(?=\[\[price)", "\n")
    told = typed("plan", "topology", str(bank), "--out", str(tmp_path / "out"), "-o", "json")
    assert told.code == 3
    assert {one["need"] for one in told.json["routes"]} == {"archive-vault", "recovery-route"}
    assert "not served: clearing-route: no chain of fibres" in told.err


def test_prices_in_another_currency_are_refused(typed: Typed, tmp_path: Path) -> None:
    """Nothing is exchanged in silence, and nothing written."""
    foreign = _changed(tmp_path, r'currency = "EUR"', 'currency = "CHF"')
    told = typed("plan", "topology", str(foreign), "--out", str(tmp_path / "not"))
    assert told.code == 2
    assert "CHF" in told.err
    assert not (tmp_path / "not").exists()


def test_an_estate_without_a_dark_fibre_is_refused(typed: Typed, tmp_path: Path) -> None:
    """Each segment is named with what it lacks, and nothing is written."""
    bank = _changed(tmp_path, r'dark_fibre = "yes"', 'dark_fibre = "no"')
    told = typed("plan", "topology", str(bank), "--out", str(tmp_path / "out"))
    assert told.code == 2
    assert "no dark fibre" in told.err
    assert not (tmp_path / "out" / "topology.json").exists()


def test_a_prohibition_comes_first(typed: Typed, tmp_path: Path) -> None:
    """Where quantum key distribution is prohibited nothing is designed, whatever the fibres."""
    bank = _changed(tmp_path, r'\nname = "[^"]*"\nsector', '\nname = "Bank"\nsector')
    (bank / "positions").mkdir()
    (bank / "positions" / "our-authority.toml").write_text("""
id = "our-authority"
authority = "Our authority"
stance = "prohibits"
jurisdictions = []
applies_to = "all users"
text = "Not permitted."
[source]
title = "Notice"
publisher = "Our authority"
clause = "1"
published = 2026-01-01
as_of = 2026-11-01
verification = "primary"
""")
    told = typed("plan", "topology", str(bank), "--out", str(tmp_path / "out"), "--as-of", "2026-11-26")
    assert told.code == 12
    assert "Our authority prohibits quantum key distribution" in told.err
    assert "plan make" in told.err
    assert not (tmp_path / "out" / "topology.json").exists()


@pytest.mark.parametrize(
    ("words", "told_words"),
    [
        (("--demand", "North:Suoth:100"), "did you mean 'South'?"),
        (("--demand", "North:South"), "write PLACE:PLACE:BITS_PER_S"),
        (("--demand", "North:South:-5"), "write PLACE:PLACE:BITS_PER_S"),
        (("--demand", "North:North:5"), "both ends are 'North'"),
        (("--graph", "design.pdf"), ".graphml or .geojson"),
    ],
)
def test_a_mistake_is_told(typed: Typed, ring: Path, tmp_path: Path, words: tuple[str, ...], told_words: str) -> None:
    """What is wrong and what to write instead; no traceback, nothing written."""
    told = typed("plan", "topology", "--network", str(ring), "--out", str(tmp_path / "out"), *words)
    assert told.code == 2
    assert told_words in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "out" / "topology.json").exists()


def test_a_file_that_is_no_network_is_told(typed: Typed, tmp_path: Path) -> None:
    """Missing, of another kind, or without traffic: each has its next step."""
    out = ("--out", str(tmp_path / "out"))
    assert typed("plan", "topology", "--network", str(tmp_path / "none"), *out).code == 2
    told = typed("plan", "topology", "--network", str(BANK / "estate.toml"), *out)
    assert told.code == 2
    assert "is no network" in told.err
    (tmp_path / "quiet.txt").write_text(NETWORK.partition("DEMANDS")[0])
    told = typed("plan", "topology", "--network", str(tmp_path / "quiet.txt"), *out)
    assert told.code == 2
    assert "--demand PLACE:PLACE:BITS_PER_S" in told.err


def test_the_words_of_the_options_are_those_of_the_model() -> None:
    """The command's own lists, which load fast, say what the model's say."""
    assert [one.value for one in Survives] == [one.value for one in Protection]
    assert [one.value for one in RateBy] == [one.value for one in RateModel]


def test_without_or_tools_it_goes_on(typed: Typed, ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SciPy's HiGHS finds the same optimum, and the document says who solved."""
    command = ("plan", "topology", "--network", str(ring), "--demands", "2", "--out", str(tmp_path), "-o", "json")
    best = typed(*command).json["cost"]
    monkeypatch.setattr(topology_solver, "has_ortools", lambda: False)
    told = typed(*command)
    assert told.json["cost"] == best
    assert "SciPy" in told.json["solver"]
    assert "keystrand[plan]" in told.err


def test_interrupted_it_keeps_the_best_so_far(tmp_path: Path) -> None:
    """^C ends the search at once, not the design: it is written, checked, and says that it was stopped."""
    draws = [f"  N{n} ( {9 + n % 6 * 0.5} {47.5 + n // 6 * 0.4} )" for n in range(36)]
    links = [f"  H{n} ( N{n} N{n + 1} ) 0 0 0 0 ( 1 1 )" for n in range(36) if n % 6 < 5]
    links += [f"  V{n} ( N{n} N{n + 6} ) 0 0 0 0 ( 1 1 )" for n in range(30)]
    pairs = [f"  D{n} ( N{n} N{35 - n} ) 1 {20 - n}.0 UNLIMITED" for n in range(18)]
    parts = [("NODES", draws), ("LINKS", links), ("DEMANDS", pairs)]
    text = "?SNDlib native format\n" + "".join(f"{name} (\n" + "\n".join(rows) + "\n)\n" for name, rows in parts)
    (tmp_path / "grid.txt").write_text(text)
    command = [sys.executable, "-m", "keystrand.cli.main", "plan", "topology", "--network", str(tmp_path / "grid.txt"),
               "--demands", "18", "--out", str(tmp_path / "out"), "--time-limit", "300"]  # fmt: skip
    ours, theirs = pty.openpty()  # progress is told to terminals only
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)
        said = _read_until(ours, b"moves")
        child.send_signal(signal.SIGINT)
        said += _read_until(ours, None)
        child.wait(60)
    os.close(ours)
    assert child.returncode == 130, said
    design = msgspec.json.decode((tmp_path / "out" / "topology.json").read_bytes(), type=TopologyDesign)
    assert design.ended == "stopped"
    assert len(design.routes) == 36
    assert b"Traceback" not in said
    assert 0 < design.bound < design.cost.likely


def _read_until(descriptor: int, word: bytes | None) -> bytes:
    """Return what comes until `word`, or until nobody writes any more."""
    said = b""
    with suppress(OSError):  # how Linux tells that the other end is closed
        while (word is None or word not in said) and (more := os.read(descriptor, 4096)):
            said += more
    return said
