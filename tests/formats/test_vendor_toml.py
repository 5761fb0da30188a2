"""Sheets, requirements and weights from TOML: what is wrong is told with its line; a sheet reads back as itself."""

from collections.abc import Callable

import pytest
from hypothesis import given
from tests.formats.vendor_strategies import ASKED, sheets

from keystrand.edge.vendor_files import public_sheets
from keystrand.formats.vendor_toml import (
    evaluation_from_toml,
    requirements_from_toml,
    sheet_from_toml,
    sheet_to_toml,
    weights_of,
)
from keystrand.model.errors import InvalidInput
from keystrand.model.vendor import AnswerKind, EvidenceLevel, VendorSheet

HEAD = 'id = "acme"\nname = "Acme"\noffer = "X1"\nas_of = 2026-11-01\n'
PROOF = 'level = "claimed"\ndate = 2026-01-01\nsource = "mail"\n'


def _problems(read: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        read()
    return [str(problem) for problem in error.value.problems]


def _sheet(*answers: str) -> VendorSheet:
    return sheet_from_toml(HEAD + "".join(f"[[answer]]\n{PROOF}{one}\n" for one in answers), "acme.toml", ASKED)


@given(sheets())
def test_a_sheet_written_reads_back_as_itself(sheet: VendorSheet) -> None:
    """Whatever its texts hold: quotes, backslashes, what TOML or a spreadsheet would take for its own."""
    assert sheet_from_toml(sheet_to_toml(sheet), "x.toml", ASKED) == sheet


def test_the_catalogue_asks_the_thirty_four_questions() -> None:
    """Their ids run from v01 to v34, each of a form that can be judged, and all count the same at first."""
    assert list(ASKED) == [f"v{n:02}" for n in range(1, 35)]
    assert {one.weight for one in ASKED.values()} == {1.0}
    assert {one.kind for one in ASKED.values()} == set(AnswerKind)


def test_public_facts_are_claims_or_documents_with_a_source() -> None:
    """Nothing that ships counts as seen by the user, and most questions stay open."""
    for sheet in public_sheets(ASKED).values():
        assert all(answer.level.from_vendor and answer.source for answer in sheet.answer)
        assert len({answer.requirement for answer in sheet.answer}) < len(ASKED) / 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('requirement = "v01"\nvalue = 80', "acme.toml:5: answer[0].unit: a quantity without its unit"),
        ('requirement = "v01"\nvalue = 80\nunit = "miles"', "acme.toml:11: answer[0].unit: 'miles' is no unit of v01"),
        ('requirement = "v99"\nvalue = "yes"', "acme.toml:9: answer[0].requirement: no requirement has the id 'v99'"),
        ('requirement = "v02"\nvalue = 3', "acme.toml:10: answer[0].value: v02 asks for words, this is a number"),
        ('requirement = "v02"\nvalue = "yess"', "acme.toml:10: answer[0].value: 'yess' is no answer to v02"),
        ('requirement = "v01"\nvalue = "far"\nunit = "km"',
         "acme.toml:10: answer[0].value: v01 asks for a number, this is 'far'"),
        ('requirement = "v01"\nvalue = 9\nup_to = 3\nunit = "km"',
         "acme.toml:11: answer[0].up_to: the range ends at 3, below 9"),
        ('requirement = "v01"\nvalue = -1\nunit = "km"', "acme.toml:10: answer[0].value: a quantity below 0"),
        ('requirement = "v03"\nvalue = 9\nunit = "bit/s"',
         "acme.toml:5: answer[0].at: a figure without the condition it holds under"),
        ('requirement = "v01"\nvalue = 9\nunit = "km"\nat = 3',
         "acme.toml:12: answer[0].at: v01 holds under no condition"),
        ('requirement = "v02"\nvalue = "yes"\nunit = "km"', "acme.toml:11: answer[0].unit: v02 asks for no number"),
        ('requirement = "v02"\nvalue = "yes"\njudged = "meets"',
         "acme.toml:11: answer[0].judged: v02 is judged by its value"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_told_with_its_line(answer: str, said: str) -> None:
    """Units missing or unknown, a requirement that is not there, an answer of another type."""
    assert _problems(lambda: _sheet(answer)) == [said]


def test_every_problem_of_a_sheet_is_told_at_once() -> None:
    """One faulty answer does not hide the next."""
    assert len(_problems(lambda: _sheet('requirement = "v02"\nvalue = 3', 'requirement = "v01"\nvalue = 80'))) == 2


def test_the_same_answer_twice_is_told_and_another_level_is_not() -> None:
    """A claim beside a document says something new; a second claim does not say which holds."""
    twice = ['requirement = "v02"\nvalue = "yes"', 'requirement = "v02"\nvalue = "no"']
    assert "an earlier answer says this already" in _problems(lambda: _sheet(*twice))[0]
    sheet = sheet_from_toml(
        f"{HEAD}[[answer]]\n{PROOF}{twice[0]}\n[[answer]]\n{PROOF.replace('claimed', 'shown')}{twice[1]}\n", "a", ASKED
    )
    assert [answer.level for answer in sheet.answer] == [EvidenceLevel.CLAIMED, EvidenceLevel.SHOWN]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[weights]\n" + "".join(f"v{n:02} = 0\n" for n in range(1, 35)), "w.toml:1: weights: the weights sum to zero"),
        ("[weights]\nv01 = -1\n", "w.toml:2: weights.v01: -1 is too small"),
        ("[weights]\nv77 = 1\n", "w.toml:2: weights.v77: no requirement has the id 'v77'"),
        ('[[gate]]\nrequirement = "v02"\nwhy = "x"\n',
         "w.toml:1: gate[0]: a must-have is one thing, and this says nothing"),
        ('[[gate]]\nrequirement = "v02"\nwhy = "x"\nword = "no"\n', "w.toml:4: gate[0].word: 'no' is no answer to v02"),
        ('[[gate]]\nrequirement = "v01"\nwhy = "x"\nat_least = 5\n',
         "w.toml:1: gate[0].unit: a quantity without its unit"),
        ('[[gate]]\nrequirement = "v01"\nwhy = "x"\nword = "yes"\n',
         "w.toml:4: gate[0].word: v01 cannot be judged by word"),
        ('[[gate]]\nrequirement = "v03"\nwhy = "x"\nat_least = 5\nunit = "bit/s"\n',
         "w.toml:4: gate[0].at_least: v03 cannot be judged by at_least"),
        ('[[gate]]\nrequirement = "v02"\nwhy = "x"\nevery_segment = true\n',
         "w.toml:4: gate[0].every_segment: v02 cannot be judged by every_segment"),
    ],
)  # fmt: skip
def test_weights_and_must_haves_that_mean_nothing_are_refused(text: str, said: str) -> None:
    """A sum of zero, a weight below zero, what is not asked, a must-have of another form."""
    problems = _problems(lambda: evaluation_from_toml(text, "w.toml", ASKED))
    assert len(problems) == 1
    assert problems[0].startswith(said)


