"""What a device reports of an interval: counts drawn as they would happen, and nothing that it could not know.

The truth (faults, attacks) enters only by the link's parameters, its response and the light on the receiver. Detections
are drawn without pulses (`expected.drawn_clicks`). A down link reports no counts.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from keystrand.model.telemetry import IntensityCounts, LinkTelemetry
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Transmitter
from keystrand.qkd.distillation import Distillation, secret_bits
from keystrand.qkd.expected import drawn_clicks
from keystrand.qkd.faults import LinkState
from keystrand.qkd.finite import Counts
from keystrand.qkd.response import DOUBLE, Response

_Integers = NDArray[np.int64]


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device reports of `link`. The figures of current and of noise are assumed, not of a real device.

    A click draws `click_charge_c`; light of the receiver's entrance gives `responsivity_a_per_w`. Noise is normal.
    Without a `distillation` no secret rate is reported.
    """

    link: Annotated[str, Meta(min_length=1, max_length=200)]
    distillation: Distillation | None = None
    counts: bool = True
    doubles: bool = True
    current: bool = False
    temperature: bool = True
    loss: bool = True
    click_charge_c: Annotated[float, Meta(ge=0, le=1e-6)] = 1.6e-13
    responsivity_a_per_w: Annotated[float, Meta(ge=0, le=10)] = 0.8
    current_noise_a: Annotated[float, Meta(ge=0, le=1)] = 1e-9
    temperature_noise_k: Annotated[float, Meta(ge=0, le=10)] = 0.1
    loss_noise_db: Annotated[float, Meta(ge=0, le=10)] = 0.02


class Drawn(NamedTuple):
    """Counts of an interval, by intensity (sent, key, ... strongest first), and of all detections together."""

    sent: _Integers
    key: _Integers
    key_errors: _Integers
    test: _Integers
    test_errors: _Integers
    clicks: int
    doubles: int
    ones: int


def drawn(link: Bb84Link, response: Response, pulses: int, rng: np.random.Generator) -> Drawn:
    """Return the counts of `pulses` pulses; random in every figure, the same for the same generator's state."""
    clicks = drawn_clicks(link, response, pulses, rng)
    tossed = rng.binomial(clicks[..., DOUBLE], 0.5)
    ones = clicks[..., 1] + tossed
    zeros = clicks[..., 0] + clicks[..., DOUBLE] - tossed
    wrong = ones[..., 0] + zeros[..., 1]
    both = (ones + zeros).sum(axis=3)
    chosen = np.array(link.transmitter.probabilities)
    sent = rng.multinomial(pulses, chosen / chosen.sum())
    return Drawn(
        sent=np.maximum(sent, both[:, KEY, KEY] + both[:, TEST, TEST]),
        key=both[:, KEY, KEY],
        key_errors=wrong[:, KEY, KEY],
        test=both[:, TEST, TEST],
        test_errors=wrong[:, TEST, TEST],
        clicks=int(both.sum()),
        doubles=int(clicks[..., DOUBLE].sum()),
        ones=int(ones[:, KEY, KEY].sum() + ones[:, TEST, TEST].sum()),
    )


def telemetry(
    device: Device,
    state: LinkState,
    at_s: float,
    interval_s: float,
    rng: np.random.Generator,
    *,
    response: Response | None = None,
    light_w: float = 0.0,
    believed: Transmitter | None = None,
) -> LinkTelemetry:
    """Return the report of the interval that ends at `at_s`, in which `state` held.

    `response` is an attack's on this state's link, None without one; `light_w` is light on the receiver that is no
    signal; `believed` is the transmitter as Alice knows it, where it differs. The secret rate is that of the interval's
    counts as one block.
    """
    bare = _bare(device.link, at_s, interval_s, up=state.up)
    if not state.up:
        return msgspec.structs.replace(bare, temperature_c=_warmth(device, state, rng))
    link, sender = state.link, believed or state.link.transmitter
    made = drawn(link, state.response(response), round(link.transmitter.pulse_rate_hz * interval_s), rng)
    current = device.click_charge_c * made.clicks / interval_s + device.responsivity_a_per_w * light_w
    kept = int(made.key.sum() + made.test.sum())
    report = msgspec.structs.replace(
        bare,
        secret_key_rate_bits_per_s=None if state.distilling else 0.0,
        sifted_rate_bits_per_s=float(made.key.sum()) / interval_s,
        qber=_share(made.key_errors.sum(), made.key.sum()),
        test_qber=_share(made.test_errors.sum(), made.test.sum()),
        channel_loss_db=_noisy(link.channel_loss_db, device.loss_noise_db, rng) if device.loss else None,
        counts=_counts(sender, made),
        double_click_ratio=_share(made.doubles, made.clicks) if device.doubles else None,
        ones_ratio=_share(made.ones, kept),
        receiver_current_a=_noisy(current, device.current_noise_a, rng) if device.current else None,
        temperature_c=_warmth(device, state, rng),
    )
    if device.distillation is not None:
        (report,) = distilled([report], sender, device.distillation)
    return report if device.counts else msgspec.structs.replace(report, counts=())


def _bare(link: str, at_s: float, interval_s: float, *, up: bool) -> LinkTelemetry:
    return LinkTelemetry(
        link=link, at_s=at_s, interval_s=interval_s, up=up, sifted_rate_bits_per_s=0.0, secret_key_rate_bits_per_s=0.0
    )


def distilled(reports: Sequence[LinkTelemetry], sender: Transmitter, distillation: Distillation) -> list[LinkTelemetry]:
    """Return the reports with the secret rate of their counts, each interval a block, where there is none yet.

    All at once, which is many times faster than one by one.
    """
    open_ = [n for n, one in enumerate(reports) if one.counts and one.secret_key_rate_bits_per_s is None]
    if not open_:
        return list(reports)
    names = Counts._fields
    table = np.array([[[getattr(x, name) for x in reports[n].counts] for n in open_] for name in names], np.float64)
    bits = secret_bits(Counts(*table), sender, distillation)
    made = list(reports)
    for n, length in zip(open_, bits, strict=True):
        made[n] = msgspec.structs.replace(made[n], secret_key_rate_bits_per_s=float(length) / made[n].interval_s)
    return made


def _warmth(device: Device, state: LinkState, rng: np.random.Generator) -> float | None:
    return state.temperature_c + float(rng.normal(0, device.temperature_noise_k)) if device.temperature else None


def _noisy(level: float, noise: float, rng: np.random.Generator) -> float:
    """Return a level, never below 0, as an instrument shows it."""
    return max(level + float(rng.normal(0, noise)), 0.0)


def _counts(sender: Transmitter, made: Drawn) -> tuple[IntensityCounts, ...]:
    rows = zip(sender.intensities, made.sent, made.key, made.key_errors, made.test, made.test_errors, strict=True)
    return tuple(
        IntensityCounts(intensity=mu, sent=int(sent), key=int(k), key_errors=int(ke), test=int(t), test_errors=int(te))
        for mu, sent, k, ke, t, te in rows
    )


def _share(part: int | np.int64, whole: int | np.int64) -> float | None:
    return float(part / whole) if whole > 0 else None
