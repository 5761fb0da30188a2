"""What a link's reports say happened to it: nothing, a fault, or signs of an attack; and what no report can show.

Only what a device reports is used, never the truth of a simulation. First the charts say *that* something changed,
within a budget of false alarms. Then the stretch that changed most is compared with all before it, and the kind follows
from which figures moved together. Several causes may give the same figures: `also` names them, and where nothing fits,
the kind is unknown. The budget covers chance in the counts alone. A link that changes with its weather will alarm, and
rightly so: such an alarm is a change, not a mistake.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from keystrand.model.telemetry import LinkTelemetry
from keystrand.operate.link_charts import ONE_A_YEAR, YEAR_S, Budget, Columns, Values, charts, columns, threshold

CERTAIN = 5.0
"""Standard deviations beyond which a figure of the changed stretch has moved."""
SAME_RATIO = 0.03
"""Gains this close count as unchanged: dead time and background move them so far without an attack."""
DECOY_RATIO = 0.02
"""A change of the decoy's share beyond this is none of loss, dead time or background."""
ONES = 0.003
QBER = 0.0005
BLIND_CURRENT = 3.0
VANISHED = 0.3
WARM_K = 2.0
TRIP_C = 38.0
"""Least change, factor or level that counts as such; each well below what the fault or attack makes."""
NO_CLOCK = 0.4


class Kind(StrEnum):
    """What the figures look like."""

    QUIET = "quiet"
    INTERCEPT_RESEND = "intercept-resend"
    PHOTON_NUMBER_SPLITTING = "photon-number splitting"
    BLINDING = "blinding"
    TIME_SHIFT = "time-shift"
    FIBRE_LOSS = "loss of the fibre"
    POLARISATION_DRIFT = "polarisation drift"
    HEAT = "heat"
    BACKGROUND = "background light"
    DETECTOR_DEGRADATION = "detector degradation"
    CLOCK_LOSS = "clock loss"
    CLASSICAL_OUTAGE = "classical channel out"
    DOWN = "down"
    PLANNED = "planned work"
    UNKNOWN = "unknown change"


ATTACKS = frozenset({Kind.INTERCEPT_RESEND, Kind.PHOTON_NUMBER_SPLITTING, Kind.BLINDING, Kind.TIME_SHIFT})


Found = tuple[Kind, str, tuple[str, ...]]
"""A kind, why, and what else gives the same figures."""


class Verdict(Struct, frozen=True, kw_only=True):
    """`why` in words, `also` what else gives the same figures, `charts` those that alarmed, `since_s` the estimated
    start of the change and `alarm_at_s` the report at which the first chart alarmed; None where nothing did."""

    kind: Kind
    why: str
    also: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    since_s: float | None = None
    alarm_at_s: float | None = None


class Unseen(NamedTuple):
    """An attack that leaves no sign, and why."""

    attack: str
    why: str


UNSEEN: tuple[Unseen, ...] = (
    Unseen(
        "beam splitting into a channel of less loss", "every count stays; privacy amplification already pays for it"
    ),
    Unseen("Trojan horse", "no count changes; only isolation, and a power monitor at the transmitter, limit it"),
    Unseen("time-shift with equal clicks of both detectors", "it looks like added loss"),
    Unseen(
        "intercept-resend that grows slowly", "it looks like polarisation drift; the secret key shrinks all the same"
    ),
    Unseen("laser seeding of all intensities alike", "it looks like a channel of less loss"),
)
"""What no report of `LinkTelemetry` can show, whatever the device reports."""
_BLINDING_NO_MONITOR = Unseen(
    "blinding whose faked states imitate double clicks",
    "no monitor of the detectors' current reports; QBER and gains stay",
)
_BLINDING_NO_DOUBLES = Unseen(
    "blinding", "neither detector current nor double clicks are reported; QBER and gains stay"
)
_SPLITTING_NO_COUNTS = Unseen(
    "photon-number splitting", "no counts by intensity are reported: QBER stays, the rate falls as by a little loss"
)


