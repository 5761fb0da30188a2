"""The search for the best setting: never below the start, deterministic, and only what is free moves."""

import msgspec
import numpy as np
import pytest

from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.optimised_setting import CHOICES, _box, _setting, optimise
from keystrand.qkd.planned_key import Block, Setting, planned

RECEIVER = Receiver(efficiency=0.2, dark_count_ratio=1e-6, misalignment=0.01, key_basis_ratio=0.7)
BLOCK = Block(block_bits=1e7)
TWO = Bb84Link(
    transmitter=Transmitter(
        pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.001), probabilities=(0.6, 0.25, 0.15), key_basis_ratio=0.8
    ),
    receiver=RECEIVER,
    channel_loss_db=10.0,
)
ONE = msgspec.structs.replace(
    TWO, transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.15), probabilities=(0.6, 0.4))
)


@pytest.mark.parametrize("link", [ONE, TWO], ids=["one decoy", "two decoys"])
def test_the_best_setting_beats_random_ones(link: Bb84Link) -> None:
    """More key than the start and than 4,000 settings drawn at random, and the same each time."""
    found = optimise(link, BLOCK)
    assert found.after.rate_bits_per_s > 1.1 * found.before.rate_bits_per_s
    assert planned(found.link, BLOCK).rate_bits_per_s == found.after.rate_bits_per_s
    ranges, _ = _box(link, CHOICES)
    low, high = np.array(ranges).T
    drawn = np.random.default_rng(3).uniform(low, high, (4_000, len(ranges)))
    assert planned(link, BLOCK, setting=_setting(link, CHOICES, drawn)).rate_bits_per_s.max() <= (
        found.after.rate_bits_per_s
    )
    assert optimise(link, BLOCK) == found


@pytest.mark.parametrize("link", [ONE, TWO], ids=["one decoy", "two decoys"])
def test_a_neighbour_of_the_best_setting_is_no_better(link: Bb84Link) -> None:
    """A step of 2 % in any coordinate wins less than 0.1 %: the search ended at the top, not on the way."""
    found = optimise(link, BLOCK)
    ranges, place = _box(found.link, CHOICES)
    steps = np.concatenate([np.eye(len(place)), -np.eye(len(place))]) * 0.02
    near = np.clip(np.array(place) * (1 + steps), *np.array(ranges).T)
    around = planned(found.link, BLOCK, setting=_setting(found.link, CHOICES, near))
    assert around.rate_bits_per_s.max() <= 1.001 * found.after.rate_bits_per_s


def test_never_worse_than_the_start() -> None:
    """Started at the best setting it stays there, also where the start lies outside of what is searched."""
    best = optimise(ONE, BLOCK).link
    again = optimise(best, BLOCK)
    assert again.after.rate_bits_per_s >= again.before.rate_bits_per_s
    sender = msgspec.structs.replace(best.transmitter, key_basis_ratio=0.9999)
    receiver = msgspec.structs.replace(best.receiver, key_basis_ratio=0.9999)
    outside = msgspec.structs.replace(best, transmitter=sender, receiver=receiver)
    huge = Block(block_bits=1e15)
    told = optimise(outside, huge)
    assert told.after.rate_bits_per_s >= planned(outside, huge).rate_bits_per_s


def test_only_what_is_free_moves() -> None:
    """Fixed intensities, probabilities or bases stay as they are, and the darkest of three always."""
    for one in CHOICES:
        sender = optimise(TWO, BLOCK, [one]).link.transmitter
        assert (sender.intensities == TWO.transmitter.intensities) == (one != "intensities")
        assert (sender.probabilities == TWO.transmitter.probabilities) == (one != "probabilities")
        assert (sender.key_basis_ratio == TWO.transmitter.key_basis_ratio) == (one != "key_basis_ratio")
        assert sender.intensities[2] == 0.001


def test_a_start_without_key_is_no_hindrance() -> None:
    """The sum below 0 shows the way from a setting that makes nothing to one that does."""
    sender = msgspec.structs.replace(TWO.transmitter, intensities=(1.1, 0.9, 0.001), probabilities=(0.9, 0.05, 0.05))
    found = optimise(msgspec.structs.replace(TWO, transmitter=sender), BLOCK)
    assert found.before.rate_bits_per_s == 0
    assert found.after.rate_bits_per_s > 0


def test_a_link_without_hope_stays_as_it_is() -> None:
    """Where no setting makes key, none is recommended."""
    far = msgspec.structs.replace(TWO, channel_loss_db=90.0)
    assert optimise(far, BLOCK).link == far


def test_every_point_of_the_box_can_be_sent() -> None:
    """The corners too, with a weakest intensity that is not weak."""
    sender = msgspec.structs.replace(TWO.transmitter, intensities=(0.5, 0.2, 0.15))
    for link in (ONE, TWO, msgspec.structs.replace(TWO, transmitter=sender)):
        ranges, place = _box(link, CHOICES)
        corners = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(ranges))
        made: Setting = _setting(link, CHOICES, corners)
        assert np.all(np.isfinite(planned(link, BLOCK, setting=made).rate_bits_per_s))
        own = _setting(link, CHOICES, np.array(place))
        assert np.allclose(own.intensities, link.transmitter.intensities)
        assert np.allclose(own.probabilities, link.transmitter.probabilities)


@pytest.mark.parametrize("free", [[], ["colour"]])
def test_what_is_no_choice_is_refused(free: list[str]) -> None:
    """Nothing to set, or something that cannot be set."""
    with pytest.raises(ValueError, match="what may be free"):
        optimise(TWO, BLOCK, free)  # type: ignore[arg-type] # the fault under test
