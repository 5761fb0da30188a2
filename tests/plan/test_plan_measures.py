"""The measures of a small estate with their dates, the document that holds them, and what it refuses."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from keystrand.formats.documents import content_hash, decode, encode
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.errors import DocumentMismatch
from keystrand.model.estate import Estate, Layer
from keystrand.model.policy import Effect, Position
from keystrand.model.stages import (
    Finding,
    Measure,
    MeasureKind,
    OwnershipGap,
    Plan,
    PolicyFinding,
    PolicyState,
)
from keystrand.model.units import Answer

Row = dict[str, Any]


def test_vulnerable_functions_are_migrated_by_their_deadline(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    measure: Callable[..., Measure],
    as_of: date,
) -> None:
    """One measure for each function, with the owner of the algorithms, the declared length and the rule's date."""
    made = plan(
        estate(),
        finding(policies=(rule(date(2030, 12, 31)), rule(date(2035, 12, 31), rule="two"))),
        finding(Function.SIGNATURE, policies=(rule(date(2027, 1, 31)),)),
    )
    keys = measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert (keys.owner, keys.latest_finish, keys.late) == ("crypto", date(2030, 12, 31), False)
    assert (keys.finish - keys.start).days + 1 == round(2 * 365.25)
    signatures = measure(made, MeasureKind.MIGRATE_SIGNATURE)
    assert (signatures.latest_finish, signatures.late) == (date(2027, 1, 31), True)
    assert all(m.start > as_of and m.done_when and m.fallback and m.reasons for m in made.measures)


def test_binding_rule_counts_before_an_earlier_notice(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    measure: Callable[..., Measure],
) -> None:
    """A draft's earlier date does not stand in for the date of a text that binds; alone, it does, and says so."""
    notice = rule(date(2028, 1, 1), state=PolicyState.NOTICE)
    both = measure(
        plan(estate(), finding(policies=(notice, rule(date(2031, 1, 1))))), MeasureKind.MIGRATE_KEY_ESTABLISHMENT
    )
    assert both.latest_finish == date(2031, 1, 1)
    alone = measure(plan(estate(), finding(policies=(notice,))), MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert alone.latest_finish == date(2028, 1, 1)
    assert any("not binding" in reason for reason in alone.reasons)


def test_met_rules_set_no_deadline(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    measure: Callable[..., Measure],
) -> None:
    """A rule that is met, or does not apply, is no reason for a date."""
    done = (rule(date(2028, 1, 1), state=PolicyState.MET), rule(date(2028, 1, 1), state=PolicyState.NOT_APPLICABLE))
    made = measure(plan(estate(), finding(policies=done)), MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert (made.latest_finish, made.late) == (None, False)


def test_unknown_is_found_out_and_planned_for_as_vulnerable(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    measure: Callable[..., Measure],
) -> None:
    """An unknown verdict gives an enquiry first, and a migration after it: unknown is never safe."""
    undetermined = rule(date(2030, 12, 31), state=PolicyState.UNDETERMINED)
    made = plan(estate(), finding(verdict=Verdict.UNKNOWN, policies=(undetermined,)))
    ask, migrate = measure(made, MeasureKind.FIND_OUT), measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert ask.id in migrate.depends_on
    assert ask.finish < migrate.start
    assert migrate.latest_finish == date(2030, 12, 31)


def test_rule_that_only_asks_for_a_plan_dates_the_enquiry_alone(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    measure: Callable[..., Measure],
) -> None:
    """It does not date a change; once its day is past the enquiry names it, but no scan can call it missed."""
    future, past = date(2027, 6, 30), date(2025, 1, 1)
    for day, expected in ((future, future), (past, None)):
        asks = rule(day, effect=Effect.PLAN, state=PolicyState.UNDETERMINED)
        made = plan(estate(), finding(verdict=Verdict.UNKNOWN, policies=(asks,)))
        assert measure(made, MeasureKind.FIND_OUT).latest_finish == expected
        assert any("rules 1" in reason for reason in measure(made, MeasureKind.FIND_OUT).reasons)
        assert measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT).latest_finish is None


def test_classical_is_retired_after_those_who_depend_on_it(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
    system_row: Row,
) -> None:
    """A safe service that still accepts classical peers stops doing so once its dependents have moved."""
    client = system_row | {"id": "client", "name": "Client", "depends_on": ["replication"]}
    made = plan(
        estate(systems=[system_row, client]),
        finding(verdict=Verdict.QUANTUM_SAFE),
        finding(id="client/kex", system="client"),
    )
    retire, migrate = measure(made, MeasureKind.RETIRE_CLASSICAL), measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert (retire.subject, migrate.subject) == ("replication", "client")
    assert migrate.finish < retire.start


def test_safe_and_closed_needs_nothing(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
) -> None:
    """A safe exchange with no classical way in gives no measure; one not seen from that side is asked about."""
    closed = plan(estate(), finding(verdict=Verdict.QUANTUM_SAFE, classical_still_accepted=Answer.NO))
    assert not [m for m in closed.measures if m.subject == "replication"]
    unseen = plan(estate(), finding(verdict=Verdict.QUANTUM_SAFE, classical_still_accepted=Answer.UNKNOWN))
    assert measure(unseen, MeasureKind.FIND_OUT).subject == "replication"


def test_owners_are_asked_for_by_layer_not_one_by_one(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
    system_row: Row,
) -> None:
    """Gaps of one layer under one governing owner are one measure; what needs the owner waits for it."""
    systems = [system_row | {"id": f"s{n}", "owners": {"governance": "risk"}} for n in range(9)]
    gaps = tuple(OwnershipGap(noun="system", id=f"s{n}", layer=Layer.ALGORITHMS) for n in range(9))
    found = [finding(id=f"s{n}/kex", system=f"s{n}") for n in range(9)]
    made = plan(estate(systems=systems), *found, gaps=gaps, ranks={"s0": 1})
    name = measure(made, MeasureKind.ASSIGN_OWNER)
    assert (name.id, name.owner) == ("assign-owner.algorithms.risk", "risk")
    waiting = [m for m in made.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT]
    assert len(waiting) == 9
    assert all(m.owner is None and name.id in m.depends_on and m.start > name.finish for m in waiting)


def test_pilot_comes_before_the_link_and_post_quantum_before_both_serve(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
) -> None:
    """A quantum link goes into service after its pilot and after its systems have their post-quantum fallback."""
    made = plan(estate(), finding())
    pilot, deploy = measure(made, MeasureKind.PILOT), measure(made, MeasureKind.DEPLOY_QUANTUM_LINK)
    assert deploy.start > pilot.finish
    assert deploy.start > measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT).finish
    assert deploy.owner == "network"