def unseen(reports: Sequence[LinkTelemetry]) -> tuple[Unseen, ...]:
    """Return what cannot be seen of a link that reports no more than these reports do."""
    lacking = []
    if all(one.receiver_current_a is None for one in reports):
        doubles = any(one.double_click_ratio is not None for one in reports)
        lacking.append(_BLINDING_NO_MONITOR if doubles else _BLINDING_NO_DOUBLES)
    if not any(one.counts for one in reports):
        lacking.append(_SPLITTING_NO_COUNTS)
    return (*lacking, *UNSEEN)


def classify(
    baseline: Sequence[LinkTelemetry],
    reports: Sequence[LinkTelemetry],
    budget: Budget = ONE_A_YEAR,
    planned: Sequence[tuple[float, float]] = (),
) -> Verdict:
    """Return what happened in `reports`, which follow `baseline`, a stretch of the same link known to be good.

    `planned` holds start and end (s) of work that was announced; what falls into it is not judged. Raises ValueError
    for an empty series, a baseline of fewer than 10 reports, and what `columns` refuses.
    """
    if len(baseline) < 10 or not reports:
        raise ValueError("a baseline needs at least 10 reports, and a series at least one")
    kept = [one for one in reports if not any(start < one.at_s <= end for start, end in planned)]
    columns([*baseline, *reports])
    if not kept:
        return Verdict(kind=Kind.PLANNED, why="all reports fall into announced work")
    made, first = columns([*baseline, *kept]), len(baseline)
    if not made.up[first:].all():
        return _down(made, first)
    drawn = charts(made, first)
    height = threshold(budget, float(np.median(made.interval_s)), len(drawn))
    alarmed = {name: chart for name, chart in drawn.items() if chart.highest > height}
    if not alarmed:
        return _still(made, first, budget, planned=len(kept) < len(reports))
    at = min(chart.first_above(height) for chart in alarmed.values())
    # the chart that sees the first change best sets the stretch: later ones may be its end, or another event
    clearest = max(alarmed.values(), key=lambda one: max(one.up[at : at + 2].max(), one.down[at : at + 2].max()))
    window, before = clearest.excursion(at)
    new = slice(first + window.start, first + window.stop)
    kind, why, also = _kind(_seen(made, slice(0, first + before), new), made, new)
    return Verdict(
        kind=kind, why=why, also=also, charts=tuple(sorted(alarmed)), since_s=float(made.at_s[first + before - 1]),
        alarm_at_s=float(made.at_s[first + at]),
    )  # fmt: skip


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


def _down(made: Columns, first: int) -> Verdict:
    """Judge reports that say the link is down: by temperature only, since nothing is counted."""
    at = first + int(np.argmin(made.up[first:]))
    warm = np.nanmax(made.temperature_c[first:]) if np.isfinite(made.temperature_c[first:]).any() else np.nan
    since_s, at_s = float(made.at_s[at - 1]), float(made.at_s[at])
    also: tuple[str, ...] = ("a cut fibre", "loss of power at either end", "work that nobody announced")
    kind, why = Kind.DOWN, "the device reports no light; the reports do not say why"
    if warm > TRIP_C:
        kind, why, also = Kind.HEAT, f"down, after {warm:.1f} C inside the receiver", ()
    return Verdict(kind=kind, why=why, also=also, charts=("up",), since_s=since_s, alarm_at_s=at_s)


def _still(made: Columns, first: int, budget: Budget, *, planned: bool) -> Verdict:
    """Judge a series without an alarm: quiet, unless the counts are right and no key comes of them."""
    dry = _dry(made, first, budget)
    if dry is not None:
        also = ("post-processing at a stop", "a pool without authentication keys")
        why = "no secret key, though the counts are as before"
        at_s = float(made.at_s[first + dry])
        return Verdict(kind=Kind.CLASSICAL_OUTAGE, why=why, also=also, charts=("key",), alarm_at_s=at_s)
    if planned:
        return Verdict(kind=Kind.PLANNED, why="nothing changed outside of announced work")
    return Verdict(kind=Kind.QUIET, why="no chart left its limits")


