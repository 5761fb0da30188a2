"""Fitting a link model to what a link reports of itself, with uncertainty; predictions with intervals.

What can be fitted depends on what is reported (`calibration_series.Series.names`): rate and error ratio fix the loss
and the misalignment; counts by intensity fix the dark counts too; a secret rate beside them fixes how much of the
model's key the device delivers. Whatever the series cannot tell stays as it was given.

Weighted least squares: near the maximum of the likelihood where counts are large, with the usual covariance, the
inverse of J^T J. Whether the model explains the series at all is judged in `calibration_verdict`.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.special import ndtri

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.calibration_series import SECRET, Channel, Series, Shown, shown, with_noise
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import Distillation

GRID = 9
"""Losses at which the model is computed where reports differ in loss; between them it is nearly exponential."""
DRAWS = 400
"""Of the fitted parameters, for the interval of a prediction."""
_MOST_LOSS_DB = 200.0
_LEAST = 1e-300
_RANGES = {
    "loss_db": (-60.0, 200.0),
    "misalignment": (1e-6, 0.5),
    "dark_count_ratio": (1e-12, 0.1),
    "distillation_share": (1e-3, 10.0),
}


class Parameters(NamedTuple):
    """What can be fitted. `loss_db` is added to the reported losses, and is the whole loss where none is reported."""

    loss_db: float
    misalignment: float
    dark_count_ratio: float
    distillation_share: float


class Fit(NamedTuple):
    """The fitted parameters by `names`: values, covariance; all `parameters`, and the series with the model's means."""

    names: tuple[str, ...]
    values: Values
    covariance: Values
    parameters: Parameters
    series: Series
    modelled: tuple[Values, ...]
    model: "Model"

    @property
    def sigmas(self) -> Values:
        """Return the standard uncertainties of `values`."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def residuals(self) -> tuple[Values, ...]:
        """Return (reported - modelled) / noise by channel."""
        pairs = zip(self.series.channels, self.modelled, strict=True)
        return tuple((one.values - mean) / one.sigma for one, mean in pairs)


class Prediction(NamedTuple):
    """A modelled value and the ends of its interval; `secret_bits_per_s` of the link as fitted."""

    secret_bits_per_s: float
    low: float
    high: float


def fit(series: Series, known: Bb84Link, distillation: Distillation) -> Fit:
    """Fit the model to `series`; `known` says what is known of the device, and where the search begins.

    Done twice: the noise of the reports is first taken about their mean, then about the model.
    """
    model = Model(known, distillation)
    first = _fitted(model, series, model.start(series))
    channels = tuple(with_noise(c, m) for c, m in zip(series.channels, first.modelled, strict=True))
    return _fitted(model, series._replace(channels=channels), first.parameters)


def _fitted(model: "Model", series: Series, start: Parameters) -> Fit:
    names = series.names

    def parameters(searched: Values) -> Parameters:
        return start._replace(**dict(zip(names, map(_natural, names, searched), strict=True)))

    def residuals(searched: Values) -> Values:
        means = model.means(series, parameters(searched))
        return np.concatenate([(c.values - m) / c.sigma for c, m in zip(series.channels, means, strict=True)])

    first = np.array([_searched(name, getattr(start, name)) for name in names])
    low, high = np.array([[_searched(name, edge) for edge in _RANGES[name]] for name in names]).T
    found = least_squares(residuals, np.clip(first, low + 1e-9, high - 1e-9), bounds=(low, high), x_scale="jac")
    best = parameters(found.x)
    values = np.array([getattr(best, name) for name in names])
    slope = np.where(np.array(names) == "loss_db", 1.0, values)
    slopes = np.asarray(found.jac, np.float64)
    covariance = np.linalg.pinv(slopes.T @ slopes) * np.outer(slope, slope)
    return Fit(names, values, covariance, best, series, model.means(series, best), model)


def predict(
    made: Fit, loss_db: float, *, rng: np.random.Generator, coverage: float = 0.9, one_report: bool = False
) -> Prediction:
    """Return the secret key rate at another loss, as the reports would name it, with an interval of `coverage`.

    The interval holds the uncertainty of the fit; with `one_report` the scatter of a single report as well.
    """
    drawn = rng.multivariate_normal(made.values, made.covariance, DRAWS)
    limits = np.array([_RANGES[name] for name in made.names]).T
    offset = 0.0 if np.any(made.series.losses_db) else -made.parameters.loss_db
    rates = np.array(
        [
            _rate(made, made.parameters._replace(**dict(zip(made.names, row, strict=True))), loss_db + offset)
            for row in np.clip(drawn, *limits)
        ]
    )
    middle = _rate(made, made.parameters, loss_db + offset)
    if one_report:
        rates = rates * (1.0 + _secret_noise(made) * rng.standard_normal(DRAWS))
    low, high = np.quantile(rates, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Prediction(middle, max(float(low), 0.0), max(float(high), 0.0))


def report_interval(channel: Channel, mean: Values, spread: Values, coverage: float) -> tuple[Values, Values]:
    """Return where a single report of `channel` should lie: its noise, and `spread`, the fit's own uncertainty."""
    wide = float(ndtri((1 + coverage) / 2)) * np.hypot(channel.sigma, spread)
    return mean - wide, mean + wide


