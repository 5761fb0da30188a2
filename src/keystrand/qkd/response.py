"""What Bob's detectors say to a pulse of n photons: the one table that channel, attacks and faults act on.

Whatever Eve does to each pulse on its own, Alice and Bob see no more than these probabilities: phase-randomised pulses
are mixtures of photon numbers (Lo, Ma, Chen, Phys. Rev. Lett. 94, 230504 (2005)), so a change of the table *is* the
attack as far as it can be seen. What it hides (what Eve knows) is said by the attack, not by the table.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link
from keystrand.qkd.decoy import Values

DOUBLE = 2
"""The outcome where both detectors click; Bob then takes a random bit. Outcomes 0 and 1 are the bit."""
MOST_PHOTONS = 30
"""Pulses of more photons are counted as of so many: with 2 photons on average, one in 10^25."""


class Response(NamedTuple):
    """`table[a, b, x, y, n]`: probability that Bob, measuring in basis b, sees outcome y (0, 1, `DOUBLE`) when Alice
    sent n photons with bit x in basis a. Shape (2, 2, 2, 3, `MOST_PHOTONS` + 1); the rest to 1 is no click."""

    table: Values

    def check(self) -> None:
        """Raise ValueError unless these are probabilities."""
        whole = self.table.sum(axis=3)
        if not np.all(np.isfinite(self.table)) or np.any(self.table < 0) or np.any(whole > 1 + 1e-12):
            raise ValueError("a response holds probabilities: 0 to 1, and all outcomes together at most 1")


class Shown(NamedTuple):
    """Clicks a pulse and the share of wrong ones, shape (intensities, 2, 2): Alice's basis, Bob's. Doubles: half wrong.

    Nothing of dead time and afterpulses is in it.
    """

    gain: Values
    qber: Values


def photon_numbers(intensities: ArrayLike) -> Values:
    """Return the Poisson probabilities of 0.. `MOST_PHOTONS` photons, all more in the last, on a new last axis."""
    mu = np.asarray(intensities, dtype=np.float64)[..., None]
    n = np.arange(MOST_PHOTONS + 1)
    made = np.exp(xlogy(n, mu) - mu - gammaln(n + 1))
    made[..., -1] = np.maximum(1.0 - made[..., :-1].sum(axis=-1), 0.0)
    return np.asarray(made)


def photon_response(efficiency: ArrayLike, misalignment: float, dark_ratios: tuple[float, float]) -> Response:
    """Return the response of two threshold detectors; each photon arrives with `efficiency` and chooses its port alone.

    `efficiency` is one number or one for each detector (0, 1); `dark_ratios` those of detectors 0 and 1.
    """
    eta = np.broadcast_to(np.asarray(efficiency, dtype=np.float64), (2,))
    n = np.arange(MOST_PHOTONS + 1, dtype=np.float64)
    table = np.empty((2, 2, 2, 3, n.size))
    for a in (KEY, TEST):
        for b in (KEY, TEST):
            for x in (0, 1):
                to_one = 0.5 if a != b else (1 - misalignment if x else misalignment)
                table[a, b, x] = _clicks(eta * [1 - to_one, to_one], dark_ratios, n)
    return Response(table)


def port_clicks(light: ArrayLike, wrong_port: ArrayLike, dark_ratio: ArrayLike) -> tuple[Values, Values]:
    """Return the probabilities that the right and the wrong detector click, `light` being detected photons on average.

    Light that splits over two detectors stays Poisson in each, so they click independently. Broadcasts; exact for the
    smallest light.
    """
    share, dark = np.asarray(wrong_port, dtype=np.float64), np.asarray(dark_ratio, dtype=np.float64)
    arriving = np.asarray(light, dtype=np.float64)
    right, wrong = (dark + (1.0 - dark) * -np.expm1(-arriving * part) for part in (1.0 - share, share))
    return right, wrong


def honest(link: Bb84Link) -> Response:
    """Return what the link's own channel and receiver do."""
    return photon_response(link.photon_efficiency, link.receiver.misalignment, (link.dark_ratio, link.dark_ratio))


def cells(response: Response, intensities: ArrayLike) -> Values:
    """Return the probability of each outcome by intensity: shape (intensities, 2, 2, 2, 3) as (k, a, b, x, y)."""
    return np.asarray(np.einsum("abxyn,kn->kabxy", response.table, photon_numbers(intensities)))


def shown(response: Response, intensities: ArrayLike) -> Shown:
    """Return gain and QBER by intensity and bases, Alice's bits being even."""
    by_bit = cells(response, intensities) / 2
    gain = by_bit.sum(axis=(3, 4))
    wrong = by_bit[..., 0, 1] + by_bit[..., 1, 0] + by_bit[..., DOUBLE].sum(axis=3) / 2
    return Shown(gain, np.where(gain > 0, wrong / np.where(gain > 0, gain, 1.0), 0.5))


def _clicks(reach: Values, dark_ratios: tuple[float, float], n: Values) -> Values:
    """Return the probabilities of outcomes 0, 1 and double, shape (3, n), when a photon clicks 0 or 1 with `reach`."""
    quiet0, quiet1 = ((1 - dark) * (1 - r) ** n for dark, r in zip(dark_ratios, reach, strict=True))
    silent = (1 - dark_ratios[0]) * (1 - dark_ratios[1]) * (1 - reach.sum()) ** n
    only0, only1 = quiet1 - silent, quiet0 - silent
    return np.stack([only0, only1, np.maximum(1 - silent - only0 - only1, 0.0)])
