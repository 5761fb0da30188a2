"""The ways for each segment, the steps from the best to the worst, and the best set within the limits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.formats.wording import joined
from keystrand.model.estate import Segment
from keystrand.model.horizon import Horizon
from keystrand.model.stages import Approach, Fit, Measure, MeasureKind, Plan
from keystrand.model.stages.costed import FrontierStep, Portfolio, SegmentWay, Standing
from keystrand.plan import cost_risk
from keystrand.plan.approach import NAMES
from keystrand.plan.cost_figures import estimate, figure
from keystrand.plan.cost_frontier import before, incremental, standings, stays
from keystrand.plan.cost_inputs import Draws, Inputs
from keystrand.plan.cost_lines import (
    QUANTUM,
    Drivers,
    Line,
    Scope,
    builds,
    link,
    link_drivers,
    migration,
    pilot,
    system_drivers,
)
from keystrand.plan.cost_portfolio import Choice, best
from keystrand.plan.cost_risk import Exposed, Saving, reduction
from keystrand.plan.cost_totals import bill_of, price

Values = NDArray[np.float64]

MOST_STEPS = 500
"""Steps listed; the sums go on beyond them."""


_CONSIDERED = (Fit.CHOSEN, Fit.POSSIBLE)


class Setting(NamedTuple):
    """What every way is reckoned with."""

    scope: Scope
    plan: Plan
    inputs: Inputs
    draws: Draws
    discount: Values
    horizons: tuple[Horizon, Horizon]
    exposed: Mapping[str, Exposed]

    def worth(self, lines: Sequence[Line]) -> Values:
        """Return the present value of `lines` in each scenario."""
        return price(bill_of(lines, self.inputs.prices, self.discount.size), self.draws, self.discount).present

    def hours(self, drivers: Drivers) -> Values:
        """Return the person-hours a year that `drivers` take in each scenario."""
        total = np.zeros(self.draws.values.shape[1])
        for rate, count in drivers:
            total += count * self.draws.of(rate)
        return total


class Way(NamedTuple):
    """One way in numbers, scenario by scenario."""

    approach: Approach | None
    saved: Values
    hours: Values
    cost: Values


def moves(plan: Plan) -> dict[str, Measure]:
    """Return, by system, the measure that moves its key exchange."""
    return {m.subject: m for m in plan.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT}


def link_lines(setting: Setting, segment: Segment, approach: Approach) -> list[Line]:
    """Return the lines of piloting and running a link on `segment`, over the fallback that its systems already have."""
    build = builds(setting.scope, setting.plan)[segment.id]
    name = f"link.{segment.id}"
    made = [*pilot(name, segment, build.pilot)]
    if approach is not Approach.QUANTUM_INTERNET_TESTBED:
        made += link(setting.scope, name, segment, approach, build.deploy)
    return made


def ways_of(setting: Setting, segment: Segment) -> list[Way]:
    """Return the ways for one segment: as it is, post-quantum only, and each link that the plan holds possible."""
    none = np.zeros(setting.draws.values.shape[1])
    decision = next(d for d in setting.plan.decisions if d.segment == segment.id)
    build = builds(setting.scope, setting.plan)[segment.id].deploy.end
    whole, late = cost_risk.of_segment(segment, setting.scope.estate, dict(setting.exposed), setting.horizons, build)
    systems = [s for s in cost_risk.users(setting.scope.estate, segment) if s.id in moves(setting.plan)]
    beneath = [line for s in systems for line in migration(setting.scope, s, moves(setting.plan)[s.id], first=True)]
    baseline = tuple((rate, count * len(systems)) for rate, count in system_drivers())
    possible = [o.approach for o in decision.options if o.approach is Approach.PQC_ONLY or o.fit in _CONSIDERED]
    made = [_way(setting, segment, approach, (whole, late), beneath, baseline) for approach in possible]
    return [Way(None, none, none, none), *made]


def _way(
    setting: Setting,
    segment: Segment,
    approach: Approach,
    savings: tuple[Saving, Saving],
    beneath: list[Line],
    baseline: Drivers,
) -> Way:
    lines, drivers = beneath, baseline
    if approach in QUANTUM:
        lines = [*beneath, *link_lines(setting, segment, approach)]
        drivers = (*baseline, *link_drivers(segment, approach))
    saved = reduction(approach, *savings, len(segment.via), setting.draws)
    return Way(approach, saved, setting.hours(drivers), setting.worth(lines))


def segment_ways(setting: Setting, segment: Segment, planned: Approach) -> Iterator[SegmentWay]:
    """Yield how each way for `segment` stands, by expected effort and expected saving."""
    ways = ways_of(setting, segment)
    effort, saved = [float(w.hours.mean()) for w in ways], [float(w.saved.mean()) for w in ways]
    stand, previous = standings(effort, saved), before(effort, saved)
    share = stays(np.array([w.hours for w in ways]), np.array([w.saved for w in ways]))
    for n, way in enumerate(ways):
        ratio = None
        if n in previous:
            other = ways[previous[n]]
            ratio = incremental(way.hours - other.hours, way.saved - other.saved)
        yield SegmentWay(
            segment=segment.id,
            approach=way.approach,
            planned=way.approach is planned,
            saved=estimate(way.saved, "data-years"),
            operation=estimate(way.hours, "person-hours a year"),
            cost=estimate(way.cost, setting.inputs.currency),
            standing=stand[n],
            saved_per_hour=None if ratio is None else estimate(ratio, "data-years for each person-hour a year"),
            stays=figure(float(share[n])),
            against=_against(n, stand, ways, effort, saved),
        )


def _against(n: int, stand: Sequence[Standing], ways: Sequence[Way], effort: Sequence[float],
             saved: Sequence[float]) -> str:  # fmt: skip
    if stand[n] is Standing.EXTENDEDLY_DOMINATED:
        return "a mix of the ways before and after it saves more for the same effort"
    if stand[n] is not Standing.DOMINATED:
        return ""
    better = [m for m in range(len(ways)) if m != n and saved[m] >= saved[n] and effort[m] <= effort[n]]
    return f"{joined([name_of(ways[m].approach) for m in better])}: at least as much for no more effort"


def name_of(approach: Approach | None) -> str:
    """Return the way in words."""
    return NAMES[approach] if approach else "as it is"


class Step(NamedTuple):
    """One thing that can be done, scenario by scenario; `needs`: the systems that must move first."""

    subject: str
    approach: Approach
    saved: Values
    hours: Values
    cost: Values
    needs: tuple[str, ...] = ()


def possible_steps(setting: Setting) -> list[Step]:
    """Return the move of each system's key exchange, then each possible link beyond it."""
    systems = {s.id: s for s in setting.scope.estate.system}
    found = [_move(setting, systems[name].id, measure) for name, measure in moves(setting.plan).items()]
    for segment in setting.scope.estate.segment:
        ways = ways_of(setting, segment)
        base = next(w for w in ways if w.approach is Approach.PQC_ONLY)
        users = tuple(s.id for s in cost_risk.users(setting.scope.estate, segment) if s.id in moves(setting.plan))
        found += [
            Step(segment.id, w.approach, w.saved - base.saved, w.hours - base.hours, w.cost - base.cost, users)
            for w in ways
            if w.approach in QUANTUM
        ]
    return found


