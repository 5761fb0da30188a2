"""What the rules ask of a system, drawn from the estate once for all of them."""

from datetime import date
from typing import NamedTuple

from keystrand.assess.waivers import waivers_for
from keystrand.model.estate import Estate, Sensitivity, System
from keystrand.model.planning import Waiver
from keystrand.model.units import Answer


class Facts(NamedTuple):
    """What the rules ask of a system. `sensitivity` is that of its most sensitive data, None where none is declared.

    `asked` names who can say whether a plan stands. `waivers` are those that speak of this system, ended ones included.
    """

    system: System
    jurisdiction: str
    sensitivity: Sensitivity | None
    obligations: frozenset[str]
    as_of: date
    asked: str
    national_security: Answer = Answer.UNKNOWN
    waivers: tuple[Waiver, ...] = ()


def facts_of(estate: Estate, system: System, as_of: date) -> Facts:
    """Return what the rules ask of `system`, from the estate: its jurisdiction is that of its site's region."""
    site = next(entry for entry in estate.site if entry.id == system.site)
    region = next(entry for entry in estate.region if entry.id == site.region)
    carried = [entry.sensitivity for entry in estate.data_class if entry.id in system.data_classes]
    return Facts(
        system=system,
        jurisdiction=region.jurisdiction,
        sensitivity=max(carried, key=lambda s: s.weight, default=None),
        obligations=frozenset(estate.organisation.obligations),
        as_of=as_of,
        asked=_asked(estate, system),
        national_security=estate.organisation.national_security,
        waivers=waivers_for(estate, system, region.id),
    )


def _asked(estate: Estate, system: System) -> str:
    """Return the name of who governs the system, else of who owns its algorithms."""
    owner = system.owners.governance or system.owners.algorithms
    names = {entry.id: entry.name for entry in estate.owner}
    return names.get(owner, owner) if owner else "whoever is to own this system"
