"""Blocks of a link over time: the same key drawn as expected, none from a dead link, and the bookkeeping of time."""

import msgspec
import numpy as np
import pytest

from keystrand.pilot.link_blocks import Condition, LinkHistory, blocks
from keystrand.qkd import decoy
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import Distillation, secret_rate_bits_per_s
from keystrand.qkd.finite import Security
from keystrand.qkd.sifted import sifted

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.8, 0.15, 0.05)),
    receiver=Receiver(
        efficiency=0.1, dark_count_ratio=1e-6, misalignment=0.015, dead_time_s=1e-7, afterpulse_ratio=0.01
    ),
    channel_loss_db=10.0,
)
STEPS = 120


def history(*links: Bb84Link, index: int | Values = 0, live: float | Values = 1.0) -> LinkHistory:
    """Return a history of `STEPS` minutes."""
    every = np.ones(STEPS)
    steps = np.asarray(index * every, np.int32)
    return LinkHistory(states=[Condition(link) for link in links], steps=steps, live=live * every, step_s=60.0)


def changed(**more: float) -> Bb84Link:
    """Return the link with another loss or background."""
    return msgspec.structs.replace(LINK, **more)


def test_blocks_are_counted_in_time() -> None:
    """Every block ends on its step; steps that fill none are left out."""
    made = blocks(history(LINK), Distillation(block_s=3000))
    assert made.at_s.tolist() == [3000.0, 6000.0]
    assert np.allclose(made.pulses, 50 * 60 * 1e9)


def test_drawn_blocks_scatter_about_the_expected_ones() -> None:
    """Key of many drawn blocks has the mean of the expected block within its own spread."""
    expected = blocks(history(LINK), Distillation(block_s=60))
    drawn = blocks(history(LINK), Distillation(block_s=60), np.random.default_rng(5))
    assert len(set(expected.key_bits)) == 1
    assert len(set(drawn.key_bits)) > 1
    error = drawn.key_bits.std() / np.sqrt(STEPS)
    assert abs(drawn.key_bits.mean() - expected.key_bits[0]) < 4 * error
    assert np.allclose(drawn.qber, expected.qber, rtol=0.1)


def test_equal_blocks_computed_once_are_what_each_would_be() -> None:
    """Steady blocks share one computation; with a trace of change each is computed, to nearly the same."""
    steady = blocks(history(LINK), Distillation())
    every = blocks(history(LINK, live=np.nextafter(1.0, 0.0)), Distillation())
    assert np.allclose(steady.key_bits, every.key_bits, rtol=1e-9)


def test_a_link_that_is_down_makes_no_key_and_shows_nothing() -> None:
    """No counts, no error ratio, no key, and none from a link whose clicks say nothing."""
    down = blocks(history(LINK, live=0.0), Distillation(), np.random.default_rng(1))
    assert not down.key_bits.any()
    assert np.isnan(down.qber).all()
    assert not blocks(history(changed(channel_loss_db=70.0)), Distillation()).key_bits.any()


def test_half_a_block_of_light_gives_less_than_half_its_key() -> None:
    """Fewer counts bound less well."""
    whole = blocks(history(LINK), Distillation()).key_bits[0]
    half = blocks(history(LINK, live=0.5), Distillation()).key_bits[0]
    assert 0 < half < whole / 2


def test_a_change_within_a_block_mixes_its_counts() -> None:
    """Counts are sums over the steps, each in its state."""
    worse = changed(channel_loss_db=13.0)
    mixed = blocks(history(LINK, worse, index=np.arange(float(STEPS)) % 2), Distillation())
    parts = [blocks(history(one), Distillation()) for one in (LINK, worse)]
    assert np.allclose(mixed.counts.key, (parts[0].counts.key + parts[1].counts.key) / 2)


def test_long_blocks_come_near_the_asymptotic_rate() -> None:
    """Never above what infinitely many decoys and infinitely long keys allow; a decoy of 0.1 photons costs some 6 %."""
    link = msgspec.structs.replace(
        LINK,
        receiver=msgspec.structs.replace(LINK.receiver, dead_time_s=0.0, afterpulse_ratio=0.0),
        transmitter=msgspec.structs.replace(LINK.transmitter, pulse_rate_hz=1e11),
    )
    distillation = Distillation(block_s=STEPS * 60, authentication_bits=0, security=Security(secrecy=1e-9))
    made = blocks(history(link), distillation)
    shown = sifted(link)
    mu, share = np.array(link.transmitter.intensities), np.array(link.transmitter.probabilities)
    eta = link.photon_efficiency
    dark = 1 - (1 - link.dark_ratio) ** 2
    single = (share * mu * np.exp(-mu)).sum() * (eta + dark * (1 - eta)) * 0.81
    error = (0.015 * eta + dark / 2) / (eta + dark)
    leak = (
        distillation.correction_efficiency
        * shown.key.sum()
        * decoy.binary_entropy(shown.key_errors.sum() / shown.key.sum())
    )
    vacuum = (share * np.exp(-mu)).sum() * dark * 0.81
    endless = vacuum + single * (1 - decoy.binary_entropy(error)) - leak
    assert made.key_bits[0] / made.pulses[0] == pytest.approx(float(endless), rel=0.08)
    assert made.key_bits[0] / made.pulses[0] < endless * 1.0005


@pytest.mark.parametrize(
    "changes",
    [{"block_s": 0}, {"correction_efficiency": 0.9}, {"correction_efficiency": 3}, {"authentication_bits": -1}],
)
def test_distillation_that_cannot_be(changes: dict[str, float]) -> None:
    """Each is refused when it is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(changes, Distillation)


def test_the_rate_of_a_link_is_that_of_its_blocks() -> None:
    """One place for the arithmetic: a steady history gives what the rate says."""
    made = blocks(history(LINK), Distillation())
    assert made.key_bits[0] / 600 == pytest.approx(secret_rate_bits_per_s(LINK, Distillation()))
