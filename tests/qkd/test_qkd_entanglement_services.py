"""What users draw from pairs: counts that meet the state, CHSH verdicts that keep their risk, keys, a whole testbed."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import bell_states as bell
from keystrand.qkd import entanglement_services as services
from keystrand.qkd import finite, testbed
from keystrand.qkd.testbed import TestbedChain

EVEN = services.Settings(alice_key=0.5, bob_key=0.25, bob_test=0.25)
CHAIN: dict[str, Any] = {
    "name": "two segments",
    "segments": 2,
    "fibre": {"length_km": 20.0},
    "link": {"scheme": "two-photon", "efficiency": 0.6, "source_fidelity": 0.995, "visibility": 0.99},
    "memory": {"coherence_s": 1.0},
}


def made(**changes: Any) -> TestbedChain:
    """Return a good chain with changes in its tables."""
    merged = {key: CHAIN.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()}
    return msgspec.convert(CHAIN | merged, TestbedChain)


def many(state: list[float], count: int) -> Any:
    """Return so many pairs of one state."""
    return np.broadcast_to(np.array(state), (count, 4))


def test_counts_meet_the_state() -> None:
    """QBER in Z and X and all four correlations of an uneven state, each within 4.5 sigma."""
    state = [0.8, 0.1, 0.06, 0.04]
    seen = services.measure(many(state, 400_000), EVEN, np.random.default_rng(1))
    n = seen.alice_key.size
    assert n == pytest.approx(50_000, rel=0.03)
    for hits, trials, share in ((seen.key_errors, n, 0.10), (seen.test_errors, seen.tested, 0.14)):
        assert abs(hits - trials * share) < 4.5 * np.sqrt(trials * share * (1 - share))
    tz, tx = 1 - 2 * 0.10, 1 - 2 * 0.14
    share = (1 - np.array([[tz, tz], [tx, -tx]]) / np.sqrt(2)) / 2
    spread = np.sqrt(seen.chsh_pairs * share * (1 - share))
    assert np.all(np.abs(seen.chsh_unequal - seen.chsh_pairs * share) < 4.5 * spread)
    check = services.chsh_check(seen.chsh_pairs, seen.chsh_unequal)
    assert abs(check.value - float(bell.chsh_value(np.array(state)))) < 4.5 * check.standard_error
    assert check.lower < check.value < check.upper
    assert 0.4 < seen.alice_key.mean() < 0.6


@pytest.mark.parametrize(
    ("w", "count", "verdict"),
    [
        (1.0, 400, "passes"),
        (0.8, 40_000, "passes"),
        (0.6, 40_000, "fails"),
        (0.72, 400, "too few"),
        (1.0, 8, "too few"),
    ],
)
def test_verdict_needs_a_violation_and_enough_pairs(w: float, count: int, verdict: str) -> None:
    """Above and below w = 1 / sqrt 2, and where the counts cannot tell."""
    share = (1 - w * np.array([[1, 1], [1, -1]]) / np.sqrt(2)) / 2
    pairs = np.full((2, 2), count // 4)
    assert services.chsh_check(pairs, np.round(pairs * share)).verdict == verdict


def test_bounds_of_s_keep_their_risk() -> None:
    """True S is outside the one-sided bounds no more often than the risk says, and not always inside."""
    rng, risk, trials, w = np.random.default_rng(5), 0.1, 3000, 0.75
    share = (1 - w * np.array([[1, 1], [1, -1]]) / np.sqrt(2)) / 2
    n, true = np.full((2, 2), 50), 2 * np.sqrt(2) * w
    found = [services.chsh_check(n, rng.binomial(n, share), risk) for _ in range(trials)]
    most = risk * trials + 4 * np.sqrt(risk * (1 - risk) * trials)
    assert sum(one.lower > true for one in found) <= most
    assert sum(one.upper < true for one in found) <= most
    z = np.array([(one.value - true) / one.standard_error for one in found])
    assert z.std() == pytest.approx(1, abs=0.08)


@given(st.lists(st.integers(0, 200), min_size=4, max_size=4), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_check_is_always_a_number(pairs: list[int], shares: list[float]) -> None:
    """Whatever was counted, none included; nothing counted says nothing."""
    n = np.array(pairs).reshape(2, 2)
    check = services.chsh_check(n, np.floor(n * np.array(shares).reshape(2, 2)))
    assert np.all(np.isfinite(check[:4]))
    assert -4 <= check.lower <= check.value <= check.upper <= 4
    assert n.sum() or check.verdict == "too few"


@pytest.mark.parametrize(
    ("pairs", "unequal", "risk"),
    [([[1, 1], [1, 1]], [[2, 0], [0, 0]], 0.1), ([[1, 1], [1, 1]], [[-1, 0], [0, 0]], 0.1), ([1, 1], [0, 0], 0.1),
     ([[np.nan, 1], [1, 1]], [[0, 0], [0, 0]], 0.1), ([[1, 1], [1, 1]], [[0, 0], [0, 0]], 1.0)],
)  # fmt: skip
def test_counts_that_cannot_be_are_refused(pairs: Any, unequal: Any, risk: float) -> None:
    """More unequal than there are, negative, of another shape, no number; a risk that is none."""
    with pytest.raises(ValueError, match=r"counts|risk"):
        services.chsh_check(pairs, unequal, risk)


def test_finite_key_approaches_the_asymptotic_one() -> None:
    """From below, at error correction's own cost; none from a small block, nor where every tested pair is wrong."""
    security, state, shares = finite.Security(), bell.werner(0.96), []
    for n in (10**3, 10**5, 10**7):
        bits = np.zeros(n, dtype=np.bool_)
        wrong = bits.copy()
        wrong[: round(0.02 * n)] = True
        seen = services.Measured(bits, wrong, n, round(0.02 * n), np.zeros((2, 2), int), np.zeros((2, 2), int))
        key = services.pair_key(seen, services.expected_leak_bits(n, seen.key_errors, 1.1), security)
        shares.append(key.length_bits / n)
        assert services.pair_key(seen._replace(test_errors=n), 0.0, security).length_bits == 0
    limit = float(bell.secret_fraction(state, 1.1))
    assert shares[0] < shares[1] < shares[2] < limit
    assert shares[2] == pytest.approx(limit, rel=0.01)
    with pytest.raises(ValueError, match="disclosed"):
        services.pair_key(seen, float("nan"), security)
    with pytest.raises(ValueError, match="per key bit"):
        services.pair_key(seen, 0.0, finite.Security(per_key_bit=True))


