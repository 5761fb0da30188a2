"""The measures in phases: what must hold before each and after it, its certificates, the way back, what it is worth."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import ceil
from typing import NamedTuple

from keystrand.formats.wording import counted, day_text
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate
from keystrand.model.horizon import years_between
from keystrand.model.observation import Certificate
from keystrand.model.policy import Effect, PolicyState
from keystrand.model.stages import Assessment, CertificateChange, Inventory, MeasureKind, Phase
from keystrand.model.trust import TRUST_ANCHORS
from keystrand.model.units import Interval
from keystrand.plan.roadmap_exposure import Curves, interval, recorded
from keystrand.plan.schedule import Draft, Placed

_DIGITS = 3
_MOST_CERTIFICATES = 500
"""Certificates listed of one phase, those that end first; the others are counted."""
_OPEN = frozenset({PolicyState.DUE, PolicyState.VIOLATION, PolicyState.UNDETERMINED, PolicyState.NOTICE})


class _Kind(NamedTuple):
    """A phase in general."""

    title: str
    entry: str
    exit: str
    rollback: str


_KINDS = {
    "know": _Kind(
        "Know what there is, and who owns it",
        "the plan is approved, and the owners named in it have time",
        "no verdict is unknown, and every layer has an owner",
        "nothing was changed, so nothing has to be taken back",
    ),
    "anchors": _Kind(
        "Move the trust anchors",
        "the hardware that keeps the anchors' keys signs with the new algorithms, shown on a test anchor",
        "verifiers accept the new anchors beside the old ones",
        "keep the old anchors trusted and issue from them; a new anchor that nobody verifies yet can be withdrawn",
    ),
    "keys": _Kind(
        "Move key establishment",
        "both ends of a link run software that offers the new exchange, shown on one link outside production",
        "a scan sees no quantum-vulnerable exchange; offering the safe one beside the old does not count",
        "put the old configuration back, which is kept until the exit criteria hold; what is sent meanwhile is exposed",
    ),
    "signatures": _Kind(
        "Move the other signatures",
        "the anchors above the system have moved, and its verifiers know them",
        "no verifier accepts a signature of the old algorithm",
        "issue from the old anchor again for as long as verifiers accept it",
    ),
    "pilots": _Kind(
        "Pilot the quantum links",
        "exit criteria are agreed in writing, and whoever accepts the trusted nodes has signed",
        "every criterion of each pilot was measured and met",
        "switch the pilot off: production traffic was never on it",
    ),
    "links": _Kind(
        "Put the quantum links into service",
        "the pilot met its criteria, and post-quantum cryptography runs on every system of the link",
        "a cut of the link was tried, and its systems did what was agreed",
        "take the quantum key out of the combination: post-quantum cryptography carries the traffic alone",
    ),
    "retire": _Kind(
        "Stop accepting the old",
        "everybody who depends on the service has moved",
        "an offer of only the old algorithms is refused on every target",
        "accept the old exchange again for named peers, with an end date",
    ),
}


class Grounds(NamedTuple):
    """What phases are described from."""

    estate: Estate
    inventory: Inventory
    assessment: Assessment
    curves: Curves | None
    as_of: date


def phases(placed: Sequence[Placed], grounds: Grounds) -> tuple[Phase, ...]:
    """Return the phases that have measures, in the order of work; they overlap where nothing makes one wait."""
    anchors = {system.id for system in grounds.estate.system if system.place in TRUST_ANCHORS}
    groups: dict[str, list[Placed]] = {name: [] for name in _KINDS}
    for one in placed:
        groups[_phase_of(one.draft, anchors)].append(one)
    finishes = {one.draft.id: one.finish for one in placed}
    return tuple(_phase(name, members, finishes, grounds) for name, members in groups.items() if members)


def _phase_of(draft: Draft, anchors: set[str]) -> str:
    kinds = {
        MeasureKind.MIGRATE_KEY_ESTABLISHMENT: "keys",
        MeasureKind.RETIRE_CLASSICAL: "retire",
        MeasureKind.PILOT: "pilots",
        MeasureKind.DEPLOY_QUANTUM_LINK: "links",
        MeasureKind.MIGRATE_SIGNATURE: "anchors" if draft.subject in anchors else "signatures",
    }
    return kinds.get(draft.kind, "know")


def _phase(name: str, members: Sequence[Placed], finishes: dict[str, date], grounds: Grounds) -> Phase:
    kind, inside = _KINDS[name], {one.draft.id for one in members}
    outside = {before for one in members for before in one.draft.depends_on} - inside
    sunk, avoidable, avoided = _worth(members, grounds)
    met, missed = _rules(members, grounds.assessment, grounds.as_of)
    certificates = tuple(_certificates(members, grounds))
    more = len(certificates) - _MOST_CERTIFICATES
    entry = [kind.entry]
    entry += [f"{before} is done, planned for {day_text(finishes[before])}" for before in sorted(outside)]
    entry += [f"{counted(more, 'more certificate')} of these systems end later than those listed"] if more > 0 else []
    return Phase(
        id=name,
        title=kind.title,
        start=min(one.start for one in members),
        finish=max(one.finish for one in members),
        measures=tuple(one.draft.id for one in members),
        entry=tuple(entry),
        exit=tuple(dict.fromkeys([kind.exit, *(one.draft.done_when for one in members if one.draft.done_when)])),
        certificates=certificates[:_MOST_CERTIFICATES],
        fallback=tuple(dict.fromkeys(one.draft.fallback for one in members if one.draft.fallback)),
        rollback=kind.rollback,
        sunk=sunk,
        avoidable=avoidable,
        avoided=avoided,
        met=met,
        missed=missed,
    )


def _worth(members: Sequence[Placed], grounds: Grounds) -> tuple[Interval | None, Interval | None, Interval | None]:
    """Return what is sunk, avoidable if the phase never came within the plan's years, and avoided by its dates."""
    curves = grounds.curves
    if curves is None:
        return None, None, None
    years = grounds.estate.planning.horizon_years
    without = [interval(one.draft, _until(one, years, grounds), curves) for one in members]
    planned = [interval(one.draft, years_between(grounds.as_of, one.finish), curves) for one in members]
    saved = [(w.low - p.low, w.high - p.high) for w, p in zip(without, planned, strict=True)]
    return (
        _sum((i.low, i.high) for i in (recorded(one.draft, curves) for one in members)),
        _sum((i.low, i.high) for i in without),
        _sum((max(min(pair), 0.0), max(*pair, 0.0)) for pair in saved),
    )


