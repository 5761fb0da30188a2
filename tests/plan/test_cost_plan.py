"""The cost of a whole plan: its options, what they save, what cannot be used; equal inputs give equal bytes."""

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge.catalogue import curves
from keystrand.edge.price_lists import price_lists, rate_lists
from keystrand.edge.scenarios import scenario_set
from keystrand.formats.documents import encode
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage
from keystrand.model.estate import Estate
from keystrand.model.horizon import avoidable, horizons
from keystrand.model.planning import Planning, Price
from keystrand.model.prices import CostCategory, PriceLevel
from keystrand.model.stages import Approach, Assessment, Exposure, Finding, MeasureKind, Plan
from keystrand.model.stages.costed import CostOption, CostReport, OptionKind, Standing
from keystrand.model.units import Interval
from keystrand.plan.cost import Options, make_cost
from keystrand.plan.cost_inputs import draw, inputs_of
from keystrand.plan.cost_lines import Scope, lines_of
from keystrand.plan.cost_risk import Saving, reduction

AS_OF = date(2026, 11, 24)
FEW = Options(scenarios=400, seed=1)


def _exposure(system: str, verdict: Verdict = Verdict.QUANTUM_VULNERABLE, years: float = 30.0) -> Exposure:
    nothing = Interval(low=0.0, high=0.0)
    return Exposure(
        system=system, data_class="ledger", shelf_life_years=years, migration_years=Interval(low=1.0, high=2.0),
        shelf_life_exceeds_horizon=nothing, avoidable_data_years=nothing,
        sunk_data_years=Interval(low=5.0, high=50.0), delay_cost_data_years_per_year=nothing, verdict=verdict,
    )  # fmt: skip


def _assessment(*exposures: Exposure) -> Assessment:
    return msgspec.convert(
        {"kind": "assessment", "format_version": "1.0", "tool_version": "0", "as_of": "2026-11-24",
         "created_at": "2026-11-24T00:00:00Z", "made_from": [], "seed": None,
         "coverage": Coverage(unit="finding", looked_at=0, answered=0), "findings": [], "priorities": [],
         "policies": [], "assumptions": [], "exposures": exposures},
        Assessment, from_attributes=True,
    )  # fmt: skip


def _cost(estate: Estate, plan: Plan, *exposures: Exposure, options: Options = FEW) -> CostReport:
    inputs = inputs_of(estate, price_lists(), rate_lists(), scenario_set())
    return make_cost(
        estate, _assessment(*exposures), plan, inputs, horizons(curves()[0], plan.as_of), options=options,
        made_from=(), created_at=plan.created_at, tool_version="0",
    )  # fmt: skip


def _of(report: CostReport, kind: OptionKind) -> CostOption:
    return next(one for one in report.options if one.option is kind)


