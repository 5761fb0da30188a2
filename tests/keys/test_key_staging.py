"""Change of policy: staged, put in force, taken back, numbered."""

import pytest
from msgspec.structs import replace

from keystrand.keys.cases import failures, run_cases
from keystrand.keys.rules import BUILT_IN, PolicyRules
from keystrand.keys.staging import REVISIONS_KEPT, activate, begin, roll_back, stage
from keystrand.model.errors import InvalidInput
from keystrand.model.key_policy import Case, Outcome

POLICY = BUILT_IN.policy
ALLOWED = Case(name="anybody", master="a", slave="b", expect=Outcome.ALLOW, profile="qkd", fallback=())


def test_a_policy_is_staged_activated_and_rolled_back() -> None:
    """The number names the content: it comes back with a rollback, and no number is given twice."""
    first = begin(BUILT_IN)
    staged = stage(first, replace(POLICY, name="second"), file="second.toml", now=0)
    assert staged.active is BUILT_IN
    second = activate(staged)
    assert (second.active.policy.name, second.active.revision, second.active.file) == ("second", 1, "second.toml")
    back = roll_back(second)
    assert back.active is BUILT_IN
    third = activate(stage(back, replace(POLICY, name="third"), file="third.toml", now=0))
    assert third.active.revision == 2


def test_a_policy_whose_own_tests_fail_is_not_staged() -> None:
    """The error names the tests and the command that explains them."""
    wrong = replace(POLICY, tests=(ALLOWED, replace(ALLOWED, name="nobody", expect=Outcome.DENY, profile=None,
                                                    fallback=None)))  # fmt: skip
    with pytest.raises(InvalidInput, match="'nobody'") as caught:
        stage(begin(BUILT_IN), wrong, file="wrong.toml", now=0)
    assert "keystrand policy test wrong.toml" in caught.value.hint


def test_there_must_be_something_to_activate_or_to_go_back_to() -> None:
    """Neither is silently ignored."""
    with pytest.raises(InvalidInput, match="no policy is staged"):
        activate(begin(BUILT_IN))
    with pytest.raises(InvalidInput, match="no earlier revision"):
        roll_back(begin(BUILT_IN))


def test_only_so_many_revisions_are_kept() -> None:
    """The list of earlier revisions does not grow for ever; numbers go on."""
    revisions = begin(BUILT_IN)
    for _ in range(3 * REVISIONS_KEPT):
        revisions = activate(stage(revisions, POLICY, file="p.toml", now=0))
    assert len(revisions.earlier) == REVISIONS_KEPT
    assert revisions.active.revision == 3 * REVISIONS_KEPT


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"expect": Outcome.DENY, "profile": None, "fallback": None}, "expected deny, got allow"),
        ({"profile": "qkd-simulated"}, "expected profile 'qkd-simulated', got 'qkd'"),
        ({"fallback": ("qkd-simulated",)}, "expected fallback 'qkd-simulated', got none"),
        ({"entry": "mine"}, "expected entry 'mine', got 'default'"),
        ({"exception": "mine"}, "expected exception 'mine', got none"),
    ],
)
def test_a_failed_test_says_how(change: dict[str, object], fault: str) -> None:
    """Whatever the author gave is compared."""
    rules = PolicyRules(replace(POLICY, tests=(ALLOWED, replace(ALLOWED, **change))), file="p.toml")
    assert [result.faults for result in run_cases(rules, 0)] == [(), (fault,)]
    assert len(failures(rules, 0)) == 1


def test_a_case_can_expect_a_demand_to_be_unmet() -> None:
    """Denied by the policy and not met by it are told apart."""
    case = Case(name="n", master="a", slave="b", expect=Outcome.UNMET, wants="qkd-simulated",
                min_strength=POLICY.profiles[0].result)  # fmt: skip
    rules = PolicyRules(replace(POLICY, tests=(case,)), file="p.toml")
    assert failures(rules, 0) == ()
    with pytest.raises(ValueError, match="leaves no profile"):
        replace(case, profile="qkd")
