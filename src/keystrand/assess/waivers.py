"""Waivers: what one covers, whether it is in force, and how many findings it covers.

A waiver never changes what a rule says. It stands beside the state, so that both counts can be given: with and without.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from keystrand.formats.wording import day_text
from keystrand.model.estate import Estate, System
from keystrand.model.planning import Waiver
from keystrand.model.stages import Finding, PolicyState, WaiverUse

WAIVABLE = frozenset({PolicyState.VIOLATION, PolicyState.DUE, PolicyState.NOTICE, PolicyState.UNDETERMINED})
"""States that leave something open. What is met, or does not apply, needs no waiver."""


class Covered(NamedTuple):
    """The waiver in force that covers a rule, empty for none, and what to add to the reason."""

    waiver: str = ""
    remark: str = ""


def in_force(waiver: Waiver, as_of: date) -> bool:
    """Return whether the waiver counts on `as_of`; on the day it expires it still does."""
    return waiver.granted <= as_of <= waiver.expires


def waivers_for(estate: Estate, system: System, region: str) -> tuple[Waiver, ...]:
    """Return the waivers of the estate that speak of `system`, which stands in `region`, by id."""
    found = (
        waiver
        for waiver in estate.waiver
        if (not waiver.systems or system.id in waiver.systems) and (not waiver.regions or region in waiver.regions)
    )
    return tuple(sorted(found, key=lambda waiver: waiver.id))


def covered(waivers: Iterable[Waiver], policy: str, rule: str, as_of: date) -> Covered:
    """Return which of `waivers` covers the rule; where none does, the remark tells of one that has ended."""
    named = [w for w in waivers if w.policy == policy and (not w.rules or rule in w.rules)]
    for waiver in named:
        if in_force(waiver, as_of):
            return Covered(waiver.id, f"waived until {day_text(waiver.expires)} (waiver {waiver.id})")
    return Covered(remark="; ".join(_idle(waiver, as_of) for waiver in named))


def _idle(waiver: Waiver, as_of: date) -> str:
    if as_of < waiver.granted:
        return f"waiver {waiver.id} counts from {day_text(waiver.granted)} on"
    return f"waiver {waiver.id} ended on {day_text(waiver.expires)} and counts for nothing"


def waiver_uses(estate: Estate, findings: Iterable[Finding], as_of: date) -> tuple[WaiverUse, ...]:
    """Return every waiver of the estate with the number of judgements it covers, in the order of the estate."""
    states: dict[str, list[PolicyState]] = {waiver.id: [] for waiver in estate.waiver}
    for finding in findings:
        for said in finding.policies:
            if said.waiver:
                states[said.waiver].append(said.state)
    return tuple(
        WaiverUse(
            id=waiver.id,
            policy=waiver.policy,
            owner=waiver.owner,
            reason=waiver.reason,
            granted=waiver.granted,
            expires=waiver.expires,
            in_force=in_force(waiver, as_of),
            violations=states[waiver.id].count(PolicyState.VIOLATION),
            others=len(states[waiver.id]) - states[waiver.id].count(PolicyState.VIOLATION),
        )
        for waiver in estate.waiver
    )
