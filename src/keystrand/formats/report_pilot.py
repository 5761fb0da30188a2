"""What the report's page shows of a campaign: consumers against criteria at a glance, and what they ask for."""

from typing import NamedTuple

from keystrand.formats.wording import counted, two_figures, value_text
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.stages.recorded import DeedKind
from keystrand.model.units import Estimate

MARKS = {
    CriterionState.MET: ("✓", "ok"),
    CriterionState.MISSED: ("✗", "bad"),
    CriterionState.NOT_MEASURED: ("?", "warn"),
}
ELSEWHERE = ("/scorecard/", "/proofs/", "/monitoring_gaps/", "/compared/", "/effort/", "/integration/", "/left_out/")
"""Parts of the document that have a place of their own on the page."""
_STATES = {"ok": "met", "bad": "missed", "warn": "not measured"}


class Cell(NamedTuple):
    """One consumer against one criterion: mark, its kind, what was measured. Empty where it is not judged by it."""

    mark: str = ""
    kind: str = ""
    shown: str = "–"

    @property
    def state(self) -> str:
        """The state in a word, for who cannot see the mark."""
        return _STATES.get(self.kind, "not judged")


class MatrixRow(NamedTuple):
    """One criterion for all consumers."""

    name: str
    goal: str
    cells: tuple[Cell, ...]


class EffortRow(NamedTuple):
    """What one consumer asked of operators: lines and commands while setting up, and what events called for."""

    consumer: str
    lines: int
    commands: int
    during: int


def consumers_of(pilot: PilotReport) -> tuple[str, ...]:
    """Return the consumers that the scorecard names, in its order."""
    return tuple(dict.fromkeys(one.consumer for one in pilot.scorecard if one.consumer))


def matrix(pilot: PilotReport) -> tuple[MatrixRow, ...]:
    """Return the scorecard of the consumers, a row a criterion and a cell a consumer."""
    results = {(one.name, one.consumer): one for one in pilot.scorecard if one.consumer}
    consumers = consumers_of(pilot)
    return tuple(
        MatrixRow(
            name.value, _goal([results[name, one] for one in consumers if (name, one) in results]),
            tuple(_cell(results.get((name, one))) for one in consumers),
        )
        for name in CriterionName if any(name == found for found, _ in results)
    )  # fmt: skip


def _goal(results: list[CriterionResult]) -> str:
    """Return the goal, or that of the most; where goals differ, the folded table has each."""
    goals = [one.goal for one in results]
    most = max(goals, key=goals.count)
    return most if len(set(goals)) == 1 else f"{most}; more where a policy says so"


def _cell(result: CriterionResult | None) -> Cell:
    if result is None:
        return Cell()
    mark, kind = MARKS[result.state]
    measured = result.measured
    if measured and measured.sample_size:
        return Cell(mark, kind, _with_worst(measured, at_least="at least" in result.goal))
    return Cell(mark, kind, result.reason if result.state is CriterionState.MISSED else "")


def _with_worst(measured: Estimate, *, at_least: bool) -> str:
    """Return the value, and the end that decided where it reads differently."""
    value, worst = value_text(measured), two_figures(measured.low if at_least else measured.high)
    return value if worst == two_figures(measured.value) else f"{value}, at worst {worst}"


def effort_rows(pilot: PilotReport) -> tuple[EffortRow, ...]:
    """Return, for each consumer and for what they share, what operators had to do."""
    return tuple(
        EffortRow(
            consumer,
            lines=sum(one.count for one in pilot.effort if one.consumer == consumer
                      and one.kind is DeedKind.CONFIG_LINES),
            commands=sum(one.count for one in pilot.effort if one.consumer == consumer and not one.event
                         and one.kind is not DeedKind.CONFIG_LINES),
            during=sum(one.count for one in pilot.effort if one.consumer == consumer and one.event
                       and one.kind is not DeedKind.CONFIG_LINES),
        )
        for consumer in dict.fromkeys(one.consumer for one in pilot.effort)
    )  # fmt: skip


def campaign_line(pilot: PilotReport) -> str:
    """Return what the campaign was, in a line."""
    minutes = f", in {pilot.took_s / 60:.0f} minutes" if pilot.took_s else ""
    ran = counted(len(pilot.consumers), "consumer")
    return f"{pilot.campaign}: {ran} of keys, {counted(len(pilot.events), 'event')}{minutes}; keys: {pilot.key_source}"
