"""What a migration and a quantum link save, in data-years of readable data (model/horizon.py), and what is left.

For a system whose key exchange moves at M and would otherwise stay as it is until its end T, E(T) - E(M) is what is
produced in between and readable. Post-quantum cryptography removes it but for the odds p that it fails itself. A link
in service from D on changes those odds from then on: to q if its keys stand alone, to those of both failing if they
are combined. The end point gives some of it away (e), whatever made the keys. Odds: `plan.residual`, drawn from the
ranges of the organisation's own set.

    saved = (1 - e) [(1 - p) (A - B) + (1 - leg) B]     leg: p, q, or both, by the approach
    A = E(T) - E(M),  B = E(T) - E(max(M, D))           B is the part of A after D

What was recorded before today is sunk, has no part in A, and is never counted as saved.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate, System
from keystrand.model.horizon import Horizon, avoided, years_between
from keystrand.model.scenario import Odds
from keystrand.model.stages import Approach, Assessment, Exposure, MeasureKind, Plan
from keystrand.plan.cost_inputs import CURVE, Draws
from keystrand.plan.cost_lines import QUANTUM, Scope
from keystrand.plan.residual import Legs, leg

Values = NDArray[np.float64]
ROUNDED = 6
"""Decimals of data-years: far below their meaning, so that two machines write the same document."""


class Saving(NamedTuple):
    """Data-years at the low and at the high threat curve."""

    low: float = 0.0
    high: float = 0.0

    def plus(self, other: "Saving", share: float = 1.0) -> "Saving":
        """Return the sum with `share` of `other`."""
        return Saving(self.low + share * other.low, self.high + share * other.high)

    def drawn(self, draws: Draws) -> Values:
        """Return the saving in each scenario: all savings stand at the same place between the two curves."""
        return np.asarray(self.low + draws.of(CURVE) * (self.high - self.low), dtype=float)


class Exposed(NamedTuple):
    """The exposures of one system, and when it stops (`moves`) or would stop (`ends`), in years from today."""

    exposures: tuple[Exposure, ...]
    moves: float
    ends: float
    weight: float


def weights(estate: Estate, assessment: Assessment) -> dict[str, float] | None:
    """Return the yearly volume of each system with an exposure; None where one does not state it: all weigh alike."""
    named = {exposure.system for exposure in assessment.exposures}
    stated = {system.id: system.volume_per_year for system in estate.system if system.id in named}
    found = {name: volume for name, volume in stated.items() if volume is not None}
    return found if found and len(found) == len(stated) else None


def exposed_systems(
    scope: Scope, assessment: Assessment, plan: Plan, weight: Mapping[str, float] | None
) -> dict[str, Exposed]:
    """Return the systems whose key exchange the plan moves, with their exposures; see `weights`."""
    moves = {
        measure.subject: years_between(scope.as_of, measure.finish)
        for measure in plan.measures
        if measure.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT
    }
    of: dict[str, list[Exposure]] = {name: [] for name in moves}
    for exposure in assessment.exposures:
        if exposure.system in of:
            of[exposure.system].append(exposure)
    return {
        s.id: Exposed(tuple(of[s.id]), moves[s.id], scope.end_of(s), weight[s.id] if weight else 1.0)
        for s in scope.estate.system
        if of.get(s.id)
    }


def savings(
    exposed: Mapping[str, Exposed], horizons: tuple[Horizon, Horizon], *, after: float = 0.0
) -> dict[str, Saving]:
    """Return what the move of each system saves, or only that part which is produced from `after` on.

    The low end is that of the low curve with the shortest shelf life, the high end that of the others. A verdict that
    is not known counts at the high end and never at the low one.
    """
    rows = [(n, system, one) for n, system in enumerate(exposed.values()) for one in system.exposures]
    at = np.array([n for n, _, _ in rows], dtype=int)
    ends = np.array([system.ends for _, system, _ in rows])
    start = np.minimum(np.maximum([system.moves for _, system, _ in rows], after), ends)
    weight = np.array([system.weight for _, system, _ in rows])
    lives = [np.array([getattr(one.shelf_life, end) for _, _, one in rows]) for end in ("low", "high")]
    sure = np.array([one.verdict is Verdict.QUANTUM_VULNERABLE for _, _, one in rows], dtype=bool)
    of_curves = [avoided(h, ends, start, life) * weight for h, life in zip(horizons, lives, strict=True)]
    low, high = np.zeros(len(exposed)), np.zeros(len(exposed))
    np.add.at(low, at, np.where(sure, np.minimum(*of_curves), 0.0))
    np.add.at(high, at, np.maximum(*of_curves))
    return {
        name: Saving(round(float(low[n]), ROUNDED), round(float(high[n]), ROUNDED)) for n, name in enumerate(exposed)
    }


def reduction(approach: Approach, whole: Saving, late: Saving, nodes: int, draws: Draws) -> Values:
    """Return the data-years that `approach` saves in each scenario; `whole` and `late` are A and B above."""
    odds, a = legs_drawn(nodes, draws), whole.drawn(draws)
    if approach not in QUANTUM or approach is Approach.QUANTUM_INTERNET_TESTBED:
        return np.asarray((1 - odds.endpoint) * (1 - odds.pqc) * a)  # a testbed carries no production traffic
    b = late.drawn(draws)
    return np.asarray((1 - odds.endpoint) * ((1 - odds.pqc) * (a - b) + (1 - leg(approach, odds)) * b))


def legs_drawn(nodes: int, draws: Draws) -> Legs:
    """Return the odds of each key source in each scenario, over so many trusted nodes (formulas: `plan.residual`)."""
    node, shared = draws.of(Odds.TRUSTED_NODE), draws.of(Odds.SHARED_CAUSE)
    kept = (1 - shared * node) * (1 - (1 - shared) * node) ** nodes if nodes else 1.0
    return Legs(
        pqc=1 - (1 - draws.of(Odds.PQC_CRYPTANALYSIS)) * (1 - draws.of(Odds.PQC_IMPLEMENTATION)),
        qkd=1 - (1 - draws.of(Odds.QKD_SIDE_CHANNEL)) * kept,
        correlation=draws.of(Odds.COMMON_FAILURE),
        endpoint=draws.of(Odds.ENDPOINT),
    )


def of_segment(
    systems: Iterable[System], exposed: Mapping[str, Exposed], horizons: tuple[Horizon, Horizon], built: float
) -> tuple[Saving, Saving]:
    """Return A and B of the `systems` of a segment: a system's data counts to each of its segments in equal shares."""
    shares = {system.id: 1.0 / len(system.segments) for system in systems if system.id in exposed}
    parts = {name: exposed[name] for name in shares}
    whole, late = Saving(), Saving()
    for name, part in savings(parts, horizons).items():
        whole = whole.plus(part, shares[name])
    for name, part in savings(parts, horizons, after=built).items():
        late = late.plus(part, shares[name])
    return whole, late
