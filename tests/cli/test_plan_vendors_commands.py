"""`keystrand plan vendors`: from an empty folder to a comparison, and what a mistake looks like on the way."""

import csv
import io
import shutil
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from tests.cli.conftest import Typed

from keystrand.app.documents import load
from keystrand.model.stages.compared import VendorComparison

EXAMPLE = Path(__file__).parents[2] / "src" / "keystrand" / "edge" / "example" / "regional-bank"
ANSWER = '\n[[answer]]\nrequirement = "{}"\nvalue = {}\nlevel = "claimed"\ndate = 2026-01-01\nsource = "mail"\n'


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the example estate, in the folder where commands are typed."""
    shutil.copytree(EXAMPLE, tmp_path / "bank")
    monkeypatch.chdir(tmp_path)
    return Path("bank")


def _fill(file: Path, requirement: str, *values: str | float | date | None) -> None:
    """Fill in the first row of a question as a person with a spreadsheet does."""
    book = openpyxl.load_workbook(file)
    page = book["Questions"]
    row = next(row for row in range(1, page.max_row + 1) if page.cell(row, 1).value == requirement)
    for column, value in enumerate(values, start=5):
        page.cell(row, column).value = value
    book.save(file)


def test_from_an_empty_folder_to_a_comparison(typed: Typed, bank: Path) -> None:
    """Sheets, a questionnaire out and in, weights and a must-have, the comparison, and why."""
    empty = typed("plan", "vendors", "evaluate", "bank")
    assert (empty.code, empty.out) == (2, "")
    assert "no vendor to compare" in empty.err
    assert "plan vendors sheet ID DIR" in empty.err

    assert typed("plan", "vendors", "sheet", "toshiba", "bank").code == 0
    assert typed("plan", "vendors", "sheet", "acme", "bank", "--name", "Acme").code == 0
    assert typed("plan", "vendors", "questionnaire", "acme", "bank", "--file", "acme.xlsx").code == 0
    _fill(
        Path("acme.xlsx"),
        "v01",
        120,
        None,
        "km",
        None,
        "documented",
        date(2026, 10, 1),
        "page 2",
    )
    _fill(Path("acme.xlsx"), "v11", "Yes", None, None, None, "claimed", "2026-10-01", "=cmd|' /C calc'!A0")
    # openpyxl takes what begins with = for a formula, as a spreadsheet does: it is told, and nothing is written
    before = (bank / "vendors" / "acme.toml").read_bytes()
    formula = typed("plan", "vendors", "import", "acme", "acme.xlsx", "bank")
    assert formula.code == 2
    assert "a formula" in formula.err
    assert (bank / "vendors" / "acme.toml").read_bytes() == before

    _fill(Path("acme.xlsx"), "v11", "Yes", None, None, None, "claimed", "2026-10-01", "mail")
    taken = typed("plan", "vendors", "import", "acme", "acme.xlsx", "bank", "--as-of", "2026-11-01", "-o", "json")
    assert (taken.code, taken.json[0]["new_or_changed"], taken.json[0]["gone"]) == (0, 2, 0)
    assert "2 answers new or changed, 0 gone" in taken.err
    first = (bank / "vendors" / "acme.toml").read_bytes()
    again = typed("plan", "vendors", "import", "acme", "acme.xlsx", "bank", "--as-of", "2026-12-01")
    assert "nothing changed" in again.err
    assert (bank / "vendors" / "acme.toml").read_bytes() == first

    (bank / "vendors.toml").write_text(
        '[weights]\nv01 = 3\n[[gate]]\nrequirement = "v11"\nword = "yes"\nwhy = "tools"\n'
    )
    made = typed("plan", "vendors", "evaluate", "bank", "--as-of", "2026-11-24", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(made.out)))
    assert [(row["vendor"], row["standing"]) for row in rows] == [("acme", "in"), ("toshiba", "ask")]
    assert "on what is proven today acme is first of 2" in made.err
    assert "no plan was there" in made.err
    document, _ = load(Path("out"), VendorComparison)
    assert [ref.kind for ref in document.made_from] == ["estate", "vendor-requirements", "vendor-weights",
                                                        "vendor-sheet", "vendor-sheet"]  # fmt: skip
    assert document.first == "acme"

    said = typed("plan", "vendors", "show", "acme", "-o", "json").json
    assert next(row for row in said if row["requirement"] == "v01")["said"] == "120 km"
    fits = typed("plan", "vendors", "show", "acme", "--segments", "-o", "json").json
    assert {row["enough"] for row in fits if row["requirement"] == "v01"} == {"yes", "unknown", "no"}
    held = typed("plan", "vendors", "weights", "-o", "json").json
    assert len(held) == 34
    assert all(row["first_stays_from"] <= row["weight"] for row in held)


def test_the_same_folder_gives_the_same_comparison(typed: Typed, bank: Path) -> None:
    """But for the moment it was made."""
    for vendor in ("idq", "toshiba"):
        typed("plan", "vendors", "sheet", vendor, str(bank))
    hashes = []
    for out in ("one", "two"):
        assert typed("plan", "vendors", "evaluate", "bank", "--out", out, "--as-of", "2026-11-24").code == 0
        hashes.append(load(Path(out), VendorComparison)[1].content_sha256)
    assert hashes[0] == hashes[1]


def test_markdown_goes_out_and_comes_back(typed: Typed, bank: Path) -> None:
    """Edited as text; a vendor without a sheet gets one from the file alone."""
    typed("plan", "vendors", "sheet", "acme", "bank", "--name", "Acme")
    assert typed("plan", "vendors", "questionnaire", "acme", "bank", "--file", "acme.md").code == 0
    text = Path("acme.md").read_text()
    head, question, rest = text.partition("## v02")
    rest = rest.replace("- answer:", "- answer: yes", 1).replace("- evidence:", "- evidence: claimed", 1)
    rest = rest.replace("- date:", "- date: 2026-10-01", 1).replace("- source:", "- source: mail", 1)
    Path("acme.md").write_text(head + question + rest)
    (bank / "vendors" / "acme.toml").unlink()
    assert typed("plan", "vendors", "import", "acme", "acme.md", "bank").code == 0
    assert 'requirement = "v02"\nvalue = "yes"' in (bank / "vendors" / "acme.toml").read_text()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"vendors/acme.toml": ANSWER.format("v01", 80)}, "bank/vendors/acme.toml:6: answer[0].unit: a quantity"),
        ({"vendors/acme.toml": ANSWER.format("v99", '"yes"')}, "no requirement has the id 'v99'"),
        ({"vendors/acme.toml": ANSWER.format("v02", 3)}, "answer[0].value: v02 asks for words, this is a number"),
        ({"vendors/acme.toml": "", "vendors/copy.toml": ""}, "the vendor 'acme' is in bank/vendors/acme.toml too"),
        ({"vendors/acme.toml": "", "vendors.toml": "[weights]\n" + "".join(f"v{n:02} = 0\n" for n in range(1, 35))},
         "bank/vendors.toml:1: weights: the weights sum to zero"),
        ({"vendors/acme.toml": "", "vendors.toml": "[weights]\nv01 = -1\n"}, "bank/vendors.toml:2: weights.v01"),
        ({"vendors/acme.toml": "", "requirements/own.toml": "[[requirement]]\n"}, "requirement[0].id: missing key"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_and_nothing_is_written(
    typed: Typed, bank: Path, files: dict[str, str], said: str
) -> None:
    """Units missing, an unknown requirement, an answer of another type, a vendor twice, weights that cannot be."""
    for name, text in files.items():
        file = bank / name
        file.parent.mkdir(exist_ok=True)
        head = 'id = "acme"\nname = "Acme"\noffer = "X1"\nas_of = 2026-11-01\n' if name.startswith("vendors/") else ""
        file.write_text(head + text)
    made = typed("plan", "vendors", "evaluate", "bank")
    assert (made.code, made.out) == (2, "")
    assert said in made.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sheet", "newcomer", "bank"), "nothing is known of 'newcomer'"),
        (("sheet", "../evil", "bank", "--name", "E"), "'../evil'"),
        (("sheet", "acme", "nowhere", "--name", "A"), "nowhere is not a folder"),
        (("questionnaire", "acme", "bank", "--file", "q.xlsx"), "no sheet of 'acme'"),
        (("import", "acme", "q.md", "bank"), "q.md does not exist"),
        (("import", "acme", "bank/estate.toml", "bank"), "neither workbook nor Markdown"),
        (("show", "acme"), "out/vendors.json does not exist"),
    ],
)
def test_what_is_not_there_is_said_with_the_next_step(
    typed: Typed, bank: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit 2, a sentence and a hint."""
    assert bank.exists()
    made = typed("plan", "vendors", *words)
    assert made.code == 2
    assert said in made.err
    assert "hint: " in made.err


