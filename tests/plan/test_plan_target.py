"""The target state says what the plan decided, for each function by itself, and what is open; staged plans only."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.documents import decode, encode
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.stages import Approach, Assessment, Finding, Measure, MeasureKind, Plan
from keystrand.model.stages.targeted import CriterionKind, TargetDocument, TargetKind
from keystrand.model.units import Answer
from keystrand.plan.staged import require_staged
from keystrand.plan.target import make_target

Row = dict[str, Any]
AS_OF = date(2026, 11, 24)
HEAD: Row = {"as_of": AS_OF, "made_from": (), "created_at": datetime(2026, 11, 24, tzinfo=UTC), "tool_version": "0"}
PILOT = {
    "id": "trial", "name": "Trial", "segment": "corridor",
    "criteria": {"secret_key_rate_min_bits_per_s": 1000, "handshake_median_max_ms": 100,
                 "key_delivery_median_max_ms": 50, "recovery_max_s": 30},
}  # fmt: skip


def _assessment(*findings: Finding) -> Assessment:
    return Assessment(
        format_version="1.0", seed=None, coverage=Coverage(unit="finding", looked_at=0, answered=0),
        findings=findings, exposures=(), priorities=(), policies=(), assumptions=(), **HEAD,
    )  # fmt: skip


def _target(of: Estate, plan: Plan, *findings: Finding) -> TargetDocument:
    return make_target(of, _assessment(*findings), plan, **HEAD)


def test_each_function_has_a_target_of_its_own(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """Key establishment and signature of a system and of a segment: four lines, with algorithms, day and owner."""
    found = (finding(), finding(Function.SIGNATURE, classical_still_accepted=Answer.UNKNOWN))
    made = plan(estate(), *found)
    target = _target(estate(), made, *found)
    lines = {line.id: line for line in target.targets}
    assert set(lines) == {
        f"{what}/{function}"
        for what in ("system/replication", "segment/corridor")
        for function in (Function.KEY_ESTABLISHMENT, Function.SIGNATURE)
    }
    key = lines["system/replication/key-establishment"]
    assert (key.target, key.today, key.owner) == (TargetKind.POST_QUANTUM, Verdict.QUANTUM_VULNERABLE, "crypto")
    assert key.by == max(m.finish for m in made.measures if m.subject == "replication" and "key" in m.id)
    assert "FIPS 203" in key.algorithms[0]
    assert "FIPS 204" in lines["system/replication/signature"].algorithms[0]
    link = lines["segment/corridor/key-establishment"]
    assert (link.target, link.approach, link.measure) == (
        TargetKind.QUANTUM_LINK, Approach.HYBRID, "deploy-quantum-link.corridor"
    )  # fmt: skip
    signs = lines["segment/corridor/signature"]
    assert (signs.target, signs.by) == (TargetKind.POST_QUANTUM, lines["system/replication/signature"].by)
    assert signs.by
    assert decode(encode(target), TargetDocument) == target


def test_criteria_of_a_declared_pilot_come_first(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """Its bounds are taken as they are, the others are proposals and say so; every id is there once."""
    of = msgspec.convert(msgspec.to_builtins(estate()) | {"pilot": [PILOT]}, Estate)
    target = _target(of, plan(of, finding()), finding())
    found = {one.id: one for one in target.criteria}
    assert len(found) == len(target.criteria)
    recovery, rotation = found["segment/corridor/recovery"], found["segment/corridor/rotation"]
    assert (recovery.at_most, recovery.assumed, recovery.basis) == (30, False, "pilot trial")
    assert (rotation.assumed, rotation.at_least) == (True, None)
    assert {one.kind for one in target.criteria} >= {
        CriterionKind.ROTATION, CriterionKind.FAILOVER, CriterionKind.AUDIT, CriterionKind.RECOVERY,
        CriterionKind.KEY_AGE, CriterionKind.QUANTUM_SAFE,
    }  # fmt: skip
    assert all((one.at_least is None) != (one.at_most is None) for one in target.criteria)


def test_traffic_that_may_wait_has_nothing_to_fall_back_on(
    estate: Callable[..., Estate], plan: Callable[..., Plan]
) -> None:
    """Without a second key source there is no failover to measure."""
    of = estate(continuity="may-wait")
    assert CriterionKind.FAILOVER not in {one.kind for one in _target(of, plan(of)).criteria}


@pytest.mark.parametrize(("control", "ends", "gaps"), [("a tunnel", "2031-01-31", 0), (None, "2031-01-31", 1),
                                                      ("a tunnel", None, 1), (None, None, 1)])  # fmt: skip
def test_what_stays_classical_needs_a_control_and_an_end(
    control: str | None,
    ends: str | None,
    gaps: int,
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    system_row: Row,
) -> None:
    """It is told until when and behind what; where either is missing it is an open point, never silence."""
    more = {"post_quantum_path": "no", "compensating": control, "retires": ends}
    of = estate(systems=[system_row | {name: value for name, value in more.items() if value}], dark_fibre="no")
    target = _target(of, plan(of, finding()), finding())
    (line,) = [line for line in target.targets if line.noun == "system"]
    assert (line.target, line.algorithms) == (TargetKind.CLASSICAL, ("X25519",))
    assert (line.compensating, line.until and str(line.until)) == (control, ends)
    assert len([gap for gap in target.coverage.gaps if gap.what == line.id]) == gaps
    assert not [one for one in target.criteria if one.subject == "system/replication"]


@pytest.mark.parametrize(
    ("may", "controlled", "ready"),
    [("yes", "yes", Answer.YES), ("unknown", "yes", Answer.UNKNOWN)],
)
def test_trusted_node_needs_a_cage_and_permission(
    may: str, controlled: str, ready: Answer, estate: Callable[..., Estate], plan: Callable[..., Plan]
) -> None:
    """Every end, every node and the route are listed, with whether the estate says that the ground is there."""
    of = estate(via=["hub"], length_km=100.0, loss_db=21.0, controlled=controlled)
    sites = tuple(msgspec.structs.replace(site, may_host_node=Answer(may)) for site in of.site)
    of = msgspec.structs.replace(of, site=sites)
    target = _target(of, plan(of))
    places = {one.id: one for one in target.protections}
    assert set(places) == {f"segment/corridor/{p}" for p in ("site/north", "site/south", "site/hub", "route")}
    node = places["segment/corridor/site/hub"]
    assert node.ready is ready
    assert "cage" in node.needs[0]
    assert ("segment/corridor/site/hub" in {gap.what for gap in target.coverage.gaps}) is (ready is not Answer.YES)


def test_open_questions_leave_a_target_undecided(estate: Callable[..., Estate], plan: Callable[..., Plan]) -> None:
    """A segment with questions is on post-quantum cryptography for the time being, and counts as open."""
    of = estate(dark_fibre="unknown")
    target = _target(of, plan(of))
    line = next(line for line in target.targets if line.id == "segment/corridor/key-establishment")
    assert (line.target, line.approach) == (TargetKind.UNDECIDED, Approach.PQC_ONLY)
    assert line.id in {gap.what for gap in target.coverage.gaps}


def test_one_site_and_nothing_else(estate: Callable[..., Estate], plan: Callable[..., Plan]) -> None:
    """There is nothing to plan, and the document says just that."""
    of = estate(systems=[])
    made = msgspec.structs.replace(plan(estate()), decisions=(), measures=(), milestones=())
    target = _target(msgspec.structs.replace(of, site=of.site[:1], segment=()), made)
    assert (target.targets, target.criteria, target.protections, target.coverage.looked_at) == ((), (), (), 0)
    assert target.coverage.complete


def _measures(plan: Plan) -> dict[MeasureKind, Measure]:
    return {m.kind: m for m in plan.measures if m.kind in (MeasureKind.PILOT, MeasureKind.DEPLOY_QUANTUM_LINK)}


def _with(plan: Plan, kind: MeasureKind, **changes: Any) -> Plan:
    made = tuple(msgspec.structs.replace(m, **changes) if m.kind is kind else m for m in plan.measures)
    return msgspec.structs.replace(plan, measures=made)


def test_plans_of_the_planner_go_in_stages(estate: Callable[..., Estate], plan: Callable[..., Plan]) -> None:
    """What it makes passes, with money that follows the pilot."""
    made = plan(estate())
    pilot, link = (m.id for m in _measures(made).values())
    require_staged(made)
    require_staged(made, {pilot: 1.0, link: 3.0})


def test_first_tip_a_single_purchase_is_refused(estate: Callable[..., Estate], plan: Callable[..., Plan]) -> None:
    """No pilot, no exit criteria, a link before its pilot has ended, or one that does not wait: each is told."""
    made = plan(estate())
    pilot = _measures(made)[MeasureKind.PILOT]
    without = tuple(m for m in made.measures if m.kind is not MeasureKind.PILOT)
    cases = {
        "never piloted": msgspec.structs.replace(made, measures=without),
        "no exit criteria": _with(made, MeasureKind.PILOT, done_when=" "),
        "before its pilot has ended": _with(
            made, MeasureKind.DEPLOY_QUANTUM_LINK, start=pilot.finish - timedelta(days=1)
        ),
        "does not wait for": _with(made, MeasureKind.DEPLOY_QUANTUM_LINK, depends_on=()),
    }
    for words, wrong in cases.items():
        with pytest.raises(InvalidInput, match="no staged programme") as caught:
            require_staged(wrong)
        assert [words in str(problem) for problem in caught.value.problems] == [True], words
        assert all(problem.field and problem.hint for problem in caught.value.problems)


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
def test_most_of_the_money_waits_for_the_first_pilot(
    estate: Callable[..., Estate], plan: Callable[..., Plan], before: float, after: float
) -> None:
    """Refused exactly where more than half of the spend begins before a pilot has ended."""
    made = plan(estate())
    pilot, link = (m.id for m in _measures(made).values())
    if before > (before + after) / 2:
        with pytest.raises(InvalidInput) as caught:
            require_staged(made, {pilot: before, link: after})
        assert "percent of the spend" in str(caught.value.problems[0])
    else:
        require_staged(made, {pilot: before, link: after})
