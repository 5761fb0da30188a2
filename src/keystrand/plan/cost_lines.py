"""The bill of a plan: which things are bought and done when, in numbers, before any price. Time in years from today."""

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from keystrand.model.estate import Estate, Segment, System
from keystrand.model.horizon import years_between
from keystrand.model.prices import CostCategory
from keystrand.model.stages import Approach, Measure, MeasureKind, Plan
from keystrand.model.units import Answer

WORKING_DAYS = 220.0
"""Working days of a person in a year: 52 weeks of five days less leave, holidays and sickness. A round figure."""
MONTHS_PER_YEAR = 12.0
PILOT_YEARS, DEPLOY_YEARS = 0.5, 1.0
"""How long a link that the plan has not chosen would be piloted and built: as the plan assumes for those it has."""
HOUR = "operator-hour"
PILOT_LINK, KEY_INTERFACE = "pilot-link", "key-interface"
KEY_INTERFACES = 2.0
"""Of one link: an encryptor at each end."""
QUANTUM = frozenset(Approach) - {Approach.PQC_ONLY}
MIGRATIONS = frozenset({MeasureKind.MIGRATE_KEY_ESTABLISHMENT, MeasureKind.MIGRATE_SIGNATURE})
_LINK_WORK = frozenset({MeasureKind.PILOT, MeasureKind.DEPLOY_QUANTUM_LINK})

Drivers = tuple[tuple[str, float], ...]
"""What takes operating time, as rates (person-hours a year each) and how many there are of it."""


class Line(NamedTuple):
    """`amount` of `item`, times the drawn value of each of `rates`.

    `yearly`: so much in every year from `start` to `end`; else so much in all, spread evenly from `start` to `end`.
    `category`: where it is not the item's own. A negative amount would be spent anyway, and is taken off.
    """

    subject: str
    item: str
    amount: float
    start: float
    end: float
    rates: tuple[str, ...] = ()
    yearly: bool = False
    category: CostCategory | None = None


class Window(NamedTuple):
    """When something is done."""

    start: float
    end: float


class Scope(NamedTuple):
    """What every line needs to know: the day of the plan, and the year after which nothing counts."""

    estate: Estate
    as_of: date
    horizon: float

    def window(self, measure: Measure) -> Window:
        """Return when `measure` is done."""
        return Window(years_between(self.as_of, measure.start), years_between(self.as_of, measure.finish))

    def end_of(self, system: System) -> float:
        """Return when `system` ends, at the latest with the horizon."""
        left = years_between(self.as_of, system.retires) if system.retires else self.horizon
        return min(left, self.horizon) if left > 0 else self.horizon


def system_drivers() -> Drivers:
    """Return what the migration of one function of one system adds to operation."""
    return (("crypto-profile", 1.0),)


def link_drivers(segment: Segment, approach: Approach) -> Drivers:
    """Return what a quantum link on `segment` adds to operation, counted; nothing for an approach without one."""
    if approach not in QUANTUM:
        return ()
    nodes = len(segment.via)
    found = [
        ("qkd-device", 2.0 * segment.spans),
        ("fibre-span", float(segment.spans)),
        ("link-incidents", float(segment.spans)),
        (KEY_INTERFACE, KEY_INTERFACES),
        ("further-vendor", 1.0),
        ("change-window", 1.0),
    ]
    if nodes:
        found.append(("trusted-site", float(nodes)))
    if approach is Approach.HYBRID:
        found.append(("key-combiner", 2.0))
    if approach is Approach.QUANTUM_INTERNET_TESTBED:
        found.append(("laboratory-equipment", 1.0))
    return tuple(found)


def lines_of(scope: Scope, plan: Plan, *, links: bool, only: Container[str] | None = None) -> Iterator[Line]:
    """Yield the lines of every measure of `plan`, or of those in `only`; without `links`, of what serves no link."""
    systems = {system.id: system for system in scope.estate.system}
    segments = {segment.id: segment for segment in scope.estate.segment}
    chosen = {decision.segment: decision.chosen for decision in plan.decisions}
    upgrade = {m.subject: m.id for m in reversed(plan.measures) if m.kind in MIGRATIONS}
    for measure in plan.measures if only is None else (m for m in plan.measures if m.id in only):
        if measure.kind in MIGRATIONS:
            system = systems[measure.subject]
            yield from migration(scope, system, measure, first=upgrade[system.id] == measure.id)
        elif measure.kind is MeasureKind.PILOT and links:
            segment = segments[measure.subject]
            yield from pilot(measure.id, segment, chosen[segment.id], scope.window(measure))
        elif measure.kind is MeasureKind.DEPLOY_QUANTUM_LINK and links:
            segment = segments[measure.subject]
            yield from link(scope, measure.id, segment, chosen[segment.id], scope.window(measure))
        elif measure.kind not in _LINK_WORK and (links or not measure.id.startswith("find-out.segment.")):
            yield from _small(measure, scope.window(measure))


def _small(measure: Measure, when: Window) -> Iterator[Line]:
    rate = measure.kind.value
    known = {MeasureKind.FIND_OUT, MeasureKind.ASSIGN_OWNER, MeasureKind.RETIRE_CLASSICAL}
    if measure.kind in known:
        category = CostCategory.INTEGRATION if measure.kind is MeasureKind.FIND_OUT else CostCategory.CHANGE
        yield Line(measure.id, "engineer-day", 1.0, *when, rates=(rate,), category=category)


