"""The closed forms in their limits, counts drawn without pulses, and the finite-key bounds over them."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import expected, finite_one_decoy, finite_two_decoys, pulse_engine
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Receiver, Transmitter
from keystrand.qkd.click_law import probabilities
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Tally
from keystrand.qkd.finite import Counts
from keystrand.qkd.response import Response, cells, honest, photon_numbers, shown
from keystrand.qkd.sifted import sifted

TWO = ((0.5, 0.1, 0.001), (0.5, 0.3, 0.2))
ONE = ((0.5, 0.15), (0.6, 0.4))


def link(
    kinds: tuple[tuple[float, ...], tuple[float, ...]] = TWO,
    loss_db: float = 5.0,
    dark: float = 1e-4,
    **receiver: float,
) -> Bb84Link:
    """Return a link of 1 GHz."""
    sender = Transmitter(pulse_rate_hz=1e9, intensities=kinds[0], probabilities=kinds[1], key_basis_ratio=0.8)
    fixed = {"efficiency": 0.3, "dark_count_ratio": dark, "misalignment": 0.02, "key_basis_ratio": 0.7}
    return Bb84Link(transmitter=sender, receiver=Receiver(**(fixed | receiver)), channel_loss_db=loss_db)


BUSY = link(dead_time_s=2e-8, afterpulse_ratio=0.1, afterpulse_decay_s=5e-9)


@given(st.floats(0, 60), st.floats(0, 1))
def test_without_dead_time_and_afterpulses_the_law_is_multinomial(loss_db: float, dark: float) -> None:
    """Gain and QBER are those of the response; the covariance that of independent pulses."""
    made = link(loss_db=loss_db, dark=dark)
    response = honest(made)
    found, plain = expected.expected_shown(made, response), shown(response, made.transmitter.intensities)
    assert np.allclose(found.gain, plain.gain, rtol=1e-9)
    assert np.allclose(found.qber, plain.qber, rtol=1e-9)
    assert expected.live_ratio(made, response) == 1.0
    mean = expected.clicks(made, response).ravel()
    spread = expected.covariance(made, response, np.eye(mean.size).reshape(-1, 3, 2, 2, 2, 3))
    assert np.allclose(spread, np.diag(mean) - np.outer(mean, mean), rtol=1e-7, atol=1e-12)


def test_a_saturated_receiver_clicks_once_a_dead_time() -> None:
    """With a click in every live slot: one in D + 1 slots, no scatter at all, and no afterpulse can come."""
    made = link(dark=1.0, dead_time_s=9e-9, afterpulse_ratio=0.3, afterpulse_decay_s=1e-9)
    response = honest(made)
    assert expected.clicks(made, response).sum() == pytest.approx(0.1)
    assert expected.live_ratio(made, response) == pytest.approx(0.1)
    every = np.ones((1, 3, 2, 2, 2, 3))
    assert expected.covariance(made, response, every)[0, 0] == pytest.approx(0.0, abs=1e-15)


def test_a_dark_receiver_has_nothing() -> None:
    """No click, no afterpulse, no division by nothing."""
    made = link(dark=0.0, efficiency=0.0, dead_time_s=1e-8, afterpulse_ratio=0.3)
    response = honest(made)
    assert expected.clicks(made, response).sum() == 0
    assert expected.live_ratio(made, response) == 1
    assert expected.covariance(made, response, np.ones((1, 3, 2, 2, 2, 3)))[0, 0] == 0
    assert np.all(expected.expected_shown(made, response).qber == 0.5)
    assert expected.drawn_clicks(made, response, 1000, np.random.default_rng(1)).sum() == 0


def test_rare_clicks_lose_and_gain_what_the_first_order_says() -> None:
    """Dead time costs a share of clicks x dead slots, afterpulses add their ratio and half of it in errors."""
    far, plain = link(loss_db=40.0, dark=1e-7, dead_time_s=1e-6, afterpulse_ratio=0.05), link(loss_db=40.0, dark=1e-7)
    response = honest(plain)
    before, after = expected.clicks(plain, response), expected.clicks(far, response)
    rate = before.sum()
    assert after.sum() == pytest.approx(rate * 1.05 / (1 + rate * 1.05 * 1000), rel=1e-4)
    wrong = expected.wrong_weights(3)
    errors = ((before * wrong).sum() + 0.025 * rate) / (1 + rate * 1.05 * 1000)
    assert (after * wrong).sum() == pytest.approx(errors, rel=1e-4)


@pytest.mark.parametrize("loss_db", [5.0, 15.0, 30.0])
def test_what_is_said_to_be_sifted_is_exact_but_for_forestalled_afterpulses(loss_db: float) -> None:
    """The two forms differ by no more than the afterpulses a cycle that a primary click comes before."""
    made = link(loss_db=loss_db, dead_time_s=2e-8, afterpulse_ratio=0.1, afterpulse_decay_s=5e-9)
    found, exact = sifted(made), expected.clicks(made, honest(made))
    wrong, gain = expected.wrong_weights(3), float(probabilities(made, honest(made)).click.sum())
    lost = 1.01 * 0.1 * gain / (1 - np.exp(-1 / 5))
    assert found.clicks == pytest.approx(exact.sum(), rel=lost)
    for basis, whole, errors in ((KEY, found.key, found.key_errors), (TEST, found.test, found.test_errors)):
        assert whole.sum() == pytest.approx(exact[:, basis, basis].sum(), rel=lost)
        assert errors.sum() == pytest.approx((exact * wrong)[:, basis, basis].sum(), rel=20 * lost)
    assert found.double_ratio == pytest.approx(exact[..., 2].sum() / exact.sum(), rel=2 * lost)


@pytest.mark.parametrize("made", [link(), BUSY])
def test_drawn_counts_have_the_mean_and_the_scatter_of_the_law(made: Bb84Link) -> None:
    """Totals and cells over 20,000 blocks, as the pulse engine scatters them too."""
    response, pulses, blocks = honest(made), 100_000, 20_000
    drawn = expected.drawn_clicks(made, response, pulses, np.random.default_rng(6), blocks)
    assert drawn.shape == (blocks, 3, 2, 2, 2, 3)
    mean = pulses * expected.clicks(made, response)
    error = np.sqrt(mean / blocks)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 6 * error + 1e-3)
    spread = pulses * expected.covariance(made, response, np.ones((1, *mean.shape)))[0, 0]
    assert drawn.reshape(blocks, -1).sum(axis=1).var() == pytest.approx(spread, rel=0.05)
    totals = [pulse_engine.run(made, response, pulses, seed).bob.slot.size for seed in range(600)]
    assert np.var(totals) == pytest.approx(spread, rel=0.3)


def test_counts_after_sifting_are_those_of_the_clicks() -> None:
    """By intensity and basis, doubles wrong half of the time, the same seed the same counts."""
    response = honest(BUSY)
    found = expected.drawn_counts(BUSY, response, 10**9, np.random.default_rng(2))
    again = expected.drawn_counts(BUSY, response, 10**9, np.random.default_rng(2))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    mean = 1e9 * expected.clicks(BUSY, response)
    for basis, whole, wrong in ((KEY, found.key, found.key_errors), (TEST, found.test, found.test_errors)):
        part = mean[:, basis, basis]
        assert np.allclose(whole, part.sum(axis=(1, 2)), rtol=0.02)
        assert wrong.sum() == pytest.approx((part * expected.wrong_weights(3)[:, basis, basis]).sum(), rel=0.01)


def test_blocks_that_cannot_be_are_refused() -> None:
    """Negative pulses."""
    with pytest.raises(ValueError, match="pulses"):
        expected.drawn_clicks(BUSY, honest(BUSY), -1, np.random.default_rng(1))


# The finite-key bounds, the truth known


def share_by_photons(made: Bb84Link, response: Response) -> Values:
    """Return how likely each click (k, a, b, x, y) came from a pulse of one photon."""
    one = np.einsum("abxy,k->kabxy", response.table[..., 1], photon_numbers(made.transmitter.intensities)[:, 1])
    whole = cells(response, made.transmitter.intensities)
    return np.where(whole > 0, one / np.where(whole > 0, whole, 1.0), 0.0)


def truth(made: Bb84Link, drawn: Tally, rng: np.random.Generator) -> tuple[Counts, Values, Values]:
    """Return the counts of each block, and the true single photons of the key basis and their phase error.

    A single photon of the key basis has the error that one of the test basis would have shown.
    """
    response = honest(made)
    single = rng.binomial(drawn, share_by_photons(made, response))[:, :, KEY, KEY].sum(axis=(1, 2, 3))
    test = response.table[TEST, TEST, :, :, 1]
    wrong = (test[0, 1] + test[1, 0] + test[:, 2].sum() / 2) / test.sum()
    phase = rng.binomial(single, wrong) / np.maximum(single, 1)
    return expected.as_counts(drawn, rng), single.astype(np.float64), phase


@pytest.mark.parametrize(("model", "kinds"), [(finite_two_decoys, TWO), (finite_one_decoy, ONE)])
@pytest.mark.parametrize("pulses", [10**7, 10**9])
def test_bounds_hold_over_ten_thousand_blocks(
    model: ModuleType, kinds: tuple[tuple[float, ...], tuple[float, ...]], pulses: int
) -> None:
    """At 1e-2, single photons or phase errors break their bound in at most 1 % of 10^4 blocks of a whole link."""
    made, rng, blocks = link(kinds, loss_db=8.0, dark=1e-5, dead_time_s=1e-7), np.random.default_rng(31), 10_000
    drawn = expected.drawn_clicks(made, honest(made), pulses, rng, blocks)
    counts, single, phase = truth(made, drawn, rng)
    found = model.bounds(counts, made.transmitter.source, np.full(blocks, 1e-2 / model.SHARES))
    assert np.mean(found.single_photons) > 0.3 * np.mean(single)
    assert np.mean((found.single_photons > single) | (found.phase_error < phase)) <= 1e-2


def test_bounds_without_allowance_for_chance_break_on_the_same_blocks() -> None:
    """So the test above can fail."""
    made, rng = link(loss_db=8.0, dark=1e-5), np.random.default_rng(31)
    counts, single, phase = truth(made, expected.drawn_clicks(made, honest(made), 10**8, rng, 500), rng)
    blind = finite_two_decoys.bounds(counts, made.transmitter.source, np.full(500, 1 - 1e-12))
    assert np.mean((blind.single_photons > single) | (blind.phase_error < phase)) > 0.02
