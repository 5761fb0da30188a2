"""How right the inventory is on live servers of known configuration, beside other scanners on the same servers.

The servers are those of the tests' truth table. Right is a row with every column right. A post-quantum fact is that a
server accepts a post-quantum key establishment, or that it signs with one; a host is lost where a scanner finds no TLS.
Other scanners are asked about the servers that have such a fact and need no STARTTLS, and only for these two: any
mention of ML-KEM or ML-DSA counts for them; the slow one is asked about every fourth. A peer's row holds what the peer
saw, and its ratio is over what we saw. What can be chosen:

- `KEYSTRAND_BENCH_TRUTH_PEERS`: scanners to run, of sslyze testssl.sh nmap (default: all)
- `KEYSTRAND_BENCH_CACHE`, `KEYSTRAND_TESTS_CACHE`: where peers are kept, and Node, which serves post-quantum TLS
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.edge.probes.bed.cases import CASES, Case
from tests.edge.probes.bed.seen import scanned, truth_of
from tests.edge.probes.bed.start import missing, served

from bench.measure import Failed, Missing, Row, row
from bench.peers.tls_scanners import SCANNERS, Scanner, Told, ask

_SCANS = 3
_PEERS_AT_ONCE = 2

_RIGHT, _LOST = "truth table: configurations right", "truth table: hosts lost"
_FACTS, _FACTS_LOST = "post-quantum facts seen", "post-quantum hosts lost"


def rows() -> list[Row]:
    """Start the servers once, scan them several times, and have every peer look at them."""
    cases = [case for case in CASES if case.server.program not in missing()]
    with served(cases) as ports:
        scans = [{name: truth_of(found) for name, found in scanned(ports, cases).items()} for _ in range(_SCANS)]
        right = [sum(scan.get(case.name) == case.truth for case in CASES) for scan in scans]
        lost = [sum(scan.get(case.name) is None for case in CASES) for scan in scans]
        some = [case for case in cases if case.server.starttls is None and any(_facts(case))]
        ours = [_score(some, {case.name: _ours(scan.get(case.name)) for case in some}) for scan in scans]
        beside = [r for one in _chosen() for r in _peer(one, some[:: one.every], ports, [share for share, _ in ours])]
    return [
        row(_RIGHT, [100 * count / len(CASES) for count in right], "%", at_least=100.0),
        row(_LOST, [float(count) for count in lost], "hosts", goal=0.0),
        row(_FACTS, [share for share, _ in ours], "%", at_least=100.0),
        row(_FACTS_LOST, [float(count) for _, count in ours], "hosts", goal=0.0),
        *beside,
    ]


def _chosen() -> list[Scanner]:
    """Return the peers to run. Raises `Missing` for one that there is not."""
    there = {scanner.name: scanner for scanner in SCANNERS}
    named = {name for name in os.environ.get("KEYSTRAND_BENCH_TRUTH_PEERS", ",".join(there)).split(",") if name}
    if unknown := named.difference(there):
        raise Missing(f"no scanners named {', '.join(sorted(unknown))}: there are {', '.join(there)}")
    return [scanner for name, scanner in there.items() if name in named]


def _facts(case: Case) -> tuple[bool, bool]:
    """Return whether the server accepts a post-quantum key establishment, and whether it signs with one."""
    truth = case.truth
    return (bool(truth.supports), "ML-DSA" in truth.authenticates) if truth else (False, False)


def _ours(seen: object) -> Told:
    supports, signs = getattr(seen, "supports", None), getattr(seen, "authenticates", "")
    return Told(seen is not None, supports is True, "ML-DSA" in signs)


def _score(cases: Sequence[Case], told: Mapping[str, Told]) -> tuple[float, int]:
    """Return the share of the facts that were seen, in percent, and how many hosts were lost."""
    pairs = [pair for case in cases for pair in zip(_facts(case), told[case.name][1:], strict=True)]
    seen = [found for there, found in pairs if there]
    return 100 * sum(seen) / len(seen), sum(not told[case.name].seen for case in cases)


def _peer(scanner: Scanner, cases: Sequence[Case], ports: Mapping[str, int], ours: Sequence[float]) -> list[Row]:
    """Return a peer's rows; one that cannot be had has its row all the same, which says why."""
    try:
        scanner.command("", 0)  # installs it, once
        with ThreadPoolExecutor(_PEERS_AT_ONCE) as pool:
            answers = pool.map(partial(_ask, scanner, ports), cases)
            told = dict(zip((case.name for case in cases), answers, strict=True))
    except (Missing, Failed) as error:
        return [row(_FACTS, ours, "%", peer=f"{scanner.name}: {error}")]
    share, lost = _score(cases, told)
    asked = f"{scanner.name} on {len(cases)} servers"
    return [
        row(f"{_FACTS}, {asked}", [share], "%", peer="keystrand", peer_samples=ours),
        row(f"{_FACTS_LOST}, {asked}", [float(lost)], "hosts"),
    ]


def _ask(scanner: Scanner, ports: Mapping[str, int], case: Case) -> Told:
    return ask(scanner, case.host, ports[case.name])
