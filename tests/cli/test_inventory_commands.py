"""`keystrand inventory`: scan, coverage, export, validate, diff, as a person types them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.cli.conftest import Typed
from tests.edge.analytics.test_inventory_questions import merged_into
from tests.inventory.test_inventory_drift import SHARED, TARGETS, in_file, server
from tests.inventory.test_inventory_merge import an_estate

SHARED_ID = f"certificate:{SHARED.sha256}"
BANK = Path(__file__).parents[2] / "examples" / "regional-bank"


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """Return a copy of the bank that only reads files: nothing is contacted."""
    folder = tmp_path / "bank"
    shutil.copytree(BANK, folder, symlinks=False)
    estate = folder / "estate.toml"
    head, *targets = estate.read_text().split("[[target]]")
    last, rest = targets[-1].split("\n[scan]", 1)
    kept = [text for text in (*targets[:-1], last) if "path =" in text]
    estate.write_text("[[target]]".join([head, *kept]) + "\n[scan]" + rest)
    return folder


@pytest.fixture
def out(bank: Path, tmp_path: Path, typed: Typed) -> Path:
    """Return the folder of one scan."""
    told = typed("inventory", "scan", str(bank), "--out", str(tmp_path / "out"), "--as-of", "2026-11-26")
    assert told.code == 0, told.err
    return tmp_path / "out"


def test_a_scan_tells_the_unknown_share_first_and_every_place(bank: Path, tmp_path: Path, typed: Typed) -> None:
    """The first line for people is what is not known; the first table has a line for each kind of place."""
    told = typed("inventory", "scan", str(bank), "--out", str(tmp_path / "out"), "--as-of", "2026-11-26")
    assert told.err.splitlines()[0].startswith("unknown: 0 of ")
    assert told.out.index("firmware") < told.out.index("atm-firmware-source")
    assert "MD5" in (tmp_path / "out" / "inventory.json").read_text()


def test_coverage_lists_gaps(out: Path, typed: Typed) -> None:
    """A system that no target names is a gap, and its place says so."""
    rows = typed("inventory", "coverage", "--out", str(out), "-o", "json").json
    places = {line["place"]: line for line in rows["places"]}
    assert places["firmware"]["state"] == "partly"
    assert any("hsm-cluster" in missing for missing in places["firmware"]["missing"])
    assert {"what": "system hsm-cluster", "outcome": "skipped-by-policy", "reason": "no target names this system"} in (
        rows["coverage"]["gaps"]
    )


@pytest.mark.parametrize("form", ["cyclonedx-1.6", "cyclonedx-1.7"])
def test_an_exported_cbom_is_valid(form: str, out: Path, tmp_path: Path, typed: Typed) -> None:
    """Each version keeps to its official schema, and says which it is."""
    file = tmp_path / "c.json"
    assert typed("inventory", "export", "--out", str(out), "--form", form, "--to", str(file)).code == 0
    (row,) = typed("inventory", "validate", str(file), "-o", "json").json
    assert (row["version"], row["valid"]) == (form.rpartition("-")[2], True)
    assert row["components"] > 50


def test_a_cbom_with_a_fault_is_refused_with_its_place(tmp_path: Path, typed: Typed) -> None:
    """Exit 2, and where in the document the fault is."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "thing"}]}))
    told = typed("inventory", "validate", str(file))
    assert told.code == 2
    assert "components[0]" in told.err
    file.write_text("{")
    assert typed("inventory", "validate", str(file)).code == 2


def test_sarif_has_the_lines_and_fingerprints_that_survive_a_move(bank: Path, out: Path, typed: Typed) -> None:
    """MD5 stands on its line; after a blank line above it the fingerprint is the same and the line is another."""

    def md5() -> tuple[int, dict[str, str]]:
        told = typed("inventory", "export", "--out", str(out), "--form", "sarif", "--files", str(bank))
        (found,) = [one for one in json.loads(told.out)["runs"][0]["results"]
                    if one["ruleId"] == "digest/MD5" and "catalogue" in json.dumps(one["locations"])]  # fmt: skip
        return found["locations"][0]["physicalLocation"]["region"]["startLine"], found["partialFingerprints"]

    line, prints = md5()
    source = bank / "collected" / "backup-vault" / "catalogue.py"
    assert "md5" in source.read_text().splitlines()[line - 1]
    source.write_text("\n" + source.read_text())
    assert typed("inventory", "scan", str(bank), "--out", str(out), "--as-of", "2026-11-26").code == 0
    assert md5() == (line + 1, prints)


def test_forms_and_modes_that_are_none_are_refused_with_those_there_are(bank: Path, out: Path, typed: Typed) -> None:
    """The next step names them."""
    told = typed("inventory", "export", "--out", str(out), "--form", "spdx")
    assert (told.code, "cyclonedx-1.7" in told.err) == (2, True)
    told = typed("inventory", "scan", str(bank), "--out", str(out), "--mode", "deep")
    assert (told.code, "quick" in told.err) == (2, True)


