"""What a pilot showed of what a cost only assumes: evidence beside the figures, by the pilot's document alone.

A pilot counts steps and lines, and times machines; it does not clock people. So it replaces no rate of working time:
it says what each rate stands for, and what the plan does not pay for yet.
"""

from collections.abc import Iterator

from keystrand.formats.wording import counted, joined, spread_text, two_figures
from keystrand.model.prices import CostCategory
from keystrand.model.stages import CriterionState, PilotReport
from keystrand.model.stages.costed import PilotEvidence
from keystrand.model.stages.recorded import DeedKind
from keystrand.plan.cost_lines import KEY_INTERFACE, KEY_INTERFACES, PILOT_LINK

_MOST = 8
_BOTH_ENDS = 2


def shown_for_cost(pilot: PilotReport) -> tuple[PilotEvidence, ...]:
    """Return what `pilot` says of its segment's cost: success, complexity, effort, gaps, and what keys cost traffic."""
    found = (_success(pilot), *_interfaces(pilot), *_effort(pilot), *_gaps(pilot), *_slower(pilot))
    return tuple(
        PilotEvidence(
            pilot=pilot.pilot, segment=pilot.segment, as_of=pilot.as_of, bears_on=bears_on, subject=subject, shown=shown
        )
        for bears_on, subject, shown in found
    )


_Found = tuple[str, str, str]
"""The rate or category it bears on, of whom it speaks, and what was shown."""


def _success(pilot: PilotReport) -> _Found:
    """Say whether the link may be built on: a cost of what missed its criteria is the cost of something else."""
    states = {state: [one for one in pilot.scorecard if one.state is state] for state in CriterionState}
    missed = [one.called for one in states[CriterionState.MISSED]]
    open_ = len(states[CriterionState.NOT_MEASURED])
    met = f"{len(states[CriterionState.MET])} of {counted(len(pilot.scorecard), 'criterion', 'criteria')} met"
    simulated = "on a simulated link" if pilot.secret_key_rate.simulated else ""
    parts = (
        " ".join(filter(None, (met, simulated))),
        f"missed: {joined(missed, most=_MOST)}" if missed else "none missed",
        f"{open_} not measured" if open_ else "",
    )
    return PILOT_LINK, "", "; ".join(filter(None, parts))


def _interfaces(pilot: PilotReport) -> Iterator[_Found]:
    """Say how many consumers took keys at both ends, where the cost counts one at each, and what each asks for."""
    consumers = len(pilot.integration)
    if not consumers:
        return
    took = f"{counted(consumers, 'consumer')} took keys at both ends: {_BOTH_ENDS * consumers} interfaces"
    yield KEY_INTERFACE, "", f"{took}; the cost counts {KEY_INTERFACES:g} of them for each link"
    for one in pilot.integration:
        asked = (
            counted(one.config_lines, "line of configuration", "lines of configuration"),
            f"programs: {joined(one.programs, most=_MOST)}" if one.programs else "",
            f"needs {joined(one.needs, most=_MOST)}" if one.needs else "",
        )
        yield KEY_INTERFACE, one.consumer, "; ".join(filter(None, asked))


def _effort(pilot: PilotReport) -> Iterator[_Found]:
    """Say how many steps setting up took, and how many the events asked for."""
    steps = [one for one in pilot.effort if one.kind is not DeedKind.CONFIG_LINES]
    for consumer in dict.fromkeys(one.consumer for one in steps):
        theirs = [one for one in steps if one.consumer == consumer]
        setting_up = sum(one.count for one in theirs if not one.event)
        later = sum(one.count for one in theirs if one.event)
        events = dict.fromkeys(one.event for one in theirs if one.event)
        told = (
            f"{counted(setting_up, 'step')} to set up" if setting_up else "",
            f"{counted(later, 'step')} by operators after {joined(list(events), most=_MOST)}" if later else "",
        )
        yield KEY_INTERFACE, consumer, "; ".join(filter(None, told))


def _gaps(pilot: PilotReport) -> Iterator[_Found]:
    """Say which monitoring is still to be bought or built."""
    for one in pilot.monitoring_gaps:
        yield CostCategory.MONITORING, one.event, f"not paid for in this plan: {one.mend}"


def _slower(pilot: PilotReport) -> Iterator[_Found]:
    """Say what keys cost the traffic itself."""
    for one in pilot.compared:
        if one.ratio is not None:
            ends = f" ({spread_text(one.ratio)})" if spread_text(one.ratio) else ""
            yield (
                CostCategory.OPERATION,
                one.consumer,
                (f"{one.quantity}: {two_figures(one.ratio.value)} times that without keys{ends}"),
            )
