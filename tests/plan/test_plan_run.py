"""The plan stage on a small estate: decisions with their evidence, measures with their dates, and what it refuses."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from keystrand.formats.documents import content_hash, decode, encode
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage
from keystrand.model.errors import DocumentMismatch
from keystrand.model.estate import Estate, Layer
from keystrand.model.policy import Effect, Force, Position, Stance, Status, Verification
from keystrand.model.stages import (
    Approach,
    Assessment,
    Finding,
    Fit,
    Inventory,
    Measure,
    MeasureKind,
    OwnershipGap,
    Plan,
    PolicyFinding,
    PolicyRef,
    PolicyState,
    Priority,
    SegmentDecision,
)
from keystrand.model.units import Answer
from keystrand.plan.physics import modelled_rate, worst_span
from keystrand.plan.positions import applies
from keystrand.plan.run import make_plan

AS_OF = date(2026, 11, 24)
HEAD: dict[str, Any] = {"as_of": AS_OF, "made_from": (), "created_at": datetime(2026, 11, 24, tzinfo=UTC)}
SITES = [("north", 48.0, 10.0), ("hub", 48.0, 10.4), ("south", 48.0, 11.0)]
SEGMENT: dict[str, Any] = {
    "id": "corridor", "name": "Corridor", "a": "north", "b": "south", "reach": "metro", "length_km": 80.0,
    "loss_db": 16.0, "loss_basis": "measured", "dark_fibre": "yes", "carrier": "utility", "continuity": "must-continue",
    "key_demand_bits_per_s": 256, "owners": {"link": "network", "governance": "risk"},
    "quantum": {"dedicated_optics": "yes", "trusted_nodes": "yes", "specialised_operation": "yes",
                "accepted_by": "risk"},
}  # fmt: skip
SYSTEM: dict[str, Any] = {
    "id": "replication", "name": "Replication", "place": "replication", "site": "north", "exposure": "internal",
    "functions": ["key-establishment", "signature"], "data_classes": ["ledger"], "segments": ["corridor"],
    "owners": {"algorithms": "crypto", "governance": "risk"}, "migration_years": [1.0, 2.0],
}  # fmt: skip


def estate(*, systems: list[dict[str, Any]] | None = None, **segment: Any) -> Estate:
    """Return an estate with three sites, one segment (changed by `segment`) and `systems`."""
    raw = {
        "format_version": "1.0",
        "organisation": {"name": "Bank", "sector": segment.pop("sector", "banking")},
        "region": [{"id": "eu", "name": "Germany", "jurisdiction": segment.pop("jurisdiction", "DE")}],
        "trust_zone": [{"id": "core", "name": "Core"}],
        "owner": [{"id": n, "name": n} for n in ("crypto", "network", "risk")],
        "site": [
            {"id": n, "name": n, "kind": "hub", "latitude": lat, "longitude": lon, "region": "eu", "trust_zone": "core",
             "controlled": segment.get("controlled", "yes")}
            for n, lat, lon in SITES
        ],
        "data_class": [{"id": "ledger", "name": "Ledger", "sensitivity": "critical",
                        "retention_years": segment.pop("retention_years", 30)}],
        "system": [SYSTEM] if systems is None else systems,
    }  # fmt: skip
    segment.pop("controlled", None)
    raw["segment"] = [SEGMENT | segment]
    return msgspec.convert(raw, Estate)


def position(**changes: Any) -> Position:
    """Return an authority's prohibition for everyone in Germany, but for `changes`."""
    raw = {
        "id": "authority", "authority": "Authority", "stance": "prohibits", "jurisdictions": ["DE"],
        "applies_to": "all users", "text": "Not permitted.",
        "source": {"title": "Notice", "publisher": "Authority", "clause": "1", "published": "2025-01-01",
                   "as_of": "2026-01-01", "verification": "secondary"},
    }  # fmt: skip
    return msgspec.convert(raw | changes, Position)


