"""The photon engine that goes from click to click: for links where nearly every pulse is quiet.

Pulses are independent, so the number of live slots before the next primary click is geometric; it is drawn at once, and
then what the click was, given that there is one. An afterpulse races against it. The law is that of the pulse engine,
see `click_law`; the runs of one seed are not the same. An attack that remembers earlier pulses needs the pulse engine.

Words come from a counter-based generator, number by number, which is for simulation only and never makes a real key.
Clicks are the same however a run is divided. What the quiet pulses were is drawn once a division, all together.
"""

from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.click_ladder import (
    CODES_OF_CLASS,
    OUTCOMES,
    Ladder,
    afterpulse_delay,
    as_records,
    entry,
    ladder,
)
from keystrand.qkd.click_law import Afterpulsing, afterpulsing, probabilities
from keystrand.qkd.compiled import compiled, inlined
from keystrand.qkd.counter_random import Words, keys, ratio, word
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Marks, Run, Slots, Tally
from keystrand.qkd.response import Response

_HELD = 1 << 18
"""Clicks that one call of the kernel has room for."""
_NEVER = 1 << 61
"""Live slots before a click that does not come."""
_NEXT, _BEFORE_PRIMARY, _BEFORE_AFTERPULSE, _CLICKS = range(4)
"""State: the first live slot that is not decided, live slots from there to the next primary click and to the pending
afterpulse (-1: none), and clicks so far."""


class _Law(NamedTuple):
    clicks: Ladder
    quiet: Ladder
    inverse_log: float
    follows: Afterpulsing
    keys: Words


class EventEngine:
    """Draws a link's clicks, from slot 0 on. Raises ValueError for a response or a seed that cannot be."""

    def __init__(self, link: Bb84Link, response: Response, seed: int) -> None:
        self._live = probabilities(link, response)
        click, quiet = (part.ravel() for part in self._live)
        clicks, quiets = (ladder(_normal(part), part.size) for part in (click, quiet))
        self._law = _Law(clicks, quiets, _inverse_log(float(click.sum())), afterpulsing(link), keys(seed, 3))
        self._state = np.array([0, 0, -1, 0], dtype=np.int64)
        self._state[_BEFORE_PRIMARY] = _skip(np.uint64(word(self._law.keys[0], -1)), self._law.inverse_log)
        self._seed, self._slot = seed, 0

    def advance(self, pulses: int) -> Run:
        """Return the run of the next `pulses`; slots count from the first pulse of all."""
        if pulses < 0:
            raise ValueError("the number of pulses must not be negative")
        start, stop = self._slot, self._slot + pulses
        sent = np.zeros(self._live.quiet.shape[:2], dtype=np.int64)
        owed, slots, codes = self._blind_after(start), [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint8)]
        while self._state[_NEXT] < stop:
            slot, code = np.empty(_HELD, dtype=np.int64), np.empty(_HELD, dtype=np.uint8)
            clicks = _draw(stop, self._law, self._state, sent.reshape(-1), slot, code)
            slots.append(slot[:clicks])
            codes.append(code[:clicks])
            if clicks < _HELD:
                break
        self._slot = stop
        records = as_records(np.concatenate(slots), np.concatenate(codes))
        clicks = records[0].slot.size
        blind = owed + clicks * self._law.follows.dead_slots - self._blind_after(stop)
        return Run(*records, pulses, sent + self._quiet_classes(start, blind, pulses - blind - clicks))

    def _blind_after(self, slot: int) -> int:
        """Return how many slots from `slot` on are blind from clicks before it."""
        return max(int(self._state[_NEXT]) - slot, 0)

    def _quiet_classes(self, start: int, blind: int, quiet: int) -> Tally:
        """Draw the classes of slots that made no click: blind ones follow the prior, live ones that given no click."""
        rng = np.random.default_rng((self._seed, start))
        click, silent = (part.reshape(*part.shape[:2], -1).sum(axis=-1) for part in self._live)
        drawn = rng.multinomial(blind, _normal(click + silent).ravel())
        return (drawn + rng.multinomial(quiet, _normal(silent).ravel())).reshape(silent.shape)


def run(link: Bb84Link, response: Response, pulses: int, seed: int) -> Run:
    """Return a run of `pulses`; memory grows with its clicks only. Raises ValueError as `EventEngine`."""
    return EventEngine(link, response, seed).advance(pulses)


def _normal(parts: Values) -> Values:
    """Return `parts` with the sum 1, or as they are where they are all 0."""
    whole = parts.sum()
    return parts / whole if whole > 0 else parts


def _inverse_log(ratio: float) -> float:
    """Return 1 / ln(1 - ratio): so many live slots go by for each e-fold of chance; -`_NEVER` where none ever ends."""
    if ratio <= 0:
        return -float(_NEVER)
    return 1.0 / float(np.log1p(-ratio)) if ratio < 1 else 0.0


@inlined
def _skip(random_word: np.uint64, inverse_log: float) -> int:
    """Return how many live slots go by before a primary click: geometric, from 0."""
    drawn = np.log(1.0 - ratio(random_word)) * inverse_log  # the difference is exact
    return int(drawn) if drawn < _NEVER else _NEVER


@compiled
def _draw(stop: int, law: _Law, state: Tally, sent: Tally, slots: Slots, codes: Marks) -> int:
    """Draw clicks up to `stop`, or as many as there is room for; count their classes in `sent`, return their number."""
    following, primary, after, clicks = state[_NEXT], state[_BEFORE_PRIMARY], state[_BEFORE_AFTERPULSE], state[_CLICKS]
    written = 0
    while written < slots.size:
        by_afterpulse = 0 <= after < primary
        slot = following + (after if by_afterpulse else primary)
        if slot >= stop:
            break
        kind = word(law.keys[1], clicks)
        if by_afterpulse:
            bit = int(word(law.keys[0], clicks) >> np.uint64(63))
            code = entry(law.quiet, kind) * OUTCOMES + bit
            primary -= after + 1
            after = -1
        else:
            code = entry(law.clicks, kind)
            primary = _skip(word(law.keys[0], clicks), law.inverse_log)
            after = afterpulse_delay(word(law.keys[2], clicks), law.follows)
        slots[written], codes[written] = slot, code
        sent[code // CODES_OF_CLASS] += 1
        following = slot + 1 + law.follows.dead_slots
        written += 1
        clicks += 1
    state[_NEXT], state[_BEFORE_PRIMARY], state[_BEFORE_AFTERPULSE], state[_CLICKS] = following, primary, after, clicks
    return written
