"""Charts of a link's reports: one number a report and observable, standard normal while nothing changes, and CUSUMs.

Self-starting (D. M. Hawkins, "Self-starting CUSUM charts for location and scale", The Statistician 36, 299 (1987)):
each report is tested against *all before it*, so that the numbers are independent and what is known of the baseline is
in them. Counts are compared after the arcsine transform with a quarter added: for 3/8, which steadies the variance
best (F. J. Anscombe, Biometrika 35, 246 (1948)), the mean of small counts is off, and a CUSUM adds that up.
The false-alarm budget, divided over all charts and both signs (Bonferroni), fixes the threshold by D. Siegmund's
approximation of a CUSUM's mean run ("Sequential Analysis", Springer 1985; page unchecked).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtr

from keystrand.model.telemetry import LinkTelemetry

Values = NDArray[np.float64]

YEAR_S = 365.25 * 86_400.0
SLACK = 0.75
"""A CUSUM's allowance in standard deviations: it is quickest to see shifts of twice as much in one report."""
MARGIN = 2.0
"""The budget is divided by this: counts are not quite normal in their tails, and the mean run is an approximation."""
OVERSHOOT = 1.166
"""Siegmund's correction for discrete steps: 2 x 0.583."""
MOST_SCORE = 37.0
"""Normal scores beyond this cannot be told from certainty in float64."""


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many false alarms a link may give a year, all charts together."""

    false_alarms_per_year: Annotated[float, Meta(gt=0, le=1e4)] = 1.0


ONE_A_YEAR = Budget()


class Chart(NamedTuple):
    """Scores of the reports (NaN where the observable is missing) and the two CUSUMs of them, up and down."""

    scores: Values
    up: Values
    down: Values

    @property
    def highest(self) -> float:
        """Return the highest value of either CUSUM, 0 where there is none."""
        return float(max(self.up.max(initial=0.0), self.down.max(initial=0.0)))

    def first_above(self, height: float) -> int:
        """Return the first report at which either CUSUM is above `height`, or the number of reports."""
        above = np.maximum(self.up, self.down) > height
        return int(np.argmax(above)) if above.any() else above.size

    def excursion(self, at: int) -> tuple[slice, int]:
        """Return the changed stretch around report `at`, and the report before which nothing had changed yet.

        The excursion of the higher CUSUM goes from its last zero to its top. Reports at its start that score less than
        a third of its median belong to neither side: the walk had risen by chance, or the change had only begun.
        """
        side, sign = (self.up, 1) if self.up[at] >= self.down[at] else (self.down, -1)
        zeros = np.flatnonzero(side == 0)
        start = int(zeros[zeros < at].max(initial=-1)) + 1
        end = int(zeros[zeros > at].min(initial=side.size))
        top = at + int(np.argmax(side[at:end]))
        scores = sign * np.nan_to_num(self.scores[start : top + 1])
        lead = int(np.argmax(scores >= np.median(scores) / 3))
        return slice(start + lead, top + 1), start


class Columns(NamedTuple):
    """A series of reports as arrays (reports,), NaN where something was not reported; counts are 0 while down.

    `detected`, `sent` have shape (reports, intensities), strongest first. `clear_vacuum` says whether the weakest
    intensity is at most a hundredth of the strongest, so that its gain is the background's.
    """

    at_s: Values
    interval_s: Values
    up: NDArray[np.bool_]
    sent: Values
    detected: Values
    key: Values
    key_errors: Values
    test: Values
    test_errors: Values
    doubles: Values
    ones: Values
    current_a: Values
    temperature_c: Values
    loss_db: Values
    secret_rate: Values
    clear_vacuum: bool


def columns(reports: Sequence[LinkTelemetry]) -> Columns:
    """Return the reports as arrays. Raises ValueError for no reports, times that do not rise, figures that are no
    numbers, several links, or intensities that change on the way."""
    if not reports:
        raise ValueError("there are no reports")
    _check(reports)
    grid = next((one.counts for one in reports if one.counts), ())
    shape = (len(reports), len(grid))
    rows = [one.counts or (None,) * len(grid) for one in reports]
    sent = np.array([[x.sent if x else 0 for x in row] for row in rows], dtype=np.float64).reshape(shape)
    detected = np.array([[x.key + x.test if x else 0 for x in row] for row in rows], dtype=np.float64).reshape(shape)
    key, key_errors, test, test_errors = (np.array([_total(one, name) for one in reports]) for name in (
        "key", "key_errors", "test", "test_errors"))  # fmt: skip
    kept = np.nan_to_num(key) + np.nan_to_num(test)
    return Columns(
        _field(reports, "at_s"), _field(reports, "interval_s"), np.array([one.up for one in reports]), sent, detected,
        key, key_errors, test, test_errors, _field(reports, "double_click_ratio") * kept,
        _field(reports, "ones_ratio") * kept, _field(reports, "receiver_current_a"), _field(reports, "temperature_c"),
        _field(reports, "channel_loss_db"), _field(reports, "secret_key_rate_bits_per_s"),
        bool(grid) and grid[-1].intensity <= grid[0].intensity / 100,
    )  # fmt: skip


def charts(made: Columns, first: int) -> Mapping[str, Chart]:
    """Return the charts by name; the CUSUMs begin at report `first`, what is before is baseline."""
    kept = made.key + made.test
    score: dict[str, Values] = {
        "qber": _share_scores(made.key_errors, made.key),
        "test_qber": _share_scores(made.test_errors, made.test),
        "rate": _rate_scores(np.where(made.up, np.nan_to_num(kept), np.nan), made.interval_s),
        "doubles": _share_scores(made.doubles, kept),
        "ones": _share_scores(made.ones, kept),
        "current": _level_scores(made.current_a),
        "temperature": _level_scores(made.temperature_c),
        "loss": _level_scores(made.loss_db),
    }
    signal = made.detected[:, 0] if made.detected.size else np.zeros(len(made.at_s))
    for k in range(1, made.detected.shape[1]):
        if made.clear_vacuum and k == made.detected.shape[1] - 1:
            score["vacuum"] = _share_scores(made.detected[:, k], made.sent[:, k])
        else:
            score[f"decoy {k}"] = _share_scores(made.detected[:, k], signal + made.detected[:, k])
    return {name: _cusums(one[first:]) for name, one in score.items() if np.isfinite(one[first:]).any()}


def threshold(budget: Budget, interval_s: float, number: int) -> float:
    """Return the height at which a CUSUM alarms, for `number` charts of reports every `interval_s`."""
    allowed = budget.false_alarms_per_year * interval_s / YEAR_S / (2 * number * MARGIN)

    def excess(height: float) -> float:
        return float(np.log(mean_run(height)) + np.log(allowed))

    return float(brentq(excess, 0.0, 200.0)) if excess(0.0) < 0 else 0.0


def mean_run(height: float) -> float:
    """Return the mean number of reports between false alarms of one one-sided CUSUM; Siegmund's approximation."""
    b = height + OVERSHOOT
    return float((np.exp(2 * SLACK * b) - 2 * SLACK * b - 1) / (2 * SLACK**2))


