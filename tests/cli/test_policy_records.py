"""`keystrand policy` over dated policies, and the gate with waivers: the thing as a person types it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from keystrand.edge.estate_folder import example_folder

ESTATE = """format_version = "1"
[organisation]
name = "Example"
sector = "finance"
obligations = ["house"]
[[region]]
id = "de"
name = "Germany"
jurisdiction = "DE"
[[trust_zone]]
id = "core"
name = "Core"
[[owner]]
id = "risk"
name = "Risk office"
[[site]]
id = "centre"
name = "Centre"
kind = "data-centre"
latitude = 50.0
longitude = 8.0
region = "de"
trust_zone = "core"
[[data_class]]
id = "ledger"
name = "Ledger"
retention_years = 10
sensitivity = "high"
[[system]]
id = "signing"
name = "Signing"
place = "code-signing"
site = "centre"
functions = ["signature"]
data_classes = ["ledger"]
exposure = "internal"
[[target]]
id = "certificate"
probe = "x509"
system = "signing"
path = "old.pem"
"""
WAIVER = """
[[waiver]]
id = "late-supplier"
policy = "house"
rules = ["signatures"]
systems = ["signing"]
owner = "risk"
reason = "the supplier delivers in spring"
granted = 2026-09-01
expires = 2027-03-31
"""
HOUSE = """id = "house"
name = "House rule"
status = "final"
force = "guidance"
jurisdictions = []
addressees = "everybody here"
[source]
title = "Cryptography standard"
publisher = "Example"
clause = "4"
published = 2025-01-15
as_of = 2026-11-24
verification = "primary"
[[rules]]
id = "signatures"
functions = ["signature"]
effect = "disallow"
deadline = 2026-06-30
text = "Code is signed with post-quantum algorithms."
clause = "4.2"
[[test]]
name = "RSA after the date"
rule = "signatures"
function = "signature"
algorithms = ["RSA-3072"]
on = 2026-07-01
expect = "violation"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Any) -> Path:
    """An estate with one signing certificate and a policy of its own, scanned into `out`."""
    with example_folder("regional-bank") as bank:
        certificate = next(p for p in sorted(bank.rglob("*.pem")) if b"BEGIN CERT" in p.read_bytes())
        shutil.copy(certificate, tmp_path / "old.pem")
    (tmp_path / "estate.toml").write_text(ESTATE)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "house.toml").write_text(HOUSE)
    monkeypatch.chdir(tmp_path)
    assert typed("inventory", "scan", ".", "--out", "out").code == 0
    return tmp_path


def _judged(typed: Any, *more: str) -> Any:
    return typed("assess", "run", ".", "--out", "out", "--as-of", "2026-11-24", *more)


@pytest.mark.usefixtures("home")
def test_a_policy_of_ones_own_binds_without_any_code(typed: Any) -> None:
    """It is known to the estate, listed, shown, tested, and trips the gate."""
    assert typed("estate", "check", ".").code == 0
    row = next(r for r in typed("policy", "list", "-o", "json").json if r["id"] == "house")
    assert (row["kind"], row["force"], row["remarks"]) == ("own policy", "guidance", "")
    assert "disallow signature by 30 June 2026" in typed("policy", "show", "house", "-o", "csv").out
    assert typed("policy", "test", "house").code == 0
    assert _judged(typed, "--fail-on", "violation").code == 10
    rows = typed("assess", "policies", "--binding", "-o", "json").json
    assert [(r["rule"], r["violations"], r["waived"], r["left"]) for r in rows] == [("signatures", 1, 0, 1)]


def test_the_gate_leaves_out_what_a_waiver_in_force_covers_and_says_so(home: Path, typed: Any) -> None:
    """Counted with and without; the day after it expires the gate trips again, and the waiver is told."""
    (home / "estate.toml").write_text(ESTATE + WAIVER)
    assert typed("inventory", "scan", ".", "--out", "out").code == 0
    told = _judged(typed, "--fail-on", "violation")
    assert told.code == 0
    assert "1 finding in violation left out: a waiver in force covers them" in told.err
    rows = typed("assess", "policies", "--binding", "-o", "json").json
    assert [(r["violations"], r["waived"], r["left"]) for r in rows] == [(1, 1, 0)]
    (waiver,) = typed("assess", "waivers", "-o", "json").json
    assert (waiver["in_force"], waiver["violations"], waiver["owner"]) == (True, 1, "risk")
    ended = typed("assess", "run", ".", "--out", "out", "--as-of", "2027-04-01", "--fail-on", "violation")
    assert ended.code == 10
    assert "late-supplier" in typed("assess", "waivers").err
    assert "counts for nothing" in typed("assess", "explain", "signing").out


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ('policy = "house"', 'policy = "mouse"', "waiver[0].policy", "did you mean 'house'?"),
        ('rules = ["signatures"]', 'rules = ["signature"]', "waiver[0].rules[0]", "did you mean 'signatures'?"),
        ('owner = "risk"', 'owner = "rusk"', "waiver[0].owner", "did you mean 'risk'?"),
        ("expires = 2027-03-31", "expires = 2026-08-31", "waiver[0].expires", "not after it was granted"),
    ],
)
def test_a_waiver_of_something_that_is_not_there_is_an_error(
    home: Path, typed: Any, old: str, new: str, field: str, words: str
) -> None:
    """Exit 2, with file, line, field and what was meant; the assessment is not touched."""
    assert old in WAIVER
    (home / "estate.toml").write_text(ESTATE + WAIVER.replace(old, new))
    told = _judged(typed)
    assert told.code == 2
    assert f": {field}: " in told.err
    assert words in told.err
    assert not (home / "out" / "assessment.json").exists()


