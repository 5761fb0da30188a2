"""Why each measure stands on its dates, and what a quarter later would cost."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from keystrand.formats.wording import day_text, joined
from keystrand.model.stages import Binding, DateReason
from keystrand.model.units import Interval
from keystrand.plan.roadmap_problem import Problem, Reals, Span, Whole, followers_of, spans_of
from keystrand.plan.roadmap_serial import busy_of
from keystrand.plan.schedule import Draft

QUARTER_DAYS = 91
_DIGITS = 3
_DEADLINES_MOST = 5_000
"""Measures up to which it is looked at whose deadline holds back whom."""


class _Dated(NamedTuple):
    """A solved problem with what is asked of it again and again."""

    drafts: tuple[Draft, ...]
    problem: Problem
    starts: Whole
    ends: Whole
    as_of: date
    followers: list[list[int]]
    busy: dict[int, Whole]
    members: dict[int, list[int]]


def date_reasons(
    drafts: tuple[Draft, ...], problem: Problem, starts: Whole, as_of: date, tables: tuple[Reals, Reals] | None
) -> tuple[DateReason, ...]:
    """Return the reason for the dates of each draft. `tables`: exposure (N x K) by the low and the high curve."""
    members: dict[int, list[int]] = defaultdict(list)
    for n, team in enumerate(problem.team):
        members[int(team)].append(n)
    busy = {team: busy_of(problem, starts, team) for team in members}
    dated = _Dated(drafts, problem, starts, starts + problem.length, as_of, followers_of(problem), busy, members)
    return tuple(_reason(n, dated, tables) for n in range(problem.size))


def _reason(n: int, dated: _Dated, tables: tuple[Reals, Reals] | None) -> DateReason:
    binding, words = _binding(n, dated)
    shifts = _shifts(n, dated)
    missed = tuple(
        dated.drafts[k].id
        for k, shift in sorted(shifts.items())
        if dated.ends[k] <= dated.problem.deadline[k] < dated.ends[k] + shift
    )
    return DateReason(
        binding=binding, because=words, slip_data_years=_slip(shifts, dated, tables) if tables else None,
        slip_misses=missed,
    )  # fmt: skip


def _binding(n: int, dated: _Dated) -> tuple[Binding, str]:
    """Return what keeps the draft from ending a day earlier, the firmest first."""
    problem, start, end, draft = dated.problem, int(dated.starts[n]), int(dated.ends[n]), dated.drafts[n]
    if firm := _begin(n, dated):
        return firm
    window = next((w for w in draft.windows if (w.day - dated.as_of).days == end), None)
    if window and problem.surcharge[n]:
        return Binding.WINDOW, f"ends with the {window.why} on {day_text(window.day)}"
    freeze = _freeze_before(spans_of(problem, n), end)
    if freeze:
        return Binding.FREEZE, f"nothing goes live from {_finish(freeze[0], dated)} to {_finish(freeze[1] - 1, dated)}"
    if dated.busy[int(problem.team[n])][start - 1] + problem.engineers[n] > problem.capacity[problem.team[n]]:
        return _crowded(n, dated)
    if problem.announced[n] >= end and problem.move_cost:
        kept = problem.announced[n] == end
        return Binding.ANNOUNCED, "keeps the date that was announced" if kept else (
            "was announced for later, and moves no further than is worth it")  # fmt: skip
    return Binding.ORDER, "could begin earlier, but no earlier begin was found that makes the whole better"


def _begin(n: int, dated: _Dated) -> tuple[Binding, str] | None:
    """Return what keeps the draft from beginning a day earlier, whoever has hands free."""
    start = int(dated.starts[n])
    if start == 0:
        return Binding.START, "begins at once"
    if start == dated.problem.release[n]:
        return Binding.VENDOR, f"its supplier delivers on {_finish(start + 1, dated)}"
    holding = [dated.drafts[b].id for b in dated.problem.before[n] if dated.ends[b] == start]
    return (Binding.DEPENDENCY, f"waits for {joined(holding)}") if holding else None


def _finish(end: int, dated: _Dated) -> str:
    return day_text(dated.as_of + timedelta(days=end))


def _freeze_before(spans: tuple[Span, ...], end: int) -> Span | None:
    return next((span for span in spans if span[1] == end), None)


def _crowded(n: int, dated: _Dated) -> tuple[Binding, str]:
    problem, start = dated.problem, int(dated.starts[n])
    who = dated.drafts[n].owner or "whoever will own it"
    if problem.size <= _DEADLINES_MOST:
        ahead = [
            k
            for k in dated.members[int(problem.team[n])]
            if dated.starts[k] < start <= dated.ends[k]
            and problem.deadline[k] < problem.deadline[n]
            and _worth(k, dated) < _worth(n, dated)
        ]
        if ahead:
            names = joined([dated.drafts[k].id for k in ahead])
            return Binding.DEADLINE, f"the hands of {who} are on {names} first: it exposes less, but is due sooner"
    until = _finish(start, dated)
    return Binding.CAPACITY, f"the hands of {who} are full until {until}"


def _worth(n: int, dated: _Dated) -> float:
    """Return the exposure that a day's delay adds, for each engineer-day."""
    problem, knot = dated.problem, int(dated.ends[n]) // dated.problem.pitch
    row = problem.exposure[n]
    knot = min(knot, len(row) - 2)
    return float((row[knot + 1] - row[knot]) / (problem.length[n] * problem.engineers[n]))


def _shifts(n: int, dated: _Dated) -> dict[int, int]:
    """Return by how many days the draft and what waits for it move when it ends a quarter later; hands not counted."""
    shifts = {n: QUARTER_DAYS}
    ahead = [n]
    while ahead:
        first = ahead.pop(0)
        for after in dated.followers[first]:
            shift = int(dated.ends[first]) + shifts[first] - int(dated.starts[after])
            if shift > shifts.get(after, 0):
                shifts[after] = shift
                ahead.append(after)
    return shifts


def _slip(shifts: dict[int, int], dated: _Dated, tables: tuple[Reals, Reals]) -> Interval:
    jobs = np.array(list(shifts), dtype=np.int64)
    later = dated.ends[jobs] + np.array(list(shifts.values()), dtype=np.int64)
    low, high = (sum(_added(table[jobs], dated.ends[jobs], later, dated.problem.pitch)) for table in tables)
    return Interval(low=round(low, _DIGITS), high=round(max(low, high), _DIGITS))


def _added(table: Reals, now: Whole, later: Whole, pitch: int) -> Iterator[float]:
    knots = np.arange(table.shape[1]) * pitch
    for row, before, after in zip(table, now, later, strict=True):
        yield float(np.interp(after, knots, row) - np.interp(before, knots, row))
