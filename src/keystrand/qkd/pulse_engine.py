"""The photon engine that draws every pulse: intensity, bases, bit and click, one random word each.

The words come from a counter-based generator (`counter_random`): pulse n takes word n, so a run is the same however it
is divided, and only two numbers are carried on: until when the receiver is blind, and the afterpulse that is pending.
The generator is for simulation only and never makes a real key. Only pulses that click are resolved to their cell and
kept; of the others, it is counted how many had which intensity and basis. See `click_law` for the law.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.click_law import (
    CODES_OF_CLASS,
    OUTCOMES,
    QUIET_OF_CLASS,
    Afterpulsing,
    Ladder,
    afterpulse_delay,
    afterpulsing,
    as_records,
    entry,
    ladder,
    probabilities,
)
from keystrand.qkd.compiled import compiled
from keystrand.qkd.counter_random import Words, fill, keys, word
from keystrand.qkd.detections import Marks, Run, Slots
from keystrand.qkd.response import Response

BLOCK = 1024
"""Pulses drawn together: their words stay in the fastest memory."""
_HELD = 1 << 18
"""Clicks that one call of the kernel has room for."""
_BLIND_UNTIL, _PENDING = 0, 1


class _Law(NamedTuple):
    steps: Ladder
    click_cells: int
    class_ends: Words
    follows: Afterpulsing
    keys: Words


class PulseEngine:
    """Draws a link's pulses, from slot 0 on. Raises ValueError for a response or a seed that cannot be."""

    def __init__(self, link: Bb84Link, response: Response, seed: int) -> None:
        click, quiet = (part.ravel() for part in probabilities(link, response))
        steps = ladder(np.concatenate([click, quiet]), click.size)
        ends = steps.ends[click.size + QUIET_OF_CLASS - 1 :: QUIET_OF_CLASS][:-1].copy()
        self._law = _Law(steps, click.size, ends, afterpulsing(link), keys(seed, 3))
        self._state = np.array([-1, -1], dtype=np.int64)
        self._classes = click.size // CODES_OF_CLASS
        self._slot = 0

    def advance(self, pulses: int) -> Run:
        """Return the run of the next `pulses`; slots count from the first pulse of all."""
        if pulses < 0:
            raise ValueError("the number of pulses must not be negative")
        stop = self._slot + pulses
        sent = np.zeros(self._classes, dtype=np.int64)
        slots, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint8)]
        while self._slot < stop:
            slot, code = np.empty(_HELD, dtype=np.int64), np.empty(_HELD, dtype=np.uint8)
            self._slot, clicks = _draw(self._slot, stop, self._law, self._state, sent, slot, code)
            slots.append(slot[:clicks])
            codes.append(code[:clicks])
        records = as_records(np.concatenate(slots), np.concatenate(codes))
        return Run(*records, pulses, sent.reshape(-1, 2))


def run(link: Bb84Link, response: Response, pulses: int, seed: int) -> Run:
    """Return a run of `pulses`; memory grows with its clicks only. Raises ValueError as `PulseEngine`."""
    return PulseEngine(link, response, seed).advance(pulses)


@compiled
def _draw(
    start: int, stop: int, law: _Law, state: NDArray[np.int64], sent: NDArray[np.int64], slots: Slots, codes: Marks
) -> tuple[int, int]:
    """Draw from `start` to `stop`, or as far as there is room; return the next slot and the clicks written."""
    words, hits = np.empty(BLOCK, dtype=np.uint64), np.empty(BLOCK, dtype=np.int64)
    written = 0
    while start < stop and slots.size - written >= BLOCK:
        size = min(BLOCK, stop - start)
        fill(law.keys[0], start, words, size)
        found = _hits(words, law.steps.ends[law.click_cells - 1], hits, size)
        _count_quiet(words, law.class_ends, found, size, sent)
        written = _resolve(start, size, words, hits[:found], law, state, sent, slots, codes, written)
        start += size
    return start, written


@compiled
def _hits(words: Words, below: np.uint64, hits: NDArray[np.int64], size: int) -> int:
    """Write the places of words below `below`, and return their number."""
    found = 0
    for i in range(size):
        hits[found] = i
        found += words[i] < below
    return found


@compiled
def _count_quiet(words: Words, class_ends: Words, found: int, size: int, sent: NDArray[np.int64]) -> None:
    """Add the quiet pulses of each class to `sent`; `found` words lie below the quiet ones."""
    before = found
    for j in range(class_ends.size):
        end, below = class_ends[j], 0
        for i in range(size):
            below += words[i] < end
        sent[j] += below - before
        before = below
    sent[class_ends.size] += size - before


@compiled
def _resolve(start, size, words, hits, law, state, sent, slots, codes, written):  # type: ignore[no-untyped-def]
    """Go through the pulses of a block that would click a live receiver; write the clicks that come of it."""
    blind_until, pending = state[_BLIND_UNTIL], state[_PENDING]
    for i in hits:
        code = entry(law.steps, words[i])
        sent[code // CODES_OF_CLASS] += 1
        if 0 <= pending < start + i:
            codes[written] = _afterpulse_code(law, words[pending - start], pending)
            slots[written] = pending
            written += 1
            blind_until, pending = pending + law.follows.dead_slots, -1
        if start + i <= blind_until:
            continue
        slots[written], codes[written] = start + i, code
        written += 1
        blind_until, pending = start + i + law.follows.dead_slots, -1
        delay = afterpulse_delay(word(law.keys[1], start + i), law.follows)
        if delay >= 0:
            pending = blind_until + 1 + delay
    if 0 <= pending < start + size:
        codes[written] = _afterpulse_code(law, words[pending - start], pending)
        slots[written] = pending
        written += 1
        blind_until, pending = pending + law.follows.dead_slots, -1
    state[_BLIND_UNTIL], state[_PENDING] = blind_until, pending
    return written


@compiled
def _afterpulse_code(law: _Law, random_word: np.uint64, slot: int) -> int:
    """Return the code of an afterpulse: the pulse is the quiet one of that slot, the bit a fair one."""
    last, found = law.steps.ends.size - 1, law.click_cells
    while found < last and random_word >= law.steps.ends[found]:
        found += 1
    bit = np.int64(word(law.keys[2], slot) >> np.uint64(63))
    return (found - law.click_cells) * OUTCOMES + bit