def test_a_weight_left_out_is_the_catalogues() -> None:
    """Only what is named changes."""
    weights = weights_of(evaluation_from_toml("[weights]\nv01 = 5\n", "w.toml", ASKED), ASKED)
    assert (weights["v01"], weights["v02"]) == (5.0, 1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "quantity"', "requirement[0].units: a quantity without units"),
        ('kind = "choice"\nchoices = ["a"]', "requirement[0].choices: a choice needs two answers or more"),
        ('kind = "yes-no"\nworthless = 3.0', "requirement[0].worthless: only a quantity has it"),
        ('kind = "quantity"\nunits = { km = 1.0 }', "requirement[0]: nothing says what a value is worth"),
        ('kind = "quantity"\nunits = { km = 1.0 }\nfull = 2\nworthless = 2',
         "requirement[0]: nothing says what a value is worth"),
    ],
)  # fmt: skip
def test_a_requirement_that_cannot_be_judged_is_refused(text: str, said: str) -> None:
    """Each form needs what it is judged by, and nothing else."""
    head = '[[requirement]]\nid = "own"\ngroup = "g"\nquestion = "q"\nwhy = "w"\n'
    problems = _problems(lambda: requirements_from_toml(f"{head}{text}\n", "r.toml"))
    assert any(said in problem for problem in problems), problems
