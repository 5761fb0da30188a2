"""`sequence_package.py PULSES SEED`: run by a Python that has the peer `sequence` (SeQUeNCe).

BB84 over 50 km at the peer's usual 80 MHz and 0.1 photons a pulse; prints one JSON object. The peer draws no decoys.
"""

import importlib
import json
import math
import sys
import time
from typing import Any

_KM, _RATE_HZ = 50.0, 80e6


class _Taker:
    """Takes the keys, as the protocol above BB84 does."""

    def __init__(self, below: Any) -> None:
        self.lower_protocols, self.upper_protocols, self.keys = [below], list[Any](), 0
        below.upper_protocols.append(self)

    def pop(self, info: int) -> None:
        """Take a key of so many bits, as a number."""
        self.keys += info >= 0


def simulated(pulses: int, seed: int) -> dict[str, float]:
    """Simulate as long as it takes to send so many pulses."""
    channel = importlib.import_module("sequence.components.optical_channel")
    timeline = importlib.import_module("sequence.kernel.timeline").Timeline(pulses / _RATE_HZ * 1e12)
    node = importlib.import_module("sequence.topology.node").QKDNode
    ends = [node(name, timeline, stack_size=1) for name in ("alice", "bob")]
    for place, (one, other) in enumerate((ends, ends[::-1])):
        one.set_seed(2 * seed + place)
        light = channel.QuantumChannel(
            f"light {place}", timeline, distance=_KM * 1e3, attenuation=2e-4, polarization_fidelity=0.99
        )
        words = channel.ClassicalChannel(f"words {place}", timeline, distance=_KM * 1e3)
        light.set_ends(one, other.name)
        words.set_ends(one, other.name)
    protocols = [end.protocol_stack[0] for end in ends]
    importlib.import_module("sequence.qkd.BB84").pair_bb84_protocols(*protocols)
    takers = [_Taker(protocol) for protocol in protocols]
    ends[0].update_lightsource_params("frequency", _RATE_HZ)
    ends[0].update_lightsource_params("mean_photon_num", 0.1)
    begin = time.process_time()
    timeline.init()
    protocols[0].push(64, math.inf)
    timeline.run()
    return {"seconds": time.process_time() - begin, "keys": takers[0].keys}


if __name__ == "__main__":
    print(json.dumps(simulated(int(sys.argv[1]), int(sys.argv[2]))))
