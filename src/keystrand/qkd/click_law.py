"""The law both photon engines draw from, laid out for them: which pulse clicks, as what, and what follows a click.

1. A slot in which the receiver is live clicks by light or dark count ("primary") with the probabilities of
   `response.cells`, whatever happened before.
2. After any click both detectors are blind for `Bb84Link.dead_slots`.
3. A primary click, with `afterpulse_ratio`, leaves one afterpulse behind, in the live slots that follow the dead time:
   the g-th from 0 with probability (1 - q) q^g, q = exp(-1 / decay in slots). A primary click before it or in the
   same slot takes its place. An afterpulse leaves none: the ratio counts all that a primary click causes.
4. An afterpulse gives a fair random bit. Its pulse is one that made no click: intensity, bases and bit follow the
   prior, given that.

A slot is one of many *cells*: `codes` (intensity, Alice's basis, Bob's, bit, outcome), flat in this order, for slots
that click, then (intensity, bases, bit) for quiet ones. One 64-bit word says which cell, by cumulated probabilities.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.bb84_link import Bb84Link, basis_ratios
from keystrand.qkd.compiled import compiled
from keystrand.qkd.counter_random import Words, ratio
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Marks, Received, Sent, Slots
from keystrand.qkd.response import Response, cells

GUIDE_BITS = 12
OUTCOMES, QUIET_OF_CLASS, CODES_OF_CLASS = 3, 4, 12
"""Outcomes of a click; cells and codes of one class, which is an intensity and a basis of Alice's."""


class Probabilities(NamedTuple):
    """What one live slot may be: `click` of shape (k, a, b, x, y), `quiet` of shape (k, a, b, x). The sum is 1."""

    click: Values
    quiet: Values


class Ladder(NamedTuple):
    """Cumulated probabilities x 2^64: a word belongs to the first entry above it; the last entry takes all the rest.

    `guide[word >> shift]` is an entry at or below the one sought.
    """

    ends: Words
    guide: NDArray[np.int64]
    shift: np.uint64


class Afterpulsing(NamedTuple):
    """What follows a primary click: slots blind, probability and decay (in slots) of an afterpulse."""

    dead_slots: int
    ratio: float
    decay_slots: float


def probabilities(link: Bb84Link, response: Response) -> Probabilities:
    """Return what a live slot may be. Raises ValueError for a response that holds no probabilities."""
    response.check()
    table = cells(response, link.transmitter.intensities)
    sent = np.array(link.transmitter.probabilities)[:, None, None] * basis_ratios(link)
    weight = np.repeat(sent[..., None], 2, axis=-1) / 2  # Alice's bits are even
    return Probabilities(weight[..., None] * table, weight * np.maximum(1.0 - table.sum(axis=-1), 0.0))


def afterpulsing(link: Bb84Link) -> Afterpulsing:
    """Return what follows a click of this receiver."""
    receiver = link.receiver
    decay = receiver.afterpulse_decay_s * link.transmitter.pulse_rate_hz
    return Afterpulsing(link.dead_slots, receiver.afterpulse_ratio, decay)


def ladder(parts: Values, guided: int) -> Ladder:
    """Return the ladder of the probabilities `parts`; the guide leads to its first `guided` entries."""
    tops = [min(int(top * 2.0**64), 2**64 - 1) for top in np.cumsum(parts)]
    shift = max(tops[guided - 1].bit_length() - GUIDE_BITS, 0)
    bottoms = np.arange(2**GUIDE_BITS, dtype=np.uint64) << np.uint64(shift)
    ends = np.array(tops, dtype=np.uint64)
    guide = np.minimum(np.searchsorted(ends, bottoms, side="right"), guided - 1)
    return Ladder(ends, guide.astype(np.int64), np.uint64(shift))


@compiled
def entry(steps: Ladder, random_word: np.uint64) -> int:
    """Return the entry of a word that lies below the end of the guided ones."""
    found = int(steps.guide[random_word >> steps.shift])
    last = steps.ends.size - 1
    while found < last and random_word >= steps.ends[found]:
        found += 1
    return found


@compiled
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
    columns = np.empty((5, code.size), dtype=np.uint8)
    _decode(code, *columns)
    intensity, alice, bob, bit, outcome = columns
    return Sent(slot, intensity, alice, bit), Received(slot.copy(), bob, outcome)


@compiled
def _decode(code: Marks, intensity: Marks, alice: Marks, bob: Marks, bit: Marks, outcome: Marks) -> None:
    for i in range(code.size):
        cell = code[i] // OUTCOMES
        outcome[i] = code[i] - OUTCOMES * cell
        bit[i], bob[i], alice[i], intensity[i] = cell & 1, (cell >> 1) & 1, (cell >> 2) & 1, cell >> 3
