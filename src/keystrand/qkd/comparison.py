"""All protocols over one and the same fibre: secret bits a pulse against loss, each at its best intensity.

A curve is a model's value for assumed hardware, never a measurement. Pulses of a pair (MDI, twin-field) leave both
ends at once and count as one. Bounds are per optical mode; entangled pairs and MDI use two (two polarisations).
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from keystrand.model.link import LinkParameters
from keystrand.qkd import (
    continuous_variables,
    decoy,
    entangled_pairs,
    measurement_device_independent,
    twin_field,
)
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.bounds import single_repeater_bound
from keystrand.qkd.continuous_variables import ContinuousVariableParameters
from keystrand.qkd.decoy import Values, repeaterless_bound
from keystrand.qkd.entangled_pairs import EntangledPairParameters
from keystrand.qkd.measurement_device_independent import MdiParameters
from keystrand.qkd.planned_key import MODEL as FINITE_MODEL
from keystrand.qkd.planned_key import SOURCE as FINITE_SOURCE
from keystrand.qkd.planned_key import Block, Setting, planned
from keystrand.qkd.twin_field import TwinFieldParameters


class Hardware(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Photon-counting hardware that every discrete protocol of a comparison gets; ratios as in the models' structs.

    `dark_count_ratio` is of one detector in a gate. `assumed` says that nobody measured it as a whole.
    """

    id: str
    name: str
    source: str
    pulse_rate_hz: float
    receiver_efficiency: float
    dark_count_ratio: float
    misalignment: float
    correction_efficiency: float = 1.16


AVALANCHE = Hardware(
    id="avalanche",
    name="cooled avalanche photodiodes",
    source="assumed: efficiency, dark counts and misalignment of the parameter set planning-1ghz",
    pulse_rate_hz=1e9,
    receiver_efficiency=0.10,
    dark_count_ratio=2.1e-5,
    misalignment=0.02,
)
NANOWIRE = Hardware(
    id="nanowire",
    name="superconducting nanowire detectors",
    source="assumed: half of the photons detected, 10 dark counts a second in gates of 1 ns, visibility 98 %",
    pulse_rate_hz=1e9,
    receiver_efficiency=0.5,
    dark_count_ratio=1e-8,
    misalignment=0.01,
)
HARDWARE = {made.id: made for made in (AVALANCHE, NANOWIRE)}

COHERENT = ContinuousVariableParameters(
    modulation_variance=5.0,
    source_excess_noise=0.005,
    receiver_excess_noise=0.0005,
    receiver_efficiency=0.6,
    electronic_noise=0.1,
    reconciliation_efficiency=0.95,
    detection="heterodyne",
)
"""Assumed hardware of the continuous-variable curves: no photon counting, so nothing of `Hardware` is in it."""
BLOCK_BITS = 1e7
"""Sifted bits behind each key of the finite decoy-state curve."""
CV_SYMBOLS = 1e9
"""Symbols behind the finite continuous-variable curve."""


class Curve(NamedTuple):
    """One line of a comparison. `bits_per_pulse` has the shape of the losses; `tuned` says what was optimised, and
    `modes` how many optical modes a pulse has."""

    id: str
    name: str
    model: str
    source: str
    tuned: str
    modes: int
    bits_per_pulse: Values


def decoy_link(hardware: Hardware, loss_db: float = 10.0) -> LinkParameters:
    """Return the hardware as a link of decoy-state BB84 with equal bases; dead time is not in it."""
    return LinkParameters(
        channel_loss_db=loss_db,
        pulse_rate_hz=hardware.pulse_rate_hz,
        signal_intensity=0.5,
        decoy_intensity=0.05,
        receiver_efficiency=hardware.receiver_efficiency,
        background_yield=1.0 - (1.0 - hardware.dark_count_ratio) ** 2,
        misalignment=hardware.misalignment,
        correction_efficiency=hardware.correction_efficiency,
        basis_match=0.5,
    )


def curves(hardware: Hardware, loss_db: ArrayLike) -> tuple[Curve, ...]:
    """Return every protocol's curve over `loss_db` (1-D, above 0 dB, whole channel between the users)."""
    loss = np.asarray(loss_db, dtype=np.float64)
    if loss.ndim != 1 or not loss.size or not np.all(np.isfinite(loss) & (loss > 0)):
        raise ValueError("losses must be a filled list of decibels above 0")
    return (
        _decoy(hardware, loss),
        _finite(hardware, loss),
        *_pairs(hardware, loss),
        _mdi(hardware, loss),
        _twin(hardware, loss),
        *_coherent(loss),
    )


def limits(loss_db: ArrayLike) -> tuple[Curve, Curve]:
    """Return what no protocol exceeds, per mode: without a repeater, and with one in the middle."""
    loss = np.asarray(loss_db, dtype=np.float64)
    plob = "Pirandola et al., Nature Communications 8, 15043 (2017)"
    one = "Pirandola, Communications Physics 2, 51 (2019)"
    return (
        Curve("plob", "limit without a repeater", "PLOB bound", plob, "", 1, repeaterless_bound(loss)),
        Curve("one-repeater", "limit with one repeater", "bound", one, "", 1, single_repeater_bound(loss)),
    )


def _best(function: Callable[[Values], Values], grid: Values) -> Values:
    """Return the largest value over `grid`, which is put on a new first axis."""
    return np.asarray(function(grid[:, None]).max(axis=0))


