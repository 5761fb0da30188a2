"""Secret key rate of entangled photon pairs (BBM92 and E91) from a pulsed pair source, for infinitely long keys.

The source is spontaneous parametric down-conversion in two polarisations: X. Ma, C.-H. F. Fung, H.-K. Lo, "Quantum
key distribution with entangled photon sources", Phys. Rev. A 76, 012307 (2007). It sits anywhere along the channel,
and need not be trusted; the paper's lambda is half of the mean number of pairs of a pulse.

The price of a sifted bit is what Eve may know of it: by the errors in both bases (BBM92), or by the CHSH value alone
(A. Acin et al., Phys. Rev. Lett. 98, 230501 (2007)); both meet the known thresholds. No published rate was compared
with. The second says nothing of devices here: half of the photons are lost, so the pairs that arrive are taken for a
fair sample. No rate of this module is device-independent.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.model.units import Ratio
from keystrand.qkd.decoy import BACKGROUND_ERROR, Seen, Values, binary_entropy

MODEL = "entangled pairs (BBM92; E91 priced by CHSH), pulsed pair source, asymptotic"
SOURCE = "Ma, Fung, Lo, Phys. Rev. A 76, 012307 (2007); Acin et al., Phys. Rev. Lett. 98, 230501 (2007)"


class EntangledPairParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link with a pair source. Efficiencies are optics and detectors; background yields are of all of a side's.

    `alice_loss_share` is the share of the channel's decibels on Alice's side: 0.5 in the middle, 0 at Alice.
    """

    mean_pairs: Annotated[float, Meta(gt=0, le=10)]
    alice_efficiency: Ratio
    bob_efficiency: Ratio
    alice_background_yield: Ratio
    bob_background_yield: Ratio
    misalignment: Annotated[float, Meta(ge=0, le=0.5)]
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)]
    basis_match: Ratio
    alice_loss_share: Ratio = 0.5


def seen(link: EntangledPairParameters, loss_db: ArrayLike, *, mean_pairs: ArrayLike | None = None) -> Seen:
    """Return coincidences per pulse and their error ratio after `loss_db` in all, Ma, Fung and Lo (2007)."""
    pairs = np.asarray(link.mean_pairs if mean_pairs is None else mean_pairs, dtype=np.float64)
    lam, loss = pairs / 2.0, np.asarray(loss_db, dtype=np.float64)
    at_alice = link.alice_efficiency * 10.0 ** (-loss * link.alice_loss_share / 10.0) * lam
    at_bob = link.bob_efficiency * 10.0 ** (-loss * (1.0 - link.alice_loss_share) / 10.0) * lam
    both = at_alice + at_bob - at_alice * at_bob / lam
    quiet_a, quiet_b = 1.0 - link.alice_background_yield, 1.0 - link.bob_background_yield
    # 1 - P(no click at A) - P(none at B) + P(none at either), each difference taken before it loses its digits
    light = _missing(at_alice) + _missing(at_bob) - _missing(both)
    gain = light + (1.0 - quiet_a) * _dark(at_alice) + (1.0 - quiet_b) * _dark(at_bob)
    gain = np.maximum(gain - (1.0 - quiet_a * quiet_b) * _dark(both), 0.0)
    agree = at_alice * at_bob * (1.0 + lam) / lam / ((1.0 + at_alice) * (1.0 + at_bob) * (1.0 + both))
    some = np.where(gain > 0, gain, 1.0)
    error = BACKGROUND_ERROR - 2.0 * (BACKGROUND_ERROR - link.misalignment) * agree / some
    return Seen(gain, np.where(gain > 0, np.clip(error, 0.0, BACKGROUND_ERROR), BACKGROUND_ERROR))


def both_bases_price(qber: ArrayLike) -> Values:
    """Return what Eve may know of a sifted bit, BB84 and BBM92: h(e) (Shor and Preskill 2000)."""
    return binary_entropy(qber)


def six_state_price(qber: ArrayLike) -> Values:
    """Return what Eve may know of a sifted bit where three bases show the same error ratio (H.-K. Lo 2001)."""
    error = np.clip(np.asarray(qber, dtype=np.float64), 0.0, 0.5)
    # the bit's error is known, so of the four Bell states' entropy only what is left beyond h(e) is hers
    phase = np.where(error < 1, (error / 2.0) / np.where(error < 1, 1.0 - error, 1.0), 0.0)
    return np.asarray(error + (1.0 - error) * binary_entropy(phase))


def chsh_value(qber: ArrayLike) -> Values:
    """Return S = 2 sqrt(2) (1 - 2e) of a pair whose errors come from white noise."""
    return np.asarray(2.0 * np.sqrt(2.0) * (1.0 - 2.0 * np.asarray(qber, dtype=np.float64)))


def chsh_price(value: ArrayLike) -> Values:
    """Return what Eve may know of a sifted bit by the CHSH value S alone; 1 where S is 2 or less. Acin (2007)."""
    broken = np.maximum((np.asarray(value, dtype=np.float64) / 2.0) ** 2 - 1.0, 0.0)
    root = np.sqrt(np.minimum(broken, 1.0))
    return binary_entropy((1.0 - root) / 2.0)  # h(x) = h(1 - x), and the smaller half keeps its digits


def secret_fraction(
    link: EntangledPairParameters, loss_db: ArrayLike, *, mean_pairs: ArrayLike | None = None, by_chsh: bool = False
) -> Values:
    """Return secret bits per pump pulse (a pulse holds two polarisation modes), never below 0; broadcasts.

    BBM92 by default; with `by_chsh` E91, whose price is that of S = 2 sqrt(2) (1 - 2e).
    """
    shown = seen(link, loss_db, mean_pairs=mean_pairs)
    price = chsh_price(chsh_value(shown.qber)) if by_chsh else both_bases_price(shown.qber)
    disclosed = link.correction_efficiency * binary_entropy(shown.qber)
    return np.maximum(link.basis_match * shown.gain * (1.0 - price - disclosed), 0.0)


def _dark(light: Values) -> Values:
    """Return 1 / (1 + x)^2, the probability that two thermal modes of x photons each stay dark."""
    return np.asarray(1.0 / (1.0 + light) ** 2)


def _missing(light: Values) -> Values:
    """Return 1 - 1 / (1 + x)^2 without losing its digits for small x."""
    return np.asarray(light * (2.0 + light) / (1.0 + light) ** 2)
