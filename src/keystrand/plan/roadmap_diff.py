"""What differs between two plans: one line for each change, the gravest first."""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum

from msgspec import Struct

from keystrand.formats.wording import counted
from keystrand.model.stages import Measure, Plan


class PlanChangeKind(StrEnum):
    """What became of a measure or decision, the gravest first."""

    NOW_LATE = "now-late"
    LATER = "later"
    ADDED = "added"
    DROPPED = "dropped"
    APPROACH = "approach"
    CHANGED = "changed"
    EARLIER = "earlier"
    NO_LONGER_LATE = "no-longer-late"


class PlanChange(Struct, frozen=True, kw_only=True):
    """One change. `before` and `after` in words; `why` is what binds the new date."""

    change: PlanChangeKind
    what: str
    before: str
    after: str
    why: str


def plan_changes(old: Plan, new: Plan) -> tuple[PlanChange, ...]:
    """Return what differs, one line a measure and one a segment; nothing where both say the same."""
    found = [*_measures(old, new), *_approaches(old, new)]
    order = list(PlanChangeKind)
    return tuple(sorted(found, key=lambda one: (order.index(one.change), one.what)))


def _measures(old: Plan, new: Plan) -> Iterator[PlanChange]:
    before, after = ({measure.id: measure for measure in plan.measures} for plan in (old, new))
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            yield PlanChange(change=PlanChangeKind.ADDED, what=name, before="", after=_said(now), why=_why(now))
        elif now is None and was is not None:
            yield PlanChange(change=PlanChangeKind.DROPPED, what=name, before=_said(was), after="", why="")
        elif was and now and _said(was) != _said(now):
            yield PlanChange(
                change=_kind(was, now), what=name, before=_said(was), after=_moved(was, now), why=_why(now)
            )


def _kind(was: Measure, now: Measure) -> PlanChangeKind:
    if was.late != now.late:
        return PlanChangeKind.NOW_LATE if now.late else PlanChangeKind.NO_LONGER_LATE
    if was.finish == now.finish:
        return PlanChangeKind.CHANGED
    return PlanChangeKind.LATER if now.finish > was.finish else PlanChangeKind.EARLIER


def _said(measure: Measure) -> str:
    deadline = f", due {measure.latest_finish}" if measure.latest_finish else ""
    return f"{measure.start} to {measure.finish}{deadline}, {measure.owner or 'nobody named'}"


def _moved(was: Measure, now: Measure) -> str:
    days = (now.finish - was.finish).days
    words = f" ({counted(abs(days), 'day')} {'later' if days > 0 else 'earlier'})" if days else ""
    return f"{_said(now)}{words}"


def _why(measure: Measure) -> str:
    return measure.why_date.because if measure.why_date else ""


def _approaches(old: Plan, new: Plan) -> Iterator[PlanChange]:
    before, after = ({d.segment: d.chosen.value for d in plan.decisions} for plan in (old, new))
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            yield PlanChange(
                change=PlanChangeKind.APPROACH, what=f"segment {name}", before=was, after=now, why=""
            )  # fmt: skip


def announced_of(plan: Plan) -> dict[str, date]:
    """Return the finish of each measure as `plan` tells it."""
    return {measure.id: measure.finish for measure in plan.measures}
