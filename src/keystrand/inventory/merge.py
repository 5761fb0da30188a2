"""Observations become assets: one for each identity, with every place where it was seen."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from keystrand.formats.wording import counted
from keystrand.inventory.assignment import Assignment
from keystrand.inventory.coverage import estate_coverage
from keystrand.inventory.identity import authority, canonical, identified, is_told
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

Established = Callable[[str], Iterable[tuple[Strength, Verdict]]]
"""Tells the key establishment seen at a place, each use with its evidence."""


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


def check_targets(estate: Estate, targets: Iterable[str]) -> None:
    """Raise `DocumentMismatch` where the estate lacks one of `targets`."""
    if strangers := set(targets) - {target.id for target in estate.target}:
        raise DocumentMismatch(
            f"the observations name {counted(len(strangers), 'target')} that the estate does not have",
            hint="scan again with this estate, or give the estate that the scan was made from",
            problems=tuple(Problem(message="no such target in the estate", field=name) for name in sorted(strangers)),
        )


def _established(observations: Iterable[Observation]) -> Established:
    at: dict[str, set[tuple[Strength, Verdict]]] = defaultdict(set)
    for seen in observations:
        if (verdict := establishes(seen.fact)) is not None:
            at[seen.place].add((seen.strength, verdict))
    return lambda place: at.get(place, ())


def establishes(fact: Fact) -> Verdict | None:
    """Return the verdict of the key establishment that `fact` is, None where it is none."""
    is_one = isinstance(fact, AlgorithmUse) and fact.function is Function.KEY_ESTABLISHMENT
    return fact_verdict(fact) if is_one else None


def _verdict(fact: Fact, observations: Collection[Observation], established: Established) -> Verdict:
    """Return the verdict of one asset whose reconciled fact is `fact`; of several opinions on it, the worst."""
    if not isinstance(fact, Endpoint):
        return worst(fact_verdict(seen.fact) for seen in observations)
    asked = [seen for seen in observations if not seen.place.startswith("file:")]
    # a file tells what somebody says or once saw: beside what the endpoint itself answered it makes nothing better
    looked = [seen for seen in observations if not is_told(seen)]
    verdict = worst(_of_endpoint(some, established) for some in (asked, looked, observations) if some)
    return Verdict.UNKNOWN if not looked and verdict is Verdict.QUANTUM_SAFE else verdict


def _reconciled(observations: Collection[Observation]) -> tuple[Fact, tuple[str, ...]]:
    looked, told = (
        [(seen.strength, seen.fact) for seen in observations if is_told(seen) is so] for so in (False, True)
    )
    return reconcile(looked, told)


def _of_endpoint(observations: Collection[Observation], established: Established) -> Verdict:
    fact, _ = _reconciled(observations)
    uses = (use for place in {seen.place for seen in observations} for use in established(place))
    return endpoint_verdict(uses, prefers_safe=fact.prefers_post_quantum if isinstance(fact, Endpoint) else None)


def _occurrences(observations: Iterable[Observation], assignment: Assignment) -> tuple[Occurrence, ...]:
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


def merged_asset(
    name: str, observations: Collection[Observation], assignment: Assignment, established: Established
) -> Asset:
    """Return the asset of the identity `name`, of which `observations` (canonical) are all there are."""
    fact, conflicts = _reconciled(observations)
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


def without_assets(estate: Estate, observations: Observations, attempts: Iterable[Record], **head: Any) -> Inventory:
    """Return the inventory of `estate` as if no asset had been found; `head` fills what observations cannot say.

    Of `observations` the records do not matter: all their `attempts` are given.
    """
    records = tuple(attempts)
    return Inventory(
        format_version=FORMAT_VERSION,
        as_of=observations.as_of,
        seed=None,
        coverage=estate_coverage(estate, records),
        stand_ins=observations.stand_ins,
        assets=(),
        systems=system_views(estate, (), records),
        ownership_gaps=ownership_gaps(estate),
        places=place_lines(estate, records),
        **head,
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
    check_targets(estate, (record.target for record in records))
    seen = {canonical(record) for record in records if isinstance(record, Observation)}
    assignment, established, grouped = Assignment(estate), _established(seen), identified(seen)
    assets = tuple(merged_asset(name, grouped[name], assignment, established) for name in sorted(grouped))
    head = {"made_from": made_from, "created_at": created_at, "tool_version": tool_version}
    empty, views = without_assets(estate, observations, records, **head), system_views(estate, assets, records)
    gaps = ownership_gaps(estate, {view.system: len(view.assets) for view in views})
    return replace(empty, assets=assets, systems=views, ownership_gaps=gaps)