def _move(setting: Setting, name: str, measure: Measure) -> Step:
    system = next(s for s in setting.scope.estate.system if s.id == name)
    whole = cost_risk.saving(setting.exposed[name], setting.horizons) if name in setting.exposed else Saving()
    lines = list(migration(setting.scope, system, measure, first=True))
    saved = reduction(Approach.PQC_ONLY, whole, whole, 0, setting.draws)
    return Step(name, Approach.PQC_ONLY, saved, setting.hours(system_drivers()), setting.worth(lines))


def frontier_steps(steps: Sequence[Step]) -> list[FrontierStep]:
    """Return the steps that save anything, the most for an hour first, and no link before its systems."""
    made: list[FrontierStep] = []
    saved = hours = cost = 0.0
    for n, step in enumerate(_ordered(steps), start=1):
        saved, hours, cost = saved + step.saved.mean(), hours + step.hours.mean(), cost + step.cost.mean()
        made.append(
            FrontierStep(
                step=n,
                subject=step.subject,
                what=name_of(step.approach),
                saved_per_hour=estimate(incremental(step.hours, step.saved), "data-years for each person-hour a year"),
                saved=figure(saved),
                operation=figure(hours),
                cost=figure(cost),
            )
        )
    return made[:MOST_STEPS]


def _ordered(steps: Sequence[Step]) -> list[Step]:
    """Return the steps by falling ratio of the means; of a segment's links only the best, once its systems have moved.

    A link that would come before one of its systems waits for the last of them.
    """
    ratio = {id(s): s.saved.mean() / s.hours.mean() for s in steps if s.saved.mean() > 0 and s.hours.mean() > 0}
    useful = sorted((s for s in steps if id(s) in ratio), key=lambda s: (-ratio[id(s)], s.subject, s.approach))
    place = {s.subject: n for n, s in enumerate(useful) if not s.needs}
    once: dict[str, tuple[int, int, Step]] = {}
    for n, step in enumerate(useful):
        after = max([n, *(place[name] for name in step.needs if name in place)])
        once.setdefault(step.subject, (after, n, step))
    return [step for _, _, step in sorted(once.values(), key=lambda entry: entry[:2])]


def portfolio(steps: Sequence[Step], setting: Setting, committed: tuple[float, float]) -> Portfolio | None:
    """Return the best set within the estate's limits; None where it has none. `committed`: money and hours taken."""
    planning = setting.scope.estate.planning
    budget, hours = planning.budget, planning.operating_hours_per_year
    if budget is None and hours is None:
        return None
    saving = {s.subject for s in steps if not s.needs and s.approach is Approach.PQC_ONLY}
    useful = [s for s in steps if float(s.saved.mean()) > 0]
    choices = [
        Choice(s.subject, float(s.saved.mean()), float(s.cost.mean()), float(s.hours.mean()),
               tuple(name for name in s.needs if name in saving))
        for s in useful
    ]  # fmt: skip
    left = None if budget is None else max(budget - committed[0], 0.0)
    free = None if hours is None else max(hours - committed[1], 0.0)
    found = best(choices, budget=left, effort=free)
    chosen = [useful[n] for n in found.chosen]
    return Portfolio(
        budget=budget,
        operating_hours_per_year=hours,
        committed_cost=figure(committed[0]),
        committed_operation=figure(committed[1]),
        systems=tuple(s.subject for s in chosen if s.approach is Approach.PQC_ONLY),
        links=tuple((s.subject, s.approach) for s in chosen if s.approach in QUANTUM),
        left_out=len({s.subject for s in useful}) - len(chosen),
        saved=figure(found.saved),
        cost=figure(float(sum(s.cost.mean() for s in chosen))),
        operation=figure(float(sum(s.hours.mean() for s in chosen))),
        per_hour=None if found.per_effort is None else figure(found.per_effort),
        per_money=None if found.per_cost is None else figure(found.per_cost),
    )
