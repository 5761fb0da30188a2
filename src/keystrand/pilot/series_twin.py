"""A link of a network run, played to key servers: the key of its blocks, spread over time, as fast as one likes.

A device hands over the key of one block while it measures the next, so the bits of a block come evenly during the
block's own time after it is complete. What is due is dated on the caller's clock.
"""

from typing import Protocol

import numpy as np

from keystrand.pilot.link_blocks import Blocks
from keystrand.pilot.twin import KeyBlock, LinkEvent


class BlockTwin(Protocol):
    """What a key source plays: `LinkTwin`, with one rate for ever, or `SeriesTwin`."""

    def handle(self, event: LinkEvent, now_s: float) -> None:
        """Take note of what somebody does to the fibre."""

    def poll(self, now_s: float) -> tuple[KeyBlock, ...]:
        """Return the blocks that became due since the last poll, oldest first."""

    def next_due_s(self) -> float | None:
        """Return when the next block is complete if nothing happens; None where none will be."""


class SeriesTwin:
    """The key of `made`, a link's blocks of `interval_s` each, in pieces of `block_bits`; its time begins at `now_s`.

    `speed` seconds of the series pass in one of the caller's. A cut by hand loses what would have come meanwhile.
    """

    def __init__(self, made: Blocks, *, interval_s: float, block_bits: int, now_s: float, speed: float = 1.0) -> None:
        if block_bits < 1 or not 0 < speed < np.inf or interval_s <= 0:
            raise ValueError("pieces hold at least one bit, and time passes forwards")
        ends = made.at_s + interval_s
        self._times = now_s + np.concatenate([[made.at_s[0] if ends.size else 0.0], ends]) / speed
        self._bits = np.concatenate([[0.0], np.cumsum(made.key_bits, dtype=np.float64)])
        self._qber = made.qber
        self._block_bits, self._given, self._now_s, self._cut = block_bits, 0, now_s, False
        self._sequence = 0
        self.lost_bits = 0
        """Bits of pieces that came due while the fibre was cut by hand."""

    def handle(self, event: LinkEvent, now_s: float) -> None:
        """Cut or mend the fibre. Raises `ValueError` if time runs backwards."""
        if event is LinkEvent.RESTORED and self._cut:
            whole = self._whole(now_s)
            self.lost_bits += (whole - self._given) * self._block_bits
            self._given = whole
        self._cut = event is LinkEvent.CUT

    def poll(self, now_s: float) -> tuple[KeyBlock, ...]:
        """Return the pieces that became due since the last poll. Raises `ValueError` if time runs backwards."""
        whole = self._whole(now_s)
        if self._cut:
            return ()
        first, self._given = self._given, whole
        return tuple(self._piece(number) for number in range(first + 1, whole + 1))

    def next_due_s(self) -> float | None:
        """Return when the next piece is complete; None after the last, and while the fibre is cut."""
        wanted = (self._given + 1) * self._block_bits
        return None if self._cut or wanted > self._bits[-1] else self._complete_s(wanted)

    @property
    def over_s(self) -> float:
        """Return when the series ends, on the caller's clock."""
        return float(self._times[-1])

    def _whole(self, now_s: float) -> int:
        if now_s < self._now_s:
            raise ValueError(f"time runs backwards: {now_s} after {self._now_s}")
        self._now_s = now_s
        if now_s < self._times[0]:
            return 0
        there = float(np.interp(now_s, self._times, self._bits))
        # polled exactly when next_due_s said, the piece must be there
        return max(self._given, int((there * (1 + 1e-12) + 1e-6) // self._block_bits))

    def _complete_s(self, bits: float) -> float:
        """Return when so many bits have come: within the block that brings the last of them."""
        at = int(np.searchsorted(self._bits, bits, side="left"))
        share = (bits - self._bits[at - 1]) / (self._bits[at] - self._bits[at - 1])
        return float(self._times[at - 1] + share * (self._times[at] - self._times[at - 1]))

    def _piece(self, number: int) -> KeyBlock:
        bits = number * self._block_bits
        block = int(np.searchsorted(self._bits, bits, side="left")) - 1
        self._sequence += 1
        return KeyBlock(
            sequence=self._sequence,
            at_s=min(self._complete_s(bits), self._now_s),
            bits=self._block_bits,
            qber=float(self._qber[block]),
        )
