"""Constraint programming on some jobs of a roadmap, the others as they stand (OR-Tools CP-SAT).

One worker and deterministic limits: equal inputs give equal answers. All numbers of the model are whole, so exposure
enters exactly as it is, line by line between its knots, to one thousandth of a data-year a job.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keystrand.model.errors import InvalidInput
from keystrand.plan.roadmap_problem import NEVER, Problem, Reals, Whole, heads, holding, spans_of
from keystrand.plan.roadmap_serial import busy_of, serial

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver

SCALE = 1000
"""Units of cost for a data-year. Coarser scales lose small systems."""
_SEED = 1
_SHARES = (1, 2, 4, 8, 16, 32)
"""Parts of the margin, of which the last is the whole, by which the dearness of ends is counted."""
_ROUNDING = 1e-6


class Answer(NamedTuple):
    """The starts found, a bound on their cost in data-years, whether they are the best, and the effort it took."""

    starts: Whole
    bound: float
    proven: bool
    effort: float


class Spare(NamedTuple):
    """What a better schedule may spend on ends that are not its cheapest (`roadmap_bound.Bound`).

    `excess` (N x W + 1): what each end adds to a bound, the last column from W on. `margin`: what all jobs together may
    add at most.
    """

    excess: Reals
    margin: float


class _Frame(NamedTuple):
    """A problem, the starts known, the free jobs, and how late any of them may end."""

    problem: Problem
    starts: Whole
    free: Sequence[int]
    horizon: int
    spare: Spare | None = None


def has_solver() -> bool:
    """Return whether OR-Tools is installed (extra `plan`)."""
    import importlib.util  # noqa: PLC0415 - only asked where a roadmap is made

    return importlib.util.find_spec("ortools") is not None


def improved(
    problem: Problem, starts: Whole, free: Sequence[int], *, limit: float, spare: Spare | None = None
) -> Answer:
    """Return better starts for the jobs `free`, or the known ones. `limit`: CP-SAT's deterministic time, about seconds.
    `spare`: of all jobs, where all are free.

    Raises `InvalidInput` without OR-Tools.
    """
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415 - an extra, and a second to import
    except ImportError as error:
        raise InvalidInput("OR-Tools is not installed", hint="pip install 'keystrand[plan]'") from error
    model = cp_model.CpModel()
    frame = _Frame(problem, starts, free, _horizon(problem, starts), spare)
    ends = _ends(model, frame)
    if spare:
        _spent(model, frame, spare, ends)
    _dependencies(model, frame, ends)
    _capacity(model, frame, ends)
    model.minimize(sum(term for n in free for term in _terms(model, frame, n, ends[n])))
    solver = _solver(limit)
    status = solver.solve(model)
    found = starts.copy()
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        for n in free:
            found[n] = solver.value(ends[n]) - int(problem.length[n])
    # each job's exposure is rounded up to a unit
    bound = (solver.best_objective_bound - len(free)) / SCALE
    return Answer(found, bound, status == cp_model.OPTIMAL, solver.response_proto.deterministic_time)


def feasible(problem: Problem, *, limit: float) -> bool | None:
    """Return whether every deadline can hold, None where that was not found out within `limit` (deterministic time)."""
    return _dated(problem, limit)[0]


def in_time(problem: Problem, *, limit: float) -> Whole | None:
    """Return starts that miss no deadline, None where `limit` (deterministic time) was not enough to find any."""
    possible, ends = _dated(problem, limit)
    if not possible:
        return None
    starts = np.zeros(problem.size, dtype=np.int64)
    urgency = np.full(problem.size, -float(NEVER))
    for n, end in ends.items():
        starts[n] = end - int(problem.length[n])
        urgency[n] = -float(starts[n])
    return serial(problem._replace(release=np.maximum(problem.release, starts)), urgency)


def _dated(problem: Problem, limit: float) -> tuple[bool | None, dict[int, int]]:
    """Return whether all deadlines can hold, and then such an end of each job that one hangs on."""
    from ortools.sat.python import cp_model  # noqa: PLC0415 - as above

    if (heads(problem) > problem.deadline).any():
        return False, {}
    model = cp_model.CpModel()
    free = sorted(holding(problem))
    held = set(free)
    # nothing is placed of what has no deadline and is waited for by nothing that has one: it may come at any time later
    problem = problem._replace(before=tuple(b if n in held else () for n, b in enumerate(problem.before)))
    dated = problem.deadline[problem.deadline < NEVER]
    frame = _Frame(problem, np.zeros(problem.size, dtype=np.int64), free, int(dated.max(initial=0)))
    ends = _ends(model, frame)
    for n in free:
        if problem.deadline[n] < NEVER:
            model.add(ends[n] <= int(problem.deadline[n]))
    _dependencies(model, frame, ends)
    _hands(model, frame, ends, {})
    solver = _solver(limit)
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return True, {n: solver.value(end) for n, end in ends.items()}
    return (False if status == cp_model.INFEASIBLE else None), {}


def _solver(limit: float) -> "CpSolver":
    from ortools.sat.python import cp_model  # noqa: PLC0415 - as above

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    # measured: its linear relaxation is weak for hands, and takes half the time and more
    solver.parameters.linearization_level = 0
    solver.parameters.random_seed = _SEED
    solver.parameters.max_deterministic_time = limit
    solver.parameters.catch_sigint_signal = False
    return solver


def _horizon(problem: Problem, starts: Whole) -> int:
    """Return the latest end that is looked at. A proof says nothing of schedules that go on longer."""
    windows = [high for spans in problem.windows for _, high in spans]
    return 2 * max([int((starts + problem.length).max()), *windows])


def _ends(model: "CpModel", frame: _Frame) -> dict[int, Any]:
    from ortools.sat.python.cp_model import Domain  # noqa: PLC0415 - as above

    problem, free = frame.problem, set(frame.free)
    followers: dict[int, int] = {}
    for n, before in enumerate(problem.before):
        if n not in free:
            for first in before:
                followers[first] = min(followers.get(first, NEVER), int(frame.starts[n]))
    made = {}
    for n in frame.free:
        fixed = [int(frame.starts[b] + problem.length[b]) for b in problem.before[n] if b not in free]
        low = max([int(problem.release[n]), *fixed]) + int(problem.length[n])
        high = min(frame.horizon, followers.get(n, NEVER))
        thawed = Domain(low, high).intersection_with(_open(spans_of(problem, n), frame.horizon))
        if frame.spare:
            thawed = thawed.intersection_with(_within(frame, frame.spare, n, 1.0))
        made[n] = model.new_int_var_from_domain(thawed, f"end{n}")
        model.add_hint(made[n], int(frame.starts[n] + problem.length[n]))
    return made


def _open(frozen: Sequence[tuple[int, int]], horizon: int) -> Any:
    from ortools.sat.python.cp_model import Domain  # noqa: PLC0415 - as above

    spans, begin = [], 0
    for low, high in frozen:
        if low > begin:
            spans.append([begin, low - 1])
        begin = high
    return Domain.from_intervals([*spans, [begin, max(horizon, begin)]])


def _within(frame: _Frame, spare: Spare, n: int, share: float) -> Any:
    """Return the ends of job `n` that add no more than this share of the margin."""
    from ortools.sat.python.cp_model import Domain  # noqa: PLC0415 - as above

    inside = spare.excess[n] <= share * spare.margin + _ROUNDING
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(np.int8)))
    spans = [[int(low), int(high) - 1] for low, high in zip(edges[::2], edges[1::2], strict=True)]
    if inside[-1]:
        spans[-1][1] = max(frame.horizon, spans[-1][1])
    return Domain.from_intervals(spans)


def _spent(model: "CpModel", frame: _Frame, spare: Spare, ends: dict[int, Any]) -> None:
    """Keep what all ends add together within the margin, in steps of its shares: no two jobs can take half each."""
    parts, below = [], 0
    for part in _SHARES[:-1]:
        for n in frame.free:
            little = _within(frame, spare, n, part / _SHARES[-1])
            dear = model.new_bool_var(f"dear{n}.{part}")
            model.add_linear_expression_in_domain(ends[n], little).only_enforce_if(~dear)
            model.add_linear_expression_in_domain(ends[n], little.complement()).only_enforce_if(dear)
            parts.append((part - below) * dear)
        below = part
    model.add(sum(parts) <= _SHARES[-1])


def _dependencies(model: "CpModel", frame: _Frame, ends: dict[int, Any]) -> None:
    for n in frame.free:
        for first in frame.problem.before[n]:
            if first in ends:
                model.add(ends[n] - int(frame.problem.length[n]) >= ends[first])


def _capacity(model: "CpModel", frame: _Frame, ends: dict[int, Any]) -> None:
    free = frozenset(frame.free)
    busy = {team: busy_of(frame.problem, frame.starts, team, free) for team in _teams(frame)}
    _hands(model, frame, ends, busy)


def _teams(frame: _Frame) -> dict[int, list[int]]:
    teams: dict[int, list[int]] = {}
    for n in frame.free:
        teams.setdefault(int(frame.problem.team[n]), []).append(n)
    return teams


def _hands(model: "CpModel", frame: _Frame, ends: dict[int, Any], busy: dict[int, Whole]) -> None:
    """Keep the free jobs of each team within the hands that `busy` leaves it."""
    problem = frame.problem
    for team, members in _teams(frame).items():
        spans = [model.new_interval_var(ends[n] - int(problem.length[n]), int(problem.length[n]), ends[n], f"job{n}")
                 for n in members]  # fmt: skip
        hands = [int(problem.engineers[n]) for n in members]
        for low, high, taken in _steps(busy[team]) if team in busy else ():
            spans.append(model.new_fixed_size_interval_var(low, high - low, f"busy{team}.{low}"))
            hands.append(taken)
        model.add_cumulative(spans, hands, int(problem.capacity[team]))


def _steps(busy: Whole) -> list[tuple[int, int, int]]:
    """Return the spans of equal height above 0."""
    edges = [0, *(np.flatnonzero(np.diff(busy)) + 1).tolist(), len(busy)]
    pairs = itertools.pairwise(edges)
    return [(low, high, int(busy[low])) for low, high in pairs if high > low and busy[low] > 0]


def _terms(model: "CpModel", frame: _Frame, n: int, end: Any) -> list[Any]:
    """Return the parts of the cost of job `n` in units."""
    problem, last = frame.problem, frame.horizon
    made = [_exposed(model, frame, n, end)]
    if problem.deadline[n] < last:
        late = model.new_int_var(0, last, f"late{n}")
        model.add(late >= end - int(problem.deadline[n]))
        made.append(round(problem.late_cost * SCALE) * late)
    if problem.surcharge[n] > 0:
        made.append(_outside(model, frame, n, end))
    if problem.announced[n] >= 0 and problem.move_cost:
        moved, known = model.new_int_var(0, last + int(problem.announced[n]), f"moved{n}"), int(problem.announced[n])
        model.add(moved >= end - known)
        model.add(moved >= known - end)
        made.append(round(problem.move_cost * SCALE) * moved)
    return made


def _exposed(model: "CpModel", frame: _Frame, n: int, end: Any) -> Any:
    """Return the convex exposure as the highest of its lines, all numbers whole."""
    problem = frame.problem
    knots = np.round(problem.exposure[n] * SCALE).astype(np.int64)
    rises, pitch = np.diff(knots), problem.pitch
    most = int(knots[-1] + max(int(rises[-1]), 0) * (frame.horizon // pitch + 1))
    value = model.new_int_var(0, most + 1, f"exposed{n}")
    first = int(problem.release[n] + problem.length[n]) // pitch
    for k in range(min(first, len(rises) - 1), len(rises)):
        if k * pitch > frame.horizon:
            break
        if k > first and rises[k] == rises[k - 1]:
            continue
        model.add(pitch * value >= int(rises[k]) * (end - k * pitch) + pitch * int(knots[k]))
    return value


def _outside(model: "CpModel", frame: _Frame, n: int, end: Any) -> Any:
    inside = []
    for k, (low, high) in enumerate(frame.problem.windows[n]):
        chosen = model.new_bool_var(f"in{n}.{k}")
        model.add(end >= low).only_enforce_if(chosen)
        model.add(end < high).only_enforce_if(chosen)
        inside.append(chosen)
    model.add_at_most_one(inside)
    return round(frame.problem.surcharge[n] * SCALE) * (1 - sum(inside))
