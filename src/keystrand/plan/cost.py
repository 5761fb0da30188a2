"""The cost of a plan over its whole life, beside doing nothing and post-quantum cryptography only.

All options are priced with the same draws (common random numbers), so that a difference between two of them is not
blurred by what they share. Equal inputs give equal documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.estate import Estate
from keystrand.model.horizon import Horizon
from keystrand.model.observation import Outcome
from keystrand.model.prices import CostCategory, Factor, PriceLevel
from keystrand.model.stages import Approach, Assessment, MeasureKind, PilotReport, Plan
from keystrand.model.stages.costed import (
    CategoryCost,
    CostComparison,
    CostOption,
    CostReport,
    OptionKind,
    PhaseCost,
    ScenarioCost,
)
from keystrand.model.units import Interval
from keystrand.plan import cost_words
from keystrand.plan.cost_figures import estimate, figure, interval
from keystrand.plan.cost_inputs import Inputs, draw
from keystrand.plan.cost_knowing import information, swing_parts
from keystrand.plan.cost_lines import MIGRATIONS, QUANTUM, Line, lines_of, link_drivers, system_drivers
from keystrand.plan.cost_risk import Saving, reduction
from keystrand.plan.cost_sensitivity import HIGH_SCORE
from keystrand.plan.cost_setting import Setting, setting_of
from keystrand.plan.cost_shown import shown_for_cost
from keystrand.plan.cost_steps import frontier_steps, portfolio, possible_steps
from keystrand.plan.cost_totals import MIDDLE, Bill, Priced, bill_of, price
from keystrand.plan.cost_ways import judged, ways_of

Values = NDArray[np.float64]

SCENARIOS = 10_000
"""Draws by default: two seeds then differ by less than 0.5 % in the 95th percentile (tested)."""
SEED = 20261126
MOST_UNVERIFIED = 0.2
"""Beyond this share of the cost on unverified defaults, totals are marked as not to be used. A convention."""
MOST_FILL_IN = 8
NAMED: tuple[tuple[str, str, dict[Factor, float]], ...] = (
    ("dear-devices", "devices and their support at their 90th percentile", {Factor.DEVICES: HIGH_SCORE}),
    ("dear-people", "wages and day rates at their 90th percentile", {Factor.WAGES: HIGH_SCORE}),
    ("dear-fibre-and-sites", "fibre and trusted sites at their 90th percentile",
     {Factor.FIBRE: HIGH_SCORE, Factor.SITES: HIGH_SCORE}),
    ("slow-work", "every effort and every migration at its 90th percentile", {Factor.EFFORT: HIGH_SCORE}),
    ("all-dear", "all of these at once",
     dict.fromkeys(Factor, HIGH_SCORE)),
)  # fmt: skip


class Options(NamedTuple):
    """How the options are drawn and judged."""

    scenarios: int = SCENARIOS
    seed: int = SEED
    most_unverified: float = MOST_UNVERIFIED


class Costed(NamedTuple):
    """One option, scenario by scenario."""

    kind: OptionKind
    bill: Bill
    priced: Priced
    saved: Values
    hours: Values


def make_cost(  # noqa: PLR0913 - what every stage takes, the prices and the threat curve
    estate: Estate,
    assessment: Assessment,
    plan: Plan,
    inputs: Inputs,
    horizons: tuple[Horizon, Horizon],
    *,
    options: Options,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
    pilot: PilotReport | None = None,
) -> CostReport:
    """Return what `plan` costs and saves within the estate's horizon, from its day on, and what `pilot` showed."""
    draws = draw(inputs, scenarios=options.scenarios, seed=options.seed)
    setting = setting_of(estate, assessment, plan, inputs, horizons, draws)
    costed = [_costed(kind, setting) for kind in OptionKind]
    ways = {decision.segment: ways_of(setting, setting.segments[decision.segment]) for decision in plan.decisions}
    steps = possible_steps(setting, ways)
    listed, not_listed = frontier_steps(steps, setting)
    return CostReport(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=plan.as_of,
        created_at=created_at,
        made_from=made_from,
        seed=options.seed,
        coverage=_coverage(costed, inputs),
        currency=inputs.currency,
        scenarios=options.scenarios,
        data_year=cost_words.data_year(by_volume=setting.weight is not None),
        sunk_data_years=_sunk(assessment, setting.weight),
        options=tuple(_option(one, inputs, estate, options.most_unverified) for one in costed),
        phases=tuple(_phases(setting)),
        comparisons=tuple(_comparisons(costed, inputs.currency)),
        named_scenarios=tuple(_named(costed, setting, options)),
        swings=tuple(swing_parts(costed[-1].bill, setting)),
        information=tuple(information(costed[1].saved, costed[1].priced.present, ways, setting)),
        ways=tuple(w for d in plan.decisions for w in judged(setting, d.segment, d.chosen, ways[d.segment])),
        steps=listed,
        steps_not_listed=not_listed,
        portfolio=portfolio(steps, setting, _committed(setting)),
        assumptions=cost_words.assumptions(inputs, estate.planning, by_volume=setting.weight is not None),
        shown=shown_for_cost(pilot) if pilot is not None else (),
    )


def _sunk(assessment: Assessment, weight: Mapping[str, float] | None) -> Interval:
    """Return the sum over all exposures, from the sum of the low ends to that of the high ends: both of one curve."""
    found = [(weight[e.system] if weight else 1.0, e.sunk_data_years) for e in assessment.exposures]
    return Interval(
        low=figure(sum(w * one.low for w, one in found)), high=figure(sum(w * one.high for w, one in found))
    )