def test_a_test_that_fails_says_what_came(home: Path, typed: Any) -> None:
    """Exit 1, the failed one first."""
    (home / "policies" / "house.toml").write_text(HOUSE.replace('expect = "violation"', 'expect = "met"'))
    told = typed("policy", "test", "policies/house.toml", "-o", "json")
    assert told.code == 1
    assert "1 test of policies/house.toml failed" in told.err
    assert (told.json[0]["result"], told.json[0]["came"]) == ("FAILED", "violation")
    assert "no tests" in typed("policy", "test", "eu-roadmap").err


def test_diff_says_what_changed_and_which_systems_stand_otherwise(home: Path, typed: Any) -> None:
    """A date put off: one field, one system; exit 11 where asked for, and none where nothing differs."""
    (home / "later.toml").write_text(HOUSE.replace("2026-06-30", "2027-06-30").replace("on = 2026", "on = 2027"))
    told = typed("policy", "diff", "house", "later.toml", "--out", "out", "--as-of", "2026-11-24", "-o", "json")
    assert told.code == 0
    assert told.json == [
        {"what": "rule signatures", "field": "deadline", "old": "30 June 2026", "new": "30 June 2027"},
        {"what": "system signing", "field": "signature, rule signatures", "old": "violation", "new": "due"},
    ]
    assert typed("policy", "diff", "house", "later.toml", "--detailed-exitcode").code == 11
    assert typed("policy", "diff", "house", "house", "--detailed-exitcode").code == 0
    assert typed("policy", "diff", "house", "us-nsa").code == 2


@pytest.mark.usefixtures("home")
def test_a_date_that_has_passed_is_a_question_and_no_refusal(typed: Any) -> None:
    """Exit 0, the field and line, and what to ask oneself."""
    told = typed("policy", "check", "policies", "--as-of", "2026-11-24", "-o", "json")
    assert told.code == 0
    (row,) = told.json
    assert (row["kind"], row["field"], row["line"]) == ("question", "rules[0].deadline", 18)
    assert "30 June 2026 has passed" in row["says"]
    assert "1 question on your own policies: keystrand policy check ./policies" in _judged(typed).err
    assert "nothing is to be asked" in typed("policy", "check", "policies", "--as-of", "2026-06-30").err


def test_a_record_that_contradicts_a_shipped_one_is_told(home: Path, typed: Any) -> None:
    """Under an id of its own it counts as disputed; check exits 1 and says what the catalogue says."""
    claim = HOUSE.replace('"house"', '"bsi-news"').replace('"Cryptography standard"', '"BSI TR-02102-1"')
    (home / "policies" / "bsi.toml").write_text(claim)
    told = typed("policy", "check", "policies/bsi.toml", "-o", "json")
    assert told.code == 1
    assert {row["field"] for row in told.json if row["kind"] == "disputed"} == {"source.published", "rules[0].deadline"}
    row = next(r for r in typed("policy", "list", "-o", "json").json if r["id"] == "bsi-news")
    assert "disputed" in row["remarks"]


