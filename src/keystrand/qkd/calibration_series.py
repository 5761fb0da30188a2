"""Telemetry as a fit takes it: one channel a reported quantity, with its noise and the model of its mean.

Noise is taken from the differences between neighbouring reports, so that slow change does not pass for noise, and
never below that of counting: Poisson for detections, binomial for error ratios.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keystrand.model.telemetry import LinkTelemetry
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import Distillation, secret_rate_bits_per_s
from keystrand.qkd.sifted import Sifted, sifted

MIN_REPORTS = 8
"""Fewer reports tell too little of the noise."""
SECRET = "secret"  # noqa: S105  # the channel of the secret key rate, no password


class Shown(NamedTuple):
    """What a link shows a second, as far as a channel may ask for it."""

    sifted: Sifted
    pulse_rate_hz: float
    secret_bits_per_s: float


class Channel(NamedTuple):
    """One reported quantity: values, the noise of counting in each, all their noise (standard deviations), and what the
    model says of it, which is multiplied by `scale` (the seconds of a report for counts, 1 for ratios and rates)."""

    name: str
    values: Values
    counting: Values
    sigma: Values
    scale: Values
    mean: Callable[[Shown], float]


class Series(NamedTuple):
    """The reports of a running link: channels, losses in dB (zeros unless every report has one), and times."""

    channels: tuple[Channel, ...]
    losses_db: Values
    at_s: Values

    @property
    def names(self) -> tuple[str, ...]:
        """Return the parameters that these channels can tell."""
        have = [one.name for one in self.channels]
        by_intensity = any(name.startswith("key ") for name in have)
        told = ["loss_db", "misalignment"]
        told += ["dark_count_ratio"] if by_intensity else []
        return tuple(told + (["distillation_share"] if SECRET in have and len(have) > 2 else []))

    def part(self, start: int, stop: int) -> "Series":
        """Return reports `start` to `stop`, the last not included, with the noise of the whole series."""
        cut = slice(start, stop)
        channels = tuple(
            c._replace(values=c.values[cut], counting=c.counting[cut], sigma=c.sigma[cut], scale=c.scale[cut])
            for c in self.channels
        )
        return Series(channels, self.losses_db[cut], self.at_s[cut])


def shown(link: Bb84Link, distillation: Distillation) -> Shown:
    """Return what the model says of `link`."""
    return Shown(sifted(link), link.transmitter.pulse_rate_hz, secret_rate_bits_per_s(link, distillation))


def series(reports: Sequence[LinkTelemetry]) -> Series:
    """Return the reports in which the link was up and sifted something.

    Raises ValueError for several links, times out of order, and fewer than `MIN_REPORTS` with a rate and a QBER.
    """
    if len({one.link for one in reports}) > 1:
        raise ValueError("the series holds reports of several links: fit one at a time")
    if any(later.at_s <= earlier.at_s for earlier, later in pairwise(reports)):
        raise ValueError("reports must be in the order of time, each time once")
    kept = [one for one in reports if one.up and _tells(one)]
    if len(kept) < MIN_REPORTS:
        raise ValueError(f"{len(kept)} reports with a rate and an error ratio are too few: at least {MIN_REPORTS}")
    losses = _column(kept, "channel_loss_db")
    losses = losses if np.all(np.isfinite(losses)) else np.zeros(losses.shape)
    return Series(_channels(kept), losses, np.array([one.at_s for one in kept]))


def with_noise(channel: Channel, mean: Values) -> Channel:
    """Return `channel` with the noise that its scatter about `mean` shows: what exceeds counting is relative to it."""
    safe = np.where(mean > 0, mean, 1.0)
    own = np.mean(np.diff(channel.values / safe) ** 2) / 2.0 - np.mean((channel.counting / safe) ** 2)
    return channel._replace(sigma=np.hypot(channel.counting, np.sqrt(max(float(own), 0.0)) * mean))


def _tells(report: LinkTelemetry) -> bool:
    if report.counts:
        return sum(one.key for one in report.counts) > 0
    return report.qber is not None and bool(report.sifted_rate_bits_per_s or report.secret_key_rate_bits_per_s)


def _column(reports: Sequence[LinkTelemetry], name: str) -> Values:
    return np.array([np.nan if (value := getattr(one, name)) is None else value for one in reports], np.float64)


def _channels(reports: Sequence[LinkTelemetry]) -> tuple[Channel, ...]:
    """Return the channels that every report has; counts by intensity take the place of the totals they sum up to."""
    seconds = np.array([one.interval_s for one in reports])
    if len(reports[0].counts) and len({len(one.counts) for one in reports}) == 1:
        made = _by_intensity(reports, seconds)
    else:
        made = _totals(_column(reports, "sifted_rate_bits_per_s"), _column(reports, "qber"), seconds)
    secret = _column(reports, "secret_key_rate_bits_per_s")
    if np.all(np.isfinite(secret)):
        made.append(_noisy(SECRET, secret, lambda s: s.secret_bits_per_s))
    return tuple(made)


def _totals(rate: Values, qber: Values, seconds: Values) -> list[Channel]:
    def ratio(s: Shown) -> float:
        return float(s.sifted.key_errors.sum() / max(s.sifted.key.sum(), 1e-300))

    if not np.all(np.isfinite(qber)):
        raise ValueError("some reports have counts and some have none: give one form in all")
    if not np.all(np.isfinite(rate)):
        return [_noisy("qber", qber, ratio)]
    bits = rate * seconds
    return [
        _counted("sifted", bits, (seconds), lambda s: float(s.sifted.key.sum()) * s.pulse_rate_hz),
        _ratio("qber", qber, bits, ratio),
    ]


def _by_intensity(reports: Sequence[LinkTelemetry], seconds: Values) -> list[Channel]:
    """Return detections by basis and intensity, and one error ratio a basis: weak intensities have few errors."""
    made = []
    for basis in ("key", "test"):
        clicks = np.array([[getattr(one, basis) for one in report.counts] for report in reports], np.float64)
        wrong = np.array([[getattr(one, f"{basis}_errors") for one in report.counts] for report in reports], np.float64)
        made += [_counted(f"{basis} {k}", clicks[:, k], (seconds), _clicks(basis, k)) for k in range(clicks.shape[1])]
        whole = clicks.sum(axis=1)
        made.append(_ratio(f"{basis} qber", wrong.sum(axis=1) / np.maximum(whole, 1.0), whole, _errors(basis)))
    return made


def _clicks(basis: str, intensity: int) -> Callable[[Shown], float]:
    return lambda s: float(getattr(s.sifted, basis)[intensity]) * s.pulse_rate_hz


def _errors(basis: str) -> Callable[[Shown], float]:
    return lambda s: float(getattr(s.sifted, f"{basis}_errors").sum() / max(getattr(s.sifted, basis).sum(), 1e-300))


def _noisy(name: str, values: Values, mean: Callable[[Shown], float]) -> Channel:
    """Return a channel whose noise only its scatter tells; never quite 0, for a device may repeat a figure."""
    least = np.full(values.shape, 1e-4 * float(np.mean(np.abs(values))) + 1e-300)
    return _first(Channel(name, values, least, least, np.ones(values.shape), mean))


def _counted(name: str, counts: Values, seconds: Values, mean: Callable[[Shown], float]) -> Channel:
    poisson = np.sqrt(np.maximum(float(counts.sum() / seconds.sum()) * seconds, 1.0))
    return _first(Channel(name, counts, poisson, poisson, seconds, mean))


def _ratio(name: str, ratio: Values, behind: Values, mean: Callable[[Shown], float]) -> Channel:
    sizes = np.maximum(behind, 1.0)
    middle = float(np.clip(np.average(ratio, weights=sizes), 1.0 / sizes.sum(), 0.5))
    binomial = np.sqrt(middle * (1 - middle) / sizes)
    return _first(Channel(name, ratio, binomial, binomial, np.ones(ratio.shape), mean))


def _first(channel: Channel) -> Channel:
    """Return the channel with its noise about the mean rate: all that is known before a fit."""
    return with_noise(channel, channel.scale * float(channel.values.sum() / channel.scale.sum()))