@pytest.fixture(scope="module")
def case(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> tuple[Estate, Plan]:
    """Return an estate with a quantum link worth having, and its plan."""
    of = estate()
    return of, plan(of, finding(), finding(Function.SIGNATURE))


def test_doing_nothing_and_post_quantum_only_are_always_among_the_options(case: tuple[Estate, Plan]) -> None:
    """Nothing costs and saves nothing; the link of the plan costs more than post-quantum only, in every scenario."""
    report = _cost(*case, _exposure("replication"))
    assert [one.option for one in report.options] == list(OptionKind)
    nothing = _of(report, OptionKind.DO_NOTHING)
    assert (nothing.cost.value, nothing.saved.value, nothing.operation.value) == (0.0, 0.0, 0.0)
    pqc, plan = _of(report, OptionKind.PQC_ONLY), _of(report, OptionKind.PLAN)
    assert 0 < pqc.cost.low < plan.cost.low
    assert pqc.operation.high < plan.operation.low
    (link,) = [c for c in report.comparisons if (c.option, c.other) == (OptionKind.PQC_ONLY, OptionKind.PLAN)]
    assert link.cheaper == 1.0
    assert link.difference.low > 0


def test_a_difference_is_sharper_than_its_two_ends(case: tuple[Estate, Plan]) -> None:
    """Common random numbers: the spread of the difference is less than that of two independent costs."""
    report = _cost(*case, _exposure("replication"))
    (link,) = [c for c in report.comparisons if (c.option, c.other) == (OptionKind.PQC_ONLY, OptionKind.PLAN)]
    pqc, plan = _of(report, OptionKind.PQC_ONLY).cost, _of(report, OptionKind.PLAN).cost
    apart = np.hypot(pqc.high - pqc.low, plan.high - plan.low)
    assert link.difference.high - link.difference.low < apart


def test_equal_inputs_give_equal_bytes_and_another_seed_does_not(case: tuple[Estate, Plan]) -> None:
    """The document is a function of its inputs and its seed, which it names."""
    one, again = (_cost(*case, _exposure("replication")) for _ in range(2))
    assert encode(one) == encode(again)
    assert one.seed == FEW.seed
    assert encode(_cost(*case, _exposure("replication"), options=Options(400, 2))) != encode(one)


def test_the_saving_is_the_closed_form_between_two_dates(case: tuple[Estate, Plan]) -> None:
    """Against E(T) - E(M) of the horizon itself, less the odds of the end point and of the algorithm; nothing sunk."""
    estate, plan = case
    low, high = horizons(curves()[0], AS_OF)
    (moved,) = [m for m in plan.measures if m.id == "migrate-key-establishment.replication"]
    years = (moved.finish - AS_OF).days / 365.2425
    ends = [float(avoidable(h, 10.0, 30.0) - avoidable(h, years, 30.0)) for h in (low, high)]
    report = _cost(estate, plan, _exposure("replication"))
    saved = _of(report, OptionKind.PQC_ONLY).saved
    assert min(ends) * (1 - 0.3) * (1 - 0.1) ** 2 <= saved.low <= saved.high <= max(ends) * (1 - 0.05)
    assert saved.high - saved.low > 0.5 * (max(ends) - min(ends))
    assert (report.sunk_data_years.low, report.sunk_data_years.high) == (5.0, 50.0)


def test_data_years_weigh_by_volume_where_every_system_states_it(case: tuple[Estate, Plan]) -> None:
    """Both what is saved and what is sunk, and the document says in which unit."""
    estate, plan = case
    system = msgspec.structs.replace(estate.system[0], volume_per_year=4.0)
    plain = _cost(estate, plan, _exposure("replication"))
    weighed = _cost(msgspec.structs.replace(estate, system=(system,)), plan, _exposure("replication"))
    saved = [_of(one, OptionKind.PQC_ONLY).saved.value for one in (plain, weighed)]
    assert saved[1] == pytest.approx(4 * saved[0], rel=1e-4)
    assert weighed.sunk_data_years.high == 4 * plain.sunk_data_years.high
    assert "volume" in weighed.data_year
    assert "weigh alike" in plain.data_year


def test_an_unknown_verdict_may_save_nothing(case: tuple[Estate, Plan]) -> None:
    """It counts at the high end and never at the low one."""
    sure = _of(_cost(*case, _exposure("replication")), OptionKind.PQC_ONLY).saved
    unsure = _of(_cost(*case, _exposure("replication", Verdict.UNKNOWN)), OptionKind.PQC_ONLY).saved
    assert unsure.low < 0.2 * sure.low
    assert unsure.high < sure.high


def test_totals_on_unverified_prices_are_marked_and_say_what_to_fill_in(
    case: tuple[Estate, Plan],
) -> None:
    """With the largest parts as the organisation's own prices, they may be used."""
    estate, plan = case
    report = _cost(estate, plan, _exposure("replication"))
    weak = _of(report, OptionKind.PLAN)
    assert (weak.usable, weak.unverified_share) == (False, 1.0)
    assert weak.fill_in
    own = tuple(
        Price(item=item.id, low=item.low or 0, likely=item.likely or 0, high=item.high or 0, currency="EUR",
              source="offer", as_of=AS_OF)
        for item in price_lists()[0].item if item.ends
    )  # fmt: skip
    priced = _of(_cost(msgspec.structs.replace(estate, price=own), plan, _exposure("replication")), OptionKind.PLAN)
    assert (priced.usable, priced.unverified_share, priced.fill_in) == (True, 0.0, ())
    assert priced.cost == weak.cost
    half = _cost(msgspec.structs.replace(estate, price=own[:6]), plan, _exposure("replication"))
    assert 0 < _of(half, OptionKind.PLAN).unverified_share < 1
    assert not set(_of(half, OptionKind.PLAN).fill_in) & {one.item for one in own[:6]}


def test_an_estate_of_one_site_and_nothing_else_costs_nothing(
    case: tuple[Estate, Plan],
) -> None:
    """No system, no segment: all options are there, and all are 0; no portfolio is made up."""
    of, plan = case
    plan = msgspec.structs.replace(plan, decisions=(), measures=())
    of = msgspec.structs.replace(of, site=of.site[:1], segment=(), system=(), data_class=(),
                                 planning=Planning(budget=1000.0))  # fmt: skip
    report = _cost(of, plan)
    assert [one.cost.high for one in report.options] == [0.0, 0.0, 0.0]
    assert (report.swings, report.information, report.ways, report.steps) == ((), (), (), ())
    assert report.portfolio is not None
    assert (report.portfolio.systems, report.portfolio.links) == ((), ())


def test_every_category_of_a_link_is_priced(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding]
) -> None:
    """The whole life of a link with a trusted node, from the purchase to the disposal."""
    of = estate(via=["hub"], reach="long-haul", continuity="may-wait")
    option = _of(_cost(of, plan(of, finding()), _exposure("replication")), OptionKind.PLAN)
    found = {part.category for part in option.by_category}
    assert found >= set(CostCategory) - {CostCategory.REFRESH, CostCategory.AVOIDED}


