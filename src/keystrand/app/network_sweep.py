"""Many lives of one network: what is usual, and how bad it gets, from runs that differ in their seeds alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from keystrand.edge.chunks.sweep import Part, Progress, engine_of, map_chunks
from keystrand.model.errors import InvalidInput
from keystrand.pilot.network import Network
from keystrand.pilot.network_run import DemandSummary, LinkSummary, demand_summaries, link_summaries, run

SECONDS_A_DAY = 86_400.0
MOST_RUNS = 100_000


class Life(Struct, frozen=True, kw_only=True):
    """What one run is asked for."""

    network: Network
    days: float


class LifeSummary(Struct, frozen=True, kw_only=True):
    """What one run brought."""

    links: tuple[LinkSummary, ...]
    demands: tuple[DemandSummary, ...]


class SweepOptions(Struct, frozen=True, kw_only=True):
    """How to compute it: by `engine` (inline, pool, pool:WORKERS, ray, ray:ADDRESS), `part` of `parts` machines."""

    engine: str = "inline"
    checkpoint: Path | None = None
    part: int = 1
    parts: int = 1


def live(life: Life, seed: np.random.SeedSequence) -> LifeSummary:
    """Return one drawn run; what `map_chunks` computes."""
    made = run(life.network, life.days * SECONDS_A_DAY, seed=seed)
    return LifeSummary(links=tuple(link_summaries(made)), demands=tuple(demand_summaries(made)))


def sweep(
    network: Network, *, days: float, runs: int, seed: int, options: SweepOptions, progress: Progress | None = None
) -> list[LifeSummary]:
    """Return `runs` runs, or this machine's part of them. Raises `InvalidInput`, and what `map_chunks` does."""
    steps = days * SECONDS_A_DAY / network.step_s
    if not 1 <= runs <= MOST_RUNS or not 1 <= steps <= 20_000_000:
        raise InvalidInput(
            f"{runs} runs of {days:g} days cannot be made", hint=f"1 to {MOST_RUNS} runs of at least one step"
        )
    return map_chunks(
        live,
        [Life(network=network, days=days)] * runs,
        engine=engine_of(options.engine),
        seed=seed,
        checkpoint=options.checkpoint,
        part=Part(options.part, options.parts),
        progress=progress,
    )


def sweep_rows(lives: Sequence[LifeSummary]) -> list[dict[str, Any]]:
    """Return one row a demand: how it fared over the runs; percentiles are of runs."""
    rows = []
    for n, first in enumerate(lives[0].demands):
        all_ = [one.demands[n] for one in lives]
        served = np.array([one.served_ratio for one in all_])
        longest = np.array([one.longest_shortage_s for one in all_]) / 3600.0
        rows.append(
            {
                "demand": first.demand,
                "runs": len(lives),
                "served_median": float(np.median(served)),
                "served_5th_percentile": float(np.quantile(served, 0.05)),
                "served_worst": float(served.min()),
                "longest_shortage_median_h": float(np.median(longest)),
                "longest_shortage_95th_percentile_h": float(np.quantile(longest, 0.95)),
                "longest_shortage_worst_h": float(longest.max()),
                "simulated": True,
            }
        )
    return rows


def sweep_link_rows(lives: Sequence[LifeSummary]) -> list[dict[str, Any]]:
    """Return one row a link: its secret key rate and the time it could distil over the runs."""
    rows = []
    for n, first in enumerate(lives[0].links):
        rates = np.array([one.links[n].secret_key_rate_bits_per_s for one in lives])
        up = np.array([one.links[n].up_ratio for one in lives])
        rows.append(
            {
                "link": first.link,
                "runs": len(lives),
                "bits_per_s_median": float(np.median(rates)),
                "bits_per_s_5th_percentile": float(np.quantile(rates, 0.05)),
                "bits_per_s_worst": float(rates.min()),
                "up_median": float(np.median(up)),
                "up_worst": float(up.min()),
                "simulated": True,
            }
        )
    return rows
