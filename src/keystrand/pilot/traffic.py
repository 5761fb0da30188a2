"""What became of packets that were sent at a steady pace: how many were lost, for how long none came, and around what.

Moments are seconds of one clock. A packet belongs to the moment it was sent at, a silence to when answers came.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from keystrand.pilot.intervals import Range, mean_count_range

Moments = NDArray[np.float64]


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
        return self.range.value

    @property
    def range(self) -> Range:
        """Return that with its 95 % limits."""
        return mean_count_range(self.each)

    def __str__(self) -> str:
        low, value, high = self.range
        return f"{value:.2f} lost each time (95 %: {low:.2f} to {high:.2f}), {self.sent} sent, {self.each}"


def losses_in(packets: Packets, spans: Sequence[tuple[float, float]]) -> Losses:
    """Return the losses among the packets sent in each of these spans, which do not overlap.

    Raises `ValueError` where there is none.
    """
    parts = [packets.between(*span) for span in spans]
    return Losses(sum(len(part.sent_s) for part in parts), tuple(part.lost for part in parts))
