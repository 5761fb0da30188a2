"""The ways for each segment: how they stand beside each other, in data-years saved for person-hours a year."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.formats.wording import joined
from keystrand.model.estate import Segment
from keystrand.model.stages import Approach, Fit
from keystrand.model.stages.costed import SegmentWay, Standing
from keystrand.plan.approach import NAMES
from keystrand.plan.cost_figures import estimate, figure
from keystrand.plan.cost_frontier import before, incremental, standings, stays
from keystrand.plan.cost_lines import QUANTUM, Line, link, link_drivers, migration, pilot, system_drivers
from keystrand.plan.cost_risk import reduction
from keystrand.plan.cost_setting import Setting

Values = NDArray[np.float64]

PER_HOUR = "data-years for each person-hour a year"
_CONSIDERED = (Fit.CHOSEN, Fit.POSSIBLE)


class Way(NamedTuple):
    """One way in numbers, scenario by scenario. None: as it is."""

    approach: Approach | None
    saved: Values
    hours: Values
    cost: Values


def link_lines(setting: Setting, segment: Segment, approach: Approach) -> list[Line]:
    """Return the lines of piloting and running a link on `segment`, over the fallback that its systems already have."""
    build, name = setting.builds[segment.id], f"link.{segment.id}"
    made = [*pilot(name, segment, approach, build.pilot)]
    if approach is not Approach.QUANTUM_INTERNET_TESTBED:
        made += link(setting.scope, name, segment, approach, build.deploy)
    return made


def ways_of(setting: Setting, segment: Segment) -> list[Way]:
    """Return the ways for one segment: as it is, post-quantum only, and each link that the plan holds possible."""
    decision = next(d for d in setting.plan.decisions if d.segment == segment.id)
    systems, parts = setting.users[segment.id], setting.parts(segment.id)
    beneath = [
        line for system in systems for line in migration(setting.scope, system, setting.moves[system.id], first=True)
    ]
    baseline = tuple((rate, count * len(systems)) for rate, count in system_drivers())
    made = [Way(None, setting.none, setting.none, setting.none)]
    for approach in (o.approach for o in decision.options if _is_open(o.approach, o.fit)):
        quantum = approach in QUANTUM
        lines = [*beneath, *link_lines(setting, segment, approach)] if quantum else beneath
        drivers = (*baseline, *link_drivers(segment, approach)) if quantum else baseline
        saved = reduction(approach, *parts, len(segment.via), setting.draws)
        made += [Way(approach, saved, setting.hours(drivers), setting.worth(lines))]
    return made


def _is_open(approach: Approach, fit: Fit) -> bool:
    return approach is Approach.PQC_ONLY or fit in _CONSIDERED


def judged(setting: Setting, segment: str, planned: Approach, ways: Sequence[Way]) -> Iterator[SegmentWay]:
    """Yield how each way for `segment` stands, by expected effort and expected saving."""
    effort, saved = [float(w.hours.mean()) for w in ways], [float(w.saved.mean()) for w in ways]
    stand, previous = standings(effort, saved), before(effort, saved)
    share = stays(np.array([w.hours for w in ways]), np.array([w.saved for w in ways]))
    for n in sorted(range(len(ways)), key=lambda way: (effort[way], saved[way], way)):
        way = ways[n]
        ratio = None
        if n in previous:
            other = ways[previous[n]]
            ratio = incremental(way.hours - other.hours, way.saved - other.saved)
        yield SegmentWay(
            segment=segment,
            approach=way.approach,
            planned=way.approach is planned,
            saved=estimate(way.saved, "data-years"),
            operation=estimate(way.hours, "person-hours a year"),
            cost=estimate(way.cost, setting.inputs.currency),
            standing=stand[n],
            saved_per_hour=None if ratio is None else estimate(ratio, PER_HOUR),
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
