"""Raman noise: the light that classical channels scatter into a quantum channel of the same fibre.

Spontaneous Raman scattering of a strong signal falls on every wavelength, the quantum channel's too, where no filter
can tell it from signal. Forms: P. Eraerds et al., New J. Phys. 12, 063027 (2010); R. Kumar, H. Qin, R. Alleaume,
New J. Phys. 17, 043027 (2015), arXiv:1412.1403. Both assume that the fibre's loss is the same at both wavelengths; the
measured agreement of such models is about 1 dB. Four-wave mixing and leakage of filters are not in it.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.model.units import Ratio
from keystrand.qkd.decoy import Values

PLANCK_J_S = 6.626_070_15e-34
LIGHT_M_PER_S = 299_792_458.0
"""Both exact by the definition of the SI."""


class Classical(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The classical channels that share the fibre.

    `co_propagating_mw` and `counter_propagating_mw` are launched powers, all channels together: with the photons, and
    from the receiver's end towards them. `raman_per_km_nm` is the share scattered into a nanometre of the quantum
    channel by a kilometre of fibre: up to 3e-9 where both lie in the C band, far less where they are far apart.
    """

    co_propagating_mw: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    counter_propagating_mw: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    raman_per_km_nm: Annotated[float, Meta(ge=0, le=1e-6)] = 3e-9


class Gate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the receiver lets in: `filter_nm` around `wavelength_nm`, for `gate_s` in each pulse."""

    wavelength_nm: Annotated[float, Meta(gt=100, le=10_000)] = 1550.0
    filter_nm: Annotated[float, Meta(gt=0, le=1000)] = 0.8
    gate_s: Annotated[float, Meta(gt=0, le=1)] = 1e-9
    efficiency: Ratio = 0.1
    """Of the receiver's optics and detectors together."""


def raman_mw(
    classical: Classical, length_km: ArrayLike, attenuation_db_per_km: ArrayLike, filter_nm: ArrayLike
) -> Values:  # fmt: skip
    """Return the noise power at the receiver's end of the fibre, in mW. Broadcasts.

    Along with the signal: P b d L exp(-a L); against it: P b d (1 - exp(-2 a L)) / (2 a). a is the attenuation in
    nepers of power a kilometre, b the Raman coefficient, d the filter's width.
    """
    length = np.asarray(length_km, dtype=np.float64)
    per_km = np.asarray(attenuation_db_per_km, dtype=np.float64) * np.log(10.0) / 10.0
    along = classical.co_propagating_mw * length * np.exp(-per_km * length)
    against = classical.counter_propagating_mw * -np.expm1(-2.0 * per_km * length) / (2.0 * per_km)
    return np.asarray(classical.raman_per_km_nm * np.asarray(filter_nm, dtype=np.float64) * (along + against))


def raman_yield(classical: Classical, gate: Gate, length_km: ArrayLike, attenuation_db_per_km: ArrayLike) -> Values:
    """Return the probability that Raman noise makes either detector click in a gate: it adds to the background yield.

    Half of it falls on each detector, so such a click is wrong half of the time, like a dark count.
    """
    noise_w = 1e-3 * raman_mw(classical, length_km, attenuation_db_per_km, gate.filter_nm)
    photons = noise_w * gate.gate_s * gate.wavelength_nm * 1e-9 / (PLANCK_J_S * LIGHT_M_PER_S)
    return np.asarray(-np.expm1(-photons * gate.efficiency))


def background_with(background_yield: ArrayLike, added_yield: ArrayLike) -> Values:
    """Return the background yield of two independent causes of clicks together."""
    first, second = (np.asarray(one, dtype=np.float64) for one in (background_yield, added_yield))
    return np.asarray(first + second * (1.0 - first))
