"""`./dev bench plan`, part roadmap: synthetic estates of our own, each with several seeds, every schedule re-checked.

A system takes 2 to 26 weeks of 1 to 3 engineers of one of six teams, which are about 55 percent busy over ten years.
Suppliers deliver at once, or in half a year, one or two years; four weeks at the end of a year nothing goes live; one
year is cheap for the change, and outside it a surcharge is due; deadlines fall at the end of 2030, 2031 and 2035.
The peer is what most plans do: the first deadline goes first.
"""


import numpy as np

from keystrand.edge.catalogue import curves
from keystrand.model.horizon import Horizon, avoidable
from keystrand.plan.roadmap_problem import Problem, Whole

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


def _exposure(life: Whole, weight: np.ndarray) -> np.ndarray:
    """Return the avoidable data-years at the end of each year, by the high end of the newest survey."""
    curve = next(c for c in curves() if c.id == "gri-2025")
    high = Horizon([(anchor.years, anchor.high) for anchor in curve.anchors])
    years = np.arange(31, dtype=float)
    return avoidable(high, years[None, :], life[:, None].astype(float)) * weight[:, None]
