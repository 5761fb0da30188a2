"""The models at their published anchors, and no model above its limit at random points."""

from collections.abc import Callable

import numpy as np

from bench.measure import Row, row
from bench.qkd_rows import say, within_row
from keystrand.qkd import bell_states, decoy, entangled_pairs
from keystrand.qkd import continuous_variables as cv
from keystrand.qkd.comparison import Hardware, curves, limits
from keystrand.qkd.parameter_sets import GYS_2004, GYS_LOSS_DB_PER_KM

POINTS, POINTS_A_LINK = 10_000, 100
_LODEWYCK = cv.ContinuousVariableParameters(
    modulation_variance=18.5,
    source_excess_noise=0.005,
    receiver_excess_noise=0.0,
    receiver_efficiency=0.606,
    electronic_noise=0.041,
    reconciliation_efficiency=0.898,
    detection="homodyne",
)
_LODEWYCK_TRANSMITTANCE, _LODEWYCK_NOISE, _LODEWYCK_KHZ = 0.302, 0.005, 350.0


def rows(_repeats: int) -> list[Row]:
    """Return all rows; nothing here depends on time."""
    say("models")
    return [*_reach(), *_lodewyck(), *_thresholds(), *_bounds()]


def _reach() -> list[Row]:
    return [
        within_row(f"GYS reach, {words}", round(_reach_km(infinite), 2), "km", published, 0.1)
        for words, infinite, published in (("infinitely many decoys", True, 142.0), ("two decoys", False, 140.6))
    ]


def _reach_km(infinite_decoys: bool) -> float:  # noqa: FBT001  # a curve's kind, passed on
    km = np.arange(120.0, 160.0, 0.01)
    made = decoy.secret_fraction(GYS_2004.hardware, km * GYS_LOSS_DB_PER_KM, infinite_decoys=infinite_decoys)
    return float(km[made > 0].max())


def _lodewyck() -> list[Row]:
    known = cv.information(_LODEWYCK, _LODEWYCK_TRANSMITTANCE, _LODEWYCK_NOISE)
    key = cv.secret_fraction(_LODEWYCK, -10.0 * np.log10(_LODEWYCK_TRANSMITTANCE))
    published = (
        ("shared by Alice and Bob", known.shared, 365.0, 0.5),
        ("known to Eve", known.eve, 316.0, 0.5),
        ("secret key", key, 12.3, 0.05),
    )
    return [
        within_row(f"Lodewyck 2007, three digits: {what}", round(float(bits) * _LODEWYCK_KHZ, 3), "kbit/s", rate, half)
        for what, bits, rate, half in published
    ]


def _thresholds() -> list[Row]:
    return [
        within_row("largest QBER with key, CHSH", _threshold(_werner(by_chsh=True)), "%", 7.149, 5e-4),
        within_row("largest QBER with key, BB84", _threshold(_werner(by_chsh=False)), "%", 11.003, 5e-4),
        within_row("largest QBER with key, six states", _threshold(_six_states), "%", 12.619, 5e-4),
    ]


def _six_states(qber: float) -> float:
    return 1.0 - float(decoy.binary_entropy(qber) + entangled_pairs.six_state_price(qber))


def _werner(*, by_chsh: bool) -> Callable[[float], float]:
    return lambda qber: float(bell_states.secret_fraction(bell_states.werner(1.0 - 2.0 * qber), by_chsh=by_chsh))


def _threshold(fraction: Callable[[float], float]) -> float:
    """Return the largest error ratio, in per cent, at which the secret fraction is above 0."""
    low, high = 0.01, 0.2
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if fraction(middle) > 0 else (low, middle)
    return round(100.0 * low, 5)


def _bounds() -> list[Row]:
    rng, above, points = np.random.default_rng(1), 0, 0
    while points < POINTS:
        hardware, loss = _random_hardware(rng), rng.uniform(0.05, 80.0, POINTS_A_LINK)
        plob, repeater = (one.bits_per_pulse for one in limits(loss))
        for one in curves(hardware, loss):
            bound = (repeater if one.id == "twin-field" else plob) * one.modes
            above += int(np.count_nonzero(~(one.bits_per_pulse <= bound)))
        points += POINTS_A_LINK
    name = (
        f"{points:,} random points: values of any model above its limit (PLOB; twin-field: one repeater), or no number"
    )
    return [row(name, [above], "", peer="PLOB bound", goal=0)]


def _random_hardware(rng: np.random.Generator) -> Hardware:
    return Hardware(
        id="random",
        name="random",
        source="drawn",
        pulse_rate_hz=1e9,
        receiver_efficiency=float(rng.uniform(0.01, 1.0)),
        dark_count_ratio=float(10.0 ** rng.uniform(-10, -4)),
        misalignment=float(rng.uniform(0.0, 0.1)),
        correction_efficiency=float(rng.uniform(1.0, 1.3)),
    )
