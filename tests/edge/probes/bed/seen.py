"""Scans the servers of the table and puts what the records say into the table's columns."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from tests.edge.probes.bed.cases import Case, Truth
from tests.edge.probes.bed.programs import HOST

from keystrand.edge.estate_folder import load_estate
from keystrand.edge.probes.scheduler import scan
from keystrand.model.algorithm import Function
from keystrand.model.estate import Scan, ScanMode, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Endpoint,
    Observation,
    Outcome,
    Record,
    Strength,
)

_EXAMPLE = Path(__file__).parents[4] / "examples" / "regional-bank"
_PORT = 443


def scanned(
    ports: Mapping[str, int], cases: Sequence[Case], mode: ScanMode = ScanMode.STANDARD
) -> dict[str, tuple[Record, ...]]:
    """Scan every case that has a port, each by a name of its own, and return the records by the case's name."""
    asked = {case.name: case for case in cases if case.name in ports}
    targets = tuple(
        Target(id=f"t{number}", probe=case.probe, system="core-ledger", host=case.host, port=_PORT,
               starttls=case.server.starttls)
        for number, case in enumerate(asked.values())
    )  # fmt: skip
    estate = msgspec.structs.replace(
        load_estate(_EXAMPLE).estate,
        target=targets,
        scan=Scan(mode=mode, connections_per_s=10_000, connections_per_host=8, timeout_s=20),
    )
    listens = {(case.host, _PORT): (HOST, ports[name]) for name, case in asked.items()}
    records = asyncio.run(scan(estate, _EXAMPLE, sink=lambda _: None, connect_to=listens))
    return {
        name: tuple(record for record in records if record.target == target.id)
        for name, target in zip(asked, targets, strict=True)
    }


def attempt_of(records: Iterable[Record]) -> Attempt:
    """Return the one attempt."""
    (found,) = [record for record in records if isinstance(record, Attempt)]
    return found


def truth_of(records: Iterable[Record]) -> Truth | None:
    """Return what the records say, in the columns of the table; None for a host that was lost."""
    seen = [record for record in records if isinstance(record, Observation)]
    if attempt_of(records).outcome is not Outcome.SEEN or not seen:
        return None
    (endpoint,) = [one.fact for one in seen if isinstance(one.fact, Endpoint)]
    prefers, supports = endpoint.prefers_post_quantum, endpoint.supports_post_quantum
    return Truth(
        versions=" ".join(endpoint.versions),
        supports=supports,
        negotiates=endpoint.negotiates_post_quantum,
        # takes the classical share without a word though it could do better
        downgrades=None if None in (supports, prefers) else bool(supports) and not prefers,
        key=" ".join(_algorithms(seen, Function.KEY_ESTABLISHMENT, Strength.NEGOTIATED)),
        authenticates=" ".join(sorted(set(_algorithms(seen, Function.SIGNATURE, *Strength)))),
    )


def _algorithms(seen: Iterable[Observation], function: Function, *strengths: Strength) -> list[str]:
    return [
        one.fact.algorithm
        for one in seen
        if isinstance(one.fact, AlgorithmUse) and one.fact.function is function and one.strength in strengths
    ]
