"""Topologies on germany50 of SNDlib, read from the user's copy: cost, proven gap and time, beside a greedy planner.

`KEYSTRAND_BENCH_SNDLIB` names a folder in which germany50 stands somewhere, as .txt or .xml. Costs are placeholders:
only ratios matter. Every design has passed the verifier, or there is none. It takes about seven minutes.
"""

import os
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.measure import Failed, Missing, Row, row
from keystrand.edge.solver_thread import in_thread, without_stdout
from keystrand.edge.topology_tariffs import placeholder_tariff
from keystrand.formats.networks import network_from
from keystrand.model.planning import Protection
from keystrand.model.stages.designed import Ended, RateModel, TopologyDesign
from keystrand.plan.topology import Head, design_topology
from keystrand.plan.topology_needs import busiest
from keystrand.plan.topology_optics import FIBRE_DB_PER_KM, optics_of
from keystrand.plan.topology_search import Limits

FOLDER = "KEYSTRAND_BENCH_SNDLIB"
_BEST_40 = 30_713.0
"""The best cost known for 40 needs when the goals were set."""
_GREEDY = "the greedy planner, same needs"
_LEAST_SAVED = 0.8


class Timed(NamedTuple):
    """A design and the seconds that it took, the verifier included."""

    design: TopologyDesign
    seconds: float


def _file() -> Path:
    folder = os.environ.get(FOLDER, "")
    found = (
        sorted(Path(folder).glob("**/germany50.txt")) + sorted(Path(folder).glob("**/germany50.xml")) if folder else []
    )
    if not found:
        raise Missing(f"{FOLDER} names no folder with germany50.txt or germany50.xml of SNDlib")
    return found[0]


def designed(file: Path, needs: int, seconds: float) -> Timed:
    """Return the design for the `needs` busiest pairs, every two paths node- and fibre-disjoint."""
    read = network_from(file.read_bytes(), file.name, FIBRE_DB_PER_KM)
    asked = busiest(read.traffic, needs, 0, Protection.NODE)
    network = msgspec.structs.replace(read.network, needs=asked)
    optics = optics_of(RateModel.PLACEHOLDER, measured=False)
    begun = time.perf_counter()
    # the end of a solver's step, and the verifier after it, take less than three seconds
    limits = Limits(lambda: begun + seconds - 3.0 - time.perf_counter(), 10_000, 0, lambda *_: None, in_thread)
    head = Head(date(2026, 11, 26), datetime(2026, 11, 26, tzinfo=UTC), "bench", ())
    with without_stdout():
        design = design_topology(network, optics, placeholder_tariff(), limits, head)
    if design.unserved or design.greedy_serves < needs:
        raise Failed(f"{len(design.unserved)} of {needs} needs are not served")
    return Timed(design, time.perf_counter() - begun)


def rows() -> list[Row]:
    """Return the rows. Raises `Missing` without the network, `Failed` where a need is not served."""
    file = _file()
    made: list[Row] = []
    for needs, seconds in ((10, 15.0), (20, 120.0), (40, 90.0), (100, 150.0)):
        timed = designed(file, needs, seconds)
        name = f"germany50, {needs} protected needs"
        made += [_goal_row(name, needs, timed), *_common(name, timed, seconds)]
    return made


def _goal_row(name: str, needs: int, timed: Timed) -> Row:
    design = timed.design
    if needs == 10:
        if design.ended is not Ended.PROVEN:
            raise Failed("the optimum for 10 needs was not proven")
        return row(f"{name}: proven optimal", [timed.seconds], "s", goal=15.0)
    if needs == 20:
        return row(f"{name}: proven gap", [100 * design.gap], "%", goal=3.0)
    goal = round(1.03 * _BEST_40) if needs == 40 else 61_500.0
    return row(f"{name}: cost, all served", [design.cost.likely], "thousand", goal=goal)


def _common(name: str, timed: Timed, seconds: float) -> list[Row]:
    design = timed.design
    saved = design.cost.likely / design.greedy_cost
    return [
        row(f"{name}: time", [timed.seconds], "s", goal=seconds),
        row(f"{name}: gap to the proven bound", [100 * design.gap], "%"),
        row(f"{name}: cost over greedy", [saved], "of it", peer=_GREEDY, peer_samples=[1.0], goal=_LEAST_SAVED),
    ]
