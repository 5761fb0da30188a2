"""What became of packets that were sent at a steady pace: how many were lost, for how long none came, and around what.

Moments are seconds of one clock. A packet belongs to the moment it was sent at, a silence to when answers came.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import gammaincinv

Moments = NDArray[np.float64]
_TAILS = (0.025, 0.975)
_RESAMPLES = 9999


class Packets(NamedTuple):
    """When each packet was sent, in that order, and when its answer came: NaN where none did."""

    sent_s: Moments
    answered_s: Moments

    @property
    def lost(self) -> int:
        """Return how many had no answer."""
        return int(np.isnan(self.answered_s).sum())

    @property
    def ways_s(self) -> Moments:
        """Return how long each answered packet took, there and back."""
        took = self.answered_s - self.sent_s
        return took[~np.isnan(took)]

    def between(self, from_s: float, to_s: float) -> Self:
        """Return those sent from `from_s` until before `to_s`."""
        chosen = slice(*np.searchsorted(self.sent_s, (from_s, to_s)))
        return self._replace(sent_s=self.sent_s[chosen], answered_s=self.answered_s[chosen])

    def longest_gap_s(self, from_s: float, to_s: float) -> float:
        """Return the longest time between the two moments in which no answer came, whichever packet it was for."""
        came = np.sort(self.answered_s[(self.answered_s >= from_s) & (self.answered_s <= to_s)])
        return float(np.diff(came, prepend=from_s, append=to_s).max())


class Losses(Struct, frozen=True):
    """What was lost while something was done again and again: of how many packets, and how many with each time."""

    sent: int
    each: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.each:
            raise ValueError("nothing was done, so no losses belong to it")

    @property
    def mean(self) -> float:
        """Return how many were lost each time."""
        return sum(self.each) / len(self.each)

    @property
    def interval(self) -> tuple[float, float]:
        """Return 95 % limits of the mean: bootstrap over the times, or exact (Garwood 1936) where all are alike."""
        n = len(self.each)
        if len(set(self.each)) > 1:
            drawn = np.random.default_rng(1).choice(self.each, (_RESAMPLES, n))
            low, high = np.quantile(drawn.mean(axis=1), _TAILS)
            return float(low), float(high)
        total = sum(self.each)
        low = gammaincinv(total, _TAILS[0]) if total else 0.0
        return float(low) / n, float(gammaincinv(total + 1, _TAILS[1])) / n

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.2f} lost each time (95 %: {low:.2f} to {high:.2f}), {self.sent} sent, {self.each}"


def windows(began_s: Sequence[float], lasted_s: Sequence[float], margin_s: float) -> tuple[tuple[float, float], ...]:
    """Return from when until when a loss belongs to each change: until `margin_s` after it, or the next one's begin.

    Raises `ValueError` where they are not in the order of time, or not as many.
    """
    if any(later < earlier for earlier, later in pairwise(began_s)):
        raise ValueError("changes are given in the order of time")
    until_s = (*began_s[1:], float("inf"))
    return tuple(
        (begin, min(begin + lasted + margin_s, end))
        for begin, lasted, end in zip(began_s, lasted_s, until_s, strict=True)
    )


def losses_in(packets: Packets, spans: Sequence[tuple[float, float]]) -> Losses:
    """Return the losses among the packets sent in each of these spans, which do not overlap.

    Raises `ValueError` where there is none.
    """
    parts = [packets.between(*span) for span in spans]
    return Losses(sum(len(part.sent_s) for part in parts), tuple(part.lost for part in parts))
