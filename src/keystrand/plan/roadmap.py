"""Dates for measures: drafts in, the best roadmap that the effort allows out.

A day is a step. Changes of an owner share its engineers, or, where the estate does not count them, `AT_ONCE` changes
are under way at once; enquiries do not stand in line behind changes. What goes live ends on no frozen day.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from keystrand.model.estate import Estate
from keystrand.model.stages import Assessment, DateReason, RoadmapFigures
from keystrand.plan.roadmap_bound import never
from keystrand.plan.roadmap_check import broken
from keystrand.plan.roadmap_conflict import (
    beyond_calendar,
    require_deadlines,
    require_possible,
    require_within_calendar,
)
from keystrand.plan.roadmap_exposure import KNOTS, PITCH_DAYS, Curves, curves_of, ordering, tables
from keystrand.plan.roadmap_freeze import frozen_spans
from keystrand.plan.roadmap_problem import NEVER, Problem, Reals, Span, Whole, cost
from keystrand.plan.roadmap_search import Found, Progress, search, usual_effort
from keystrand.plan.roadmap_serial import best_serial, by_deadline, serial
from keystrand.plan.roadmap_why import date_reasons
from keystrand.plan.schedule import (
    AT_ONCE,
    ENQUIRIES,
    GOES_LIVE,
    MOST_WAIT_DAYS,
    Draft,
    Lane,
    Placed,
    schedule,
    work_order,
)

LATE_DATA_YEARS_PER_DAY = 0.07
"""What a day after a deadline weighs where not all can be held; assumed. A year late weighs like 26 data-years. Where
all can be held, and that is found out, none is missed."""
OFF_WINDOW_DATA_YEARS = 1.0
"""What a change outside a refresh or the end of a contract weighs, where one is near; assumed."""
MOVE_DATA_YEARS_PER_DAY = 0.01
"""What moving an announced date by a day weighs; assumed: people have planned with it."""
WEIGHTS = {
    "what the dates minimise": "exposure by the high end of the threat curve and the longest time for which data must "
    "stay secret, one unit of production a year for each data class; a year in which a signature could be forged "
    "counts like a data-year",
    "weight of a day after a deadline, where not all are found to hold, in data-years": f"{LATE_DATA_YEARS_PER_DAY:g}",
    "weight of a change outside a refresh or contract end, in data-years": f"{OFF_WINDOW_DATA_YEARS:g}",
    "weight of moving an announced date by a day, in data-years": f"{MOVE_DATA_YEARS_PER_DAY:g}",
}
"""What the search weighs against each other, as the plan states it."""
_LIST_MOST = 5_000
"""Measures up to which the list schedule is tried too."""


class Run(NamedTuple):
    """How a roadmap is looked for. `announced`: the finish of each measure as it was told before, by id.

    `hold_deadlines`: a roadmap that misses one is refused, with what stands against it. `effort`: None for the usual.
    """

    announced: Mapping[str, date] = {}
    hold_deadlines: bool = False
    effort: float | None = None
    stop: Callable[[], bool] = never
    progress: Progress | None = None


DEFAULT_RUN = Run()


class Setting(NamedTuple):
    """What dates rest on beside the drafts."""

    estate: Estate
    assessment: Assessment
    as_of: date
    run: Run = DEFAULT_RUN


class Roadmap(NamedTuple):
    """Dated drafts in the order of work, why each stands where it does, and how good the whole is."""

    placed: tuple[Placed, ...]
    reasons: tuple[DateReason, ...]
    figures: RoadmapFigures
    curves: Curves | None


def make_roadmap(drafts: Sequence[Draft], setting: Setting) -> Roadmap:
    """Return the drafts with dates; equal inputs give equal dates.

    Raises `InvalidInput` on a circle of dependencies, where no schedule is possible at all, and where the work runs
    past the last year a date can hold.
    """
    order = work_order(drafts)
    owners = dict.fromkeys(draft.owner for draft in order)
    frozen = {owner: frozen_spans(setting.estate.freeze, owner, setting.as_of) for owner in owners}
    require_possible(order, setting.estate, frozen)
    curves = curves_of(setting.estate, setting.assessment, setting.as_of)
    ends = tables(order, curves) if curves else None
    high = ends[1] if ends else np.zeros((len(order), KNOTS))
    problem = to_problem(order, setting, frozen, high)
    require_within_calendar(problem, setting.as_of)
    problem = _near_windows(problem)
    start = _listed(order, problem, setting.as_of)
    run = setting.run
    effort = usual_effort(problem.size) if run.effort is None else run.effort
    found = search(problem, effort=effort, stop=run.stop, progress=run.progress, start=start)
    if run.hold_deadlines:
        late = np.flatnonzero(found.starts + problem.length > problem.deadline)
        require_deadlines(order, problem, setting.as_of, late.tolist())
    placed = _placed(order, problem, found.starts, setting.as_of)
    reasons = date_reasons(order, problem, found.starts, setting.as_of, ends)
    return Roadmap(placed, reasons, _figures(problem, found), curves)


def _figures(problem: Problem, found: Found) -> RoadmapFigures:
    """Return how good the roadmap is, rounded far below its meaning."""
    made = cost(problem, found.starts)
    peer = cost(problem, serial(problem, by_deadline(problem)))
    moved = (problem.announced >= 0) & (found.starts + problem.length != problem.announced)
    gap = max(made.total - found.bound, 0.0) / made.total if made.total else 0.0
    return RoadmapFigures(
        method=found.method, exposure=round(made.exposure, 3), lateness=round(made.lateness, 3),
        surcharge=round(made.surcharge, 3), moves=round(made.moves, 3), bound=round(found.bound, 3),
        gap=0.0 if found.proven else round(min(gap, 1.0), 3), proven=found.proven, late=made.late,
        moved=int(moved.sum()), first_deadline_first=round(peer.exposure, 3),
    )  # fmt: skip


def to_problem(
    order: Sequence[Draft], setting: Setting, frozen: Mapping[str | None, tuple[Span, ...]], high: Reals
) -> Problem:
    """Return the drafts, in their order, as jobs in days from the day after `as_of`."""
    lanes = {lane: n for n, lane in enumerate(dict.fromkeys(draft.lane for draft in order))}
    number = {draft.id: n for n, draft in enumerate(order)}
    hands = {owner.id: owner.engineers for owner in setting.estate.owner}
    owners = {owner: n for n, owner in enumerate(frozen)}
    windows = tuple(_spans(draft, setting.as_of) for draft in order)
    return Problem(
        ids=tuple(number),
        team=_whole(lanes[draft.lane] for draft in order),
        length=_whole(draft.days for draft in order),
        engineers=_whole(_needed(draft, hands) for draft in order),
        release=_whole(_day(draft.not_before, setting.as_of) - 1 if draft.not_before else 0 for draft in order),
        deadline=_whole(_day(d.latest_finish, setting.as_of) if d.latest_finish else NEVER for d in order),
        before=tuple(tuple(number[name] for name in draft.depends_on) for draft in order),
        capacity=_whole(_capacity(lane, hands) for lane in lanes),
        calendar=_whole(owners[draft.owner] if draft.kind in GOES_LIVE else -1 for draft in order),
        frozen=tuple(frozen.values()),
        windows=windows,
        surcharge=np.array([OFF_WINDOW_DATA_YEARS if spans else 0.0 for spans in windows]),
        pitch=PITCH_DAYS,
        exposure=ordering(len(order)) + high,
        late_cost=LATE_DATA_YEARS_PER_DAY,
        announced=_whole(
            max(_day(setting.run.announced[draft.id], setting.as_of), 0) if draft.id in setting.run.announced else -1
            for draft in order
        ),
        move_cost=MOVE_DATA_YEARS_PER_DAY if setting.run.announced else 0.0,
    )


def _whole(values: Iterable[int]) -> Whole:
    return np.array(list(values), dtype=np.int64)


def _day(day: date, as_of: date) -> int:
    """Return the end of a job that finishes on `day`."""
    return (day - as_of).days


def _spans(draft: Draft, as_of: date) -> tuple[Span, ...]:
    days = sorted({_day(window.day, as_of) for window in draft.windows})
    return tuple((day, day + 1) for day in days if day >= draft.days)


def _needed(draft: Draft, hands: Mapping[str, int | None]) -> int:
    counted = draft.owner is not None and hands.get(draft.owner) and draft.kind not in ENQUIRIES
    return draft.engineers if counted else 1


def _capacity(lane: Lane, hands: Mapping[str, int | None]) -> int:
    owner, enquiry = lane
    return AT_ONCE if enquiry or owner is None else hands.get(owner) or AT_ONCE


def _near_windows(problem: Problem) -> Problem:
    """Return `problem` with the windows alone that a measure would wait for no longer than `MOST_WAIT_DAYS`."""
    if not problem.surcharge.any():
        return problem
    bare = problem._replace(surcharge=np.zeros(problem.size), windows=((),) * problem.size)
    latest = best_serial(bare) + problem.length + MOST_WAIT_DAYS
    kept = tuple(tuple(s for s in spans if s[0] <= latest[n]) for n, spans in enumerate(problem.windows))
    return problem._replace(windows=kept, surcharge=np.where([bool(spans) for spans in kept], problem.surcharge, 0.0))


def _listed(order: Sequence[Draft], problem: Problem, as_of: date) -> Whole | None:
    """Return the list schedule where it keeps every rule: it knows no engineers, freezes or suppliers."""
    if len(order) > _LIST_MOST:
        return None
    days = {placed.draft.id: _day(placed.start, as_of) - 1 for placed in schedule(order, as_of=as_of)}
    starts = _whole(days[name] for name in problem.ids)
    return None if broken(problem, starts) else starts


def _placed(order: Sequence[Draft], problem: Problem, starts: Whole, as_of: date) -> tuple[Placed, ...]:
    made = []
    if int((starts + problem.length).max(initial=0)) > (date.max - as_of).days:
        raise beyond_calendar()
    for n, draft in enumerate(order):
        start = as_of + timedelta(days=int(starts[n]) + 1)
        finish = as_of + timedelta(days=int(starts[n] + problem.length[n]))
        window = next((w for w in draft.windows if w.day == finish), None)
        made.append(Placed(draft, start, finish, window))
    return tuple(made)
