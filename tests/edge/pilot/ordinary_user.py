"""The three trials that an ordinary user can run, with real KMEs and real agents; run as whoever starts it.

`python ordinary_user.py FOLDER` prints what was seen as JSON. `python ordinary_user.py FOLDER hold` says `ready` when
all traffic flows, and goes on until killed.
"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from tests.edge.pilot.grounds import declared, ground_of

from keystrand.edge.daemons import Daemons
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import start_pair
from keystrand.edge.pilot.age import AgeTrial
from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.hsm import HsmTrial
from keystrand.edge.pilot.tls import TlsTrial
from keystrand.model.pilot import ConsumerKind

_ROTATIONS = 4
Trial: TypeAlias = TlsTrial | AgeTrial | HsmTrial


def main(folder: Path, *, hold: bool) -> None:
    """Run it."""
    folder.mkdir(mode=0o755)
    hsm = HsmTrial(declared(ConsumerKind.HSM, 20, "fail-secure"))
    in_band = TlsTrial(declared(ConsumerKind.TLS, 20)), AgeTrial(declared(ConsumerKind.AGE, 1))
    trials = (*in_band, hsm)
    with start_pair(folder / "kmes") as pair, Daemons() as care:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536):
            pair.wait_for_keys(200)
        ground = ground_of(folder / "pilot", pair, care)
        for trial in trials:
            assert not trial.why_not(), trial.why_not()
            trial.set_up(ground)
        agents = Agents(ground, [hsm], saes=pair.pki)
        agents.set_up()
        agents.wait_fresh(20)
        for one in in_band:
            one.begin_keyed()
        begin = time.time()
        for trial in trials:
            trial.begin_traffic()
        while len(agents.rotations(hsm.declared.id, begin, time.time())) < _ROTATIONS:
            assert time.time() < begin + 60
            time.sleep(0.05)
        if hold:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            time.sleep(600)
        for trial in trials:
            trial.end_traffic()
        sys.stdout.write(json.dumps([os.getuid(), [_seen(trial, begin, time.time()) for trial in trials]]))


def _seen(trial: Trial, from_s: float, to_s: float) -> dict[str, Any]:
    made, traffic = trial.attempts(from_s, to_s), trial.traffic(from_s, to_s)
    return {
        "kind": trial.declared.kind.value,
        "tried": traffic.tried,
        "failed": traffic.failed,
        "why": sorted({one.why for one in made if not one.done}),
        "keys": len({one.done.key_id for one in made if one.done}),
        "wrong": trial.wrong_keys(),
        "gap_s": traffic.longest_gap_s,
        "median_ms": 1e3 * median(traffic.operation_s or [0.0]),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), hold="hold" in sys.argv[2:])
