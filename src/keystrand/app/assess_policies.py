"""What the policies say of a run's estate, counted with the waivers and without them."""

from collections import Counter
from pathlib import Path
from typing import Any

from keystrand.app.documents import load
from keystrand.model.stages import Assessment, PolicyState

Row = dict[str, Any]


def policy_rows(out: Path, *, binding: bool = False) -> list[Row]:
    """Return one row a rule: findings by state, and how many a waiver in force covers. Only `binding` policies if so.

    `violations` counts every one; `waived` of them are covered, so `left` is what counts with the waivers.
    """
    assessment, _ = load(out, Assessment)
    refs = {ref.id: ref for ref in assessment.policies}
    counts: dict[tuple[str, str], Counter[str]] = {}
    first = {(p.policy, p.rule): p for f in reversed(assessment.findings) for p in f.policies}
    for said in (p for finding in assessment.findings for p in finding.policies):
        count = counts.setdefault((said.policy, said.rule), Counter())
        count[said.state] += 1
        count["waived"] += bool(said.waiver)
        count["excused"] += bool(said.waiver) and said.state is PolicyState.VIOLATION
    rows = [
        {
            "policy": policy,
            "rule": rule,
            "deadline": first[policy, rule].deadline.isoformat(),
            "binding": refs[policy].binding,
            "violations": count[PolicyState.VIOLATION],
            "waived": count["excused"],
            "left": count[PolicyState.VIOLATION] - count["excused"],
            **{state.value: count[state] for state in PolicyState if state is not PolicyState.VIOLATION},
            "covered": count["waived"],
        }
        for (policy, rule), count in counts.items()
        if refs[policy].binding or not binding
    ]
    return sorted(rows, key=lambda row: (not row["binding"], row["deadline"], row["policy"], row["rule"]))


def waiver_rows(out: Path) -> list[Row]:
    """Return one row a waiver: whether it counts, until when, and how many judgements it covers."""
    assessment, _ = load(out, Assessment)
    return [
        {
            "waiver": one.id,
            "policy": one.policy,
            "owner": one.owner,
            "in_force": one.in_force,
            "granted": one.granted.isoformat(),
            "expires": one.expires.isoformat(),
            "violations": one.violations,
            "others": one.others,
            "reason": one.reason,
        }
        for one in assessment.waivers
    ]
