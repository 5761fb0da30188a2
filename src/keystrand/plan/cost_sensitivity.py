"""Which input moves the cost, and which is worth finding out first."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.plan.cost_inputs import Draws, Ends, values_at

Values = NDArray[np.float64]

LOW_SCORE, HIGH_SCORE = -1.2815515655446004, 1.2815515655446004
"""Normal scores of the 10th and 90th percentile."""
TAIL = 0.1
FIT_DEGREE = 3
"""Degree of the polynomial in an input's score that stands for the mean of the net benefit given that input."""


class Swung(NamedTuple):
    """What an input does: its own values at the ends, alone, and together with what moves with it."""

    at: tuple[float, float]
    alone: tuple[float, float]
    together: tuple[float, float]


def swings(draws: Draws, known: Mapping[str, Ends], cost: Callable[[Draws], Values]) -> dict[str, Swung]:
    """Return the swing of every input over the cost that `cost` gives for a set of draws, the largest alone first."""
    names = list(known)
    mean = draws.values.mean(axis=1)
    ends = values_at([known[name] for name in names], np.tile([LOW_SCORE, HIGH_SCORE], (len(names), 1)))
    columns = np.repeat(mean[:, None], 2 * len(names), axis=1)
    for n in range(len(names)):
        columns[n, 2 * n : 2 * n + 2] = ends[n]
    alone = cost(Draws(draws.names, columns, columns)).reshape(-1, 2)
    total = cost(draws)
    found = {}
    for n, name in enumerate(names):
        low, high = np.quantile(draws.scores[n], [TAIL, 1.0 - TAIL])
        together = total[draws.scores[n] <= low].mean(), total[draws.scores[n] >= high].mean()
        found[name] = Swung((float(ends[n, 0]), float(ends[n, 1])), (float(alone[n, 0]), float(alone[n, 1])),
                            (float(together[0]), float(together[1])))  # fmt: skip
    return dict(sorted(found.items(), key=lambda pair: (-abs(pair[1].alone[1] - pair[1].alone[0]), pair[0])))


def perfect_information(benefit: Values) -> float:
    """Return the expected value of perfect information: E[max(b, 0)] - max(E[b], 0), for benefits b over not acting.

    Howard, IEEE Transactions on Systems Science and Cybernetics 2(1), 1966.
    """
    return float(np.maximum(benefit, 0.0).mean() - max(benefit.mean(), 0.0))


def partial_information(benefit: Values, scores: Values) -> float:
    """Return the value of knowing one input: as `perfect_information`, of E[b | input] in place of b.

    The conditional mean is a regression of b on the input (Strong, Oakley and Brennan, Medical Decision Making 34(3),
    2014), here by a cubic in its normal score. Never more than perfect information but for the error of the fit.
    """
    fit = np.polynomial.Polynomial.fit(scores, benefit, FIT_DEGREE)
    return perfect_information(np.asarray(fit(scores), dtype=float))
