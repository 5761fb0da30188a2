"""What the report counts: systems by verdict, and the names behind the identifiers."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate, System
from keystrand.model.stages import Assessment, Finding, VerdictCount
from keystrand.model.units import Answer


class Names(NamedTuple):
    """What people call things, by identifier. An identifier without a name stands for itself."""

    names: dict[str, str]

    def of(self, identifier: str) -> str:
        """Return the name of `identifier`."""
        return self.names.get(identifier, identifier)

    def owner(self, identifier: str | None) -> str:
        """Return the owner's name, or say that nobody is named."""
        return "Nobody is named yet" if identifier is None else self.of(identifier)


class _Named(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


def _names(items: Iterable[_Named]) -> Names:
    return Names({item.id: item.name for item in items})


def names_of(estate: Estate) -> dict[str, Names]:
    """Return the names of the estate's `system`, `segment`, `owner` and `data_class`, each by identifier."""
    return {
        "system": _names(estate.system),
        "segment": _names(estate.segment),
        "owner": _names(estate.owner),
        "data_class": _names(estate.data_class),
    }


def _system_state(findings: Iterable[Finding]) -> str:
    """Return where one system stands; the worst finding decides, and no finding at all is unknown."""
    found = list(findings)
    verdicts = {finding.verdict for finding in found}
    if Verdict.QUANTUM_VULNERABLE in verdicts:
        return "vulnerable"
    if not found or Verdict.UNKNOWN in verdicts:
        return "unknown"
    # offering a quantum-safe exchange is not the same as being migrated: an attacker picks the old one
    return "safe" if all(f.classical_still_accepted is Answer.NO for f in found) else "mixed"


def systems_by_state(systems: Iterable[System], assessment: Assessment, function: Function) -> dict[str, list[str]]:
    """Return the identifiers of the systems that use `function`, by state: vulnerable, unknown, mixed, safe.

    A system takes part if the estate says that it uses the function, or if a finding shows it.
    """
    found: dict[str, list[Finding]] = {}
    for finding in assessment.findings:
        if finding.function is function:
            found.setdefault(finding.system, []).append(finding)
    states: dict[str, list[str]] = {"vulnerable": [], "unknown": [], "mixed": [], "safe": []}
    for system in systems:
        if function in system.functions or system.id in found:
            states[_system_state(found.get(system.id, ()))].append(system.id)
    return states


def verdict_counts(estate: Estate, assessment: Assessment) -> tuple[VerdictCount, ...]:
    """Return the number of systems in each state, for the two functions that a quantum computer threatens."""
    counts = []
    for function in (Function.KEY_ESTABLISHMENT, Function.SIGNATURE):
        states = systems_by_state(estate.system, assessment, function)
        vulnerable, unknown, mixed, safe = (len(ids) for ids in states.values())
        counts.append(VerdictCount(function=function, vulnerable=vulnerable, unknown=unknown, mixed=mixed, safe=safe))
    return tuple(counts)