def test_a_vendor_cannot_answer_for_another(typed: Typed, bank: Path) -> None:
    """A file whose head was changed to a competitor's id is refused, and the competitor's sheet stays."""
    for vendor in ("toshiba", "idq"):
        typed("plan", "vendors", "sheet", vendor, "bank")
    typed("plan", "vendors", "questionnaire", "idq", "bank", "--file", "idq.md")
    Path("idq.md").write_text(Path("idq.md").read_text().replace("- vendor: idq", "- vendor: toshiba"))
    before = (bank / "vendors" / "toshiba.toml").read_bytes()
    made = typed("plan", "vendors", "import", "idq", "idq.md", "bank")
    assert made.code == 2
    assert "idq.md speaks for 'toshiba', not for 'idq'" in made.err
    assert (bank / "vendors" / "toshiba.toml").read_bytes() == before


def test_another_offer_in_the_file_is_told(typed: Typed, bank: Path) -> None:
    """What is offered is the buyer's to write: the sheet's own line is kept."""
    typed("plan", "vendors", "sheet", "idq", str(bank))
    typed("plan", "vendors", "questionnaire", "idq", "bank", "--file", "idq.md")
    Path("idq.md").write_text(Path("idq.md").read_text().replace("- offer: ", "- offer: New ", 1))
    made = typed("plan", "vendors", "import", "idq", "idq.md", "bank")
    assert made.code == 0
    assert "the file has another offer" in made.err


