"""A repeater chain event by event: every link's rounds are drawn, and every pair carries the time it has waited.

Nothing is averaged: a pair's state follows from the durations that were drawn for it, and a failure (cutoff, swap,
purification) begins its part of the chain anew. Many pairs are drawn at once, since none depends on another.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.bell_states import bbpssw, dejmps, swapped
from keystrand.qkd.decoy import Values
from keystrand.qkd.repeater_chain import (
    Method,
    Order,
    RepeaterChain,
    fresh_link,
    round_s,
    round_success,
    span_s,
    swap_news_s,
    waited,
)

LEAST_SUCCESS = 1e-12
"""Of a round: below, waiting times leave what a float counts exactly, and no pair is ever seen."""
MOST_ATTEMPTS = 200
"""At any part of the chain for each of its pairs, beyond the first `LEAST_ATTEMPTS`: what takes more is refused."""
LEAST_ATTEMPTS = 100_000
BATCH = 1 << 18
"""Attempts drawn at once, which bounds the memory taken."""


class Pairs(NamedTuple):
    """Pairs with `seconds` that each took, and `states` with the weights of the Bell states, shape (pairs, 4)."""

    seconds: Values
    states: Values

    @property
    def arrivals_s(self) -> Values:
        """When each is there, the first being begun at 0."""
        return np.cumsum(self.seconds)


class _Tried(NamedTuple):
    pairs: Pairs
    good: NDArray[np.bool_]


def simulate(chain: RepeaterChain, pairs: int, rng: np.random.Generator) -> Pairs:
    """Return so many end-to-end pairs in the order they arrive.

    Raises `ValueError` for less than one pair, and where the chain practically never makes one.
    """
    if pairs < 1:
        raise ValueError("at least one pair must be simulated")
    if round_success(chain) < LEAST_SUCCESS:
        raise ValueError(f"a round succeeds less than once in {1 / LEAST_SUCCESS:.0e}: nothing would ever arrive")
    if chain.swap.order is Order.NESTED:
        return _nested(chain, chain.segments.bit_length() - 1, rng, pairs)
    join = _sequence if chain.swap.order is Order.SEQUENTIAL else _together
    return _until_good(partial(join, chain, rng), pairs)


def _until_good(attempt: Callable[[int], _Tried], count: int) -> Pairs:
    """Return `count` good pairs; the time of failed attempts is counted to the pair that comes after them.

    Attempts are alike and follow one another, so what is drawn beyond the last pair needed is dropped unseen.
    """
    seconds, states, good, found, tried = [], [], [], 0, 0
    while found < count:
        if tried >= MOST_ATTEMPTS * count + LEAST_ATTEMPTS:
            raise ValueError(
                f"{tried} attempts gave {found} pairs: the cutoff is too short, or swaps succeed too rarely"
            )
        share = (found + 1) / (tried + 2)
        made = attempt(min(int(1.05 * (count - found) / share) + 16, BATCH))
        seconds.append(made.pairs.seconds)
        states.append(made.pairs.states[made.good])
        good.append(made.good)
        found, tried = found + len(states[-1]), tried + made.good.size
    ends = np.flatnonzero(np.concatenate(good))[:count]
    starts = np.concatenate([[0], ends[:-1] + 1])
    lasted = np.add.reduceat(np.concatenate(seconds)[: ends[-1] + 1], starts)
    return Pairs(lasted, np.concatenate(states)[:count])


def _rounds(chain: RepeaterChain, rng: np.random.Generator, count: int) -> Pairs:
    seconds = rng.geometric(round_success(chain), count) * np.float64(round_s(chain))
    return Pairs(np.asarray(seconds, dtype=np.float64), np.broadcast_to(fresh_link(chain), (count, 4)))


def _links(chain: RepeaterChain, rng: np.random.Generator, count: int) -> Pairs:
    return _purified(chain, 0, partial(_rounds, chain, rng), rng, count)


def _nested(chain: RepeaterChain, level: int, rng: np.random.Generator, count: int) -> Pairs:
    """Return pairs over 2^level segments."""
    if level == 0:
        return _links(chain, rng, count)
    half = partial(_nested, chain, level - 1, rng)

    def attempt(size: int) -> _Tried:
        return _joined(chain, half(size), half(size), rng, 2**level)

    return _purified(chain, level, partial(_until_good, attempt), rng, count)


def _joined(chain: RepeaterChain, a: Pairs, b: Pairs, rng: np.random.Generator, segments: int) -> _Tried:
    """Swap two pairs when both are there, unless one would wait longer than the cutoff."""
    (met, in_time), news = _met(chain, a, b), swap_news_s(chain, segments)
    left, right = (waited(chain, one.states, met - one.seconds) for one in (a, b))
    joint = swapped(left, right, chain.swap.kept)
    first = np.minimum(a.seconds, b.seconds)
    seconds = np.where(in_time, met + news, first + (chain.memory.cutoff_s or 0.0))
    good = in_time & (rng.random(met.size) < chain.swap.success)
    return _Tried(Pairs(seconds, waited(chain, joint, news)), good)


def _met(chain: RepeaterChain, a: Pairs, b: Pairs) -> tuple[Values, NDArray[np.bool_]]:
    met = np.maximum(a.seconds, b.seconds)
    return met, _within_cutoff(chain, met - np.minimum(a.seconds, b.seconds))


def _within_cutoff(chain: RepeaterChain, waiting: Values) -> NDArray[np.bool_]:
    # a wait of as many rounds as the cutoff is in time, whatever the last digit of their product
    cutoff = chain.memory.cutoff_s
    return np.ones(waiting.shape, dtype=np.bool_) if cutoff is None else waiting <= cutoff * (1 + 1e-9)


def _together(chain: RepeaterChain, rng: np.random.Generator, count: int) -> _Tried:
    """Wait for all links, then swap them all; too long a wait of the first throws all away."""
    n = chain.segments
    links = _links(chain, rng, count * n)
    seconds = links.seconds.reshape(count, n)
    last, first = seconds.max(axis=1), seconds.min(axis=1)
    old = waited(chain, links.states.reshape(count, n, 4), last[:, None] - seconds)
    joint = old[:, 0]
    for k in range(1, n):
        joint = swapped(joint, old[:, k], chain.swap.kept)
    in_time, news = _within_cutoff(chain, last - first), swap_news_s(chain, n)
    taken = np.where(in_time, last + news, first + (chain.memory.cutoff_s or 0.0))
    good = in_time & (rng.random(count) < chain.swap.success ** (n - 1))
    return _Tried(Pairs(taken, waited(chain, joint, news)), good)


def _sequence(chain: RepeaterChain, rng: np.random.Generator, count: int) -> _Tried:
    """Make one link after the other, each joined at once to what is there; the first failure ends the attempt."""
    seconds, states = _links(chain, rng, count)
    seconds, good = seconds.copy(), np.ones(count, dtype=np.bool_)
    for k in range(1, chain.segments):
        link = _links(chain, rng, count)
        in_time = _within_cutoff(chain, link.seconds)
        seconds += np.where(good, np.where(in_time, link.seconds, chain.memory.cutoff_s or 0.0), 0.0)
        states = swapped(waited(chain, states, link.seconds), link.states, chain.swap.kept)
        failed = rng.random(count) >= chain.swap.success
        seconds += np.where(good & in_time & failed, span_s(chain, k), 0.0)  # until the first end knows
        good = good & in_time & ~failed
    news = swap_news_s(chain, chain.segments)
    return _Tried(Pairs(seconds + np.where(good, news, 0.0), waited(chain, states, news)), good)


def _purified(
    chain: RepeaterChain, level: int, make: Callable[[int], Pairs], rng: np.random.Generator, count: int
) -> Pairs:
    """Return pairs, each of two that were made side by side where the chain purifies at this level."""
    plan = chain.purification
    if plan is None or level not in plan.levels:
        return make(count)
    both_left = dejmps if plan.method is Method.DEJMPS else bbpssw
    news = span_s(chain, 2**level)

    def attempt(size: int) -> _Tried:
        a, b = make(size), make(size)
        met, in_time = _met(chain, a, b)
        left = both_left(waited(chain, a.states, met - a.seconds), waited(chain, b.states, met - b.seconds))
        first = np.minimum(a.seconds, b.seconds)
        seconds = np.where(in_time, met + news, first + (chain.memory.cutoff_s or 0.0))
        return _Tried(Pairs(seconds, waited(chain, left.state, news)), in_time & (rng.random(size) < left.success))

    return _until_good(attempt, count)
