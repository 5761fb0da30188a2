"""All protocols beside each other: below their bounds, at their best intensity, and in the known order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import decoy
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.comparison import AVALANCHE, HARDWARE, NANOWIRE, curves, decoy_link, limits
from keystrand.qkd.decoy import Values
from keystrand.qkd.optimised_setting import optimise
from keystrand.qkd.planned_key import Block

LOSS = np.linspace(0.6, 80.0, 160)


def by_id(name: str, loss: Values = LOSS) -> dict[str, Values]:
    """Return the curves of a hardware by their ids."""
    return {one.id: one.bits_per_pulse for one in (*curves(HARDWARE[name], loss), *limits(loss))}


@pytest.mark.parametrize("name", list(HARDWARE))
def test_no_curve_lies_above_its_bound(name: str) -> None:
    """Twin-field has a station in the middle, so its bound is that of one repeater; all count their modes."""
    plob, repeater = (one.bits_per_pulse for one in limits(LOSS))
    for one in curves(HARDWARE[name], LOSS):
        bound = (repeater if one.id == "twin-field" else plob) * one.modes
        assert np.all(one.bits_per_pulse <= bound), one.id
        assert np.all(np.isfinite(one.bits_per_pulse) & (one.bits_per_pulse >= 0)), one.id


def test_only_twin_field_passes_the_limit_without_a_repeater() -> None:
    """With good detectors, and only far away: that is its point (Lucamarini et al. 2018)."""
    made = by_id("nanowire")
    past = LOSS[made["twin-field"] > made["plob"]]
    assert past.size
    assert 35 < past[0] < 45
    assert not np.any(made["bb84"] > made["plob"])


def test_continuous_variables_lead_near_and_fail_first() -> None:
    """The known order: most bits on short fibre, none where single photons still count."""
    made = by_id("nanowire", np.array([1.0, 25.0]))
    assert made["cv"][0] > made["bb84"][0]
    assert made["cv"][1] == 0 < made["bb84"][1]


@given(st.floats(0.1, 70), st.floats(0.06, 1.2))
def test_the_best_intensity_is_no_worse_than_any_other(loss: float, intensity: float) -> None:
    """The grid is fine enough to lose less than a hundredth."""
    best = by_id("nanowire", np.array([loss]))["bb84"][0]
    one = float(decoy.secret_fraction(decoy_link(NANOWIRE), loss, signal=intensity))
    assert best >= 0.99 * one


def test_better_detectors_reach_farther() -> None:
    """For every discrete protocol."""
    near, far = by_id("avalanche"), by_id("nanowire")
    for name in ("bb84", "bb84-finite", "bbm92", "e91", "mdi", "twin-field"):
        assert np.count_nonzero(far[name]) > np.count_nonzero(near[name])


@pytest.mark.parametrize("loss", [[], [0.0], [-1.0], [float("nan")], [float("inf")], 10.0])
def test_losses_without_a_curve(loss: object) -> None:
    """A single number is no list, and no channel is without loss."""
    with pytest.raises(ValueError, match="decibels above 0"):
        curves(AVALANCHE, loss)  # type: ignore[arg-type]  # what a caller must not give


def test_finite_blocks_cost_key_and_reach() -> None:
    """Never above endless keys, and within a few per cent of what an optimiser finds."""
    made = by_id("nanowire")
    assert np.all(made["bb84-finite"] <= made["bb84"])
    assert np.count_nonzero(made["bb84-finite"]) < np.count_nonzero(made["bb84"])
    receiver = Receiver(
        efficiency=NANOWIRE.receiver_efficiency,
        dark_count_ratio=NANOWIRE.dark_count_ratio,
        misalignment=NANOWIRE.misalignment,
    )
    sender = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.7, 0.2, 0.1))
    link = Bb84Link(transmitter=sender, receiver=receiver, channel_loss_db=20.0)
    best = optimise(link, Block(block_bits=1e7, correction_efficiency=NANOWIRE.correction_efficiency)).after
    found = by_id("nanowire", np.array([20.0]))["bb84-finite"][0]
    assert 0.9 * float(best.bits_per_pulse) < found <= float(best.bits_per_pulse) * 1.001
