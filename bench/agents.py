"""Two agents that key a folder each: what a changeover takes, beside the two fetches that it cannot do without.

The consumer does nothing but write a file, so what is measured is the part of the agents, their installers and the
KMEs. All six programs share this machine.
"""

import os
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.edge.agent.site import Site, running_pair, wait_until

from bench.measure import Row, percentile
from keystrand.edge.kme.pair import Pair

CHANGEOVERS = 60
_GOAL_MS = 250.0
"""A key a second leaves three quarters of the second to the traffic."""
TERMS = """policy = "fail-secure"
rotate_every_s = 0.2
max_age_s = 60
wait_s = 5
prove_every_s = 0.005
"""


def rows() -> list[Row]:
    """Return the time of a changeover beside that of the fetches, and the CPU time that agents and installers take."""
    with tempfile.TemporaryDirectory() as folder, running_pair(Path(folder)) as pair:
        fetches = _fetches_ms(pair)
        site = Site(Path(folder) / "site", pair, TERMS)
        try:
            site.start()
            wait_until(lambda: len(site.installed(0)) > 3, 60, "no changeover")
            before_s, count = _cpu_s(site), len(site.installed(0))
            wait_until(lambda: len(site.installed(0)) >= count + CHANGEOVERS, 300, "too few changeovers")
            cpu_s, done = _cpu_s(site) - before_s, len(site.installed(0)) - count
            taken = _changeovers_ms(site)[:CHANGEOVERS]
        finally:
            site.close()
    fetch = percentile(fetches, 0.5)
    whole = percentile(taken, 0.5)
    return [
        Row(
            name="changeover, first installation to proof", value=whole, unit="ms", low=percentile(taken, 0.05),
            high=percentile(taken, 0.95), peer=f"enc_keys and dec_keys alone: {fetch:.1f} ms", ratio=whole / fetch,
            goal=f"at most {_GOAL_MS:g} ms", met=whole <= _GOAL_MS,
        ),
        Row(
            name="CPU of both agents and installers a changeover", value=1e3 * cpu_s / done, unit="ms",
            low=1e3 * cpu_s / done, high=1e3 * cpu_s / done,
        ),
    ]  # fmt: skip


def _fetches_ms(pair: Pair) -> list[float]:
    found = []
    with pair.client(pair.saes[0]) as master, pair.client(pair.saes[1]) as slave:
        for _ in range(CHANGEOVERS):
            begin = time.perf_counter()
            (key,) = master.enc_keys(pair.saes[1])
            slave.dec_keys(pair.saes[0], [key.key_id])
            found.append(1e3 * (time.perf_counter() - begin))
    return found


def _changeovers_ms(site: Site) -> list[float]:
    """Return the time from each key's line in the responder's audit, before it installs, to the initiator's proof."""
    began = {line["detail"]["key_ID"]: line["at"] for line in site.audit(1) if line["action"] == "agent.install"}
    proven = {line["detail"]["key_ID"]: line["at"] for line in site.audit(0) if line["action"] == "agent.proven"}
    spans = (datetime.fromisoformat(at) - datetime.fromisoformat(began[key_id]) for key_id, at in proven.items())
    return [1e3 * span.total_seconds() for span in spans]


def _cpu_s(site: Site) -> float:
    """Return the CPU time that agents and installers have taken (proc(5), stat, utime and stime)."""
    ticks = 0
    for pid in site.pids():
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(told[11]) + int(told[12])
    return ticks / os.sysconf("SC_CLK_TCK")
