"""Whether a fitted model explains its series, and whether it foretells what comes after.

A fit always gives figures. They mean nothing where the residuals drift (J. von Neumann, Ann. Math. Stat. 12, 367
(1941)), where the channels contradict each other (what is left of chi-square), or where a parameter is what no device
has. One verdict is wrong about a good series with probability `FALSE_ALARM` at most, all tests together.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtr

from keystrand.qkd.calibration import Fit, mean_spread, report_interval
from keystrand.qkd.calibration_series import Channel, Series
from keystrand.qkd.decoy import Values

FALSE_ALARM = 1e-3
LARGE_SCATTER = 0.1
"""Relative noise of a report beyond which the words say so: the interval of every prediction is as wide."""
_STEADY = 1e-6
"""Residuals that differ by less than so many standard deviations are one figure, repeated."""
_PHYSICAL = {
    "misalignment": (0.0, 0.15, "a misalignment no working receiver has"),
    "dark_count_ratio": (0.0, 1e-3, "more dark counts than any detector for this use has"),
    "distillation_share": (0.0, 1.05, "more secret key than the security proof allows for these counts"),
}


class Verdict(NamedTuple):
    """`explained` is False where some test fails; `reasons` say which, and what else a reader should know."""

    explained: bool
    reasons: tuple[str, ...]


class Foretold(NamedTuple):
    """How a fit of the first part of a series did on the rest: the share of later reports inside their interval, and
    the median of |reported / modelled - 1|, by channel."""

    coverage: dict[str, float]
    median_miss: dict[str, float]


def verdict(made: Fit) -> Verdict:
    """Return whether the model explains the series it was fitted to."""
    tests = [*_drifts(made), *_contradiction(made)]
    limit = FALSE_ALARM / max(len(tests), 1)
    failed = [words for chance, words in tests if chance < limit]
    failed += _unphysical(made)
    return Verdict(not failed, (*failed, *_scattered(made)))


def foretold(made: Fit, later: Series, coverage: float = 0.9) -> Foretold:
    """Return how `made`, fitted to an earlier part, foretells `later` reports of the same channels."""
    means, spreads = mean_spread(made, later)
    inside, miss = {}, {}
    for one, fitted, mean, spread in zip(later.channels, made.series.channels, means, spreads, strict=True):
        noise = one._replace(sigma=_like(fitted, one, mean))
        low, high = report_interval(noise, mean, spread, coverage)
        inside[one.name] = float(np.mean((one.values >= low) & (one.values <= high)))
        miss[one.name] = float(np.median(np.abs(one.values / np.where(mean > 0, mean, 1.0) - 1.0)))
    return Foretold(inside, miss)


def _like(fitted: Channel, later: Channel, mean: Values) -> Values:
    """Return the noise that later reports should have: of their own counting, and beyond it, relative as it was."""
    beyond = float(np.mean(fitted.sigma**2 - fitted.counting**2) / max(float(np.mean(fitted.values**2)), 1e-300))
    return np.asarray(np.hypot(later.counting, np.sqrt(max(beyond, 0.0)) * mean))


def _drifts(made: Fit) -> list[tuple[float, str]]:
    """Return for each channel how likely so few changes of side are, if nothing drifts."""
    tests = []
    for one, residual in zip(made.series.channels, made.residuals, strict=True):
        about, n = residual - residual.mean(), residual.size
        if np.sum(about**2) < _STEADY**2 * n:
            continue  # a device that repeats a figure: nothing there drifts
        ratio = float(np.sum(np.diff(residual) ** 2) / max(np.sum(about**2), 1e-300))
        z = (ratio - 2.0) / np.sqrt(4.0 * (n - 2) / (n**2 - 1))
        words = f"{one.name}: the reports drift or jump in a way that no constant parameters give"
        tests.append((float(ndtr(z)), words))
    return tests


def _contradiction(made: Fit) -> list[tuple[float, str]]:
    """Return how likely the channels' means miss the model by so much, if it is right."""
    left = len(made.series.channels) - len(made.names)
    if left < 1:
        return []
    pulls = np.array([r.mean() * np.sqrt(r.size) for r in made.residuals])
    worst = made.series.channels[int(np.argmax(np.abs(pulls)))].name
    words = f"the channels contradict each other under this model, {worst} the most"
    return [(float(chdtrc(left, float(np.sum(pulls**2)))), words)]


def _unphysical(made: Fit) -> list[str]:
    words = []
    for name, value, sigma in zip(made.names, made.values, made.sigmas, strict=True):
        low, high, said = _PHYSICAL.get(name, (-np.inf, np.inf, ""))
        if value - 3 * sigma > high or value + 3 * sigma < low:
            words.append(f"{name} = {value:.3g}: {said}")
    whole = float(np.mean(made.series.losses_db)) + made.parameters.loss_db
    if whole + 3 * float(made.sigmas[0]) < 0:
        words.append(f"the channel would have to amplify: a loss of {whole:.2f} dB")
    return words


def _scattered(made: Fit) -> list[str]:
    words = []
    for one, mean in zip(made.series.channels, made.modelled, strict=True):
        relative = float(np.mean(one.sigma) / max(float(np.mean(mean)), 1e-300))
        counting = float(np.mean(one.counting) / max(float(np.mean(mean)), 1e-300))
        if relative > LARGE_SCATTER and relative > 2 * counting:
            words.append(f"{one.name}: single reports scatter by {relative:.0%}, more than counting explains")
    return words
