"""The five approaches: the guide's ten ratings, how firm they are, and how long a large estate takes to decide."""

import time
from collections.abc import Callable
from datetime import date

import numpy as np
from msgspec.structs import replace

from bench.measure import Row, interleaved, row
from bench.plan_assets import estate_of
from keystrand.edge.catalogue import positions
from keystrand.edge.scenarios import scenario_set
from keystrand.model.estate import Estate, LossBasis, QuantumCase, Segment, SegmentReach
from keystrand.model.stages import Approach
from keystrand.model.units import Answer
from keystrand.plan.approach import decide
from keystrand.plan.comparison import CUTS, PROFILES, Burden, migration_readiness, operational_complexity, weight
from keystrand.plan.physics import modelled_rate, worst_span
from keystrand.plan.residual import residuals
from keystrand.plan.stability import CUTS_BY, WEIGHTS_BY, stability

SEGMENTS, DRAWS, RUNS = 1000, 5000, 5
_AS_OF = date(2026, 11, 26)
_GUIDE = {
    Approach.QKD_FIBRE: ("high", "high for pilot, medium for scale"),
    Approach.QKD_TRUSTED_NODE: ("high", "medium"),
    Approach.HYBRID: ("medium", "high"),
    Approach.PQC_ONLY: ("low to medium", "very high"),
    Approach.QUANTUM_INTERNET_TESTBED: ("very high", "low to medium"),
}
"""Complexity and readiness of the guide's table."""


def rows() -> list[Row]:
    """Return the rows: ten ratings, their firmness beside a plain count, and the time of the decisions."""
    return [_ratings(), *_firmness(), *_decisions()]


def _ratings() -> Row:
    found = {a: (operational_complexity(a), migration_readiness(a)) for a in Approach}
    same = sum(one == other for a in Approach for one, other in zip(found[a], _GUIDE[a], strict=True))
    return row("ratings of the guide's table reproduced, of 10", [float(same)], "cells", at_least=10)


def _timed(job: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        begin = time.process_time()
        job()
        return time.process_time() - begin

    return run


def _firmness() -> list[Row]:
    counted = _timed(_one_by_one)
    ours, theirs = interleaved(RUNS, _timed(lambda: stability.__wrapped__(DRAWS, 1)), counted)
    share = stability(DRAWS, 1).complexity_column
    return [
        row("draws in which all five ratings of complexity stay", [share], "ratio"),
        row(f"stability of both columns, {DRAWS} draws", ours, "s CPU", peer="one draw after the other, one column",
            peer_samples=theirs),
    ]  # fmt: skip


def _one_by_one() -> int:
    random, kept = np.random.default_rng(1), 0
    for _ in range(DRAWS):
        cuts = [cut + random.uniform(-CUTS_BY, CUTS_BY) for cut in CUTS]
        by = {one: random.uniform(1 - WEIGHTS_BY, 1 + WEIGHTS_BY) for one in Burden}
        kept += all(
            sum(sum(weight(b, degrades=p.degrades) * by[b] for b in set_) >= cut for cut in cuts)
            == sum(sum(weight(b, degrades=p.degrades) for b in set_) >= cut for cut in CUTS)
            for p in PROFILES.values()
            for set_ in (p.always, p.always | p.sometimes)
        )
    return kept


def _decisions() -> list[Row]:
    estate, known, odds = _estate(), positions(), scenario_set()
    sites = {site.id: site for site in estate.site}
    decided, modelled, weighed = interleaved(
        RUNS,
        _timed(lambda: decide(estate, known, _AS_OF)),
        _timed(lambda: [modelled_rate(worst_span(one, sites)) for one in estate.segment]),
        _timed(lambda: [residuals(one, odds, None) for one in estate.segment]),
    )
    name = f"{SEGMENTS} segments with {len(estate.system)} systems"
    return [
        row(f"{name} decided", decided, "s CPU", peer="their modelled rates alone", peer_samples=modelled),
        row(f"{name} weighed by scenario", weighed, "s CPU"),
    ]


def _estate() -> Estate:
    """Return the estate of the other benchmark with fibres of many lengths between its first sites."""
    estate = estate_of()
    a, b = estate.site[0].id, estate.site[1].id
    case = QuantumCase(dedicated_optics=Answer.YES, trusted_nodes=Answer.NO, specialised_operation=Answer.YES)
    made = tuple(
        Segment(
            id=f"fibre-{n}", name=f"Fibre {n}", a=a, b=b, reach=SegmentReach.METRO, length_km=10 + n / 10,
            loss_db=2 + n / 50, loss_basis=LossBasis.MEASURED, dark_fibre=Answer.YES, carrier="own",
            key_demand_bits_per_s=256.0 + n, quantum=case,
        )
        for n in range(SEGMENTS)
    )  # fmt: skip
    on = tuple(replace(s, segments=(made[n % SEGMENTS].id,)) for n, s in enumerate(estate.system))
    return replace(estate, segment=made, system=on)