def _lines(kind: OptionKind, setting: Setting) -> Iterable[Line]:
    if kind is not OptionKind.DO_NOTHING:
        yield from lines_of(setting.scope, setting.plan, links=kind is OptionKind.PLAN)


def _costed(kind: OptionKind, setting: Setting) -> Costed:
    bill = bill_of(_lines(kind, setting), setting.inputs.prices, setting.discount.size)
    return Costed(kind, bill, price(bill, setting.draws, setting.discount), _saved(kind, setting),
                  _hours(kind, setting))  # fmt: skip


def _saved(kind: OptionKind, setting: Setting) -> Values:
    """Return the data-years that the option saves: each system by its move, then what links add on top."""
    if kind is OptionKind.DO_NOTHING:
        return setting.none
    total = Saving()
    for one in setting.savings.values():
        total = total.plus(one)
    saved = reduction(Approach.PQC_ONLY, total, total, 0, setting.draws)
    if kind is OptionKind.PQC_ONLY:
        return saved
    for decision in setting.plan.decisions:
        if decision.chosen in QUANTUM:
            parts, nodes = setting.parts(decision.segment), len(setting.segments[decision.segment].via)
            saved = saved + reduction(decision.chosen, *parts, nodes, setting.draws)
            saved = saved - reduction(Approach.PQC_ONLY, *parts, nodes, setting.draws)
    return saved


def _hours(kind: OptionKind, setting: Setting) -> Values:
    """Return the person-hours a year that the option adds to operation once everything is done."""
    if kind is OptionKind.DO_NOTHING:
        return setting.none
    migrated = sum(m.kind in MIGRATIONS for m in setting.plan.measures)
    total = setting.hours(tuple((rate, n * migrated) for rate, n in system_drivers()))
    if kind is OptionKind.PLAN:
        for decision in setting.plan.decisions:
            if decision.chosen is not Approach.QUANTUM_INTERNET_TESTBED:
                total = total + setting.hours(link_drivers(setting.segments[decision.segment], decision.chosen))
    return total


def _option(one: Costed, inputs: Inputs, estate: Estate, most_unverified: float) -> CostOption:
    planning = estate.planning
    inflation = (1.0 + planning.inflation_rate) ** (np.arange(planning.horizon_years) + MIDDLE)
    weak = {n: abs(c) for n, c in one.priced.by_item.items() if inputs.prices[n].level is PriceLevel.UNVERIFIED_DEFAULT}
    whole = sum(abs(c) for c in one.priced.by_item.values())
    share = sum(weak.values()) / whole if whole else 0.0
    worst = sorted(weak, key=lambda name: (-weak[name], name))
    return CostOption(
        option=one.kind,
        cost=estimate(one.priced.present, inputs.currency),
        by_year=tuple(interval(column) for column in (one.priced.cash * inflation).T),
        by_category=tuple(
            CategoryCost(category=c, cost=estimate(one.priced.by_category[c], inputs.currency))
            for c in CostCategory
            if c in one.priced.by_category
        ),
        saved=estimate(one.saved, "data-years"),
        operation=estimate(one.hours, "person-hours a year"),
        unverified_share=figure(share),
        usable=share <= most_unverified and not one.bill.missing,
        fill_in=(*one.bill.missing, *worst)[:MOST_FILL_IN] if share > most_unverified or one.bill.missing else (),
    )


def _phases(setting: Setting) -> Iterable[PhaseCost]:
    for phase in setting.plan.phases:
        lines = lines_of(setting.scope, setting.plan, links=True, only=frozenset(phase.measures))
        cost = setting.worth(lines)
        yield PhaseCost(phase=phase.id, title=phase.title, cost=estimate(cost, setting.inputs.currency))


def _comparisons(costed: Sequence[Costed], currency: str) -> Iterable[CostComparison]:
    for n, one in enumerate(costed):
        for other in costed[n + 1 :]:
            yield CostComparison(
                option=one.kind,
                other=other.kind,
                cheaper=figure(float(np.mean(one.priced.present < other.priced.present))),
                difference=estimate(other.priced.present - one.priced.present, currency),
            )


def _named(costed: Sequence[Costed], setting: Setting, options: Options) -> Iterable[ScenarioCost]:
    for name, what, held in NAMED:
        draws = draw(setting.inputs, scenarios=options.scenarios, seed=options.seed, held=held)
        for one in costed:
            cost = price(one.bill, draws, setting.discount).present
            yield ScenarioCost(scenario=name, what=what, option=one.kind,
                               cost=estimate(cost, setting.inputs.currency))  # fmt: skip


def _committed(setting: Setting) -> tuple[float, float]:
    """Return the expected money and hours of what is not weighed in data-years: signatures, owners, enquiries."""
    lines = [
        line
        for line in _lines(OptionKind.PQC_ONLY, setting)
        if not line.subject.startswith(f"{MeasureKind.MIGRATE_KEY_ESTABLISHMENT}.")
    ]
    signatures = sum(m.kind is MeasureKind.MIGRATE_SIGNATURE for m in setting.plan.measures)
    hours = setting.hours(tuple((rate, n * signatures) for rate, n in system_drivers()))
    return float(setting.worth(lines).mean()), float(hours.mean())


def _coverage(costed: Sequence[Costed], inputs: Inputs) -> Coverage:
    missing = dict.fromkeys(item for one in costed for item in one.bill.missing)
    used = dict.fromkeys(kind.item for one in costed for kind in one.bill.kinds)
    gaps = tuple(
        Gap(what=f"price of {item}", outcome=Outcome.NONE, reason=f"no price for: {inputs.prices[item].name}")
        for item in missing
    )
    return Coverage(unit="price", looked_at=len(used) + len(missing), answered=len(used), gaps=gaps)
