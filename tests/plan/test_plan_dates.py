"""The dates of a plan: suppliers, engineers, freezes, announced dates, conflicts, reasons, phases, differences."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from keystrand.formats.documents import content_hash
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.horizon import avoidable, horizons, years_between
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Binding, Finding, Measure, MeasureKind, Plan, PolicyFinding, PolicyState
from keystrand.plan.roadmap import DEFAULT_RUN
from keystrand.plan.roadmap_diff import PlanChangeKind, announced_of, plan_changes

KEX, SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
Row = dict[str, Any]
Dated = Callable[..., Plan]
ONE_YEAR = round(365.25)


@pytest.fixture
def dated(
    estate: Callable[..., Estate],
    plan: Callable[..., Plan],
    finding: Callable[..., Finding],
    rule: Callable[..., PolicyFinding],
    system_row: Row,
    curve: ThreatCurve,
) -> Dated:
    """Return a maker of plans: what differs in each system by name, and in the estate; one year of work each."""

    def run(systems: dict[str, Row], function: Function = KEX, *, due: date | None = None, **more: Any) -> Plan:
        options = {name: more.pop(name) for name in ("run",) if name in more}
        seen = more.pop("verdict", Verdict.QUANTUM_VULNERABLE)
        duties = more.pop("policies", (rule(due),) if due else ())
        rows = [system_row | {"id": n, "segments": [], "migration_years": [1, 1]} | row for n, row in systems.items()]
        of = msgspec.structs.replace(estate(systems=rows), **msgspec.convert(more, dict[str, Any]), segment=())
        of = msgspec.convert(msgspec.to_builtins(of), Estate)
        found = [finding(function, id=f"{name}/x", system=name, policies=duties, verdict=seen) for name in systems]
        ranks = {name: n for n, name in enumerate(systems, 1)}
        return plan(of, *found, ranks=ranks, curve=curve, **options)

    return run


def by_subject(made: Plan) -> dict[str, Measure]:
    """Return the measures by their system."""
    return {measure.subject: measure for measure in made.measures}


def owners(**engineers: int) -> list[Row]:
    """Return the owners, some with so many engineers."""
    return [{"id": n, "name": n, "engineers": engineers.get(n)} for n in ("crypto", "network", "risk")]


def test_nothing_begins_before_its_supplier_delivers(dated: Dated) -> None:
    """The date of the supplier is the first day of work, and the reason says so."""
    (measure,) = dated({"a": {"vendor_ready": "2028-03-01"}}).measures
    assert measure.start == date(2028, 3, 1)
    assert measure.why_date is not None
    assert measure.why_date.binding is Binding.VENDOR
    assert "1 March 2028" in measure.why_date.because


def test_the_hands_of_an_owner_are_not_exceeded(dated: Dated) -> None:
    """Two changes of two engineers each do not run at once where their owner has three; what waits says why."""
    made = by_subject(dated({"a": {"engineers": 2}, "b": {"engineers": 2}}, owner=owners(crypto=3)))
    first, second = sorted(made.values(), key=lambda m: m.start)
    assert second.start == first.finish + timedelta(days=1)
    assert second.why_date is not None
    assert second.why_date.binding is Binding.CAPACITY
    assert "crypto" in second.why_date.because


def test_more_engineers_than_there_are_is_an_error_in_words(dated: Dated) -> None:
    """It names the measure, its owner and both numbers."""
    with pytest.raises(InvalidInput, match=r"a binds 4 engineers, and its owner crypto has 3") as caught:
        dated({"a": {"engineers": 4}}, owner=owners(crypto=3))
    assert caught.value.problems[0].field == "engineers"


def test_nothing_goes_live_in_a_freeze(dated: Dated) -> None:
    """A change that would end in the freeze ends on the day after it; one of another owner does not care."""
    freeze = {"id": "peak", "why": "year end", "first": "11-15", "last": "01-10", "owners": ["crypto"]}
    other = {"owners": {"algorithms": "network", "governance": "risk"}}
    made = by_subject(dated({"a": {}, "b": other}, freeze=[freeze]))
    assert made["a"].finish == date(2028, 1, 11)
    assert made["a"].why_date is not None
    assert made["a"].why_date.binding is Binding.FREEZE
    assert made["b"].finish == date(2027, 11, 24)


def test_freezes_that_leave_no_day_are_named(dated: Dated) -> None:
    """The smallest set that conflicts: the measure, and the freezes of its owner."""
    rows = [{"id": "one", "why": "x", "first": "01-01", "last": "07-31"},
            {"id": "two", "why": "x", "first": "08-01", "last": "12-31"}]  # fmt: skip
    with pytest.raises(InvalidInput, match=r"freezes one and two of its owner crypto leave no day of the year"):
        dated({"a": {}}, freeze=rows)


def test_a_deadline_that_cannot_hold_says_what_stands_against_it(dated: Dated) -> None:
    """The supplier and the deadline, and nothing else; without the option the plan is made, and is late."""
    hold = DEFAULT_RUN._replace(hold_deadlines=True)
    systems = {"a": {"vendor_ready": "2030-06-01"}, "b": {}}
    with pytest.raises(InvalidInput, match="exclude each other") as caught:
        dated(systems, due=date(2030, 12, 31), run=hold)
    said = [problem.message for problem in caught.value.problems]
    assert len(said) == 2
    assert "due on 31 December 2030" in said[0]
    assert "supplier delivers, on 1 June 2030" in said[1]
    assert by_subject(dated(systems, due=date(2030, 12, 31)))["a"].late
    assert not any(m.late for m in dated({"b": {}}, due=date(2030, 12, 31), run=hold).measures)


def test_hands_too_few_for_the_deadlines_are_named(dated: Dated) -> None:
    """Five years of work of one engineer do not end in four: both deadlines and the owner are the conflict."""
    systems = {"a": {"migration_years": [3, 3]}, "b": {"migration_years": [2, 2]}, "c": {"migration_years": [1, 1]}}
    hold = DEFAULT_RUN._replace(hold_deadlines=True)
    with pytest.raises(InvalidInput) as caught:
        dated(systems, due=date(2030, 12, 31), owner=owners(crypto=1), run=hold)
    said = [problem.message for problem in caught.value.problems]
    assert [("is due on" in words, "crypto can work on 1 thing at once" in words) for words in said] == [
        *[(True, False)] * (len(said) - 1), (False, True),
    ]  # fmt: skip


def test_what_exposes_more_goes_first_whatever_its_rank(dated: Dated) -> None:
    """With one pair of hands the system whose data lasts is moved before the one that carries none."""
    made = by_subject(dated({"empty": {"data_classes": []}, "lasting": {}}, owner=owners(crypto=1)))
    assert made["lasting"].finish < made["empty"].start


def test_a_measure_of_the_same_deadline_is_no_reason_for_another(dated: Dated) -> None:
    """Hands on what is due on the same day are full hands: nothing there is due sooner."""
    systems: dict[str, Row] = {"empty": {"data_classes": []}, "lasting": {"vendor_ready": "2027-06-01"}}
    made = by_subject(dated(systems, due=date(2029, 1, 31), owner=owners(crypto=1)))
    first, second = sorted(made.values(), key=lambda measure: measure.start)
    assert (first.subject, second.subject) == ("empty", "lasting")
    assert second.why_date is not None
    assert second.why_date.binding is Binding.CAPACITY
    assert "sooner" not in second.why_date.because


def test_the_slip_of_a_quarter_is_the_closed_form(dated: Dated, curve: ThreatCurve, as_of: date) -> None:
    """What 91 days more expose, by both ends of the curve, to within the lines between whole years."""
    (measure,) = dated({"a": {}}).measures
    assert measure.why_date is not None
    assert measure.why_date.slip_data_years is not None
    now = years_between(as_of, measure.finish)
    low, high = (
        float(avoidable(end, now + 91 / 365.2425, 30.0) - avoidable(end, now, 30.0)) for end in horizons(curve, as_of)
    )
    assert measure.why_date.slip_data_years.low == pytest.approx(low, rel=0.05)
    assert measure.why_date.slip_data_years.high == pytest.approx(high, rel=0.05)


def test_a_slip_names_the_deadlines_it_misses(dated: Dated) -> None:
    """A measure that ends a month before its deadline misses it by a quarter's slip."""
    (measure,) = dated({"a": {}}, due=date(2027, 12, 24)).measures
    assert (measure.late, measure.why_date and measure.why_date.slip_misses) == (False, (measure.id,))


