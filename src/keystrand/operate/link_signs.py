"""What a link's reports say happened to it: nothing, a fault, or signs of an attack; and what no report can show.

Only what a device reports is used, never the truth of a simulation. First the charts say *that* something changed,
within a budget of false alarms. Then the stretch that changed most is compared with all before it, and the kind follows
from which figures moved together. Several causes may give the same figures: `also` names them, and where nothing fits,
the kind is unknown. The budget covers chance in the counts alone. A link that changes with its weather will alarm, and
rightly so: such an alarm is a change, not a mistake.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from keystrand.model.telemetry import LinkTelemetry
from keystrand.operate.link_charts import ONE_A_YEAR, YEAR_S, Budget, Columns, charts, columns, threshold
from keystrand.operate.link_kinds import ATTACKS, NEED_VACUUM, Kind, kind_of
from keystrand.operate.link_moves import CERTAIN, moves

TRIP_C = 38.0
"""A device that went down this warm or warmer is taken to have shut itself down."""


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
    lit = [one for one in kept if one.up]
    said = _judged([*baseline, *lit], len(baseline), budget, planned=len(kept) < len(reports)) if lit else None
    if len(lit) == len(kept) and said is not None:
        return said
    down = _down(columns([*baseline, *kept]), len(baseline))
    if said is None or said.kind in (Kind.QUIET, Kind.PLANNED):
        return down
    if said.kind in ATTACKS:
        return msgspec.structs.replace(said, why=said.why + "; the link was down as well")
    return msgspec.structs.replace(down, why=f"{down.why}; while it was up: {said.kind} ({said.why})")


def _judged(reports: Sequence[LinkTelemetry], first: int, budget: Budget, *, planned: bool) -> Verdict:
    """Judge the reports from `first` on of a link that is up in all of them."""
    made = columns(reports)
    drawn = charts(made, first)
    height = threshold(budget, float(np.median(made.interval_s)), len(drawn))
    alarmed = {name: chart for name, chart in drawn.items() if chart.highest > height}
    if not alarmed:
        return _still(made, first, budget, planned=planned)
    at = min(chart.first_above(height) for chart in alarmed.values())
    # the chart that sees the first change best sets the stretch: later ones may be its end, or another event
    clearest = max(alarmed.values(), key=lambda one: max(one.up[at : at + 2].max(), one.down[at : at + 2].max()))
    window, before = clearest.excursion(at)
    new = slice(first + window.start, first + window.stop)
    kind, why, also = kind_of(moves(made, slice(0, first + before), new), made, new)
    if not made.clear_vacuum and kind in NEED_VACUUM:
        also = (*also, "background light or noisier detectors: only a vacuum intensity would tell")
    return Verdict(
        kind=kind,
        why=why,
        also=also,
        charts=tuple(sorted(alarmed)),
        since_s=float(made.at_s[first + before - 1]),
        alarm_at_s=float(made.at_s[first + at]),
    )


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