def test_a_refresh_that_happens_anyway_is_taken_off(
    estate: Callable[..., Estate], plan: Callable[..., Plan], finding: Callable[..., Finding],
    system_row: dict[str, Any],
) -> None:  # fmt: skip
    """A system whose refresh comes before its migration ends is not bought twice."""
    anyway = estate(systems=[system_row | {"refresh": "2027-06-30"}])
    plain = estate()
    costs = [
        _of(_cost(of, plan(of, finding()), _exposure("replication")), OptionKind.PQC_ONLY) for of in (anyway, plain)
    ]
    categories = [{part.category: part.cost for part in one.by_category} for one in costs]
    assert categories[0][CostCategory.AVOIDED].high <= 0
    assert CostCategory.AVOIDED not in categories[1]


def test_more_budget_never_saves_less(case: tuple[Estate, Plan]) -> None:
    """Property of the portfolio over limits, and nothing is chosen beyond them."""
    estate, plan = case
    saved = []
    for budget in (1.0, 60_000.0, 300_000.0, 1e6, 1e8):
        of = msgspec.structs.replace(estate, planning=Planning(budget=budget))
        best = _cost(of, plan, _exposure("replication")).portfolio
        assert best is not None
        assert best.expected_cost + best.committed_cost <= budget * 1.0001 or not best.systems
        saved.append(best.expected_saved)
    assert saved == sorted(saved)
    assert saved[0] == 0 < saved[-1]


def test_post_quantum_comes_before_the_link(case: tuple[Estate, Plan]) -> None:
    """In the ways, the combined link is beyond post-quantum only; in the steps it waits for the system."""
    report = _cost(*case, _exposure("replication"))
    ways = {way.approach: way for way in report.ways}
    assert ways[None].standing is Standing.BASE
    assert ways[Approach.PQC_ONLY].standing is Standing.EFFICIENT
    assert [step.subject for step in report.steps][:1] == ["replication"]
    ratios = [way.saved_per_hour.value for way in report.ways if way.saved_per_hour]
    assert ratios == sorted(ratios, reverse=True)
    for told in report.information:
        worths = [one.worth for one in told.inputs]
        assert worths == sorted(worths, reverse=True)
        assert max(worths) <= told.perfect


def test_a_dearer_price_never_makes_an_option_cheaper(case: tuple[Estate, Plan]) -> None:
    """Item by item, in its own draws; nothing but the items of the option moves it."""
    estate, plan = case
    plain = _cost(estate, plan, _exposure("replication"))
    for item in ("qkd-pair", "engineer-day", "key-server"):
        (ends,) = [one.ends for one in price_lists()[0].item if one.id == item]
        assert ends
        dear = Price(item=item, low=2 * ends[0], likely=2 * ends[1], high=2 * ends[2], currency="EUR", source="offer",
                     as_of=AS_OF)  # fmt: skip
        changed = _cost(msgspec.structs.replace(estate, price=(dear,)), plan, _exposure("replication"))
        for one, other in zip(plain.options, changed.options, strict=True):
            assert one.cost.low <= other.cost.low
            assert one.cost.high <= other.cost.high
        assert changed.options[-1].cost.value > plain.options[-1].cost.value
        assert [one.saved for one in changed.options] == [one.saved for one in plain.options]


