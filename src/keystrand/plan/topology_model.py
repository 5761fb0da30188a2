"""The topology as an integer programme: which links are built, and which way each need goes.

Whole numbers: systems of each variant of a link, whether a variant is used at all, whether a place is a relay, and
whether a need takes a step. Every need sends one unit, or two that share no fibre and, where asked, no place.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from keystrand.model.planning import Protection
from keystrand.plan.topology_greedy import Layout, Path
from keystrand.plan.topology_links import Problem

_BITS = 1000.0
"""Loads are counted in thousands of bit/s, so that no coefficient is far from one."""


class Programme:
    """Columns and rows: minimise cost with `low <= column <= high` and `low <= row <= high`, columns whole numbers."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self.row_low: list[float] = []
        self.row_high: list[float] = []
        self.starts: list[int] = [0]
        self.columns: list[int] = []
        self.values: list[float] = []

    def column(self, cost: float, high: float, low: float = 0.0) -> int:
        """Add a whole-number column and return its number."""
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1

    def row(self, low: float, terms: Sequence[tuple[int, float]], high: float) -> None:
        """Add a row; no column may stand in it twice."""
        self.row_low.append(low)
        self.row_high.append(high)
        for column, value in terms:
            self.columns.append(column)
            self.values.append(value)
        self.starts.append(len(self.columns))


class Columns(NamedTuple):
    """Which column means what: systems and use by (link, variant), relays by place, steps by (need, step), skipped."""

    systems: dict[tuple[int, int], int]
    used: dict[tuple[int, int], int]
    relay: dict[str, int]
    step: dict[tuple[int, int, str, str], int]
    skipped: dict[int, int]


class Fixed(NamedTuple):
    """What stays as it is while some needs are laid anew: loads of links in bit/s, and relays that others use."""

    loads: Mapping[int, float]
    relays: Collection[str]


def programme_of(
    problem: Problem,
    needs: Sequence[int],
    fixed: Fixed,
    *,
    penalty: Mapping[int, float],
    near: Mapping[int, Collection[str]] | None = None,
    tight: bool = True,
) -> tuple[Programme, Columns]:
    """Return the programme for `needs`, the others `fixed`. A need in `penalty` may be skipped at that price.

    `near`: for each need, only relays among these places. `tight`: with rows that no whole-number solution
    breaks, which bring the bound of the relaxation closer to it.
    """
    made, columns = Programme(), Columns({}, {}, {}, {}, {})
    _links(made, columns, problem, sum(need.bits_per_s for need in problem.needs))
    for name in sorted(problem.nodes):
        columns.relay[name] = made.column(problem.node_cost[name], 1.0, 1.0 if name in fixed.relays else 0.0)
    on_link: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in needs:
        _need(made, columns, problem, number, penalty.get(number), near[number] if near else None)
    for (number, link, _, _), column in columns.step.items():
        on_link[link].append((number, column))
    for link in sorted({*on_link, *fixed.loads}):
        _capacity(made, columns, problem, link, on_link[link], fixed.loads.get(link, 0.0), tight=tight)
    return made, columns


def _links(made: Programme, columns: Columns, problem: Problem, all_bits_per_s: float) -> None:
    """Add the systems of every link; of a variant that carries everything at once, no more than one is of use."""
    on_fibre: dict[str, list[int]] = defaultdict(list)
    for number, link in enumerate(problem.links):
        for n, variant in enumerate(link.variants):
            most = float(min(problem.most_systems, math.ceil(all_bits_per_s / variant.rate_bits_per_s)))
            column = columns.systems[number, n] = made.column(variant.each, most)
            for fibre in link.fibres:
                on_fibre[fibre].append(column)
            if variant.once > 0:
                used = columns.used[number, n] = made.column(variant.once, 1.0)
                made.row(-math.inf, [(column, 1.0), (used, -most)], 0.0)
                made.row(0.0, [(column, 1.0), (used, -1.0)], math.inf)
            if most == 1.0:
                break
    for some in on_fibre.values():
        made.row(-math.inf, [(column, 1.0) for column in some], float(problem.most_systems))


