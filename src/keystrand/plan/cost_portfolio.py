"""The best set of migrations and links within a budget and so many operating hours: solved exactly.

A multiple-choice knapsack with two limits: each system migrates or does not, each segment takes at most one link, and a
link comes only where its systems migrate, since post-quantum cryptography is its fallback. SciPy's HiGHS solves it by
branch and bound to a gap of zero; the shadow prices are the duals of its linear relaxation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from keystrand.model.errors import InvalidInput

Values = NDArray[np.float64]
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
    """What is chosen, by place, what it saves, and the shadow prices (None where that limit does not bind)."""

    chosen: tuple[int, ...]
    saved: float
    per_cost: float | None
    per_effort: float | None


def best(choices: Sequence[Choice], *, budget: float | None, effort: float | None) -> Best:
    """Return the choices that save most within both limits (None: no limit).

    Raises `InvalidInput` where the solver gives no proven answer.
    """
    if not choices:
        return Best((), 0.0, None, None)
    worth = -np.array([c.saved for c in choices])
    rows, limits = _constraints(choices, budget, effort)
    matrix = csr_array(rows)
    found = milp(worth, constraints=LinearConstraint(matrix, ub=limits), bounds=Bounds(0, 1),
                 integrality=np.ones(len(choices)), options={"mip_rel_gap": 0.0})  # fmt: skip
    if found.x is None or found.status != 0:
        raise InvalidInput(
            f"the best choice within the limits was not found: {found.message}",
            hint="look at budget and operating_hours_per_year under [planning]",
        )
    relaxed = linprog(worth, A_ub=matrix, b_ub=limits, bounds=(0, 1), method="highs")
    chosen = tuple(int(n) for n in np.flatnonzero(found.x > _WHOLE))
    duals = iter(-relaxed.ineqlin.marginals)
    per_cost = _positive(next(duals)) if budget is not None else None
    per_effort = _positive(next(duals)) if effort is not None else None
    return Best(chosen, float(sum(choices[n].saved for n in chosen)), per_cost, per_effort)


def _positive(dual: float) -> float | None:
    return float(dual) if dual > 0 else None


def _constraints(
    choices: Sequence[Choice], budget: float | None, effort: float | None
) -> tuple[tuple[Values, tuple[Values, Values]], Values]:
    """Return the sparse matrix (values, rows and columns) and the upper limits, the two resources first."""
    values: list[float] = []
    rows: list[int] = []
    columns: list[int] = []
    limits: list[float] = []

    def add(entries: Sequence[tuple[int, float]], limit: float) -> None:
        for column, value in entries:
            values.append(value)
            rows.append(len(limits))
            columns.append(column)
        limits.append(limit)

    if budget is not None:
        add([(n, c.cost) for n, c in enumerate(choices)], budget)
    if effort is not None:
        add([(n, c.effort) for n, c in enumerate(choices)], effort)
    groups: dict[str, list[int]] = {}
    for n, choice in enumerate(choices):
        groups.setdefault(choice.group, []).append(n)
    for members in groups.values():
        if len(members) > 1:
            add([(n, 1.0) for n in members], 1.0)
    for n, choice in enumerate(choices):
        for needed in choice.needs:
            add([(n, 1.0), *((m, -1.0) for m in groups.get(needed, ()))], 0.0)
    return (np.array(values), (np.array(rows), np.array(columns))), np.array(limits)
