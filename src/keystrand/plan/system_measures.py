"""Measures for one system: find out what is unknown, move what is vulnerable, then stop accepting the old."""

from collections.abc import Iterator, Sequence

from keystrand.formats.wording import day_text, joined
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Layer, System
from keystrand.model.stages import Finding, MeasureKind
from keystrand.model.units import Answer
from keystrand.plan.schedule import Draft
from keystrand.plan.work import (
    DAYS_PER_YEAR,
    FIND_OUT_DAYS,
    LAST,
    RETIRE_CLASSICAL_DAYS,
    Work,
    deadline_of,
    owner_first,
    windows,
)

_FUNCTIONS = {
    Function.KEY_ESTABLISHMENT: (MeasureKind.MIGRATE_KEY_ESTABLISHMENT, "key establishment"),
    Function.SIGNATURE: (MeasureKind.MIGRATE_SIGNATURE, "signatures"),
}


def of_system(system: System, work: Work) -> Iterator[Draft]:
    """Yield the drafts of one system; what is unknown is found out *and* planned for as if it were vulnerable."""
    found = work.findings.get(system.id, [])
    if open_ := [f for f in found if _is_open(f)]:
        yield _find_out(system, open_, work)
    for finding in found:
        if finding.function not in _FUNCTIONS:
            continue
        if finding.verdict is not Verdict.QUANTUM_SAFE:
            yield _migrate(system, finding, work)
        elif finding.classical_still_accepted is Answer.YES:
            yield _retire(system, finding, work)


def _is_open(finding: Finding) -> bool:
    safe = finding.verdict is Verdict.QUANTUM_SAFE
    return finding.verdict is Verdict.UNKNOWN or (safe and finding.classical_still_accepted is Answer.UNKNOWN)


def _find_out_id(system: str) -> str:
    return f"find-out.system.{system}"


def _find_out(system: System, found: Sequence[Finding], work: Work) -> Draft:
    deadline = deadline_of(found, work, enquiry=True)
    return Draft(
        id=_find_out_id(system.id),
        kind=MeasureKind.FIND_OUT,
        title=f"Find out what {system.name} uses",
        subject=system.id,
        owner=system.owners.of(Layer.ALGORITHMS),
        days=FIND_OUT_DAYS,
        rank=work.ranks.get(system.id, LAST),
        latest_finish=deadline.day,
        depends_on=owner_first("system", system.id, Layer.ALGORITHMS, work),
        reasons=(*dict.fromkeys(f"{f.function}: {f.reason}" for f in found), *deadline.reasons),
        done_when="a scan reaches every target of the system and no verdict on it is unknown",
        fallback="nothing changes on the system; it keeps counting as unknown, never as safe",
    )


def _migrate(system: System, finding: Finding, work: Work) -> Draft:
    kind, words = _FUNCTIONS[finding.function]
    deadline = deadline_of([finding], work, enquiry=False)
    unknown = finding.verdict is Verdict.UNKNOWN
    anchors = _open_anchors(system, finding, work)
    reasons = [f"{finding.verdict}: {finding.reason}", *work.why.get(system.id, ())[:2], *deadline.reasons]
    if unknown:
        reasons.insert(0, "not known yet, so planned for as if it were vulnerable")
    if anchors:
        reasons.append(f"waits for {joined(anchors)}: a signature is worth no more than the anchor that vouches for it")
    if system.retires:
        reasons.append(f"the system retires on {day_text(system.retires)}: weigh the change against an earlier end")
    return Draft(
        id=f"{kind}.{system.id}",
        kind=kind,
        title=f"Move the {words} of {system.name} to post-quantum algorithms",
        subject=system.id,
        owner=system.owners.of(Layer.ALGORITHMS),
        days=max(1, round(max(system.migration_years) * DAYS_PER_YEAR)),
        rank=work.ranks.get(system.id, LAST),
        latest_finish=deadline.day,
        windows=windows((system.refresh, "hardware refresh"), (system.contract_ends, "end of the contract")),
        engineers=system.engineers,
        not_before=system.vendor_ready,
        depends_on=(
            *([_find_out_id(system.id)] if unknown else []),
            *owner_first("system", system.id, Layer.ALGORITHMS, work),
            *(f"{kind}.{name}" for name in anchors),
        ),
        reasons=tuple(reasons),
        done_when=f"a scan sees quantum-safe {words} on every target, and no peer gets a quantum-vulnerable one",
        fallback="the old algorithm stays configured beside the new one until the change is accepted; switching back is"
        " a configuration change, and shows in the next scan",
    )


def _open_anchors(system: System, finding: Finding, work: Work) -> tuple[str, ...]:
    """Return the trust anchors that must move before `finding` can: none for a key exchange, none that is safe."""
    if finding.function is not Function.SIGNATURE:
        return ()
    return tuple(
        name
        for name in work.anchors[system.id]
        if any(
            f.function is Function.SIGNATURE and f.verdict is not Verdict.QUANTUM_SAFE
            for f in work.findings.get(name, ())
        )
    )


def _retire(system: System, finding: Finding, work: Work) -> Draft:
    kind, words = _FUNCTIONS[finding.function]
    deadline = deadline_of([finding], work, enquiry=False)
    return Draft(
        id=f"{MeasureKind.RETIRE_CLASSICAL}.{finding.function}.{system.id}",
        kind=MeasureKind.RETIRE_CLASSICAL,
        title=f"Stop accepting classical {words} on {system.name}",
        subject=system.id,
        owner=system.owners.of(Layer.ALGORITHMS),
        days=RETIRE_CLASSICAL_DAYS,
        rank=work.ranks.get(system.id, LAST),
        latest_finish=deadline.day,
        depends_on=(
            *owner_first("system", system.id, Layer.ALGORITHMS, work),
            *(f"{kind}.{other.id}" for other in work.estate.system if system.id in other.depends_on),
        ),
        reasons=("a peer without post-quantum algorithms still gets a vulnerable exchange", *deadline.reasons),
        done_when=f"a scan that offers only classical {words} is refused on every target",
        fallback="accept the classical exchange again for named peers only, with an end date",
    )