def rule(deadline: date, **changes: Any) -> PolicyFinding:
    """Return a duty that is due on `deadline`."""
    made = PolicyFinding(
        policy="rules", rule="one", clause="1", effect=Effect.DISALLOW, state=PolicyState.DUE, deadline=deadline,
        reason="",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def finding(function: Function = Function.KEY_ESTABLISHMENT, **changes: Any) -> Finding:
    """Return a vulnerable finding on the replication, but for `changes`."""
    made = Finding(
        id=f"replication/{function}", system="replication", function=function, verdict=Verdict.QUANTUM_VULNERABLE,
        strength=None, algorithms=("X25519",), assets=(), classical_still_accepted=Answer.YES, policies=(),
        reason="X25519 negotiated",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def inventory(*gaps: OwnershipGap) -> Inventory:
    """Return an inventory that has nothing but `gaps`."""
    coverage = Coverage(unit="target", looked_at=0, answered=0)
    return Inventory(
        format_version="1.0", tool_version="0", seed=None, coverage=coverage, assets=(), systems=(),
        ownership_gaps=gaps, **HEAD,
    )  # fmt: skip


def assessment(*findings: Finding, ranks: dict[str, int] | None = None) -> Assessment:
    """Return an assessment with `findings`; its one policy binds."""
    ref = PolicyRef(
        id="rules", name="Rules", status=Status.FINAL, force=Force.LAW, verification=Verification.PRIMARY,
        as_of=AS_OF, source="", binding=True,
    )  # fmt: skip
    order = tuple(
        Priority(rank=n, tier=1, system=s, reasons=("first",)) for s, n in (ranks or {"replication": 1}).items()
    )
    return Assessment(
        format_version="1.0", tool_version="0", seed=None,
        coverage=Coverage(unit="finding", looked_at=len(findings), answered=len(findings)),
        findings=findings, exposures=(), priorities=order, policies=(ref,), assumptions=(), **HEAD,
    )  # fmt: skip


def plan(
    of: Estate,
    *findings: Finding,
    positions: tuple[Position, ...] = (),
    gaps: tuple[OwnershipGap, ...] = (),
    ranks: dict[str, int] | None = None,
) -> Plan:
    """Return the plan for `of`."""
    return make_plan(of, inventory(*gaps), assessment(*findings, ranks=ranks), positions, tool_version="0", **HEAD)


def decision(of: Estate, *positions: Position) -> SegmentDecision:
    """Return the decision on the one segment of `of`."""
    (made,) = plan(of, positions=positions).decisions
    return made


def measure(of: Plan, kind: MeasureKind) -> Measure:
    """Return the one measure of `kind`."""
    (made,) = [m for m in of.measures if m.kind is kind]
    return made


# Decisions


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Approach.HYBRID),
        ({"continuity": "may-wait"}, Approach.QKD_FIBRE),
        ({"via": ["hub"], "length_km": 100.0, "loss_db": 21.0}, Approach.QKD_TRUSTED_NODE),
        ({"purpose": "research", "programme": "Testbed"}, Approach.QUANTUM_INTERNET_TESTBED),
        ({"dark_fibre": "no"}, Approach.PQC_ONLY),
        ({"loss_db": 21.0}, Approach.PQC_ONLY),
        ({"key_demand_bits_per_s": 1e9}, Approach.PQC_ONLY),
        ({"retention_years": 9.9}, Approach.PQC_ONLY),
        ({"via": ["hub"], "controlled": "unknown"}, Approach.PQC_ONLY),
        ({"purpose": "research"}, Approach.PQC_ONLY),
    ],
)
def test_each_approach_is_right_somewhere_in_an_estate(changes: dict[str, Any], expected: Approach) -> None:
    """The approach follows from the segment; exactly one option is chosen, and each is there with its objections."""
    made = decision(estate(**changes))
    assert made.chosen is expected
    assert [option.approach for option in made.options if option.fit is Fit.CHOSEN] == [expected]
    assert [option.approach for option in made.options] == list(Approach)
    assert all(option.reasons and option.objections for option in made.options)
    assert made.would_change


@pytest.mark.parametrize("fact", ["dedicated_optics", "specialised_operation"])
@pytest.mark.parametrize("answer", ["no", "unknown"])
def test_quantum_case_must_be_answered_with_yes(fact: str, answer: str) -> None:
    """No excludes, unknown asks; either way the segment stays on post-quantum cryptography."""
    made = decision(estate(quantum=SEGMENT["quantum"] | {fact: answer}))
    assert made.chosen is Approach.PQC_ONLY
    fits = {option.approach: option.fit for option in made.options}
    assert fits[Approach.HYBRID] is (Fit.EXCLUDED if answer == "no" else Fit.UNDETERMINED)
    assert bool(made.questions) is (answer == "unknown")


