"""Closed forms of what the law of `click_law` shows in a long run: means, and how far counts scatter around them.

The law starts anew at each primary click, so it is a renewal process with rewards. From one primary click to the next,
let p be the chance of one in a live slot, U the live slots until it comes (geometric), A whether an afterpulse came
between, D the dead slots. The cycle lasts T = U + D (1 + A) slots, with

    E[U] = 1 / p,  Var[U] = (1 - p) / p^2,
    E[A] = r (1 - q)(1 - p) / (1 - q (1 - p)),  Cov[U, A] = E[A] / (1 - q (1 - p)),

r the afterpulse ratio, q as in `click_law`. Clicks a slot are E[R] / E[T], R counting the clicks of a cycle, and counts
over n slots scatter with the covariance n Cov[R - T E[R] / E[T]] / E[T] (renewal reward theorem and its central limit:
S. Asmussen, Applied Probability and Queues, 2003, chapter VI; derived here, the book was not at hand). Both leave out
the ends of a run. Without dead time and afterpulses this is the multinomial law, exactly.
"""

from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.click_law import afterpulsing, probabilities
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Tally
from keystrand.qkd.finite import Counts
from keystrand.qkd.response import DOUBLE, Response, Shown


class Cycle(NamedTuple):
    """From one primary click to the next. `primary` and `after` are what the primary click and an afterpulse may be,
    shape (k, a, b, x, y), each with the sum 1 (or 0 where there is none); the rest are moments in slots."""

    primary: Values
    after: Values
    afterpulses: float
    slots: float
    variance: float
    covariance: float
    """Of the slots with the number of afterpulses."""


def cycle(link: Bb84Link, response: Response) -> Cycle | None:
    """Return the cycle of a link, None where nothing ever clicks."""
    click, quiet = probabilities(link, response)
    dead, ratio, decay = afterpulsing(link)
    p, silent = float(click.sum()), float(quiet.sum())
    if p <= 0:
        return None
    q = float(np.exp(-1 / decay)) if decay > 0 else 0.0
    ends = 1 - q * (1 - min(p, 1.0))
    after = ratio * (1 - q) * silent / ends
    with_live, spread = after / ends, dead * after * (1 - after)
    fair = np.array([0.5, 0.5, 0.0]) / (silent if silent > 0 else 1.0)
    return Cycle(
        primary=click / p,
        after=quiet[..., None] * fair,
        afterpulses=after,
        slots=1 / p + dead * (1 + after),
        variance=silent / p**2 + dead * (spread + 2 * with_live),
        covariance=with_live + spread,
    )


def clicks(link: Bb84Link, response: Response) -> Values:
    """Return the expected clicks a pulse, shape (k, a, b, x, y), dead time and afterpulses in it."""
    found = cycle(link, response)
    if found is None:
        return np.zeros((len(link.transmitter.intensities), 2, 2, 2, 3))
    return (found.primary + found.afterpulses * found.after) / found.slots


def live_ratio(link: Bb84Link, response: Response) -> float:
    """Return in which share of the slots the receiver is live."""
    found = cycle(link, response)
    return 1.0 if found is None else 1.0 - link.dead_slots * (1 + found.afterpulses) / found.slots


def covariance(link: Bb84Link, response: Response, weights: Values) -> Values:
    """Return the covariance a pulse of weighted counts, shape (m, m) for `weights` of shape (m, k, a, b, x, y)."""
    flat = weights.reshape(len(weights), -1)
    found = cycle(link, response)
    if found is None:
        return np.zeros((len(flat), len(flat)))
    primary, after = found.primary.ravel(), found.after.ravel()
    mean = flat @ clicks(link, response).ravel()
    first, second = flat @ primary, found.afterpulses * (flat @ after)
    own = (flat * (primary + found.afterpulses * after)) @ flat.T - np.outer(first, first) - np.outer(second, second)
    lean = found.covariance * np.outer(flat @ after, mean)
    return np.asarray((own - lean - lean.T + found.variance * np.outer(mean, mean)) / found.slots)


def wrong_weights(intensities: int) -> Values:
    """Return how much each click counts as an error, shape (k, a, b, x, y): a double click half."""
    one = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5]])
    return np.broadcast_to(one, (intensities, 2, 2, 2, 3)).copy()


def expected_shown(link: Bb84Link, response: Response) -> Shown:
    """Return gain (clicks a pulse sent) and QBER by intensity and bases, dead time and afterpulses in it."""
    made = clicks(link, response)
    click, quiet = probabilities(link, response)
    sent = click.sum(axis=(3, 4)) + quiet.sum(axis=3)
    whole = made.sum(axis=(3, 4))
    wrong = (made * wrong_weights(len(made))).sum(axis=(3, 4))
    return Shown(whole / sent, np.where(whole > 0, wrong / np.where(whole > 0, whole, 1.0), 0.5))


def drawn_clicks(
    link: Bb84Link, response: Response, pulses: int, rng: np.random.Generator, blocks: int | None = None
) -> Tally:
    """Draw how often each click (k, a, b, x, y) comes in `pulses`, without drawing pulses; `blocks` of it in front.

    The number of clicks is binomial, or with dead time or afterpulses normal with the right variance. What they are is
    drawn given that; so the scatter of afterpulses against other clicks is right to first order in their ratio.
    Raises ValueError for pulses that cannot be.
    """
    if not 0 <= pulses < 2**62:
        raise ValueError("the number of pulses lies within 0 and 2^62")
    mean = clicks(link, response)
    whole = float(mean.sum())
    if link.dead_slots == 0 and link.receiver.afterpulse_ratio == 0:
        total = np.asarray(rng.binomial(pulses, min(whole, 1.0), size=blocks))
    else:
        spread = float(covariance(link, response, np.ones((1, *mean.shape)))[0, 0]) ** 0.5
        drawn = rng.normal(pulses * whole, pulses**0.5 * spread, size=blocks)
        total = np.clip(np.rint(drawn), 0, pulses).astype(np.int64)
    shares = mean.ravel() / whole if whole > 0 else np.full(mean.size, 1 / mean.size)
    return np.asarray(rng.multinomial(total, shares), dtype=np.int64).reshape(*total.shape, *mean.shape)


def drawn_counts(
    link: Bb84Link, response: Response, pulses: int, rng: np.random.Generator, blocks: int | None = None
) -> Counts:
    """Draw the counts of a block of `pulses` after sifting, shape (..., intensities); see `drawn_clicks`."""
    return as_counts(drawn_clicks(link, response, pulses, rng, blocks), rng)


def as_counts(drawn: Tally, rng: np.random.Generator) -> Counts:
    """Return clicks (..., k, a, b, x, y) as counts after sifting; each double click becomes a random bit."""
    doubles = drawn[..., DOUBLE].sum(axis=-1)
    errors = drawn[..., 0, 1] + drawn[..., 1, 0] + rng.binomial(doubles, 0.5)
    whole = drawn.sum(axis=(-2, -1))
    found = (whole[..., 0, 0], errors[..., 0, 0], whole[..., 1, 1], errors[..., 1, 1])
    return Counts(*(count.astype(np.float64) for count in found))
