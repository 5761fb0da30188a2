"""What a quantum link could give: every protocol at a distance, over distances, and on the segments of an estate."""

from typing import Any, NamedTuple

import msgspec
import numpy as np

from keystrand.app.estate import OpenEstate
from keystrand.formats.charts_bars import Bar, bar_chart
from keystrand.formats.charts_curves import Line, curve_chart
from keystrand.formats.decode import dotted, faults_of
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Segment
from keystrand.model.link import LinkParameters
from keystrand.plan.physics import MOST_LOSS_DB, worst_span
from keystrand.qkd import decoy
from keystrand.qkd.channel import Fibre, loss_db
from keystrand.qkd.coexistence import Classical, Gate, raman_yield
from keystrand.qkd.comparison import HARDWARE, Curve, Hardware, curves, decoy_link, limits
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

POINTS = 401
"""Of a drawn curve."""
ROWS = 20
"""Steps of a table where none are asked for."""
REACH_STEP_DB = 0.05


class Distances(NamedTuple):
    """From `start_km` to `stop_km`, both included where the step fits."""

    start_km: float
    stop_km: float
    step_km: float


def distances(words: str) -> Distances:
    """Return what "0:400" or "0:400:10" says, in km. Raises `InvalidInput`."""
    hint = "write START:STOP or START:STOP:STEP in km, for instance 0:400:25"
    try:
        numbers = [float(word) for word in words.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not np.all(np.isfinite(numbers)):
        raise InvalidInput(f"{words!r} is no range of distances", hint=hint)
    start, stop = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else (stop - start) / ROWS
    if not 0 <= start < stop or step <= 0 or (stop - start) / step > 100_000:
        raise InvalidInput(f"{words!r} is no range of distances: it must rise from 0 or more, in steps", hint=hint)
    return Distances(start, stop, step)


def hardware(name: str) -> Hardware:
    """Return the hardware called `name`. Raises `InvalidInput` with the names there are."""
    if name not in HARDWARE:
        raise InvalidInput(f"no hardware is called {name!r}", hint=f"there are: {', '.join(HARDWARE)}")
    return HARDWARE[name]


def fibre(attenuation_db_per_km: float, connectors: int = 2) -> Fibre:
    """Return a fibre of no length yet. Raises `InvalidInput` for an attenuation that no fibre has."""
    raw = {"length_km": 0.0, "attenuation_db_per_km": attenuation_db_per_km, "connectors": connectors}
    _demand_possible(raw, Fibre, "this fibre", "0.2 dB/km and 2 connectors are usual")
    return msgspec.convert(raw, Fibre)


def loss_of(path: Fibre, length_km: float) -> float:
    """Return the loss of `length_km` of this fibre. Raises `InvalidInput` for a length that cannot be."""
    if not 0 <= length_km <= 10_000:
        raise InvalidInput(f"a distance of {length_km:g} km cannot be", hint="give 0 to 10,000 km")
    return float(loss_db(path, length_km))


def lit(made: Hardware, classical: tuple[float, float], path: Fibre, length_km: float) -> Hardware:
    """Return the hardware with the Raman noise of classical channels in the same fibre added to its dark counts.

    `classical`: launched power in mW along with the photons, and against them. Half of the noise falls on each
    detector. Raises `InvalidInput` for powers that cannot be.
    """
    raw = {"co_propagating_mw": classical[0], "counter_propagating_mw": classical[1]}
    _demand_possible(raw, Classical, "these powers", "give 0 to 10,000 mW; 1 mW is 0 dBm")
    launched = msgspec.convert(raw, Classical)
    gate = Gate(efficiency=made.receiver_efficiency)
    added = float(raman_yield(launched, gate, length_km, path.attenuation_db_per_km)) / 2
    dark = made.dark_count_ratio
    return msgspec.structs.replace(made, dark_count_ratio=dark + added - dark * added)


def compare_rows(span: Distances, path: Fibre, made: Hardware) -> list[dict[str, Any]]:
    """Return one row a distance: the loss, and secret bits a pulse by protocol and bound."""
    km = np.arange(span.start_km, span.stop_km + span.step_km * 1e-9, span.step_km)
    lost = _within_reach(loss_db(path, km))
    lines = (*curves(made, lost), *limits(lost))
    return [
        {"distance_km": round(float(km[n]), 6), "loss_db": round(float(lost[n]), 6)}
        | {one.id: float(one.bits_per_pulse[n]) for one in lines}
        for n in range(km.size)
    ]


def compare_value(span: Distances, path: Fibre, made: Hardware) -> dict[str, Any]:
    """Return the rows with everything they rest on: hardware, fibre, and each curve's model and source."""
    about = (*curves(made, np.array([10.0])), *limits(np.array([10.0])))
    return {
        "simulated": True,
        "unit": "secret bits per pulse",
        "hardware": made,
        "fibre": path,
        "curves": [
            {"id": c.id, "name": c.name, "model": c.model, "source": c.source, "tuned": c.tuned, "modes": c.modes}
            for c in about
        ],
        "rows": compare_rows(span, path, made),
    }


def compare_chart(span: Distances, path: Fibre, made: Hardware) -> str:
    """Return the comparison as an SVG file."""
    km = np.linspace(span.start_km, span.stop_km, POINTS)
    lost = _within_reach(loss_db(path, km))
    bounds = limits(lost)
    lines = [Line(c.name, km.tolist(), c.bits_per_pulse.tolist(), limit=True) for c in bounds]
    lines += [Line(c.name, km.tolist(), c.bits_per_pulse.tolist()) for c in curves(made, lost)]
    return curve_chart(
        lines,
        title=f"Secret key against distance: models for {made.name}",
        x_label=f"Fibre between the users, km ({path.attenuation_db_per_km:g} dB/km, {path.fixed_db:g} dB fixed)",
        y_label="Secret bits per pulse, at the best intensity for each distance",
        notes=(
            "Models with assumed hardware, not measurements. Infinitely long keys unless a curve says otherwise.",
            "Limits are per optical mode; entangled pairs and measurement-device-independent pulses hold two modes.",
        ),
    )


def rate_rows(lost_db: float, made: Hardware) -> list[dict[str, Any]]:
    """Return one row a protocol at one loss: secret bits a pulse and a second, and the share of the limit."""
    lost = _within_reach(np.array([lost_db]))
    plob, repeater = (float(one.bits_per_pulse[0]) for one in limits(lost))
    return [_rate_row(one, made, plob, repeater) for one in curves(made, lost)]


def _rate_row(curve: Curve, made: Hardware, plob: float, repeater: float) -> dict[str, Any]:
    bits = float(curve.bits_per_pulse[0])
    limit = (repeater if curve.id == "twin-field" else plob) * curve.modes
    return {
        "protocol": curve.id,
        "name": curve.name,
        "bits_per_pulse": bits,
        "bits_per_s": bits * made.pulse_rate_hz,
        "share_of_limit": bits / limit,
        "tuned": curve.tuned,
        "model": curve.model,
        "source": curve.source,
    }


def limiting_words(lost_db: float, made: Hardware) -> str:
    """Return what limits decoy-state BB84 at a loss, at its best signal intensity."""
    link = decoy_link(made, lost_db)
    best = decoy.optimal_signal_intensity(link)
    return decoy.limited_by(msgspec.structs.replace(link, signal_intensity=best))


def budget_rows(opened: OpenEstate, segment: str = "") -> list[dict[str, Any]]:
    """Return one row a segment: its worst span, the loss to spare, the modelled rate against the demand, and what
    limits it. Raises `InvalidInput` for a segment the estate does not have."""
    names = [one.id for one in opened.estate.segment]
    if segment and segment not in names:
        raise InvalidInput(f"no segment is called {segment!r}", hint=f"the estate has: {', '.join(names)}")
    sites = {site.id: site for site in opened.estate.site}
    reach = reach_db(PLANNING_1GHZ.at(10.0))
    chosen = [one for one in opened.estate.segment if segment in ("", one.id)]
    return [_budget_row(one, sites, reach) for one in chosen]


def _budget_row(segment: Segment, sites: dict[str, Any], reach: float) -> dict[str, Any]:
    span = worst_span(segment, sites)
    within = 0 < span.loss_db <= MOST_LOSS_DB
    made = decoy.rate(PLANNING_1GHZ.at(span.loss_db)) if within else None
    rate = made.secret_key_rate_bits_per_s if made else 0.0
    return {
        "segment": segment.id,
        "span": span.how,
        "length_km": span.length_km,
        "loss_db": span.loss_db,
        "loss_basis": segment.loss_basis.value,
        "reach_db": reach,
        "to_spare_db": reach - span.loss_db,
        "qber": made.qber if made else None,
        "bits_per_s": rate,
        "demand_bits_per_s": segment.key_demand_bits_per_s,
        "covers_demand": rate >= segment.key_demand_bits_per_s if rate else False,
        "limited_by": made.limited_by if made else "no loss is declared, or it is beyond any link",
        "model": decoy.MODEL,
        "hardware": PLANNING_1GHZ.name,
    }


def budget_chart(rows: list[dict[str, Any]]) -> str:
    """Return the budget as an SVG file: the loss of each segment's worst span, against the reach of the hardware."""
    bars = [
        Bar(
            row["segment"],
            0.0,
            row["loss_db"],
            f"{row['loss_db']:.1f} dB {row['loss_basis']}, "
            + (f"{row['to_spare_db']:.1f} to spare" if row["to_spare_db"] > 0 else "out of reach"),
            "good" if row["to_spare_db"] > 0 else "bad",
        )
        for row in rows
    ]
    reach = rows[0]["reach_db"] if rows else 0.0
    return bar_chart(
        bars,
        title="Loss budget of the worst span of each segment",
        axis="Loss, dB",
        limit=(reach, f"reach {reach:.1f} dB"),
        notes=(f"Reach by a model with assumed hardware: {PLANNING_1GHZ.name}. An assumed loss wants a measurement.",),
    )


def reach_db(link: LinkParameters) -> float:
    """Return the largest channel loss at which the link still makes key, to 0.05 dB; 0 where it never does."""
    losses = np.arange(REACH_STEP_DB, MOST_LOSS_DB, REACH_STEP_DB)
    keyed = np.flatnonzero(decoy.secret_fraction(link, losses) > 0)
    return float(losses[keyed[-1]]) if keyed.size else 0.0


def _within_reach(lost_db: Any) -> Any:
    """Return losses a curve can be drawn for. Raises `InvalidInput` where there is none or far too much."""
    lost = np.asarray(lost_db, dtype=np.float64)
    if not np.all(np.isfinite(lost)) or np.any(lost <= 0) or np.any(lost > MOST_LOSS_DB):
        raise InvalidInput(
            f"the loss must lie above 0 and not above {MOST_LOSS_DB:g} dB everywhere",
            hint="give a shorter distance; a channel without any loss has no limit",
        )
    return lost


def _demand_possible(raw: dict[str, Any], kind: type, what: str, hint: str) -> None:
    """Raise `InvalidInput` in words where `raw` is no `kind`."""
    if faults := list(faults_of(raw, kind)):
        words = "; ".join(f"{dotted(one.path)}: {one.message}" for one in faults)
        raise InvalidInput(f"{what} cannot be: {words}", hint=hint)
