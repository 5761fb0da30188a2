"""What a link sifts a pulse, expected: detections and errors by intensity and basis, dead time and afterpulses in it.

Dead time blinds both detectors together and is non-paralysable: the receiver is live for 1 / (1 + clicks a pulse x
dead pulses) of the time. An afterpulse falls on whatever pulse comes, so it follows the intensities' probabilities
and is wrong half of the time; its dead time counts like any other. Both are the means of what the photon engines draw.
"""

from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, basis_ratios
from keystrand.qkd.decoy import Values
from keystrand.qkd.response import DOUBLE, Response, cells, honest


class Sifted(NamedTuple):
    """Expected per pulse sent, all intensities together. The first four have shape (intensities,), strongest first.

    `clicks` are all detections, whatever the bases; `double_ratio` the share of them where both detectors clicked,
    `ones_ratio` the share of 1 among the sifted bits, doubles being even.
    """

    key: Values
    key_errors: Values
    test: Values
    test_errors: Values
    clicks: float
    double_ratio: float
    ones_ratio: float


def sifted(link: Bb84Link, response: Response | None = None) -> Sifted:
    """Return what `link` sifts a pulse, with its own response or what an attack makes of it."""
    table = cells(honest(link) if response is None else response, link.transmitter.intensities)
    sent = np.array(link.transmitter.probabilities)
    # by intensity, bases and outcome right, wrong, double; Alice's bits are even
    right = (table[..., 0, 0] + table[..., 1, 1]) / 2
    wrong = (table[..., 0, 1] + table[..., 1, 0]) / 2
    double = table[..., DOUBLE].sum(axis=3) / 2
    click = right + wrong + double
    weights = sent[:, None, None] * basis_ratios(link)
    primary = float((weights * click).sum())
    after = primary * link.receiver.afterpulse_ratio
    total = primary + after
    live = 1.0 / (1.0 + total * link.dead_slots)
    both = np.stack([weights[:, b, b] * (click[:, b, b] + after) for b in (KEY, TEST)])
    errors = np.stack([weights[:, b, b] * (wrong + double / 2)[:, b, b] for b in (KEY, TEST)])
    errors += np.stack([weights[:, b, b] * after / 2 for b in (KEY, TEST)])
    kept = float(both.sum())
    ones = table[..., 1].sum(axis=3) / 2 + double / 2
    ones_kept = sum(float((weights[:, b, b] * (ones[:, b, b] + after / 2)).sum()) for b in (KEY, TEST))
    return Sifted(
        key=live * both[KEY],
        key_errors=live * errors[KEY],
        test=live * both[TEST],
        test_errors=live * errors[TEST],
        clicks=live * total,
        double_ratio=float((weights * double).sum()) / total if total > 0 else 0.0,
        ones_ratio=ones_kept / kept if kept > 0 else 0.5,
    )
