"""Observations become assets: one for each identity, with every place where it was seen."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from keystrand.formats.wording import counted
from keystrand.inventory.assignment import Assignment
from keystrand.inventory.coverage import estate_coverage
from keystrand.inventory.identity import authority, canonical, identity
from keystrand.inventory.places import place_lines
from keystrand.inventory.reconcile import reconcile
from keystrand.inventory.verdict import endpoint_verdict, fact_verdict, worst
from keystrand.inventory.views import ownership_gaps, system_views
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.errors import DocumentMismatch, Problem
from keystrand.model.estate import Estate
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Observation,
    ProtocolSettings,
    PublicKey,
    Record,
    Strength,
)
from keystrand.model.stages import Asset, Inventory, Observations, Occurrence

_Established = Mapping[str, set[tuple[Strength, Verdict]]]


def _name(fact: Fact) -> str:
    match fact:
        case Certificate():
            found = fact.subject or next(iter(fact.names), f"certificate {fact.sha256[:16]}")
        case PublicKey():
            found = f"{fact.algorithm} key {fact.sha256[:16]}".strip()
        case Endpoint():
            found = f"{fact.protocol}://{authority(fact)}"
        case AlgorithmUse():
            found = fact.algorithm or "unnamed algorithm"
        case Library():
            found = f"{fact.name} {fact.version}".strip()
        case Keystore():
            found = f"{fact.format} keystore"
        case ProtocolSettings():
            found = f"{fact.protocol} settings of {fact.software}"
        case Flow():
            found = f"{fact.protocol} {fact.client} to {fact.server}:{fact.port}"
    return found


def _check_targets(estate: Estate, records: Iterable[Record]) -> None:
    if strangers := {record.target for record in records} - {target.id for target in estate.target}:
        raise DocumentMismatch(
            f"the observations name {counted(len(strangers), 'target')} that the estate does not have",
            hint="scan again with this estate, or give the estate that the scan was made from",
            problems=tuple(Problem(message="no such target in the estate", field=name) for name in sorted(strangers)),
        )


def _established(observations: Iterable[Observation]) -> _Established:
    """Return the key establishment seen at each place, with its evidence."""
    at: dict[str, set[tuple[Strength, Verdict]]] = defaultdict(set)
    for seen in observations:
        if isinstance(seen.fact, AlgorithmUse) and seen.fact.function is Function.KEY_ESTABLISHMENT:
            at[seen.place].add((seen.strength, fact_verdict(seen.fact)))
    return at


def _verdict(fact: Fact, observations: list[Observation], established: _Established) -> Verdict:
    """Return the verdict of one asset whose reconciled fact is `fact`; of several opinions on it, the worst."""
    if not isinstance(fact, Endpoint):
        return worst(fact_verdict(seen.fact) for seen in observations)
    places = {seen.place for seen in observations}
    uses = (use for place in places for use in established.get(place, ()))
    return endpoint_verdict(uses, prefers_safe=fact.prefers_post_quantum)


def _occurrences(observations: list[Observation], assignment: Assignment) -> tuple[Occurrence, ...]:
    found = {
        Occurrence(
            target=seen.target,
            system=(assigned := assignment.of(seen)).system,
            place=seen.place,
            probe=seen.probe,
            strength=seen.strength,
            rule=assigned.rule,
        )
        for seen in observations
    }
    return tuple(sorted(found, key=lambda o: (o.strength.rank, o.target, o.place, o.probe)))


def _assets(observations: set[Observation], assignment: Assignment) -> tuple[Asset, ...]:
    established = _established(observations)
    grouped: dict[str, list[Observation]] = defaultdict(list)
    for seen in observations:
        grouped[identity(seen.fact, seen.place)].append(seen)
    return tuple(_asset(name, grouped[name], assignment, established) for name in sorted(grouped))


def _asset(name: str, observations: list[Observation], assignment: Assignment, established: _Established) -> Asset:
    fact, conflicts = reconcile([(seen.strength, seen.fact) for seen in observations])
    occurrences = _occurrences(observations, assignment)
    return Asset(
        id=name,
        name=_name(fact),
        verdict=_verdict(fact, observations, established),
        strength=occurrences[0].strength,
        fact=fact,
        occurrences=occurrences,
        conflicts=conflicts,
    )


def merge(
    estate: Estate,
    observations: Observations,
    *,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
) -> Inventory:
    """Return the inventory of `estate` that `observations` show; `made_from` refers to both.

    Depends on the set of records only: neither their order nor repetition changes it. Raises `DocumentMismatch` where
    a record names a target that the estate does not have.
    """
    records = observations.records
    _check_targets(estate, records)
    assets = _assets({canonical(seen) for seen in records if isinstance(seen, Observation)}, Assignment(estate))
    views = system_views(estate, assets, records)
    return Inventory(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=observations.as_of,
        created_at=created_at,
        made_from=made_from,
        seed=None,
        coverage=estate_coverage(estate, records),
        stand_ins=observations.stand_ins,
        assets=assets,
        systems=views,
        ownership_gaps=ownership_gaps(estate, views),
        places=place_lines(estate, records),
    )
