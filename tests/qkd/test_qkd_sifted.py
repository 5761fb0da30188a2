"""What a link sifts, expected: against the decoy model, with dead time, afterpulses and unequal detectors."""

import msgspec
import numpy as np
import pytest

from keystrand.qkd.bb84_link import KEY, Bb84Link, Receiver, Transmitter
from keystrand.qkd.response import honest, photon_response, shown
from keystrand.qkd.sifted import sifted, sifted_each

SENDER = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1), probabilities=(0.7, 0.3), key_basis_ratio=0.8)
RECEIVER = Receiver(efficiency=0.2, dark_count_ratio=1e-5, misalignment=0.02, key_basis_ratio=0.7)
LINK = Bb84Link(transmitter=SENDER, receiver=RECEIVER, channel_loss_db=10.0)


def with_receiver(**more: float) -> Bb84Link:
    """Return the link with another receiver."""
    return msgspec.structs.replace(LINK, receiver=msgspec.structs.replace(RECEIVER, **more))


def test_without_dead_time_it_is_gain_times_choices() -> None:
    """Probability of the intensity, both choices of the basis, gain; errors by the QBER."""
    made, seen = sifted(LINK), shown(honest(LINK), SENDER.intensities)
    expected = np.array([0.7, 0.3]) * 0.8 * 0.7 * seen.gain[:, KEY, KEY]
    assert np.allclose(made.key, expected)
    assert np.allclose(made.key_errors, expected * seen.qber[:, KEY, KEY])
    assert made.test.sum() / made.key.sum() == pytest.approx(0.2 * 0.3 / (0.8 * 0.7))
    assert made.ones_ratio == pytest.approx(0.5)


def test_dead_time_takes_the_same_share_of_everything() -> None:
    """1 / (1 + c d), c clicks a pulse and d dead pulses."""
    free, dead = sifted(LINK), sifted(with_receiver(dead_time_s=1e-6))
    live = 1 / (1 + free.clicks * 1000)
    assert dead.clicks == pytest.approx(free.clicks * live)
    assert np.allclose(dead.key, free.key * live)


def test_afterpulses_add_clicks_that_say_nothing() -> None:
    """As many as their ratio of the clicks, half of them wrong, shared out as the pulses are sent."""
    free, after = sifted(LINK), sifted(with_receiver(afterpulse_ratio=0.05))
    assert after.clicks == pytest.approx(1.05 * free.clicks)
    added, wrong = after.key - free.key, after.key_errors - free.key_errors
    assert np.allclose(wrong, added / 2)
    assert added[0] / added[1] == pytest.approx(0.7 / 0.3)


def test_an_unequal_receiver_shows_more_of_one_bit() -> None:
    """The share of 1 follows the detectors' efficiencies, and no click at all tells nothing."""
    made = sifted(LINK, photon_response([0.02, 0.01], 0.0, (0.0, 0.0)))
    assert made.ones_ratio == pytest.approx(1 / 3, abs=0.01)
    nothing = sifted(LINK, photon_response(0.0, 0.0, (0.0, 0.0)))
    assert (float(nothing.clicks), float(nothing.ones_ratio), float(nothing.double_ratio)) == (0.0, 0.5, 0.0)


def test_many_links_at_once_are_what_each_is_alone() -> None:
    """The closed form and the sum over photon numbers, over losses, darks, dead times and misalignments."""
    receivers = [
        with_receiver(
            dead_time_s=1e-7 * n, afterpulse_ratio=0.01 * n, misalignment=0.1 * n, dark_count_ratio=1e-6 * 9**n
        )
        for n in range(5)
    ]
    links = [msgspec.structs.replace(one, channel_loss_db=8.0 * n) for n, one in enumerate(receivers)]
    for name, each in sifted_each(links)._asdict().items():
        for one, link in zip(each, links, strict=True):
            assert np.allclose(one, getattr(sifted(link), name), rtol=1e-9, atol=1e-18)
