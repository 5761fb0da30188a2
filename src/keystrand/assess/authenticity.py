"""How long a signature could be forged: authenticity, apart from confidentiality.

Nothing of it is harvested: a forgery needs the quantum computer first, and a verifier that still believes the old
algorithm after it. So what counts is not when the signer changes but when the last verifier stops, from the last of its
issuers on: M_eff = max(own change, M_eff of every trust anchor, what devices in the field go on trusting). A leaf that
changes before its root changes nothing. Code and firmware are the grave case: trusted now, forged later.
"""

from collections.abc import Mapping
from datetime import date
from graphlib import TopologicalSorter
from typing import NamedTuple

import numpy as np

from keystrand.assess.exposure import Horizons, stops_within
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate, Place, System
from keystrand.model.horizon import forgeable, years_between
from keystrand.model.stages import Finding, Forgeable, Trusted
from keystrand.model.trust import anchors_of
from keystrand.model.units import Answer, Interval

_DIGITS = 6
_NEVER = Interval(low=0.0, high=0.0)
_TRUSTED_FOR = {Place.CODE_SIGNING: Trusted.CODE_SIGNING, Place.FIRMWARE: Trusted.FIRMWARE}


class _Trust(NamedTuple):
    """Until when signatures of a system are trusted under the old algorithm, and who keeps that alive longest."""

    until: Interval
    held_by: tuple[str, ...]


def forgeables(estate: Estate, findings: tuple[Finding, ...], horizons: Horizons, as_of: date) -> tuple[Forgeable, ...]:
    """Return, for each system that signs, until when it is trusted and how long it could be forged; estate's order."""
    judged = {f.system: f for f in findings if f.function is Function.SIGNATURE}
    own = {s.id: own_change(s, judged[s.id], as_of) for s in estate.system if s.id in judged}
    trusts = _trusts(estate, own, as_of)
    years = dict(zip(own, _service_years([trusts[name].until for name in own], horizons), strict=True))
    return tuple(
        Forgeable(
            system=system.id,
            trusted_for=_TRUSTED_FOR.get(system.place, Trusted.SIGNATURE),
            own_change_years=own[system.id],
            trusted_until_years=trusts[system.id].until,
            held_by=trusts[system.id].held_by,
            service_years=years[system.id],
            verdict=judged[system.id].verdict,
        )
        for system in estate.system
        if system.id in judged
    )


def own_change(system: System, finding: Finding, as_of: date) -> Interval:
    """Return the years until `system` itself makes and accepts no old signature: 0 where it is known to be safe."""
    stops = stops_within(system, as_of)
    if finding.verdict is Verdict.QUANTUM_VULNERABLE:
        return stops
    if finding.verdict is Verdict.QUANTUM_SAFE and finding.classical_still_accepted is Answer.NO:
        return _NEVER
    return Interval(low=0.0, high=stops.high)


def _trusts(estate: Estate, own: Mapping[str, Interval], as_of: date) -> dict[str, _Trust]:
    systems = {system.id: system for system in estate.system}
    anchors = anchors_of(estate)
    trusts: dict[str, _Trust] = {}
    for name in TopologicalSorter(anchors).static_order():
        above = [trusts[anchor] for anchor in anchors[name]]
        trusts[name] = _longest([_itself(systems[name], own.get(name, _NEVER), as_of), *above])
    return trusts


def _itself(system: System, own: Interval, as_of: date) -> _Trust:
    """Return the trust that ends with the system itself, or with devices in the field that cannot be changed."""
    field = years_between(as_of, system.verifiers_until) if system.verifiers_until else 0.0
    if field <= own.high:
        return _Trust(Interval(low=max(own.low, round(field, _DIGITS)), high=own.high), (system.id,))
    return _Trust(Interval(low=round(field, _DIGITS), high=round(field, _DIGITS)), (f"verifiers of {system.id}",))


def _longest(trusts: list[_Trust]) -> _Trust:
    low, high = max(t.until.low for t in trusts), max(t.until.high for t in trusts)
    last = [name for trust in trusts if trust.until.high == high for name in trust.held_by]
    return _Trust(Interval(low=low, high=high), tuple(dict.fromkeys(last)))


def _service_years(until: list[Interval], horizons: Horizons) -> list[Interval]:
    low, high = np.array([(one.low, one.high) for one in until], dtype=float).reshape(-1, 2).T
    least = np.min([forgeable(horizon, low) for horizon in horizons], axis=0)
    most = np.max([forgeable(horizon, high) for horizon in horizons], axis=0)
    ends = zip(least.tolist(), most.tolist(), strict=True)
    return [Interval(low=round(a, _DIGITS), high=round(b, _DIGITS)) for a, b in ends]