def _check(reports: Sequence[LinkTelemetry]) -> None:
    times = np.array([one.at_s for one in reports])
    if not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
        raise ValueError("reports must be in the order of their time, each later than the one before")
    if len({one.link for one in reports}) > 1:
        raise ValueError("reports of several links")
    for one in reports:
        figures = [getattr(one, name) for name in one.__struct_fields__]
        if not all(np.isfinite(x) for x in figures if isinstance(x, float)):
            raise ValueError(f"the report at {one.at_s} s holds a figure that is no number")
    if len({tuple(x.intensity for x in one.counts) for one in reports if one.counts}) > 1:
        raise ValueError("the intensities change within the series")


def _field(reports: Sequence[LinkTelemetry], name: str) -> Values:
    return np.array([np.nan if getattr(one, name) is None else getattr(one, name) for one in reports], dtype=np.float64)


def _total(report: LinkTelemetry, name: str) -> float:
    """Return a count of all intensities; without counts what rate and ratios say, all of it as of the key."""
    if report.counts:
        return float(sum(getattr(one, name) for one in report.counts))
    kept = (report.sifted_rate_bits_per_s or 0.0) * report.interval_s
    if name == "key_errors":
        return round(kept) * report.qber if report.qber is not None else np.nan
    return float(round(kept)) if name == "key" else (0.0 if name == "test" else np.nan)


def _before(values: Values) -> Values:
    """Return the sums of all before, missing ones left out."""
    return np.asarray(np.cumsum(np.nan_to_num(values)) - np.nan_to_num(values))


def _share_scores(part: Values, whole: Values) -> Values:
    """Return how far each share lies from that of all reports before, in standard deviations."""
    known = np.isfinite(part) & np.isfinite(whole) & (whole > 0)
    part, whole = np.where(known, part, 0.0), np.where(known, whole, 0.0)
    before, total = _before(part), _before(whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = _angle(part, whole) - _angle(before, total)
        scores = 2 * distance / np.sqrt(1 / (whole + 0.5) + 1 / (total + 0.5))
    return np.where(known & (total > 0), np.clip(scores, -MOST_SCORE, MOST_SCORE), np.nan)


def _rate_scores(count: Values, time_s: Values) -> Values:
    """Return how far each count lies from the rate before: given the sum, its share of the time is binomial."""
    known = np.isfinite(count)
    count, time_s = np.where(known, count, 0.0), np.where(known, time_s, 0.0)
    total = count + _before(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = time_s / (time_s + _before(time_s))
        scores = 2 * np.sqrt(total + 0.5) * (_angle(count, total) - np.arcsin(np.sqrt(share)))
    return np.where(known & (_before(count) > 0), np.clip(scores, -MOST_SCORE, MOST_SCORE), np.nan)


def _level_scores(level: Values) -> Values:
    """Return the normal score of each level among those before: Student's t as the probability it stands for."""
    known = np.isfinite(level)
    number, centre = _before(known.astype(float)), np.nanmean(level[:1]) if known[:1].any() else 0.0
    off = np.where(known, level - centre, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _before(off) / number
        spread = np.sqrt(np.maximum(_before(off**2) - number * mean**2, 0.0) / (number - 1))
        t = (off - mean) / (spread * np.sqrt(1 + 1 / number))
        # the lower tail keeps its digits, so the sign is put back afterwards
        scores = -np.sign(t) * np.maximum(ndtri(stdtr(number - 1, -np.abs(t))), -MOST_SCORE)
    return np.where(known & (number >= 3) & (spread > 0), scores, np.nan)


def _angle(part: Values, whole: Values) -> Values:
    return np.asarray(np.arcsin(np.sqrt((part + 0.25) / (whole + 0.5))))


def _cusums(scores: Values) -> Chart:
    known = np.nan_to_num(scores)
    step = np.where(np.isfinite(scores), SLACK, 0.0)

    def sums(signed: Values) -> Values:
        walk = np.cumsum(signed - step)
        return np.asarray(walk - np.minimum(np.minimum.accumulate(walk), 0.0))

    return Chart(scores, sums(known), sums(-known))
