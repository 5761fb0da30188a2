"""Judge the inventory."""

from datetime import date
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.documents import load, now, require_estate, require_made_from, save
from keystrand.app.estate import OpenEstate
from keystrand.assess.explain import explain
from keystrand.assess.run import DEFAULT_CURVE, assess
from keystrand.edge.catalogue import beside, curves, policies
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.stages import Assessment, Inventory, PolicyFinding, PolicyState


def assess_estate(opened: OpenEstate, out: Path, *, as_of: date, curve: str = DEFAULT_CURVE) -> Assessment:
    """Judge the inventory in `out` against policies and the threat curve `curve`, and write the assessment beside it.

    Policies and curves are those that come with the package and those beside the estate.
    """
    inventory, ref = load(out, Inventory)
    require_estate(inventory, opened.ref)
    assessment = assess(
        opened.estate,
        inventory,
        policies(beside(opened.folder, "policies")),
        curves(beside(opened.folder, "curves")),
        as_of=as_of,
        made_from=(opened.ref, ref),
        created_at=now(),
        tool_version=__version__,
        curve=curve,
    )
    save(out, assessment)
    return assessment


def explain_finding(out: Path, name: str) -> tuple[str, ...]:
    """Return in sentences why the assessment in `out` says what it says of the system or finding `name`."""
    _, ref = load(out, Inventory)
    assessment, _ = load(out, Assessment)
    require_made_from(assessment, ref)
    return explain(assessment, name)


def priority_rows(assessment: Assessment) -> list[dict[str, Any]]:
    """Return one row a system in the order of work, with its verdicts."""
    verdicts = {(f.system, f.function): f.verdict.value for f in assessment.findings}
    return [
        {
            "rank": p.rank,
            "tier": p.tier,
            "system": p.system,
            "key_establishment": verdicts.get((p.system, Function.KEY_ESTABLISHMENT), "-"),
            "signature": verdicts.get((p.system, Function.SIGNATURE), "-"),
            "reasons": "; ".join(p.reasons),
        }
        for p in assessment.priorities
    ]


def gate_count(assessment: Assessment, gate: str) -> int:
    """Return how many findings trip `gate`: violation (that no waiver in force covers), vulnerable or unknown."""
    wanted = {"vulnerable": Verdict.QUANTUM_VULNERABLE, "unknown": Verdict.UNKNOWN}
    if gate in wanted:
        return sum(f.verdict is wanted[gate] for f in assessment.findings)
    return sum(any(_violated(p) and not p.waiver for p in f.policies) for f in assessment.findings)


def waived_count(assessment: Assessment) -> int:
    """Return how many findings violate a rule, and none that a waiver in force does not cover."""
    violated = [[p for p in f.policies if _violated(p)] for f in assessment.findings]
    return sum(bool(found) and all(p.waiver for p in found) for found in violated)


def _violated(said: PolicyFinding) -> bool:
    return said.state is PolicyState.VIOLATION
