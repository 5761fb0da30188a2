"""A fleet merged on one machine: made-up records of many endpoints and certificates, from the store to the documents.

Runs as a process of its own, so that its peak of memory is its own; prints one JSON object.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from bench.measure import peak_mb
from keystrand.app.inventory_store import keep_run, merge_run
from keystrand.edge.partial import partial_at
from keystrand.edge.store.observations import opened
from keystrand.model.algorithm import Function
from keystrand.model.document import InputRef
from keystrand.model.estate import Estate, Exposure, Organisation, Place, ProbeKind, System, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Observation,
    Outcome,
    Record,
    Strength,
)

SYSTEMS = 100
GROUPS = ("X25519", "X25519MLKEM768", "ECDH-P-256")


def estate_of(endpoints: int) -> Estate:
    """Return an estate with so many TLS servers, spread over the systems."""
    systems = tuple(
        System(
            id=f"system-{n}", name=f"System {n}", place=Place.WEB, site="here", exposure=Exposure.INTERNAL,
            functions=(Function.KEY_ESTABLISHMENT,),
        )
        for n in range(SYSTEMS)
    )  # fmt: skip
    targets = tuple(
        Target(id=f"t{n}", probe=ProbeKind.TLS, system=f"system-{n % SYSTEMS}", host=f"h{n}.example", port=443)
        for n in range(endpoints)
    )
    return Estate(
        format_version="1", organisation=Organisation(name="fleet", sector="bench"), region=(), trust_zone=(),
        owner=(), site=(), data_class=(), system=systems, target=targets,
    )  # fmt: skip


def records_of(number: int, chain: int) -> tuple[Record, ...]:
    """Return what a probe says of one server: its key exchange and a chain of certificates, each its own."""
    target, place = f"t{number}", f"tls://h{number}.example:443"
    group = GROUPS[number % len(GROUPS)]

    def seen(strength: Strength, fact: Endpoint | AlgorithmUse | Certificate) -> Observation:
        return Observation(target=target, probe="tls", place=place, strength=strength, fact=fact)

    uses = (AlgorithmUse(algorithm=name, function=Function.KEY_ESTABLISHMENT) for name in GROUPS)
    return (
        seen(Strength.NEGOTIATED, Endpoint(protocol="tls", host=f"h{number}.example", port=443, versions=("TLS 1.3",))),
        seen(Strength.NEGOTIATED, AlgorithmUse(algorithm=group, function=Function.KEY_ESTABLISHMENT)),
        *(seen(Strength.OFFERED, use) for use in uses),
        *(seen(Strength.NEGOTIATED, certificate(number * chain + n)) for n in range(chain)),
        Attempt(target=target, probe="tls", place=place, outcome=Outcome.SEEN),
    )


def certificate(number: int) -> Certificate:
    """Return the certificate of this number; its hash is spread as hashes are."""
    spread = (number * 0x9E3779B97F4A7C15) % (1 << 64)
    return Certificate(
        sha256=f"{spread:064x}", spki_sha256=f"{spread ^ 1:064x}", subject=f"CN=host{number}.fleet.example,O=Fleet",
        issuer="CN=Issuing authority 3,O=Fleet", serial=f"{spread:032x}", not_before=date(2026, 1, 1),
        not_after=date(2027, 1, 1), signature_algorithm="RSA-2048", key_algorithm="RSA-2048",
        names=(f"host{number}.fleet.example",),
    )  # fmt: skip


def main(endpoints: int, certificates: int) -> Iterator[tuple[str, float]]:
    """Yield figures of a fleet: seconds and peak memory of taking it in, and of merging it."""
    estate, chain = estate_of(endpoints), certificates // endpoints
    ref = InputRef(kind="estate", content_sha256="0" * 64, file_sha256="0" * 64)
    yield "estate_mb", peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with partial_at(out / "p", estate="0" * 64, begun=datetime.now(UTC).isoformat(), resume=False) as partial:
            for number in range(endpoints):
                partial.add(records_of(number, chain))
            with opened(out / "inventory.db") as store:
                begun_s = time.perf_counter()
                seen = keep_run(store, out, partial, made_from=ref, as_of=date(2026, 11, 24), stand_ins=())
                yield "take_s", time.perf_counter() - begun_s
                yield "take_mb", peak_mb()
                begun_s = time.perf_counter()
                merge_run(store, out, seen, estate, made_from=(ref, seen.ref))
                yield "merge_s", time.perf_counter() - begun_s
                yield "peak_mb", peak_mb()
                yield "store_mb", (out / "inventory.db").stat().st_size / 1e6
                yield "inventory_mb", (out / "inventory.json").stat().st_size / 1e6


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dict(main(*map(int, sys.argv[1:])))) + "\n")