def _until(one: Placed, years: int, grounds: Grounds) -> float:
    """Return the years until the exposure would end by itself: the system retires, or the plan's horizon."""
    system = next((s for s in grounds.estate.system if s.id == one.draft.subject), None)
    if system is None or system.retires is None or system.retires <= grounds.as_of:
        return float(years)
    return min(float(years), years_between(grounds.as_of, system.retires))


def _sum(pairs: Iterable[tuple[float, float]]) -> Interval:
    lows, highs = zip(*pairs, strict=True)
    return Interval(low=round(sum(lows), _DIGITS), high=round(max(sum(highs), sum(lows)), _DIGITS))


def _rules(members: Sequence[Placed], assessment: Assessment, as_of: date) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rules met in time and those missed, each with how many systems it is about.

    Whether a rule was broken before today where nobody knows what is used: that is to be found out, not missed.
    """
    binding = {policy.id for policy in assessment.policies if policy.binding}
    finish = {one.draft.subject: one.finish for one in members if one.draft.kind in _ENDS}
    functions = {(one.draft.subject, _function(one.draft)) for one in members if one.draft.kind in _ENDS}
    met: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for finding in assessment.findings:
        if (finding.system, finding.function.value) not in functions:
            continue
        for rule in finding.policies:
            if rule.state not in _OPEN or rule.effect is Effect.PLAN:
                continue
            if rule.state is PolicyState.UNDETERMINED and rule.deadline < as_of:
                continue
            kept = finish[finding.system] <= rule.deadline
            outlook = "" if rule.policy in binding else " (not binding)"
            (met if kept else missed)[f"{rule.policy}{outlook}, {rule.clause}, by {day_text(rule.deadline)}"] += 1
    return tuple(map(_counted, sorted(met.items()))), tuple(map(_counted, sorted(missed.items())))


_ENDS = {
    MeasureKind.MIGRATE_KEY_ESTABLISHMENT: "key-establishment",
    MeasureKind.MIGRATE_SIGNATURE: "signature",
    MeasureKind.RETIRE_CLASSICAL: "",
}


def _function(draft: Draft) -> str:
    return _ENDS[draft.kind] or draft.id.split(".")[1]


def _counted(item: tuple[str, int]) -> str:
    return f"{item[0]}: {counted(item[1], 'system')}"


def _certificates(members: Sequence[Placed], grounds: Grounds) -> Iterator[CertificateChange]:
    """Yield the certificates that the phase's signature measures replace, the first to end first."""
    signs = {one.draft.subject: one for one in members if one.draft.kind is MeasureKind.MIGRATE_SIGNATURE}
    found = []
    for asset in grounds.inventory.assets if signs else ():
        if isinstance(asset.fact, Certificate) and asset.verdict is not Verdict.QUANTUM_SAFE:
            systems = sorted({o.system for o in asset.occurrences} & signs.keys())
            if systems:
                found.append((asset.fact.not_after, asset.id, asset.fact, systems))
    for _, name, fact, systems in sorted(found, key=lambda one: one[:2]):
        last = max((signs[system] for system in systems), key=lambda one: (one.finish, one.draft.id))
        yield CertificateChange(
            asset=name, subject=fact.subject, issuer=fact.issuer, not_after=fact.not_after, systems=tuple(systems),
            measure=last.draft.id, renewals=_renewals(fact, last.finish),
        )  # fmt: skip


def _renewals(fact: Certificate, finish: date) -> str:
    if fact.not_after >= finish:
        return f"none: replace it by {day_text(finish)}, before it ends"
    life = max((fact.not_after - fact.not_before).days, 1)
    return f"{counted(ceil((finish - fact.not_after).days / life), 'renewal')} with the old algorithm before it is done"
