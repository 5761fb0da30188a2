"""The order of work, with reasons in words.

Systems are compared on four criteria side by side: the high end of the avoidable exposure, the sensitivity of the data,
the networks it crosses, and the nearest binding date. Nothing is multiplied: ranks of harm are not amounts. A tier
holds systems none of which beats another on every criterion; inside it the exposure decides, then the rest in turn.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from keystrand.assess.policy import Facts
from keystrand.assess.words import span_text
from keystrand.formats.wording import counted, day_text, interval_text, joined, ratio_text
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Exposure as Network
from keystrand.model.policy import Effect
from keystrand.model.stages import Exposure, Finding, PolicyFinding, PolicyState, Priority
from keystrand.model.units import Answer

_NO_DATE = date.max.toordinal()
_PRESSING = frozenset({PolicyState.VIOLATION, PolicyState.DUE, PolicyState.UNDETERMINED})
_OUTLOOK = frozenset({PolicyState.NOTICE})


class Standing(NamedTuple):
    """A system with everything that decides its place."""

    facts: Facts
    findings: tuple[Finding, ...]
    exposures: tuple[Exposure, ...]


class _Criteria(NamedTuple):
    """The four criteria, each larger for more urgent."""

    exposure: float
    sensitivity: int
    network: int
    nearness: int


def prioritise(standings: Sequence[Standing]) -> tuple[Priority, ...]:
    """Return the order of work. Systems with nothing left to do or to find out come last, whatever they carry."""
    open_work = sorted((s for s in standings if has_open_work(s)), key=_order)
    done = sorted((s for s in standings if not has_open_work(s)), key=_order)
    tiers = _tiers([_criteria(s) for s in open_work])
    after = max(tiers, default=0)
    tiers += [after + tier for tier in _tiers([_criteria(s) for s in done])]
    return tuple(
        Priority(rank=rank, tier=tier, system=standing.facts.system.id, reasons=_reasons(standing))
        for rank, (tier, standing) in enumerate(_by_tier(tiers, [*open_work, *done]), start=1)
    )


def has_open_work(standing: Standing) -> bool:
    """Return whether anything is left: a verdict that is not safe, a classical exchange, or a binding rule not met."""
    return any(
        f.verdict is not Verdict.QUANTUM_SAFE or f.classical_still_accepted is not Answer.NO for f in standing.findings
    ) or bool(_dated(standing, _PRESSING, binding=True))


def _by_tier(tiers: list[int], standings: list[Standing]) -> list[tuple[int, Standing]]:
    # stable: inside a tier the order of `standings` stays
    return sorted(zip(tiers, standings, strict=True), key=lambda pair: pair[0])


def _tiers(criteria: list[_Criteria]) -> list[int]:
    """Return the tier of each: one more than the highest tier among those that are at least as urgent in everything.

    `criteria` are in falling order, so whoever beats another stands before it, and equals stand together. All but the
    exposure take few values: a table over those holds the highest tier so far of whoever is at least as urgent in them.
    """
    levels = [sorted(set(column), reverse=True) for column in zip(*(c[1:] for c in criteria), strict=True)]
    places = [{value: n for n, value in enumerate(values)} for values in levels]
    highest = np.zeros([len(values) for values in levels] or [1], dtype=int)
    tiers: list[int] = []
    for n, own in enumerate(criteria):
        if n and own == criteria[n - 1]:
            tiers.append(tiers[-1])
            continue
        at = tuple(place[value] for place, value in zip(places, own[1:], strict=True))
        tiers.append(1 + int(highest[at]))
        behind = highest[tuple(slice(place, None) for place in at)]
        np.maximum(behind, tiers[-1], out=behind)
    return tiers


def _order(standing: Standing) -> tuple[float | int | str, ...]:
    outlook = _nearest(standing, _OUTLOOK, binding=False)
    return *(-value for value in _criteria(standing)), outlook, standing.facts.system.id


def _criteria(standing: Standing) -> _Criteria:
    facts = standing.facts
    return _Criteria(
        exposure=max((e.avoidable_data_years.high for e in standing.exposures), default=0.0),
        sensitivity=facts.sensitivity.weight if facts.sensitivity else 0,
        network=list(Network).index(facts.system.exposure),
        nearness=-_nearest(standing, _PRESSING, binding=True),
    )


def _dated(standing: Standing, states: frozenset[PolicyState], *, binding: bool) -> list[PolicyFinding]:
    """Return the rules in one of `states` that ask for a change, the nearest first."""
    found = [
        rule
        for finding in standing.findings
        for rule in finding.policies
        if rule.state in states
        and rule.effect is not Effect.PLAN
        and (not binding or rule.policy in standing.facts.obligations)
    ]
    return sorted(found, key=lambda rule: (rule.deadline, rule.policy, rule.rule))


def _nearest(standing: Standing, states: frozenset[PolicyState], *, binding: bool) -> int:
    found = _dated(standing, states, binding=binding)
    return found[0].deadline.toordinal() if found else _NO_DATE


def _reasons(standing: Standing) -> tuple[str, ...]:
    """Return why the system stands where it stands, the weightiest first."""
    if not has_open_work(standing):
        return ("nothing is left to change or to find out here",)
    return (
        *_late_reasons(standing),
        *_exposure_reasons(standing.exposures),
        *(f"{f.function.value}: {f.verdict.value}, {f.reason}" for f in standing.findings),
        *_context_reasons(standing.facts),
        *_date_reasons(standing),
    )


def _late_reasons(standing: Standing) -> tuple[str, ...]:
    late = _dated(standing, frozenset({PolicyState.VIOLATION}), binding=True)
    named = joined(sorted({f"{rule.policy} {rule.clause}" for rule in late}))
    return (f"{counted(len(late), 'rule')} violated: {named}",) if late else ()


def _exposure_reasons(exposures: tuple[Exposure, ...]) -> tuple[str, ...]:
    worst = max(exposures, key=lambda e: (e.avoidable_data_years.high, e.shelf_life_years), default=None)
    if worst is None or not worst.avoidable_data_years.high:
        return ()
    ahead = interval_text(worst.avoidable_data_years, "data-years")
    chance = ratio_text(worst.shelf_life_exceeds_horizon)
    return (
        f"{worst.data_class} data stays secret for {span_text(worst.shelf_life)} and the change takes "
        f"{span_text(worst.migration_years)}: {chance} that a quantum computer comes "
        "before both have passed",
        f"{ahead} of readable data can still be avoided, if the traffic is recorded",
    )


def _context_reasons(facts: Facts) -> tuple[str, ...]:
    network = {
        Network.INTERNET: "its traffic crosses the internet, where anyone may record it",
        Network.PARTNER: "its traffic crosses a partner's network",
        Network.INTERNAL: "its traffic stays on networks of the organisation",
    }[facts.system.exposure]
    carried = (
        f"it carries data of {facts.sensitivity.value} sensitivity"
        if facts.sensitivity
        else "no data class is declared"
    )
    retires = facts.system.retires
    leaving = (f"it retires on {day_text(retires)}",) if retires and retires > facts.as_of else ()
    return network, carried, *leaving


def _date_reasons(standing: Standing) -> tuple[str, ...]:
    binding = _dated(standing, _PRESSING, binding=True)
    outlook = _dated(standing, _OUTLOOK, binding=False)
    return (
        *((f"the nearest binding date is {_dated_rule(binding[0])}",) if binding else ()),
        *((f"the nearest date of outlook is {_dated_rule(outlook[0])}",) if outlook and not binding else ()),
    )


def _dated_rule(rule: PolicyFinding) -> str:
    return f"{day_text(rule.deadline)} ({rule.policy}, {rule.clause})"