def test_a_pilot_that_the_estate_does_not_have_is_told(typed: Typed, bank: Path) -> None:
    """Else its results would never come in, and nobody would know why."""
    typed("plan", "vendors", "sheet", "idq", "bank")
    sheet = bank / "vendors" / "idq.toml"
    sheet.write_text(sheet.read_text().replace("as_of", 'pilots = ["coridor"]\nas_of', 1))
    made = typed("plan", "vendors", "evaluate", "bank")
    assert made.code == 2
    assert "bank/vendors/idq.toml: pilots: the estate has no pilot 'coridor'" in made.err


def test_a_questionnaire_never_replaces_a_file(typed: Typed, bank: Path) -> None:
    """It may be the one that came back."""
    typed("plan", "vendors", "sheet", "idq", str(bank))
    Path("idq.md").write_text("answers")
    made = typed("plan", "vendors", "questionnaire", "idq", "bank", "--file", "idq.md")
    assert (made.code, Path("idq.md").read_text()) == (2, "answers")


def test_a_sheet_is_never_overwritten(typed: Typed, bank: Path) -> None:
    """A second `sheet` for the same vendor leaves the first."""
    typed("plan", "vendors", "sheet", "idq", "bank")
    before = (bank / "vendors" / "idq.toml").read_bytes()
    again = typed("plan", "vendors", "sheet", "idq", "bank")
    assert (again.code, (bank / "vendors" / "idq.toml").read_bytes()) == (2, before)


def test_a_requirement_of_ones_own_is_asked_too(typed: Typed, bank: Path) -> None:
    """Beside those of the catalogue, and in place of one with the same id."""
    (bank / "requirements").mkdir()
    (bank / "requirements" / "own.toml").write_text(
        '[[requirement]]\nid = "own-1"\ngroup = "site"\nquestion = "Is it quiet?"\nwhy = "x"\nkind = "yes-no"\n'
        '[[requirement]]\nid = "v07"\ngroup = "fit"\nquestion = "Ours instead?"\nwhy = "x"\nkind = "yes-no"\n'
    )
    rows = typed("plan", "vendors", "requirements", "bank", "-o", "json").json
    assert len(rows) == 35
    assert (rows[6]["question"], rows[-1]["question"]) == ("Ours instead?", "Is it quiet?")


def test_a_plan_of_another_estate_is_refused(typed: Typed, bank: Path) -> None:
    """A comparison on another estate's segments would say nothing."""
    typed("plan", "vendors", "sheet", "idq", "bank")
    for words, code in ((("inventory", "scan"), 3), (("assess", "run"), 0), (("plan", "make"), 0)):
        assert typed(*words, "bank").code == code
    sound = typed("plan", "vendors", "evaluate", "bank")
    assert (sound.code, "no plan was there" in sound.err) == (0, False)
    estate = bank / "estate.toml"
    estate.write_text(estate.read_text().replace("length_km = 58", "length_km = 57", 1))
    made = typed("plan", "vendors", "evaluate", "bank")
    assert made.code == 2
    assert "made from another estate" in made.err
