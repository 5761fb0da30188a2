"""A quantum programme goes in stages, it is no single purchase: a plan that says otherwise is refused.

Every quantum link is piloted first, every pilot says what must be shown, no link goes into service before its own pilot
has ended, and the larger part of the money waits for the first pilot.
"""

from collections.abc import Iterator, Mapping, Sequence

from keystrand.formats.wording import counted, day_text
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.stages import Measure, MeasureKind, Plan

MOST_BEFORE_PILOT = 0.5
"""The largest share of the spend on quantum links that may fall before the first pilot has ended: not most of it."""
_HINT = "plan a pilot with criteria before each quantum link: keystrand plan make does"
_QUANTUM = (MeasureKind.PILOT, MeasureKind.DEPLOY_QUANTUM_LINK)


def require_staged(plan: Plan, spend: Mapping[str, float] | None = None) -> None:
    """Raise `InvalidInput` with every place where `plan` is no staged programme.

    `spend` says what measures cost, by id, in any one unit; without it the money is not judged.
    """
    if problems := tuple(_problems(plan.measures, spend or {})):
        raise InvalidInput(
            f"the plan is no staged programme: {counted(len(problems), 'problem')}", problems=problems, hint=_HINT
        )


def _problems(measures: Sequence[Measure], spend: Mapping[str, float]) -> Iterator[Problem]:
    pilots = {m.subject: m for m in measures if m.kind is MeasureKind.PILOT}
    for pilot in pilots.values():
        if not pilot.done_when.strip():
            yield Problem(message="the pilot has no exit criteria", field=pilot.id, hint="say what it must show")
    for measure in measures:
        if measure.kind is MeasureKind.DEPLOY_QUANTUM_LINK:
            yield from _order(measure, pilots.get(measure.subject))
    yield from _money(measures, pilots, spend)


def _order(link: Measure, pilot: Measure | None) -> Iterator[Problem]:
    if pilot is None:
        yield Problem(message=f"{link.subject} goes into service and was never piloted", field=link.id, hint=_HINT)
        return
    if pilot.id not in link.depends_on:
        yield Problem(message=f"it does not wait for {pilot.id}", field=link.id, hint="name the pilot in depends_on")
    if link.start < pilot.finish:
        message = f"it starts on {day_text(link.start)}, before its pilot has ended on {day_text(pilot.finish)}"
        yield Problem(message=message, field=link.id, hint="begin it after the pilot")


def _money(measures: Sequence[Measure], pilots: Mapping[str, Measure], spend: Mapping[str, float]) -> Iterator[Problem]:
    amounts = {m.id: spend.get(m.id, 0.0) for m in measures if m.kind in _QUANTUM}
    total = sum(amounts.values())
    if not total or not pilots:
        return
    passed = min(pilot.finish for pilot in pilots.values())
    early = sum(amounts[m.id] for m in measures if m.id in amounts and m.start < passed)
    if early > MOST_BEFORE_PILOT * total:
        share = f"{early / total * 100:.0f} percent of the spend on quantum links"
        message = f"{share} begins before the first pilot has ended on {day_text(passed)}"
        yield Problem(message=message, field="spend", hint="pilot one link first, and begin the others after it")
