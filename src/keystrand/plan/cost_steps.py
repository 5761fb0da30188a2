"""The order in which things are worth doing, and the best set of them within the estate's limits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from keystrand.model.stages import Approach
from keystrand.model.stages.costed import FrontierStep, Portfolio
from keystrand.plan.cost_figures import estimate, figure
from keystrand.plan.cost_frontier import incremental
from keystrand.plan.cost_lines import QUANTUM, Line, migration, system_drivers
from keystrand.plan.cost_portfolio import Choice, best
from keystrand.plan.cost_risk import Saving, reduction
from keystrand.plan.cost_setting import Setting
from keystrand.plan.cost_totals import expected
from keystrand.plan.cost_ways import PER_HOUR, Way, name_of

MOST_STEPS = 500
"""Steps listed; the rest is counted."""
_UNIT = Saving(1.0, 1.0), Saving(0.0, 1.0)
"""Any saving is low times the first and high less low times the second of these: both are drawn once."""


class Step(NamedTuple):
    """One thing that can be done, by its means. `needs`: the systems that must move first.

    `whole`: what the move of a system saves; `link`: a link in each scenario, beyond post-quantum cryptography only.
    """

    subject: str
    approach: Approach
    saved: float
    hours: float
    cost: float
    needs: tuple[str, ...] = ()
    whole: Saving = Saving()
    link: Way | None = None


def possible_steps(setting: Setting, ways: Mapping[str, Sequence[Way]]) -> list[Step]:
    """Return the move of each system's key exchange, then each possible link of `ways` (by segment) beyond it."""
    return [*_moves(setting), *(step for name, found in ways.items() for step in _links(setting, name, found))]


def _moves(setting: Setting) -> list[Step]:
    even, further = (float(reduction(Approach.PQC_ONLY, one, one, 0, setting.draws).mean()) for one in _UNIT)
    lines = (line for name in setting.moves for line in _lines(name, setting))
    cost = expected(lines, setting.inputs.prices, setting.draws, setting.discount)
    hours = float(setting.hours(system_drivers()).mean())
    found = []
    for name, measure in setting.moves.items():
        whole = setting.savings.get(name, Saving())
        saved = even * whole.low + further * (whole.high - whole.low)
        found.append(Step(name, Approach.PQC_ONLY, saved, hours, cost.get(measure.id, 0.0), whole=whole))
    return found


def _links(setting: Setting, segment: str, ways: Sequence[Way]) -> list[Step]:
    base = next(way for way in ways if way.approach is Approach.PQC_ONLY)
    users = tuple(system.id for system in setting.users[segment])
    return [
        Step(
            segment,
            way.approach,
            float((way.saved - base.saved).mean()),
            float((way.hours - base.hours).mean()),
            float((way.cost - base.cost).mean()),
            users,
            link=Way(way.approach, way.saved - base.saved, way.hours - base.hours, way.cost - base.cost),
        )
        for way in ways
        if way.approach is not None and way.approach in QUANTUM
    ]


def frontier_steps(steps: Sequence[Step], setting: Setting) -> tuple[tuple[FrontierStep, ...], int]:
    """Return the steps that save anything, the most for an hour first, and how many are not listed."""
    made: list[FrontierStep] = []
    saved, hours, cost = setting.none, setting.none, setting.none
    ordered = in_order(steps)
    for n, step in enumerate(ordered[:MOST_STEPS], start=1):
        one = _drawn([step], setting)
        saved, hours, cost = saved + one.saved, hours + one.hours, cost + one.cost
        made.append(
            FrontierStep(
                step=n,
                subject=step.subject,
                what=name_of(step.approach),
                saved_per_hour=estimate(incremental(one.hours, one.saved), PER_HOUR),
                saved=estimate(saved, "data-years"),
                operation=estimate(hours, "person-hours a year"),
                cost=estimate(cost, setting.inputs.currency),
            )
        )
    return tuple(made), len(ordered) - len(made)