def _need(
    made: Programme,
    columns: Columns,
    problem: Problem,
    number: int,
    penalty: float | None,
    near: Collection[str] | None,
) -> None:
    need = problem.needs[number]
    out: dict[str, list[int]] = defaultdict(list)
    into: dict[str, list[int]] = defaultdict(list)
    passing: dict[str, list[int]] = defaultdict(list)
    over: dict[str, list[int]] = defaultdict(list)
    for link, start, end in problem.arcs[number]:
        if near is not None and not {start, end} <= {*near, need.a, need.b}:
            continue
        column = columns.step[number, link, start, end] = made.column(0.0, 1.0)
        out[start].append(column)
        into[end].append(column)
        for fibre in problem.links[link].fibres:
            over[fibre].append(column)
        for name in problem.links[link].bypassed:
            passing[name].append(column)
    units = float(need.paths)
    skip: list[tuple[int, float]] = []
    if penalty is not None:
        columns.skipped[number] = made.column(penalty, 1.0)
        skip = [(columns.skipped[number], units)]
    made.row(units, [*((c, 1.0) for c in out[need.a]), *skip], units)
    made.row(units, [*((c, 1.0) for c in into[need.b]), *skip], units)
    shared = units if need.protection is Protection.LINK else 1.0
    for name in sorted({*into, *out, *passing} - {need.a, need.b}):
        made.row(0.0, [*((c, 1.0) for c in into[name]), *((c, -1.0) for c in out[name])], 0.0)
        made.row(-math.inf, [*((c, 1.0) for c in into[name]), (columns.relay[name], -shared)], 0.0)
        if need.protection is Protection.NODE and passing[name]:
            made.row(-math.inf, [(c, 1.0) for c in (*into[name], *passing[name])], 1.0)
    if need.paths > 1:
        for some in over.values():
            made.row(-math.inf, [(c, 1.0) for c in some], 1.0)


def _capacity(
    made: Programme,
    columns: Columns,
    problem: Problem,
    link: int,
    steps: Sequence[tuple[int, int]],
    load: float,
    *,
    tight: bool,
) -> None:
    variants = [(n, v) for n, v in enumerate(problem.links[link].variants) if (link, n) in columns.systems]
    terms = [(column, problem.needs[number].bits_per_s / _BITS) for number, column in steps]
    rates = [(columns.systems[link, n], -v.rate_bits_per_s / _BITS) for n, v in variants]
    made.row(-math.inf, [*terms, *rates], -load / _BITS)
    if tight and not load:
        # a step needs a system there, and, of a variant with huts, all the huts: not a sixth of them
        open_at = [(columns.used.get((link, n), columns.systems[link, n]), -1.0) for n, _ in variants]
        by_need: dict[int, list[int]] = defaultdict(list)
        for number, column in steps:
            by_need[number].append(column)
        for some in by_need.values():
            made.row(-math.inf, [*((c, 1.0) for c in some), *open_at], 0.0)


def values_of(columns: Columns, layout: Layout, needs: Sequence[int]) -> dict[int, float]:
    """Return a hint for the columns: the steps that `layout` takes, none other, and which needs it skips."""
    hint = dict.fromkeys(columns.step.values(), 0.0)
    for number in needs:
        for path in layout.routes.get(number, ()):
            for link, start, end in path:
                hint[columns.step[number, link, start, end]] = 1.0
    return hint | {column: float(number not in layout.routes) for number, column in columns.skipped.items()}


def layout_of(problem: Problem, columns: Columns, values: Sequence[float], needs: Sequence[int]) -> Layout:
    """Return the paths that a solution takes; a circle beside a path, which costs nothing, is not part of it."""
    following: dict[int, dict[str, list[tuple[int, str, str]]]] = {n: defaultdict(list) for n in needs}
    for (number, link, start, end), column in columns.step.items():
        if values[column] > 0.5:
            following[number][start].append((link, start, end))
    routes: dict[int, tuple[Path, ...]] = {}
    for number in needs:
        need, steps = problem.needs[number], following[number]
        if number in columns.skipped and values[columns.skipped[number]] > 0.5:
            continue
        routes[number] = tuple(_follow(steps, need.a, need.b) for _ in range(need.paths))
    return Layout(routes)


def _follow(steps: dict[str, list[tuple[int, str, str]]], start: str, end: str) -> Path:
    path: list[tuple[int, str, str]] = []
    here = start
    while here != end:
        path.append(steps[here].pop())
        here = path[-1][2]
    return _without_circles(path)


def _without_circles(path: list[tuple[int, str, str]]) -> Path:
    made: list[tuple[int, str, str]] = []
    for step in path:
        made.append(step)
        for n, (_, start, _) in enumerate(made):
            if start == step[2]:
                del made[n:]
                break
    return tuple(made)
