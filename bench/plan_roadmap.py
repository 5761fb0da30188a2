"""`./dev bench plan`, part roadmap: synthetic estates of our own, each with several seeds, every schedule re-checked.

A system takes 2 to 26 weeks of 1 to 3 engineers of one of six teams, which are about 55 percent busy over ten years.
Suppliers deliver at once, or in half a year, one or two years; four weeks at the end of a year nothing goes live; one
year is cheap for the change, and outside it a surcharge is due; deadlines fall at the end of 2030, 2031 and 2035.
The peer is what most plans do: the first deadline goes first.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.measure import Failed, Missing, Row, row
from keystrand.edge.catalogue import curves
from keystrand.model.horizon import Horizon, avoidable
from keystrand.plan.roadmap_check import broken
from keystrand.plan.roadmap_exact import has_solver
from keystrand.plan.roadmap_problem import Problem, Reals, Whole, cost
from keystrand.plan.roadmap_search import Found, search
from keystrand.plan.roadmap_serial import best_serial, by_deadline, serial

WEEKS = 520
TEAMS = 6
LOAD = 0.55
DEADLINES = (4 * 52 + 6, 5 * 52 + 6, 9 * 52 + 6)
"""End of 2030, 2031 and 2035 in weeks from late 2026."""
SEEDS = (1, 2, 3)
SECONDS = {50: 2.0, 200: 30.0, 1000: 60.0, 5000: 120.0}
"""What the issue allows for each size."""


def synthetic(size: int, seed: int) -> Problem:
    """Return an estate of `size` systems, in weeks."""
    draw = np.random.default_rng(seed)
    team, length = draw.integers(0, TEAMS, size), draw.integers(2, 27, size)
    engineers = draw.integers(1, 4, size)
    work = np.bincount(team, weights=length * engineers, minlength=TEAMS)
    life = draw.choice([1, 3, 7, 10, 15, 25, 30], size)
    weight = draw.lognormal(0, 1.2, size) * draw.choice([0.02, 0.2, 1.0], size, p=[0.5, 0.3, 0.2])
    opens = draw.integers(0, WEEKS, size)
    return Problem(
        ids=tuple(f"system-{n}" for n in range(size)),
        team=team,
        length=length,
        engineers=engineers,
        release=draw.choice([0, 26, 52, 104], size, p=[0.5, 0.2, 0.2, 0.1]),
        deadline=draw.choice(DEADLINES, size, p=[0.1, 0.2, 0.7]),
        before=_before(draw, size),
        capacity=np.maximum(3, np.ceil(work / (WEEKS * LOAD))).astype(np.int64),
        calendar=np.zeros(size, dtype=np.int64),
        frozen=(tuple((52 * year + 48, 52 * year + 52) for year in range(40)),),
        windows=tuple(((int(open_), int(open_) + 52),) for open_ in opens),
        surcharge=draw.integers(0, 40, size) / 10,
        pitch=52,
        exposure=_exposure(life, weight),
        late_cost=2.0,
        announced=np.full(size, -1),
    )


def _before(draw: np.random.Generator, size: int) -> tuple[tuple[int, ...], ...]:
    made: list[tuple[int, ...]] = []
    for n in range(size):
        count = int(draw.poisson(0.6)) if n else 0
        made.append(tuple(sorted({int(k) for k in draw.integers(max(0, n - 200), n, count)})) if count else ())
    return tuple(made)


def _exposure(life: Whole, weight: Reals) -> Reals:
    """Return the avoidable data-years at the end of each year, by the high end of the newest survey."""
    curve = next(c for c in curves() if c.id == "gri-2025")
    high = Horizon([(anchor.years, anchor.high) for anchor in curve.anchors])
    years = np.arange(31, dtype=float)
    return avoidable(high, years[None, :], life[:, None].astype(float)) * weight[:, None]


class Sample(NamedTuple):
    """One schedule beside its peers. `seconds`: wall clock of the search; `saved`: share of exposure, 0 to 1."""

    found: Found
    seconds: float
    late: int
    late_serial: int
    gap: float
    saved: float


def sampled(size: int, seed: int) -> Sample:
    """Return what the search finds in the time that the issue allows. Raises `Failed` where a schedule is broken."""
    problem, begin = synthetic(size, seed), time.monotonic()
    found = search(problem, effort=1e9 if size > min(SECONDS) else 3.0, stop=lambda: _spent(begin, size))
    seconds = time.monotonic() - begin
    if words := broken(problem, found.starts):
        raise Failed(f"the schedule of {size} systems, seed {seed}, is broken: {words[0]}")
    made, plain = cost(problem, found.starts), cost(problem, serial(problem, by_deadline(problem)))
    late = cost(problem, best_serial(problem)).late
    saved = 1 - made.exposure / plain.exposure
    return Sample(found, seconds, made.late, late, max(1 - found.bound / made.total, 0.0), saved)


def _spent(begin: float, size: int) -> bool:
    return time.monotonic() - begin > 0.93 * SECONDS[size]  # what is left goes to the last neighbourhood and the bound


def rows() -> list[Row]:
    """Return the rows of all sizes, or of those in `KEYSTRAND_BENCH_ROADMAP` (such as `50,200`).

    Raises `Missing` without OR-Tools, `Failed` where a size is none of ours or a schedule breaks a rule.
    """
    if not has_solver():
        raise Missing("OR-Tools is not installed: pip install 'keystrand[plan]'")
    named = [word.strip() for word in os.environ.get("KEYSTRAND_BENCH_ROADMAP", "").split(",") if word.strip()]
    if strangers := sorted(set(named) - {str(size) for size in SECONDS}):
        raise Failed(f"no roadmap of {strangers[0]} systems is measured: there are {', '.join(map(str, SECONDS))}")
    made = []
    for size in [int(word) for word in named] or SECONDS:
        sys.stderr.write(f"roadmap of {size} systems: {len(SEEDS)} seeds, {SECONDS[size]:g} s each\n")
        made += _ROWS[size](size, [sampled(size, seed) for seed in SEEDS])
    return made


def _proven(size: int, samples: list[Sample]) -> list[Row]:
    proven = row(f"roadmap of {size}: proven best", [float(s.found.proven) for s in samples], "share", at_least=1.0)
    return [row(f"roadmap of {size}", [s.seconds for s in samples], "s", goal=SECONDS[size]), proven]


def _in_time(size: int, samples: list[Sample]) -> list[Row]:
    serials = [float(s.late_serial) for s in samples]
    late = [float(s.late) for s in samples]
    return [
        row(f"roadmap of {size}: late", late, "measures", peer="serial", peer_samples=serials, goal=0),
        row(f"roadmap of {size}: gap", [s.gap for s in samples], "share", goal=0.20),
    ]


def _saved(size: int, samples: list[Sample]) -> list[Row]:
    serials = [float(s.late_serial) for s in samples]
    late = [float(s.late) for s in samples]
    name = f"roadmap of {size}: exposure under deadline-first"
    return [
        row(name, [s.saved for s in samples], "share", at_least=0.40),
        row(f"roadmap of {size}: late", late, "measures", peer="serial", peer_samples=serials),
        row(f"roadmap of {size}: gap", [s.gap for s in samples], "share"),
    ]


_ROWS: dict[int, Callable[[int, list[Sample]], list[Row]]] = {50: _proven, 200: _in_time, 1000: _saved, 5000: _saved}
