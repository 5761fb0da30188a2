"""Two campaigns side by side: every criterion, what the intervals tell apart, what only one measured."""

import math
from collections.abc import Iterator

from msgspec import Struct

from keystrand.formats.wording import counted, joined, plain_number, value_text
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.stages.recorded import DeedKind
from keystrand.model.units import Estimate, Interval
from keystrand.pilot.intervals import INTERVAL

Key = tuple[str, str]


class CriterionPair(Struct, frozen=True, kw_only=True):
    """One criterion in both campaigns; None where a campaign does not have it.

    `difference`: the second less the first, with its interval, in their unit. `better`: `first` or `second` where the
    intervals tell them apart; empty where they do not, or where one did not measure it.
    """

    name: str
    consumer: str
    first: CriterionResult | None
    second: CriterionResult | None
    difference: Interval | None
    better: str
    words: str


class DeedSums(Struct, frozen=True, kw_only=True):
    """What both campaigns asked of operators, in sum."""

    kind: DeedKind
    first: int
    second: int


class PilotComparison(Struct, frozen=True, kw_only=True):
    """Two campaigns compared. `notes` says what makes them unlike before anything was measured."""

    first: str
    second: str
    notes: tuple[str, ...]
    criteria: tuple[CriterionPair, ...]
    effort: tuple[DeedSums, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare_pilots(first: PilotReport, second: PilotReport, *, unlike: bool = False) -> PilotComparison:
    """Return both campaigns side by side. Raises `InvalidInput` where criteria differ, unless `unlike` permits it."""
    ours, theirs = _by_key(first), _by_key(second)
    differing = [key for key in ours.keys() & theirs.keys() if ours[key].goal != theirs[key].goal]
    if differing and not unlike:
        raise InvalidInput(
            f"the two campaigns were judged by different criteria: {counted(len(differing), 'goal')}",
            hint="judge both by the same pilot.toml (keystrand pilot score), or compare all the same with --unlike",
            problems=tuple(
                Problem(field=_called(key), message=f"{ours[key].goal!r} and {theirs[key].goal!r}")
                for key in sorted(differing)
            ),
        )
    keys = list(dict.fromkeys((*ours, *theirs)))
    return PilotComparison(
        first=_name(first), second=_name(second), notes=tuple(_notes(first, second, differing)),
        criteria=tuple(_pair(key, ours.get(key), theirs.get(key)) for key in keys),
        effort=tuple(_sums(first, second)),
        only_first=_only(ours, theirs), only_second=_only(theirs, ours),
    )  # fmt: skip


def _by_key(report: PilotReport) -> dict[Key, CriterionResult]:
    return {(one.consumer, one.name): one for one in report.scorecard}


def _called(key: Key) -> str:
    return f"{key[0]}: {key[1]}" if key[0] else key[1]


def _name(report: PilotReport) -> str:
    return f"{report.campaign or report.pilot} ({report.key_source})"


def _notes(first: PilotReport, second: PilotReport, differing: list[Key]) -> Iterator[str]:
    if differing:
        yield f"different goals: {joined([_called(key) for key in sorted(differing)], most=20)}"
    if first.segment != second.segment:
        yield f"different segments: {first.segment} and {second.segment}"
    if first.secret_key_rate.simulated != second.secret_key_rate.simulated:
        one = "first" if first.secret_key_rate.simulated else "second"
        yield f"the keys of the {one} come from a simulated link, those of the other from devices"
    ran, others = ({proof.event for proof in report.proofs} for report in (first, second))
    for words, only in (("first", ran - others), ("second", others - ran)):
        if only:
            yield f"only the {words} ran: {joined(sorted(only), most=20)}"
    gaps = [len(report.monitoring_gaps) for report in (first, second)]
    if any(gaps):
        yield f"gaps in monitoring: {gaps[0]} and {gaps[1]}"


def _measured(result: CriterionResult | None) -> bool:
    return result is not None and result.state is not CriterionState.NOT_MEASURED


def _only(ours: dict[Key, CriterionResult], theirs: dict[Key, CriterionResult]) -> tuple[str, ...]:
    return tuple(_called(key) for key, one in ours.items() if _measured(one) and not _measured(theirs.get(key)))


def _pair(key: Key, first: CriterionResult | None, second: CriterionResult | None) -> CriterionPair:
    one, other = (result.measured if result and _measured(result) else None for result in (first, second))
    if one is None or other is None or one.unit != other.unit:
        return CriterionPair(
            consumer=key[0], name=key[1], first=first, second=second, difference=None,
            better=_by_state(first, second), words=_states(first, second),
        )  # fmt: skip
    difference = _difference(one, other)
    goals = {result.goal for result in (first, second) if result}
    better = _better(difference, more_is_better=any("at least" in goal for goal in goals))
    return CriterionPair(
        consumer=key[0], name=key[1], first=first, second=second, difference=difference, better=better,
        words=_words(one, other, difference),
    )  # fmt: skip


def _by_state(first: CriterionResult | None, second: CriterionResult | None) -> str:
    """Return which one met what the other missed, where there are no two numbers to tell them apart by."""
    states = (first.state if first else None, second.state if second else None)
    if states == (CriterionState.MET, CriterionState.MISSED):
        return "first"
    return "second" if states == (CriterionState.MISSED, CriterionState.MET) else ""


def _states(first: CriterionResult | None, second: CriterionResult | None) -> str:
    said = [result.reason or result.state.value if result else "not asked" for result in (first, second)]
    return f"first: {said[0]}; second: {said[1]}"


def _difference(first: Estimate, second: Estimate) -> Interval:
    """Return the interval of second less first.

    From two intervals of 95 % by the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27
    (2008) 1693), else from the ends themselves, which is wider.
    """
    middle = second.value - first.value
    down, up = (second.value - second.low, first.high - first.value), (
        second.high - second.value, first.value - first.low,
    )  # fmt: skip
    if first.spread.startswith(INTERVAL) and second.spread.startswith(INTERVAL):
        return Interval(low=middle - math.hypot(*down), high=middle + math.hypot(*up))
    return Interval(low=middle - sum(down), high=middle + sum(up))


def _better(difference: Interval, *, more_is_better: bool) -> str:
    if difference.low > 0:
        return "second" if more_is_better else "first"
    if difference.high < 0:
        return "first" if more_is_better else "second"
    return ""


def _words(first: Estimate, second: Estimate, difference: Interval) -> str:
    unit = "" if first.unit == "ratio" else f" {first.unit}"
    ends = f"{plain_number(difference.low, 2)} to {plain_number(difference.high, 2)}{unit}"
    return f"{value_text(first)} and {value_text(second)}; second less first: {ends}"


def _sums(first: PilotReport, second: PilotReport) -> Iterator[DeedSums]:
    for kind in DeedKind:
        sums = [sum(one.count for one in report.effort if one.kind is kind) for report in (first, second)]
        if any(sums):
            yield DeedSums(kind=kind, first=sums[0], second=sums[1])