def test_the_place_of_a_shipped_record_is_not_taken_in_silence(home: Path, typed: Any) -> None:
    """With its id and another date it is refused, with file, line, field and the way out; settled, it counts."""
    mine = HOUSE.replace('id = "house"', 'id = "eu-roadmap"', 1).replace("2025-01-15", "2025-06-11")
    (home / "policies" / "mine.toml").write_text(mine)
    told = _judged(typed)
    assert told.code == 2
    assert "policies/mine.toml:18: rules[0].deadline: the shipped record eu-roadmap says otherwise" in told.err
    assert "resolved = true" in told.err
    settled = '[[disputes]]\nsource = "our counsel"\nsays = "a later date"\nresolved = true\nrecord = "eu-roadmap"\n'
    (home / "policies" / "mine.toml").write_text(mine + settled + 'note = "Read with the regulator in May 2026."\n')
    assert _judged(typed).code == 0
    checked = typed("policy", "check", "policies/mine.toml", "-o", "json")
    assert (checked.code, {row["kind"] for row in checked.json}) == (0, {"settled", "question"})


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("deadline = 2026-06-30", 'deadline = "soon"', "rules[0].deadline"),
        ('effect = "disallow"', 'effect = "forbid"', "rules[0].effect"),
        ("published = 2025-01-15", "published = 2027-01-15", "source.as_of"),
        ('verification = "primary"', 'verification = "primary"\nexpires = 2026-01-01', "source.expires"),
        ('status = "final"', 'status = "superseded"', "status"),
        ('status = "final"', 'status = "final"\nsuperseded_by = "q"', "superseded_by"),
        ('rule = "signatures"', 'rule = "signature"', "test[0].rule"),
        ('clause = "4.2"', 'clause = "4.2"\nprecision = "year"', "rules[0]"),
        ('clause = "4.2"', 'clausse = "4.2"', "rules[0].clausse"),
        ('status = "final"', 'status = "final"\nundated = "no date"', "undated"),
    ],
)
def test_bad_records_are_told_with_file_line_and_field(home: Path, typed: Any, old: str, new: str, field: str) -> None:
    """Whatever command reads them: exit 2, the place, a next step, no traceback, nothing written."""
    assert old in HOUSE
    (home / "policies" / "house.toml").write_text(HOUSE.replace(old, new, 1))
    for told in (_judged(typed), typed("policy", "check", "policies"), typed("policy", "list")):
        assert told.code == 2
        assert "house.toml:" in told.err
        assert f": {field}: " in told.err
        assert "Traceback" not in told.err
    assert not (home / "out" / "assessment.json").exists()


def test_what_is_no_record_is_told(home: Path, typed: Any) -> None:
    """An unknown id, a file that is not there, an empty folder, another kind of file, text that is no TOML."""
    assert "did you mean 'eu-roadmap'?" in typed("policy", "show", "eu-roadmapp").err
    assert typed("policy", "show", "nowhere.toml").code == 2
    (home / "empty").mkdir()
    assert "holds no *.toml file" in typed("policy", "check", "empty").err
    (home / "other.toml").write_text("default = 'deny'\n")
    assert "policy test FILE" in typed("policy", "check", "other.toml").err
    (home / "broken.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in typed("policy", "check", "broken.toml").err
    (home / "broken.toml").write_text("id = ")
    assert "broken.toml:1" in typed("policy", "check", "broken.toml").err


def test_a_shipped_prohibition_is_not_lifted_in_silence(home: Path, typed: Any) -> None:
    """A file in positions/ with the memorandum's id that forbids nothing is refused, whatever reads it."""
    source = HOUSE[HOUSE.index("[source]") : HOUSE.index("[[rules]]")]
    (home / "positions").mkdir()
    (home / "positions" / "dow.toml").write_text(
        'id = "us-dow-cio"\nauthority = "Department of War"\nstance = "encourages"\njurisdictions = ["US"]\n'
        f'applies_to = "components of the US Department of War"\ntext = "Allowed."\n{source}'
    )
    assert _judged(typed).code == 0
    told = typed("plan", "make", ".", "--out", "out", "--as-of", "2026-11-24")
    assert told.code == 2
    assert "dow.toml:3: stance: the shipped record us-dow-cio says otherwise" in told.err
    assert typed("policy", "check", "positions").code == 1


def test_a_position_of_ones_own_is_shown_by_the_plan(home: Path, typed: Any) -> None:
    """Beside the estate, in `positions/`."""
    source = HOUSE[HOUSE.index("[source]") : HOUSE.index("[[rules]]")]
    (home / "positions").mkdir()
    (home / "positions" / "board.toml").write_text(
        'id = "board"\nauthority = "Our board"\nstance = "prohibits"\njurisdictions = []\napplies_to = "everybody"\n'
        f'text = "No quantum links."\nprohibits = [{{ of = "qkd", since = 2026-01-01 }}]\n{source}'
    )
    assert "since 1 January 2026" in typed("policy", "show", "board").out
    assert _judged(typed).code == 0
    assert typed("plan", "make", ".", "--out", "out", "--as-of", "2026-11-24").code == 0
    assert '"board"' in (home / "out" / "plan.json").read_text()