def _dry(made: Columns, first: int, budget: Budget) -> int | None:
    """Return the first report without key that is not chance, None if there is none.

    A link that always made plenty cannot make none by chance. One that is on the edge can: there a run of reports
    without key must be rarer than the budget, taking the baseline's share of them as their probability.
    """
    usual, empty = made.secret_rate[:first], made.secret_rate[first:] == 0
    usual = usual[np.isfinite(usual)]
    if not usual.size or not empty.any():
        return None
    if usual.mean() > (CERTAIN + 1) * usual.std():
        return int(np.argmax(empty))
    chance = (np.count_nonzero(usual == 0) + 1) / (usual.size + 2)
    a_year = YEAR_S / float(np.median(made.interval_s))
    run = int(np.ceil(np.log(budget.false_alarms_per_year / a_year) / np.log(chance)))
    runs = np.convolve(empty, np.ones(run), mode="valid") if run <= empty.size else np.zeros(0)
    whole = np.flatnonzero(runs > run - 0.5)
    return int(whole[0]) + run - 1 if whole.size else None


def _seen(made: Columns, old: slice, new: slice) -> Mapping[str, Moved]:
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
    if made.detected.shape[1] > 1:
        found["signal"], found["decoy"] = _net(made, old, new)
    return found


def _kind(seen: Mapping[str, Moved], made: Columns, new: slice) -> Found:
    """Return what the figures look like, from signs of one cause to those of many."""
    for rule in (_receiver_signs, _background_signs, _decoy_signs):
        if found := rule(seen):
            return found
    wrong = seen["qber"].up(QBER) or seen["test_qber"].up(QBER)
    if wrong and abs(seen["rate"].factor() - 1) < SAME_RATIO:
        return _error_signs(seen, made, new)
    return _loss_signs(seen)


def _receiver_signs(seen: Mapping[str, Moved]) -> Found | None:
    """Judge what points at the receiver: its clock, its current, its double clicks, its bits."""
    qber, test, rate = seen["qber"], seen["test_qber"], seen["rate"]
    if qber.after > NO_CLOCK and not test.after <= NO_CLOCK:
        why = f"QBER {qber.after:.0%}: the ends compare different pulses"
        return Kind.CLOCK_LOSS, why, ("a receiver that counts background only",)
    if seen["current"].factor() > BLIND_CURRENT and seen["current"].deviations > CERTAIN:
        why = f"detector current {seen['current'].factor():.0f} times as high, more than the clicks account for"
        if rate.factor() < BLIND_CURRENT / 2:
            return Kind.BLINDING, why, ("a fault of the receiver's power supply", "stray light out of the gates")
    steady = abs(rate.factor() - 1) < SAME_RATIO and not qber.up(QBER)
    if steady and seen["doubles"].deviations < -CERTAIN and seen["doubles"].factor() < VANISHED:
        why = "double clicks vanish while rate and QBER stay: detectors answer to someone"
        return Kind.BLINDING, why, ("a device that no longer counts double clicks",)
    if abs(seen["ones"].deviations) > CERTAIN and abs(seen["ones"].after - seen["ones"].before) > ONES:
        also = ("one detector that loses efficiency", "a gate that moved against the pulses")
        return Kind.TIME_SHIFT, f"share of ones {seen['ones'].after:.3f}, before {seen['ones'].before:.3f}", also
    return None


def _background_signs(seen: Mapping[str, Moved]) -> Found | None:
    """Judge warmth and clicks without signal."""
    vacuum, warm = seen.get("vacuum"), seen["temperature"]
    more = vacuum is not None and vacuum.deviations > CERTAIN and _explained(seen)
    if warm.up(WARM_K):
        words = f"{warm.after - warm.before:.1f} K warmer" + (", more dark counts" if more else "")
        return Kind.HEAT, words, ("background light at the same time",) if more else ()
    signal = seen.get("signal")
    if more and vacuum is not None and signal is not None and signal.factor() > 1 - SAME_RATIO:
        why = f"clicks without signal {vacuum.factor():.2f} times as often, at the same temperature"
        return Kind.BACKGROUND, why, ("Raman noise of a new classical channel", "stray light", "noisier detectors")
    return None


