"""The efficient frontier of cost-effectiveness: which ways are worth their effort, and what each step on it brings.

Of two ways, the one that saves no more for no less effort is dominated. One that lies below the line between two
others is extendedly dominated: a mix of those two does better. What remains has falling incremental ratios
(Weinstein and Stason, New England Journal of Medicine 296, 1977; Cantor, Operations Research 42(1), 1994).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keystrand.model.stages.costed import Standing

Values = NDArray[np.float64]


def standings(effort: Sequence[float], saved: Sequence[float]) -> list[Standing]:
    """Return how each way stands; the one with the least effort (of these, the one that saves most) is the base."""
    order = sorted(range(len(effort)), key=lambda n: (effort[n], -saved[n], n))
    found = [Standing.DOMINATED] * len(effort)
    undominated: list[int] = []
    for n in order:
        if not undominated or saved[n] > saved[undominated[-1]]:
            undominated.append(n)
    for n in undominated:
        found[n] = Standing.EXTENDEDLY_DOMINATED
    for n in _hull(undominated, effort, saved):
        found[n] = Standing.EFFICIENT
    if order:
        found[order[0]] = Standing.BASE
    return found


def _hull(order: Sequence[int], effort: Sequence[float], saved: Sequence[float]) -> list[int]:
    """Return those of `order` (rising in both) that no line between two others passes above."""
    kept: list[int] = []
    for n in order:
        while len(kept) > 1 and _ratio(kept[-2], kept[-1], effort, saved) <= _ratio(kept[-1], n, effort, saved):
            kept.pop()
        kept.append(n)
    return kept


def _ratio(one: int, other: int, effort: Sequence[float], saved: Sequence[float]) -> float:
    return (saved[other] - saved[one]) / (effort[other] - effort[one])


def before(effort: Sequence[float], saved: Sequence[float]) -> dict[int, int]:
    """Return, for each efficient way, the efficient way or base before it."""
    stand = standings(effort, saved)
    on = [n for n, s in enumerate(stand) if s in (Standing.BASE, Standing.EFFICIENT)]
    on.sort(key=lambda n: effort[n])
    return dict(zip(on[1:], on[:-1], strict=True))


def stays(effort: Values, saved: Values) -> Values:
    """Return in which share of the scenarios each way is on the frontier; both ways by scenarios.

    A way is on it where some price of effort makes it the best: no other saves as much for less, and the steepest rise
    to a way with more effort is no steeper than the flattest rise from one with less.
    """
    ways, scenarios = effort.shape
    share = np.zeros(ways)
    for n in range(ways):
        rise_in, rise_out = np.full(scenarios, np.inf), np.zeros(scenarios)
        beaten = np.zeros(scenarios, dtype=bool)
        for m in range(ways):
            if m == n:
                continue
            more, gain = effort[m] - effort[n], saved[m] - saved[n]
            beaten |= ((more <= 0) & (gain > 0)) | ((more < 0) & (gain >= 0)) | ((more == 0) & (gain == 0) & (m < n))
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where(more != 0, gain / more, 0.0)
            rise_out = np.where(more > 0, np.maximum(rise_out, slope), rise_out)
            rise_in = np.where(more < 0, np.minimum(rise_in, slope), rise_in)
        share[n] = float(np.mean(~beaten & (rise_in > rise_out)))
    return share


def incremental(effort: Values, saved: Values) -> Values:
    """Return saved over effort, scenario by scenario; 0 where there is no effort to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(effort > 0, saved / np.where(effort > 0, effort, 1.0), 0.0), dtype=float)
