"""Named sets of link parameters, each value with its source or the word *assumed*.

A data sheet's rate is not among them: without block size, loss and security parameter it cannot be compared.
"""

import msgspec
from msgspec import Struct

from keystrand.model.link import LinkParameters


class ParameterSet(Struct, frozen=True, kw_only=True):
    """Hardware parameters without a channel: `at` gives the link. `assumed` names the fields nobody measured."""

    id: str
    name: str
    source: str
    assumed: tuple[str, ...]
    hardware: LinkParameters

    def at(self, channel_loss_db: float) -> LinkParameters:
        """Return these parameters on a channel of `channel_loss_db`. Raises `ValueError` unless it is above 0 dB."""
        return msgspec.structs.replace(self.hardware, channel_loss_db=channel_loss_db)


_PLACEHOLDER_LOSS_DB = 10.0
"""A set has no channel of its own; `at` always replaces this."""

GYS_2004 = ParameterSet(
    id="gys-2004",
    name="Gobby, Yuan and Shields, 2004",
    source="Gobby et al., Appl. Phys. Lett. 84, 3762 (2004), as tabulated by Ma et al., Phys. Rev. A 72, 012326",
    assumed=("decoy_intensity",),
    hardware=LinkParameters(
        channel_loss_db=_PLACEHOLDER_LOSS_DB,
        pulse_rate_hz=2e6,
        signal_intensity=0.48,
        decoy_intensity=0.05,
        receiver_efficiency=0.045,
        background_yield=1.7e-6,
        misalignment=0.033,
        correction_efficiency=1.22,
        basis_match=0.5,
    ),
)
"""For checking the model against the paper, not for planning."""

GYS_LOSS_DB_PER_KM = 0.21
"""The fibre of GYS_2004, dB/km; same table."""

PLANNING_1GHZ = ParameterSet(
    id="planning-1ghz",
    name="1 GHz system with avalanche detectors, for planning",
    source=(
        "assumed, and set so that the model stays below the rates of a 1 GHz experiment (Lucamarini et al., Opt. "
        "Express 21, 24550 (2013), as tabulated by Islam et al., Sci. Adv. 3, e1701491 (2017)); replace by measurement"
    ),
    assumed=(
        "pulse_rate_hz", "signal_intensity", "decoy_intensity", "receiver_efficiency", "background_yield",
        "misalignment", "correction_efficiency", "basis_match", "dead_time_s",
    ),
    hardware=LinkParameters(
        channel_loss_db=_PLACEHOLDER_LOSS_DB,
        pulse_rate_hz=1e9,
        signal_intensity=0.4,
        decoy_intensity=0.1,
        receiver_efficiency=0.10,  # a fifth for the detector, half of it lost in the receiver's optics
        background_yield=4.2e-5,  # two detectors at 2.1e-5 a gate, as in that experiment
        misalignment=0.02,  # an interference visibility of 96 %
        correction_efficiency=1.16,
        basis_match=0.5,  # both bases equally often
        dead_time_s=50e-9,
    ),
)  # fmt: skip
"""Deliberately cautious: a plan that holds with it holds with the hardware that is later bought."""

PARAMETER_SETS: dict[str, ParameterSet] = {made.id: made for made in (GYS_2004, PLANNING_1GHZ)}