def test_announced_dates_stay_where_the_estate_says_the_same(dated: Dated) -> None:
    """A plan made again with its own dates announced is the same; no move is counted."""
    systems: dict[str, Row] = {name: {"engineers": 2} for name in "abcd"}
    little = DEFAULT_RUN._replace(effort=0.1)
    first = dated(systems, owner=owners(crypto=3), run=little)
    again = dated(systems, owner=owners(crypto=3), run=little._replace(announced=announced_of(first)))
    assert plan_changes(first, again) == ()
    assert again.roadmap is not None
    assert again.roadmap.moved == 0


def test_the_figures_of_a_small_roadmap_are_proven_and_repeatable(dated: Dated) -> None:
    """The bound is the cost, the gap nothing; equal inputs give equal documents."""
    systems: dict[str, Row] = {name: {"engineers": 2} for name in "abcd"}
    made, again = (dated(systems, owner=owners(crypto=2), due=date(2029, 1, 1)) for _ in range(2))
    assert content_hash(made) == content_hash(again)
    assert made.roadmap is not None
    assert (made.roadmap.proven, made.roadmap.gap) == (True, 0.0)
    assert made.roadmap.late == sum(m.late for m in made.measures)


def test_phases_hold_every_measure_once_and_tell_their_worth(dated: Dated) -> None:
    """Entry, exit, fallback and rollback are there; sunk is not avoided, and no more is avoided than is avoidable."""
    made = dated({"a": {}, "b": {}}, due=date(2030, 12, 31))
    assert sorted(n for p in made.phases for n in p.measures) == sorted(m.id for m in made.measures)
    (phase,) = made.phases
    assert phase.id == "keys"
    assert phase.entry
    assert phase.exit
    assert phase.fallback
    assert phase.rollback
    assert phase.sunk is not None
    assert phase.avoidable is not None
    assert phase.avoided is not None
    assert 0 < phase.avoided.low <= phase.avoidable.low
    assert phase.avoided.high <= phase.avoidable.high
    assert phase.met == ("rules, 1, by 31 December 2030: 2 systems",)
    assert phase.missed == ()


