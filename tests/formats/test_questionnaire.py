"""A questionnaire goes out and comes back: what was said stays, what is wrong is told with its place, nothing runs."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.vendor_strategies import ASKED, sheets

from keystrand.formats.questionnaire import Changes, Returned, sheet_of
from keystrand.formats.questionnaire_markdown import MAX_BYTES, questionnaire_markdown, read_markdown
from keystrand.formats.questionnaire_workbook import read_xlsx
from keystrand.formats.questionnaire_xlsx import questionnaire_xlsx
from keystrand.model.errors import InvalidInput
from keystrand.model.vendor import EvidenceLevel, Judgement, VendorAnswer, VendorSheet

DAY = date(2026, 11, 1)
EMPTY = VendorSheet(id="acme", name="Acme", offer="X1", as_of=DAY)
QUESTIONS = list(ASKED.values())


def _markdown(sheet: VendorSheet) -> Returned:
    return read_markdown(questionnaire_markdown(sheet, QUESTIONS).encode(), "q.md")


def _xlsx(sheet: VendorSheet) -> Returned:
    return read_xlsx(questionnaire_xlsx(sheet, QUESTIONS), "q.xlsx")


def _taken(returned: Returned, before: VendorSheet | None) -> Changes:
    return sheet_of(returned, before, ASKED, as_of=date(2030, 1, 1))


def _edited(*changes: tuple[str, str], sheet: VendorSheet = EMPTY) -> Changes:
    """Take in the Markdown questionnaire with each text replaced once."""
    text = questionnaire_markdown(sheet, QUESTIONS)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return _taken(read_markdown(text.encode(), "q.md"), sheet)


def _block(requirement: str, *values: str) -> tuple[str, str]:
    """Return the replacement that fills in the first empty block of a question."""
    fields = ("answer", "up to", "unit", "holds at", "evidence", "date", "source")
    asked = ASKED[requirement]
    head = questionnaire_markdown(EMPTY, [asked]).partition("## ")[2].partition("- answer")[0]
    empty = "\n".join(f"- {name}:" for name in fields)
    filled = "\n".join(f"- {name}: {value}" for name, value in zip(fields, values, strict=True))
    return f"{head}{empty}", f"{head}{filled}"


def _told(run: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        run()
    return [str(problem) for problem in error.value.problems] or [str(error.value)]


@given(sheets())
def test_out_and_in_changes_nothing_in_markdown(sheet: VendorSheet) -> None:
    """Also for the organisation's own evidence and judgements, which never leave it, and for the day of the sheet."""
    assert _taken(_markdown(sheet), sheet) == Changes(sheet, 0, 0, ())


@settings(max_examples=8)
@given(sheets())
def test_out_and_in_changes_nothing_in_a_workbook(sheet: VendorSheet) -> None:
    """As in Markdown; and the workbook made again of what came back is the same to the byte."""
    changes = _taken(_xlsx(sheet), sheet)
    assert changes == Changes(sheet, 0, 0, ())
    assert questionnaire_xlsx(changes.sheet, QUESTIONS) == questionnaire_xlsx(sheet, QUESTIONS)


@given(sheets())
def test_what_a_vendor_cannot_say_does_not_go_out(sheet: VendorSheet) -> None:
    """The questionnaire of a sheet is that of the sheet without our evidence and our judgements."""
    theirs = tuple(
        VendorAnswer(requirement=a.requirement, value=a.value, up_to=a.up_to, unit=a.unit, at=a.at, level=a.level,
                     day=a.day, source=a.source)
        for a in sheet.answer if a.level.from_vendor
    )  # fmt: skip
    plain = VendorSheet(id=sheet.id, name=sheet.name, offer=sheet.offer, as_of=sheet.as_of, answer=theirs)
    assert questionnaire_markdown(sheet, QUESTIONS) == questionnaire_markdown(plain, QUESTIONS)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    """Nothing that somebody sends back ends in a traceback."""
    for read, name in ((read_markdown, "q.md"), (read_xlsx, "q.xlsx")):
        with pytest.raises(InvalidInput):
            _taken(read(content, name), None)


def test_a_new_answer_comes_in_and_one_taken_back_goes() -> None:
    """With the day of the import; the answers that stay keep our judgement of them."""
    changes = _edited(_block("v02", "Yes", "", "", "", "documented", "2026-10-01", "manual, page 3"))
    said = VendorAnswer(requirement="v02", value="yes", level=EvidenceLevel.DOCUMENTED, day=date(2026, 10, 1),
                        source="manual, page 3")  # fmt: skip
    assert changes.sheet.answer == (said,)
    assert (changes.new, changes.withdrawn, changes.sheet.as_of) == (1, 0, date(2030, 1, 1))
    filled = {"answer": "yes", "evidence": "documented", "date": "2026-10-01", "source": "manual, page 3"}
    gone = _edited(*((f"- {name}: {text}", f"- {name}:") for name, text in filled.items()), sheet=changes.sheet)
    assert (gone.sheet.answer, gone.withdrawn) == ((), 1)


