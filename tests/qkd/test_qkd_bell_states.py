"""Bell-diagonal states: every formula against density matrices of two and four qubits, and the known thresholds."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import brentq

from keystrand.qkd import bell_states as bell
from keystrand.qkd.decoy import Values

Matrix = NDArray[np.complex128]
I2, X, Z = np.eye(2), np.array([[0.0, 1], [1, 0]]), np.diag([1.0, -1])
Y = 1j * X @ Z
PHI = np.array([1.0, 0, 0, 1]) / np.sqrt(2)
BELLS = [np.kron(I2, np.linalg.matrix_power(X, k >> 1) @ np.linalg.matrix_power(Z, k & 1)) @ PHI for k in range(4)]
STATES = arrays(np.float64, 4, elements=st.floats(0.01, 1.0)).map(lambda weights: weights / weights.sum())


def matrix(state: Values) -> Matrix:
    """Return the density matrix of a state."""
    return np.asarray(sum(w * np.outer(v, v) for w, v in zip(state, BELLS, strict=True)), dtype=np.complex128)


def weights(rho: Matrix) -> Values:
    """Return the Bell states' weights of a density matrix that need not have trace 1."""
    return np.array([(v @ rho @ v).real for v in BELLS])


def kron(*parts: NDArray[np.generic]) -> Matrix:
    """Return the tensor product of several."""
    return np.asarray(reduce(np.kron, parts), dtype=np.complex128)


def traced(rho: Matrix, keep: tuple[int, int]) -> Matrix:
    """Return the part of two of four qubits."""
    order = [*keep, *(q for q in range(4) if q not in keep)]
    t = rho.reshape([2] * 8).transpose([*order, *(4 + q for q in order)]).reshape(4, 4, 4, 4)
    return np.asarray(np.einsum("ikjk->ij", t))


@given(STATES, STATES, st.integers(0, 3))
def test_swap_is_a_bell_measurement(first: Values, second: Values, outcome: int) -> None:
    """Qubits B, C of A-B and C-D are measured; the far end undoes the flips that the outcome names."""
    projector = kron(I2, np.outer(BELLS[outcome], BELLS[outcome]), I2)
    joint = traced(projector @ kron(matrix(first), matrix(second)) @ projector, (0, 3))
    undone = weights(joint)[[outcome ^ k for k in range(4)]]
    assert undone.sum() == pytest.approx(0.25)
    assert bell.swapped(first, second) == pytest.approx(undone / undone.sum(), abs=1e-12)


@pytest.mark.parametrize("rotated", [False, True])
@given(first=STATES, second=STATES)
def test_purification_is_two_gates_and_a_comparison(*, rotated: bool, first: Values, second: Values) -> None:
    """Qubits A1, B1, A2, B2: rotations (DEJMPS), a CNOT at each end, equal results on the second pair."""
    if not rotated:
        first, second = (bell.werner(bell.werner_parameter(one)) for one in (first, second))
    turn = (I2 - 1j * X) / np.sqrt(2)
    turns = kron(turn, turn.conj(), turn, turn.conj()) if rotated else np.eye(16)
    gate = np.zeros((16, 16))
    for n in range(16):
        a1, b1, a2, b2 = n >> 3, n >> 2 & 1, n >> 1 & 1, n & 1
        gate[a1 << 3 | b1 << 2 | (a2 ^ a1) << 1 | b2 ^ b1, n] = 1
    alike = kron(np.eye(4), np.diag([1, 0, 0, 1]))
    whole = alike @ gate @ turns
    left = weights(traced(whole @ kron(matrix(first), matrix(second)) @ whole.conj().T, (0, 1)))
    found = (bell.dejmps if rotated else bell.bbpssw)(first, second)
    assert found.success == pytest.approx(left.sum(), abs=1e-12)
    wanted = left / left.sum()
    assert found.state[0] == pytest.approx(wanted[0], abs=1e-12)
    if rotated:
        assert found.state == pytest.approx(wanted, abs=1e-12)


@given(STATES, st.floats(0, 1))
def test_noise_of_a_memory_is_that_of_a_channel(state: Values, kept: float) -> None:
    """White noise on one qubit; phase flips on one qubit."""
    rho = matrix(state)
    ops = [kron(I2, op) for op in (X, Y, Z)]
    flip = (1 - kept) / 4
    white = (1 - 3 * flip) * rho + flip * sum(op @ rho @ op.conj().T for op in ops)
    assert bell.depolarised(state, kept) == pytest.approx(weights(white), abs=1e-12)
    phase = (1 + kept) / 2 * rho + (1 - kept) / 2 * ops[2] @ rho @ ops[2]
    assert bell.dephased(state, kept) == pytest.approx(weights(phase), abs=1e-12)