def migration(scope: Scope, system: System, measure: Measure, *, first: bool) -> Iterator[Line]:
    """Yield the lines of one migration; `first`: the system is upgraded with it, which a second function shares."""
    when, end = scope.window(measure), scope.end_of(system)
    shortest, longest = sorted(system.migration_years)
    days = system.engineers * WORKING_DAYS
    name = measure.id
    yield Line(name, "engineer-day", days * shortest, *when, rates=("migration-share",))
    yield Line(name, "engineer-day", days * (longest - shortest), *when, rates=("migration-share", "migration-length"))
    yield Line(name, "change-approval", 1.0, when.end, when.end)
    yield from _operation(name, system_drivers(), Window(when.end, end))
    if not first:
        return
    yield Line(name, "system-upgrade", 1.0, when.end, when.end)
    if system.refresh and 0 <= years_between(scope.as_of, system.refresh) <= when.end:
        yield Line(name, "system-upgrade", -1.0, when.end, when.end, category=CostCategory.AVOIDED)
    yield Line(name, "parallel-running-year", 1.0, *when, yearly=True)
    yield Line(name, "algorithm-support-year", 1.0, when.end, end, yearly=True)
    yield Line(name, "monitoring-feed-year", 1.0, when.end, end, yearly=True)


def _operation(name: str, drivers: Drivers, when: Window) -> Iterator[Line]:
    for rate, count in drivers:
        yield Line(name, HOUR, count, *when, rates=(rate,), yearly=True)


def pilot(name: str, segment: Segment, approach: Approach, when: Window) -> Iterator[Line]:
    """Yield the lines of a pilot: devices are hired, or a place in a research network is; people work on it."""
    if approach is Approach.QUANTUM_INTERNET_TESTBED:
        yield Line(name, "laboratory-year", 1.0, *when, yearly=True)
    else:
        months = max(when.end - when.start, 0.0) * MONTHS_PER_YEAR
        yield Line(name, "qkd-pair-hire-month", segment.spans * months, *when)
    yield Line(name, "specialist-day", 1.0, *when, rates=(PILOT_LINK,), category=CostCategory.PILOT)


def link(scope: Scope, name: str, segment: Segment, approach: Approach, when: Window) -> Iterator[Line]:
    """Yield the lines of a quantum link in service: built during `when`, run until the horizon, then taken down.

    A dark fibre that is there already is spent anyway, until its contract ends; from then on it is kept for the link.
    """
    spans, nodes, end = float(segment.spans), float(len(segment.via)), scope.horizon
    servers, start = 2.0 + nodes, when.start
    bought: tuple[tuple[str, float], ...] = (
        ("qkd-pair", spans), ("qkd-spare-share", 1.0), ("key-server", servers), ("encryptor-interface", 2.0),
        ("fibre-preparation", spans), ("trusted-site-fit-out", nodes), ("link-evaluation", 1.0),
        ("change-approval", 2.0),
    )  # fmt: skip
    kept: tuple[tuple[str, float], ...] = (
        ("qkd-pair-support-year", spans), ("key-server-support-year", servers), ("trusted-site-year", nodes),
        ("monitoring-feed-year", 1.0),
    )  # fmt: skip
    yield from (Line(name, item, amount, when.end, when.end) for item, amount in bought if amount)
    yield from (Line(name, item, amount, when.end, end, yearly=True) for item, amount in kept if amount)
    yield Line(name, "dark-fibre-km-year", segment.length_km, start, end, yearly=True)
    if segment.dark_fibre is Answer.YES:
        paid = years_between(scope.as_of, segment.contract_ends) if segment.contract_ends else end
        yield Line(name, "dark-fibre-km-year", -segment.length_km, start, min(paid, end), yearly=True,
                   category=CostCategory.AVOIDED)  # fmt: skip
    yield Line(name, "specialist-day", 1.0, *when, rates=("deploy-link",))
    yield Line(name, "training-day", 1.0, *when, rates=("train-team",))
    yield Line(name, "calibration-visit", spans, when.end, end, rates=("calibration-visits",), yearly=True)
    yield from _operation(name, link_drivers(segment, approach), Window(when.end, end))
    if when.end < end:
        yield Line(name, "device-disposal", 2.0 * spans + servers, end, end)


class Build(NamedTuple):
    """When a quantum link would be piloted and built."""

    pilot: Window
    deploy: Window


def builds(scope: Scope, plan: Plan, users: Mapping[str, Iterable[System]]) -> dict[str, Build]:
    """Return, for each segment, when its link is piloted and built: as planned, or after the last of its `users`."""
    by_id = {measure.id: measure for measure in plan.measures}
    return {segment.id: _build(scope, segment, by_id, users[segment.id]) for segment in scope.estate.segment}


def _build(scope: Scope, segment: Segment, by_id: Mapping[str, Measure], users: Iterable[System]) -> Build:
    trial, service = by_id.get(f"pilot.{segment.id}"), by_id.get(f"deploy-quantum-link.{segment.id}")
    if trial and service:
        return Build(scope.window(trial), scope.window(service))
    first = (by_id[f"{MeasureKind.MIGRATE_KEY_ESTABLISHMENT}.{system.id}"] for system in users)
    ready = max((scope.window(measure).end for measure in first), default=0.0)
    return Build(Window(ready, ready + PILOT_YEARS), Window(ready + PILOT_YEARS, ready + PILOT_YEARS + DEPLOY_YEARS))
