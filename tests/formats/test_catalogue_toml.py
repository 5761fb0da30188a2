"""One record of the catalogue from TOML: every fault at once, each with its line."""

from datetime import date

import pytest

from keystrand.formats.catalogue import curve_from_toml, policy_from_toml, position_from_toml, record_from_toml
from keystrand.formats.catalogue_doubts import record_doubts
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.policy import Effect, Stance

SOURCE = """
[source]
title = "t"
publisher = "p"
clause = "c"
published = 2025-01-01
as_of = 2026-01-01
verification = "primary"
"""
POLICY = f"""id = "p"
name = "P"
status = "final"
force = "law"
jurisdictions = ["DE"]
addressees = "all"
{SOURCE}
[[rules]]
id = "one"
functions = ["signature"]
effect = "disallow"
deadline = 2030-12-31
text = "Ends."
clause = "1"
"""
CURVE = f"""id = "c"
name = "C"
origin = 2026-01-01
{SOURCE}
[[anchors]]
years = 5
low = 0.1
high = 0.2
[[anchors]]
years = 10
low = 0.3
high = 0.4
"""


def _problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        policy_from_toml(text, "p.toml")
    return caught.value.problems


def _line(text: str, needle: str) -> int:
    return next(n for n, row in enumerate(text.splitlines(), start=1) if needle in row)


def test_a_whole_record_is_read() -> None:
    """Policy, position and curve come back typed."""
    assert policy_from_toml(POLICY, "p.toml").rules[0].effect is Effect.DISALLOW
    position = (
        f'id = "x"\nauthority = "a"\nstance = "limits"\njurisdictions = []\napplies_to = "b"\ntext = "c"\n{SOURCE}'
    )
    assert position_from_toml(position, "x.toml").stance is Stance.LIMITS
    assert [anchor.years for anchor in curve_from_toml(CURVE, "c.toml").anchors] == [5, 10]


def test_every_fault_comes_at_once_with_its_line() -> None:
    """A wrong choice, a wrong type and an unknown key in one answer, each where it stands."""
    text = POLICY.replace('"law"', '"wish"').replace("2030-12-31", '"soon"').replace('clause = "1"', 'clausse = "1"')
    problems = _problems(text)
    lines = {problem.field: problem.line for problem in problems}
    assert lines["force"] == _line(text, "wish")
    assert lines["rules[0].deadline"] == _line(text, "soon")
    assert lines["rules[0].clausse"] == _line(text, "clausse")
    assert {problem.file for problem in problems} == {"p.toml"}


def test_a_rule_id_that_stands_twice_is_a_fault() -> None:
    """A finding names its rule by id: two of the same cannot be told apart."""
    second = POLICY[POLICY.index("[[rules]]") :]
    problems = _problems(POLICY + second)
    assert [p.field for p in problems] == ["rules[0].id", "rules[1].id"]
    assert "more than once" in problems[0].message


def test_text_that_is_not_toml_is_told_with_its_place() -> None:
    """The line is where the parser stopped, or the last one where the text just ends; no input is a traceback."""
    assert [p.line for p in _problems('id = "p"\nname = \nforce = "law"\n')] == [2]
    assert [p.line for p in _problems('id = "p"\nname = ')] == [2]
    assert _problems("x = " + "[" * 20_000)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("years = 10", "years = 5", "in order"),
        ("years = 5", "years = 0", "first above 0"),
        ("low = 0.3", "low = 0.05", "cannot fall"),
        ("low = 0.1", "low = 0.25", "low end is above"),
    ],
)
def test_a_curve_that_is_no_distribution_is_refused(old: str, new: str, words: str) -> None:
    """Anchors out of order, a falling probability, a range upside down."""
    with pytest.raises(InvalidInput) as caught:
        curve_from_toml(CURVE.replace(old, new), "c.toml")
    assert words in caught.value.problems[0].message


def test_scalars_where_tables_belong_are_faults_and_no_traceback() -> None:
    """`rules = 3` is a fault like any other."""
    assert _problems(POLICY.partition("[source]")[0] + "rules = 3\n" + SOURCE)


ODD = ["3", "-1.5", "true", '""', '"x"', "[]", "[1]", "[[]]", "{}", "{ a = 1 }", "2026-01-01", "0001-01-01",
       "9999-12-31", "2026-01-01T00:00:00Z", "07:00:00", '["key-establishment"]', "nan"]  # fmt: skip
WHOLE = (
    POLICY
    + """precision = "year"
[[test]]
name = "t"
rule = "one"
function = "signature"
algorithms = ["RSA"]
on = 2026-01-01
expect = "due"
[[disputes]]
source = "s"
says = "t"
resolved = false
"""
)


@pytest.mark.parametrize("at", range(WHOLE.count(" = ")))
def test_any_value_in_any_place_is_read_or_told(at: int) -> None:
    """Whatever stands in a field, or where one is left out: a policy, or problems with their file; no other error."""
    lines = WHOLE.splitlines()
    place = [n for n, line in enumerate(lines) if " = " in line][at]
    key = lines[place].partition(" = ")[0]
    for line in ("", *(f"{key} = {value}" for value in ODD)):
        text = "\n".join([*lines[:place], line, *lines[place + 1 :]])
        problems = _problems_or_none(text)
        assert all(problem.file == "p.toml" for problem in problems)
        if not problems:
            list(record_doubts(policy_from_toml(text, "p.toml"), set(), date(2026, 11, 24)))


def _problems_or_none(text: str) -> tuple[Problem, ...]:
    try:
        policy_from_toml(text, "p.toml")
    except InvalidInput as error:
        return error.problems
    return ()


def test_a_record_is_told_by_what_it_says() -> None:
    """A policy, a curve, a position by their keys; a key policy is none of them."""
    assert type(record_from_toml(POLICY, "p.toml")).__name__ == "Policy"
    assert type(record_from_toml(CURVE, "c.toml")).__name__ == "ThreatCurve"
    assert record_from_toml('default = "deny"', "k.toml") is None


def test_a_policy_without_a_date_says_why() -> None:
    """No rule and no word about it is a fault; a rule beside the word is one too."""
    bare = POLICY.partition("[[rules]]")[0]
    assert [p.field for p in _problems(bare)] == ["rules"]
    assert policy_from_toml('undated = "names no date"\n' + bare, "p.toml").rules == ()
    assert [p.field for p in _problems('undated = "names no date"\n' + POLICY)] == ["undated"]


def test_questions_name_the_field() -> None:
    """An old reading, a date that has passed or lies before the text, a successor that is no record."""
    text = POLICY.replace('"final"', '"superseded"\nsuperseded_by = "q"').replace(
        "as_of = ", "expires = 2026-06-01\nas_of = "
    )
    asked = [fault.path for fault in record_doubts(policy_from_toml(text, "p.toml"), {"p"}, date(2031, 1, 1))]
    assert asked == [("source", "expires"), ("rules", 0, "deadline"), ("superseded_by",)]
    early = policy_from_toml(POLICY.replace("2030-12-31", "2020-12-31"), "p.toml")
    (fault,) = record_doubts(early, {"p"}, date(2026, 1, 1))
    assert "before the text was published" in fault.message
    assert list(record_doubts(policy_from_toml(POLICY, "p.toml"), {"p"}, date(2030, 12, 31))) == []
