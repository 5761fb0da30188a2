"""How fast exposure is computed: the closed form against a Monte Carlo of the same systems, and what an ensemble takes.

Processor time, so that other work on the machine does not count. The Monte Carlo is NumPy's, vectorised over the draws,
and takes as many as bring its standard error to one percent or so; the closed form has none.
"""

import time
from collections.abc import Callable
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, interleaved, peak_mb, row
from keystrand.assess.priority import _Criteria, _tiers
from keystrand.assess.ranks import rank_ranges
from keystrand.assess.sensitivity import sensitivity
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Verdict
from keystrand.model.horizon import Horizon, avoidable, horizons
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Exposure
from keystrand.model.units import Interval

Floats = NDArray[np.float64]

AS_OF = date(2026, 11, 24)
SYSTEMS = 1_000_000
SIMULATED = 200
"""Systems that are simulated: enough to time it, few enough to wait for."""
DRAWS = 10_000
RUNS = 5


def _cpu_s(job: Callable[[], object]) -> float:
    begin = time.process_time()
    job()
    return time.process_time() - begin


def _arrivals(horizon: Horizon, rng: np.random.Generator) -> Floats:
    grid = np.linspace(0, 40, 20_001)
    ratios, drawn = horizon.probability(grid), rng.random(DRAWS)
    return np.where(drawn < ratios[-1], np.interp(drawn, ratios, grid), np.inf)


def _simulated(horizon: Horizon, m: Floats, x: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the mean and the standard error of the readable years of each system, by simulation."""
    mean, error = np.empty(len(m)), np.empty(len(m))
    for n, (end, life) in enumerate(zip(m.tolist(), x.tolist(), strict=True)):
        made = rng.random(DRAWS) * end
        readable = end * np.clip(made + life - np.maximum(_arrivals(horizon, rng), made), 0, None)
        mean[n], error[n] = readable.mean(), readable.std() / np.sqrt(DRAWS)
    return mean, error


def _closed_form() -> list[Row]:
    horizon, rng = horizons(_curve(), AS_OF)[1], np.random.default_rng(1)
    m, x = rng.uniform(0.5, 9, SYSTEMS), rng.uniform(1, 30, SYSTEMS)
    few = slice(0, SIMULATED)
    closed, simulated = interleaved(
        RUNS,
        lambda: SYSTEMS / _cpu_s(lambda: avoidable(horizon, m, x)) / 1e6,
        lambda: SIMULATED / _cpu_s(lambda: _simulated(horizon, m[few], x[few], np.random.default_rng(2))) / 1e6,
    )
    mean, error = _simulated(horizon, m[few], x[few], np.random.default_rng(3))
    away = np.abs(avoidable(horizon, m[few], x[few]) - mean) / error
    peer = f"NumPy Monte Carlo, {DRAWS:,} draws a system"
    return [
        row("exposure, closed form", closed, "million systems/s", peer=peer, peer_samples=simulated, at_least=3.0),
        row("exposure, mean distance from the Monte Carlo", [float(away.mean())], "standard errors", goal=1.0),
    ]


def _estate(systems: int) -> list[Exposure]:
    """Return exposures of systems with ranges everywhere; only what ranks are drawn from is meant."""
    rng = np.random.default_rng(systems)
    some = Interval(low=0.0, high=1.0)
    shelf, start, more = (
        rng.choice([1, 3, 7, 10, 15, 25, 30], systems),
        rng.uniform(0.5, 4, systems),
        rng.random(systems),
    )
    return [
        Exposure(
            system=f"s{n}", data_class=f"d{n % 50}-{x}", shelf_life_years=float(x), shelf_life_exceeds_horizon=some,
            migration_years=Interval(low=m, high=m + 3 * width), avoidable_data_years=some, sunk_data_years=some,
            delay_cost_data_years_per_year=some, verdict=Verdict.QUANTUM_VULNERABLE,
        )
        for n, (x, m, width) in enumerate(zip(shelf.tolist(), start.tolist(), more.tolist(), strict=True))
    ]  # fmt: skip


def _ensemble(systems: int, runs: int, goal: float | None) -> list[Row]:
    estate = _estate(systems)
    ranks, swings = interleaved(
        runs,
        lambda: _cpu_s(lambda: rank_ranges(estate, _curve(), AS_OF)),
        lambda: _cpu_s(lambda: sensitivity(estate, _curve(), curves(), AS_OF)),
    )
    return [
        row(f"ranges of ranks, {systems:,} systems", ranks, "s", goal=goal),
        row(f"sensitivity of the order, {systems:,} systems", swings, "s"),
    ]


def _order_of_work() -> Row:
    rng = np.random.default_rng(4)
    found = sorted(
        (_Criteria(float(e), int(s), int(n), -int(d)) for e, s, n, d in zip(
            rng.random(100_000), rng.integers(0, 5, 100_000), rng.integers(0, 3, 100_000),
            rng.integers(0, 20, 100_000), strict=True)),
        reverse=True,
    )  # fmt: skip
    return row("tiers of the order of work, 100,000 systems", [_cpu_s(lambda: _tiers(found)) for _ in range(RUNS)], "s")


def _curve() -> ThreatCurve:
    return next(c for c in curves() if c.id == "gri-2025")


def rows() -> list[Row]:
    """Return the rows of exposure: closed form, ensemble of threat curves, sensitivity, order of work."""
    return [
        *_closed_form(),
        *_ensemble(5_000, RUNS, 3.0),
        *_ensemble(100_000, 1, None),
        _order_of_work(),
        row("exposure, peak memory of all this", [peak_mb()], "MB"),
    ]
