"""What each approach leaves open, and what a quantum link adds to post-quantum cryptography only. All odds are assumed.

With p the odds that the post-quantum exchange fails and q that the quantum link does, over the years of the plan:

    p = 1 - (1 - cryptanalysis)(1 - implementation)
    q = 1 - (1 - side channel)(1 - s t)(1 - (1 - s) t)^n      n trusted nodes of odds t, of which the share s is common
    hybrid: min(p, q, p q + c sqrt(p (1 - p) q (1 - q)))      both must fail; c is the correlation of the two events
    readable = 1 - (1 - e)(1 - leg)                           e: the end point, common to every approach

The nodes are a path product with a common-cause share (beta-factor model; Fleming, 1975). A range goes over both ends
of every figure, and over steps between for p and q, in which the hybrid is not monotone. What lies exposed is what
would be readable were the segment to stay classical for the years of the plan (`model.horizon.avoidable`), if recorded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keystrand.model.estate import Segment
from keystrand.model.horizon import Horizon, Values, avoidable
from keystrand.model.scenario import Odds, ScenarioSet
from keystrand.model.stages import Approach, Consequence, Residual, ScenarioResult
from keystrand.model.units import Interval
from keystrand.plan.ground import Ground

QUANTUM_COMPUTER = "quantum-computer"
DENIAL_OF_SERVICE = "denial-of-service"
_STEPS = 33
_PRODUCTION = (Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE, Approach.HYBRID, Approach.PQC_ONLY)
"""A testbed carries no production traffic: nothing of it can be read."""

_QKD_ALONE = frozenset({Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE})
_READS: dict[Odds, frozenset[Approach]] = {
    Odds.PQC_CRYPTANALYSIS: frozenset({Approach.PQC_ONLY}),
    Odds.PQC_IMPLEMENTATION: frozenset({Approach.PQC_ONLY}),
    Odds.QKD_SIDE_CHANNEL: _QKD_ALONE,
    Odds.TRUSTED_NODE: frozenset({Approach.QKD_TRUSTED_NODE}),
    Odds.ENDPOINT: frozenset(_PRODUCTION),
}
"""Which approaches a scenario alone makes readable; a hybrid holds while either source does."""


class Legs(NamedTuple):
    """Odds that the two key sources fail, and what both share; numbers or arrays that broadcast together."""

    pqc: Values
    qkd: Values
    correlation: Values
    endpoint: Values


def either(*odds: float) -> float:
    """Return the odds that at least one of independent events happens."""
    return float(1 - np.prod([1 - one for one in odds]))


def path(node: float, shared: float, nodes: int) -> float:
    """Return the odds that a path of so many trusted nodes gives its keys away; `shared` falls on all at once."""
    if not nodes:
        return 0.0
    return either(shared * node, 1 - (1 - (1 - shared) * node) ** nodes)


def both(legs: Legs) -> Values:
    """Return the odds that both sources fail: correlated events, never more likely than either."""
    spread = np.sqrt(legs.pqc * (1 - legs.pqc) * legs.qkd * (1 - legs.qkd))
    return np.minimum(np.minimum(legs.pqc, legs.qkd), legs.pqc * legs.qkd + legs.correlation * spread)


def leg(approach: Approach, legs: Legs) -> Values:
    """Return the odds that the keys of `approach` are known to somebody else."""
    if approach is Approach.PQC_ONLY:
        return legs.pqc
    return both(legs) if approach is Approach.HYBRID else legs.qkd


def legs_of(odds: ScenarioSet, nodes: int) -> Legs:
    """Return the whole box of assumed ranges as arrays of four axes: pqc, qkd, correlation, end point."""
    cryptanalysis, implementation = odds.of(Odds.PQC_CRYPTANALYSIS), odds.of(Odds.PQC_IMPLEMENTATION)
    side, node, shared = odds.of(Odds.QKD_SIDE_CHANNEL), odds.of(Odds.TRUSTED_NODE), odds.of(Odds.SHARED_CAUSE)
    # on a path more in common may mean more or less: between the ends of the share lies what the steps find
    shares = np.linspace(shared.low, shared.high, _STEPS)
    paths = [path(t, float(s), nodes) for t in (node.low, node.high) for s in shares]
    pqc = (either(cryptanalysis.low, implementation.low), either(cryptanalysis.high, implementation.high))
    qkd = (either(side.low, min(paths)), either(side.high, max(paths)))
    correlation, endpoint = odds.of(Odds.COMMON_FAILURE), odds.of(Odds.ENDPOINT)
    return Legs(
        pqc=np.linspace(*pqc, _STEPS).reshape(-1, 1, 1, 1),
        qkd=np.linspace(*qkd, _STEPS).reshape(1, -1, 1, 1),
        correlation=np.array([correlation.low, correlation.high]).reshape(1, 1, -1, 1),
        endpoint=np.array([endpoint.low, endpoint.high]).reshape(1, 1, 1, -1),
    )


def at_stake(segment: Segment, ground: Ground, ends: Sequence[Horizon]) -> Interval | None:
    """Return the data-years that would be readable were `segment` to stay classical; None where its data is unknown.

    Over both ends of the threat curve and of how long data must stay secret; one unit a year for each class of data of
    each system, produced over the years of the plan.
    """
    spans = [
        item.retention_range_years or (item.retention_years, item.retention_years)
        for _, item in ground.carried(segment)
    ]
    if not spans:
        return None
    years = float(ground.estate.planning.horizon_years)
    sums = [float(avoidable(end, years, np.array(lives)).sum()) for end in ends for lives in zip(*spans, strict=True)]
    return Interval(low=_rounded(min(sums)), high=_rounded(max(sums)))


def residuals(segment: Segment, odds: ScenarioSet, stake: Interval | None) -> tuple[Residual, ...]:
    """Return what each production approach leaves open on `segment`, and what it takes away from post-quantum only."""
    other = Approach.QKD_FIBRE if segment.via else Approach.QKD_TRUSTED_NODE
    return tuple(_residual(one, len(segment.via), odds, stake) for one in _PRODUCTION if one is not other)


def _residual(approach: Approach, nodes: int, odds: ScenarioSet, stake: Interval | None) -> Residual:
    legs = legs_of(odds, nodes)
    safe = 1 - legs.endpoint
    failing = leg(approach, legs)
    less = _interval(safe * (legs.pqc - failing))
    return Residual(
        approach=approach,
        scenarios=_scenarios(approach, nodes, odds),
        readable=_interval(1 - safe * (1 - failing)),
        less_readable=less,
        avoided_data_years=_times(less, stake) if stake else None,
    )


def _scenarios(approach: Approach, nodes: int, odds: ScenarioSet) -> tuple[ScenarioResult, ...]:
    made = [ScenarioResult(scenario=QUANTUM_COMPUTER, consequence=Consequence.HOLDS, probability=None)]
    for one, reads in _READS.items():
        if one is Odds.TRUSTED_NODE and not nodes:
            continue
        found = Consequence.READABLE if approach in reads else Consequence.HOLDS
        made.append(ScenarioResult(scenario=one.value, consequence=found, probability=odds.of(one)))
    denied = {Approach.HYBRID: Consequence.FALLS_BACK, Approach.PQC_ONLY: Consequence.HOLDS}
    stops = denied.get(approach, Consequence.STOPS)
    return (*made, ScenarioResult(scenario=DENIAL_OF_SERVICE, consequence=stops, probability=None))


def _times(one: Interval, other: Interval) -> Interval:
    ends = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    return Interval(low=_rounded(min(ends)), high=_rounded(max(ends)))


def _interval(values: Values) -> Interval:
    return Interval(low=_rounded(float(values.min())), high=_rounded(float(values.max())))


def _rounded(value: float) -> float:
    """Return three significant figures: more are not in an assumption, and equal inputs give equal bytes."""
    return float(f"{value:.3g}") + 0.0