def test_trusted_nodes_need_somebody_who_accepts_them() -> None:
    """Yes without a name is no acceptance: it is asked who accepted."""
    case = {key: value for key, value in SEGMENT["quantum"].items() if key != "accepted_by"}
    made = decision(estate(via=["hub"], quantum=case))
    assert made.chosen is Approach.PQC_ONLY
    assert any("Who accepts" in question for question in made.questions)


def test_missing_demand_is_a_question_not_a_pass() -> None:
    """A demand that was left out is not a demand of nothing."""
    made = decision(estate(key_demand_bits_per_s=0.0))
    assert made.chosen is Approach.PQC_ONLY
    assert any("key bits" in question for question in made.questions)


def test_worst_span_decides() -> None:
    """Loss is shared out by the distance between the sites: 60 percent of the way carries 60 percent of the loss."""
    of = estate(via=["hub"], loss_db=20.0)
    span = worst_span(of.segment[0], {site.id: site for site in of.site})
    assert span.loss_db == pytest.approx(12.0, abs=0.01)
    assert "distance" in span.how
    (made,) = plan(of).decisions
    assert made.rate == modelled_rate(span)


@pytest.mark.parametrize("loss", [{"loss_db": None}, {"loss_db": None, "loss_db_per_km": 3.0, "length_km": 500.0}])
def test_loss_that_no_link_has_gives_no_rate(loss: dict[str, Any]) -> None:
    """A loss that is missing, or beyond any link, gives no rate and no quantum link, but still a document."""
    made = plan(estate(**loss))
    assert made.decisions[0].rate is None
    assert made.decisions[0].chosen is Approach.PQC_ONLY
    assert decode(encode(made), Plan) == made


def test_prohibition_that_applies_excludes() -> None:
    """The decision shows the position that caused it, and says that without it the choice would be another."""
    made = decision(estate(), position())
    assert (made.chosen, made.positions) == (Approach.PQC_ONLY, ("authority",))
    assert any("prohibited" in words for words in made.would_change)


def test_prohibition_of_others_does_not_exclude_but_is_shown() -> None:
    """Every quantum recommendation shows all positions, those that do not apply included."""
    others = (position(applies_to="military use"), position(id="abroad", jurisdictions=["US"]))
    made = plan(estate(), positions=others)
    assert made.decisions[0].chosen is Approach.HYBRID
    assert made.decisions[0].positions == ("abroad", "authority")
    assert [ref.applies for ref in made.positions] == [False, False]


@pytest.mark.parametrize(
    ("changes", "sector", "jurisdiction", "expected"),
    [
        ({}, "banking", "DE", Answer.YES),
        ({"jurisdictions": ["EU"]}, "banking", "DE", Answer.YES),
        ({"jurisdictions": []}, "banking", "DE", Answer.YES),
        ({"jurisdictions": ["FR"]}, "banking", "DE", Answer.NO),
        ({"jurisdictions": ["FR"]}, "banking", "EU", Answer.UNKNOWN),
        ({"applies_to": "government networks"}, "banking", "DE", Answer.NO),
        ({"applies_to": "financial institutions"}, "retail bank", "DE", Answer.YES),
        ({"applies_to": "owners of widgets"}, "banking", "DE", Answer.UNKNOWN),
        ({"applies_to": "military use"}, "something else", "DE", Answer.UNKNOWN),
    ],
)
def test_position_applies_by_place_and_sector(
    changes: dict[str, Any], sector: str, jurisdiction: str, expected: Answer
) -> None:
    """Where the addressee or the sector cannot be told from its words, the answer is unknown, and QKD is not chosen."""
    of = estate(sector=sector, jurisdiction=jurisdiction)
    assert applies(position(**changes), of) is expected
    chosen = decision(of, position(**changes)).chosen
    assert (chosen is Approach.HYBRID) is (expected is Answer.NO)


def test_only_a_prohibition_excludes() -> None:
    """An authority that discourages is shown beside the recommendation and does not forbid it."""
    for stance in (Stance.DISCOURAGES, Stance.LIMITS, Stance.ENCOURAGES):
        made = decision(estate(), position(stance=stance.value))
        assert (made.chosen, made.positions) == (Approach.HYBRID, ("authority",))


