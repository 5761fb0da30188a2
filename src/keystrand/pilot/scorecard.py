"""Samples to estimates, and estimates against the criteria fixed before the pilot. Not measured is never met."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, structs

from keystrand.formats.wording import plain_number, value_text
from keystrand.model.pilot import Criteria
from keystrand.model.stages import CriterionResult, CriterionState
from keystrand.model.units import Estimate

NOT_MEASURED = "not measured"
_NO_VALUE = "the campaign brought no value"


class Samples(Struct, frozen=True, kw_only=True):
    """What a campaign measured, as plain numbers; an empty tuple or None was not measured.

    `secret_key_rates_bits_per_s`: one value for each interval watched while the link was up. `handshakes`: attempts.
    `recovery_s` is None where no key came back; `waited_for_recovery_s` then says how long it was waited for.
    `unmeasured`: why something is missing, by the name of its criterion.
    """

    secret_key_rates_bits_per_s: tuple[float, ...] = ()
    handshakes_ms: tuple[float, ...] = ()
    enc_keys_ms: tuple[float, ...] = ()
    dec_keys_ms: tuple[float, ...] = ()
    recovery_s: float | None = None
    waited_for_recovery_s: float = 0.0
    handshakes: int = 0
    failed_handshakes: int = 0
    unmeasured: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.failed_handshakes <= self.handshakes:
            raise ValueError("failed handshakes are counted among the handshakes")


def estimate(samples: Sequence[float], unit: str, *, simulated: bool) -> Estimate:
    """Return the median with the 5th to 95th percentile. No samples: sample size 0 and the spread `not measured`.

    Raises `ValueError` where a sample is not a finite number.
    """
    if not samples:
        return Estimate(value=0, low=0, high=0, sample_size=0, unit=unit, simulated=simulated, spread=NOT_MEASURED)
    values = np.asarray(samples, dtype=np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError("a sample is not a finite number")
    low, middle, high = (float(x) for x in np.percentile(values, (5, 50, 95)))
    return Estimate(value=middle, low=low, high=high, sample_size=len(samples), unit=unit, simulated=simulated)


def _result(name: str, goal: str, measured: Estimate, *, met: bool, why_not: str) -> CriterionResult:
    if not measured.sample_size:
        return CriterionResult(name=name, goal=goal, state=CriterionState.NOT_MEASURED, measured=None, reason=why_not)
    state = CriterionState.MET if met else CriterionState.MISSED
    return CriterionResult(name=name, goal=goal, state=state, measured=measured)


def _recovery(criteria: Criteria, samples: Samples, why_not: str) -> CriterionResult:
    name, goal = "recovery after a cut", f"at most {plain_number(criteria.recovery_max_s)} s"
    waited_s = samples.waited_for_recovery_s
    if samples.recovery_s is None and waited_s > criteria.recovery_max_s:
        # to wait longer than the limit for something that never came is an answer, and the answer is no
        never = f"no key came back within {plain_number(waited_s, 3)} s"
        return CriterionResult(name=name, goal=goal, state=CriterionState.MISSED, measured=None, reason=never)
    measured = estimate(() if samples.recovery_s is None else (samples.recovery_s,), "s", simulated=False)
    return _result(name, goal, measured, met=measured.value <= criteria.recovery_max_s, why_not=why_not)


def _failures(criteria: Criteria, samples: Samples, why_not: str) -> CriterionResult:
    tried = samples.handshakes
    ratio = samples.failed_handshakes / tried if tried else 0.0
    measured = Estimate(
        value=ratio, low=ratio, high=ratio, sample_size=tried, unit="ratio", simulated=False, spread="all handshakes"
    )
    limit = criteria.failed_handshakes_max_ratio
    goal = f"a ratio of at most {plain_number(limit)}"
    return _result("failed handshakes", goal, measured, met=ratio <= limit, why_not=why_not)


def _delivery(criteria: Criteria, samples: Samples, why_not: str) -> CriterionResult:
    """Judge the slower side: a median over both sides together would be that of neither."""
    limit, sides = criteria.key_delivery_median_max_ms, (samples.enc_keys_ms, samples.dec_keys_ms)
    enc, dec = (estimate(side if all(sides) else (), "ms", simulated=False) for side in sides)
    worse = max(enc, dec, key=lambda side: side.value)
    goal = f"each median at most {plain_number(limit)} ms"
    result = _result("key delivery time", goal, worse, met=worse.value <= limit, why_not=why_not)
    both = f"enc_keys {value_text(enc)}, dec_keys {value_text(dec)}"
    return structs.replace(result, reason=both) if result.measured else result


def score(criteria: Criteria, samples: Samples, *, simulated: bool = True) -> tuple[CriterionResult, ...]:
    """Return how the pilot did against each of its five criteria; medians are compared, limits are inclusive.

    The key rate is `simulated` where its source is the twin; every other value is measured. Key delivery needs both
    sides, and the slower one decides; the `reason` then gives both medians.
    """
    why = dict(samples.unmeasured)
    rate = estimate(samples.secret_key_rates_bits_per_s, "bit/s", simulated=simulated)
    handshake = estimate(samples.handshakes_ms, "ms", simulated=False)
    least, slowest = criteria.secret_key_rate_min_bits_per_s, criteria.handshake_median_max_ms
    rows = (
        ("secret key rate", f"at least {plain_number(least)} bit/s", rate, rate.value >= least),
        ("handshake time", f"median at most {plain_number(slowest)} ms", handshake, handshake.value <= slowest),
    )
    return (
        *(_result(name, goal, got, met=met, why_not=why.get(name, _NO_VALUE)) for name, goal, got, met in rows),
        _delivery(criteria, samples, why.get("key delivery time", _NO_VALUE)),
        _recovery(criteria, samples, why.get("recovery after a cut", _NO_VALUE)),
        _failures(criteria, samples, why.get("failed handshakes", _NO_VALUE)),
    )
