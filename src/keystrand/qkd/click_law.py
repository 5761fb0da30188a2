"""The law both photon engines draw from: which pulse clicks, as what, and what follows a click.

1. A slot in which the receiver is live clicks by light or dark count ("primary") with the probabilities of
   `response.cells`, whatever happened before.
2. After any click both detectors are blind for `Bb84Link.dead_slots`.
3. A primary click, with `afterpulse_ratio`, leaves one afterpulse behind, in the live slots that follow the dead time:
   the g-th from 0 with probability (1 - q) q^g, q = exp(-1 / decay in slots). A primary click before it or in the
   same slot takes its place. An afterpulse leaves none: the ratio counts all that a primary click causes.
4. An afterpulse gives a fair random bit. Its pulse is one that made no click: intensity, bases and bit follow the
   prior, given that.

The sums over it are in `expected`.
"""

from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import Bb84Link, basis_ratios
from keystrand.qkd.decoy import Values
from keystrand.qkd.response import Response, cells


class Probabilities(NamedTuple):
    """What one live slot may be: `click` of shape (k, a, b, x, y), `quiet` of shape (k, a, b, x). The sum is 1."""

    click: Values
    quiet: Values


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