@given(STATES)
def test_errors_and_chsh_are_expectations(state: Values) -> None:
    """Correlations of Pauli operators, the CHSH operator, and settings that nothing beats (Horodecki)."""
    rho = matrix(state)
    tz, tx, ty = (np.trace(rho @ kron(op, op)).real for op in (Z, X, Y))
    assert np.array(bell.error_ratios(state)) == pytest.approx([(1 - tz) / 2, (1 - tx) / 2, (1 + ty) / 2], abs=1e-12)
    plus, minus = (Z + X) / np.sqrt(2), (Z - X) / np.sqrt(2)
    operator = kron(Z, plus) + kron(Z, minus) + kron(X, plus) - kron(X, minus)
    assert bell.chsh_value(state) == pytest.approx(np.trace(rho @ operator).real, abs=1e-12)
    t = np.array([[np.trace(rho @ kron(a, b)).real for b in (X, Y, Z)] for a in (X, Y, Z)])
    largest = 2 * np.sqrt(np.sort(np.linalg.eigvalsh(t.T @ t))[1:].sum())
    assert bell.greatest_chsh_value(state) == pytest.approx(largest, abs=1e-9)
    assert bell.chsh_value(state) <= largest + 1e-12


def test_known_thresholds() -> None:
    """Key from w = 0.7799 on (BBM92: QBER 11.003 %), S = 2 at w = 1/sqrt 2, CHSH-priced key up to QBER 7.149 %."""
    assert bell.chsh_value(bell.werner(1 / np.sqrt(2))) == pytest.approx(2, abs=1e-12)
    for by_chsh, percent in ((False, 11.003), (True, 7.149)):
        w = 1 - 2 * percent / 100
        assert bell.secret_fraction(bell.werner(w - 2e-5), by_chsh=by_chsh) == 0
        assert bell.secret_fraction(bell.werner(w + 2e-5), by_chsh=by_chsh) > 0


def test_published_form_of_bbpssw() -> None:
    """Bennett et al. (1996): F' and success in terms of F; fixed at 1/4, 1/2 and 1, a gain only in between."""
    f = np.linspace(0.3, 0.99, 30)
    bad = (1 - f) / 3
    found = bell.bbpssw(*(bell.werner((4 * f - 1) / 3),) * 2)
    success = f**2 + 2 * f * bad + 5 * bad**2
    assert found.success == pytest.approx(success, rel=1e-12)
    assert bell.fidelity(found.state) == pytest.approx((f**2 + bad**2) / success, rel=1e-12)
    assert np.array_equal(bell.fidelity(found.state) > f, f > 0.5)

    def gain(fid: float) -> float:
        pair = bell.werner((4 * fid - 1) / 3)
        return float(bell.fidelity(bell.bbpssw(pair, pair).state)) - fid

    assert brentq(gain, 0.3, 0.8) == pytest.approx(0.5)
    assert gain(0.25) == pytest.approx(0, abs=1e-12)
    assert gain(1.0) == pytest.approx(0, abs=1e-12)


def test_dejmps_climbs_faster() -> None:
    """From Werner pairs of fidelity 0.6 both reach 1; DEJMPS in fewer rounds."""
    rounds = {}
    for method in (bell.bbpssw, bell.dejmps):
        pair, rounds[method] = bell.werner((4 * 0.6 - 1) / 3), 0
        while bell.fidelity(pair) < 0.99:
            pair, rounds[method] = method(pair, pair).state, rounds[method] + 1
            assert rounds[method] < 50
    assert rounds[bell.dejmps] < rounds[bell.bbpssw]


def test_pairs_that_never_agree_leave_nothing() -> None:
    """No success, and no division by 0."""
    found = bell.dejmps(np.array([1.0, 0, 0, 0]), np.array([0.0, 0, 1, 0]))
    assert found.success == 0
    assert np.all(found.state == 0.25)


@pytest.mark.parametrize("bad", [[1.0], [0.5, 0.5, 0.5, 0.5], [1.5, -0.5, 0, 0], [np.nan, 0, 0, 1], 1.0])
def test_what_is_no_state_is_refused(bad: list[float]) -> None:
    """Four weights, none below 0, whose sum is 1."""
    with pytest.raises(ValueError, match="weights"):
        bell.checked(bad)
