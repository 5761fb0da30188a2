"""A quantum link's parameters and what a model says of it."""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.units import Decibels, Ratio


class LinkParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decoy-state BB84 link (vacuum and one weak decoy).

    `channel_loss_db` covers the fibre; `receiver_efficiency` is the receiver's optics and detector together;
    `background_yield` is Y0, the probability of a click in a gate without signal, both detectors together.
    `basis_match` is the share of clicks kept by sifting; `dead_time_s` blinds both detectors together after a click.
    A channel without any loss is refused: no fibre is one, and no bound exists for it.
    """

    channel_loss_db: Decibels
    pulse_rate_hz: Annotated[float, Meta(gt=0, le=1e12)]
    signal_intensity: Annotated[float, Meta(gt=0, lt=2)]
    decoy_intensity: Annotated[float, Meta(gt=0, lt=2)]
    receiver_efficiency: Ratio
    background_yield: Ratio
    misalignment: Annotated[float, Meta(ge=0, le=0.5)]
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)]
    basis_match: Ratio
    dead_time_s: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        if not self.decoy_intensity < self.signal_intensity:
            raise ValueError("the decoy intensity must be below the signal intensity")
        if not self.channel_loss_db > 0:
            raise ValueError("the channel loss must be above 0 dB")


class LinkRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model says: a simulated secret key rate, never a measured one. Rates in bit/s.

    `limit_bits_per_s` is what no protocol without a repeater can exceed; `limited_by` says in words what costs most.
    """

    model: str
    source: str
    secret_key_rate_bits_per_s: float
    sifted_rate_bits_per_s: float
    qber: Ratio
    limit_bits_per_s: float
    limited_by: str
    parameters: LinkParameters
