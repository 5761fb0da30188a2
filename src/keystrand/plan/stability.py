"""How much the ratings of the comparison hang on exact weights and cut-offs: both are moved at random, and counted."""

from collections.abc import Callable
from functools import cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from keystrand.model.stages import Approach
from keystrand.plan.comparison import CUTS, PROFILES, Burden, Criterion, Profile, burden, weight


class Stability(Struct, frozen=True, kw_only=True):
    """In which share of the draws each rating stays as it is, and all five of a column at once."""

    draws: int
    seed: int
    complexity: dict[Approach, float]
    readiness: dict[Approach, float]
    complexity_column: float
    readiness_column: float

    @property
    def text(self) -> str:
        """Return it in a sentence."""
        moved = f"every weight changed by up to {WEIGHTS_BY * 100:g} percent and every cut-off by up to {CUTS_BY:g}"
        complexity, readiness = f"{self.complexity_column * 100:.0f}", f"{self.readiness_column * 100:.0f}"
        return (
            f"in {self.draws:,} draws (seed {self.seed}) with {moved}, all five ratings of complexity stay in "
            f"{complexity} percent, all five of readiness in {readiness} percent"
        )


WEIGHTS_BY, CUTS_BY = 0.2, 0.4
"""How far a weight (as a share of itself) and a cut-off (as a number of burdens) are moved."""
Draws = NDArray[np.float64]


@cache
def stability(draws: int = 5000, seed: int = 1) -> Stability:
    """Return how often the ratings survive when weights and cut-offs are moved at random, evenly within bounds."""
    random = np.random.default_rng(seed)
    cuts = np.array(CUTS) + random.uniform(-CUTS_BY, CUTS_BY, (draws, len(CUTS)))
    changes = {
        one: random.uniform(1 - WEIGHTS_BY, 1 + WEIGHTS_BY, draws) for kind in (Burden, Criterion) for one in kind
    }

    def same(approach: Approach, sums: Callable[[Profile], list[tuple[float, Draws]]]) -> NDArray[np.bool_]:
        kept = [_level(total, cuts) == sum(now >= cut for cut in CUTS) for now, total in sums(PROFILES[approach])]
        stays: NDArray[np.bool_] = np.all(kept, axis=0)
        return stays

    complexity = {a: same(a, lambda p: [_burdens(p, set_, changes, draws) for set_ in _loads(p)]) for a in Approach}
    readiness = {a: same(a, lambda p: [_criteria(set_, changes, draws) for set_ in _met(p)]) for a in Approach}
    return Stability(
        draws=draws,
        seed=seed,
        complexity={a: float(kept.mean()) for a, kept in complexity.items()},
        readiness={a: float(kept.mean()) for a, kept in readiness.items()},
        complexity_column=float(np.logical_and.reduce(list(complexity.values())).mean()),
        readiness_column=float(np.logical_and.reduce(list(readiness.values())).mean()),
    )


def _level(totals: Draws, cuts: Draws) -> NDArray[np.int64]:
    level: NDArray[np.int64] = (totals[:, None] >= cuts).sum(axis=1)
    return level


def _loads(profile: Profile) -> tuple[frozenset[Burden], ...]:
    return (profile.always, profile.always | profile.sometimes)


def _met(profile: Profile) -> tuple[frozenset[Criterion], ...]:
    return (profile.pilot, profile.pilot if profile.scale is None else profile.scale)


def _burdens(
    profile: Profile, burdens: frozenset[Burden], changes: dict[Burden | Criterion, Draws], draws: int
) -> tuple[float, Draws]:
    # in the order of the enumeration: a set has none, and equal inputs must give equal sums
    found = [one for one in Burden if one in burdens]
    total = sum((weight(one, degrades=profile.degrades) * changes[one] for one in found), np.zeros(draws))
    return burden(profile, found), total


def _criteria(
    criteria: frozenset[Criterion], changes: dict[Burden | Criterion, Draws], draws: int
) -> tuple[float, Draws]:
    found = [one for one in Criterion if one in criteria]
    return float(len(found)), sum((changes[one] for one in found), np.zeros(draws))
