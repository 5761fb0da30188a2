"""The stage as a whole: estate, inventory, policies and threat curves in, one assessment out. Pure and repeatable."""

import difflib
from datetime import date, datetime

from msgspec.structs import replace

from keystrand.assess.assumptions import assumptions
from keystrand.assess.authenticity import forgeables
from keystrand.assess.exposure import exposures
from keystrand.assess.findings import findings
from keystrand.assess.policy import facts_of, judge, remarks
from keystrand.assess.priority import Standing, prioritise
from keystrand.assess.ranks import SEED, rank_ranges
from keystrand.assess.waivers import waiver_uses
from keystrand.model.algorithm import Verdict
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.estate import Estate
from keystrand.model.horizon import horizons
from keystrand.model.observation import Outcome
from keystrand.model.policy import Policy, ThreatCurve
from keystrand.model.stages import Assessment, Exposure, Finding, Inventory, PolicyRef, Priority

DEFAULT_CURVE = "gri-2025"
"""The newest expert survey whose figures we found in independent places. Both its ends are used, never their middle."""


def assess(  # noqa: PLR0913 - what every stage takes, and the curve to use
    estate: Estate,
    inventory: Inventory,
    policies: tuple[Policy, ...],
    curves: tuple[ThreatCurve, ...],
    *,
    as_of: date,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
    curve: str = DEFAULT_CURVE,
) -> Assessment:
    """Return the assessment of `inventory` on the day `as_of`; equal inputs give equal documents.

    Raises `InvalidInput` where `curve` is not among `curves` or has run out by `as_of`, and where the estate names an
    obligation that is not among `policies`: an obligation nobody judged must not look like one that is met.
    """
    _require_known(estate.organisation.obligations, tuple(p.id for p in policies), "obligation", "policy")
    _require_known((curve,), tuple(c.id for c in curves), "threat curve", "threat curve")
    chosen = next(c for c in curves if c.id == curve)
    judged = _judged(estate, inventory, policies, as_of)
    both_ends = horizons(chosen, as_of)
    exposed = exposures(estate, judged, both_ends, as_of)
    return Assessment(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=SEED if exposed else None,
        coverage=_coverage(judged),
        findings=judged,
        exposures=exposed,
        priorities=_priorities(estate, judged, exposed, as_of),
        policies=tuple(_ref(policy, estate, as_of) for policy in policies),
        waivers=waiver_uses(estate, judged, as_of),
        assumptions=assumptions(chosen, as_of),
        curve=chosen,
        forgeable=forgeables(estate, judged, both_ends, as_of),
        exposure_ranks=rank_ranges(exposed, chosen, as_of),
    )


def _require_known(names: tuple[str, ...], known: tuple[str, ...], what: str, kind: str) -> None:
    problems = tuple(
        Problem(message=f"{what} {name!r} is no {kind} of the catalogue", hint=_near(name, known), field=what)
        for name in names
        if name not in known
    )
    if problems:
        raise InvalidInput(problems[0].message, hint=problems[0].hint, problems=problems)


def _near(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"


def _judged(estate: Estate, inventory: Inventory, policies: tuple[Policy, ...], as_of: date) -> tuple[Finding, ...]:
    facts = {system.id: facts_of(estate, system, as_of) for system in estate.system}
    return tuple(
        replace(finding, policies=judge(policies, finding, facts[finding.system]))
        for finding in findings(estate, inventory)
    )


def _priorities(
    estate: Estate, judged: tuple[Finding, ...], exposed: tuple[Exposure, ...], as_of: date
) -> tuple[Priority, ...]:
    found: dict[str, list[Finding]] = {system.id: [] for system in estate.system}
    harm: dict[str, list[Exposure]] = {system.id: [] for system in estate.system}
    for finding in judged:
        found[finding.system].append(finding)
    for exposure in exposed:
        harm[exposure.system].append(exposure)
    return prioritise(
        [
            Standing(facts_of(estate, system, as_of), tuple(found[system.id]), tuple(harm[system.id]))
            for system in estate.system
            if found[system.id]
        ]
    )


def _coverage(judged: tuple[Finding, ...]) -> Coverage:
    unknown = [finding for finding in judged if finding.verdict is Verdict.UNKNOWN]
    return Coverage(
        unit="findings",
        looked_at=len(judged),
        answered=len(judged) - len(unknown),
        gaps=tuple(Gap(what=f.id, outcome=Outcome.NONE, reason=f.reason) for f in unknown),
    )


def _ref(policy: Policy, estate: Estate, as_of: date) -> PolicyRef:
    return PolicyRef(
        id=policy.id,
        name=policy.name,
        status=policy.status,
        force=policy.force,
        verification=policy.source.verification,
        as_of=policy.source.as_of,
        expires=policy.source.expires,
        source=f"{policy.source.publisher}: {policy.source.title}, {policy.source.clause}",
        binding=policy.id in estate.organisation.obligations,
        remarks=remarks(policy, as_of),
    )
