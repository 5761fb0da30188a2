"""From a random word to what a slot is: the cells of `click_law` in a row, and what the engines share.

A slot is one of many *cells*: `codes` (intensity, Alice's basis, Bob's, bit, outcome), flat in this order, for slots
that click, then (intensity, bases, bit) for quiet ones. One 64-bit word says which cell, by cumulated probabilities.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.click_law import Afterpulsing
from keystrand.qkd.compiled import compiled, inlined
from keystrand.qkd.counter_random import Words, ratio
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Marks, Received, Sent, Slots

GUIDE_BITS = 12
OUTCOMES, QUIET_OF_CLASS, CODES_OF_CLASS = 3, 4, 12
"""Outcomes of a click; cells and codes of one class, which is an intensity and a basis of Alice's."""


class Ladder(NamedTuple):
    """Cumulated probabilities x 2^64: a word belongs to the first entry above it; the last entry takes all the rest.

    `guide[word >> shift]` is an entry at or below the one sought.
    """

    ends: Words
    guide: NDArray[np.int64]
    shift: np.uint64


def ladder(parts: Values, guided: int) -> Ladder:
    """Return the ladder of the probabilities `parts`; the guide leads to its first `guided` entries."""
    tops = [min(int(top * 2.0**64), 2**64 - 1) for top in np.cumsum(parts)]
    shift = max(tops[guided - 1].bit_length() - GUIDE_BITS, 0)
    bottoms = np.arange(2**GUIDE_BITS, dtype=np.uint64) << np.uint64(shift)
    ends = np.array(tops, dtype=np.uint64)
    guide = np.minimum(np.searchsorted(ends, bottoms, side="right"), guided - 1)
    return Ladder(ends, guide.astype(np.int64), np.uint64(shift))


@inlined
def entry(steps: Ladder, random_word: np.uint64) -> int:
    """Return the entry of a word that lies below the end of the guided ones."""
    found = int(steps.guide[random_word >> steps.shift])
    last = steps.ends.size - 1
    while found < last and random_word >= steps.ends[found]:
        found += 1
    return found


@inlined
def afterpulse_delay(random_word: np.uint64, follows: Afterpulsing) -> int:
    """Return in which live slot after the dead time, from 0, an afterpulse comes; -1 for none."""
    if follows.ratio == 0.0:
        return -1
    drawn = ratio(random_word)
    if drawn >= follows.ratio:
        return -1
    return int(-follows.decay_slots * np.log1p(-drawn / follows.ratio))


def as_records(slot: Slots, code: Marks) -> tuple[Sent, Received]:
    """Return both ends' records of clicks with these codes."""
    intensity, alice, bob, bit, outcome = (np.empty(code.size, dtype=np.uint8) for _ in range(5))
    _decode(code, intensity, alice, bob, bit, outcome)
    return Sent(slot, intensity, alice, bit), Received(slot.copy(), bob, outcome)


@compiled
def _decode(code: Marks, intensity: Marks, alice: Marks, bob: Marks, bit: Marks, outcome: Marks) -> None:
    for i in range(code.size):
        cell = code[i] // OUTCOMES
        outcome[i] = code[i] - OUTCOMES * cell
        bit[i], bob[i], alice[i], intensity[i] = cell & 1, (cell >> 1) & 1, (cell >> 2) & 1, cell >> 3