def _decoy(hardware: Hardware, loss: Values) -> Curve:
    link = decoy_link(hardware)
    made = _best(lambda mu: decoy.secret_fraction(link, loss, signal=mu), np.linspace(0.06, 1.2, 115))
    return Curve("bb84", "decoy-state BB84", decoy.MODEL, decoy.SOURCE, "signal intensity", 1, made)


def _finite(hardware: Hardware, loss: Values) -> Curve:
    """Return decoy-state BB84 in blocks, at the best of a grid of settings: some per cent below the very best."""
    setting = _settings()
    rate_hz = hardware.pulse_rate_hz
    sent = Transmitter(pulse_rate_hz=rate_hz, intensities=(0.5, 0.1, 0.0), probabilities=(0.8, 0.1, 0.1))
    receiver = Receiver(
        efficiency=hardware.receiver_efficiency,
        dark_count_ratio=hardware.dark_count_ratio,
        misalignment=hardware.misalignment,
    )
    link = Bb84Link(transmitter=sent, receiver=receiver, channel_loss_db=10.0)
    block = Block(block_bits=BLOCK_BITS, correction_efficiency=hardware.correction_efficiency)
    made = np.max(planned(link, block, loss, setting).bits_per_pulse, axis=0)
    name = f"decoy-state BB84, {BLOCK_BITS / 1e6:g} million bits"
    return Curve("bb84-finite", name, FINITE_MODEL, FINITE_SOURCE[3], "intensities, their shares, bases", 1, made)


def _settings() -> Setting:
    """Return a grid of settings on a first axis, to be broadcast with losses on the second."""
    choices = list(product((0.35, 0.5), (0.25, 0.5), (0.3, 0.55), (0.6, 0.8, 0.88)))
    intensities = np.array([[mu, max(mu * weak, 0.03), 0.0] for mu, weak, _, _ in choices])
    shares = np.array([[signal, (1 - signal) * 0.7, (1 - signal) * 0.3] for _, _, signal, _ in choices])
    bases = np.array([[basis] for *_, basis in choices])
    return Setting(intensities[:, None], shares[:, None], bases, bases)


def _pairs(hardware: Hardware, loss: Values) -> tuple[Curve, Curve]:
    yield_ = 1.0 - (1.0 - hardware.dark_count_ratio) ** 2
    link = EntangledPairParameters(
        mean_pairs=0.1,
        alice_efficiency=hardware.receiver_efficiency,
        bob_efficiency=hardware.receiver_efficiency,
        alice_background_yield=yield_,
        bob_background_yield=yield_,
        misalignment=hardware.misalignment,
        correction_efficiency=hardware.correction_efficiency,
        basis_match=0.5,
    )
    grid = np.geomspace(1e-3, 1.0, 120)
    model, source = entangled_pairs.MODEL, entangled_pairs.SOURCE
    both = _best(lambda n: entangled_pairs.secret_fraction(link, loss, mean_pairs=n), grid)
    chsh = _best(lambda n: entangled_pairs.secret_fraction(link, loss, mean_pairs=n, by_chsh=True), grid)
    return (
        Curve("bbm92", "entangled pairs, BBM92", model, source, "mean pairs", 2, both),
        Curve("e91", "entangled pairs, priced by CHSH", model, source, "mean pairs", 2, chsh),
    )


def _mdi(hardware: Hardware, loss: Values) -> Curve:
    link = MdiParameters(
        alice_intensity=0.3,
        bob_intensity=0.3,
        detector_efficiency=hardware.receiver_efficiency,
        dark_count=hardware.dark_count_ratio,
        misalignment=hardware.misalignment,
        correction_efficiency=hardware.correction_efficiency,
    )
    module = measurement_device_independent
    made = _best(
        lambda mu: module.secret_fraction(link, loss, alice_intensity=mu, bob_intensity=mu), np.geomspace(0.01, 1.2, 80)
    )
    return Curve(
        "mdi", "measurement-device-independent", module.MODEL, module.SOURCE, "both senders' intensity", 2, made
    )


def _twin(hardware: Hardware, loss: Values) -> Curve:
    link = TwinFieldParameters(
        intensity=0.02,
        detector_efficiency=hardware.receiver_efficiency,
        dark_count=hardware.dark_count_ratio,
        misalignment=hardware.misalignment,
        correction_efficiency=hardware.correction_efficiency,
    )
    made = _best(lambda mu: twin_field.secret_fraction(link, loss, intensity=mu), np.geomspace(3e-4, 0.3, 60))
    return Curve("twin-field", "twin-field", twin_field.MODEL, twin_field.SOURCE, "intensity", 1, made)


def _coherent(loss: Values) -> tuple[Curve, Curve]:
    model, source, tuned = continuous_variables.MODEL, continuous_variables.SOURCE, "modulation variance"
    links = [msgspec.structs.replace(COHERENT, modulation_variance=float(v)) for v in np.geomspace(0.3, 60.0, 40)]
    endless = np.max([continuous_variables.secret_fraction(link, loss) for link in links], axis=0)
    finite = np.max(
        [continuous_variables.finite_secret_fraction(link, loss, symbols=CV_SYMBOLS) for link in links], axis=0
    )
    return (
        Curve("cv", "continuous variables", model, source, tuned, 1, endless),
        Curve(
            "cv-finite", f"continuous variables, {CV_SYMBOLS / 1e9:g} billion symbols", model, source, tuned, 1, finite
        ),
    )
