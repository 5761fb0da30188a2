"""The best set of migrations and links within a budget and so many operating hours: solved exactly.

A multiple-choice knapsack with two limits: each system migrates or does not, each segment takes at most one link, and a
link comes only where its systems migrate, since post-quantum cryptography is its fallback. SciPy's HiGHS solves it by
branch and bound, to a gap of zero unless the search is cut off; the shadow prices are the duals of its linear
relaxation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from keystrand.model.errors import InvalidInput

Values = NDArray[np.float64]
MOST_NODES = 20_000
"""Nodes of the search, so that it ends, and ends at the same place on every machine; then the gap is told."""
_WHOLE = 0.5
"""The solver gives whole numbers up to its tolerance."""


class Choice(NamedTuple):
    """One thing that can be done; of each `group` at most one is. `needs`: groups of which one must be done too."""

    group: str
    saved: float
    cost: float
    effort: float
    needs: tuple[str, ...] = ()


class Best(NamedTuple):
    """What is chosen, by place, what it saves, and the shadow prices (None where that limit does not bind).

    `gap`: by which share something else may save more at most; 0 is proven best.
    """

    chosen: tuple[int, ...]
    saved: float
    gap: float
    per_cost: float | None
    per_effort: float | None


def best(choices: Sequence[Choice], *, budget: float | None, effort: float | None) -> Best:
    """Return the choices that save most within both limits (None: no limit).

    Raises `InvalidInput` where the solver gives no proven answer.
    """
    if not choices:
        return Best((), 0.0, 0.0, None, None)
    worth = -np.array([c.saved for c in choices])
    matrix, limits = _constraints(choices, budget, effort)
    within = LinearConstraint(matrix, ub=limits)
    whole = np.ones(len(choices), dtype=np.int64)
    found = milp(worth, constraints=within, bounds=Bounds(0, 1), integrality=whole,
                 options={"mip_rel_gap": 0.0, "node_limit": MOST_NODES})  # fmt: skip
    if found.x is None:
        raise InvalidInput(
            f"the best choice within the limits was not found: {found.message}",
            hint="look at budget and operating_hours_per_year under [planning]",
        )
    relaxed = linprog(worth, A_ub=matrix, b_ub=limits, bounds=(0, 1), method="highs")  # type: ignore[call-overload]  # its stubs know no sparse matrix
    chosen = tuple(int(n) for n in np.flatnonzero(found.x > _WHOLE))
    duals = iter(-np.asarray(relaxed.ineqlin.marginals))
    per_cost = _positive(float(next(duals))) if budget is not None else None
    per_effort = _positive(float(next(duals))) if effort is not None else None
    saved = float(sum(choices[n].saved for n in chosen))
    gap = max(-float(found.mip_dual_bound) / saved - 1.0, 0.0) if found.status and saved else 0.0
    return Best(chosen, saved, gap, per_cost, per_effort)


def _positive(dual: float) -> float | None:
    return dual if dual > 0 else None


def _constraints(
    choices: Sequence[Choice], budget: float | None, effort: float | None
) -> tuple[csr_array[np.float64, tuple[int, int]], Values]:
    """Return the matrix and the upper limits, the two resources first; a last row that always holds is never empty."""
    rows: list[tuple[list[tuple[int, float]], float]] = []
    if budget is not None:
        rows.append(([(n, c.cost) for n, c in enumerate(choices)], budget))
    if effort is not None:
        rows.append(([(n, c.effort) for n, c in enumerate(choices)], effort))
    groups: dict[str, list[int]] = {}
    for n, choice in enumerate(choices):
        groups.setdefault(choice.group, []).append(n)
    rows += [([(n, 1.0) for n in members], 1.0) for members in groups.values() if len(members) > 1]
    rows += [
        ([(n, 1.0), *((m, -1.0) for m in groups.get(needed, ()))], 0.0)
        for n, choice in enumerate(choices)
        for needed in choice.needs
    ]
    rows.append(([(0, 1.0)], 1.0))
    entries = [(r, column, value) for r, (row, _) in enumerate(rows) for column, value in row]
    at = np.array([(r, column) for r, column, _ in entries]).T
    values = np.array([value for _, _, value in entries])
    matrix = csr_array((values, (at[0], at[1])), shape=(len(rows), len(choices)))
    return matrix, np.array([limit for _, limit in rows])
