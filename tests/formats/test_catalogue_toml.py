"""One record of the catalogue from TOML: every fault at once, each with its line."""

import pytest

from keystrand.formats.catalogue import curve_from_toml, policy_from_toml, position_from_toml
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
