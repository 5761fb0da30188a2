"""What every measure is made from, and the rules that all of them share: durations, deadlines, owners first."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from keystrand.formats.wording import day_text
from keystrand.model.estate import Estate, Layer
from keystrand.model.policy import Effect
from keystrand.model.stages import Finding, PolicyFinding, PolicyState
from keystrand.plan.schedule import Window

FIND_OUT_DAYS = 30
ASSIGN_OWNER_DAYS = 30
RETIRE_CLASSICAL_DAYS = 180
PILOT_DAYS = 180
DEPLOY_DAYS = 365
"""Durations in days, assumed until the organisation's own are known; migrations take what their owner declares."""
DAYS_PER_YEAR = 365.25

LAST = 1_000_000
"""The rank of what no priority names: after everything that has one."""
_NOT_OPEN = frozenset({PolicyState.MET, PolicyState.NOT_APPLICABLE})


class Work(NamedTuple):
    """What every draft is made from.

    `findings`, `ranks` and `why` are by system; `binding` are the policies that bind; `gaps` says which draft closes
    which gap of ownership, by noun, id and layer. `anchors`: the trust anchors whose signatures a system waits for.
    """

    estate: Estate
    findings: dict[str, list[Finding]]
    ranks: dict[str, int]
    why: dict[str, tuple[str, ...]]
    binding: frozenset[str]
    gaps: dict[tuple[str, str, Layer], str]
    anchors: dict[str, tuple[str, ...]]
    as_of: date


class Deadline(NamedTuple):
    """The day that a rule sets, None where no rule does, and the reason in words."""

    day: date | None
    reasons: tuple[str, ...]


def owner_first(noun: str, name: str, layer: Layer, work: Work) -> tuple[str, ...]:
    """Return the draft that names the owner of a layer without one, for work that cannot begin before it."""
    closing = work.gaps.get((noun, name, layer))
    return (closing,) if closing else ()


def windows(*days: tuple[date | None, str]) -> tuple[Window, ...]:
    """Return the days that are set as windows."""
    return tuple(Window(day, why) for day, why in days if day is not None)


def deadline_of(found: Iterable[Finding], work: Work, *, enquiry: bool) -> Deadline:
    """Return the earliest day a rule sets that is not met: of the binding ones if there are any, else of the others.

    A rule that asks only for a plan counts for an enquiry, and only while its day is still to come: once it is past,
    no scan can see whether a plan stands, so the measure is not called late; but the rule stays among the reasons.
    """
    rules = [p for f in found for p in f.policies if p.state not in _NOT_OPEN]
    asked = [p for p in rules if p.effect is Effect.PLAN] if enquiry else []
    dated = [p for p in rules if p.effect is not Effect.PLAN] + [p for p in asked if p.deadline > work.as_of]
    past = [_said(p, "since ") for p in asked if p.deadline <= work.as_of and p.policy in work.binding]
    firm = [p for p in dated if _binds(p, work.binding)]
    first = min(firm or dated, key=lambda p: (p.deadline, p.policy, p.rule), default=None)
    if first is None:
        return Deadline(None, tuple(dict.fromkeys(past)))
    said = _said(first, "by ") + ("" if firm else ", not binding here")
    return Deadline(first.deadline, tuple(dict.fromkeys([*past, said])))


def _said(rule: PolicyFinding, when: str) -> str:
    return f"{rule.policy} {rule.clause}: {when}{day_text(rule.deadline)}"


def _binds(rule: PolicyFinding, binding: frozenset[str]) -> bool:
    if rule.state is PolicyState.UNDETERMINED:
        return rule.policy in binding
    return rule.state in (PolicyState.DUE, PolicyState.VIOLATION)
