"""A key policy from TOML: the example and the guide are sound, and every mistake is told with its place."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.key_policy_toml import key_policy_from_toml
from keystrand.keys.cases import run_cases
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.key_policy import Effect, ExhaustionMode

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "examples" / "key-policy.toml").read_text()
SMALL = """name = "small"
default = "deny"

[[profile]]
name = "qkd"
strands = [{ source = "qkd", strength = "information-theoretic" }]
result = "information-theoretic"
[profile.exhaustion]
mode = "degrade"
degrade_to = "pqc"
max_duration_s = 60

[[profile]]
name = "pqc"
strands = [{ source = "pqc", strength = "post-quantum" }]
result = "post-quantum"

[[allow]]
id = "all"
master = "a*"
slave = "b*"
profiles = ["qkd", "pqc"]

[[deny]]
id = "none"
master = "c*"
reason = "r"

[[region_exception]]
id = "move"
profile = "qkd"
regions = ["ch"]
owner = "o"
reason = "r"
expires = 2027-01-31

[[quota]]
id = "each"
sae = "*"
burst_bits = 1000
bits_per_s = 10

[[transport]]
id = "pay"
sae = "pay-*"
post_quantum_group = "required"

[[rotation]]
id = "hourly"
master = "a*"
slave = "b*"
max_age_s = 3600