# Measures


def test_vulnerable_functions_are_migrated_by_their_deadline() -> None:
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
    assert all(m.start > AS_OF and m.done_when and m.fallback and m.reasons for m in made.measures)


def test_binding_rule_counts_before_an_earlier_notice() -> None:
    """A draft's earlier date does not stand in for the date of a text that binds; alone, it does, and says so."""
    notice = rule(date(2028, 1, 1), state=PolicyState.NOTICE)
    both = measure(
        plan(estate(), finding(policies=(notice, rule(date(2031, 1, 1))))), MeasureKind.MIGRATE_KEY_ESTABLISHMENT
    )
    assert both.latest_finish == date(2031, 1, 1)
    alone = measure(plan(estate(), finding(policies=(notice,))), MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert alone.latest_finish == date(2028, 1, 1)
    assert any("not binding" in reason for reason in alone.reasons)


def test_met_rules_set_no_deadline() -> None:
    """A rule that is met, or does not apply, is no reason for a date."""
    done = (rule(date(2028, 1, 1), state=PolicyState.MET), rule(date(2028, 1, 1), state=PolicyState.NOT_APPLICABLE))
    made = measure(plan(estate(), finding(policies=done)), MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert (made.latest_finish, made.late) == (None, False)


def test_unknown_is_found_out_and_planned_for_as_vulnerable() -> None:
    """An unknown verdict gives an enquiry first, and a migration after it: unknown is never safe."""
    undetermined = rule(date(2030, 12, 31), state=PolicyState.UNDETERMINED)
    made = plan(estate(), finding(verdict=Verdict.UNKNOWN, policies=(undetermined,)))
    ask, migrate = measure(made, MeasureKind.FIND_OUT), measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert ask.id in migrate.depends_on
    assert ask.finish < migrate.start
    assert migrate.latest_finish == date(2030, 12, 31)


def test_rule_that_only_asks_for_a_plan_dates_the_enquiry_alone() -> None:
    """It does not date a change; once its day is past the enquiry names it, but no scan can call it missed."""
    future, past = date(2027, 6, 30), date(2025, 1, 1)
    for day, expected in ((future, future), (past, None)):
        asks = rule(day, effect=Effect.PLAN, state=PolicyState.UNDETERMINED)
        made = plan(estate(), finding(verdict=Verdict.UNKNOWN, policies=(asks,)))
        assert measure(made, MeasureKind.FIND_OUT).latest_finish == expected
        assert any("rules 1" in reason for reason in measure(made, MeasureKind.FIND_OUT).reasons)
        assert measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT).latest_finish is None


def test_classical_is_retired_after_those_who_depend_on_it() -> None:
    """A safe service that still accepts classical peers stops doing so once its dependents have moved."""
    client = SYSTEM | {"id": "client", "name": "Client", "depends_on": ["replication"]}
    made = plan(
        estate(systems=[SYSTEM, client]),
        finding(verdict=Verdict.QUANTUM_SAFE),
        finding(id="client/kex", system="client"),
    )
    retire, migrate = measure(made, MeasureKind.RETIRE_CLASSICAL), measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert (retire.subject, migrate.subject) == ("replication", "client")
    assert migrate.finish < retire.start


def test_safe_and_closed_needs_nothing() -> None:
    """A safe exchange with no classical way in gives no measure; one not seen from that side is asked about."""
    closed = plan(estate(), finding(verdict=Verdict.QUANTUM_SAFE, classical_still_accepted=Answer.NO))
    assert not [m for m in closed.measures if m.subject == "replication"]
    unseen = plan(estate(), finding(verdict=Verdict.QUANTUM_SAFE, classical_still_accepted=Answer.UNKNOWN))
    assert measure(unseen, MeasureKind.FIND_OUT).subject == "replication"


def test_owners_are_asked_for_by_layer_not_one_by_one() -> None:
    """Gaps of one layer under one governing owner are one measure; what needs the owner waits for it."""
    systems = [SYSTEM | {"id": f"s{n}", "owners": {"governance": "risk"}} for n in range(9)]
    gaps = tuple(OwnershipGap(noun="system", id=f"s{n}", layer=Layer.ALGORITHMS) for n in range(9))
    found = [finding(id=f"s{n}/kex", system=f"s{n}") for n in range(9)]
    made = plan(estate(systems=systems), *found, gaps=gaps, ranks={"s0": 1})
    name = measure(made, MeasureKind.ASSIGN_OWNER)
    assert (name.id, name.owner) == ("assign-owner.algorithms.risk", "risk")
    waiting = [m for m in made.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT]
    assert len(waiting) == 9
    assert all(m.owner is None and name.id in m.depends_on and m.start > name.finish for m in waiting)


def test_pilot_comes_before_the_link_and_post_quantum_before_both_serve() -> None:
    """A quantum link goes into service after its pilot and after its systems have their post-quantum fallback."""
    made = plan(estate(), finding())
    pilot, deploy = measure(made, MeasureKind.PILOT), measure(made, MeasureKind.DEPLOY_QUANTUM_LINK)
    assert deploy.start > pilot.finish
    assert deploy.start > measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT).finish
    assert deploy.owner == "network"


