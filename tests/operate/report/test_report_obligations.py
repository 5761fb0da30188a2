"""The report's obligations: binding rules, their next date, and what nobody could judge."""

import msgspec
import pytest

from keystrand.edge.catalogue import controls
from keystrand.model.estate import Estate
from keystrand.model.policy import Effect
from keystrand.model.stages import (
    Assessment,
    Figure,
    Inventory,
    OperationsReport,
    PilotReport,
    Plan,
    PolicyState,
)
from keystrand.operate.obligations import next_date, obligations_of
from keystrand.operate.report import make_report

replace = msgspec.structs.replace


def report_on(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport | None
) -> OperationsReport:
    """Return the report on these documents."""
    return make_report(
        estate, inventory, assessment, plan, pilot, made_from=(), as_of=assessment.as_of,
        created_at=assessment.created_at, tool_version="0.1.0", controls=controls(),
    )  # fmt: skip


def figure(report: OperationsReport, key: str) -> Figure:
    """Return the figure with the id `key`."""
    groups = (report.headline, report.exposure, report.unknown, report.decisions_needed, report.pilot)
    return next(f for group in groups for f in group if f.id == key)


def test_obligations_count_each_system_once_where_it_is_worst(report: OperationsReport, assessment: Assessment) -> None:
    """A rule that meets a system in two functions counts that system once; binding rules come first."""
    assert [o.binding for o in report.obligations] == sorted((o.binding for o in report.obligations), reverse=True)
    for obligation in report.obligations:
        systems = {
            f.system
            for f in assessment.findings
            for p in f.policies
            if p.rule == obligation.rule and p.state is not PolicyState.NOT_APPLICABLE
        }
        counts = (obligation.violations, obligation.due, obligation.notices, obligation.undetermined, obligation.met)
        assert sum(counts) == len(systems)
    assert figure(report, "headline-obligations").value == (
        "2 of 30 systems break a binding rule today; the next date is 31 December 2030, for 23 systems, "
        "and 4 more cannot be judged."
    )


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("state", list(PolicyState))
def test_every_effect_and_state_has_words(assessment: Assessment, effect: Effect, state: PolicyState) -> None:
    """Whatever a rule does and however a system stands, the obligation says it; only `not applicable` is left out."""
    finding = assessment.findings[0]
    policies = tuple(replace(p, effect=effect, state=state) for p in finding.policies)
    made = obligations_of(replace(assessment, findings=(replace(finding, policies=policies),)))
    assert len(made) == (0 if state is PolicyState.NOT_APPLICABLE else len(policies))
    assert all("key exchange" in o.demand and "{" not in o.demand for o in made)


def test_a_rule_in_force_that_nobody_could_judge_is_in_the_headline(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """Undetermined is not met: the systems in doubt stand beside those that break a rule, each counted once."""
    doubtful = tuple(
        replace(
            f,
            policies=tuple(
                replace(p, state=PolicyState.UNDETERMINED)
                if p.policy == "bank-directive" and p.state is PolicyState.NOT_APPLICABLE
                else p
                for p in f.policies
            ),
        )
        for f in assessment.findings
    )
    report = report_on(estate, inventory, replace(assessment, findings=doubtful), plan, None)
    assert "2 of 30 systems break a binding rule today; for 28 others it could not be determined" in (
        figure(report, "headline-obligations").value
    )


def test_a_plan_that_no_scan_can_see_is_a_question_to_its_owner(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """A duty to plan that nobody could judge is told apart from what a scan should have shown."""
    asked = tuple(
        replace(
            f,
            policies=tuple(
                replace(p, state=PolicyState.UNDETERMINED, effect=Effect.PLAN)
                if p.policy == "bank-directive" and p.state is PolicyState.NOT_APPLICABLE
                else p
                for p in f.policies
            ),
        )
        for f in assessment.findings
    )
    report = report_on(estate, inventory, replace(assessment, findings=asked), plan, None)
    value = figure(report, "headline-obligations").value
    assert "2 of 30 systems break a binding rule today; for 28 the owner must say whether a plan stands; " in value


def test_a_violation_of_a_rule_that_does_not_bind_is_not_a_breach(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """Only binding policies are broken; the others are an outlook, however late they are."""
    policies = tuple(replace(p, binding=False) for p in assessment.policies)
    report = report_on(estate, inventory, replace(assessment, policies=policies), plan, None)
    assert figure(report, "headline-obligations").value.startswith("0 policies are declared as binding")


def with_states(assessment: Assessment, state: PolicyState) -> Assessment:
    """Return the assessment with every applicable judgement in `state`."""
    return replace(
        assessment,
        findings=tuple(
            replace(
                f,
                policies=tuple(
                    p if p.state is PolicyState.NOT_APPLICABLE else replace(p, state=state) for p in f.policies
                ),
            )
            for f in assessment.findings
        ),
    )


def test_unknown_is_not_the_same_as_nothing_due(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """With every judgement unknown the next date is still named, with the number of systems nobody could judge."""
    blind = with_states(assessment, PolicyState.UNDETERMINED)
    value = figure(report_on(estate, inventory, blind, plan, None), "headline-obligations").value
    assert value.endswith("the next date is 31 December 2030, and 30 systems cannot be judged.")
    assert "no later date" not in value
    nothing = replace(assessment, findings=())
    value = figure(report_on(estate, inventory, nothing, plan, None), "headline-obligations").value
    assert value == "0 systems were judged: whether a binding rule is broken, or will be, is not known."


def test_nothing_is_due_only_where_every_rule_is_known_to_be_met(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """All met: the headline says that no later date is due."""
    met = with_states(assessment, PolicyState.MET)
    value = figure(report_on(estate, inventory, met, plan, None), "headline-obligations").value
    assert value.endswith("0 of 30 systems break a binding rule today; no later date is due.")


def test_the_next_date_counts_every_rule_of_that_day(assessment: Assessment) -> None:
    """Two binding rules of one date count their systems together, each once and where it is worst; today counts."""
    one, other, *_ = assessment.findings
    due, unknown = (
        replace(p, policy="bank-directive", state=state, deadline=assessment.as_of)
        for p, state in zip(one.policies, (PolicyState.DUE, PolicyState.UNDETERMINED), strict=False)
    )
    findings = (
        replace(one, system="a", policies=(due, unknown)),
        replace(other, system="b", policies=(unknown,)),
        replace(other, system="c", policies=(replace(due, rule="another"),)),
    )
    assert next_date(replace(assessment, findings=findings)) == (assessment.as_of, 2, 1)
