"""The success criteria of the target state. Bounds of a declared pilot come first; the others are proposals."""

from collections.abc import Iterator
from typing import NamedTuple

from keystrand.model.estate import Continuity, Segment, System
from keystrand.model.pilot import Criteria, Pilot
from keystrand.model.stages.targeted import CriterionKind, SuccessCriterion

PROPOSED = "proposed by keystrand, to be set by the organisation"
_BOTH = ("pilot", "operations")


class _Bound(NamedTuple):
    """A bound with its unit; one of the two ends is None."""

    at_least: float | None
    at_most: float | None
    unit: str


_SECONDS = {
    CriterionKind.ROTATION: 3600.0,
    CriterionKind.KEY_AGE: 86_400.0,
    CriterionKind.FAILOVER: 60.0,
    CriterionKind.RECOVERY: 300.0,
}
"""Proposed bounds in seconds: a fresh key at least every hour, as IPsec renews by default; no key kept unused for more
than a day; traffic on its fallback within a minute; fresh quantum keys within five minutes after a cut is mended."""
ROLLBACK_S = 4 * 3600.0
"""Proposed: a system is back on the profile it had before within half a working day."""
_ALL = _Bound(1.0, None, "ratio")


def for_segment(segment: Segment, pilot: Pilot | None) -> Iterator[SuccessCriterion]:
    """Yield the criteria of a segment with a quantum link; `pilot` is the one that the estate declares on it."""
    bounds = {kind: _Bound(None, seconds, "s") for kind, seconds in _SECONDS.items()}
    if segment.continuity is Continuity.MAY_WAIT:
        # traffic that may wait has no second source to go over to
        del bounds[CriterionKind.FAILOVER]
    bounds[CriterionKind.AUDIT] = _ALL
    agreed = _agreed(pilot.criteria) if pilot else {}
    yield from (
        _criterion(f"segment/{segment.id}", kind, bound, _BOTH, f"pilot {pilot.id}" if pilot and kind in agreed else "")
        for kind, bound in (bounds | agreed).items()
    )


def _agreed(criteria: Criteria) -> dict[CriterionKind, _Bound]:
    return {
        CriterionKind.RECOVERY: _Bound(None, criteria.recovery_max_s, "s"),
        CriterionKind.KEY_RATE: _Bound(criteria.secret_key_rate_min_bits_per_s, None, "bit/s"),
        CriterionKind.HANDSHAKE: _Bound(None, criteria.handshake_median_max_ms, "ms"),
        CriterionKind.KEY_DELIVERY: _Bound(None, criteria.key_delivery_median_max_ms, "ms"),
        CriterionKind.FAILED_HANDSHAKES: _Bound(None, criteria.failed_handshakes_max_ratio, "ratio"),
    }


def for_system(system: System) -> Iterator[SuccessCriterion]:
    """Yield the criteria of a system that becomes post-quantum."""
    safe = "a new scan finds nothing quantum-vulnerable that is still accepted"
    subject = f"system/{system.id}"
    yield _criterion(subject, CriterionKind.QUANTUM_SAFE, _ALL, ("inventory",), safe)
    yield _criterion(subject, CriterionKind.AUDIT, _ALL, ("operations",), "")
    yield _criterion(subject, CriterionKind.RECOVERY, _Bound(None, ROLLBACK_S, "s"), ("operations",), "")


def _criterion(
    subject: str, kind: CriterionKind, bound: _Bound, measured_by: tuple[str, ...], basis: str
) -> SuccessCriterion:
    return SuccessCriterion(
        id=f"{subject}/{kind}",
        subject=subject,
        kind=kind,
        at_least=bound.at_least,
        at_most=bound.at_most,
        unit=bound.unit,
        measured_by=measured_by,
        basis=basis or PROPOSED,
        assumed=not basis,
    )
