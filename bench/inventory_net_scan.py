"""`python -m bench.inventory_net_scan PORTS COUNT MODE PROBE AT_ONCE`: scan loopback endpoints and print what it took.

Runs on the first core alone. Prints JSON: CPU in ms an endpoint after a short warm-up, endpoints seen, and the most
memory held, in MB. With `hung` for a mode it opens AT_ONCE connections to servers that never answer.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from bench.measure import peak_mb
from keystrand.edge.estate_folder import load_estate
from keystrand.edge.probes.scheduler import survey
from keystrand.model.estate import Estate, ProbeKind, Scan, ScanMode, Target
from keystrand.model.observation import Attempt, Outcome, Record

_EXAMPLE = Path(__file__).parents[1] / "examples" / "regional-bank"
_WARM_UP = 20
_FAST = 10_000.0
HOSTS_HUNG = 125
"""Addresses with servers that never answer: the scan opens eight connections to each at most."""


def _estate(targets: tuple[Target, ...], at_once: int, mode: ScanMode) -> Estate:
    limits = Scan(connections_per_s=_FAST, connections_per_host=8, connections_at_once=at_once, mode=mode)
    return replace(load_estate(_EXAMPLE).estate, target=targets, scan=limits)


def _targets(ports: list[int], count: int, probe: ProbeKind) -> tuple[Target, ...]:
    return tuple(
        Target(id=f"t{n}", probe=probe, system="core-ledger", host="127.0.0.1", port=ports[n % len(ports)])
        for n in range(count)
    )


def _hung(port: int, at_once: int) -> tuple[Target, ...]:
    return tuple(
        Target(id=f"t{n}", probe=ProbeKind.TLS, system="core-ledger", host=f"127.0.1.{1 + n % HOSTS_HUNG}", port=port)
        for n in range(at_once)
    )


async def _seen(estate: Estate) -> int:
    seen = 0

    def deliver(records: tuple[Record, ...]) -> None:
        nonlocal seen
        seen += sum(isinstance(one, Attempt) and one.outcome is Outcome.SEEN for one in records)

    await survey(estate, Path(), deliver=deliver)
    return seen


def main(words: list[str]) -> None:
    """Scan as the words say."""
    ports, count, mode, probe, at_once = (
        [int(w) for w in words[0].split(",")],
        int(words[1]),
        *words[2:4],
        int(words[4]),
    )
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if mode == "hung":
        estate = _estate(_hung(ports[0], at_once), at_once, ScanMode.QUICK)
    else:
        estate = _estate(_targets(ports, count, ProbeKind(probe)), at_once, ScanMode(mode))
    factory = asyncio.new_event_loop
    if os.environ.get("KEYSTRAND_BENCH_LOOP") == "uvloop":
        import uvloop  # noqa: PLC0415  # only where it is asked for

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_seen(replace(estate, target=estate.target[:_WARM_UP])))
        begin = time.process_time()
        seen = runner.run(_seen(estate))
        cpu_ms = 1000 * (time.process_time() - begin) / count
    sys.stdout.write(json.dumps({"cpu_ms": cpu_ms, "seen": seen, "memory_mb": peak_mb()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