def test_testbed_is_piloted_and_never_deployed() -> None:
    """Research is no production control."""
    made = plan(estate(purpose="research", programme="Testbed"), finding())
    assert measure(made, MeasureKind.PILOT).subject == "corridor"
    assert not [m for m in made.measures if m.kind is MeasureKind.DEPLOY_QUANTUM_LINK]


def test_open_question_becomes_work_and_a_gap_in_coverage() -> None:
    """What is not known of a segment is a measure, and the plan does not call itself complete."""
    made = plan(estate(dark_fibre="unknown"))
    ask = measure(made, MeasureKind.FIND_OUT)
    assert (ask.subject, ask.reasons) == ("corridor", made.decisions[0].questions)
    assert not made.coverage.complete


def test_change_ends_with_the_refresh_and_says_so() -> None:
    """A refresh half a year after the earliest finish is waited for, and the reason names it."""
    made = plan(estate(systems=[SYSTEM | {"refresh": "2029-05-31"}], dark_fibre="no"), finding())
    migrate = measure(made, MeasureKind.MIGRATE_KEY_ESTABLISHMENT)
    assert migrate.finish == date(2029, 5, 31)
    assert any("hardware refresh" in reason for reason in migrate.reasons)


def test_milestones_hold_every_measure_once() -> None:
    """Each measure belongs to one milestone, which falls on the last finish among its measures."""
    made = plan(estate(), finding(), finding(Function.SIGNATURE, verdict=Verdict.UNKNOWN))
    finishes = {m.id: m.finish for m in made.measures}
    named = [name for milestone in made.milestones for name in milestone.measures]
    assert sorted(named) == sorted(finishes)
    assert all(m.date == max(finishes[name] for name in m.measures) for m in made.milestones)


def test_plan_is_a_repeatable_document() -> None:
    """Equal inputs give equal content, the file gives the plan back, and the assumptions are named."""
    first, second = (plan(estate(), finding(), positions=(position(stance="limits"),)) for _ in range(2))
    assert content_hash(first) == content_hash(second)
    assert decode(encode(first), Plan) == first
    assert any("assumed" in assumption.source for assumption in first.assumptions)
    assert [m.rank for m in first.measures] == list(range(1, len(first.measures) + 1))


def test_documents_of_another_estate_are_refused() -> None:
    """An assessment that speaks of a system the estate does not have was made from another one."""
    with pytest.raises(DocumentMismatch, match="system elsewhere"):
        plan(estate(), finding(system="elsewhere"))


def test_systems_that_depend_on_each_other_move_together() -> None:
    """In a circle nobody waits for the others, and the reason says so; who stands outside it still waits."""
    needs = {"one": ["two"], "two": ["three"], "three": ["one", "three"], "four": ["one"]}
    systems = [SYSTEM | {"id": name, "depends_on": on} for name, on in needs.items()]
    made = plan(estate(systems=systems), *(finding(id=n, system=n) for n in needs), ranks={"one": 1})
    by_subject = {m.subject: m for m in made.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT}
    assert len({by_subject[name].start for name in ("one", "two", "three")}) == 1
    assert any("one, two" in r or "one and two" in r for r in by_subject["three"].reasons)
    assert by_subject["four"].start > by_subject["one"].finish