def test_a_diff_of_one_scan_with_itself_is_empty_and_a_change_is_one_line(
    bank: Path, out: Path, tmp_path: Path, typed: Typed
) -> None:
    """With --detailed-exitcode a change ends with 11."""
    later = tmp_path / "later"
    assert typed("inventory", "diff", str(out), str(out), "--detailed-exitcode").code == 0
    settings = bank / "collected" / "database" / "postgresql.conf"
    settings.write_text(settings.read_text().replace("prime256v1", "X25519MLKEM768"))
    assert typed("inventory", "scan", str(bank), "--out", str(later), "--as-of", "2026-11-26").code == 0
    told = typed("inventory", "diff", str(out), str(later), "--detailed-exitcode", "-o", "json")
    assert told.code == 11
    (change,) = told.json
    assert "X25519MLKEM768" in json.dumps(change)
    assert "postgresql.conf" in json.dumps(change)


def test_a_target_outside_the_allow_list_is_refused_before_anything_is_contacted(
    bank: Path, tmp_path: Path, typed: Typed
) -> None:
    """Exit 12; a plan of it is refused as well, and nothing is written."""
    estate = bank / "estate.toml"
    target = '[[target]]\nid = "x"\nprobe = "tls"\nsystem = "core-ledger"\nhost = "192.0.2.1"\nport = 443\n\n[scan]'
    estate.write_text(estate.read_text().replace("[scan]", f'{target}\nallow = ["10.0.0.0/8"]', 1))
    for words in (("--out", str(tmp_path / "o")), ("--plan",)):
        told = typed("inventory", "scan", str(bank), *words)
        assert (told.code, "192.0.2.1" in told.err) == (12, True)
    assert not (tmp_path / "o" / "inventory.json").exists()


def test_wrong_rules_of_an_estate_stop_the_scan_with_file_line_and_field(
    bank: Path, tmp_path: Path, typed: Typed
) -> None:
    """A rule file that is no rule file is told before anything is read."""
    (bank / "own.toml").write_text("[[call]]\nnonsense = 1\n")
    estate = bank / "estate.toml"
    estate.write_text(
        estate.read_text().replace(
            'path = "collected/backup-vault"', 'path = "collected/backup-vault"\nrules = ["own.toml"]'
        )
    )
    told = typed("inventory", "scan", str(bank), "--out", str(tmp_path / "o"))
    assert told.code == 2
    assert "own.toml" in told.err


def test_workers_of_a_pool_find_what_one_process_finds(bank: Path, out: Path, tmp_path: Path, typed: Typed) -> None:
    """The records are the same; an engine that is none is refused before anything is read."""
    told = typed(
        "inventory", "scan", str(bank), "--out", str(tmp_path / "p"), "--as-of", "2026-11-26", "--engine", "pool:2"
    )
    assert told.code == 0, told.err
    lines = [(folder / "observations.jsonl").read_text().splitlines()[1:] for folder in (out, tmp_path / "p")]
    assert lines[0] == lines[1]
    told = typed("inventory", "scan", str(bank), "--out", str(tmp_path / "q"), "--engine", "horses")
    assert (told.code, (tmp_path / "q").exists()) == (2, False)


def test_an_asset_is_shown_with_what_is_known_of_it_and_where_sources_differ(tmp_path: Path, typed: Typed) -> None:
    """The facts of a server stand apart, what is not known says so, and a conflict is a line."""
    records = [*server("a.example", SHARED), *in_file("etc/a.pem", replace(SHARED, subject="CN=other"))]
    merged_into(tmp_path, records, an_estate(target=TARGETS))
    told = typed("inventory", "show", "endpoint:tls://a", "--out", str(tmp_path))
    assert re.search(r"supports post quantum +no", told.out)
    assert re.search(r"prefers post quantum +not known", told.out)
    assert re.search(r"conflict +.*CN=other", typed("inventory", "show", SHARED_ID, "--out", str(tmp_path)).out)
    asset = typed("inventory", "show", SHARED_ID, "--out", str(tmp_path), "-o", "json").json
    assert (asset["fact"]["subject"], len(asset["conflicts"]), len(asset["occurrences"])) == ("CN=shop", 1, 2)
    rows = {
        row["id"]: row["conflicts"] for row in typed("inventory", "show", "--out", str(tmp_path), "-o", "json").json
    }
    assert {name: count for name, count in rows.items() if count} == {SHARED_ID: 1}


def test_two_exports_of_one_inventory_agree_and_a_changed_one_does_not(out: Path, tmp_path: Path, typed: Typed) -> None:
    """What differs is a row that names both files and what each says."""
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    typed("inventory", "export", "--out", str(out), "--to", str(one))
    other.write_text(one.read_text())
    told = typed("inventory", "compare", str(one), str(other))
    assert (told.code, told.out) == (0, "")
    assert re.search(r"[1-9]\d* shared", told.err)
    other.write_text(one.read_text().replace("CN=Build signing", "CN=Somebody"))
    rows = typed("inventory", "compare", str(one), str(other), "-o", "csv").out.splitlines()
    assert any("CN=Somebody" in row and "CN=Build signing" in row for row in rows[1:])