def mean_spread(made: Fit, later: Series) -> tuple[tuple[Values, ...], tuple[Values, ...]]:
    """Return the model's means of another series of the same channels, and their standard uncertainty by the fit."""
    means = made.model.means(later, made.parameters)
    limits = np.array([_RANGES[name] for name in made.names]).T
    moved = []
    # along the eigenvectors of the covariance: each is one independent step of the parameters
    sizes, axes = np.linalg.eigh(made.covariance)
    for size, axis in zip(np.sqrt(np.maximum(sizes, 0.0)), axes.T, strict=True):
        there = np.clip(made.values + size * axis, *limits)
        other = made.parameters._replace(**dict(zip(made.names, there, strict=True)))
        moved.append(made.model.means(later, other))
    spreads = [np.sqrt(sum((one[n] - mean) ** 2 for one in moved)) for n, mean in enumerate(means)]
    return means, tuple(spreads)


class Model:
    """What the model says of each report, given parameters."""

    def __init__(self, known: Bb84Link, distillation: Distillation) -> None:
        self._known, self._distillation = known, distillation

    def link(self, parameters: Parameters, reported_db: float = 0.0) -> Bb84Link:
        """Return the link with these parameters at a reported loss."""
        receiver = msgspec.structs.replace(
            self._known.receiver,
            misalignment=parameters.misalignment,
            dark_count_ratio=parameters.dark_count_ratio,
        )
        loss = float(np.clip(reported_db + parameters.loss_db, 0.0, _MOST_LOSS_DB))
        return msgspec.structs.replace(self._known, receiver=receiver, channel_loss_db=loss)

    def shown(self, parameters: Parameters, reported_db: float = 0.0) -> Shown:
        """Return what the link shows, its secret rate as the device delivers it."""
        made = shown(self.link(parameters, reported_db), self._distillation)
        return made._replace(secret_bits_per_s=made.secret_bits_per_s * parameters.distillation_share)

    def means(self, series: Series, parameters: Parameters) -> tuple[Values, ...]:
        """Return the modelled mean of every report, by channel."""
        low, high = float(series.losses_db.min()), float(series.losses_db.max())
        grid = np.linspace(low, high, GRID) if high - low > 1e-6 else np.array([low])
        points = [self.shown(parameters, loss) for loss in grid]
        values = np.array([[one.mean(point) for one in series.channels] for point in points])
        each = _between(series.losses_db, grid, values)
        return tuple(one.scale * each[:, n] for n, one in enumerate(series.channels))

    def start(self, series: Series) -> Parameters:
        """Return where the search begins: all as given, with the loss that explains the rate."""
        receiver, middle = self._known.receiver, float(np.mean(series.losses_db))
        made = Parameters(
            self._known.channel_loss_db - middle,
            float(np.clip(receiver.misalignment, 1e-4, 0.4)),
            max(receiver.dark_count_ratio, 1e-9),
            1.0,
        )
        rate = next((c for c in series.channels if "qber" not in c.name), series.channels[0])
        offsets = np.linspace(-10.0, 40.0, 101) - middle
        seen = float(np.mean(rate.values / rate.scale))
        misses = [
            abs(np.log((rate.mean(self.shown(made._replace(loss_db=o), middle)) + 1e-9) / (seen + 1e-9)))
            for o in offsets
        ]
        return made._replace(loss_db=float(offsets[int(np.argmin(misses))]))


def _between(losses: Values, grid: Values, values: Values) -> Values:
    """Return values (reports, channels) at `losses` from those on the grid, by a spline of their logarithms."""
    if grid.size == 1:
        return np.broadcast_to(values[0], (losses.size, values.shape[1]))
    return np.asarray(np.exp(CubicSpline(grid, np.log(np.maximum(values, _LEAST)))(losses)))


def _rate(made: Fit, parameters: Parameters, reported_db: float) -> float:
    return made.model.shown(parameters, reported_db).secret_bits_per_s


def _secret_noise(made: Fit) -> float:
    """Return the relative noise of one report of the secret rate, or else of the first rate there is."""
    for one in sorted(made.series.channels, key=lambda c: c.name != SECRET):
        if "qber" not in one.name:
            return float(np.mean(one.sigma) / max(float(np.mean(one.values)), 1e-300))
    return 0.0


def _searched(name: str, value: float) -> float:
    """Ratios are searched on a logarithmic scale."""
    return value if name == "loss_db" else float(np.log(value))


def _natural(name: str, searched: float) -> float:
    return float(searched) if name == "loss_db" else float(np.exp(searched))