def test_testbed_is_piloted_and_never_deployed(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
) -> None:
    """Research is no production control."""
    made = plan(estate(purpose="research", programme="Testbed"), finding())
    assert measure(made, MeasureKind.PILOT).subject == "corridor"
    assert not [m for m in made.measures if m.kind is MeasureKind.DEPLOY_QUANTUM_LINK]


def test_open_question_becomes_work_and_a_gap_in_coverage(
    estate: Callable[..., Estate], plan: Callable[..., Plan], measure: Callable[..., Measure]
) -> None:
    """What is not known of a segment is a measure, and the plan does not call itself complete."""
    made = plan(estate(dark_fibre="unknown"))
    ask = measure(made, MeasureKind.FIND_OUT)
    assert (ask.subject, ask.reasons) == ("corridor", made.decisions[0].questions)
    assert not made.coverage.complete


def test_change_ends_with_the_refresh_and_says_so(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    measure: Callable[..., Measure],
    system_row: Row,
) -> None:
    """A refresh half a year after the earliest finish is waited for, and the reason names it."""
    made = plan(estate(systems=[system_row | {"refresh": "2029-05-31"}], dark_fibre="no"), finding())
    migrate = measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert migrate.finish == date(2029, 5, 31)
    assert any("hardware refresh on 31 May 2029" in reason for reason in migrate.reasons)


def test_milestones_hold_every_measure_once(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """Each measure belongs to one milestone, which falls on the last finish among its measures."""
    made = plan(estate(), finding(), finding(Function.SIGNATURE, verdict=Verdict.UNKNOWN))
    finishes = {m.id: m.finish for m in made.measures}
    named = [name for milestone in made.milestones for name in milestone.measures]
    assert sorted(named) == sorted(finishes)
    assert all(m.date == max(finishes[name] for name in m.measures) for m in made.milestones)


def test_plan_is_a_repeatable_document(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    position: Callable[..., Position],
) -> None:
    """Equal inputs give equal content, the file gives the plan back, and the assumptions are named."""
    first, second = (plan(estate(), finding(), positions=(position(stance="limits"),)) for _ in range(2))
    assert content_hash(first) == content_hash(second)
    assert decode(encode(first), Plan) == first
    assert any("assumed" in assumption.source for assumption in first.assumptions)
    assert [m.rank for m in first.measures] == list(range(1, len(first.measures) + 1))


def test_documents_of_another_estate_are_refused(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """An assessment that speaks of a system the estate does not have was made from another one."""
    with pytest.raises(DocumentMismatch, match="system elsewhere"):
        plan(estate(), finding(system="elsewhere"))
