"""The setting that makes the most key at a loss: intensities, their probabilities, and the ratio of the bases.

Searched by differential evolution (R. Storn, K. Price, J. Global Optimization 11, 341 (1997)) over a box in which every
point is a possible setting, many points in one call. The start is one of them, and the result is never below it.
What is searched for is the sum of a block before it is rounded and cut at 0: so links without key have a slope too.
"""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from scipy.optimize import Bounds, differential_evolution

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.planned_key import Block, Planned, Setting, planned

Choice = Literal["intensities", "probabilities", "key_basis_ratio"]
CHOICES: tuple[Choice, ...] = ("intensities", "probabilities", "key_basis_ratio")
ROUNDS = 80
POPULATION = 12
"""Points a dimension, and rounds: further ones changed the rates of the published links by less than 0.1 %."""
_SIGNAL = (0.02, 1.2)
_SHARE = (0.02, 0.98)
_BASIS = (0.5, 0.995)


class Optimised(NamedTuple):
    """The link with its best setting, and what is planned of it as it was and as it is."""

    link: Bb84Link
    before: Planned
    after: Planned


def optimise(link: Bb84Link, block: Block, free: Collection[Choice] = CHOICES, seed: int = 1) -> Optimised:
    """Return the link with what is `free` set for most key. The same seed gives the same link.

    Of three intensities the weakest stays: how dark a modulator gets is not a choice. Both ends take one basis ratio.
    Raises ValueError for a `free` that is empty or no choice.
    """
    if not free or not set(free) <= set(CHOICES):
        raise ValueError(f"what may be free: {', '.join(CHOICES)}")
    start = planned(link, block)
    ranges, start_point = _box(link, free)
    sides = np.array(ranges).T
    sought = _with_fixed_secrecy(block)

    def lost(points: Values, /) -> Any:  # one value a column, which the stubs of SciPy do not know of
        found = planned(link, sought, setting=_setting(link, free, points.T))
        return -(found.sum.balance_bits - block.authentication_bits) / block.block_bits * found.sifted_bits_per_s

    found = differential_evolution(
        lost, Bounds(*sides), x0=np.clip(start_point, *sides), rng=seed, maxiter=ROUNDS, popsize=POPULATION,
        init="sobol", tol=1e-6, polish=False, vectorized=True, updating="deferred",
    )  # fmt: skip
    best = _with_setting(link, _setting(link, free, found.x))
    after = planned(best, block)
    kept = float(after.rate_bits_per_s) < float(start.rate_bits_per_s) or _no_key_closer(start, after)
    return Optimised(link, start, start) if kept else Optimised(best, start, after)


def _with_fixed_secrecy(block: Block) -> Block:
    """Return the block with one secrecy for all points of the search: that of a key of a tenth of its bits.

    A key's length enters its secrecy by its logarithm only, and would have to be found anew for each point. The
    result is judged with the secrecy that was asked for.
    """
    security = block.security
    if not security.per_key_bit:
        return block
    whole = min(security.secrecy * block.block_bits / 10, 0.5)
    return msgspec.structs.replace(block, security=msgspec.structs.replace(security, secrecy=whole, per_key_bit=False))


def _no_key_closer(start: Planned, after: Planned) -> bool:
    """Return whether neither makes key: then nothing was won, and the link stays as it is."""
    return float(start.rate_bits_per_s) <= 0 and float(after.rate_bits_per_s) <= 0


def _box(link: Bb84Link, free: Collection[Choice]) -> tuple[list[tuple[float, float]], list[float]]:
    """Return the range of each free coordinate, and the link's own place in the order of `_setting`."""
    mu, p = link.transmitter.intensities, link.transmitter.probabilities
    floor = mu[2] if len(mu) == 3 else 0.0
    ranges: list[tuple[float, float]] = []
    place: list[float] = []
    if "intensities" in free:
        ranges += [(max(_SIGNAL[0], 4 * floor), max(_SIGNAL[1], 8 * floor)), _SHARE]
        place += [mu[0], (mu[1] - floor) / (mu[0] - 2 * floor)]
    if "probabilities" in free:
        ranges += [_SHARE] * (len(p) - 1)
        place += [p[0]] if len(p) == 2 else [p[0], p[1] / (1 - p[0])]
    if "key_basis_ratio" in free:
        ranges += [_BASIS]
        place += [link.transmitter.key_basis_ratio]
    return ranges, place


def _setting(link: Bb84Link, free: Collection[Choice], points: Values) -> Setting:
    """Return the settings at `points` (..., coordinates); any point of the box is a possible one."""
    places = iter(np.moveaxis(np.asarray(points), -1, 0))
    shape = np.asarray(points).shape[:-1]
    mu = [np.full(shape, one) for one in link.transmitter.intensities]
    p = [np.full(shape, one) for one in link.transmitter.probabilities]
    alice = np.full(shape, link.transmitter.key_basis_ratio)
    bob = np.full(shape, link.receiver.key_basis_ratio)
    if "intensities" in free:
        floor = mu[2] if len(mu) == 3 else np.zeros(shape)
        mu[0] = next(places)
        # the signal must stay above both decoys together: mu1 > mu2 + mu3
        mu[1] = floor + next(places) * (mu[0] - 2 * floor)
    if "probabilities" in free:
        p[0] = next(places)
        share = next(places) if len(p) == 3 else np.ones(shape)
        p[1:] = [(1 - p[0]) * share, (1 - p[0]) * (1 - share)][: len(p) - 1]
    if "key_basis_ratio" in free:
        alice = bob = next(places)
    return Setting(np.stack(mu, axis=-1), np.stack(p, axis=-1), alice, bob)


def _with_setting(link: Bb84Link, setting: Setting) -> Bb84Link:
    replace = msgspec.structs.replace
    sender = replace(
        link.transmitter,
        intensities=tuple(setting.intensities.tolist()),
        probabilities=tuple(setting.probabilities.tolist()),
        key_basis_ratio=float(setting.alice_key_basis),
    )
    receiver = replace(link.receiver, key_basis_ratio=float(setting.bob_key_basis))
    return replace(link, transmitter=sender, receiver=receiver)
