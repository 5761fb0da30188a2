"""Why no roadmap is possible, in words: the smallest set of things that cannot all hold."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np

from keystrand.formats.wording import counted, day_text, joined
from keystrand.model.errors import InvalidInput
from keystrand.model.errors import Problem as Fault
from keystrand.model.estate import Estate
from keystrand.plan.roadmap_core import Condition, smallest_conflict
from keystrand.plan.roadmap_problem import Problem, Span
from keystrand.plan.schedule import ENQUIRIES, GOES_LIVE, Draft

_YEAR_DAYS = 366


def require_possible(order: Sequence[Draft], estate: Estate, frozen: Mapping[str | None, tuple[Span, ...]]) -> None:
    """Raise `InvalidInput` with every measure that no schedule can hold: too many engineers, or frozen all the year.

    `frozen`: the ends that freezes rule out, by owner, for what goes live.
    """
    faults = (*_too_many(order, estate), *_always_frozen(order, estate, frozen))
    if faults:
        raise InvalidInput(faults[0].message, hint=faults[0].hint, problems=faults)


def _too_many(order: Sequence[Draft], estate: Estate) -> Iterator[Fault]:
    hands = {owner.id: owner.engineers for owner in estate.owner if owner.engineers}
    for draft in order:
        most = hands.get(draft.owner or "")
        if most and draft.kind not in ENQUIRIES and draft.engineers > most:
            yield Fault(
                message=f"{draft.id} binds {counted(draft.engineers, 'engineer')}, and its owner {draft.owner} has "
                f"{most}: these two cannot both hold",
                hint=f"correct engineers of the system {draft.subject} or of the owner {draft.owner}",
                field="engineers",
            )


def _always_frozen(
    order: Sequence[Draft], estate: Estate, frozen: Mapping[str | None, tuple[Span, ...]]
) -> Iterator[Fault]:
    shut = {owner for owner, spans in frozen.items() if any(high - low > _YEAR_DAYS for low, high in spans)}
    for owner in sorted(shut, key=str):
        first = next((draft for draft in order if draft.owner == owner and draft.kind in GOES_LIVE), None)
        names = [freeze.id for freeze in estate.freeze if not freeze.owners or owner in freeze.owners]
        if first:
            yield Fault(
                message=f"{first.id} has to go live, and {'the freeze' if len(names) == 1 else 'the freezes'} "
                f"{joined(names)} of its owner {owner or '(nobody named)'} leave no day of the year: these cannot all "
                "hold",
                hint="shorten a freeze, or name the owners it is for",
                field="freeze",
            )


def require_deadlines(order: Sequence[Draft], problem: Problem, as_of: date, late: Sequence[int]) -> None:
    """Raise `InvalidInput` with a smallest set of conditions that exclude each other, where any are `late`."""
    if not late:
        return
    found = smallest_conflict(problem)
    names = joined([order[n].id for n in late])
    if not found:
        raise InvalidInput(
            f"no roadmap that holds every deadline was found, and none is proven impossible: {names} would be late",
            hint="give more --effort, or leave out --hold-deadlines to see the dates",
        )
    faults = tuple(Fault(message=_words(one, order, problem, as_of)) for one in found)
    raise InvalidInput(
        "not every deadline can hold: "
        + (f"these {len(found)} conditions exclude each other" if len(found) > 1 else "one excludes itself"),
        hint="change one of them, or leave out --hold-deadlines to see the dates",
        problems=faults,
    )


def _words(one: Condition, order: Sequence[Draft], problem: Problem, as_of: date) -> str:
    draft = order[one.job] if one.kind in ("deadline", "supplier", "dependency") else None
    if draft and one.kind == "deadline":
        return f"{draft.id} takes {counted(draft.days, 'day')} and is due on {day_text(draft.latest_finish or as_of)}"
    if draft and one.kind == "supplier":
        return f"{draft.id} cannot begin before its supplier delivers, on {day_text(draft.not_before or as_of)}"
    if draft:
        before = order[one.other]
        return f"{draft.id} waits for {before.id}, which takes {counted(before.days, 'day')}"
    owner = _owner(one, order, problem) or "whoever will own what has no owner"
    if one.kind == "freeze":
        return f"the freezes of {owner}: nothing goes live then"
    hands = int(problem.capacity[one.job])
    members = [order[n].id for n in range(problem.size) if problem.team[n] == one.job]
    return f"{owner} can work on {counted(hands, 'thing')} at once, and has {joined(members)}"


def _owner(one: Condition, order: Sequence[Draft], problem: Problem) -> str | None:
    where = problem.calendar if one.kind == "freeze" else problem.team
    return next((order[n].owner for n in range(problem.size) if where[n] == one.job), None)


def require_within_calendar(problem: Problem, as_of: date) -> None:
    """Raise `InvalidInput` where the hands of a team cannot do its work before the year 9999."""
    work = np.bincount(problem.team, weights=problem.length * problem.engineers, minlength=len(problem.capacity))
    if (work / problem.capacity > (date.max - as_of).days).any():
        raise beyond_calendar()


def beyond_calendar() -> InvalidInput:
    """Return the error of work that no date can hold."""
    return InvalidInput(
        "the work would run past the year 9999", hint="check migration_years, and spread the systems over more owners"
    )