[[test]]
name = "a and b"
master = "a1"
slave = "b1"
expect = "allow"
profile = "qkd"
"""


def _problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        key_policy_from_toml(text, "policy.toml")
    return caught.value.problems


def test_the_example_is_read_and_its_tests_pass() -> None:
    """The file that users begin with holds together and keeps its own promises, on any day."""
    policy = key_policy_from_toml(EXAMPLE, "key-policy.toml")
    for now in (0.0, 2e9):
        results = run_cases(PolicyRules(policy, file="key-policy.toml"), now)
        assert len(results) == 10
        assert [result.case.name for result in results if result.faults] == []


def test_every_policy_of_the_guide_is_one() -> None:
    """Each block of the guide begins a policy or continues the one before; it is sound at every step."""
    page = (ROOT / "docs" / "howto" / "write-a-key-policy.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert blocks
    whole = ""
    for block in blocks:
        whole = block if block.startswith("name") else f"{whole}\n{block}"
        policy = key_policy_from_toml(whole, "guide.toml")
        assert not [r for r in run_cases(PolicyRules(policy, file="guide.toml"), 0) if r.faults]


def test_values_arrive_typed() -> None:
    """Choices, dates and numbers."""
    policy = key_policy_from_toml(SMALL, "policy.toml")
    assert policy.default is Effect.DENY
    assert policy.profiles[0].exhaustion.mode is ExhaustionMode.DEGRADE
    assert policy.region_exceptions[0].expires == date(2027, 1, 31)
    assert policy.profiles[1].exhaustion.mode is ExhaustionMode.FAIL


def _second(kind: str) -> str:
    """Return the table of `kind` in the small policy once more."""
    return next(part for part in re.split(r"\n(?=\[\[)", SMALL) if part.startswith(f"[[{kind}]]"))


@pytest.mark.parametrize(
    ("old", "new", "field", "said", "hint"),
    [
        ('name = "small"', 'nmae = "small"', "nmae", "unknown key", "did you mean 'name'?"),
        ('default = "deny"', 'default = "maybe"', "default", "not one of the choices", "allow, deny"),
        ('default = "deny"', "", "default", "missing key", "one of: allow, deny"),
        ('default = "deny"', 'default = "allow"', "default", "which profiles", "default_profiles"),
        ('default = "deny"', 'default = "deny"\ndefault_profiles = ["qkd"]', "default_profiles", "allows no", "remove"),
        ('default = "deny"', 'default = "deny"\nreplay = "often"', "replay", "choices", "strict, operational"),
        ('"qkd", strength = "inf', '"qdk", strength = "inf', "profile[0].strands[0].source", "choices", "'qkd'"),
        ('"information-theoretic" }', '"unbreakable" }', "profile[0].strands[0].strength", "choices", "post-quantum"),
        ('"pqc", strength = "post-quantum"', '"pqc", strength = "information-theoretic"', "profile[1].strands[0]",
         "post-quantum at most", "guide"),
        ('result = "post-quantum"', 'result = "information-theoretic"', "profile[1]", 'write result = "post-quantum"',
         "guide"),
        ('strands = [{ source = "pqc", strength = "post-quantum" }]', "strands = []", "profile[1].strands", "empty",
         "1 to 3"),
        ('mode = "degrade"', 'mode = "wait"', "profile[0].exhaustion", "needs wait_s", "guide"),
        ('mode = "degrade"', 'mode = "fail"', "profile[0].exhaustion", "has no degrade_to", "guide"),
        ("max_duration_s = 60", "max_duration = 60", "profile[0].exhaustion.max_duration", "unknown", "max_duration_s"),
        ("max_duration_s = 60", "max_duration_s = 0", "profile[0].exhaustion.max_duration_s", "too small", "seconds"),
        ("max_duration_s = 60", "max_duration_s = inf", "profile[0].exhaustion.max_duration_s", "not a number",
         "write"),
        ('degrade_to = "pqc"', 'degrade_to = "pcq"', "profile[0].exhaustion.degrade_to", "'pcq'", "'pqc'?"),
        ('degrade_to = "pqc"', 'degrade_to = "qkd"', "profile[0].exhaustion.degrade_to", "itself: qkd -> qkd", "fail"),
        ('name = "pqc"', 'name = "qkd"', "profile[1].name", "already a [[profile]] called 'qkd'", "own name"),
        ('name = "pqc"', 'name = "PQC key"', "profile[1].name", "not in the form", "lower case"),
        ('master = "a*"\nslave = "b*"\nprofiles', 'master = "a*b"\nslave = "b*"\nprofiles', "allow[0].master",
         "not in the form", "beginning with * last"),
        ('master = "a*"\nslave = "b*"\nprofiles', 'master = ""\nslave = "b*"\nprofiles', "allow[0].master", "empty",
         "SAE ID"),
        ('["qkd", "pqc"]', '"qkd"', "allow[0].profiles", "expected a list", "write a list"),
        ('["qkd", "pqc"]', '["qkd", "hybird"]', "allow[0].profiles[1]", "no profile is called 'hybird'",
         "profiles here"),
        ('["qkd", "pqc"]', "[]", "allow[0].profiles", "empty", "at least 1"),
        ('[[allow]]', '[allow]', "allow", "expected a list", "two brackets"),
        ('reason = "r"\n\n[[region', '\n[[region', "deny[0].reason", "missing key", "reason"),
        ('profile = "qkd"\nregions', 'profile = "kqd"\nregions', "region_exception[0].profile", "'kqd'", "'qkd'"),
        ("2027-01-31", '"January"', "region_exception[0].expires", "not a date", "YYYY-MM-DD"),
        ("2027-01-31", "2027-01-31T00:00:00Z", "region_exception[0].expires", "expected a date", "YYYY-MM-DD"),
        ('owner = "o"', "", "region_exception[0].owner", "missing key", "owner"),
        ("bits_per_s = 10", "", "quota[0]", "belong together", "guide"),
        ("burst_bits = 1000", "burst_bits = -1", "quota[0].burst_bits", "too small", "whole number"),
        ("burst_bits = 1000", "burst_bits = 1e3", "quota[0].burst_bits", "whole number", "whole number"),
        ("burst_bits = 1000", 'burst_bits = "1000"', "quota[0].burst_bits", "whole number", "without quotes"),
        ('post_quantum_group = "required"', "post_quantum_group = true", "transport[0].post_quantum_group", "expected",
         "required, preferred"),
        ("max_age_s = 3600", "", "rotation[0]", "limits nothing", "guide"),
        ('expect = "allow"', 'expect = "deny"', "test[0]", "leaves no profile", "guide"),
        ('expect = "allow"', 'expect = "allow"\nsize = 7', "test[0].size", "too small", "multiple of 8"),
        ('expect = "allow"', 'expect = "allow"\nsize = 12', "test[0].size", "not a multiple", "multiple of 8"),
        ('expect = "allow"', 'expect = "allow"\nwants = "x"', "test[0].wants", "no profile is called 'x'", "profiles"),
        ('id = "pay"', 'id = "pay"\nsae_id = 3', "transport[0].sae_id", "unknown key", "'sae'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_next_step(
    old: str, new: str, field: str, said: str, hint: str
) -> None:
    """File, line, field, what is wrong, what to do."""
    assert old in SMALL
    text = SMALL.replace(old, new, 1)
    found = [problem for problem in _problems(text) if problem.field == field]
    assert found, [str(problem) for problem in _problems(text)]
    assert said in found[0].message
    assert hint in found[0].hint
    assert found[0].file == "policy.toml"
    assert 1 <= found[0].line <= len(text.splitlines())


@pytest.mark.parametrize("kind", ["allow", "rotation", "quota", "transport"])
def test_two_entries_cannot_decide_for_the_same(kind: str) -> None:
    """Under another id too: the second would never be looked at."""
    again = re.sub(r'id = "[a-z]+"', 'id = "again"', _second(kind))
    assert any("already decides" in problem.message for problem in _problems(SMALL + again))


@pytest.mark.parametrize(
    "kind", ["profile", "allow", "deny", "region_exception", "quota", "transport", "rotation", "test"]
)
def test_a_name_stands_once(kind: str) -> None:
    """Messages and audit name an entry by its id: two of the same cannot be told apart."""
    assert any("already a" in problem.message for problem in _problems(SMALL + _second(kind)))


def test_entries_for_other_links_or_the_other_direction_are_no_repetition() -> None:
    """One pair may have one entry for each link, and one for each direction."""
    entry = '[[allow]]\nid = "{}"\nmaster = "{}"\nslave = "{}"\nprofiles = ["qkd"]\n{}\n'
    text = SMALL + entry.format("x", "a*", "b*", 'links = ["one"]') + entry.format("y", "a*", "b*", 'links = ["two"]')
    key_policy_from_toml(text + entry.format("z", "b*", "a*", ""), "policy.toml")
    both = entry.format("z", "b*", "a*", "both_ways = true")
    assert [problem.field for problem in _problems(text + both)] == ["allow[3]"]


def test_a_circle_is_found_however_long() -> None:
    """Every profile on it is named, and no profile that only leads to it."""
    profile = """
