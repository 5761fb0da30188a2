"""Exact binomial bounds: against simulated blocks of which the truth is known, and for what they must not say."""

import msgspec
import numpy as np
import pytest
from scipy.stats import binom

from keystrand.model.link import LinkParameters
from keystrand.qkd import decoy
from keystrand.qkd.bb84_link import KEY, Bb84Link, Receiver, Transmitter
from keystrand.qkd.finite import Counts
from keystrand.qkd.finite_independent import SHARES, bounds, interval, rate_bits_per_s
from keystrand.qkd.planned_key import Block
from keystrand.qkd.response import honest, shown

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.4, 0.1, 0.001), probabilities=(0.8, 0.1, 0.1)),
    receiver=Receiver(efficiency=0.1, dark_count_ratio=1e-5, misalignment=0.01),
    channel_loss_db=6.0,
)
BLOCKS = 2_000


@pytest.mark.parametrize(("n", "trials"), [(0, 50), (1, 50), (25, 50), (50, 50), (7, 10**6)])
def test_the_interval_is_exact(n: int, trials: int) -> None:
    """At each end the binomial tail is epsilon, against its own distribution."""
    low, high = interval(n, trials, 1e-3)
    assert 0 <= low <= n / trials <= high <= 1
    if n > 0:
        assert binom.sf(n - 1, trials, low) == pytest.approx(1e-3, rel=1e-6)
    if n < trials:
        assert binom.cdf(n, trials, high) == pytest.approx(1e-3, rel=1e-6)


def test_an_interval_beyond_the_inverse_says_nothing() -> None:
    """Up to there it is as wide as the normal distribution has it; then it is everything, never too narrow."""
    low, high = interval(1e12, 1e15, 1e-3)
    assert (low, high) == pytest.approx((1e-3 - 3.09e-9, 1e-3 + 3.09e-9), abs=1e-11)
    assert [float(end) for end in interval(1e13, 1e16, 1e-3)] == [0.0, 1.0]


def test_truth_lies_outside_the_bounds_no_more_often_than_said() -> None:
    """At 1e-2, yields or the phase error of one photon break their bound in at most 1 % of the blocks."""
    draw, source = np.random.default_rng(5), LINK.transmitter.source
    seen = shown(honest(LINK), source.intensities)
    gain, wrong = seen.gain[:, KEY, KEY], (seen.gain * seen.qber)[:, KEY, KEY]
    sent = np.array([8e7, 1e7, 1e7])
    key, test = (draw.binomial(sent.astype(int), gain, (BLOCKS, 3)).astype(float) for _ in range(2))
    errors = draw.binomial(test.astype(int), wrong / gain).astype(float)
    found = bounds(Counts(key, errors, test, errors), (sent, sent), source, 1e-2 / SHARES)
    table = honest(LINK).table[KEY, KEY]
    none, one = table[0, :, 0].sum(), table[0, :, 1].sum()
    error = (table[0, 1, 1] + table[0, 2, 1] / 2) / one
    broken = (found.vacuum > none) | (found.single > one) | (found.phase_error < error)
    assert np.mean(broken) <= 1e-2
    assert np.mean(found.single) > 0.7 * one
    assert np.mean(found.phase_error) < 0.2
    blind = bounds(Counts(key, errors, test, errors), (sent, sent), source, 0.5)
    assert np.mean((blind.vacuum > none) | (blind.single > one) | (blind.phase_error < error)) > 0.1


@pytest.mark.parametrize("loss_db", [5.0, 15.0])
def test_endless_blocks_show_no_more_than_perfect_decoys(loss_db: float) -> None:
    """The key grows with the block towards the asymptotic one of infinitely many decoys, and not beyond."""
    link = msgspec.structs.replace(LINK, channel_loss_db=loss_db)
    rates = [rate_bits_per_s(link, Block(block_bits=10.0**n, authentication_bits=0)) for n in range(3, 12)]
    assert rates[0] == 0
    assert rates == sorted(rates)
    ideal = LinkParameters(
        channel_loss_db=loss_db, pulse_rate_hz=1e9, signal_intensity=0.4, decoy_intensity=0.1, receiver_efficiency=0.1,
        background_yield=1 - (1 - 1e-5) ** 2, misalignment=0.01, correction_efficiency=1.05, basis_match=0.81,
    )  # fmt: skip
    most = 1e9 * 0.8 * float(decoy.secret_fraction(ideal, loss_db, infinite_decoys=True))
    vacuum = 1e9 * 0.8 * 0.81 * np.exp(-0.4) * 2e-5  # which the asymptotic model leaves out
    assert 0.8 * most < rates[-1] < most + vacuum


def test_no_key_beats_nature() -> None:
    """On 200 random links, from perfect to poor, the rate is a number between 0 and the repeaterless bound."""
    draw, alive = np.random.default_rng(12), 0
    for _ in range(200):
        mu, loss = draw.uniform(0.1, 1.5), draw.uniform(0.01, 50)
        p = np.maximum(draw.dirichlet(np.ones(3)), 1e-9)
        link = Bb84Link(
            transmitter=Transmitter(
                pulse_rate_hz=1.0,
                intensities=(mu, mu * draw.uniform(0.2, 0.8), mu * 0.1),
                probabilities=tuple((p / p.sum()).tolist()),
                key_basis_ratio=draw.uniform(0.05, 0.999),
            ),
            receiver=Receiver(
                efficiency=draw.choice([1.0, draw.uniform(0.05, 1)]),
                dark_count_ratio=draw.choice([0.0, 10 ** draw.uniform(-9, -2)]),
                misalignment=draw.choice([0.0, draw.uniform(0, 0.1)]),
                key_basis_ratio=draw.uniform(0.05, 0.999),
            ),
            channel_loss_db=loss,
        )
        made = rate_bits_per_s(link, Block(block_bits=10 ** draw.uniform(2, 12), authentication_bits=0))
        assert np.isfinite(made)
        assert 0 <= made <= decoy.repeaterless_bound(loss)
        alive += made > 0
    assert alive > 20


def test_a_dark_link_makes_nothing() -> None:
    """No light: no key, and no fault."""
    dark = msgspec.structs.replace(LINK.receiver, efficiency=0.0, dark_count_ratio=0.0)
    assert rate_bits_per_s(msgspec.structs.replace(LINK, receiver=dark), Block()) == 0
    noisy = msgspec.structs.replace(LINK.receiver, efficiency=0.0, dark_count_ratio=0.01)
    assert rate_bits_per_s(msgspec.structs.replace(LINK, receiver=noisy), Block(block_bits=1e12)) == 0


def test_other_numbers_of_intensities_are_refused() -> None:
    """The bounds are for two decoys."""
    one = Transmitter(pulse_rate_hz=1e9, intensities=(0.4, 0.1), probabilities=(0.8, 0.2))
    with pytest.raises(ValueError, match="three intensities"):
        rate_bits_per_s(msgspec.structs.replace(LINK, transmitter=one), Block())
