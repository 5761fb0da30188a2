"""Pairs of qubits as mixtures of the four Bell states: what swapping, waiting and purifying do to them.

A state is an array whose last axis holds the weights of Phi+, Phi-, Psi+, Psi-: place 2 x + z for a bit flip x and a
phase flip z. All other axes broadcast like NumPy. A Werner state of parameter w has fidelity (1 + 3 w) / 4.

Sources: C. H. Bennett et al., Phys. Rev. Lett. 76, 722 (1996), called BBPSSW; D. Deutsch et al., Phys. Rev. Lett. 77,
2818 (1996), called DEJMPS; R., P. and M. Horodecki, Phys. Lett. A 200, 340 (1995) for the greatest CHSH value. The
formulas were checked against density matrices (tests), not against the printed papers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keystrand.qkd.decoy import Values, binary_entropy
from keystrand.qkd.entangled_pairs import both_bases_price, chsh_price

BELL_STATES = ("phi+", "phi-", "psi+", "psi-")


class Purified(NamedTuple):
    """How likely a purification succeeds, and the pair that is left when it does."""

    success: Values
    state: Values


class ErrorRatios(NamedTuple):
    """The share of wrong bits where both ends measure in the same basis; `y` after one end inverts its bit."""

    z: Values
    x: Values
    y: Values


def checked(state: ArrayLike) -> Values:
    """Return `state` as an array. Raises `ValueError` unless its last axis holds four weights whose sum is 1."""
    weights = np.asarray(state, dtype=np.float64)
    if weights.ndim == 0 or weights.shape[-1] != 4:
        raise ValueError("a Bell-diagonal state has four weights")
    if not np.all(weights >= -1e-12) or not np.allclose(weights.sum(axis=-1), 1.0, atol=1e-9):
        raise ValueError("the weights of a state must not be negative and their sum 1")
    return weights


def werner(parameter: ArrayLike) -> Values:
    """Return the Werner state: `parameter` (0..1) of Phi+, and white noise."""
    w = np.asarray(parameter, dtype=np.float64)[..., None]
    return np.asarray((1.0 - w) / 4.0 + w * np.array([1.0, 0.0, 0.0, 0.0]))


def werner_parameter(state: Values) -> Values:
    """Return w of the Werner state with the same fidelity, which random rotations at both ends make of any pair."""
    return np.asarray((4.0 * fidelity(state) - 1.0) / 3.0)


def fidelity(state: Values) -> Values:
    """Return the weight of Phi+."""
    return np.asarray(state[..., 0])


def depolarised(state: Values, kept: ArrayLike) -> Values:
    """Return the state of which the share `kept` is left and the rest is white noise."""
    share = np.asarray(kept, dtype=np.float64)[..., None]
    return np.asarray(share * state + (1.0 - share) / 4.0)


def dephased(state: Values, kept: ArrayLike) -> Values:
    """Return the state after a phase flip with probability (1 - `kept`) / 2."""
    flip = (1.0 - np.asarray(kept, dtype=np.float64)[..., None]) / 2.0
    return np.asarray((1.0 - flip) * state + flip * state[..., [1, 0, 3, 2]])


def swapped(first: Values, second: Values, kept: ArrayLike = 1.0) -> Values:
    """Return the pair that a Bell measurement makes of two: their flips add up. `kept` is left by its gates."""
    made = sum(first[..., [k]] * second[..., [k, k ^ 1, k ^ 2, k ^ 3]] for k in range(4))
    return depolarised(np.asarray(made), kept)


def bbpssw(first: Values, second: Values) -> Purified:
    """Return what BBPSSW makes of two pairs, each first turned into a Werner state, as is what is left."""
    success, state = _kept_if_parities_agree(*(werner(werner_parameter(one)) for one in (first, second)))
    return Purified(success, werner(werner_parameter(state)))


def dejmps(first: Values, second: Values) -> Purified:
    """Return what DEJMPS makes of two pairs: rotations exchange Phi- and Psi-, then as BBPSSW without the twirls."""
    return _kept_if_parities_agree(first[..., [0, 3, 2, 1]], second[..., [0, 3, 2, 1]])


def error_ratios(state: Values) -> ErrorRatios:
    """Return the error ratios in the three bases: bit flips show in Z, phase flips in X, one of the two in Y."""
    bits, phases, both = state[..., 2], state[..., 1], state[..., 3]
    return ErrorRatios(bits + both, phases + both, bits + phases)


def chsh_value(state: Values) -> Values:
    """Return S where Alice measures Z and X, Bob halfway between them: sqrt(2) (t_Z + t_X)."""
    wrong = error_ratios(state)
    return np.asarray(2.0 * np.sqrt(2.0) * (1.0 - wrong.z - wrong.x))


def greatest_chsh_value(state: Values) -> Values:
    """Return the largest S that any settings show: 2 sqrt of the two largest squared correlations' sum (Horodecki)."""
    squares = np.sort([(1.0 - 2.0 * e) ** 2 for e in error_ratios(state)], axis=0)
    return np.asarray(2.0 * np.sqrt(squares[1] + squares[2]))


def secret_fraction(state: Values, correction_efficiency: float = 1.0, *, by_chsh: bool = False) -> Values:
    """Return secret bits per pair measured in Z for the key, at least 0: BBM92, or E91 priced by S with `by_chsh`."""
    wrong = error_ratios(state)
    price = chsh_price(chsh_value(state)) if by_chsh else both_bases_price(wrong.x)
    return np.maximum(1.0 - price - correction_efficiency * binary_entropy(wrong.z), 0.0)


def _kept_if_parities_agree(first: Values, second: Values) -> Purified:
    """Return the outcome of a CNOT at each end and equal Z results on the second pair: equal bit flips, phases add."""
    made = np.stack(
        [
            sum(first[..., 2 * x + z1] * second[..., 2 * x + (z ^ z1)] for z1 in (0, 1))
            for x, z in ((0, 0), (0, 1), (1, 0), (1, 1))
        ],
        axis=-1,
    )
    success = made.sum(axis=-1)  # 0 where one pair surely has a bit flip and the other none
    some = np.where(success > 0, success, 1.0)[..., None]
    return Purified(success, np.where(success[..., None] > 0, made / some, 0.25))