def test_nothing_measured_gives_no_key() -> None:
    """One pair, no key bits, no error."""
    seen = services.measure(many([1, 0, 0, 0], 0), EVEN, np.random.default_rng(0))
    assert services.pair_key(seen, services.expected_leak_bits(0, 0, 1.1), finite.Security()).length_bits == 0


def test_testbed_agrees_with_itself() -> None:
    """Counts meet the state, the rate its closed form, key stays below the bound, the same seed gives the same."""
    found = testbed.run(made(), pairs=60_000, seed=3)
    assert found == testbed.run(made(), pairs=60_000, seed=3)
    assert found.expected_pairs_per_s is not None
    assert abs(found.pairs_per_s - found.expected_pairs_per_s) < 4.5 * found.pairs_per_s_error
    assert found.qber_z == pytest.approx(found.state_qber_z, abs=0.005)
    assert found.qber_x == pytest.approx(found.state_qber_x, abs=0.03)
    assert abs(found.chsh_value - found.state_chsh_value) < 4.5 * found.chsh_error
    assert found.chsh_verdict == "passes"
    assert 0 < found.finite_key_bits_per_s < found.secret_bits_per_s < found.bound_bits_per_s
    assert found.chsh_priced_bits_per_s < found.secret_bits_per_s
    assert found.simulated
    assert "Bell states" in found.limits[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "loss: few rounds"),
        ({"memory": {"coherence_s": 2e-3}}, "memory coherence"),
        ({"link": {"source_fidelity": 0.9}}, "fidelity of the links"),
        ({"swap": {"kept": 0.7}}, "gates of the swaps"),
        ({"swap": {"success": 0.05}, "fibre": {"length_km": 1.0}}, "swaps that fail"),
    ],
)
def test_words_name_what_limits(changes: dict[str, Any], words: str) -> None:
    """Each cause in turn made the worst."""
    found = testbed.run(made(**changes), pairs=500, seed=1)
    assert words in found.limited_by
    assert ("no key is left" in found.limited_by) == (found.secret_bits_per_s == 0 and "loss" not in words)


def test_settings_and_service_refuse_what_cannot_be() -> None:
    """No pairs left for CHSH; a secrecy per bit; a negative seed."""
    with pytest.raises(ValueError, match="below 1"):
        services.Settings(bob_key=0.6, bob_test=0.5)
    with pytest.raises(ValueError, match="whole block"):
        testbed.Service(security=finite.Security(per_key_bit=True))
    with pytest.raises(ValueError, match="seed"):
        testbed.run(made(), pairs=1, seed=-1)
