"""Figures of a link before and after a change, and by how many standard deviations they differ."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keystrand.operate.link_charts import Columns, Values

CERTAIN = 5.0
"""Standard deviations beyond which a figure of the changed stretch has moved."""


class Moved(NamedTuple):
    """A figure before and after, and by how many standard deviations they differ; NaN where it was not reported."""

    before: float
    after: float
    deviations: float

    def up(self, least: float) -> bool:
        """Return whether it surely rose, by at least `least`."""
        return self.deviations > CERTAIN and self.after - self.before > least

    def factor(self) -> float:
        """Return after / before, 1 where that says nothing."""
        known = np.isfinite(self.before) and np.isfinite(self.after) and self.before > 0
        return self.after / self.before if known else 1.0


def moves(made: Columns, old: slice, new: slice) -> Mapping[str, Moved]:
    """Return each figure before and in the window."""
    kept = np.nan_to_num(made.key) + np.nan_to_num(made.test)
    found = {
        "qber": _share(made.key_errors, made.key, old, new),
        "test_qber": _share(made.test_errors, made.test, old, new),
        "rate": _rate(kept, made.interval_s, old, new),
        "doubles": _share(made.doubles, kept, old, new),
        "ones": _share(made.ones, kept, old, new),
        "current": _level(made.current_a, old, new),
        "temperature": _level(made.temperature_c, old, new),
        "loss": _level(made.loss_db, old, new),
    }
    if made.detected.size and made.clear_vacuum:
        found["vacuum"] = _share(made.detected[:, -1], made.sent[:, -1], old, new)
        found["optics"] = _optics(made, old, new)
    if made.detected.shape[1] > 1:
        found["signal"], found["decoy"] = _net(made, old, new)
    return found


def gradual(made: Columns, name: str, moved: Moved, new: slice) -> bool:
    """Return whether the errors rose over several reports: the first sure ones lie well below the level reached.

    The first sure report may cover the change only in part, so it does not count.
    """
    wrong, whole = (made.key_errors, made.key) if name == "qber" else (made.test_errors, made.test)
    wrong, whole = wrong[new], np.maximum(whole[new], 1.0)
    before = moved.before
    noise = np.sqrt(np.maximum(before * (1 - before), 1e-12) / whole)
    sure = np.flatnonzero((wrong / whole - before) / noise > CERTAIN - 1)
    begin = int(sure[0]) + 1 if sure.size else 0
    wrong, whole = wrong[begin:], whole[begin:]
    half = np.sort(wrong / whole)[wrong.size // 2 :]
    if half.size < 2:
        return False
    level = float(half.mean())
    share, count = np.cumsum(wrong) / np.cumsum(whole), np.cumsum(whole)
    low = (level - share) / np.sqrt(level * (1 - level) / count + half.var() / half.size)
    return bool(np.any((low > CERTAIN - 1) & (share - before < 0.8 * (level - before))))


def _share(part: Values, whole: Values, old: slice, new: slice) -> Moved:
    (p0, w0), (p1, w1) = _sums(part, whole, old), _sums(part, whole, new)
    if min(w0, w1) <= 0:
        return Moved(np.nan, np.nan, np.nan)
    angles = [np.arcsin(np.sqrt((p + 0.25) / (w + 0.5))) for p, w in ((p0, w0), (p1, w1))]
    return Moved(p0 / w0, p1 / w1, 2 * float(angles[1] - angles[0]) / np.sqrt(1 / (w0 + 0.5) + 1 / (w1 + 0.5)))


def _rate(count: Values, time_s: Values, old: slice, new: slice) -> Moved:
    (c0, t0), (c1, t1) = _sums(count, time_s, old), _sums(count, time_s, new)
    deviations = (c1 / t1 - c0 / t0) / np.sqrt(max(c0, 1) / t0**2 + max(c1, 1) / t1**2)
    return Moved(c0 / t0, c1 / t1, float(deviations))


def _level(level: Values, old: slice, new: slice) -> Moved:
    a, b = (x[np.isfinite(x)] for x in (level[old], level[new]))
    if a.size < 3 or b.size < 1:
        return Moved(np.nan, np.nan, np.nan)
    spread = max(float(a.std(ddof=1)), 1e-300) * np.sqrt(1 / a.size + 1 / b.size)
    return Moved(float(a.mean()), float(b.mean()), float((b.mean() - a.mean()) / spread))


def _net(made: Columns, old: slice, new: slice) -> tuple[Moved, Moved]:
    """Return the gains of signal and strongest decoy without the vacuum's, where that is known."""
    gains, wide = [], []
    for part in (old, new):
        sent, clicks = made.sent[part].sum(axis=0), made.detected[part].sum(axis=0)
        gain, variance = clicks / np.maximum(sent, 1), np.maximum(clicks, 1) / np.maximum(sent, 1) ** 2
        floor = gain[-1] if made.clear_vacuum else 0.0
        gains.append(gain[:2] - floor)
        wide.append(variance[:2] + (variance[-1] if made.clear_vacuum else 0.0))
    (s0, d0), (s1, d1) = gains
    signal = Moved(float(s0), float(s1), float((s1 - s0) / np.sqrt(wide[0][0] + wide[1][0])))
    if min(s0, s1, d0) <= 0:
        return signal, Moved(float(d0), float(d1), np.nan)
    # the decoy is judged against what the signal makes expected
    expected, factor = d0 * s1 / s0, s1 / s0
    spread = np.sqrt(wide[1][1] + factor**2 * wide[0][1] + d0**2 * (wide[1][0] + factor**2 * wide[0][0]) / s0**2)
    return signal, Moved(float(d0), float(d1), float((d1 - expected) / spread))


def _optics(made: Columns, old: slice, new: slice) -> Moved:
    """Return the error ratio of the clicks that are signal: half of those without signal are wrong, and taken out."""
    found = []
    for part in (old, new):
        sent, clicks = made.sent[part].sum(axis=0), made.detected[part].sum(axis=0)
        floor = clicks[-1] / max(sent[-1], 1.0)
        errors = np.nansum(made.key_errors[part]) + np.nansum(made.test_errors[part])
        whole, noise = clicks.sum(), floor * sent.sum()
        if whole <= noise:
            return Moved(np.nan, np.nan, np.nan)
        ratio = (errors - noise / 2) / (whole - noise)
        wide = errors + (sent.sum() / max(sent[-1], 1.0)) ** 2 * max(clicks[-1], 1.0) / 4
        found.append((float(ratio), float(wide) / (whole - noise) ** 2))
    (before, wide0), (after, wide1) = found
    return Moved(before, after, (after - before) / float(np.sqrt(wide0 + wide1)))


def _sums(part: Values, whole: Values, rows: slice) -> tuple[float, float]:
    known = np.isfinite(part[rows]) & np.isfinite(whole[rows])
    return float(part[rows][known].sum()), float(whole[rows][known].sum())