[[profile]]
name = "{}"
strands = [{{ source = "pqc", strength = "post-quantum" }}]
result = "post-quantum"
[profile.exhaustion]
mode = "degrade"
degrade_to = "{}"
max_duration_s = 1
"""
    text = 'name = "c"\ndefault = "deny"\n' + "".join(profile.format(*way) for way in ("ab", "bc", "cb", "dd"))
    found = [(problem.field, problem.message) for problem in _problems(text)]
    assert [field for field, _ in found] == [f"profile[{n}].exhaustion.degrade_to" for n in (1, 2, 3)]
    assert found[0][1] == "degrades to itself: b -> c -> b"


def test_all_mistakes_come_at_once_in_order() -> None:
    """Three mistakes of three kinds in one answer, and no mistake of one hides another."""
    text = SMALL.replace('default = "deny"', 'default = "maybe"')
    text = text.replace('degrade_to = "pqc"', 'degrade_to = "no"').replace("burst_bits = 1000", "")
    problems = _problems(text)
    assert [problem.field for problem in problems] == ["default", "profile[0].exhaustion.degrade_to", "quota[0]"]
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)


@pytest.mark.parametrize(
    "text", ["", "name =", "x = " + "[" * 5000, "profile = 3", "allow = [1, 2]", "[[test]]", "\x00"]
)
def test_what_is_no_policy_is_an_error_and_no_traceback(text: str) -> None:
    """Nothing, half a line, nesting, scalars for tables."""
    assert _problems(text)


@given(st.data())
def test_a_policy_with_lines_lost_or_doubled_is_judged_without_a_traceback(data: st.DataObject) -> None:
    """Whatever editing leaves of a policy, the answer is a policy or problems, each with its line."""
    lines = SMALL.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = data.draw(st.sampled_from([[], [lines[at]] * 2, [lines[at][: len(lines[at]) // 2]]]))
    problems: tuple[Problem, ...] = ()
    try:
        PolicyRules(key_policy_from_toml("\n".join(lines), "policy.toml"), file="policy.toml")
    except InvalidInput as error:
        problems = error.problems
    assert all(problem.file == "policy.toml" and problem.hint for problem in problems)


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(("a*", "qkd", "deny", "")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ("name", "id", "master", "slave", "links", "profiles", "exhaustion", "degrade_to", "sae", "both_ways")), inner,
    ),
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(("profile", "allow", "deny", "quota", "test", "default", "default_profiles")), junk)
)
def test_meaning_is_judged_on_any_shape(raw: dict[str, object]) -> None:
    """The checks beyond the types take whatever TOML can spell."""
    from keystrand.formats.key_policy_toml import _meaning  # noqa: PLC0415 - the private name that the test guards

    assert isinstance(list(_meaning(raw)), list)
