"""The photon engine that draws every pulse: intensity, bases, bit and click, one random word each.

The words come from a counter-based generator (`counter_random`): pulse n takes word n, so a run is the same however it
is divided, and only two numbers are carried on: until when the receiver is blind, and the afterpulse that is pending.
The generator is for simulation only and never makes a real key. Only pulses that click are resolved to their cell and
kept; of the others, it is counted how many had which intensity and basis. See `click_law` for the law.
"""

from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.click_ladder import (
    CODES_OF_CLASS,
    OUTCOMES,
    QUIET_OF_CLASS,
    Ladder,
    afterpulse_delay,
    as_records,
    entry,
    ladder,
)
from keystrand.qkd.click_law import Afterpulsing, afterpulsing, probabilities
from keystrand.qkd.compiled import compiled, inlined
from keystrand.qkd.counter_random import Words, fill, keys, word
from keystrand.qkd.detections import Marks, Run, Slots, Tally
from keystrand.qkd.response import Response

BLOCK = 1024
"""Pulses drawn together: their words stay in the fastest memory."""
_HELD = 1 << 18
"""Clicks that one call of the kernel has room for."""
_BLIND_UNTIL, _PENDING, _WRITTEN = range(3)
"""State: the last blind slot so far, the slot of the pending afterpulse (-1: none), clicks written by this call."""


class _Law(NamedTuple):
    steps: Ladder
    click_cells: int
    class_ends: Words
    follows: Afterpulsing
    keys: Words


class _Made(NamedTuple):
    """What the kernels write: pulses sent by class, and slot and code of each click."""

    sent: Tally
    slots: Slots
    codes: Marks


class PulseEngine:
    """Draws a link's pulses, from slot 0 on. Raises ValueError for a response or a seed that cannot be."""

    def __init__(self, link: Bb84Link, response: Response, seed: int) -> None:
        click, quiet = (part.ravel() for part in probabilities(link, response))
        steps = ladder(np.concatenate([click, quiet]), click.size)
        ends = steps.ends[click.size + QUIET_OF_CLASS - 1 :: QUIET_OF_CLASS][:-1].copy()
        self._law = _Law(steps, click.size, ends, afterpulsing(link), keys(seed, 3))
        self._state = np.array([-1, -1, 0], dtype=np.int64)
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
            self._slot = _draw(self._slot, stop, self._law, self._state, _Made(sent, slot, code))
            clicks = self._state[_WRITTEN]
            slots.append(slot[:clicks])
            codes.append(code[:clicks])
        records = as_records(np.concatenate(slots), np.concatenate(codes))
        return Run(*records, pulses, sent.reshape(-1, 2))


def run(link: Bb84Link, response: Response, pulses: int, seed: int) -> Run:
    """Return a run of `pulses`; memory grows with its clicks only. Raises ValueError as `PulseEngine`."""
    return PulseEngine(link, response, seed).advance(pulses)


@compiled
def _draw(start: int, stop: int, law: _Law, state: Tally, made: _Made) -> int:
    """Draw from `start` to `stop`, or as far as there is room; return the next slot."""
    words, hits = np.empty(BLOCK, dtype=np.uint64), np.empty(BLOCK, dtype=np.int64)
    state[_WRITTEN] = 0
    while start < stop and made.slots.size - state[_WRITTEN] >= BLOCK:
        size = min(BLOCK, stop - start)
        fill(law.keys[0], start, words, size)
        found = _hits(words, law.steps.ends[law.click_cells - 1], hits, size)
        _count_quiet(words, law.class_ends, found, size, made.sent)
        _resolve(start, words[:size], hits[:found], law, state, made)
        start += size
    return start


@compiled
def _hits(words: Words, below: np.uint64, hits: Tally, size: int) -> int:
    """Write the places of words below `below`, and return their number."""
    found = 0
    for i in range(size):
        hits[found] = i
        found += words[i] < below
    return found


@compiled
def _count_quiet(words: Words, class_ends: Words, found: int, size: int, sent: Tally) -> None:
    """Add the quiet pulses of each class to `sent`; `found` words lie below the quiet ones."""
    before = found
    for j in range(class_ends.size):
        end, below = class_ends[j], 0
        for i in range(size):
            below += words[i] < end
        sent[j] += below - before
        before = below
    sent[class_ends.size] += size - before


@inlined
def _resolve(start: int, words: Words, hits: Tally, law: _Law, state: Tally, made: _Made) -> None:
    """Go through the pulses of a block that would click a live receiver, and write the clicks that come of it."""
    for i in hits:
        slot, code = start + i, entry(law.steps, words[i])
        made.sent[code // CODES_OF_CLASS] += 1
        _afterpulse(start, slot, words, law, state, made)
        if slot > state[_BLIND_UNTIL]:
            _write(slot, code, law.follows.dead_slots, state, made)
            delay = afterpulse_delay(word(law.keys[1], slot), law.follows)
            if delay >= 0:
                state[_PENDING] = state[_BLIND_UNTIL] + 1 + delay
    _afterpulse(start, start + words.size, words, law, state, made)


@inlined
def _afterpulse(start: int, before: int, words: Words, law: _Law, state: Tally, made: _Made) -> None:
    """Write the pending afterpulse if it comes before the slot `before`: its pulse is the quiet one of its slot."""
    slot = state[_PENDING]
    if not 0 <= slot < before:
        return
    last, found = law.steps.ends.size - 1, law.click_cells
    while found < last and words[slot - start] >= law.steps.ends[found]:
        found += 1
    bit = int(word(law.keys[2], slot) >> np.uint64(63))
    _write(slot, (found - law.click_cells) * OUTCOMES + bit, law.follows.dead_slots, state, made)


@inlined
def _write(slot: int, code: int, dead_slots: int, state: Tally, made: _Made) -> None:
    made.slots[state[_WRITTEN]], made.codes[state[_WRITTEN]] = slot, code
    state[_WRITTEN] += 1
    state[_BLIND_UNTIL], state[_PENDING] = slot + dead_slots, -1