def _drawn(steps: Sequence[Step], setting: Setting) -> Way:
    """Return what `steps` save and take together, in each scenario."""
    moving = [step for step in steps if step.link is None]
    whole = Saving()
    for step in moving:
        whole = whole.plus(step.whole)
    saved = reduction(Approach.PQC_ONLY, whole, whole, 0, setting.draws)
    hours = len(moving) * setting.hours(system_drivers())
    cost = setting.worth(line for step in moving for line in _lines(step.subject, setting))
    for link in (step.link for step in steps if step.link):
        saved, hours, cost = saved + link.saved, hours + link.hours, cost + link.cost
    return Way(None, saved, hours, cost)


def _lines(system: str, setting: Setting) -> Iterator[Line]:
    return migration(setting.scope, setting.systems[system], setting.moves[system], first=True)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps by falling ratio of their means; of a segment's links only the best.

    A link that would come before one of its systems waits for the last of them.
    """
    useful = sorted(
        (s for s in steps if s.saved > 0 and s.hours > 0),
        key=lambda s: (-s.saved / s.hours, s.subject, s.approach),
    )
    place = {s.subject: n for n, s in enumerate(useful) if s.approach is Approach.PQC_ONLY}
    once: dict[tuple[bool, str], tuple[int, int, Step]] = {}
    for n, step in enumerate(useful):
        after = max([n, *(place[name] for name in step.needs if name in place)])
        once.setdefault((step.approach in QUANTUM, step.subject), (after, n, step))
    return [step for _, _, step in sorted(once.values(), key=lambda entry: entry[:2])]


def portfolio(steps: Sequence[Step], setting: Setting, committed: tuple[float, float]) -> Portfolio | None:
    """Return the best set within the estate's limits; None where it has none. `committed`: money and hours taken."""
    planning = setting.scope.estate.planning
    budget, hours = planning.budget, planning.operating_hours_per_year
    if budget is None and hours is None:
        return None
    useful = [s for s in steps if s.saved > 0]
    moving = {s.subject for s in useful if s.approach is Approach.PQC_ONLY}
    choices = [
        Choice(_group(s), s.saved, s.cost, s.hours, tuple(f"move {name}" for name in s.needs if name in moving))
        for s in useful
    ]
    found = best(
        choices,
        budget=None if budget is None else max(budget - committed[0], 0.0),
        effort=None if hours is None else max(hours - committed[1], 0.0),
    )
    chosen = [useful[n] for n in found.chosen]
    drawn = _drawn(chosen, setting)
    return Portfolio(
        budget=budget,
        operating_hours_per_year=hours,
        committed_cost=figure(committed[0]),
        committed_operation=figure(committed[1]),
        within=_fits(committed, budget, hours),
        systems=tuple(s.subject for s in chosen if s.approach is Approach.PQC_ONLY),
        links=tuple((s.subject, s.approach) for s in chosen if s.approach in QUANTUM),
        left_out=len({_group(s) for s in useful}) - len(chosen),
        expected_saved=figure(found.saved),
        expected_cost=figure(sum(s.cost for s in chosen)),
        expected_operation=figure(sum(s.hours for s in chosen)),
        gap=figure(found.gap),
        saved=estimate(drawn.saved, "data-years"),
        cost=estimate(drawn.cost, setting.inputs.currency),
        operation=estimate(drawn.hours, "person-hours a year"),
        per_hour=None if found.per_effort is None else figure(found.per_effort),
        per_money=None if found.per_cost is None else figure(found.per_cost),
    )


def _fits(committed: tuple[float, float], budget: float | None, hours: float | None) -> bool:
    return (budget is None or committed[0] <= budget) and (hours is None or committed[1] <= hours)


def _group(step: Step) -> str:
    return f"{'link' if step.approach in QUANTUM else 'move'} {step.subject}"
