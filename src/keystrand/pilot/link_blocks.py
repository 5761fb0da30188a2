"""One link of the network twin over a span of time: its states step by step, and the blocks of key it makes of them.

Time is cut into steps of equal length, and so many steps make a block, as a device gathers detections before it
distils. The key of a block is the finite-key length of its counts, drawn or expected, less the authentication it costs.
A block in which the link was down for good part still gives what its counts allow: the bounds see to that.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import Distillation, secret_bits
from keystrand.qkd.finite import Counts
from keystrand.qkd.response import Response
from keystrand.qkd.sifted import Sifted, sifted, sifted_each

Steps = NDArray[np.int32]


class Condition(NamedTuple):
    """What a link is for some time: its parameters, and the response where it is not the link's own."""

    link: Bb84Link
    response: Response | None = None


class LinkHistory(NamedTuple):
    """`states[steps[t]]` holds in step t, for the share `live[t]` of it; the rest of the step nothing is counted."""

    states: Sequence[Condition]
    steps: Steps
    live: Values
    step_s: float


class Blocks(NamedTuple):
    """One entry a block, oldest first: when it was complete, its counts (blocks, intensities), secret bits, and
    what the device shows beside them. Ratios are NaN where nothing was detected."""

    at_s: Values
    counts: Counts
    pulses: Values
    key_bits: NDArray[np.int64]
    double_ratio: Values
    ones_ratio: Values

    @property
    def qber(self) -> Values:
        """Return the error ratio of the key basis, NaN where nothing was sifted."""
        return _share(self.counts.key_errors.sum(axis=1), self.counts.key.sum(axis=1))

    @property
    def test_qber(self) -> Values:
        """Return the error ratio of the test basis, NaN where nothing was sifted."""
        return _share(self.counts.test_errors.sum(axis=1), self.counts.test.sum(axis=1))


def blocks(history: LinkHistory, distillation: Distillation, rng: np.random.Generator | None = None) -> Blocks:
    """Return the blocks of a history, steps that fill no whole block left out.

    Counts are drawn with `rng`, or the expected ones without: then blocks of one state are computed once.
    """
    size = block_steps(history.step_s, distillation)
    count = history.steps.size // size
    index = history.steps[: count * size].reshape(count, size)
    live = history.live[: count * size].reshape(count, size)
    whole, back = _distinct(index, live) if rng is None else (np.arange(count), np.arange(count))
    made = _distilled(history, distillation, index[whole], live[whole], rng)
    at_s = np.arange(1.0, count + 1.0) * (size * history.step_s)
    counts = Counts(*(x[back] for x in made.counts))
    pulses, bits, doubles, ones = made.pulses[back], made.key_bits[back], made.double_ratio[back], made.ones_ratio[back]
    return Blocks(at_s, counts, pulses, bits, doubles, ones)


def block_steps(step_s: float, distillation: Distillation) -> int:
    """Return how many steps make a block: the time of a block, to the nearest step, at least one."""
    return max(1, round(distillation.block_s / step_s))


def _distinct(index: Steps, live: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which blocks to compute, and for each block which of those it equals: steady blocks of a state are one."""
    steady = (index == index[:, :1]).all(axis=1) & (live == 1.0).all(axis=1)
    code = np.where(steady, index[:, 0].astype(np.int64), -1 - np.arange(index.shape[0]))
    _, first, back = np.unique(code, return_index=True, return_inverse=True)
    return first, back


def _distilled(
    history: LinkHistory, distillation: Distillation, index: Steps, live: Values, rng: np.random.Generator | None
) -> Blocks:
    """Return the given blocks, without their time."""
    link = history.states[0].link
    shown = _shown(history.states)
    weights = live * link.transmitter.pulse_rate_hz * history.step_s
    expected = [_summed(index, weights, getattr(shown, name)) for name in Counts._fields]
    sent = np.outer(weights.sum(axis=1), link.transmitter.probabilities)
    counts = Counts(*expected) if rng is None else _drawn(Counts(*expected), sent, rng)
    bits = secret_bits(counts, link.transmitter, distillation)
    doubles, ones = (_mean(index, weights, shown, name) for name in ("double_ratio", "ones_ratio"))
    return Blocks(np.empty(0), counts, weights.sum(axis=1), bits, doubles, ones)


def _summed(index: Steps, weights: Values, each: Values) -> Values:
    """Return the sum over a block's steps of what each state gives a pulse; shape (blocks, intensities)."""
    return np.asarray(np.einsum("bs,bsk->bk", weights, each[index]))


def _shown(states: Sequence[Condition]) -> Sifted:
    """Return what each state sifts a pulse; those under attack one by one, from their responses."""
    made = sifted_each([one.link for one in states])
    for place, one in enumerate(states):
        if one.response is not None:
            for whole, part in zip(made, sifted(one.link, one.response), strict=True):
                whole[place] = part
    return made


def _mean(index: Steps, weights: Values, shown: Sifted, name: str) -> Values:
    """Return the mean of a ratio over a block's clicks."""
    clicks, ratio = shown.clicks[index] * weights, getattr(shown, name)[index]
    return _share((clicks * ratio).sum(axis=1), clicks.sum(axis=1))


def _drawn(expected: Counts, sent: Values, rng: np.random.Generator) -> Counts:
    """Return counts as they would happen: detections binomial among the whole pulses `sent`, errors among those.

    No pulse is sifted in both bases.
    """
    made, left, pulses = [], sent, sent.astype(np.int64)
    for total, wrong in ((expected.key, expected.key_errors), (expected.test, expected.test_errors)):
        clicks = rng.binomial(pulses, np.clip(_share(total, left, 0.0), 0.0, 1.0))
        left, pulses = left - total, pulses - clicks
        made += [clicks, rng.binomial(clicks, np.clip(_share(wrong, total, 0.0), 0.0, 1.0))]
    return Counts(*(x.astype(np.float64) for x in made))


def _share(part: Values, whole: Values, empty: float = np.nan) -> Values:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), empty))
