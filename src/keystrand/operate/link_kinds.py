"""What the figures of a link look like when they have moved: the rules, from signs of one cause to those of many."""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from keystrand.operate.link_charts import Columns
from keystrand.operate.link_moves import CERTAIN, Moved, gradual

SAME_RATIO = 0.03
"""Gains this close count as unchanged: dead time and background move them so far without an attack."""
DECOY_RATIO = 0.02
"""A change of the decoy's share beyond this is none of loss, dead time or background."""
ONES = 0.003
QBER = 0.0005
MORE_ERRORS = 0.002
LOSS_DB = 0.05
BLIND_CURRENT = 3.0
VANISHED = 0.3
WARM_K = 2.0
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


NEED_VACUUM = frozenset({Kind.INTERCEPT_RESEND, Kind.PHOTON_NUMBER_SPLITTING, Kind.POLARISATION_DRIFT, Kind.UNKNOWN})
"""What background clicks can be taken for on a link without a vacuum intensity."""

Found = tuple[Kind, str, tuple[str, ...]]
"""A kind, why, and what else gives the same figures."""


def kind_of(seen: Mapping[str, Moved], made: Columns, new: slice) -> Found:
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
    more = vacuum is not None and vacuum.deviations > CERTAIN and not seen["optics"].up(QBER)
    if warm.up(WARM_K):
        words = f"{warm.after - warm.before:.1f} K warmer" + (", more dark counts" if more else "")
        return Kind.HEAT, words, ("background light at the same time",) if more else ()
    signal = seen.get("signal")
    if more and vacuum is not None and signal is not None and abs(signal.factor() - 1) < SAME_RATIO:
        why = f"clicks without signal {vacuum.factor():.2f} times as often, at the same temperature"
        return Kind.BACKGROUND, why, ("Raman noise of a new classical channel", "stray light", "noisier detectors")
    return None


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
    if gradual(made, name, moved, new):
        return Kind.POLARISATION_DRIFT, why + ", bit by bit", ("intercept-resend that grows as slowly",)
    return Kind.INTERCEPT_RESEND, why + ", at once", ("polarisation turned at once, as when a fibre is touched",)


def _loss_signs(seen: Mapping[str, Moved]) -> Found:
    """Judge more or fewer clicks, and what is left over."""
    rate, loss = seen.get("signal", seen["rate"]), seen["loss"]
    if rate.factor() <= 0:
        return Kind.DOWN, "no clicks of signal", ("a cut fibre", "a source that is off")
    lost_db = -10 * float(np.log10(rate.factor()))
    if lost_db > 0 and rate.deviations < -CERTAIN:
        return _less_light(seen, lost_db)
    if lost_db < 0 and rate.deviations > CERTAIN:
        why = f"gains up by {-lost_db:.2f} dB, which no fault here explains"
        return Kind.UNKNOWN, why, ("a source set too strong, or seeded with light by Eve", "a fibre repaired")
    if loss.up(LOSS_DB):
        return Kind.FIBRE_LOSS, f"loss up by {loss.after - loss.before:.2f} dB, gains as before", ()
    return Kind.UNKNOWN, "figures moved in a way that fits no known cause", ()


def _less_light(seen: Mapping[str, Moved], lost_db: float) -> Found:
    """Judge gains that are down by `lost_db`: in the fibre, in the detectors, or with more errors than either makes."""
    loss = seen["loss"]
    why = f"gains down by {lost_db:.2f} dB, all intensities alike"
    if "optics" in seen and seen["optics"].up(MORE_ERRORS):
        why += f", and {seen['optics'].after - seen['optics'].before:.2%} more errors than that explains"
        return Kind.UNKNOWN, why, ("intercept-resend behind a loss", "a fibre that is bent and turned at once")
    if np.isfinite(loss.deviations) and not loss.up(lost_db / 4):
        return Kind.DETECTOR_DEGRADATION, why + "; the fibre's loss is as before", ("time-shift with equal clicks",)
    known = np.isfinite(loss.deviations)
    worn = () if known else ("detectors that lose efficiency",)
    also = ("a tap on the fibre", "ageing connectors", "time-shift with equal clicks", *worn)
    return Kind.FIBRE_LOSS, why + ("; the fibre's loss rose too" if known else ""), also