def test_what_is_not_known_counts_at_the_high_end_alone(dated: Dated) -> None:
    """As in the assessment: nothing is promised for a system that may be safe, and a range of retention is a range."""
    spread = [{"id": "ledger", "name": "Ledger", "sensitivity": "critical", "retention_years": 20,
               "retention_range_years": [10, 30]}]  # fmt: skip
    (sure,) = dated({"a": {}}, data_class=spread).phases
    (middle,) = dated({"a": {}}, data_class=[spread[0] | {"retention_range_years": None}]).phases
    (open_,) = [p for p in dated({"a": {}}, verdict=Verdict.UNKNOWN, data_class=spread).phases if p.id == "keys"]
    for one in ("sunk", "avoidable", "avoided"):
        low, high = getattr(sure, one).low, getattr(sure, one).high
        assert low < getattr(middle, one).low
        assert high > getattr(middle, one).high
        assert getattr(open_, one).low == 0
        assert getattr(open_, one).high > 0
    assert sure.sunk is not None
    assert open_.sunk == msgspec.structs.replace(sure.sunk, low=0.0)


def test_leaf_before_root_gains_nothing_and_is_never_planned(dated: Dated) -> None:
    """A signature waits for its anchor, and the anchor is its own phase."""
    systems: dict[str, Row] = {"leaf": {"depends_on": ["root"], "place": "web"}, "root": {"place": "identity"}}
    made = dated(systems, SIG)
    measures = by_subject(made)
    assert measures["root"].finish < measures["leaf"].start
    assert [p.id for p in made.phases] == ["anchors", "signatures"]
    assert measures["leaf"].why_date is not None
    assert measures["leaf"].why_date.binding is Binding.DEPENDENCY


def test_what_is_unknown_today_is_no_rule_that_the_plan_misses(
    dated: Dated, rule: Callable[..., PolicyFinding]
) -> None:
    """A date that has passed, undetermined: that is to be found out. A rule of a policy that binds nobody says so."""
    state = PolicyState.UNDETERMINED
    rules = (rule(date(2019, 3, 21), state=state), rule(date(2035, 12, 31), policy="other", state=PolicyState.NOTICE))
    (phase,) = [p for p in dated({"a": {}}, verdict=Verdict.UNKNOWN, policies=rules).phases if p.id == "keys"]
    assert (phase.met, phase.missed) == (("other (not binding), 1, by 31 December 2035: 1 system",), ())


def test_one_line_a_change_the_gravest_first(dated: Dated) -> None:
    """A supplier that is late makes its measure late; a new system is added, one that went is dropped."""
    due = date(2029, 6, 30)
    old = dated({"a": {}, "b": {}, "gone": {}}, due=due)
    new = dated({"a": {"vendor_ready": "2029-01-01"}, "b": {}, "new": {}}, due=due)
    changes = plan_changes(old, new)
    assert [(c.change, c.what.rpartition(".")[2]) for c in changes] == [
        (PlanChangeKind.NOW_LATE, "a"), (PlanChangeKind.ADDED, "new"), (PlanChangeKind.DROPPED, "gone"),
    ]  # fmt: skip
    assert "supplier" in changes[0].why
    assert "later" in changes[0].after


def test_an_estate_with_one_site_and_nothing_else_has_an_empty_roadmap(dated: Dated) -> None:
    """No measure, no phase, nothing late, and it is the best there is."""
    made = dated({})
    assert (made.measures, made.phases) == ((), ())
    assert made.roadmap is not None
    assert (made.roadmap.proven, made.roadmap.late, made.roadmap.gap) == (True, 0, 0.0)


def test_without_or_tools_the_serial_schedule_is_the_answer(dated: Dated, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, keeps every rule, and still tells its bound."""
    monkeypatch.setattr("keystrand.plan.roadmap_search.has_solver", lambda: False)
    made = dated({name: {"engineers": 2} for name in "abc"}, owner=owners(crypto=2))
    assert made.roadmap is not None
    assert made.roadmap.method == "serial"
    starts = sorted(m.start for m in made.measures)
    assert all((late - early).days >= ONE_YEAR for early, late in pairwise(starts))
    assert {m.kind for m in made.measures} == {MeasureKind.MIGRATE_KEY_ESTABLISHMENT}
