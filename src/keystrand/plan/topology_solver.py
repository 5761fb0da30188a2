"""Solve an integer programme with HiGHS: through OR-Tools where it is installed, else through SciPy."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from keystrand.plan.topology_model import Programme

_ANY_NODES = 2**31 - 1
_ROUNDING = 1e-6
"""What the relaxation's optimum may be off, taken from the bound."""
WITHOUT_ORTOOLS = "OR-Tools is not installed, so the search is slower: pip install 'keystrand[plan]'"


class Solved(NamedTuple):
    """`values`: the best solution found, or None; `bound`: no solution costs less; `proven`: none is better.

    `by_time`: the time was over, so that another run may end elsewhere.
    """

    values: Sequence[float] | None
    cost: float
    bound: float
    proven: bool
    by_time: bool = False


def has_ortools() -> bool:
    """Return whether OR-Tools is installed."""
    return find_spec("ortools") is not None


def solver_name() -> str:
    """Return who solves, for the document."""
    return "HiGHS through OR-Tools MathOpt" if has_ortools() else "HiGHS through SciPy"


def solve(
    made: Programme,
    *,
    seconds: float,
    nodes: int | None = None,
    gap: float = 1e-4,
    hint: Mapping[int, float] | None = None,
) -> Solved:
    """Return the best solution within `seconds` and `nodes` of the search tree."""
    if seconds <= 0:
        return Solved(None, math.inf, -math.inf, proven=False, by_time=True)
    if has_ortools():
        return _by_mathopt(made, seconds, nodes, gap, hint)
    return _by_scipy(made, seconds, nodes, gap)


def _by_mathopt(
    made: Programme, seconds: float, nodes: int | None, gap: float, hint: Mapping[int, float] | None
) -> Solved:
    from ortools.math_opt import model_pb2  # type: ignore[import-untyped] # noqa: PLC0415 - an extra, slow to load
    from ortools.math_opt.python import mathopt  # type: ignore[import-untyped] # noqa: PLC0415 - as above

    proto = model_pb2.ModelProto()
    width, height = len(made.cost), len(made.row_low)
    proto.variables.ids.extend(range(width))
    proto.variables.lower_bounds.extend(made.low)
    proto.variables.upper_bounds.extend(made.high)
    proto.variables.integers.extend([True] * width)
    used = [n for n, cost in enumerate(made.cost) if cost]
    proto.objective.linear_coefficients.ids.extend(used)
    proto.objective.linear_coefficients.values.extend(made.cost[n] for n in used)
    proto.linear_constraints.ids.extend(range(height))
    proto.linear_constraints.lower_bounds.extend(made.row_low)
    proto.linear_constraints.upper_bounds.extend(made.row_high)
    rows, columns, values = _sorted_entries(made)
    matrix = proto.linear_constraint_matrix
    matrix.row_ids.extend(rows.tolist())
    matrix.column_ids.extend(columns.tolist())
    matrix.coefficients.extend(values.tolist())
    model = mathopt.Model.from_model_proto(proto)
    wanted = mathopt.SolveParameters(
        time_limit=timedelta(seconds=seconds), node_limit=nodes, relative_gap_tolerance=gap, random_seed=0
    )
    told = mathopt.ModelSolveParameters()
    variables = list(model.variables())
    if hint is not None:
        given = {variables[n]: value for n, value in hint.items()}
        told.solution_hints.append(mathopt.SolutionHint(variable_values=given))
    found = mathopt.solve(model, mathopt.SolverType.HIGHS, params=wanted, model_params=told)
    bound = found.termination.objective_bounds.dual_bound
    by_time = found.termination.limit == mathopt.Limit.TIME
    if not found.has_primal_feasible_solution():
        return Solved(None, math.inf, bound, proven=False, by_time=by_time)
    chosen = found.variable_values()
    return Solved(
        [chosen[v] for v in variables],
        found.objective_value(),
        bound,
        proven=found.termination.reason == mathopt.TerminationReason.OPTIMAL,
        by_time=by_time,
    )


def _sorted_entries(made: Programme) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and values of the matrix, row by row and each row by column."""
    rows = np.repeat(np.arange(len(made.row_low)), np.diff(made.starts))
    columns, values = np.array(made.columns, dtype=np.int64), np.array(made.values)
    order = np.lexsort((columns, rows))
    return rows[order], columns[order], values[order]


def _by_scipy(made: Programme, seconds: float, nodes: int | None, gap: float) -> Solved:
    matrix = _matrix(made)
    found = milp(
        np.array(made.cost),
        integrality=np.ones(len(made.cost), dtype=np.int64),
        bounds=Bounds(made.low, made.high),
        constraints=LinearConstraint(matrix, made.row_low, made.row_high),
        options={"time_limit": seconds, "mip_rel_gap": gap, "node_limit": nodes or _ANY_NODES},
    )
    bound = -math.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    by_time = found.status == 1 and not nodes  # SciPy tells a limit, but not which
    if found.x is None:
        return Solved(None, math.inf, bound, proven=False, by_time=by_time)
    return Solved(found.x.tolist(), float(found.fun), bound, proven=found.status == 0, by_time=by_time)


def _matrix(made: Programme) -> csr_array:
    return csr_array((made.values, made.columns, made.starts), shape=(len(made.row_low), len(made.cost)))


def relaxed_bound(made: Programme, seconds: float) -> float:
    """Return the least cost where fractions of systems and paths are allowed: no solution costs less.

    By an interior point, which is sooner done than the search's own first step; 0 where the time is over before.
    """
    if seconds <= 0:
        return 0.0
    matrix, low, high = _matrix(made), np.array(made.row_low), np.array(made.row_high)
    equal = low == high
    above, below = np.isfinite(high) & ~equal, np.isfinite(low) & ~equal
    found = linprog(
        np.array(made.cost),
        A_ub=vstack([matrix[above], -matrix[below]]),
        b_ub=np.concatenate([high[above], -low[below]]),
        A_eq=matrix[equal],
        b_eq=low[equal],
        bounds=list(zip(made.low, made.high, strict=True)),
        method="highs-ipm",
        options={"time_limit": seconds},
    )
    return float(found.fun) * (1 - _ROUNDING) if found.status == 0 and found.fun is not None else 0.0