def test_a_judgement_lasts_as_long_as_the_answer() -> None:
    """An answer in other words has to be judged again."""
    answer = VendorAnswer(requirement="v08", value="the rate falls", level=EvidenceLevel.CLAIMED, day=DAY, source="x",
                          judged=Judgement.MEETS)  # fmt: skip
    sheet = VendorSheet(id="acme", name="Acme", offer="X1", as_of=DAY, answer=(answer,))
    assert _taken(_markdown(sheet), sheet).sheet.answer[0].judged is Judgement.MEETS
    assert _edited(("the rate falls", "it stops"), sheet=sheet).sheet.answer[0].judged is None


def test_a_question_that_the_file_does_not_have_keeps_its_answer() -> None:
    """A catalogue grows: an older questionnaire says nothing of the newer questions."""
    answer = VendorAnswer(requirement="v34", value="yes", level=EvidenceLevel.CLAIMED, day=DAY, source="mail")
    sheet = VendorSheet(id="acme", name="Acme", offer="X1", as_of=DAY, answer=(answer,))
    old = read_markdown(questionnaire_markdown(sheet, QUESTIONS[:33]).encode(), "q.md")
    assert _taken(old, sheet) == Changes(sheet, 0, 0, ("v34",))


@pytest.mark.parametrize(
    ("requirement", "values", "said"),
    [
        ("v01", ("80", "", "", "", "claimed", "2026-01-01", "mail"), "unit: a quantity without its unit"),
        ("v01", ("1,000", "", "km", "", "claimed", "2026-01-01", "mail"), "answer: '1,000' is no number"),
        ("v01", ("nan", "", "km", "", "claimed", "2026-01-01", "mail"), "answer: 'nan' is no number"),
        ("v01", ("1_000", "", "km", "", "claimed", "2026-01-01", "mail"), "answer: '1_000' is no number"),
        ("v02", ("maybe", "", "", "", "claimed", "2026-01-01", "mail"), "answer: 'maybe' is no answer to v02"),
        ("v02", ("yes", "", "", "", "", "2026-01-01", "mail"), "evidence: v02 has no evidence"),
        ("v02", ("yes", "", "", "", "certified", "2026-01-01", "BSI"), "evidence: a vendor can claim or document"),
        ("v02", ("yes", "", "", "", "demonstrated", "2026-01-01", "x"), "evidence: a vendor can claim or document"),
        ("v02", ("yes", "", "", "", "sure", "2026-01-01", "x"), "evidence: 'sure' is no evidence"),
        ("v02", ("yes", "", "", "", "claimed", "1.1.2026", "x"), "date: '1.1.2026' is no date"),
        ("v02", ("yes", "", "", "", "claimed", "2031-01-01", "x"), "date: 2031-01-01 is still to come"),
        ("v02", ("yes", "", "", "", "claimed", "2026-01-01", ""), "source: v02 has no source"),
        ("v02", ("", "", "", "", "claimed", "2026-01-01", "x"), "answer: v02 has no answer"),
        ("v02", ("yes", "", "", "", "claimed", "2026-01-01", "x" * 401), "source: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(requirement: str, values: tuple[str, ...], said: str) -> None:
    """Each problem names the line of its own field."""
    fields = ("answer", "up to", "unit", "holds at", "evidence", "date", "source")
    old, new = _block(requirement, *values)
    text = questionnaire_markdown(EMPTY, QUESTIONS).replace(old, new, 1)
    (told,) = _told(lambda: _taken(read_markdown(text.encode(), "q.md"), EMPTY))
    start = text[: text.index(new)].count("\n") + new[: new.index("- answer")].count("\n") + 1
    assert told.startswith(f"q.md:{start + fields.index(said.partition(':')[0])}: {said}")


def test_a_line_that_belongs_to_no_field_is_not_dropped_in_silence() -> None:
    """A vendor who writes beside the fields is told, and so is an unknown question."""
    lost = ("- answer:\n", "- answer:\nYes, of course.\n")
    assert "a line that belongs to no field" in _told(lambda: _edited(lost))[0]
    renamed = ("## v02 ", "## v002 "), ("- answer:\n- up to:\n- unit:\n", "- answer: yes\n- up to:\n- unit:\n")
    text = questionnaire_markdown(EMPTY, QUESTIONS).replace(*renamed[0])
    assert "no requirement has the id 'v002'" in _told(lambda: _taken(read_markdown(text.encode(), "q.md"), EMPTY))[0]


def test_a_file_without_its_head_is_refused() -> None:
    """Whose answers they are must be said, and by an id that is a file name of ours."""
    assert "no line says vendor or name or offer" in _told(lambda: read_markdown(b"## v01\n- answer:\n", "q.md"))[0]
    assert any("id" in told for told in _told(lambda: _edited(("- vendor: acme", "- vendor: ../../etc/passwd"))))
    assert "larger than any" in _told(lambda: read_markdown(b" " * (MAX_BYTES + 1), "q.md"))[0]
    assert "not UTF-8" in _told(lambda: read_markdown(b"\xff\xfe", "q.md"))[0]