def test_phases_add_up_to_the_plan(case: tuple[Estate, Plan]) -> None:
    """What a subset of the measures costs, and what the others cost, is what all cost: nothing is upgraded twice."""
    estate, plan = case
    scope = Scope(estate, plan.as_of, 10.0)
    everything = sorted(lines_of(scope, plan, links=True), key=str)
    halves = [frozenset(m.id for m in plan.measures[n::2]) for n in (0, 1)]
    parted = [line for half in halves for line in lines_of(scope, plan, links=True, only=half)]
    assert sorted(parted, key=str) == everything
    report = _cost(estate, plan, _exposure("replication"))
    assert [one.phase for one in report.phases] == [phase.id for phase in plan.phases]
    assert all(one.cost.low >= 0 for one in report.phases)


share = st.floats(0, 100)


@given(share, share, share, st.integers(0, 6))
def test_a_combination_never_saves_less_than_post_quantum_alone(low: float, more: float, part: float, n: int) -> None:
    """In every scenario; and more nodes never save more."""
    draws = draw(inputs_of(_EMPTY, price_lists(), rate_lists(), scenario_set()), scenarios=16, seed=1)
    whole = Saving(low, low + more)
    late = Saving(low * part / 100, (low + more) * part / 100)
    alone = reduction(Approach.PQC_ONLY, whole, whole, 0, draws)
    both, nearer = (reduction(Approach.HYBRID, whole, late, nodes, draws) for nodes in (n + 1, n))
    assert (both >= alone - 1e-9).all()
    assert (nearer >= both - 1e-9).all()
    assert (both <= whole.drawn(draws) + 1e-9).all()
    assert (reduction(Approach.QKD_TRUSTED_NODE, whole, late, n, draws) <= whole.drawn(draws) + 1e-9).all()
    np.testing.assert_array_equal(reduction(Approach.QUANTUM_INTERNET_TESTBED, whole, late, 0, draws), alone)


_EMPTY = msgspec.convert(
    {"format_version": "1", "organisation": {"name": "Bank", "sector": "banking"}, "region": [], "trust_zone": [],
     "owner": [], "site": [], "data_class": [], "system": []}, Estate
)  # fmt: skip


def test_a_measured_rate_takes_the_place_of_the_assumed_one() -> None:
    """And the result names where it comes from."""
    rates = {rate.id: rate for one in rate_lists() for rate in one.rate}
    seen = msgspec.structs.replace(rates["qkd-device"], low=1.0, likely=2.0, high=3.0, level=PriceLevel.MEASURED)
    made = inputs_of(_EMPTY, price_lists(), rate_lists(), scenario_set(), {"qkd-device": seen})
    assert made.rates["qkd-device"].level is PriceLevel.MEASURED
    assert made.rates["qkd-device"].ends == (1.0, 2.0, 3.0)


@pytest.mark.slow
def test_a_hundred_thousand_systems_are_costed(case: tuple[Estate, Plan]) -> None:
    """The cost of many equal systems is that of one, so many times; the steps are cut and the rest is counted."""
    many, (estate, plan) = 100_000, case
    of_one = [m for m in plan.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT]
    names = [f"s{n}" for n in range(many)]
    system = msgspec.structs.replace(estate.system[0], segments=())
    alone = msgspec.structs.replace(plan, decisions=(), phases=(), measures=tuple(of_one))
    one = _cost(msgspec.structs.replace(estate, segment=(), system=(system,)), alone, _exposure("replication"))
    of = msgspec.structs.replace(
        estate, segment=(), system=tuple(msgspec.structs.replace(system, id=name) for name in names)
    )
    measures = tuple(
        msgspec.structs.replace(of_one[0], id=f"{MeasureKind.MIGRATE_KEY_ESTABLISHMENT}.{name}", subject=name)
        for name in names
    )
    report = _cost(of, msgspec.structs.replace(alone, measures=measures), *map(_exposure, names))
    for kind in (OptionKind.PQC_ONLY, OptionKind.PLAN):
        assert _of(report, kind).cost.value == pytest.approx(many * _of(one, kind).cost.value, rel=1e-3)
        assert _of(report, kind).saved.value == pytest.approx(many * _of(one, kind).saved.value, rel=1e-3)
    assert len(report.steps) + report.steps_not_listed == many