def _explained(seen: Mapping[str, Moved]) -> bool:
    """Return whether the clicks without signal account for the errors: half of such clicks are wrong."""
    vacuum, signal, qber = seen["vacuum"], seen["signal"], seen["qber"]
    if not signal.after > 0:
        return False
    expected = (vacuum.after - vacuum.before) * (0.5 - qber.before) / signal.after
    return qber.after - qber.before < 2 * expected + QBER


def _decoy_signs(seen: Mapping[str, Moved]) -> Found | None:
    """Judge the decoy's gain against the signal's, the background taken out."""
    decoy, signal = seen.get("decoy"), seen.get("signal")
    if decoy is None or signal is None or signal.factor() <= 0:
        return None
    ratio = decoy.factor() / signal.factor()
    if abs(ratio - 1) > DECOY_RATIO and abs(decoy.deviations) > CERTAIN:
        why = f"the decoy's gain against the signal's is {ratio:.2f} times what it was"
        return Kind.PHOTON_NUMBER_SPLITTING, why, ("an intensity that is set or measured wrong",)
    return None


def _error_signs(seen: Mapping[str, Moved], made: Columns, new: slice) -> Found:
    """Judge more errors at the same gains: at once or bit by bit, in one basis or in both."""
    one = seen["qber"] if seen["qber"].deviations >= seen["test_qber"].deviations or made.test.sum() == 0 else None
    name, moved = ("qber", one) if one else ("test_qber", seen["test_qber"])
    why = f"QBER {moved.after:.2%}, before {moved.before:.2%}, at the same gains"
    risen = [seen[name].up(QBER) for name in ("qber", "test_qber")]
    if not all(risen) and made.test.sum() > 0:
        weaker = min((seen["qber"], seen["test_qber"]), key=lambda x: x.after - x.before)
        if weaker.after - weaker.before < (moved.after - moved.before) / 4:
            also = ("misalignment of one basis in the receiver",)
            return Kind.INTERCEPT_RESEND, why + f", in one basis only ({name})", also
    if _gradual(made, name, moved, new):
        return Kind.POLARISATION_DRIFT, why + ", bit by bit", ("intercept-resend that grows as slowly",)
    return Kind.INTERCEPT_RESEND, why + ", at once", ("polarisation turned at once, as when a fibre is touched",)


def _loss_signs(seen: Mapping[str, Moved]) -> Found:
    """Judge fewer clicks."""
    rate, loss = seen.get("signal", seen["rate"]), seen["loss"]
    if rate.factor() <= 0:
        return Kind.DOWN, "no clicks of signal", ("a cut fibre", "a source that is off")
    lost_db = -10 * np.log10(rate.factor())
    if lost_db > 0 and rate.deviations < -CERTAIN:
        why = f"gains down by {lost_db:.2f} dB, all intensities alike"
        if np.isfinite(loss.deviations) and not loss.up(lost_db / 4):
            return Kind.DETECTOR_DEGRADATION, why + "; the fibre's loss is as before", ("time-shift with equal clicks",)
        known = "; the fibre's loss rose too" if np.isfinite(loss.deviations) else ""
        also = ("a tap on the fibre", "ageing connectors", "time-shift with equal clicks")
        return Kind.FIBRE_LOSS, why + known, also if known else (*also, "detectors that lose efficiency")
    if loss.up(0.05):
        return Kind.FIBRE_LOSS, f"loss up by {loss.after - loss.before:.2f} dB, gains as before", ()
    return Kind.UNKNOWN, "figures moved in a way that fits no known cause", ()


def _gradual(made: Columns, name: str, moved: Moved, new: slice) -> bool:
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


def _sums(part: Values, whole: Values, rows: slice) -> tuple[float, float]:
    known = np.isfinite(part[rows]) & np.isfinite(whole[rows])
    return float(part[rows][known].sum()), float(whole[rows][known].sum())
