"""A decoy-state BB84 link as it stands in two rooms: what is sent, what is received, and the channel between.

The planner's `LinkParameters` say what a bid says. This is the finer description that finite keys, the photon
engines, attacks and faults work on. Two bases: the key is made in one, `KEY`, eavesdropping is measured in the other.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from keystrand.model.units import Decibels, Ratio
from keystrand.qkd.decoy import Values
from keystrand.qkd.finite import Source

KEY, TEST = 0, 1
"""The bases, as places in arrays."""

_Intensity = Annotated[float, Meta(ge=0, lt=2)]
_OpenRatio = Annotated[float, Meta(gt=0, lt=1)]
_Seconds = Annotated[float, Meta(ge=0, le=1)]


class Transmitter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Alice sends: phase-randomised weak pulses of two or three mean photon numbers, strongest first.

    Each pulse takes an intensity with its probability, and the basis of the key with `key_basis_ratio`.
    """

    pulse_rate_hz: Annotated[float, Meta(gt=0, le=1e12)]
    intensities: Annotated[tuple[_Intensity, ...], Meta(min_length=2, max_length=3)]
    probabilities: Annotated[tuple[_OpenRatio, ...], Meta(min_length=2, max_length=3)]
    key_basis_ratio: _OpenRatio = 0.9

    def __post_init__(self) -> None:
        if len(self.intensities) != len(self.probabilities):
            raise ValueError("every intensity needs its probability")
        if any(strong <= weak for strong, weak in zip(self.intensities, self.intensities[1:], strict=False)):
            raise ValueError("intensities must fall from the strongest to the weakest")
        if abs(sum(self.probabilities) - 1.0) > 1e-9:
            raise ValueError("the probabilities of the intensities must have the sum 1")
        if len(self.intensities) == 3 and self.intensities[0] <= self.intensities[1] + self.intensities[2]:
            raise ValueError("the signal must be stronger than both decoys together")
        if len(self.intensities) == 2 and self.intensities[1] == 0:
            raise ValueError("with one decoy, no intensity may be 0")

    @property
    def source(self) -> Source:
        """Return the intensities and their probabilities as the bounds of finite keys take them."""
        return Source(np.array(self.intensities), np.array(self.probabilities))


class Receiver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Bob measures with: two threshold detectors behind a choice of basis.

    `efficiency` is that of optics and detector together; `dark_count_ratio` the probability of a dark click of *one*
    detector in a gate; `misalignment` the share of photons that leave by the wrong port. After a click both detectors
    are blind for `dead_time_s`; with `afterpulse_ratio` a click by light or dark count is followed by one more,
    `afterpulse_decay_s` after the dead time on average (exponential), that says nothing about the bit; see `click_law`.
    """

    efficiency: Ratio
    dark_count_ratio: Ratio
    misalignment: Annotated[float, Meta(ge=0, le=0.5)]
    key_basis_ratio: _OpenRatio = 0.9
    dead_time_s: _Seconds = 0.0
    afterpulse_ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    afterpulse_decay_s: _Seconds = 0.0


class Bb84Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transmitter, receiver, and a channel of `channel_loss_db`.

    `background_ratio`: probability a gate that light of others (Raman noise, stray light) makes a click, both
    detectors together; half of it falls on each.
    """

    transmitter: Transmitter
    receiver: Receiver
    channel_loss_db: Decibels
    background_ratio: Ratio = 0.0

    @property
    def dark_ratio(self) -> float:
        """Return the probability that one detector clicks in a gate without any photon of Alice."""
        dark, light = self.receiver.dark_count_ratio, self.background_ratio / 2
        return dark + light - dark * light

    @property
    def photon_efficiency(self) -> float:
        """Return the probability that a photon sent is detected."""
        return self.receiver.efficiency * float(10.0 ** (-self.channel_loss_db / 10.0))

    @property
    def dead_slots(self) -> int:
        """Return for how many pulses after a click the receiver is blind, rounded up."""
        return int(np.ceil(round(self.receiver.dead_time_s * self.transmitter.pulse_rate_hz, 6)))


def basis_ratios(link: Bb84Link) -> Values:
    """Return how often each pair of bases is chosen, shape (2, 2): Alice's, then Bob's."""
    alice, bob = link.transmitter.key_basis_ratio, link.receiver.key_basis_ratio
    return np.outer([alice, 1 - alice], [bob, 1 - bob])
