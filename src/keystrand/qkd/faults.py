"""Faults of a link over time, as data: what each does to its parameters, and what the link is at any moment.

There is no clock in it: `link_at` says what holds at a given second, from the healthy link and all faults together. Two
faults of a kind add up as physics says: losses in dB and kelvins add, misalignments and clicks combine as independent
events, efficiencies multiply. So the order in which faults are listed does not matter.
"""

from collections.abc import Sequence
from math import fsum, prod
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from keystrand.model.units import Decibels, Ratio
from keystrand.qkd.bb84_link import Bb84Link, basis_ratios
from keystrand.qkd.coexistence import Classical, Gate, background_with, raman_yield
from keystrand.qkd.response import Response, honest, photon_numbers

YEAR_S = 365.25 * 86_400.0
DARK_DOUBLING_K = 10.0
"""Dark counts of an avalanche detector double about so often; assumed, devices differ and cooled ones hold longer."""
TRIP_C = 40.0
"""Inside temperature above which a device shuts down; reported of the Clavis XGR on trial in Rio de Janeiro."""
ROOM_C = 25.0

_Time = Annotated[float, Meta(ge=0, le=1e12)]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begins at `start_s`, is whole after `ramp_s`, lasts until `duration_s` after its start (None: for good), and
    goes over `recovery_s`, as compensation or repair takes its time."""

    start_s: _Time
    duration_s: _Time | None = None
    ramp_s: _Time = 0.0
    recovery_s: _Time = 0.0

    def level(self, at_s: float) -> float:
        """Return how much of the fault is there, 0 to 1: up in a straight line, whole, down in a straight line."""
        since = at_s - self.start_s
        if since < 0:
            return 0.0
        level = min(since / self.ramp_s, 1.0) if self.ramp_s > 0 else 1.0
        if self.duration_s is None or since < self.duration_s:
            return level
        whole = min(self.duration_s / self.ramp_s, 1.0) if self.ramp_s > 0 else 1.0
        after = since - self.duration_s
        return whole * max(1 - after / self.recovery_s, 0.0) if self.recovery_s > 0 else 0.0


class FibreBend(Fault, frozen=True, kw_only=True, tag="fibre-bend"):
    """A bend or a crush of the fibre: loss, and nothing else."""

    loss_db: Decibels


class ConnectorAgeing(Fault, frozen=True, kw_only=True, tag="connector-ageing"):
    """Dirt and wear at connectors: loss that grows with the years, from the start on."""

    db_per_year: Annotated[float, Meta(ge=0, le=100)]


class PolarisationDrift(Fault, frozen=True, kw_only=True, tag="polarisation-drift"):
    """Polarisation or phase turns on the way: so many more photons leave by the wrong port, until compensated."""

    misalignment: Annotated[float, Meta(ge=0, le=0.5)]


class Heat(Fault, frozen=True, kw_only=True, tag="heat"):
    """The device gets warmer: more dark counts, and above `TRIP_C` it shuts down."""

    rise_k: Annotated[float, Meta(ge=0, le=100)]


class DetectorDegradation(Fault, frozen=True, kw_only=True, tag="detector-degradation"):
    """The detectors wear out: efficiency falls by `lost_ratio`, afterpulses rise."""

    lost_ratio: Ratio
    added_afterpulse_ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class RamanNoise(Fault, frozen=True, kw_only=True, tag="raman-noise"):
    """A classical channel is lit in the same fibre."""

    classical: Classical
    gate: Gate = Gate()
    length_km: Annotated[float, Meta(ge=0, le=10_000)]
    attenuation_db_per_km: Annotated[float, Meta(gt=0, le=20)] = 0.20


class ClockLoss(Fault, frozen=True, kw_only=True, tag="clock-loss"):
    """The ends count different slots: clicks stay, but belong to pulses of which they say nothing."""


class Cut(Fault, frozen=True, kw_only=True, tag="cut"):
    """The fibre is cut."""


class Maintenance(Fault, frozen=True, kw_only=True, tag="maintenance"):
    """The link is taken down on purpose."""


class ClassicalOutage(Fault, frozen=True, kw_only=True, tag="classical-outage"):
    """The classical channel is gone: photons are counted, but nothing can be distilled."""


AnyFault = (
    FibreBend
    | ConnectorAgeing
    | PolarisationDrift
    | Heat
    | DetectorDegradation
    | RamanNoise
    | ClockLoss
    | Cut
    | Maintenance
    | ClassicalOutage
)


class LinkState(NamedTuple):
    """What a link is at a moment. `reason` says why it is not as it should be, empty when it is.

    Down or not `distilling`, it makes no key; with the `clock_lost` what it counts means nothing (`misassigned`).
    """

    link: Bb84Link
    up: bool = True
    reason: str = ""
    temperature_c: float = ROOM_C
    planned: bool = False
    distilling: bool = True
    clock_lost: bool = False

    def response(self, attacked: Response | None = None) -> Response:
        """Return what the detectors say: the link's own response or `attacked`, under this state's clock."""
        made = honest(self.link) if attacked is None else attacked
        return misassigned(self.link, made) if self.clock_lost else made


def link_at(link: Bb84Link, faults: Sequence[AnyFault], at_s: float, temperature_c: float = ROOM_C) -> LinkState:
    """Return the state of `link` at `at_s` under all faults; `temperature_c` is that of its healthy receiver.

    Raises ValueError where `at_s` is no time: negative or not finite.
    """
    if not (np.isfinite(at_s) and at_s >= 0):
        raise ValueError(f"no time of a series: {at_s}")
    present = sorted(((one, level) for one in faults if (level := one.level(at_s)) > 0), key=repr)
    warm = temperature_c + fsum(one.rise_k * level for one, level in present if isinstance(one, Heat))
    planned, cut, clock, outage = (
        any(isinstance(one, kind) for one, _ in present) for kind in (Maintenance, Cut, ClockLoss, ClassicalOutage)
    )
    reasons = sorted({str(one.__struct_config__.tag).replace("-", " ") for one, _ in present})
    if warm > TRIP_C:
        reasons.append("too hot")
    return LinkState(
        link=_changed(link, present, at_s, warm - temperature_c),
        up=not (planned or cut or warm > TRIP_C),
        reason=", ".join(reasons),
        temperature_c=warm,
        planned=planned,
        distilling=not (planned or cut or outage or clock or warm > TRIP_C),
        clock_lost=clock,
    )


def misassigned(link: Bb84Link, response: Response) -> Response:
    """Return the response when clicks are matched with other pulses: the mean of all, whatever was sent.

    Every gain is then the mean gain, and half of the bits are wrong.
    """
    sent = link.transmitter
    numbers = np.array(sent.probabilities) @ photon_numbers(sent.intensities)
    alice = basis_ratios(link).sum(axis=1)
    mean = np.einsum("abxyn,a,n->by", response.table, alice / 2, numbers)
    table = np.broadcast_to(mean[None, :, None, :, None], response.table.shape)
    return Response(np.array(table))


def _changed(link: Bb84Link, present: Sequence[tuple[AnyFault, float]], at_s: float, rise_k: float) -> Bb84Link:
    """Return the link with every fault's share of its parameters; without any, to the last bit what it was."""
    if not present:
        return link
    receiver = link.receiver
    bends = [one.loss_db * level for one, level in present if isinstance(one, FibreBend)]
    ages = [
        one.db_per_year * level * (at_s - one.start_s) / YEAR_S
        for one, level in present
        if isinstance(one, ConnectorAgeing)
    ]
    turned = prod(1 - 2 * one.misalignment * level for one, level in present if isinstance(one, PolarisationDrift))
    worn = [(one, level) for one, level in present if isinstance(one, DetectorDegradation)]
    silent = prod(1 - one.added_afterpulse_ratio * level for one, level in worn)
    background = link.background_ratio
    for one, level in present:
        if isinstance(one, RamanNoise):
            noise = raman_yield(one.classical, one.gate, one.length_km, one.attenuation_db_per_km)
            background = float(background_with(background, level * noise))
    changed = msgspec.structs.replace(
        receiver,
        efficiency=receiver.efficiency * prod(1 - one.lost_ratio * level for one, level in worn),
        dark_count_ratio=min(receiver.dark_count_ratio * 2 ** (rise_k / DARK_DOUBLING_K), 1.0),
        misalignment=0.5 - (0.5 - receiver.misalignment) * turned,
        afterpulse_ratio=1 - (1 - receiver.afterpulse_ratio) * silent,
    )
    loss_db = link.channel_loss_db + fsum([*bends, *ages])
    return msgspec.structs.replace(link, receiver=changed, channel_loss_db=loss_db, background_ratio=background)
