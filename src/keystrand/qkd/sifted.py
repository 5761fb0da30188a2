"""What a link sifts a pulse, expected: detections and errors by intensity and basis, dead time and afterpulses in it.

Dead time blinds both detectors together and is non-paralysable: the receiver is live for 1 / (1 + clicks a pulse x
dead pulses) of the time. An afterpulse falls on whatever pulse comes, so it follows the intensities' probabilities
and is wrong half of the time; its dead time counts like any other. This is what the photon engines draw, but for the
afterpulses that another click forestalls: about the gain times the decay in slots of them. `expected` is exact, for one
link at a time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, basis_ratios
from keystrand.qkd.decoy import Values
from keystrand.qkd.response import DOUBLE, Response, cells, honest, port_clicks


class Sifted(NamedTuple):
    """Expected per pulse sent, all intensities together. The first four have shape (..., intensities), strongest first.

    `clicks` are all detections, whatever the bases; `double_ratio` the share of them where both detectors clicked,
    `ones_ratio` the share of 1 among the sifted bits, doubles being even. Those have the shape of the links.
    """

    key: Values
    key_errors: Values
    test: Values
    test_errors: Values
    clicks: Values
    double_ratio: Values
    ones_ratio: Values


class _Outcomes(NamedTuple):
    """Probabilities by intensity and bases (..., intensities, 2, 2), Alice's bits being even."""

    right: Values
    wrong: Values
    double: Values
    ones: Values


def sifted(link: Bb84Link, response: Response | None = None) -> Sifted:
    """Return what `link` sifts a pulse, with its own response or what an attack makes of it."""
    table = cells(honest(link) if response is None else response, link.transmitter.intensities)
    double = table[..., DOUBLE].sum(axis=3) / 2
    outcomes = _Outcomes(
        right=(table[..., 0, 0] + table[..., 1, 1]) / 2,
        wrong=(table[..., 0, 1] + table[..., 1, 0]) / 2,
        double=double,
        ones=table[..., 1].sum(axis=3) / 2 + double / 2,
    )
    made = _sifted([link], _Outcomes(*(one[None] for one in outcomes)))
    return Sifted(*(np.asarray(one[0]) for one in made))


def sifted_each(links: Sequence[Bb84Link]) -> Sifted:
    """Return what each of `links` sifts a pulse by itself, on a first axis; all must choose bases alike.

    In closed form, see `response.port_clicks`.
    """
    mu = np.array([one.transmitter.intensities for one in links])
    light = mu * np.array([[one.photon_efficiency] for one in links])
    dark = np.array([[one.dark_ratio] for one in links])
    wrong_port = np.array([[one.receiver.misalignment] for one in links])
    match, mixed = _independent(light, dark, wrong_port), _independent(light, dark, np.full(dark.shape, 0.5))
    spread = (np.stack([np.stack([m, x], -1), np.stack([x, m], -1)], -2) for m, x in zip(match, mixed, strict=True))
    return _sifted(links, _Outcomes(*spread))


def _independent(light: Values, dark: Values, wrong_port: Values) -> _Outcomes:
    """Return what two independent detectors show when `wrong_port` of the light leaves by the wrong one."""
    right, wrong = port_clicks(light, wrong_port, dark)
    double = right * wrong
    return _Outcomes(right - double, wrong - double, double, (right + wrong - double) / 2)


def _sifted(links: Sequence[Bb84Link], seen: _Outcomes) -> Sifted:
    """Return the links' sifting on a first axis, from their outcomes."""
    sent = np.array([one.transmitter.probabilities for one in links])
    weights = sent[:, :, None, None] * np.array([basis_ratios(one) for one in links])[:, None]
    click = seen.right + seen.wrong + seen.double
    primary = (weights * click).sum(axis=(1, 2, 3))
    after = primary * np.array([one.receiver.afterpulse_ratio for one in links])
    total = primary + after
    live = 1.0 / (1.0 + total * np.array([one.dead_slots for one in links]))
    added = after[:, None]
    both, errors, ones = [], [], np.zeros(len(links))
    for b in (KEY, TEST):
        share = weights[:, :, b, b]
        both.append(live[:, None] * share * (click[:, :, b, b] + added))
        errors.append(live[:, None] * share * (seen.wrong[:, :, b, b] + (seen.double[:, :, b, b] + added) / 2))
        ones += (share * (seen.ones[:, :, b, b] + added / 2)).sum(axis=1) * live
    kept = both[KEY].sum(axis=1) + both[TEST].sum(axis=1)
    return Sifted(
        key=both[KEY],
        key_errors=errors[KEY],
        test=both[TEST],
        test_errors=errors[TEST],
        clicks=live * total,
        double_ratio=_ratio((weights * seen.double).sum(axis=(1, 2, 3)), total, 0.0),
        ones_ratio=_ratio(ones, kept, 0.5),
    )


def _ratio(part: Values, whole: Values, empty: float) -> Values:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), empty))
