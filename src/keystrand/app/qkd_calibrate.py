"""Fit a link's model to its telemetry, say whether it explains it, and predict other distances."""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from keystrand.edge.toml_files import read_text
from keystrand.formats.telemetry_text import read_telemetry
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.calibration import Fit, fit, predict
from keystrand.qkd.calibration_series import MIN_REPORTS, Series, series
from keystrand.qkd.calibration_verdict import Foretold, foretold, verdict
from keystrand.qkd.distillation import Distillation

SEED = 1
"""Of the draws behind an interval: the same file gives the same figures."""


class CalibratedDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a device: its link, and how it distils."""

    link: Bb84Link
    distillation: Distillation = Distillation()


def calibrate(
    device_file: Path, telemetry_file: Path, *, predict_db: tuple[float, ...] = (), hold_out: float = 0.0
) -> dict[str, Any]:
    """Return the fit, its verdict, what it foretold of the held-out part, and predictions.

    Raises `InvalidInput` for files that cannot be read, series that cannot be fitted, and options out of range.
    """
    if not 0 <= hold_out <= 0.9 or any(not 0 < one <= 200 for one in predict_db):
        raise InvalidInput(
            "hold out 0 to 0.9 of the series, and predict at losses above 0 to 200 dB", hint="nothing was fitted"
        )
    device = read_toml(
        read_text(device_file, what="the device").text, CalibratedDevice, file=str(device_file), what="the device"
    )
    reports = read_telemetry(read_text(telemetry_file, what="the telemetry").text, file=str(telemetry_file))
    try:
        whole = series(reports)
        kept = max(MIN_REPORTS, whole.at_s.size - round(hold_out * whole.at_s.size))
        made = fit(whole.part(0, kept), device.link, device.distillation)
    except ValueError as error:
        raise InvalidInput(
            f"{telemetry_file} cannot be fitted: {error}", hint="docs/howto/calibrate-a-link.md says what a fit needs"
        ) from error
    return _value(made, whole, kept, predict_db)


def _value(made: Fit, whole: Series, kept: int, predict_db: tuple[float, ...]) -> dict[str, Any]:
    judged = verdict(made)
    told = foretold(made, whole.part(kept, whole.at_s.size)) if kept < whole.at_s.size else None
    return {
        "simulated": True,
        "reports": int(whole.at_s.size),
        "fitted_reports": kept,
        "explained": judged.explained,
        "reasons": list(judged.reasons),
        "free_parameters": len(made.names),
        "parameters": _parameters(made),
        "channels": [one.name for one in made.series.channels],
        "foretold": _foretold(told) if told else [],
        "predictions": [_prediction(made, loss) for loss in predict_db],
    }


def _parameters(made: Fit) -> list[dict[str, Any]]:
    rows = []
    for name, value in made.parameters._asdict().items():
        fitted = name in made.names
        sigma = float(made.sigmas[made.names.index(name)]) if fitted else None
        rows.append({"parameter": name, "value": float(value), "sigma": sigma, "fitted": fitted})
    return rows


def _foretold(told: Foretold) -> list[dict[str, Any]]:
    return [
        {"channel": name, "coverage_of_90": share, "median_miss": told.median_miss[name]}
        for name, share in told.coverage.items()
    ]


def _prediction(made: Fit, loss_db: float) -> dict[str, Any]:
    one = predict(made, loss_db, rng=np.random.default_rng(SEED))
    return {"loss_db": loss_db, "secret_bits_per_s": one.secret_bits_per_s, "low": one.low, "high": one.high}
