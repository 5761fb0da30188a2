"""What a fibre path loses and how long it takes: length, splices, connectors and whatever else stands in the way.

A loss is counted once: what belongs to the receiver (its filter, its detector) is the receiver's, not the channel's.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.qkd.decoy import Values

_Count = Annotated[int, Meta(ge=0, le=100_000)]
_Loss = Annotated[float, Meta(ge=0, le=200)]

GROUP_INDEX = 1.468
"""Of silica single-mode fibre at 1550 nm: makers' data sheets say 1.467 to 1.468."""
LIGHT_KM_PER_S = 299_792.458
"""The speed of light in vacuum; exact by the definition of the metre."""


class Fibre(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fibre path as it was laid.

    `attenuation_db_per_km` is that of the fibre alone at the quantum channel's wavelength, measured or from its maker;
    0.20 is what planners assume for G.652 fibre at 1550 nm. `components_db`: multiplexers, switches, patch panels.
    """

    length_km: Annotated[float, Meta(ge=0, le=10_000)]
    attenuation_db_per_km: Annotated[float, Meta(gt=0, le=20)] = 0.20
    splices: _Count = 0
    splice_db: _Loss = 0.05
    connectors: _Count = 0
    connector_db: _Loss = 0.3
    components_db: _Loss = 0.0

    @property
    def fixed_db(self) -> float:
        """The loss that does not grow with length."""
        return self.splices * self.splice_db + self.connectors * self.connector_db + self.components_db


def loss_db(fibre: Fibre, length_km: ArrayLike | None = None) -> Values:
    """Return the loss of the whole path, at its own length or at others with the same fixed loss. Broadcasts."""
    length = np.asarray(fibre.length_km if length_km is None else length_km, dtype=np.float64)
    return np.asarray(fibre.fixed_db + fibre.attenuation_db_per_km * length)


def transmittance(channel_loss_db: ArrayLike) -> Values:
    """Return the share of light that arrives after a loss in decibels."""
    return np.asarray(10.0 ** (-np.asarray(channel_loss_db, dtype=np.float64) / 10.0))


def delay_s(length_km: ArrayLike) -> Values:
    """Return how long light is on its way through so much fibre."""
    return np.asarray(np.asarray(length_km, dtype=np.float64) * GROUP_INDEX / LIGHT_KM_PER_S)
